/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switching between stacks on 64-bit RISC-V (the ABI lp64d).
 *
 * A saved context is a stack pointer to this frame, lowest address first:
 *
 *      0  s1 … s11
 *     88  fs0 … fs11
 *    184  frm, the rounding mode (8 bytes)
 *    192  s0, ra: where a frame pointer's record is
 *
 * The rounding mode is all that is control in fcsr: the rest are the sticky status flags, which a
 * switch leaves alone.
 *
 * The way out jumps by a register that is not one of the two link registers: a ret would be
 * mispredicted each time, since the return stack predictor knows only the other side's calls.
 */
#ifndef __riscv_float_abi_double
#error "weft's switch is for the lp64d ABI"
#endif

#define FRAME 208
#define FRM_DEFAULT 0

    .macro FUNCTION name
    .globl \name
    .hidden \name
    .type \name, @function
    .p2align 5
\name:
    .cfi_startproc
    .endm

    .macro END name
    .cfi_endproc
    .size \name, . - \name
    .endm

    /* Each of a context's registers, for macros that take a register and its offset. */
    .macro EACH do, dofp
    \do s1, 0
    \do s2, 8
    \do s3, 16
    \do s4, 24
    \do s5, 32
    \do s6, 40
    \do s7, 48
    \do s8, 56
    \do s9, 64
    \do s10, 72
    \do s11, 80
    \dofp fs0, 88
    \dofp fs1, 96
    \dofp fs2, 104
    \dofp fs3, 112
    \dofp fs4, 120
    \dofp fs5, 128
    \dofp fs6, 136
    \dofp fs7, 144
    \dofp fs8, 152
    \dofp fs9, 160
    \dofp fs10, 168
    \dofp fs11, 176
    \do s0, 192
    \do ra, 200
    .endm

    .macro SAVE reg, offset
    sd \reg, \offset(sp)
    .cfi_rel_offset \reg, \offset
    .endm

    .macro SAVE_FP reg, offset
    fsd \reg, \offset(sp)
    .cfi_rel_offset \reg, \offset
    .endm

    .macro LOAD reg, offset
    ld \reg, \offset(sp)
    .endm

    .macro LOAD_FP reg, offset
    fld \reg, \offset(sp)
    .endm

    .macro SAVED reg, offset
    .cfi_rel_offset \reg, \offset
    .endm

    .macro LOADED reg, offset
    .cfi_same_value \reg
    .endm

    /* Leaves the running rounding mode in t0. */
    .macro SAVE_REGISTERS
    addi sp, sp, -FRAME
    .cfi_adjust_cfa_offset FRAME
    EACH SAVE, SAVE_FP
    frrm t0
    sd t0, 184(sp)
    .endm

    /* Expects the running rounding mode in t0. */
    .macro LOAD_CONTEXT
    .cfi_def_cfa_offset FRAME
    EACH SAVED, SAVED
    .cfi_remember_state
    ld t1, 184(sp)
    bne t1, t0, 1f
2:  EACH LOAD, LOAD_FP
    mv t1, ra
    addi sp, sp, FRAME
    .cfi_def_cfa_offset 0
    EACH LOADED, LOADED
    jr t1
    .cfi_restore_state
1:  fsrm t1
    j 2b
    .endm

    /*
     * Expects the same, and sp at the top of a fresh stack. A goroutine starts with the rounding
     * mode of a fresh process.
     */
    .macro START
    .cfi_def_cfa_offset 0
    .cfi_undefined ra
    li t1, FRM_DEFAULT
    beq t1, t0, 1f
    fsrm t1
1:  j goroutine_top
    .endm

    .text

/* void arch_switch(void **save, void *load) */
FUNCTION arch_switch
    SAVE_REGISTERS
    sd sp, 0(a0)
    mv sp, a1
    LOAD_CONTEXT
END arch_switch

/* void arch_jump(void *load) */
FUNCTION arch_jump
    frrm t0
    mv sp, a0
    LOAD_CONTEXT
END arch_jump

/* void arch_start(void **save, void *top, struct g *gp) */
FUNCTION arch_start
    SAVE_REGISTERS
    sd sp, 0(a0)
    mv a0, a2
    mv sp, a1
    START
END arch_start

/* void arch_start_jump(void *top, struct g *gp) */
FUNCTION arch_start_jump
    frrm t0
    mv t1, a0
    mv a0, a1
    mv sp, t1
    START
END arch_start_jump

/* The outermost frame of every goroutine: no return address, a zero frame pointer. */
    .type goroutine_top, @function
    .p2align 4
goroutine_top:
    .cfi_startproc
    .cfi_undefined ra
    .cfi_undefined s0
    li s0, 0
    call wefti_goroutine_main
    unimp
END goroutine_top

/* int arch_call(void (*fn)(void), const uint64_t words[6]) */
FUNCTION arch_call
    mv t1, a0
    mv t2, a1
    ld a0, 0(t2)
    ld a1, 8(t2)
    ld a2, 16(t2)
    ld a3, 24(t2)
    ld a4, 32(t2)
    ld a5, 40(t2)
    jr t1
END arch_call

    .section .note.GNU-stack, "", @progbits
