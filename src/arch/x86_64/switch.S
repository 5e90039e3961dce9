/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and leaving stacks on x86-64 (System V ABI). The switch between two saved contexts is inline
 * (arch_cpu.h), so that each place where it is used saves only the registers that live across it.
 *
 * A saved context is a stack pointer to this frame, lowest address first:
 *
 *      0  mxcsr (4 bytes), x87 control word (2), unused (2)
 *      8  where to go on
 *     16  rbp
 *
 * Of mxcsr the upper bits are control, bits 0 to 5 are sticky status flags, which differ after nearly
 * every computation: comparing those too would load mxcsr at nearly every switch.
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

    /* The running control words: mxcsr to eax, x87 to cx. Uses the red zone of no frame: the stack is left. */
    .macro READ_CONTROL_WORDS
    stmxcsr -8(%rsp)
    fnstcw -4(%rsp)
    movl -8(%rsp), %eax
    movzwl -4(%rsp), %ecx
    .endm

    /* Expects them there; a goroutine starts with the control words of a fresh process. */
    .macro DEFAULT_CONTROL_WORDS
    xorl $MXCSR_DEFAULT, %eax
    testl $MXCSR_CONTROL, %eax
    jne 1f
    cmpw $FCW_DEFAULT, %cx
    je 2f
1:  movl $MXCSR_DEFAULT, -8(%rsp)
    movw $FCW_DEFAULT, -4(%rsp)
    ldmxcsr -8(%rsp)
    fldcw -4(%rsp)
2:
    .endm

    .text

/* void arch_jump(void *load): nothing of the caller is ever returned to. */
FUNCTION arch_jump
    .cfi_undefined %rip
    READ_CONTROL_WORDS
    movq %rdi, %rsp
    xorl (%rsp), %eax
    testl $MXCSR_CONTROL, %eax
    jne 1f
    cmpw 4(%rsp), %cx
    jne 1f
2:  addq $8, %rsp
    popq %rcx
    jmp *%rcx
1:  ldmxcsr (%rsp)
    fldcw 4(%rsp)
    jmp 2b
END arch_jump

/* void arch_start(void **save, void *top, struct g *gp) */
FUNCTION arch_start
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
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    leaq 3f(%rip), %rax
    pushq %rax
    .cfi_adjust_cfa_offset 8
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movl (%rsp), %eax
    movzwl 4(%rsp), %ecx
    movq %rsp, (%rdi)
    .cfi_remember_state
    .cfi_undefined %rip
    movq %rsi, %rsp
    movq %rdx, %rdi
    DEFAULT_CONTROL_WORDS
    jmp goroutine_top
    .cfi_restore_state
    .cfi_adjust_cfa_offset -16
3:  popq %rbp
    .cfi_adjust_cfa_offset -8
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    ret
END arch_start

/* void arch_start_jump(void *top, struct g *gp) */
FUNCTION arch_start_jump
    .cfi_undefined %rip
    READ_CONTROL_WORDS
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
