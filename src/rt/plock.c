/* SPDX-License-Identifier: Apache-2.0 */
/* The slow half of the P-lock, and the rank check of debug builds. */
#include "plock.h"

#include "../arch/arch.h"
#include "../base/throw.h"
#include "../os/os.h"

#define SPINS 100

void wefti_plock_slow(uint32_t *lock) {
    for (;;) {
        for (int i = 0; i < SPINS; i++) {
            if (load_relaxed(lock) == 0 &&
                xchg_acquire(lock, 1) == 0) /* pairs with the release in wefti_punlock */
                return;
            arch_pause();
        }
        os_yield(); /* the holder may be off its CPU */
    }
}

#ifdef WEFTI_DEBUG
/* One bit a rank. Several channels may be held at once (select takes them in order of address). */
void wefti_rank_push(struct m *mp, enum wefti_rank rank) {
    uint32_t higher = mp->ranks >> rank;
    if (rank == WEFTI_RANK_CHAN)
        higher &= ~1u;
    if (higher)
        wefti_fatal("lock order: rank %d wanted, ranks %#x held", rank, mp->ranks);
    mp->ranks |= 1u << rank;
}

void wefti_rank_pop(struct m *mp, enum wefti_rank rank) {
    mp->ranks &= ~(1u << rank);
}
#endif
