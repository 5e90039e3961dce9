/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conform.h: what the conformance tests share.
 *
 * Purpose: the tests state behaviours by their ids (groups G, C, S, X, T, M ...) and must neither
 * hang nor depend on how fast the machine is. Three tools keep them so:
 *
 *   EVENTUALLY(cond)  yields until cond holds; fails in the end if it never does. A test that waits
 *                     for an event uses a channel or this, never a sleep.
 *   settle()          lets every other goroutine run until it parks. It means that only with one P
 *                     (TEST1): each yield goes behind all runnable goroutines, so even one that
 *                     was preempted on the way to its park gets there within a few rounds.
 *   quiet_for(d)      the one place that sleeps on purpose: it checks that something does NOT
 *                     happen, so a slow machine can only make such a test less strict.
 *
 * Durations are compared downwards only ("no earlier than").
 */
#ifndef WEFT_TESTS_CONFORM_H
#define WEFT_TESTS_CONFORM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft.h>

#include "trace.h"
#include "weft_test.h"

/* Under a sanitizer rounds are dear, and what a process resides in says nothing. */
#define SANITIZED (test_slowness() > 1)
#define ROUNDS(n) (((n) + test_slowness() - 1) / test_slowness())

/* ThreadSanitizer knows 8128 threads and goroutines at a time, and is slow long before that. */
#ifdef __SANITIZE_THREAD__
#define FEW_FIBERS 1
#else
#define FEW_FIBERS 0
#endif

/* A test whose point needs one P: orders, and "parked" as settle() brings it about. */
#define TEST1(name) TEST_ENV(name, "GOMAXPROCS=1")

/* Below the watchdog of the harness, so that a failure names what was waited for. */
#define EVENTUALLY_LIMIT (40 * WEFT_SECOND * test_slowness())

#define EVENTUALLY(cond)                                                                           \
    do {                                                                                           \
        weft_time eventually_end = weft_now() + EVENTUALLY_LIMIT;                                  \
        while (!(cond)) {                                                                          \
            if (weft_now() > eventually_end)                                                       \
                FAIL("never came true: %s", #cond);                                                \
            weft_yield();                                                                          \
        }                                                                                          \
    } while (0)

static inline void settle(void) {
    for (int i = 0; i < 64; i++)
        weft_yield();
}

static inline void quiet_for(weft_duration d) {
    weft_sleep(d);
}

/*
 * A goroutine that makes others change threads, which on a busy machine they may not do for long
 * by themselves: it holds its P, without a weft call, until *progress moved, so that those behind
 * it in its queue must be run by other threads. The others count *progress up; *stop ends it.
 */
static inline void stir(_Atomic long *progress, _Atomic bool *stop) {
    while (!*stop) {
        long seen = *progress;
        for (int i = 0; i < 1000000 && *progress == seen && !*stop; i++)
            continue;
        weft_yield();
    }
}

/*
 * Wait reasons are read from the G lines of the scheduler's trace (trace.h) on stderr. A test that
 * asks for one runs with TRACE_ENV.
 */
#define TRACE_ENV "GODEBUG=schedtrace=5,scheddetail=1"

static inline bool parks_with(struct trace_capture *c, const char *reason) {
    bool seen = trace_await_reason(c, reason, 1);
    trace_release(c);
    close(c->memory);
    return seen;
}

/* Resident set of this process in bytes. */
static inline size_t resident_bytes(void) {
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL || fscanf(f, "%lu %lu", &size, &resident) != 2)
        abort();
    fclose(f);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

#endif
