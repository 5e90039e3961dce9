/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hogs.h: goroutines that compute and make no weft call, for the tests of what takes their P from
 * them.
 *
 * Hog i counts in counted[i]. All of them, and those of a test's own that look at it, end with
 * `stop`.
 */
#ifndef WEFT_TESTS_HOGS_H
#define WEFT_TESTS_HOGS_H

#include "conform.h"

#include <stdatomic.h>
#include <time.h>

static atomic_bool stop;
static atomic_ulong counted[128];

/* Without an access to memory, which ThreadSanitizer would be in, and not to be interrupted. */
static inline void compute(void) {
    for (int i = 0; i < 1000; i++)
        __asm__ volatile("" : "+r"(i));
}

static inline void hog(int i) {
    for (; !stop; compute())
        counted[i]++;
}

static inline void start_hogs(int n) {
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_go(hog, i), 0);
}

static inline void stop_hogs(void) {
    stop = true;
    EVENTUALLY(weft_num_goroutine() == 1);
    stop = false;
}

/* Takes turns with them. */
static inline void beside(atomic_long *n) {
    while (!stop) {
        (*n)++;
        weft_yield();
    }
}

static inline int64_t nanos(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline void hog_for(int64_t span) {
    for (int64_t end = nanos() + span; nanos() < end;)
        compute();
}

#endif
