/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stack overflow: a fault in the guard of the running goroutine's stack becomes a message that
 * names it.
 *
 * The handler runs on the M's alternate stack, since there is none left on the goroutine's. A fault
 * anywhere else goes to whoever handled the signal before, or to the kernel's default with the
 * faulting instruction run again, so that cores and debuggers see the program's own fault.
 * Installed for the length of a weft_run; not under weft_start, which leaves the program's handlers
 * alone.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <weft/go.h>

#include "../base/fmt.h"
#include "../os/os.h"
#include "../stack/stack.h"
#include "state.h"

static struct sigaction before_segv, before_bus;
static bool installed;

void wefti_report_overflow(const struct g *gp) {
    char where[160] = "";
    if (gp->site)
        wefti_fmt(where, sizeof where, ", created at %s:%d", gp->site->file, gp->site->line);
    unsigned long long id = (unsigned long long)gp->id;
    size_t kb = wefti_stack_size(gp) >> 10;
    if (gp->name[0])
        wefti_fatal("goroutine %llu (%s) overflowed its %zu KB stack%s", id, gp->name, kb, where);
    wefti_fatal("goroutine %llu overflowed its %zu KB stack%s", id, kb, where);
}

static void chain(const struct sigaction *before, int sig, siginfo_t *info, void *context) {
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(sig, info, context);
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN)
        before->sa_handler(sig);
    else
        sigaction(sig, before, NULL); /* the instruction faults again, under the default */
}

static void on_fault(int sig, siginfo_t *info, void *context) {
    struct m *mp = arch_getm();
    struct g *gp = mp ? mp->curg : NULL;
    if (gp && info->si_code > 0 && wefti_stack_in_guard(gp, info->si_addr))
        wefti_report_overflow(gp);
    chain(sig == SIGSEGV ? &before_segv : &before_bus, sig, info, context);
}

void wefti_fault_install(void) {
    if (installed) /* in a fork's child */
        return;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
    installed = true;
}

void wefti_fault_remove(void) {
    if (!installed)
        return;
    sigaction(SIGSEGV, &before_segv, NULL);
    sigaction(SIGBUS, &before_bus, NULL);
    installed = false;
}

/* This thread's alternate stack, unless it has one. */
void wefti_fault_stack(struct m *mp) {
    stack_t old, alt = {.ss_size = WEFTI_ALT_STACK};
    if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE)) {
        mp->alt_lo = old.ss_sp;
        mp->alt_size = old.ss_size;
        return;
    }
    alt.ss_sp = os_reserve(WEFTI_ALT_STACK, 4096);
    if (!alt.ss_sp || sigaltstack(&alt, NULL) != 0)
        return;
    mp->altstack = mp->alt_lo = alt.ss_sp;
    mp->alt_size = WEFTI_ALT_STACK;
}

void wefti_fault_stack_gone(struct m *mp) {
    if (!mp->altstack)
        return;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    os_release(mp->altstack, WEFTI_ALT_STACK);
    mp->altstack = NULL;
}
