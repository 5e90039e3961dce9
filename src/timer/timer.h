/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: a heap for each P, and what happens between a timer, its owner and the M that fires it.
 *
 * A timer (struct wefti_timer, rt/rt.h) is armed or not. Armed, it is an entry of one heap, that of
 * the P on which it was armed, and t->heap says which; it stays there until it fires, is stopped or
 * its P goes. Any M with a P may run any heap, so a busy P's timers are run by an idle one.
 *
 * Who guards what. t->heap is NULL while the timer is not armed. While it is a heap, that heap's
 * lock guards the whole timer, t->heap too: it changes from a heap to NULL, or to another heap,
 * only under the lock of the heap it leaves. So whoever wants to touch an armed timer reads
 * t->heap, locks that heap, and looks whether t->heap is still the same; if not, it starts anew.
 * While it is NULL the timer belongs to its owner: the one who made it, or, where several
 * goroutines may arm it, the one that makes t->heap its own heap by compare-and-swap under that
 * heap's lock.
 *
 * Firing. The runner takes the timer out of the heap and calls t->fire, both under the heap's lock,
 * and only then stores NULL to t->heap, with release. That store is its last touch of the timer, so
 * one who reads NULL with acquire, as wefti_timer_disarm does, knows that fire has returned and
 * that it may arm or free the timer; one who reads the heap gets the lock after fire, and finds
 * NULL.
 *
 *   - A timer that ends a wait (fire is wefti_timer_wakes) is the exception: the goroutine that it
 *     wakes owns the timer and must not meet it half fired. So the runner copies what this function
 *     needs, stores NULL, and then has it claim the wait. A disarm that sees NULL then may overtake
 *     the claim; the claim is for a ticket that no later wait has, so it fails and harms nobody.
 *   - t->late runs after the heap was unlocked, with the timer already disarmed: the owner may arm
 *     or drop the timer meanwhile. So an armed timer with a late holds a reference to what it lives
 *     in, or its fire takes one; late gives it up, or whoever disarms it. A periodic timer has no
 *     late.
 *
 * Nothing but fire and late runs for an expired timer, and fire must not arm or stop any timer: it
 * holds the heap's lock. What it may take has a higher rank: locks of channels and waits.
 *
 * The races, for a timer with an owner O and a runner R:
 *
 *   - stop against fire: the heap's lock orders them. O first: the entry is gone, true, it will not
 *     fire. R first: O finds NULL, false, and fire has returned.
 *   - stop against stop: one finds the heap, the other NULL: one true.
 *   - stop against reset, both by owners: a reset of an armed timer changes its entry in place and
 *     never shows NULL, so a stop beside it finds it armed, before or after. Which is last wins.
 *   - reset against reset: both in place; or of an unarmed one: one wins the compare-and-swap, the
 *     other finds it armed.
 *   - reset against fire: R first: O arms it anew and says false. O first: R finds a later moment.
 *   - Two steps that must look like one (a channel's timer: stop and take the value back) are the
 *     business of the timer's owner: t->lock is there for that, taken before the heap's lock.
 *
 * Looking without the lock. ts->first is the earliest moment in the heap, 0 when it is empty. A run
 * writes it once at its end, so meanwhile it may be too early, never too late. Arming an earlier
 * moment stores it and then calls wefti_timer_earlier: one who is about to sleep until the moment
 * that he saw publishes that he sleeps, and looks again; the hook looks for sleepers. A full fence
 * on either side, between the store and the look, is the scheduler's (sched/idle.c).
 *
 * Rejected: marking stopped timers and removing them later, as Go does. A stopped timer's memory is
 * freed by its owner here, and with `when` in the entry and the slot in the timer a removal is
 * cheap: three quarters of a 4-ary heap are leaves. Rejected: a timer wheel; ties it to a
 * resolution, and cascades are late exactly when there are many timers.
 */
#ifndef WEFTI_TIMER_TIMER_H
#define WEFTI_TIMER_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/atomic.h"
#include "../rt/rt.h"

/* The moment is here and not only in the timer: sifting touches no timer but those that move. */
struct wefti_timers_entry {
    int64_t when;
    struct wefti_timer *t;
};

/* A P's heap; zeros are an empty one. All is guarded by lock, but first may be read without it. */
struct wefti_timers {
    uint32_t lock; /* P-lock, rank WEFTI_RANK_TIMERS */
    uint32_t n;    /* atomic for readers: scheddetail */
    uint32_t cap;
    int64_t first; /* earliest moment, 0: none (atomic) */
    struct wefti_timers_entry *entries;
} __attribute__((aligned(WEFTI_CACHELINE)));

/* ---- heap.c: the heap itself; the caller holds the lock ---- */

void wefti_timers_add(struct m *mp, struct wefti_timers *ts, struct wefti_timer *t, int64_t when);
void wefti_timers_remove(struct wefti_timers *ts, struct wefti_timer *t);
/* Gives an entry another moment. */
void wefti_timers_adjust(struct wefti_timers *ts, struct wefti_timer *t, int64_t when);
/* Writes ts->first after any of these; true when it is earlier than before. */
bool wefti_timers_publish(struct wefti_timers *ts);
/* Frees its memory; it is empty then. */
void wefti_timers_release(struct m *mp, struct wefti_timers *ts);

/* ---- timer.c ---- */

/* An empty heap, for the life of a P, which is that of the process; NULL without memory. */
struct wefti_timers *wefti_timers_new(void);

/* The earliest moment, 0: none. Without the lock. */
static inline int64_t wefti_timers_first(struct wefti_timers *ts) {
    return load_acquire(&ts->first); /* pairs with the store in wefti_timers_publish */
}

static inline bool wefti_timers_due(struct wefti_timers *ts, int64_t now) {
    int64_t first = load_relaxed(&ts->first); /* a hint: whoever acts on it takes the lock */
    return first != 0 && first <= now;
}

/*
 * Fires all timers that are due; how many. Called with a P, its own heap or another's, no lock
 * held. A periodic timer goes on at the first multiple of its period after now: missed ticks are
 * dropped.
 */
size_t wefti_timers_run(struct m *mp, struct wefti_timers *ts, int64_t now);

/* All timers of `from` go to `to`. World stopped. The caller looks after who sleeps until when. */
void wefti_timers_move(struct m *mp, struct wefti_timers *from, struct wefti_timers *to);
/*
 * Disarms all and frees the memory: the end of a run. World stopped. The timers stay their owners',
 * but those that the heap alone knows are freed (wefti_timer_drop).
 */
void wefti_timers_clear(struct m *mp, struct wefti_timers *ts);

/*
 * Can any timer here make a goroutine runnable? A channel's timer can't while nobody waits on its
 * channel. Takes no lock: for the deadlock check, when no M has a P.
 */
bool wefti_timers_matter(struct wefti_timers *ts);

/* Declared in sched/sched.h with their contracts: wefti_timer_arm, _disarm, _rearm. */
void wefti_timer_arm(struct m *mp, struct wefti_timer *t, int64_t when, int64_t period);
bool wefti_timer_disarm(struct m *mp, struct wefti_timer *t);
bool wefti_timer_rearm(struct m *mp, struct wefti_timer *t, int64_t when, int64_t period);

/* A timer that was never armed, or whose last user is gone, is made ready by this. */
static inline void wefti_timer_init(struct wefti_timer *t,
                                    bool (*fire)(struct m *, struct wefti_timer *, int64_t),
                                    void (*late)(struct m *, struct wefti_timer *), void *arg) {
    *t = (struct wefti_timer){.fire = fire, .late = late, .arg = arg};
}

/* What the moment d from now is: now for a d in the past, the end of time where the sum overflows.
 */
static inline int64_t wefti_timer_when(int64_t now, int64_t d) {
    if (d <= 0)
        return now;
    int64_t when;
    return __builtin_add_overflow(now, d, &when) ? INT64_MAX : when;
}

/* t is out of the heap and whoever took it out is done with it. */
static inline void wefti_timer_detach(struct wefti_timer *t) {
    store_release(&t->heap, NULL); /* pairs with the load in wefti_timer_disarm and _rearm */
}

/* ---- the seam: what layers above define ---- */

/* A moment earlier than all others of this P's appeared (sched/idle.c). No lock is held. */
void wefti_timer_earlier(struct m *mp, int64_t when);
/* fire: ends the wait t->seq of goroutine t->arg; looks at nothing else of t (sched/proc.c). */
bool wefti_timer_wakes(struct m *mp, struct wefti_timer *t, int64_t now);
/* fire: posts now to channel t->arg (time/timer.c); and does anybody wait on that channel? */
bool wefti_timer_posts(struct m *mp, struct wefti_timer *t, int64_t now);
bool wefti_timer_awaited(const struct wefti_timer *t);
/* Gives up the reference of a timer with a late that will never fire (time/timer.c). */
void wefti_timer_drop(struct m *mp, struct wefti_timer *t);

#endif
