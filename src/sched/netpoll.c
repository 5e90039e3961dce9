/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller among the Ms: who asks it, and when.
 *
 * Goroutines that wait for descriptors are counted (netwaiters). While there are any, events are
 * looked for
 *   - without blocking, by an M with a P that found no work in the queues (idle.c, search);
 *   - blocking, by one idle M, the keeper (idle.c), which also keeps the time. It waits without
 *     taking events, then gets a P and collects them as above. When all Ps are taken it leaves a
 *     note, `netready`, for those who have them, and keeps no more: the next M to run out of work
 *     does;
 *   - by the monitor, when nobody did for 10 ms: it only asks whether there are any and leaves the
 *     same note.
 * The note is heeded at the next switch, as a stop of the world is.
 *
 * No event is lost. Events stay with the poller until one who holds a P takes them, and he delivers
 * them before he does anything else. A descriptor is registered, and its waiter queued, before the
 * waiter is counted; counting is followed by a full fence and a look for the keeper and for idle Ps
 * (as arming a timer is): an M that gives up its P, fences and reads the count sees the waiter and
 * keeps watch; or its P was idle before the waiter looked, and the waiter wakes an M.
 */
#include "netpoll.h"
#include "state.h"

#define BATCH 64
#define UNSEEN 10000000 /* nanoseconds until the monitor looks */

int wefti_netpoll_open(void) {
    if (likely(wefti_poll_is_open()))
        return 0;
    wefti_lock(&S.lock);
    int err = wefti_poll_is_open() ? 0 : wefti_poll->open();
    if (!err)
        store_seqcst(&wefti_poll_open, 1); /* pairs with the keeper's look at where to sleep */
    wefti_unlock(&S.lock);
    if (err)
        return err;
    wefti_wake_keeper(); /* out of the futex, into the poller */
    wefti_poll
        ->ring(); /* who woke one that was on its way there, before it was open, rang no bell */
    return 0;
}

void wefti_netpoll_close(bool forked) {
    if (wefti_poll_is_open())
        wefti_poll->close();
    store_relaxed(&wefti_poll_open, 0);
    wefti_fd_forget_all(forked);
}

uint64_t wefti_netpoll_wait_begins(struct m *mp) {
    add_seqcst(&S.netwaiters, 1); /* full fence; pairs with the one in sleep_without_work */
    wefti_need_keeper(mp);
    return S.run;
}

void wefti_netpoll_wait_ends(uint64_t run) {
    if (run == S.run) /* a thread's wait may have ended with its run, and this is the next */
        add_relaxed(&S.netwaiters, (uint32_t)-1);
}

/* With a P. True when something may have become runnable. */
bool wefti_netpoll(struct m *mp) {
    uint32_t free = 0;
    if (!wefti_poll_is_open() || !cas_acquire(&S.polling, &free, 1)) /* one at a time is enough */
        return false;
    struct os_event events[BATCH];
    store_relaxed(&S.netready, 0);
    int n = wefti_poll->collect(events, BATCH);
    if (n == BATCH)
        store_relaxed(&S.netready, 1);
    store_relaxed(&S.polled, load_relaxed(&S.now));
    store_release(&S.polling, 0); /* pairs with the swap above */
    for (int i = 0; i < n; i++)
        wefti_fd_event(mp, events[i].token, events[i].ready);
    return n > 0;
}

bool wefti_netpoll_due(void) {
    return load_relaxed(&S.netwaiters) != 0 &&
           (!load_relaxed(&S.timekeeper) || load_relaxed(&S.netready));
}

/* By the monitor. True: events wait that nobody has looked at for long, and the note is left. */
bool wefti_netpoll_neglected(int64_t now) {
    if (load_relaxed(&S.netwaiters) == 0 || load_relaxed(&S.timekeeper) ||
        now - load_relaxed(&S.polled) < UNSEEN || !wefti_poll_is_open())
        return false;
    store_relaxed(&S.polled, now);
    if (!wefti_poll->wait(0))
        return false;
    store_relaxed(&S.netready, 1);
    return true;
}
