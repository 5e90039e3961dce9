/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler as the layers above it see it: in and out of the runtime, waits, new goroutines,
 * timers.
 *
 * The shape of every public call:
 *
 *     struct m *mp = wefti_enter();          now this M is in the runtime and has a P
 *     …                                      no user memory is touched, nothing blocks
 *     wefti_leave(mp);                       values reach the user's memory after this
 *
 * The shape of a wait, here on an object with a lock and a queue:
 *
 *     struct m *mp = wefti_enter_park();         it may continue on another thread
 *     struct g *gp = mp->curg;
 *     wefti_plock(mp, &o->lock, rank);
 *     if (what it wants is there) { take it; unlock; leave; return }
 *     struct sudog *sg = &gp->sudog;
 *     sg->ticket = wefti_wait_begin(mp, gp, WEFTI_WAIT_…, cancellable);    publishes PARKING
 *     sg->g = gp; push sg on o's queue;
 *     wefti_punlock(mp, &o->lock, rank);
 *     mp = wefti_wait(mp, gp);                   forget mp, P and whatever hangs on them
 *     look at gp->wake; when it isn't OK, the sudog may still be queued:
 *         lock, remove if sg->queued, unlock
 *     wefti_leave(mp);
 *
 * and of a wake-up:
 *
 *     lock; while ((sg = pop)) if (wefti_claim(mp, sg->g, sg->ticket)) break; unlock
 *     if (sg) { sg->word[0] = …; sg->g->wake = WEFTI_WAKE_OK; wefti_ready(mp, sg->g); }
 *
 * A waiter whose claim was won by another (cancelled, timed out) is skipped; it takes itself off
 * the queue if the loser of that race did not pop it already. Nothing of a sudog or G may be
 * touched after wefti_ready().
 *
 * Cancellation. A wait begun with cancellable set ends with WEFTI_WAKE_CANCELED when the
 * goroutine's context ends; wefti_wait() looks at the context once more after PARKING is visible
 * (the fence pairs with the one in wefti_ambient_cancel), so no cancel is lost. A wait satisfied
 * first succeeds: one claim wins.
 */
#ifndef WEFTI_SCHED_SCHED_H
#define WEFTI_SCHED_SCHED_H

#include "../base/throw.h"
#include "../rt/mem.h"
#include "../rt/plock.h"
#include "../rt/rt.h"

struct weft_attr;
struct weft_impl_site;

/* ---- in and out ---- */

struct m *wefti_enter_slow(bool may_park);
void wefti_giveback(struct m *mp);

extern __thread struct m *wefti_m __attribute__((tls_model("initial-exec")));

#include "enter.h"
#include "wait.h" /* wefti_wait_begin, wefti_claim, wefti_ready */

/*
 * wefti_enter(): enters a call that never parks: the goroutine stays on this thread (a preempted
 * one waits here, captive). wefti_enter_park(): enters one that may park: the goroutine may be on
 * another thread when it returns. wefti_enter_goroutine(what): as wefti_enter, but ends the program
 * with "what needs a goroutine" on another thread.
 */
struct m *wefti_enter_goroutine(const char *what);

/* ---- waits ---- */

/* Takes back a published wait: true if nobody had claimed it. False: somebody is about to ready it;
 * call wefti_wait. */
bool wefti_wait_retract(struct m *mp, struct g *gp);
/* Parks until readied; returns the M it is on now. gp->wake says how it ended. */
struct m *wefti_wait(struct m *mp, struct g *gp);
/*
 * As above, or until `deadline` (0: none), which ends the wait with WEFTI_WAKE_TIMEOUT; for a wait by
 * gp's own sudog.
 *
 * The goroutine's own timer is armed after the object's lock was given back, for timers have the
 * lower rank. In between the wait may be won, and even be readied (NOTIFIED); the timer is armed
 * all the same, fires or is disarmed, and hurts nobody: its ticket is that of this wait alone.
 */
struct m *wefti_wait_until(struct m *mp, struct g *gp, int64_t deadline);
/* wefti_ready at the tail of the queue: for the many (close, broadcast, timers). */
void wefti_ready_tail(struct m *mp, struct g *gp);
/* Parks for ever: NULL channels, selects without cases. Ends only by cancellation when cancellable.
 */
struct m *wefti_wait_forever(struct m *mp, enum wefti_reason reason, bool cancellable);
/* True when the calling goroutine's context has ended. */
static inline int wefti_ambient_err(struct g *gp) {
    return unlikely(gp->ambient != NULL) ? load_acquire(&gp->ambient->err) : 0;
}

/* ---- new goroutines, the end of one ---- */

/* Makes a runnable goroutine with six argument words; 0, or ENOMEM. `done` runs at its end, on its
 * stack, with a P. */
int wefti_newproc(struct m *mp, const struct weft_attr *attr, const struct weft_impl_site *site,
                  void (*fn)(void), const uint64_t words[6],
                  void (*done)(struct m *, struct g *, int), void *done_arg);
/* Makes one of the runtime's own: under the background, counted nowhere, in no dump but that of
 * GOTRACEBACK=system. 0, or ENOMEM. */
int wefti_newproc_system(struct m *mp, const char *name, const struct weft_impl_site *site,
                         void (*fn)(void));

/* ---- contexts' hold on goroutines (sched/ambient.c) ---- */

void wefti_ambient_ref(struct wefti_ambient *a);
void wefti_ambient_unref(struct m *mp, struct wefti_ambient *a);
/* gp runs under `a` from now on (NULL: background); takes over one reference to a, gives up that to
 * the one before. */
void wefti_ambient_set(struct m *mp, struct g *gp, struct wefti_ambient *a);
/*
 * Ends `a` with err (once: false if it had ended) … and claims the cancellable waits of its
 * members. Two steps, because done channels close and the flags of a whole subtree are set between
 * them (cancel order: flags, done channels, then waiters).
 */
bool wefti_ambient_mark(struct m *mp, struct wefti_ambient *a, int err);
void wefti_ambient_wake(struct m *mp, struct wefti_ambient *a);

/* ---- timers: armed on the caller's P ---- */

void wefti_timer_arm(struct m *mp, struct wefti_timer *t, int64_t when, int64_t period);
/* True if it was armed and will not fire. False: it fired (or is firing on another M: then fire has
 * been called), or was not armed. */
bool wefti_timer_disarm(struct m *mp, struct wefti_timer *t);
/* disarm and arm as one step; what disarm would have said. */
bool wefti_timer_rearm(struct m *mp, struct wefti_timer *t, int64_t when, int64_t period);

/* A timer `fire` that ends the wait whose ticket is t->seq of goroutine t->arg with
 * WEFTI_WAKE_TIMEOUT. */
bool wefti_timer_wakes(struct m *mp, struct wefti_timer *t, int64_t now);

/* The signal that preempts in this run, or 0. */
int wefti_preempt_signal_now(void);

/* Forks between the process that first used weft and this one, each with a weft_after_fork. */
extern uint32_t wefti_forks;

/* Coarse monotonic nanoseconds without a system call; precise ones. */
int64_t wefti_coarse(void);
int64_t wefti_nanotime(void);
/* Coarse time in units of about a millisecond (2^20 ns), for struct g's `since`. */
static inline uint32_t wefti_stamp(void) {
    return (uint32_t)((uint64_t)wefti_coarse() >> 20);
}

#endif
