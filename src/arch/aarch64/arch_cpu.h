/* SPDX-License-Identifier: Apache-2.0 */
/* AArch64: what is inline. The contract is in arch/arch.h. */
#ifndef WEFTI_ARCH_AARCH64_ARCH_CPU_H
#define WEFTI_ARCH_AARCH64_ARCH_CPU_H

/* isb, because yield takes no time on most processors. */
static inline void arch_pause(void) {
    __asm__ volatile("isb");
}

/*
 * This thread's M. Volatile, so that no compiler remembers the value, or the thread pointer, across
 * a call in which the goroutine may have moved to another thread.
 */
static inline struct m *arch_getm(void) {
    struct m *mp;
    void *thread;
    __asm__ volatile("adrp %0, :gottprel:wefti_m\n\t"
                     "ldr %0, [%0, :gottprel_lo12:wefti_m]\n\t"
                     "mrs %1, tpidr_el0\n\t"
                     "ldr %0, [%1, %0]"
                     : "=&r"(mp), "=&r"(thread));
    return mp;
}

static inline void *arch_sp(void) {
    void *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

#endif
