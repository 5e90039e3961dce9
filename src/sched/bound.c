/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goroutines that run on one M only, and wait as that M's thread.
 *
 *   locked    between weft_lock_os_thread and the matching unlock; the M runs nobody else meanwhile,
 *             since the thread's state (locks it holds, __thread variables) is the goroutine's
 *   foreign   stands for a thread of the program's while that is in a weft call
 *   captive   was to give up its P in a call that may not move it to another thread, or in the middle
 *             of its own code (preempt.c)
 *
 * Such a goroutine never leaves its stack: when it has to wait, its thread gives the P away and
 * sleeps. It is made runnable like any other; an M that picks it hands its own P to the bound M
 * (wefti_grant) and looks for other work.
 *
 * Whose turn it is (hand_on). One that gives its P up for a turn of others looks for the next in
 * line itself, and if that one is bound, too, its M gets the P at once: no third thread is woken,
 * and none need exist. In line are first those in the P's own queue, then the global queue, to
 * whose tail the caller goes; but when as many turns went to the own queue as it had entries
 * (rounds), the global queue's head comes first, so nobody there waits for ever. Anything else (an
 * overdue timer, ready descriptors, another GOMAXPROCS) is for an ordinary M, which searches as
 * ever.
 *
 * Park against grant: the word becomes PARKED before the P is given away and before the thread
 * sleeps. A waker may ready the goroutine from then on, and a picker may offer a P before the
 * thread has given away the first one; the offer waits in `offer` until the thread looks
 * (mthread.c).
 */
#include "../runq/runq.h"
#include "../timer/timer.h"
#include "state.h"

static void count_blocked(struct m *mp) {
    if (mp->curg->foreign)
        return;
    wefti_lock(&S.lock);
    if (load_relaxed(&S.phase) == WEFTI_UP)
        wefti_check_deadlock(1);
    add_seqcst(&S.nmblocked, 1);
    wefti_unlock(&S.lock);
}

/* A captive goes on: for the monitor it is the same stretch of work as before (observe/stall.c). */
static void note_resumed(struct m *mp, struct p *pp) {
    struct wefti_stretch *r = &mp->resumed;
    store_relaxed(&r->p, pp);
    store_relaxed(&r->schedtick, pp->schedtick);
    store_relaxed(&r->globaltick, load_relaxed(&pp->globaltick)); /* sysmon writes it, too */
    store_relaxed(&r->yields, pp->yields);
}

static void go_on(struct m *mp, struct g *gp, struct p *pp) {
    wefti_acquire_p(mp, pp);
    wefti_slice_begins(pp, gp);
    if (gp->captive)
        note_resumed(mp, pp);
    store_relaxed(&gp->m, mp);
    store_relaxed(&gp->status, WEFTI_G_RUNNING);
}

/* An idle P, or a place in the global queue; *up: whether the run goes on. */
static struct p *idle_p_or_queue(struct m *mp, struct g *gp, bool *up) {
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    wefti_lock(&S.lock);
    *up = load_relaxed(&S.phase) == WEFTI_UP && !load_relaxed(&mp->attn.is.ended);
    store_relaxed(&mp->revoked, 0);
    struct p *pp = *up ? wefti_pidle_get() : NULL;
    if (*up && !pp) {
        mp->blocked_counted = !gp->foreign;
        wefti_glist_push(&S.global, gp);
    }
    wefti_unlock(&S.lock);
    return pp;
}

/* Sleeps until a P is granted; false: the run is over. */
static bool sleep_here(struct m *mp, struct g *gp) {
    bool up;
    struct p *pp;
    do {
        count_blocked(mp);
        pp = wefti_sleep_for_p(mp);
        up = pp || load_relaxed(&mp->revoked);
        if (!pp && up)
            pp = idle_p_or_queue(mp, gp, &up); /* its turn went by (revoke.c) */
    } while (up && !pp);
    if (pp)
        go_on(mp, gp, pp);
    return up;
}

/* The same, but at the end of the run a goroutine's M ends; a foreign thread gets false. */
static bool sleep_bound(struct m *mp, struct g *gp) {
    if (sleep_here(mp, gp))
        return true;
    if (!gp->foreign)
        wefti_abandon(mp);
    return false;
}

/* Outside a run nobody will ever end a wait. */
static struct m *wait_outside(struct m *mp, struct g *gp) {
    if (!(gp->wait & WEFTI_CANCELLABLE))
        wefti_fatal(
            "a call would wait for ever: no runtime is running (weft_run or weft_start first)");
    gp->wait = 0;
    gp->wake = WEFTI_WAKE_CANCELED;
    return mp;
}

struct m *wefti_wait_bound(struct m *mp, struct g *gp) {
    if (mp->outside)
        return wait_outside(mp, gp);
    store_relaxed(&gp->status, WEFTI_G_WAITING);
    mp->blocked_counted = !gp->foreign;
    uint64_t w = load_acquire(&gp->wait); /* pairs with the winner's swap (proc.c) */
    for (;;) {
        if (w & WEFTI_NOTIFIED) {
            mp->blocked_counted = 0;
            store_relaxed(&gp->wait, 0);
            store_relaxed(&gp->status, WEFTI_G_RUNNING);
            return mp;
        }
        if (cas_acqrel(&gp->wait, &w,
                       (w & ~(uint64_t)WEFTI_PARKING) | WEFTI_PARKED)) /* pairs with wefti_claim */
            break;
    }
    wefti_hand_off(mp, wefti_release_p(mp));
    if (!sleep_bound(mp, gp))
        return wefti_foreign_wait_over(mp, gp);
    return mp;
}

bool wefti_need_p(struct m *mp, struct g *gp) {
    bool up;
    struct p *pp = idle_p_or_queue(mp, gp, &up);
    if (pp)
        go_on(mp, gp, pp);
    return up && (pp || sleep_bound(mp, gp));
}

/* All of it atomic: in the handler of a stray-to-be, where ThreadSanitizer sees no order with those
 * who get the P next. */
bool wefti_work_waits(struct p *pp) {
    int64_t first = load_relaxed(&pp->timers->first);
    return load_relaxed(&S.global.n) != 0 || !wefti_runq_empty(&pp->runq) ||
           load_relaxed(&pp->yielded.n) != 0 || (first != 0 && first <= wefti_coarse());
}

bool wefti_others_wait(struct p *pp) {
    return wefti_work_waits(pp) || load_relaxed(&S.netready) || load_relaxed(&S.procs_due) != 0;
}

/* The head of the own queue if it is bound; left where it is otherwise. */
static struct g *bound_in_own(struct p *pp) {
    bool front;
    struct g *gp = wefti_runq_get(&pp->runq, pp->single, &front);
    if (gp && !gp->bound) {
        wefti_runq_put_next(&pp->runq, gp, pp->single); /* that was empty, or is where it was */
        gp = NULL;
    }
    return gp;
}

/* With the lock: the head of the global queue if it is bound; otherwise the M that gets the P is to
 * begin there. */
static struct g *bound_in_global(struct p *pp) {
    if (!S.global.first || !S.global.first->bound) {
        wefti_begin_in_global(pp);
        return NULL;
    }
    pp->rounds = wefti_runq_len(&pp->runq) + 1;
    return wefti_glist_pop(&S.global);
}

void wefti_begin_in_global(struct p *pp) {
    pp->rounds = wefti_runq_len(&pp->runq) + 1;
    if (load_relaxed(&S.global.n) == 0)
        return;
    store_relaxed(&pp->globaltick, 1); /* search in idle.c does the rest */
    pp->turn = 0;
}

/* gp, whose M is mp, to the tail of the global queue, or, when its slice goes on, to its head; its P
 * to whose turn it is. */
static void hand_on(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    store_relaxed(&pp->turns, pp->turns + 1);
    bool own = pp->rounds > 0 && !wefti_runq_empty(&pp->runq), search = wefti_something_due(pp);
    struct g *next = own && !search ? bound_in_own(pp) : NULL;
    if (own)
        pp->rounds--;
    if (!gp->used)
        pp->ownsince = os_nanotime();
    mp->blocked_counted = !gp->foreign;
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    wefti_release_p(mp);
    wefti_lock(&S.lock);
    wefti_flush_yielded(pp);
    if (!own && !search && !S.stopping)
        next = bound_in_global(pp);
    if (next && S.stopping) {
        wefti_glist_push(&S.global, next);
        next = NULL;
    }
    wefti_line_up(gp);
    wefti_unlock(&S.lock);
    mp->leaving = 1;
    if (next)
        wefti_grant(next->bound, pp);
    else
        wefti_hand_off(mp, pp);
    mp->leaving = 0;
    if (load_relaxed(&S.npidle) != 0)
        wefti_wakep(mp);
}

struct m *wefti_requeue_bound(struct m *mp, struct g *gp) {
    hand_on(mp, gp);
    if (!sleep_bound(mp, gp))
        return wefti_foreign_wait_over(mp, gp);
    return mp;
}

struct m *wefti_captive(struct m *mp, struct g *gp) {
    bool bound = gp->bound != NULL;
    wefti_bind(gp, mp);
    store_relaxed(&gp->captive, 1);
    mp = wefti_requeue_bound(mp, gp);
    store_relaxed(&gp->captive, 0);
    if (!bound)
        wefti_bind(gp, NULL);
    return mp;
}

bool wefti_captive_here(struct m *mp, struct g *gp, bool has_p) {
    bool bound = gp->bound != NULL, up = true;
    struct p *pp = NULL;
    wefti_bind(gp, mp);
    store_relaxed(&gp->captive, 1);
    if (has_p)
        hand_on(mp, gp);
    else if ((pp = idle_p_or_queue(mp, gp, &up)) != NULL)
        go_on(mp, gp, pp);
    if (up && !pp)
        up = sleep_here(mp, gp);
    if (!up) /* it stays bound: it may stand in the queue still, and an M that began its search before
                the run was over must not take it for one that runs anywhere */
        return false;
    store_relaxed(&gp->captive, 0);
    if (!bound)
        wefti_bind(gp, NULL);
    return true;
}
