/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption by signal: a goroutine that computes, or blocks, without a call into weft loses its P.
 *
 * Who asks. sysmon, for a goroutine whose slice is over while others wait for its P, and whoever
 * stops the world. Either sets the M's attention byte `preempt`, which the goroutine's next weft
 * call heeds (enter.c). If the M is not in the runtime, it is sent the preemption signal, too; its
 * handler does, wherever the goroutine is, what that call would have done. Nobody is signalled
 * while nothing waits.
 *
 * What the handler does. A goroutine in the middle of its code can't change threads: the code may
 * hold locks of the C library's, or have thread-local addresses in registers. So the thread changes
 * hands instead (KLT switching): the handler, on the M's alternate stack, passes the P to the M of
 * the next goroutine in line, queues its own at the tail of the global queue, as a captive
 * (bound.c), and sleeps on the M's futex until somebody who picks the captive grants a P. Then it
 * returns, and the goroutine goes on as if nothing had been. The kernel keeps all registers.
 *
 * A goroutine that is asleep in the kernel is not signalled as a rule: the monitor takes its P from
 * outside (retake.c). Where the monitor can't tell, or the goroutine went to sleep meanwhile, the
 * signal finds a system call (the handler can tell: os/os.h). Then the goroutine gives its P away,
 * but does not wait: its M becomes a stray (stray.c), which has no P. The handler leaves the P in
 * state SYSCALL, as the beginning of a bracket does, and sysmon takes it from there. The call goes
 * on, or is made again; a relative time-out, which a repeated call begins anew, does so once.
 *
 * Why the handler may do all that. It touches the scheduler only if the signal found the M outside
 * of the runtime, `inrt` 0. The M itself writes inrt, and the handler runs on the M's thread, so
 * between the two there is only the order of one thread's instructions, which the compiler
 * barriers at entry and the release at leaving fix:
 *   - entry: inrt = 1; barrier; look at the attention word. A signal before the store does its work
 *     as if it had come before the call. M, P and G are loaded after the barrier, so nothing of
 *     theirs is remembered across the handler; the M alone is loaded before, and stays.
 *   - a signal after the store finds 1, leaves `preempt` set and returns. If the store came before
 *     the byte was set, the call does not see it; then the next call does, or sysmon, which sees the
 *     slice go on, sends another signal a millisecond later.
 *   - leaving: all that was done inside, then inrt = 0. A signal between the two finds 1.
 *   - a bracket's `bracket` is set, and the P given up, before inrt becomes 0, and both are undone
 *     after it became 1 again; a foreign thread's M and g0 never have inrt 0 together with a P.
 * Every lock of the runtime's is taken inside (or by a thread that is no M), so the handler waits
 * for none that its own thread holds. It sets inrt itself while it works: a nested signal finds 1.
 * It calls nothing of the C library's that takes a lock, and its memory is the M's. A thread that
 * it needs is the spawner's business; nobody waits for it (mthread.c). A captive's grant needs the
 * scheduler's lock and a futex, nothing else.
 *
 * That `preempt` is set does not say that the slice is this goroutine's: the signal may be late,
 * and the M on with another one. Then that one loses its turn, as at a weft call. A signal that
 * comes when nothing waits any more is in vain.
 *
 * Whose signal it is. Before the M is sent one, `signalled` is set; the handler clears it. A signal
 * with another code, from another process, to a thread without an M or with `signalled` 0 is not
 * weft's and gets what it would have got without weft (pass). Both happen under sched.lock with
 * the P's M looked at again, and an M that ends gives up its tid under that lock, so no thread that
 * is not an M is ever signalled.
 *
 * A handler in a system call may have interrupted a function that ThreadSanitizer wraps, where it
 * sees no synchronization. So there it does nothing but atomic stores.
 *
 * Deaf Ms. Goroutine code may block the signal. If one stays unanswered for a slice the M is
 * marked, and its next weft call unblocks the signal.
 *
 * The end of a run. Captives are woken without a P (sleep_here), and their handlers return: the
 * goroutine goes on to its next weft call, where its M ends (`ended`), or it is set aside (init.c).
 *
 * Under ThreadSanitizer the kernel is given the handler directly, as in signal/handler.c. Its
 * runtime must not be interrupted half way, so the handler does nothing while the thread is in it,
 * or in a C library function that it wraps, unless that waits in the kernel.
 *
 * Rejected: injecting a call into the goroutine (Go's way) and a switch to another goroutine from
 * the handler: both move it, or leave its locks behind. Rejected: not signalling Ms that are
 * blocked: without another way to take their Ps, goroutines that wait for a captive's lock keep it
 * captive.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "state.h"

#define SHOW_AT_MOST 20000000 /* nanoseconds that a goroutine waits to be looked at */

static struct sigaction before;
static int installed; /* the signal, 0: none */
static pid_t owner;   /* the process that sends it */
static bool refused;  /* a filter of system calls forbids sending it; sched.lock */

/* ---- ThreadSanitizer ---- */

#ifdef WEFTI_TSAN
static struct range {
    uintptr_t lo, hi;
    bool own; /* its own code: its locks may be held even where that waits in the kernel */
} wraps[4];   /* where it and what it wraps is */
static size_t nwraps;

static int find_wraps(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size, (void)arg;
    const char *name = strrchr(info->dlpi_name, '/');
    if (!name || (strncmp(name, "/libtsan", 8) != 0 && strncmp(name, "/libc.so", 8) != 0 &&
                  strncmp(name, "/ld-linux", 9) != 0))
        return 0;
    for (int i = 0; i < info->dlpi_phnum && nwraps < sizeof wraps / sizeof *wraps; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            uintptr_t lo = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            wraps[nwraps++] = (struct range){lo, lo + info->dlpi_phdr[i].p_memsz,
                                             strncmp(name, "/libtsan", 8) == 0};
        }
    return 0;
}

WEFTI_IN_HANDLER static bool in_wrapper(void *context, bool in_call) {
    struct os_regs at;
    os_interrupted_at(context, &at);
    for (size_t i = 0; i < nwraps; i++)
        if (at.pc >= wraps[i].lo && at.pc < wraps[i].hi)
            return !in_call || wraps[i].own;
    return false;
}
#else
#define in_wrapper(context, in_call) ((void)(context), false)
#endif

/* ---- the handler ---- */

static void let_go(struct m *mp, struct g *gp) {
    store_relaxed(&gp->status, WEFTI_G_RUNNING);
    store_relaxed(&mp->attn.is.ended, 1); /* whoever ends the run is about to */
}

/* `in_call`: in a system call that goes on afterwards. */
static void give_up_p(struct m *mp, bool in_call) {
    struct g *gp = mp->curg;
    if (!gp || load_relaxed(&mp->attn.is.ended) || load_relaxed(&mp->attn.is.bracket) ||
        !load_relaxed(&mp->attn.is.preempt))
        return;
    if (wefti_lost_p(mp)) {
        if (in_call)
            return;
        if (!wefti_stray_back(mp)) {
            wefti_forget_blocky(gp);
            store_relaxed(&mp->attn.is.preempt, 0);
            if (!wefti_captive_here(mp, gp, false))
                let_go(mp, gp);
            return;
        }
    }
    if (!mp->p)
        return;
    bool cut = load_relaxed(&mp->attn.is.preempt) == WEFTI_CUT;
    store_relaxed(&mp->attn.is.preempt, 0);
    if (load_acquire(&S.phase) != WEFTI_UP || !wefti_gives_way(mp->p, gp, cut && !in_call))
        return;
    if (in_call)
        wefti_become_stray(mp, gp);
    else if (!wefti_captive_here(mp, gp, true))
        let_go(mp, gp);
}

/*
 * Where this thread is, with GODEBUG=stall. If the monitor asked for it, it looks at the stack now,
 * which is at rest as long as this does not return. Not inside the runtime: that would hold others
 * up, so it has to ask again.
 */
WEFTI_IN_HANDLER static void show(struct m *mp, void *context) {
    struct wefti_spot *spot = &mp->spot;
    struct os_regs at;
    os_interrupted_at(context, &at);
    store_relaxed(&spot->at.pc, at.pc);
    store_relaxed(&spot->at.fp, at.fp);
    store_relaxed(&spot->at.sp, at.sp);
    uint32_t asked = WEFTI_SPOT_ASKED, shown = WEFTI_SPOT_SHOWN;
    bool inside = load_relaxed(&mp->inrt) || in_wrapper(context, false);
    if (!cas_seqcst(&spot->state, &asked, inside ? WEFTI_SPOT_NONE : WEFTI_SPOT_SHOWN) || inside)
        return; /* pairs with wefti_preempt_ask */
    store_relaxed(&S.shown, 1);
    store_seqcst(&S.monwake, 1);
    os_futex_wake(&S.monwake, 1);
    int64_t end = os_nanotime() + SHOW_AT_MOST;
    while (load_acquire(&spot->state) == WEFTI_SPOT_SHOWN && os_nanotime() < end) /* with let_go */
        os_futex_wait(&spot->state, WEFTI_SPOT_SHOWN, end);
    cas_seqcst(&spot->state, &shown, WEFTI_SPOT_NONE); /* pairs with the exchange in let_go */
}

/* Outside of the runtime until now. ThreadSanitizer sees this leaving, as it does others. */
static __attribute__((noinline)) void interrupted(struct m *mp, bool in_call) {
    store_relaxed(&mp->inrt, 1);
    compiler_barrier(); /* as in wefti_enter_as */
    give_up_p(mp, in_call);
    store_release(&mp->inrt, 0); /* as in wefti_leave */
}

static void on_preempt(int sig, siginfo_t *info, void *context);

WEFTI_IN_HANDLER static bool is_ours(const struct sigaction *action) {
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_preempt;
}

/* What would have happened without weft. */
WEFTI_IN_HANDLER static void pass(int sig, siginfo_t *info, void *context) {
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(sig, info, context);
    } else if (before.sa_handler == SIG_DFL) {
        if (sig == SIGURG || sig == SIGWINCH || sig == SIGCHLD || sig == SIGCONT) {
            os_in_system_call(sig, context); /* ignored: so it interrupts nothing */
            return;
        }
        struct sigaction now;
        if (sigaction(sig, NULL, &now) == 0 && is_ours(&now))
            sigaction(sig, &before, NULL);
        kill(getpid(), sig); /* it comes when this handler returns */
    } else if (before.sa_handler == SIG_IGN) {
        os_in_system_call(sig, context);
    } else {
        before.sa_handler(sig);
    }
}

/* It was weft that sent it. */
WEFTI_IN_HANDLER static bool was_sent(const struct m *mp, const siginfo_t *info) {
    return info->si_code == SI_TKILL && info->si_pid == owner &&
           (mp ? !load_relaxed(&mp->attn.is.foreign) && load_relaxed(&mp->signalled)
               : load_relaxed(&S.exiting));
}

WEFTI_IN_HANDLER static void on_preempt(int sig, siginfo_t *info, void *context) {
    int saved = errno;
    struct m *mp = arch_getm();
    if (!was_sent(mp, info)) {
        pass(sig, info, context);
    } else if (mp) {
        store_relaxed(&mp->signalled, 0);
        if (unlikely(wefti_knobs.stall > 0))
            show(mp, context);
        if (!load_relaxed(&mp->inrt)) {
            bool in_call = os_in_system_call(sig, context);
            if (!in_wrapper(context, in_call))
                interrupted(mp, in_call);
        }
    }
    errno = saved;
}

/* ---- asking ---- */

/* With the lock. */
static void signal_m(struct m *mp, int64_t now) {
    if (refused || load_relaxed(&S.phase) != WEFTI_UP || load_relaxed(&mp->attn.is.foreign) ||
        load_relaxed(&mp->tid) == 0 || !mp->alt_lo)
        return;
    if (load_relaxed(&mp->signalled)) {
        if (now - mp->signalled_at >= S.slice)
            store_relaxed(&mp->attn.is.deaf, 1);
        return;
    }
    mp->signalled_at = now;
    store_relaxed(&mp->signalled, 1);
    int err = os_signal_thread(load_relaxed(&mp->tid), S.preempt_signal);
    if (err != 0)
        store_relaxed(&mp->signalled, 0);
    if (err == EPERM || err == ENOSYS || err == EACCES) {
        refused = true;
        wefti_warn(
            "tgkill is forbidden (errno %d): goroutines are stopped at their weft calls only", err);
    }
}

void wefti_preempt_m(struct m *mp, enum wefti_preempt how, int64_t now) {
    store_relaxed(&mp->attn.is.preempt, (uint8_t)how);
    if (S.preempt_signal != 0 && !load_relaxed(&mp->inrt) && !load_relaxed(&mp->attn.is.bracket))
        signal_m(mp, now);
}

void wefti_preempt_p(struct p *pp, enum wefti_preempt how) {
    int64_t now = os_nanotime();
    wefti_lock(&S.lock); /* an M that has a P now ends later, so its record is no other's yet */
    struct m *mp = load_relaxed(&pp->m);
    if (mp)
        wefti_preempt_m(mp, how, now);
    wefti_unlock(&S.lock);
}

bool wefti_preempt_ask(struct m *mp) {
    int64_t now = os_nanotime();
    if (S.preempt_signal == 0)
        return false;
    store_seqcst(&mp->spot.state, WEFTI_SPOT_ASKED); /* pairs with show */
    wefti_lock(&S.lock);
    signal_m(mp, now);
    wefti_unlock(&S.lock);
    return true;
}

bool wefti_preempt_let_go(struct m *mp) {
    uint32_t was = xchg_seqcst(&mp->spot.state, WEFTI_SPOT_NONE); /* pairs with show */
    if (was == WEFTI_SPOT_SHOWN)
        os_futex_wake(&mp->spot.state, 1);
    return was == WEFTI_SPOT_SHOWN;
}

void wefti_preempt_listen(struct m *mp) {
    if (S.preempt_signal)
        os_signal_unblock(S.preempt_signal);
    wefti_lock(&S.lock); /* none is on its way */
    os_yield();          /* one that was sent is handled when this returns */
    store_relaxed(&mp->signalled, 0);
    store_relaxed(&mp->attn.is.deaf, 0);
    wefti_unlock(&S.lock);
}

/* ---- the disposition ---- */

int wefti_preempt_signal(void) {
    static bool said;
    if (wefti_knobs.asyncpreemptoff || wefti_knobs.seeded)
        return 0;
    if (wefti_knobs.preemptsignal == 0)
        return SIGURG;
    if (os_signal_usable(wefti_knobs.preemptsignal))
        return (int)wefti_knobs.preemptsignal;
    if (!said)
        wefti_warn("GODEBUG: signal %lld can't preempt: SIGURG does",
                   (long long)wefti_knobs.preemptsignal);
    said = true;
    return SIGURG;
}

int wefti_preempt_signal_now(void) {
    return S.preempt_signal;
}

/* All but those that the handler's own faults would raise, and the C library's. */
static void handler_mask(sigset_t *mask) {
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    sigfillset(mask);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        sigdelset(mask, open[i]);
}

void wefti_preempt_install(void) {
    owner = getpid();
    int sig = S.preempt_signal;
    if (installed == sig)
        return;
    if (installed) /* for the sake of those set aside */
        sigaction(installed, &before, NULL);
    installed = sig;
    if (sig == 0)
        return;
#ifdef WEFTI_TSAN
    nwraps = 0;
    dl_iterate_phdr(find_wraps, NULL);
#endif
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_preempt;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    handler_mask(&action.sa_mask);
    sigaction(sig, NULL, &before);
    action.sa_flags |= before.sa_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT);
    sigaction(sig, &action, NULL);
#ifdef WEFTI_TSAN
    os_signal_directly(sig, on_preempt);
#endif
}

static void restore(void) {
    struct sigaction now;
    if (installed && sigaction(installed, NULL, &now) == 0 && is_ours(&now))
        sigaction(installed, &before, NULL);
    installed = 0;
}

void wefti_preempt_settle(struct m *mp) {
    os_yield();
    if (load_relaxed(&mp->signalled)) /* goroutine code blocked it */
        wefti_preempt_listen(mp);
}

/* A thread that was set aside may have a signal on its way: for it the handler stays. */
void wefti_preempt_remove(void) {
    if (!S.stragglers)
        restore();
}

void wefti_preempt_after_fork(void) {
    restore();
}
