/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-write lock: Go's. Many readers or one writer; a writer that waits holds new readers back, so
 * neither side starves.
 *
 *   w         a mutex that writers hold, from before they announce themselves until the end
 *   readers   readers that hold the lock or were told to wait; minus BIAS while a writer has
 *             announced itself (atomic, anybody's)
 *   leaving   readers that the announced writer waits for         (lock)
 *   pad       `owed`: readers that an ending writer let in before they had queued   (lock)
 *   r queue   readers that wait for the writer to end             (lock)
 *   w queue   the announced writer, waiting for `leaving` to be 0 (lock)
 *
 * A reader adds 1; if the sum is not negative it is in, and that is all: no runtime, no lock. A
 * negative one means that a writer has announced itself: the reader takes `lock` and queues, or
 * takes one of the places owed. A writer holds w and subtracts BIAS; if there were no readers it is
 * in. Otherwise those are the ones to leave, each takes 1 from `leaving` under `lock`, and the last
 * wakes the writer.
 *
 * `lock` is held from a writer's announcement to its push, and from its end (BIAS added) to the
 * last claim. That orders, one pair at a time:
 *   - reader leaves / writer announces. A reader whose subtraction comes out negative sees that
 *     the writer has announced itself; it gets `lock` after the writer's push and finds `leaving`
 *     set and the writer queued. One whose subtraction comes first was not counted.
 *   - reader comes / writer ends. The reader's sum was negative, but the writer ends before the
 *     reader has `lock`. The writer counts it all the same (readers without BIAS) and finds it
 *     missing in the queue: the difference is owed. The reader, or another that comes first, takes
 *     the place. So as many go in as were counted, also when the next writer has announced itself
 *     meanwhile and waits for them: it waits for a number, not for persons, as Go's semaphore does.
 *   - writer / writer: w.
 *   - try-write-lock / all: it has w, then moves readers from 0 to -BIAS in one step or gives w
 *     back. There is nobody to leave, so `lock` is not needed; nor is it in an end that finds
 *     exactly -BIAS, for then no reader has come that might be queued or owed.
 * Waits here have no time-out and can't be cancelled, so each claim succeeds; the claiming loops
 * would skip a lost one all the same.
 *
 * The last touch: a reader's is its subtraction, or the unlock of `lock`, before which no writer
 * can go on. A writer's is the unlock of w: so a writer may free the lock that it took after
 * another. A reader may not free a lock that a writer has just left, for readers come in before
 * that writer has given back w.
 */
#include "sync.h"

#define BIAS (1 << 30)

_Static_assert(sizeof(weft_rwmutex) == 72, "weft_rwmutex is part of the binary interface");
WEFTI_SYNC_QUEUE_AT(weft_rwmutex, rhead, rtail);
WEFTI_SYNC_QUEUE_AT(weft_rwmutex, whead, wtail);

static inline struct wefti_waitq *read_queue(weft_rwmutex *rw) {
    return wefti_sync_queue(&rw->rhead);
}

static inline struct wefti_waitq *write_queue(weft_rwmutex *rw) {
    return wefti_sync_queue(&rw->whead);
}

static inline uint32_t *owed(weft_rwmutex *rw) {
    return &rw->pad;
}

/* ---- readers ---- */

static __attribute__((noinline)) void rlock_slow(weft_rwmutex *rw) {
    struct m *mp = wefti_enter_park();
    wefti_plock(mp, &rw->lock, WEFTI_RANK_SYNC);
    if (*owed(rw) > 0) {
        --*owed(rw);
        wefti_punlock(mp, &rw->lock, WEFTI_RANK_SYNC);
    } else {
        struct g *gp = mp->curg;
        wefti_waitq_push(read_queue(rw),
                         wefti_sync_wait_begin(mp, rw, WEFTI_WAIT_RWMUTEX_RLOCK, false));
        wefti_punlock(mp, &rw->lock, WEFTI_RANK_SYNC);
        mp = wefti_wait(mp, gp);
    }
    wefti_leave(mp);
}

void weft_rwmutex_rlock(weft_rwmutex *rw) {
    /* Acquire pairs with the step in which the last writer took BIAS back. */
    if (unlikely(__atomic_add_fetch(&rw->readers, 1, __ATOMIC_ACQUIRE) < 0))
        rlock_slow(rw);
}

bool weft_rwmutex_tryrlock(weft_rwmutex *rw) {
    int32_t old = load_relaxed(&rw->readers);
    while (old >= 0)
        if (cas_acquire(&rw->readers, &old, old + 1)) /* pairs with the step that took BIAS back */
            return true;
    return false;
}

static __attribute__((noinline)) void runlock_slow(weft_rwmutex *rw, int32_t now) {
    if (now == -1 || now == -BIAS - 1)
        wefti_fatal("sync: RUnlock of unlocked RWMutex");
    struct m *mp = wefti_enter();
    struct sudog *writer = NULL;
    wefti_plock(mp, &rw->lock, WEFTI_RANK_SYNC);
    if (--rw->leaving == 0)
        writer = wefti_sync_claim_first(mp, write_queue(rw));
    wefti_punlock(mp, &rw->lock, WEFTI_RANK_SYNC); /* last touch */
    if (writer)
        wefti_sync_ready(mp, writer);
    wefti_leave(mp);
}

void weft_rwmutex_runlock(weft_rwmutex *rw) {
    /* Release pairs with the writer's acquiring step on readers, or `lock` orders the two. */
    int32_t now = __atomic_sub_fetch(&rw->readers, 1, __ATOMIC_RELEASE);
    if (unlikely(now < 0))
        runlock_slow(rw, now);
}

/* ---- writers ---- */

/* Takes the lock if there is no reader. The caller holds w. */
static inline bool take_unread(weft_rwmutex *rw) {
    int32_t none = 0;
    return cas_acquire(&rw->readers, &none, -BIAS); /* pairs with the readers' subtractions */
}

static __attribute__((noinline)) void lock_slow(weft_rwmutex *rw) {
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    wefti_plock(mp, &rw->lock, WEFTI_RANK_SYNC);
    /* Acquire pairs with the subtractions of the readers that were there and left in time. */
    int32_t there = __atomic_fetch_sub(&rw->readers, BIAS, __ATOMIC_ACQUIRE);
    rw->leaving = there;
    if (there != 0)
        wefti_waitq_push(write_queue(rw),
                         wefti_sync_wait_begin(mp, rw, WEFTI_WAIT_RWMUTEX_LOCK, false));
    wefti_punlock(mp, &rw->lock, WEFTI_RANK_SYNC);
    if (there != 0)
        mp = wefti_wait(mp, gp);
    wefti_leave(mp);
}

void weft_rwmutex_lock(weft_rwmutex *rw) {
    wefti_mutex_lock(&rw->w, WEFTI_WAIT_RWMUTEX_LOCK);
    if (unlikely(!take_unread(rw)))
        lock_slow(rw);
}

bool weft_rwmutex_trylock(weft_rwmutex *rw) {
    if (!weft_mutex_trylock(&rw->w))
        return false;
    if (take_unread(rw))
        return true;
    weft_mutex_unlock(&rw->w);
    return false;
}

static __attribute__((noinline)) void unlock_slow(weft_rwmutex *rw) {
    if (load_relaxed(&rw->readers) >= 0)
        wefti_fatal("sync: Unlock of unlocked RWMutex");
    struct m *mp = wefti_enter();
    wefti_plock(mp, &rw->lock, WEFTI_RANK_SYNC);
    /* Release pairs with the acquire of readers that come from now on. */
    int32_t in = __atomic_add_fetch(&rw->readers, BIAS, __ATOMIC_RELEASE);
    struct sudog *list = wefti_sync_claim_all(mp, read_queue(rw));
    for (struct sudog *sg = list; sg != NULL; sg = sg->next)
        in--;
    *owed(rw) += (uint32_t)in;
    wefti_punlock(mp, &rw->lock, WEFTI_RANK_SYNC);
    wefti_mutex_unlock(mp, &rw->w); /* last touch */
    wefti_sync_ready_list(mp, list);
    wefti_leave(mp);
}

void weft_rwmutex_unlock(weft_rwmutex *rw) {
    int32_t alone = -BIAS;
    /* Release pairs with the acquire of readers that come from now on. */
    if (likely(cas_release(&rw->readers, &alone, 0)))
        weft_mutex_unlock(&rw->w); /* last touch */
    else
        unlock_slow(rw);
}
