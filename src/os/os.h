/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime asks of the operating system, and nothing else of it does: src/os/<name>/ fills
 * it.
 *
 * None of these takes a libc lock but os_thread_create and os_thread_join, which only the spawner
 * thread and the thread in weft_run or weft_start call. Each is a seam for a test that makes the
 * Nth call fail (os_fail_after).
 */
#ifndef WEFTI_OS_OS_H
#define WEFTI_OS_OS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- futex: sleeps while *word == value; deadline in nanoseconds of os_nanotime, or -1 ---- */
void os_futex_wait(uint32_t *word, uint32_t value, int64_t deadline);
void os_futex_wake(uint32_t *word, int count);

/* ---- clocks: monotonic nanoseconds; the coarse one costs a few and is some milliseconds behind
 * ---- */
int64_t os_nanotime(void);
int64_t os_coarsetime(void);

/* ---- memory: zeroed, page aligned, committed by touch; NULL when there is none ---- */
void *os_reserve(size_t size, size_t align);
void os_release(void *start, size_t size);
/* Gives the pages back; they read as zeroes when touched again. */
void os_discard(void *start, size_t size);
void os_no_huge_pages(void *start, size_t size);
bool os_make_executable(void *start, size_t size);

/* Guard ranges: inside a mapping without splitting it (Linux 6.13), or by taking access away
 * (splits it). */
bool os_guard_install(void *start, size_t size);
bool os_guard_protect(void *start, size_t size);
/* Copies from anywhere in this process, up to the first byte that can't be read; how many. */
size_t os_read_memory(uintptr_t from, void *to, size_t size);
/* Mappings that hold code, in order of address, n at most. Texts are cut into `names`. */
struct os_mapping {
    uintptr_t start, end;
    uint64_t offset;  /* in the file */
    const char *file; /* "" or "[…]": none */
};
size_t os_code_mappings(struct os_mapping *maps, size_t n, char *names, size_t size);
/* How many mappings the process may have. */
long os_max_mappings(void);
/* True when the program was linked or loaded such that stacks must be executable. */
bool os_executable_stacks(void);

/* ---- readiness of descriptors; `events` and `ready` are poll(2)'s bits ---- */
struct os_poller {
    int set;  /* what is watched */
    int bell; /* ends a wait */
};
struct os_event {
    uint64_t token;
    short ready;
};
int os_poller_open(struct os_poller *poller); /* 0 or an errno, as of those below */
void os_poller_close(struct os_poller *poller);
/* Every change of fd's state from now on is an event, until it is forgotten or closed. */
int os_poller_watch(const struct os_poller *poller, int fd, uint64_t token);
/* The next time that fd is in one of these states, or now, is an event, and the last one. `known`:
 * fd may be in the set, try that first; *added: it was not. EPERM: fd can't be watched. */
int os_poller_arm(const struct os_poller *poller, int fd, uint64_t token, short events, bool known,
                  bool *added);
void os_poller_forget(const struct os_poller *poller, int fd);
/* Takes events that are there, n at most. */
int os_poller_collect(const struct os_poller *poller, struct os_event *events, int n);
/* Waits until there are events (true), the bell rang or the deadline passed (-1: none). 0: only
 * looks, and leaves the bell alone. */
bool os_poller_wait(const struct os_poller *poller, int64_t deadline);
/* Ends the present or the next wait; from any thread. */
void os_poller_ring(const struct os_poller *poller);

/* ---- threads ---- */
struct os_thread {
    uint64_t handle;
};
/* Starts a joinable thread with all signals blocked; 0 or an errno. */
int os_thread_create(struct os_thread *thread, size_t stack, void *(*fn)(void *), void *arg);
bool os_thread_join(struct os_thread *thread, bool wait); /* false: it still runs */
void os_thread_self(struct os_thread *thread);
void os_thread_detach(struct os_thread *thread);
void os_thread_name(const char *name);
uint32_t os_gettid(void);
void os_yield(void);
/* Sleeps and time-outs of this thread are not rounded up. */
void os_exact_timers(void);
/* Bounds of the calling thread's own stack. */
void os_thread_stack(void **lo, void **hi);
/* Nanoseconds of CPU time that a thread of this process has used, or -1. */
int64_t os_thread_cpu(uint32_t tid);
/* Asleep in the kernel, or not. BLOCKED is also a fence between the two: what the caller stored
 * before, that thread sees when it goes on. */
enum os_task { OS_TASK_UNKNOWN, OS_TASK_RUNS, OS_TASK_BLOCKED };
struct os_call {
    int number; /* -1: in none, or not known */
    uint64_t args[6], sp, pc;
};
/* `call` may be NULL; it says something when the thread is blocked. */
enum os_task os_thread_state(uint32_t tid, struct os_call *call);
/* What it has used since it began. */
struct os_usage {
    int64_t cpu, system; /* nanoseconds on a CPU; of those, in the kernel (in steps of a tick) */
    int64_t waited;      /* nanoseconds runnable, without a CPU */
    uint64_t faults;     /* page faults … */
    uint64_t reads;      /* … and those that had to read from a disk */
};
bool os_thread_usage(uint32_t tid, struct os_usage *usage);
/* The name of a system call; false: not known. */
bool os_call_name(int64_t number, char *name, size_t size);
/* Threads in this process now, or -1. */
int os_thread_count(void);

/* ---- signals ---- */
struct os_sigmask {
    uint64_t bits[16];
};
void os_sigmask_get(struct os_sigmask *mask);
void os_sigmask_set(const struct os_sigmask *mask);
void os_sigmask_without(struct os_sigmask *mask, int sig);
void os_signal_unblock(int sig); /* for this thread */
/* A program may handle it, and go on: neither the kernel's alone, nor about an instruction that
 * would run again and again, nor the C library's. */
bool os_signal_usable(int64_t sig);
/* ThreadSanitizer would put sig's handler, which is set by sigaction, off until the thread's next
 * call that it wraps, and merge real-time signals: the kernel gets it behind its back. What runs in
 * it must not be instrumented (WEFTI_IN_HANDLER), nor call what is wrapped. */
void os_signal_directly(int sig, void (*handler)(int, siginfo_t *, void *));
/* To one thread of this process; 0 or an errno: ESRCH if there is none. */
int os_signal_thread(uint32_t tid, int sig);
/*
 * By a signal's handler, with its first and third argument: true when it interrupted a system call
 * that goes on, or is made again, when the handler returns. One that would fail with EINTR is made
 * to be made again where that does no harm; otherwise the answer is false.
 */
bool os_in_system_call(int sig, void *context);
/* By the same: where it interrupted its thread. */
struct os_regs {
    uintptr_t pc, fp, sp;
};
void os_interrupted_at(const void *context, struct os_regs *regs);

/* ---- CPUs: in a thread's affinity mask (0: the caller's); what the cgroup quotas of this process
 * allow, rounded up (0: no limit) ---- */
int os_cpus(uint32_t tid);
int os_cpu_quota(void);
/* Tests only: another machine than this one. */
struct os_pretend {
    const char *root; /* of /proc and the cgroups; NULL: the system's */
    int cpus;         /* in every mask; 0: the system's */
};
extern struct os_pretend os_pretend;

/* ---- files, for reading ---- */
int os_file_open(const char *path); /* -1: no */
size_t os_file_read(int fd, void *into, size_t size, uint64_t offset);
void os_file_close(int fd);

/* ---- where threads run (linux/affinity.c) ---- */
struct os_affinity {
    uint64_t bits[16];
};
int os_cpu(void); /* that the caller is on */
/* The caller has all CPUs that it may have, and gets those that will be added. */
bool os_unrestricted(void);
/* Keeps a sleeping thread to one of its CPUs, until os_unpin. `model`: a thread that is known to
 * be unrestricted, or 0. False: nothing was done. */
bool os_pin(uint32_t tid, int cpu, uint32_t model, struct os_affinity *before);
void os_unpin(uint32_t tid, int cpu, const struct os_affinity *before);

/* ---- output and the end ---- */
void os_write(int fd, const char *text, size_t n);
__attribute__((noreturn)) void os_exit_now(int status);

/* The call number `n` from now on of the failing kinds (reserve, thread_create) fails; 0: none.
 * Tests only. */
extern int64_t os_fail_after;

#endif
