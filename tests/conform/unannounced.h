/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unannounced.h: what the tests of Ps taken from goroutines that sleep in the kernel share.
 *
 * WITHOUT_SIGNAL is the environment of most: one P, and no preemption by signal. What comes after a
 * call that blocks can run only if the monitor takes the P from outside; otherwise the test hangs.
 */
#ifndef WEFT_TESTS_UNANNOUNCED_H
#define WEFT_TESTS_UNANNOUNCED_H

#include "hogs.h"

#include <sys/syscall.h>

#define WITHOUT_SIGNAL "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"

static inline long thread_id(void) {
    return syscall(SYS_gettid);
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
