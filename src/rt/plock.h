/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P-lock: guards an object that only Ms with a P touch.
 *
 * With one P the holder of the P is alone, so locking is nothing at all (pp->single). Otherwise
 * test-and-set with a plain release, then pausing, then giving up the CPU: sections are short, and
 * an M inside one is never preempted by weft, but the kernel may take it off its CPU. A P-lock is
 * 32 zero bits at first and needs no destruction.
 *
 * Rejected: a futex word, because its unlock is a second read-modify-write on the hottest path of
 * channels.
 *
 * Never hold one across a park. Ranks (base/lock.h) are checked in debug builds.
 */
#ifndef WEFTI_RT_PLOCK_H
#define WEFTI_RT_PLOCK_H

#include "rt.h"

void wefti_plock_slow(uint32_t *lock);
#ifdef WEFTI_DEBUG
void wefti_rank_push(struct m *mp, enum wefti_rank rank);
void wefti_rank_pop(struct m *mp, enum wefti_rank rank);
#else
#define wefti_rank_push(mp, rank) ((void)(mp), (void)(rank))
#define wefti_rank_pop(mp, rank) ((void)(mp), (void)(rank))
#endif

static inline void wefti_plock(struct m *mp, uint32_t *lock, enum wefti_rank rank) {
    wefti_rank_push(mp, rank);
    if (likely(mp->p->single))
        return;
    if (unlikely(xchg_acquire(lock, 1) != 0)) /* pairs with the release in wefti_punlock */
        wefti_plock_slow(lock);
}

static inline void wefti_punlock(struct m *mp, uint32_t *lock, enum wefti_rank rank) {
    wefti_rank_pop(mp, rank);
    if (likely(mp->p->single))
        return;
    store_release(lock, 0); /* pairs with the exchange in wefti_plock */
}

#endif
