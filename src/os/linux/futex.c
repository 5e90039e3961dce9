/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping and waking, clocks, the plain system calls of Linux. */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../os.h"

/* The kernel takes an absolute monotonic time with FUTEX_WAIT_BITSET: no clock is read to make it
 * relative. */
void os_futex_wait(uint32_t *word, uint32_t value, int64_t deadline) {
    int saved = errno;
    struct timespec ts, *tsp = NULL;
    if (deadline >= 0) {
        ts.tv_sec = (time_t)(deadline / 1000000000);
        ts.tv_nsec = (long)(deadline % 1000000000);
        tsp = &ts;
    }
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, tsp, NULL, FUTEX_BITSET_MATCH_ANY);
    errno = saved;
}

void os_futex_wake(uint32_t *word, int count) {
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

static int64_t clock_read(clockid_t clock) {
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t os_nanotime(void) {
    return clock_read(CLOCK_MONOTONIC);
}

int64_t os_coarsetime(void) {
    return clock_read(CLOCK_MONOTONIC_COARSE);
}

void os_yield(void) {
    sched_yield();
}

uint32_t os_gettid(void) {
    return (uint32_t)syscall(SYS_gettid);
}

void os_exact_timers(void) {
    prctl(PR_SET_TIMERSLACK, 1UL);
}

void os_write(int fd, const char *text, size_t n) {
    int saved = errno;
    while (n > 0) {
        ssize_t k = write(fd, text, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        text += k;
        n -= (size_t)k;
    }
    errno = saved;
}

void os_exit_now(int status) {
    _exit(status);
}
