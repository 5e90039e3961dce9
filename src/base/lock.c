/* SPDX-License-Identifier: Apache-2.0 */
/* The slow halves of the futex lock; lock.h has the protocol. */
#include "lock.h"

#include "../arch/arch.h"
#include "../os/os.h"

#define SPINS 40

#ifdef WEFTI_TSAN
uint32_t wefti_fence_word; /* atomic.h */
#endif

void wefti_lock_slow(struct wefti_lock *lock) {
    for (int i = 0; i < SPINS; i++) {
        uint32_t free = 0;
        if (load_relaxed(&lock->word) == 0 && cas_acquire(&lock->word, &free, 1))
            return;
        arch_pause();
    }
    /* 2 says that somebody may sleep; whoever gets the lock from here on keeps it, for others may
     * sleep too. */
    while (xchg_acquire(&lock->word, 2) != 0)
        os_futex_wait(&lock->word, 2, -1);
}

void wefti_unlock_slow(struct wefti_lock *lock) {
    os_futex_wake(&lock->word, 1);
}
