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

/*
 * Saves the running context at *save and goes on with the context `load`; returns when somebody
 * goes on with the saved one. Inline, and all registers but the frame pointer are said to be lost:
 * the compiler then saves just those that it needs afterwards. The frame is drawn in switch.S. The
 * way out is an indirect jump, not a ret, which leaves the predictor of returns in step with the
 * calls.
 *
 * The first instruction steps over the red zone, in which the compiler may keep what it likes.
 */
#define ARCH_SWITCH_INLINE 1
#ifdef __AVX512F__
#define ARCH_AVX512_LOST                                                                           \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",  \
        "k7"
#else
#define ARCH_AVX512_LOST
#endif
static inline __attribute__((always_inline)) void arch_switch(void **save, void *load) {
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
                     "pushq %%rbp\n\t"
                     "leaq 3f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "subq $8, %%rsp\n\t"
                     "stmxcsr (%%rsp)\n\t"
                     "fnstcw 4(%%rsp)\n\t"
                     "movl (%%rsp), %%eax\n\t"
                     "movzwl 4(%%rsp), %%ecx\n\t"
                     "movq %%rsp, (%%rdi)\n\t"
                     "movq %%rsi, %%rsp\n\t"
                     "xorl (%%rsp), %%eax\n\t"
                     "testl $0xffc0, %%eax\n\t"
                     "jne 1f\n\t"
                     "cmpw 4(%%rsp), %%cx\n\t"
                     "jne 1f\n\t"
                     "2: addq $8, %%rsp\n\t"
                     "popq %%rcx\n\t"
                     "jmp *%%rcx\n\t"
                     "1: ldmxcsr (%%rsp)\n\t"
                     "fldcw 4(%%rsp)\n\t"
                     "jmp 2b\n\t"
                     "3: popq %%rbp\n\t"
                     "leaq 128(%%rsp), %%rsp"
                     : "+D"(save), "+S"(load)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15" ARCH_AVX512_LOST);
}

static inline void *arch_sp(void) {
    void *sp;
    __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
    return sp;
}

#endif
