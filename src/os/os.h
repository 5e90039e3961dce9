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
/* How many mappings the process may have. */
long os_max_mappings(void);
/* True when the program was linked or loaded such that stacks must be executable. */
bool os_executable_stacks(void);

/* ---- threads ---- */
struct os_thread {
    uint64_t handle;
};
/* Starts a joinable thread with all signals blocked; 0 or an errno. */
int os_thread_create(struct os_thread *thread, size_t stack, void *(*fn)(void *), void *arg);
void os_thread_join(struct os_thread *thread);
void os_thread_self(struct os_thread *thread);
void os_thread_detach(struct os_thread *thread);
void os_thread_name(const char *name);
uint32_t os_gettid(void);
void os_yield(void);
/* Sleeps and time-outs of this thread are not rounded up. */
void os_exact_timers(void);
/* Bounds of the calling thread's own stack. */
void os_thread_stack(void **lo, void **hi);
/* Threads in this process now, or -1. */
int os_thread_count(void);

/* ---- signals ---- */
struct os_sigmask {
    uint64_t bits[16];
};
void os_sigmask_get(struct os_sigmask *mask);
void os_sigmask_set(const struct os_sigmask *mask);

/* ---- CPUs: in the affinity mask; what the cgroup quotas of this process allow, rounded up (0: no
 * limit) ---- */
int os_cpus(void);
int os_cpu_quota(void);

/* ---- output and the end ---- */
void os_write(int fd, const char *text, size_t n);
__attribute__((noreturn)) void os_exit_now(int status);

/* The call number `n` from now on of the failing kinds (reserve, thread_create) fails; 0: none.
 * Tests only. */
extern int64_t os_fail_after;

#endif
