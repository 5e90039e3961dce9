/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What switch.c needs to know of each architecture:
 *
 *   test_around(regs, fn, a, b, c)   fills the callee-saved registers from regs, calls fn(a, b, c)
 *                                    and puts into regs what the registers hold then
 *   test_control(), test_set_control(words)   the floating-point control words, without flags
 *   TEST_CONTROL_…                   those of a fresh process, and two that round up and down
 *   test_caller_frame(frame)         the frame pointer saved in the frame of a frame pointer
 */
#ifndef TEST_SWITCH_ARCH_H
#define TEST_SWITCH_ARCH_H

#include <stdint.h>

void test_around(uint64_t *regs, void (*fn)(void), const void *a, const void *b, const void *c);

/* clang-format off */
#define TEST_BEGIN                                                                                 \
    "    .text\n"                                                                                  \
    "    .globl test_around\n"                                                                     \
    "    .hidden test_around\n"                                                                    \
    "    .type test_around, %function\n"                                                           \
    "test_around:\n"
#define TEST_END                                                                                   \
    "    .size test_around, . - test_around\n"

#if defined(__x86_64__)

static const char *const test_register_names[] = {"rbx", "r12", "r13", "r14", "r15", "rbp"};

__asm__(TEST_BEGIN
    "    push %rbp\n"
    "    push %rbx\n"
    "    push %r12\n"
    "    push %r13\n"
    "    push %r14\n"
    "    push %r15\n"
    "    push %rdi\n"
    "    mov %rsi, %rax\n"
    "    mov (%rdi), %rbx\n"
    "    mov 8(%rdi), %r12\n"
    "    mov 16(%rdi), %r13\n"
    "    mov 24(%rdi), %r14\n"
    "    mov 32(%rdi), %r15\n"
    "    mov 40(%rdi), %rbp\n"
    "    mov %rdx, %rdi\n"
    "    mov %rcx, %rsi\n"
    "    mov %r8, %rdx\n"
    "    call *%rax\n"
    "    pop %rdi\n"
    "    mov %rbx, (%rdi)\n"
    "    mov %r12, 8(%rdi)\n"
    "    mov %r13, 16(%rdi)\n"
    "    mov %r14, 24(%rdi)\n"
    "    mov %r15, 32(%rdi)\n"
    "    mov %rbp, 40(%rdi)\n"
    "    pop %r15\n"
    "    pop %r14\n"
    "    pop %r13\n"
    "    pop %r12\n"
    "    pop %rbx\n"
    "    pop %rbp\n"
    "    ret\n"
    TEST_END);
/* clang-format on */

/* Below mxcsr (flush to zero and the rounding), above the x87 control word (precision, rounding).
 */
#define TEST_CONTROL_DEFAULT UINT64_C(0x037f00001f80)
#define TEST_CONTROL_UP UINT64_C(0x0a7f0000df80)
#define TEST_CONTROL_DOWN UINT64_C(0x077f00003f80)

static inline uint64_t test_control(void) {
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87));
    return (uint64_t)x87 << 32 | (mxcsr & 0xffc0);
}

static inline void test_set_control(uint64_t words) {
    uint32_t mxcsr = (uint32_t)words;
    uint16_t x87 = (uint16_t)(words >> 32);
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87) : "memory");
}

static inline void **test_caller_frame(void **frame) {
    return frame[0];
}

#elif defined(__aarch64__)

static const char *const test_register_names[] = {"x19", "x20", "x21", "x22", "x23", "x24", "x25",
                                                  "x26", "x27", "x28", "x29", "d8",  "d9",  "d10",
                                                  "d11", "d12", "d13", "d14", "d15"};

/* clang-format off */
__asm__(
    "    .macro EACH_REGISTER do, base, at\n"
    "    \\do x19, x20, [\\base, #\\at]\n"
    "    \\do x21, x22, [\\base, #\\at + 16]\n"
    "    \\do x23, x24, [\\base, #\\at + 32]\n"
    "    \\do x25, x26, [\\base, #\\at + 48]\n"
    "    \\do x27, x28, [\\base, #\\at + 64]\n"
    "    \\do d8, d9, [\\base, #\\at + 88]\n"
    "    \\do d10, d11, [\\base, #\\at + 104]\n"
    "    \\do d12, d13, [\\base, #\\at + 120]\n"
    "    \\do d14, d15, [\\base, #\\at + 136]\n"
    "    .endm\n"
    TEST_BEGIN
    "    hint #34\n" /* bti c */
    "    sub sp, sp, #176\n"
    "    stp x29, x30, [sp]\n"
    "    EACH_REGISTER stp, sp, 16\n"
    "    str x0, [sp, #168]\n"
    "    EACH_REGISTER ldp, x0, 0\n"
    "    ldr x29, [x0, #80]\n"
    "    mov x9, x1\n"
    "    mov x0, x2\n"
    "    mov x1, x3\n"
    "    mov x2, x4\n"
    "    blr x9\n"
    "    ldr x0, [sp, #168]\n"
    "    EACH_REGISTER stp, x0, 0\n"
    "    str x29, [x0, #80]\n"
    "    EACH_REGISTER ldp, sp, 16\n"
    "    ldp x29, x30, [sp]\n"
    "    add sp, sp, #176\n"
    "    ret\n"
    TEST_END);
/* clang-format on */

/* fpcr: flush to zero and the rounding. */
#define TEST_CONTROL_DEFAULT UINT64_C(0)
#define TEST_CONTROL_UP UINT64_C(0x1400000)
#define TEST_CONTROL_DOWN UINT64_C(0x0800000)

static inline uint64_t test_control(void) {
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}

static inline void test_set_control(uint64_t words) {
    __asm__ volatile("msr fpcr, %0" : : "r"(words) : "memory");
}

static inline void **test_caller_frame(void **frame) {
    return frame[0];
}

#elif defined(__riscv)

static const char *const test_register_names[] = {
    "s0",  "s1",  "s2",  "s3",  "s4",  "s5",  "s6",  "s7",  "s8",  "s9",  "s10",  "s11",
    "fs0", "fs1", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11"};

/* clang-format off */
__asm__(
    "    .macro EACH_REGISTER do, dofp, base, at\n"
    "    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n"
    "    \\do s\\n, \\at + 8 * \\n(\\base)\n"
    "    \\dofp fs\\n, \\at + 96 + 8 * \\n(\\base)\n"
    "    .endr\n"
    "    .endm\n"
    TEST_BEGIN
    "    addi sp, sp, -208\n"
    "    sd ra, 200(sp)\n"
    "    sd a0, 192(sp)\n"
    "    EACH_REGISTER sd, fsd, sp, 0\n"
    "    EACH_REGISTER ld, fld, a0, 0\n"
    "    mv t0, a1\n"
    "    mv a0, a2\n"
    "    mv a1, a3\n"
    "    mv a2, a4\n"
    "    jalr t0\n"
    "    ld a0, 192(sp)\n"
    "    EACH_REGISTER sd, fsd, a0, 0\n"
    "    EACH_REGISTER ld, fld, sp, 0\n"
    "    ld ra, 200(sp)\n"
    "    addi sp, sp, 208\n"
    "    ret\n"
    TEST_END);
/* clang-format on */

#define TEST_CONTROL_DEFAULT UINT64_C(0)
#define TEST_CONTROL_UP UINT64_C(3)
#define TEST_CONTROL_DOWN UINT64_C(2)

static inline uint64_t test_control(void) {
    uint64_t frm;
    __asm__ volatile("frrm %0" : "=r"(frm));
    return frm;
}

static inline void test_set_control(uint64_t words) {
    __asm__ volatile("fsrm %0" : : "r"(words) : "memory");
}

static inline void **test_caller_frame(void **frame) {
    return frame[-2];
}

#endif

#define TEST_REGISTERS (sizeof test_register_names / sizeof test_register_names[0])

#endif
