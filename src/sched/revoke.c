/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A P offered to an M whose thread does not run goes on to others.
 *
 * A P is granted to an M that sleeps (mthread.c): to that of a bound goroutine whose turn it is, or
 * to an idle one. Any debugger may hold that thread alone: a tracer that attaches or interrupts it,
 * in non-stop mode. Then the P would stand still for as long, with what is in its queue, and a stop
 * of the world with it. So the monitor takes back an offer that was out for PATIENCE, if the kernel
 * says that the thread is asleep, or stopped. One that was woken and waits for a CPU is not asleep:
 * it comes, and its offer stays.
 *
 * The giver notes in the P to whom it is offered (`offered`), and whoever acquires the P clears that;
 * more it costs nobody. The monitor finds a P in state IDLE with such a note. The note is a hint. The
 * offer is what counts:
 *
 *   one wins    M takes its `offer` by exchange; the monitor takes it back by compare-and-swap of
 *               this P against NULL. Whose swap succeeds has the P, with all that its giver did before.
 *               Whatever the kernel said is no part of that: an offer taken back from an M that runs
 *               costs it a turn, no more. So it does no harm if that answer is old, the M not yet
 *               asleep, or this another offer of the same P to the same M
 *   revoked     is set under sched.lock, after the swap, in the same stretch, and park is set and
 *               woken after that, since an M that found no offer may sleep again before it sees
 *               `revoked`. The giver's own wake-up may come at any time, or never, when it is the
 *               giver that was stopped
 *   in between  M is nowhere: its goroutine is runnable, but in no queue, or M is idle, but not on the
 *               list. So nobody can offer it anything, retire it or find it twice, until M itself,
 *               on its thread, under the lock, clears `revoked` and stands in line again: the bound
 *               goroutine takes an idle P or goes to the tail of the global queue (sleep_here), an
 *               idle M to the list (wefti_stop_m). Were it queued at once, each that picks it
 *               would lose a millisecond, for hours
 *
 * Counts. The grant made M count as awake (nmblocked, or nmidle, fell), and so it counts until it is in
 * line again: a thread that a debugger holds may do anything later, so meanwhile there is no deadlock
 * report; M makes it when it goes to sleep. An idle M's offer may hold the right to spin, counted in
 * nmspinning: it goes on with the P to the next M. A bound M never spins.
 *
 * A pinned wake-up (mthread.c): pins are set before the offer and taken off by M alone, once it has
 * the P, or goes without. Between swap and `revoked` the monitor is in its place and takes it off.
 *
 * The end of a run sets the phase and `ended` under the lock: nothing is revoked after it, and an M
 * that was finds that before it looks at anything else. If it was set aside, it touches nothing of
 * the next run. A foreign thread's M is counted in `inside` all the time.
 *
 * Records of Ms stay mapped, but one that is used again is cleared, under the lock: what the monitor
 * reads of an M it reads under the lock, once it has seen there that the offer is out. While it
 * asks the kernel it holds nothing; in the worst case it asks about some other thread.
 *
 * Threads that do not come up at all are rescued by their record (mthread.c): they have no note.
 *
 * With a seed (GODEBUG=schedseed) nothing is revoked: that order is nobody's but the seed's. Nor
 * is it where the kernel does not tell (no /proc).
 *
 * Rejected: a time-out of the giver's. It has other things to do. Rejected: choosing another M when the
 * offer is made, by asking the kernel first: 15 microseconds for each, to find what happens to nobody.
 */
#include "state.h"

#define PATIENCE 1000000 /* nanoseconds for a thread to take the P that it was woken for */

int64_t wefti_offer_due(struct p *pp, int64_t now) {
    struct m *mp = load_relaxed(&pp->offered);
    uint32_t tick = load_relaxed(&pp->schedtick);
    if (pp->mon.offered != mp || pp->mon.offertick != tick) {
        pp->mon.offered = mp;
        pp->mon.offertick = tick;
        pp->mon.offerwhen = now;
    }
    return mp && !S.seeded ? pp->mon.offerwhen + PATIENCE : 0;
}

/* With the lock: pp waits to be taken by mp. */
static bool is_out(struct p *pp, struct m *mp) {
    return load_relaxed(&S.phase) == WEFTI_UP && load_relaxed(&mp->offer) == pp;
}

/* The M's thread; 0: pp is not offered to it, or not any more. */
static uint32_t thread_of(struct p *pp, struct m *mp) {
    wefti_lock(&S.lock);
    uint32_t tid = is_out(pp, mp) ? load_relaxed(&mp->tid) : 0;
    wefti_unlock(&S.lock);
    return tid;
}

/* With the lock. *spinning: whoever gets pp is to look for work, and counts so. */
static bool take_back(struct p *pp, struct m *mp, bool *spinning) {
    struct p *offered = pp;
    if (!is_out(pp, mp) || !cas_acqrel(&mp->offer, &offered, NULL)) /* pairs with sleep_for_p */
        return false;
    *spinning = load_relaxed(&mp->spinning);
    store_relaxed(&mp->spinning, 0);
    wefti_unpin(mp, 0);
    store_relaxed(&pp->offered, NULL);
    store_release(&mp->revoked, 1); /* pairs with wefti_sleep_for_p */
    return true;
}

bool wefti_revoke(struct m *self, struct p *pp, int64_t now) {
    struct m *mp = pp->mon.offered;
    uint32_t tid = thread_of(pp, mp);
    pp->mon.offerwhen = now; /* if it is not to be: it has as long again */
    if (tid == 0 || os_thread_state(tid, NULL) != OS_TASK_BLOCKED)
        return false;
    bool spinning = false;
    wefti_lock(&S.lock);
    bool mine = take_back(pp, mp, &spinning);
    wefti_unlock(&S.lock);
    if (!mine)
        return false;
    store_seqcst(&mp->park, 1); /* pairs with the swap in wefti_sleep_for_p */
    os_futex_wake(&mp->park, 1);
    if (spinning)
        wefti_start_m(pp, true);
    else
        wefti_hand_off(self, pp);
    return true;
}
