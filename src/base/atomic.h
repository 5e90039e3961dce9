/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomic access with the memory order in the name.
 *
 * Every shared word of the runtime is a plain C object; whoever touches it says at the access which
 * order it needs, and the comment on that line names the access that it pairs with. A plain access
 * means that a lock, or the ownership of the P, protects the object.
 */
#ifndef WEFTI_BASE_ATOMIC_H
#define WEFTI_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "sanitize.h"

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define load_seqcst(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define store_seqcst(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define xchg_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define xchg_acqrel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define xchg_seqcst(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define add_acqrel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define add_seqcst(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)

/* ThreadSanitizer knows no fences: there, a read-modify-write that all fences share stands for one.
 */
#ifdef WEFTI_TSAN
extern uint32_t wefti_fence_word;
#define fence_acquire() ((void)__atomic_fetch_add(&wefti_fence_word, 1, __ATOMIC_SEQ_CST))
#define fence_seqcst() ((void)__atomic_fetch_add(&wefti_fence_word, 1, __ATOMIC_SEQ_CST))
#else
#define fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define fence_seqcst() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* Compare and swap: true when *p was *expected and is now v; otherwise *expected holds what was
 * there. */
#define cas_relaxed(p, expected, v)                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define cas_acquire(p, expected, v)                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
#define cas_release(p, expected, v)                                                                \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define cas_acqrel(p, expected, v)                                                                 \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define cas_seqcst(p, expected, v)                                                                 \
    __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* Orders the compiler only: for a thread and whoever interrupts or inspects that same thread. */
#define compiler_barrier() __asm__ volatile("" ::: "memory")

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
