/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting semaphore: permits, and a queue of those that want some, first in first out.
 *
 *   count   free permits                                         (lock)
 *   queue   waiters; sudog.word[0] is how many permits one wants (lock)
 *
 * Invariant, when nobody holds `lock`: the first waiter wants more than count, or its wait has been
 * claimed by its context's end and it is on its way to leave. Whoever changes count upwards, or
 * takes away the first waiter, restores it (serve): from the front, waiters are granted what they
 * want as long as that is there. A grant is: count goes down, under `lock`, by the one that won the
 * claim. So a permit is never with a waiter that gave up, and never with none.
 *
 * A newcomer takes what is free only if nobody queues, however few it wants: a large request would
 * starve otherwise. Taking 0 always succeeds at once. Nobody knows a total: what is released need
 * not have been acquired, and a request for more than there will ever be waits.
 *
 *   - acquire / release. Both decide under `lock`: either the permits are there, or the waiter is.
 *   - cancel / release. One claim wins. The release won: acquire succeeds, although the context
 *     has ended. The cancel won: serve pops the waiter as lost, takes no permit for it and goes on.
 *   - cancel of the first / the others. The first wants 5, 3 are free, the next wants 1: no release
 *     may ever come, so the first serves the queue when it leaves; also when it was popped
 *     already, which costs nothing then.
 *   - cancel / begin of the wait: wefti_wait looks at the context again once the wait is published.
 *
 * While a cancelled first waiter is on its way, newcomers queue behind it and try_acquire fails;
 * they would have before, too.
 *
 * The last touch: the unlock of `lock`, in every call; in a release it is before the readies.
 *
 * Rejected: taking free permits without the lock, by an atomic step on count. It needs "somebody
 * queues" in the same word, and permits in one's hand while one waits for a P are hard to cancel.
 */
#include "sync.h"

_Static_assert(sizeof(weft_sem) == 32, "weft_sem is part of the binary interface");
WEFTI_SYNC_QUEUE_AT(weft_sem, head, tail);

static inline struct wefti_waitq *queue(weft_sem *s) {
    return wefti_sync_queue(&s->head);
}

/* Under the lock: takes n if they are free and nobody has the better right. */
static bool take(weft_sem *s, uint64_t n) {
    if (n != 0 && (queue(s)->first != NULL || s->count < n))
        return false;
    s->count -= n;
    return true;
}

/* Under the lock: grants from the front; the list of those that got theirs. */
static struct sudog *serve(struct m *mp, weft_sem *s) {
    struct sudog *list = NULL, **end = &list, *sg;
    while ((sg = queue(s)->first) != NULL && sg->word[0] <= s->count) {
        uint64_t wanted = sg->word[0]; /* the sudog is another's if the claim fails */
        wefti_waitq_remove(queue(s), sg);
        if (!wefti_claim(mp, sg->g, sg->ticket))
            continue;
        s->count -= wanted;
        *end = sg;
        end = &sg->next;
    }
    *end = NULL;
    return list;
}

/* Cancelled: leaves the queue, and lets those go that it held up. */
static void leave_queue(struct m *mp, weft_sem *s, struct sudog *sg) {
    wefti_plock(mp, &s->lock, WEFTI_RANK_SYNC);
    if (sg->queued)
        wefti_waitq_remove(queue(s), sg);
    struct sudog *list = serve(mp, s);
    wefti_punlock(mp, &s->lock, WEFTI_RANK_SYNC);
    wefti_sync_ready_list(mp, list);
}

static bool fail(struct m *mp, int err) {
    *mp->errnop = err;
    wefti_leave(mp);
    return false;
}

void weft_sem_init(weft_sem *s, uint64_t n) {
    *s = (weft_sem){.count = n};
}

bool weft_sem_acquire(weft_sem *s, uint64_t n) {
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    wefti_plock(mp, &s->lock, WEFTI_RANK_SYNC);
    bool taken = take(s, n);
    int err = taken ? 0 : wefti_ambient_err(gp);
    struct sudog *sg = NULL;
    if (!taken && err == 0) {
        sg = wefti_sync_wait_begin(mp, s, WEFTI_WAIT_SEMACQUIRE, true);
        sg->word[0] = n;
        wefti_waitq_push(queue(s), sg);
    }
    wefti_punlock(mp, &s->lock, WEFTI_RANK_SYNC);
    if (err != 0)
        return fail(mp, err);
    if (sg != NULL) {
        mp = wefti_wait(mp, gp);
        if (gp->wake != WEFTI_WAKE_OK) {
            leave_queue(mp, s, sg);
            return fail(mp, wefti_ambient_err(gp) ? wefti_ambient_err(gp)
                                                  : ECANCELED); /* or the run ended */
        }
    }
    wefti_leave(mp);
    return true;
}

bool weft_sem_try_acquire(weft_sem *s, uint64_t n) {
    struct m *mp = wefti_enter();
    wefti_plock(mp, &s->lock, WEFTI_RANK_SYNC);
    bool taken = take(s, n);
    wefti_punlock(mp, &s->lock, WEFTI_RANK_SYNC);
    if (!taken)
        return fail(mp, EAGAIN);
    wefti_leave(mp);
    return true;
}

void weft_sem_release(weft_sem *s, uint64_t n) {
    struct m *mp = wefti_enter();
    wefti_plock(mp, &s->lock, WEFTI_RANK_SYNC);
    bool fits = !__builtin_add_overflow(s->count, n, &s->count);
    struct sudog *list = serve(mp, s);
    wefti_punlock(mp, &s->lock, WEFTI_RANK_SYNC); /* last touch */
    if (!fits)
        wefti_fatal("weft_sem_release: more than 2^64 - 1 permits");
    wefti_sync_ready_list(mp, list);
    wefti_leave(mp);
}
