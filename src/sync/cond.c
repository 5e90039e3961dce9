/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Condition: a queue of waits, first in first out, that only signal and broadcast end.
 *
 * A waiter publishes its wait and queues before it unlocks the mutex, and parks after it. So who
 * gets the mutex after it, and signals, finds it queued: unlock and park are one step to others.
 * In between the goroutine is PARKING, which is enough to be claimed and readied; and it is in the
 * runtime all the time, so the unlock is the inner one. The queue's lock and the mutex's are never
 * held at once.
 *
 *   - wait / signal. A signal pops and claims under `lock`. It comes before the push: it was not
 *     for this waiter, which held the mutex then. After: it wakes the waiter, or one before it.
 *   - time-out / signal. One claim wins. The timer won: the signal goes to the next waiter, so
 *     none is lost, and the waiter leaves the queue unless the signal popped it. The signal won:
 *     the wait was in time.
 *   - signal / signal, broadcast: `lock`; a waiter is popped once.
 * A wait that returns was signalled or timed out; nothing else can claim it (W16).
 *
 * The mutex is locked again outside, as by any caller: it may wait there, for the mutex's reason.
 *
 * The last touch: a signal's is the unlock of `lock`, before the ready; a waiter's is before the
 * mutex is unlocked, or, timed out, the unlock of `lock` when it leaves the queue.
 *
 * Rejected: moving waiters to the mutex's queue at a broadcast. It spares switches only if they
 * would run before the mutex is free, and the mutex would need a waiter that never tried.
 */
#include "sync.h"

_Static_assert(sizeof(weft_cond) == 24, "weft_cond is part of the binary interface");
WEFTI_SYNC_QUEUE_AT(weft_cond, head, tail);

static inline struct wefti_waitq *queue(weft_cond *c) {
    return wefti_sync_queue(&c->head);
}

/* Timed out: leaves the queue, unless a signal that lost the claim has seen to that. */
static void leave_queue(struct m *mp, weft_cond *c, struct sudog *sg) {
    wefti_plock(mp, &c->lock, WEFTI_RANK_SYNC);
    if (sg->queued)
        wefti_waitq_remove(queue(c), sg);
    wefti_punlock(mp, &c->lock, WEFTI_RANK_SYNC);
}

static bool wait(weft_cond *c, weft_mutex *mutex, const weft_time *deadline) {
    if (!wefti_mutex_is_locked(mutex)) /* said here, where no wait is published yet */
        wefti_fatal("sync: unlock of unlocked mutex");
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    wefti_plock(mp, &c->lock, WEFTI_RANK_SYNC);
    struct sudog *sg = wefti_sync_wait_begin(mp, c, WEFTI_WAIT_COND_WAIT, false);
    wefti_waitq_push(queue(c), sg);
    wefti_punlock(mp, &c->lock, WEFTI_RANK_SYNC);
    wefti_mutex_unlock(mp, mutex);
    mp = wefti_sync_wait_until(mp, gp, deadline);
    bool signalled = gp->wake == WEFTI_WAKE_OK;
    if (!signalled) {
        leave_queue(mp, c, sg);
        *mp->errnop = ETIMEDOUT; /* and the lock below leaves it so */
    }
    wefti_leave(mp);
    weft_mutex_lock(mutex);
    return signalled;
}

void weft_cond_wait(weft_cond *c, weft_mutex *mutex) {
    wait(c, mutex, NULL);
}

bool weft_cond_timedwait(weft_cond *c, weft_mutex *mutex, weft_time deadline) {
    return wait(c, mutex, &deadline);
}

void weft_cond_signal(weft_cond *c) {
    struct m *mp = wefti_enter();
    wefti_plock(mp, &c->lock, WEFTI_RANK_SYNC);
    struct sudog *sg = wefti_sync_claim_first(mp, queue(c));
    wefti_punlock(mp, &c->lock, WEFTI_RANK_SYNC); /* last touch */
    if (sg)
        wefti_sync_ready(mp, sg);
    wefti_leave(mp);
}

void weft_cond_broadcast(weft_cond *c) {
    struct m *mp = wefti_enter();
    wefti_plock(mp, &c->lock, WEFTI_RANK_SYNC);
    struct sudog *list = wefti_sync_claim_all(mp, queue(c));
    wefti_punlock(mp, &c->lock, WEFTI_RANK_SYNC); /* last touch */
    wefti_sync_ready_list(mp, list);
    wefti_leave(mp);
}
