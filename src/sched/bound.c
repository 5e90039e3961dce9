/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goroutines that run on one M only, and wait as that M's thread.
 *
 *   locked    between weft_lock_os_thread and the matching unlock; the M runs nobody else meanwhile,
 *             since the thread's state (locks it holds, __thread variables) is the goroutine's
 *   foreign   stands for a thread of the program's while that is in a weft call
 *   captive   was to give up its P in a call that may not move it to another thread
 *
 * Such a goroutine never leaves its stack: when it has to wait, its thread gives the P away and
 * sleeps. It is made runnable like any other; an M that picks it hands its own P to the bound M
 * (wefti_grant) and looks for other work.
 *
 * Park against grant: the word becomes PARKED before the P is given away and before the thread
 * sleeps. A waker may ready the goroutine from then on, and a picker may offer a P before the
 * thread has given away the first one; the offer waits in `offer` until the thread looks
 * (mthread.c).
 */
#include "../runq/runq.h"
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

/* Sleeps until a P is granted; at the end of the run a goroutine's M ends, a foreign thread gets
 * NULL. */
static bool sleep_bound(struct m *mp, struct g *gp) {
    count_blocked(mp);
    struct p *pp = wefti_sleep_for_p(mp);
    if (!pp) {
        if (gp->foreign)
            return false;
        wefti_abandon(mp);
    }
    wefti_acquire_p(mp, pp);
    store_relaxed(&gp->m, mp);
    store_relaxed(&gp->status, WEFTI_G_RUNNING);
    return true;
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
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    wefti_lock(&S.lock);
    bool up = load_relaxed(&S.phase) == WEFTI_UP;
    struct p *pp = up ? wefti_pidle_get() : NULL;
    if (up && !pp) {
        mp->blocked_counted = !gp->foreign;
        wefti_glist_push(&S.global, gp);
    }
    wefti_unlock(&S.lock);
    if (!up)
        return false;
    if (!pp)
        return sleep_bound(mp, gp);
    wefti_acquire_p(mp, pp);
    store_relaxed(&gp->m, mp);
    store_relaxed(&gp->status, WEFTI_G_RUNNING);
    return true;
}

struct m *wefti_requeue_bound(struct m *mp, struct g *gp) {
    mp->blocked_counted = !gp->foreign;
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    struct p *pp = wefti_release_p(mp);
    wefti_global_put(gp);
    wefti_hand_off(mp, pp);
    if (!sleep_bound(mp, gp))
        return wefti_foreign_wait_over(mp, gp);
    return mp;
}

struct m *wefti_captive(struct m *mp, struct g *gp) {
    bool bound = gp->bound != NULL;
    wefti_bind(gp, mp);
    gp->captive = 1;
    mp = wefti_requeue_bound(mp, gp);
    gp->captive = 0;
    if (!bound)
        wefti_bind(gp, NULL);
    return mp;
}
