/* SPDX-License-Identifier: Apache-2.0 */
/* x86-64: what is inline. The contract is in arch/arch.h. */
#ifndef WEFTI_ARCH_X86_64_ARCH_CPU_H
#define WEFTI_ARCH_X86_64_ARCH_CPU_H

static inline void arch_pause(void) {
    __asm__ volatile("pause");
}

/*
 * This thread's M. Volatile, so that no compiler remembers the value, or the address of the
 * thread's block, across a call in which the goroutine may have moved to another thread.
 */
static inline struct m *arch_getm(void) {
    struct m *mp;
    __asm__ volatile("movq wefti_m@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(mp));
    return mp;
}

static inline void *arch_sp(void) {
    void *sp;
    __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
    return sp;
}

#endif
