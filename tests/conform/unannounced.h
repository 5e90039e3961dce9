/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unannounced.h: what the tests of Ps taken from goroutines that sleep in the kernel share.
 *
 * WITHOUT_SIGNAL is the environment of most: one P, and no preemption by signal. What comes after a
 * call that blocks can run only if the monitor takes the P from outside; otherwise the test hangs.
 */
#ifndef WEFT_TESTS_UNANNOUNCED_H
#define WEFT_TESTS_UNANNOUNCED_H

#include "conform.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#define WITHOUT_SIGNAL "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"

static inline long thread_id(void) {
    return syscall(SYS_gettid);
}

/* Computes for this long, without a weft call. */
static inline void compute_for(long milliseconds) {
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += milliseconds * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    do {
        for (int i = 0; i < 1000; i++)
            __asm__ volatile("" : "+r"(i));
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

/* ---- a pipe: who reads from it sleeps until the test writes ---- */

static int ends[2];
static atomic_int inside; /* about to read, or reading */

static inline void open_ends(void) {
    CHECK_EQ(pipe(ends), 0);
}

static inline void close_ends(void) {
    close(ends[0]);
    close(ends[1]);
}

static inline void read_byte(void) {
    char c = 0;
    inside++;
    ssize_t n = read(ends[0], &c, 1);
    inside--;
    CHECK_EQ(n, 1);
    CHECK_EQ(c, 'x');
}

static inline void write_bytes(int n) {
    for (int i = 0; i < n; i++)
        CHECK_EQ(write(ends[1], "x", 1), 1);
}

#endif
