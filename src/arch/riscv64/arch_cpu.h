/* SPDX-License-Identifier: Apache-2.0 */
/* RISC-V, 64 bits: what is inline. The contract is in arch/arch.h. */
#ifndef WEFTI_ARCH_RISCV64_ARCH_CPU_H
#define WEFTI_ARCH_RISCV64_ARCH_CPU_H

/* The pause hint by its encoding (a fence that orders nothing), so that any assembler takes it. */
static inline void arch_pause(void) {
    __asm__ volatile(".word 0x0100000f");
}

/*
 * This thread's M. Volatile, so that no compiler remembers the value, or its address, across a call
 * in which the goroutine may have moved to another thread.
 */
static inline struct m *arch_getm(void) {
    struct m *mp;
    __asm__ volatile("la.tls.ie %0, wefti_m\n\t"
                     "add %0, %0, tp\n\t"
                     "ld %0, 0(%0)"
                     : "=r"(mp));
    return mp;
}

static inline void *arch_sp(void) {
    void *sp;
    __asm__ volatile("mv %0, sp" : "=r"(sp));
    return sp;
}

#endif
