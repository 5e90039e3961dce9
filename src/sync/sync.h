/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the waiting objects of this folder share: their queues, and waking from them.
 *
 * Every object keeps its queue in itself, in two pointers that the public header shows as void *:
 * `head` and `tail` together are a struct wefti_waitq. The object's `lock`, a P-lock of rank
 * WEFTI_RANK_SYNC, guards it. No two locks of that rank are ever held at once.
 *
 * Waking takes two steps. Under the lock waiters are claimed: the ones that were won leave the
 * queue as a list, linked by `next`, which is the winner's from the claim on. After the unlock they
 * are readied. So no P-lock is held while the scheduler works, and the unlock is over before any
 * woken goroutine can run and give the object's memory back. A waiter that another had claimed
 * (its timer, its context) leaves the queue here too, and will find itself not queued.
 *
 * The last touch. An object may lie on a stack that ends, or in a block that is freed, as soon as
 * its user knows that nobody is in a call on it, and a user may know that from the call's effect:
 * a mutex taken, a wait group at zero. So each release names its last touch of the object, and it
 * comes before, or is, the step that lets anybody else return.
 */
#ifndef WEFTI_SYNC_SYNC_H
#define WEFTI_SYNC_SYNC_H

#include <weft/sync.h>

#include "../sched/sched.h"

/*
 * The queue behind an object's head and tail. User code wrote the zeros as void *; the barrier
 * keeps a compiler that sees both sides (LTO) from ordering by type.
 */
static inline struct wefti_waitq *wefti_sync_queue(void **head) {
    compiler_barrier();
    return (struct wefti_waitq *)(void *)head;
}

#define WEFTI_SYNC_QUEUE_AT(type, first, second)                                                   \
    _Static_assert(offsetof(type, second) ==                                                       \
                       offsetof(type, first) + offsetof(struct wefti_waitq, last),                 \
                   #type " does not hold a queue")

/* Publishes a wait on `object` and fills its sudog; the caller queues it under the same lock. */
static inline struct sudog *wefti_sync_wait_begin(struct m *mp, void *object,
                                                  enum wefti_reason reason, bool cancellable) {
    struct g *gp = mp->curg;
    struct sudog *sg = &gp->sudog;
    sg->ticket = wefti_wait_begin(mp, gp, reason, cancellable);
    sg->g = gp;
    sg->object = object;
    sg->flag = false;
    return sg;
}

/* Claims the first waiter that can still be won and takes it off; lost ones before it go too. */
static inline struct sudog *wefti_sync_claim_first(struct m *mp, struct wefti_waitq *q) {
    struct sudog *sg;
    while ((sg = wefti_waitq_pop(q)) != NULL)
        if (wefti_claim(mp, sg->g, sg->ticket))
            break;
    return sg;
}

/* Empties the queue; the list of those that were won, first come first. */
static inline struct sudog *wefti_sync_claim_all(struct m *mp, struct wefti_waitq *q) {
    struct sudog *list = NULL, **end = &list, *sg;
    while ((sg = wefti_sync_claim_first(mp, q)) != NULL) {
        *end = sg;
        end = &sg->next;
    }
    *end = NULL;
    return list;
}

/* Readies one claimed waiter: the next to run here. */
static inline void wefti_sync_ready(struct m *mp, struct sudog *sg) {
    sg->g->wake = WEFTI_WAKE_OK;
    wefti_ready(mp, sg->g);
}

/* Readies a list of claimed waiters; several go to the tail of the run queue, in their order. */
static inline void wefti_sync_ready_list(struct m *mp, struct sudog *list) {
    if (list != NULL && list->next == NULL) {
        wefti_sync_ready(mp, list);
        return;
    }
    while (list != NULL) {
        struct sudog *next = list->next; /* read first: readied, the sudog is its goroutine's */
        list->g->wake = WEFTI_WAKE_OK;
        wefti_ready_tail(mp, list->g);
        list = next;
    }
}

/* Parks in a wait already queued, until readied or `deadline` (NULL: none). The M it is on then. */
static inline struct m *wefti_sync_wait_until(struct m *mp, struct g *gp,
                                              const weft_time *deadline) {
    return wefti_wait_until(mp, gp, deadline == NULL ? 0 : *deadline > 0 ? *deadline : 1);
}

/* The mutex from inside: lock with a reason to show, and unlock by one who is in the runtime. */
void wefti_mutex_lock(weft_mutex *mutex, enum wefti_reason reason);
void wefti_mutex_unlock(struct m *mp, weft_mutex *mutex);
bool wefti_mutex_is_locked(weft_mutex *mutex);

#endif
