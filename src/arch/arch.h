/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an architecture provides: src/arch/<name>/arch_cpu.h and switch.S.
 *
 * A switch keeps what the C calling convention says a call keeps: callee-saved registers, the stack
 * pointer, and the floating-point control words (rounding, masks; not the sticky status flags).
 * Control words are loaded only where those of the two sides differ. The unwind information of a
 * goroutine's outermost frame says that there is nothing above it, so that debuggers and unwinders
 * stop there.
 */
#ifndef WEFTI_ARCH_ARCH_H
#define WEFTI_ARCH_ARCH_H

#include <stdint.h>

struct g;
struct m;

#if defined(__x86_64__)
#include "x86_64/arch_cpu.h"
#elif defined(__aarch64__)
#include "aarch64/arch_cpu.h"
#elif defined(__riscv) && __riscv_xlen == 64
#include "riscv64/arch_cpu.h"
#else
#error "weft has no switch for this architecture: see src/arch/arch.h for what one has to provide"
#endif

/* Saves the running context at *save and goes on with the context `load` that another switch saved.
 */
#ifndef ARCH_SWITCH_INLINE
void arch_switch(void **save, void *load);
#endif
/* Saves the running context at *save and calls wefti_goroutine_main(gp) at the top of a fresh
 * stack. */
void arch_start(void **save, void *top, struct g *gp);
/* The same two without saving: for a context that is never continued. */
__attribute__((noreturn)) void arch_jump(void *load);
__attribute__((noreturn)) void arch_start_jump(void *top, struct g *gp);
/* Calls fn with up to six integer or pointer words as the calling convention passes them; its (int)
 * result. */
int arch_call(void (*fn)(void), const uint64_t words[6]);

/* Where arch_start leads to; never returns. */
__attribute__((noreturn)) void wefti_goroutine_main(struct g *gp);

#endif
