/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a goroutine runs: a slice of 10 ms while others wait, and the early cut.
 *
 * The monitor ends slices (sysmon.c). It learns that one began when it sees another schedtick, which
 * may be late; for those that wait as a thread, hogs above all, the beginning is noted here, so that
 * their slices are exact.
 *
 * The early cut. When all Ps run goroutines that compute, a timer that comes due on one of them
 * would wait for the end of a slice. Instead the monitor sleeps until the timer is due and cuts the
 * slice short: the P looks at timers and descriptors, runs what they woke, and then the goroutine
 * goes on with the rest of its slice. For that it goes to the head of the global queue, not to its
 * tail: the order and the lengths of slices stay what they were, and so do the shares.
 *
 * What a computing goroutine may lose by that is bounded, whatever timers there are:
 *   - it runs for WEFTI_UNCUT at least before it is cut, and again after each cut;
 *   - and for four times as long as the cut before kept it away; half of that in its next slice, and
 *     so on. Goroutines that compute for long when a timer wakes them, or many of them, thus get a
 *     fifth of the time in this way; for more they wait for the ends of slices, like all others.
 * Only a goroutine that makes no switch is cut: a P that switches looks at its timers anyway.
 *
 * A timer that is armed and left to a hog is known to the monitor only when it looks, so when such
 * a slice begins the monitor is woken if it would sleep for too long.
 *
 * GODEBUG=earlycut=0 turns it off: then a timer waits for the end of the slice, 10 ms at most.
 *
 * Rejected: a cut that ends the slice. The hogs of the P that has the timer would get slices of a
 * millisecond and the other P's full ones.
 */
#include <stdint.h>

#include "../timer/timer.h"
#include "state.h"

#define KEEPS 4    /* times as long as it was away */
#define NEAR 50000 /* nanoseconds that the monitor may be late without being woken */

/* pp->slicewhen and the others are stored before schedtick: who sees the new one sees them. */
void wefti_slice_begins(struct p *pp, struct g *gp) {
    uint32_t tick = pp->schedtick + 1;
    int64_t now = os_nanotime(), away = gp->used ? now - gp->cut : gp->away / 2;
    int64_t uncut = KEEPS * away > WEFTI_UNCUT ? KEEPS * away : WEFTI_UNCUT;
    gp->away = away < WEFTI_SLICE ? (uint32_t)away : WEFTI_SLICE;
    store_relaxed(&pp->slicewhen, now - gp->used);
    store_relaxed(&pp->cutafter, now + uncut);
    store_relaxed(&pp->sliceswitch, load_relaxed(&pp->globaltick));
    gp->used = 0;
    store_release(&pp->slicetick, tick); /* pairs with slice_over in sysmon.c */
    store_relaxed(&pp->schedtick, tick);
    int64_t first = load_relaxed(&pp->timers->first);
    if (first == 0 || !wefti_knobs.earlycut || S.seeded)
        return;
    int64_t at = first > now + uncut ? first : now + uncut;
    fence_seqcst(); /* pairs with the one in look: it sees this slice, or this sees monuntil */
    if (at + NEAR < load_relaxed(&S.monuntil)) {
        store_seqcst(&S.monwake, 1);
        os_futex_wake(&S.monwake, 1);
    }
}

bool wefti_something_due(struct p *pp) {
    int64_t first = load_relaxed(&pp->timers->first);
    return (first != 0 && first <= os_nanotime()) || load_relaxed(&S.netready) ||
           load_relaxed(&S.procs_due) != 0;
}

static bool cut_short(struct p *pp, struct g *gp) {
    if (!wefti_something_due(pp))
        return false;
    gp->cut = os_nanotime();
    int64_t used = gp->cut - load_relaxed(&pp->cutbegan);
    if (used > 0 && used < S.slice - WEFTI_UNCUT)
        gp->used = (uint32_t)used;
    if (load_relaxed(&pp->globaltick) <= 1) /* what came due is looked at first */
        store_relaxed(&pp->globaltick, 2);
    return true;
}

bool wefti_gives_way(struct p *pp, struct g *gp, bool cut) {
    gp->used = 0;
    if (load_acquire(&S.stopping))
        return true;
    return cut ? cut_short(pp, gp) : wefti_others_wait(pp);
}
