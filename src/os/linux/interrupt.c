/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupting one thread, and what a signal's handler can tell of what it interrupted.
 *
 * System calls. When a signal interrupts a call that blocks, the kernel either makes the call again
 * after the handler (SA_RESTART): then the saved registers point at the `syscall` instruction, with
 * the call's number in rax. Or it lets the call fail with EINTR, whatever SA_RESTART says: then
 * they point behind the instruction and rax is -EINTR. What fails so are calls with a time-out and
 * some more; they are listed below, and os_in_system_call has them made again by setting the
 * registers as the kernel does in the first case. The number is no longer in a register, but it
 * stands in the instruction before, `mov $number, %eax`; where it does not (a call made through
 * syscall(2)), the call is left to fail.
 *
 * What making a call again means: a relative time-out begins anew. Calls that are not on the list
 * keep their EINTR: close has closed, and an ioctl is a driver's.
 *
 * If another signal is pending that the interrupted code does not block and the program has a
 * handler for, the EINTR may be meant for that one, so it stays. Signals that are ignored, SIGCHLD
 * mostly, interrupt nothing; they are pending only because weft's threads block them for a while.
 *
 * On other processors than x86-64 the first argument is lost when the call has failed, and nothing
 * is repaired.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "../os.h"

int os_signal_thread(uint32_t tid, int sig) {
    int saved = errno;
    int err = syscall(SYS_tgkill, getpid(), (pid_t)tid, sig) == 0 ? 0 : errno;
    errno = saved;
    return err;
}

void os_signal_unblock(int sig) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void os_sigmask_without(struct os_sigmask *mask, int sig) {
    sigdelset((sigset_t *)mask, sig);
}

bool os_signal_usable(int64_t sig) {
    switch (sig) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
        return false;
    default: /* between SIGSYS and SIGRTMIN are those of the C library */
        return sig >= 1 && (sig <= SIGSYS || (sig >= SIGRTMIN && sig <= SIGRTMAX));
    }
}

#if defined(__x86_64__) || defined(__aarch64__)
void os_signal_directly(int sig, void (*handler)(int, siginfo_t *, void *)) {
    struct {
        void (*handler)(int, siginfo_t *, void *);
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } raw;
    if (syscall(SYS_rt_sigaction, sig, NULL, &raw, sizeof raw.mask) != 0)
        return;
    raw.handler = handler;
    syscall(SYS_rt_sigaction, sig, &raw, NULL, sizeof raw.mask);
}
#else
void os_signal_directly(int sig, void (*handler)(int, siginfo_t *, void *)) {
    (void)sig, (void)handler;
}
#endif

/* The clock of a thread has an id of the kernel's making: its number, inverted, and flags. */
int64_t os_thread_cpu(uint32_t tid) {
    struct timespec ts;
    int saved = errno;
    clockid_t clock = (clockid_t)(~tid << 3 | 6);
    int64_t spent =
        clock_gettime(clock, &ts) == 0 ? (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec : -1;
    errno = saved;
    return spent;
}

__attribute__((no_sanitize("thread"))) void os_interrupted_at(const void *context,
                                                              struct os_regs *regs) {
    const mcontext_t *at = &((const ucontext_t *)context)->uc_mcontext;
#if defined(__x86_64__)
    regs->pc = (uintptr_t)at->gregs[REG_RIP];
    regs->fp = (uintptr_t)at->gregs[REG_RBP];
    regs->sp = (uintptr_t)at->gregs[REG_RSP];
#elif defined(__aarch64__)
    regs->pc = at->pc, regs->fp = at->regs[29], regs->sp = at->sp;
#elif defined(__riscv)
    regs->pc = at->__gregs[REG_PC], regs->fp = at->__gregs[REG_S0], regs->sp = at->__gregs[REG_SP];
#else
    (void)at, regs->pc = regs->fp = regs->sp = 0;
#endif
}

#ifdef __x86_64__

static const short again[] = {
    SYS_read,         SYS_readv,           SYS_preadv2,  SYS_recvfrom,      SYS_recvmsg,
    SYS_recvmmsg,     SYS_write,           SYS_writev,   SYS_sendto,        SYS_sendmsg,
    SYS_sendmmsg,     SYS_accept,          SYS_accept4,  SYS_connect,       SYS_poll,
    SYS_ppoll,        SYS_select,          SYS_pselect6, SYS_epoll_wait,    SYS_epoll_pwait,
    SYS_nanosleep,    SYS_futex,           SYS_msgrcv,   SYS_msgsnd,        SYS_semop,
    SYS_semtimedop,   SYS_rt_sigtimedwait, SYS_pause,    SYS_rt_sigsuspend, SYS_clock_nanosleep,
    SYS_io_getevents,
};

static bool listed(int number) {
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        if (again[i] == number)
            return true;
    return false;
}

static bool has_handler(int sig) {
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action; /* the kernel's: the C library may be in the middle of its own */
    return syscall(SYS_rt_sigaction, sig, NULL, &action, sizeof action.mask) == 0 &&
           action.handler != (void *)SIG_DFL && action.handler != (void *)SIG_IGN;
}

/* The program's handlers are to run as soon as this one, of `sig`, returns. */
static bool others_pending(const ucontext_t *uc, int sig) {
    uint64_t pending = 0, blocked;
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    memcpy(&blocked, &uc->uc_sigmask, sizeof blocked);
    pending &= ~blocked & ~((uint64_t)1 << (sig - 1));
    for (; pending != 0; pending &= pending - 1)
        if (has_handler(__builtin_ctzll(pending) + 1))
            return true;
    return false;
}

/* The number that the instruction before the call at `call` loads, or -1. */
static int number_before(const unsigned char *call) {
    int number;
    if (call[-5] != 0xb8 || (call[-6] & 0xf0) == 0x40) /* mov $…, %eax, not of another register */
        return -1;
    memcpy(&number, call - 4, sizeof number);
    return number;
}

/* The page before `at` can be read, if the bytes wanted reach into it. */
static bool readable_before(const unsigned char *at) {
    uintptr_t page = (uintptr_t)at & ~(uintptr_t)4095;
    unsigned char resident;
    return (uintptr_t)at - page >= 8 || syscall(SYS_mincore, page - 4096, 4096, &resident) == 0;
}

static bool is_call(const unsigned char *at) {
    return at[0] == 0x0f && at[1] == 0x05; /* an instruction that begins with 0x0f is not over */
}

bool os_in_system_call(int sig, void *context) {
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)regs[REG_RIP];
    if (is_call(at))
        return true;
    if (regs[REG_RAX] != -EINTR)
        return false;
    int saved = errno, number = -1;
    if (readable_before(at) && is_call(at - 2))
        number = number_before(at - 2);
    bool repair = number >= 0 && listed(number) && !others_pending(uc, sig);
    errno = saved;
    if (repair) {
        regs[REG_RAX] = number;
        regs[REG_RIP] -= 2;
    }
    return repair;
}

#else

bool os_in_system_call(int sig, void *context) {
    (void)sig, (void)context;
    return false;
}

#endif
