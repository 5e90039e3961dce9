/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switching between stacks on x86-64 (System V ABI).
 *
 * A saved context is a stack pointer to this frame, lowest address first:
 *
 *      0  mxcsr (4 bytes), x87 control word (2), unused (2)
 *      8  r15, r14, r13, r12, rbx, rbp
 *     56  return address
 *
 * The way out is pop and an indirect jump: a ret would be mispredicted each time, since the return stack predictor
 * knows only the other side's calls. Of mxcsr the upper bits are control, bits 0 to 5 are sticky status flags, which
 * differ after nearly every computation: comparing those too would load mxcsr at nearly every switch.
 */
#define MXCSR_CONTROL 0xffc0
#define MXCSR_DEFAULT 0x1f80
#define FCW_DEFAULT 0x037f

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

    .macro SAVE_REGISTERS
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movl (%rsp), %eax
    movzwl 4(%rsp), %ecx
    .endm

    /* Expects the running control words in eax (mxcsr) and cx (x87). */
    .macro LOAD_CONTEXT
    xorl (%rsp), %eax
    testl $MXCSR_CONTROL, %eax
    jne 1f
    cmpw 4(%rsp), %cx
    jne 1f
2:  addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
1:  ldmxcsr (%rsp)
    fldcw 4(%rsp)
    jmp 2b
    .endm

    /* Expects the same; a goroutine starts with the control words of a fresh process. */
    .macro DEFAULT_CONTROL_WORDS
    xorl $MXCSR_DEFAULT, %eax
    testl $MXCSR_CONTROL, %eax
    jne 1f
    cmpw $FCW_DEFAULT, %cx
    je 2f
1:  subq $8, %rsp
    movl $MXCSR_DEFAULT, (%rsp)
    movw $FCW_DEFAULT, 4(%rsp)
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
2:
    .endm

    .text

/* void arch_switch(void **save, void *load) */
FUNCTION arch_switch
    SAVE_REGISTERS
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    LOAD_CONTEXT
END arch_switch

/* void arch_jump(void *load) */
FUNCTION arch_jump
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movl (%rsp), %eax
    movzwl 4(%rsp), %ecx
    movq %rdi, %rsp
    LOAD_CONTEXT
END arch_jump

/* void arch_start(void **save, void *top, struct g *gp) */
FUNCTION arch_start
    SAVE_REGISTERS
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    movq %rdx, %rdi
    DEFAULT_CONTROL_WORDS
    jmp goroutine_top
END arch_start

/* void arch_start_jump(void *top, struct g *gp) */
FUNCTION arch_start_jump
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movl (%rsp), %eax
    movzwl 4(%rsp), %ecx
    movq %rdi, %rsp
    movq %rsi, %rdi
    DEFAULT_CONTROL_WORDS
    jmp goroutine_top
END arch_start_jump

/* The outermost frame of every goroutine: no return address, a zero frame pointer. */
    .type goroutine_top, @function
    .p2align 4
goroutine_top:
    .cfi_startproc
    .cfi_undefined %rip
    .cfi_undefined %rbp
    xorl %ebp, %ebp
    call wefti_goroutine_main
    ud2
END goroutine_top

/* int arch_call(void (*fn)(void), const uint64_t words[6]) */
FUNCTION arch_call
    movq %rdi, %r11
    movq %rsi, %r10
    movq (%r10), %rdi
    movq 8(%r10), %rsi
    movq 16(%r10), %rdx
    movq 24(%r10), %rcx
    movq 32(%r10), %r8
    movq 40(%r10), %r9
    xorl %eax, %eax
    jmp *%r11
END arch_call

    .section .note.GNU-stack, "", @progbits
