/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock for what an M without a P may touch: the scheduler's lists, the memory reserve, the stack
 * reserve.
 *
 * A three-state futex lock: 0 free, 1 held, 2 held and somebody may sleep. Critical sections are
 * some dozen instructions; a holder may be taken off the CPU by the kernel, so waiters spin a
 * little and then sleep.
 *
 * Ranks. A thread takes locks only in rising rank. Debug builds check it, for P-locks too
 * (rt/plock.h).
 */
#ifndef WEFTI_BASE_LOCK_H
#define WEFTI_BASE_LOCK_H

#include <stdint.h>

#include "atomic.h"

enum wefti_rank {
    WEFTI_RANK_RUN = 1, /* weft_run, weft_start, weft_gomaxprocs: one at a time */
    WEFTI_RANK_GROUP,
    WEFTI_RANK_SIGNAL, /* who wants which signals */
    WEFTI_RANK_CTX,    /* parent before child */
    WEFTI_RANK_TIMER,  /* one timer object */
    WEFTI_RANK_TIMERS, /* a P's heap */
    WEFTI_RANK_SYNC,   /* mutex, cond, semaphore queues … */
    WEFTI_RANK_FD,     /* one descriptor */
    WEFTI_RANK_CHAN,   /* several at once only in order of address (select) */
    WEFTI_RANK_SCHED,  /* wefti_sched.lock */
    WEFTI_RANK_STACK,
    WEFTI_RANK_GS,
    WEFTI_RANK_MEM,
};

struct wefti_lock {
    uint32_t word; /* atomic */
};

void wefti_lock_slow(struct wefti_lock *lock);
void wefti_unlock_slow(struct wefti_lock *lock);

static inline void wefti_lock(struct wefti_lock *lock) {
    uint32_t free = 0;
    if (unlikely(!cas_acquire(&lock->word, &free, 1))) /* pairs with the exchange in wefti_unlock */
        wefti_lock_slow(lock);
}

static inline void wefti_unlock(struct wefti_lock *lock) {
    if (unlikely(__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) ==
                 2)) /* pairs with wefti_lock */
        wefti_unlock_slow(lock);
}

#endif
