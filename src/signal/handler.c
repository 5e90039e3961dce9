/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler of signals that somebody asked for, and the dispositions.
 *
 * The handler counts and rings a bell, which is an eventfd, and no more. It may interrupt anything:
 * a goroutine, the scheduler with its locks held, a thread that weft has never seen. So it takes no
 * lock and no memory, looks at nothing that belongs to an M, and keeps errno.
 *
 * Every signal that reached the handler is counted by itself. The kernel keeps one of a standard
 * signal that is pending already, and each of a real-time signal; what it delivers, weft does not
 * merge further.
 *
 * No ring is lost. Writing to the eventfd for each signal of a storm is not needed: `rung` says
 * that it was done and that nobody has answered yet.
 *
 *   handler:     count++;       swap rung to 1; if it was 0: write the eventfd
 *   dispatcher:  poll the eventfd; read it; swap rung to 0; look at the counts; poll again
 *
 * A handler that finds rung 0 writes after the dispatcher's read, so the dispatcher's next poll
 * returns at once. One that finds rung 1 swapped before the dispatcher's swap to 0 (that follows
 * it), so its count is seen by the look after that. Reading after the swap instead would be wrong:
 * it could eat the write of a handler that found 0, and leave rung 1 with nothing to poll for.
 *
 * No count comes late. The handler says that it is at work (busy), and only then looks whether the
 * signal is wanted; giving back sets wanted to 0, and only then waits for busy to be 0. So either
 * the handler sees that the signal is not wanted, or it is waited for; and after the last signal
 * was given back no handler writes to the bell, whose number may then be another file's. What is
 * waited for is some instructions of a thread that blocks all signals.
 *
 * A handler that finds its signal unwanted does what would have happened without weft (pass): the
 * kernel picked the handler just before the disposition changed back, or the program has put a
 * handler of its own above weft's, which hands on to it. In that latter case giving back leaves
 * the disposition alone.
 *
 * Children. A fork's child is rid of all this before fork returns in it (wefti_signal_forget). A
 * vfork's has no such moment and shares the memory: the process id tells it from its parent, and
 * the first signal that comes to it gives its own disposition back.
 *
 * ThreadSanitizer would put the handler off until the thread's next intercepted call, which one
 * asleep in the runtime never makes, and merge real-time signals. So the kernel is given the
 * handler behind its back (os_signal_directly), and what runs in it is not instrumented and calls
 * no interceptor. The price: it doesn't know that a raise is ordered before the receive.
 *
 * Rejected: signalfd, and a thread in sigwait. Both want the signal blocked in all threads, of
 * which weft didn't start all, and the mask is inherited by exec. Rejected: restarting nothing (no
 * SA_RESTART), so that blocking calls see EINTR: code in brackets is the program's and often not
 * made for it.
 */
#define _GNU_SOURCE
#include "handler.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/atomic.h"
#include "../base/sanitize.h"
#include "../os/os.h"
#include "../sched/sched.h"

_Static_assert(_NSIG <= WEFTI_SIGNALS + 1, "the kernel's signals fit");

struct watched {
    uint32_t wanted; /* atomic */
    uint32_t busy;   /* handlers at work (atomic) */
    uint32_t count;  /* not yet looked at (atomic) */
    bool taken;      /* the disposition may be weft's, and before is what it was; set before, and
                        cleared after it is: a fork may come in between */
    struct sigaction before;
    uintptr_t handler;  /* of before, for pass (atomic) */
    uint32_t with_info; /* it takes three arguments (atomic) */
};

static struct watched watched[WEFTI_SIGNALS + 1];
static uint32_t rung;    /* atomic */
static int bell = -1;    /* constant while a signal is wanted */
static pid_t owner = -1; /* the process that watches (atomic) */

bool wefti_signal_may(int sig) {
    return os_signal_usable(sig) && sig != wefti_preempt_signal_now();
}

/* ---- the bell ---- */

int wefti_bell_open(void) {
    bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell < 0)
        return errno;
    rung = 0;
    store_relaxed(&owner, getpid());
    return 0;
}

void wefti_bell_close(void) {
    int fd = bell;
    bell = -1; /* first: a fork's child closes what it finds here, and nothing else */
    if (fd >= 0)
        close(fd);
}

int wefti_bell_fd(void) {
    return bell;
}

WEFTI_IN_HANDLER void wefti_bell_ring(void) {
    const uint64_t one = 1;
    if (xchg_seqcst(&rung, 1) == 0) /* pairs with the swap in wefti_bell_quiet */
        while (syscall(SYS_write, bell, &one, sizeof one) < 0 && errno == EINTR)
            continue;
}

void wefti_bell_quiet(void) {
    uint64_t rings;
    while (read(bell, &rings, sizeof rings) < 0 && errno == EINTR)
        continue;
    xchg_seqcst(&rung, 0); /* pairs with the swap in wefti_bell_ring; after the read */
}

/* ---- the handler ---- */

static void on_signal(int sig, siginfo_t *info, void *context);

WEFTI_IN_HANDLER static bool is_ours(const struct sigaction *action) {
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_signal;
}

/* To what was before, unless the program has changed it since. */
WEFTI_IN_HANDLER static void restore(int sig) {
    struct sigaction now;
    if (sigaction(sig, NULL, &now) == 0 && is_ours(&now))
        sigaction(sig, &watched[sig].before, NULL);
}

/* What would have happened without weft. */
WEFTI_IN_HANDLER static void pass(int sig, siginfo_t *info, void *context) {
    uintptr_t handler = load_relaxed(&watched[sig].handler);
    struct sigaction now;
    if (handler == (uintptr_t)SIG_IGN)
        return;
    if (handler == (uintptr_t)SIG_DFL) {
        if (sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            kill(getpid(), sig); /* it comes when this handler returns */
    } else if (load_relaxed(&watched[sig].with_info)) {
        ((void (*)(int, siginfo_t *, void *))handler)(sig, info, context);
    } else {
        ((void (*)(int))handler)(sig);
    }
}

/* False: nobody wants it. */
WEFTI_IN_HANDLER static bool count(int sig) {
    struct watched *w = &watched[sig];
    add_seqcst(&w->busy, 1); /* pairs with the look in wefti_signal_give_back */
    bool wanted = load_seqcst(&w->wanted) != 0;
    if (wanted) {
        add_seqcst(&w->count, 1);
        wefti_bell_ring();
    }
    add_seqcst(&w->busy, (uint32_t)-1); /* all above is over for who waits */
    return wanted;
}

WEFTI_IN_HANDLER static void on_signal(int sig, siginfo_t *info, void *context) {
    int saved = errno;
    bool counted = false;
    if (getpid() == load_relaxed(&owner))
        counted = count(sig);
    else
        restore(sig);
    if (!counted)
        pass(sig, info, context);
    errno = saved;
}

/* ---- dispositions ---- */

void wefti_signal_take(int sig) {
    struct watched *w = &watched[sig];
    if (w->taken)
        return;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigaction(sig, NULL, &w->before);
    w->taken = true;
    store_relaxed(&w->with_info, (w->before.sa_flags & SA_SIGINFO) != 0);
    store_relaxed(&w->handler, (w->before.sa_flags & SA_SIGINFO) ? (uintptr_t)w->before.sa_sigaction
                                                                 : (uintptr_t)w->before.sa_handler);
    action.sa_sigaction = on_signal;
    action.sa_flags =
        SA_SIGINFO | SA_RESTART | SA_ONSTACK | (w->before.sa_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
    sigfillset(&action.sa_mask);
    store_seqcst(&w->wanted, 1);
    sigaction(sig, &action, NULL);
#ifdef WEFTI_TSAN
    os_signal_directly(sig, on_signal);
#endif
}

void wefti_signal_give_back(int sig) {
    struct watched *w = &watched[sig];
    if (!w->taken)
        return;
    store_seqcst(&w->wanted, 0);
    restore(sig);
    w->taken = false;
    while (load_seqcst(&w->busy) != 0) /* pairs with the handler's, which then looks at wanted */
        os_yield();
}

uint32_t wefti_signal_count(int sig) {
    return load_relaxed(&watched[sig].count) != 0 ? xchg_seqcst(&watched[sig].count, 0) : 0;
}

void wefti_signal_forget(void) {
    for (int sig = 1; sig <= WEFTI_SIGNALS; sig++) {
        if (watched[sig].taken)
            restore(sig);
        watched[sig].taken = false;
        watched[sig].wanted = watched[sig].busy = watched[sig].count = 0;
    }
    wefti_bell_close();
}
