/* SPDX-License-Identifier: Apache-2.0 */
/* The fast ways in and out of the runtime; sched.h says what they mean, rt.h why they are a store
 * and a load. */
#ifndef WEFTI_SCHED_ENTER_H
#define WEFTI_SCHED_ENTER_H

#include "../arch/arch.h"
#include "../rt/rt.h"

static inline struct m *wefti_enter_as(bool may_park) {
    struct m *mp = arch_getm();
    if (unlikely(mp == NULL))
        return wefti_enter_slow(may_park);
    uint32_t nested = load_relaxed(&mp->inrt);
    store_relaxed(&mp->inrt, 1);
    compiler_barrier(); /* pairs with the retaker's fence: it sees inrt, or this M sees its
                           attention byte */
    if (unlikely((load_relaxed(&mp->attn.word) | nested) != 0)) {
        if (nested)
            store_relaxed(&mp->inrt, 2);
        return wefti_enter_slow(may_park);
    }
    return mp;
}

static inline struct m *wefti_enter(void) {
    return wefti_enter_as(false);
}

static inline struct m *wefti_enter_park(void) {
    return wefti_enter_as(true);
}

static inline void wefti_leave(struct m *mp) {
    if (unlikely(mp->giveback))
        wefti_giveback(mp);
    store_release(&mp->inrt,
                  0); /* pairs with the retaker's acquire: all that was done inside is done */
}

/* What mp did inside until it left is seen from here on. Only ThreadSanitizer needs to be told, when
 * the P of an M was given up by the preemption signal's handler, which it does not look into. */
static inline void wefti_see_inside(struct m *mp) {
    (void)load_acquire(&mp->inrt); /* pairs with wefti_leave */
}

#endif
