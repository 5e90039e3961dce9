/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switching between stacks on AArch64 (AAPCS64).
 *
 * A saved context is a stack pointer to this frame, lowest address first:
 *
 *      0  x29, x30: a frame record, so frame pointers can be followed from a saved context too
 *     16  x19 … x28
 *     96  d8 … d15: the callee-saved halves of v8 … v15
 *    160  fpcr (8 bytes), unused (8)
 *
 * fpcr is control only: the sticky status flags are in fpsr, which a switch leaves alone.
 *
 * The way out is a plain indirect jump: a ret would be mispredicted each time, since the return
 * stack predictor knows only the other side's calls. Where code is guarded by branch target
 * identification, though, only a ret may lead to the instruction after a call: built with
 * -mbranch-protection, a ret it is.
 */
#define FRAME 176
#define FPCR_DEFAULT 0

#if defined(__ARM_FEATURE_BTI_DEFAULT) && __ARM_FEATURE_BTI_DEFAULT
#define BTI 1
#define LANDING hint #34 /* bti c */
#define JUMP_BACK ret x30
#else
#define LANDING
#define JUMP_BACK br x30
#endif

    .macro FUNCTION name
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 5
\name:
    .cfi_startproc
    LANDING
    .endm

    .macro END name
    .cfi_endproc
    .size \name, . - \name
    .endm

    /* Each pair of a context's registers, for a macro that takes two registers and their offset. */
    .macro EACH_PAIR do
    \do x29, x30, 0
    \do x19, x20, 16
    \do x21, x22, 32
    \do x23, x24, 48
    \do x25, x26, 64
    \do x27, x28, 80
    \do d8, d9, 96
    \do d10, d11, 112
    \do d12, d13, 128
    \do d14, d15, 144
    .endm

    .macro SAVE_PAIR a, b, offset
    stp \a, \b, [sp, #\offset]
    .cfi_rel_offset \a, \offset
    .cfi_rel_offset \b, \offset + 8
    .endm

    .macro LOAD_PAIR a, b, offset
    ldp \a, \b, [sp, #\offset]
    .endm

    .macro SAVED_PAIR a, b, offset
    .cfi_rel_offset \a, \offset
    .cfi_rel_offset \b, \offset + 8
    .endm

    .macro LOADED_PAIR a, b, offset
    .cfi_same_value \a
    .cfi_same_value \b
    .endm

    /* Leaves the running fpcr in x9. */
    .macro SAVE_REGISTERS
    sub sp, sp, #FRAME
    .cfi_adjust_cfa_offset FRAME
    EACH_PAIR SAVE_PAIR
    mrs x9, fpcr
    str x9, [sp, #160]
    .endm

    /* Expects the running fpcr in x9. */
    .macro LOAD_CONTEXT
    .cfi_def_cfa_offset FRAME
    EACH_PAIR SAVED_PAIR
    .cfi_remember_state
    ldr x10, [sp, #160]
    cmp x10, x9
    b.ne 1f
2:  EACH_PAIR LOAD_PAIR
    add sp, sp, #FRAME
    .cfi_def_cfa_offset 0
    EACH_PAIR LOADED_PAIR
    JUMP_BACK
    .cfi_restore_state
1:  msr fpcr, x10
    b 2b
    .endm

    /*
     * Expects the same, and sp at the top of a fresh stack. A goroutine starts with the control
     * word of a fresh process.
     */
    .macro START
    .cfi_def_cfa_offset 0
    .cfi_undefined x30
    cmp x9, #FPCR_DEFAULT
    b.eq goroutine_top
    mov x9, #FPCR_DEFAULT
    msr fpcr, x9
    b goroutine_top
    .endm

    .text

/* void arch_switch(void **save, void *load) */
FUNCTION arch_switch
    SAVE_REGISTERS
    mov x10, sp
    str x10, [x0]
    mov sp, x1
    LOAD_CONTEXT
END arch_switch

/* void arch_jump(void *load) */
FUNCTION arch_jump
    mrs x9, fpcr
    mov sp, x0
    LOAD_CONTEXT
END arch_jump

/* void arch_start(void **save, void *top, struct g *gp) */
FUNCTION arch_start
    SAVE_REGISTERS
    mov x10, sp
    str x10, [x0]
    mov x0, x2
    mov sp, x1
    START
END arch_start

/* void arch_start_jump(void *top, struct g *gp) */
FUNCTION arch_start_jump
    mrs x9, fpcr
    mov x10, x0
    mov x0, x1
    mov sp, x10
    START
END arch_start_jump

/* The outermost frame of every goroutine: no return address, a zero frame pointer. */
    .type goroutine_top, %function
    .p2align 4
goroutine_top:
    .cfi_startproc
    .cfi_undefined x30
    .cfi_undefined x29
    mov x29, xzr
    bl wefti_goroutine_main
    brk #0
END goroutine_top

/* int arch_call(void (*fn)(void), const uint64_t words[6]) */
FUNCTION arch_call
    mov x16, x0
    mov x17, x1
    ldp x0, x1, [x17]
    ldp x2, x3, [x17, #16]
    ldp x4, x5, [x17, #32]
    br x16
END arch_call

    .section .note.GNU-stack, "", %progbits

#ifdef BTI
    .section .note.gnu.property, "a", %note
    .p2align 3
    .word 4, 16, 5 /* sizes of name and description, NT_GNU_PROPERTY_TYPE_0 */
    .asciz "GNU"
    .word 0xc0000000, 4, 1, 0 /* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI, padding */
#endif
