/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all stress programs share: a seed, a span of time, a way to fail.
 *
 * A program runs rounds for WEFT_STRESS_SECONDS (1 unless set; at least one round).  All that it
 * draws comes from WEFT_STRESS_SEED, or from the clock when that is not set; with GOMAXPROCS=1 and
 * GODEBUG=schedseed=N the seed repeats a run, otherwise it repeats the shape of the load.
 *
 * A program ends with status 0 and one line that sums up what it did, or with status 1 and what
 * went wrong and the seed.  A run that gets stuck is ended by alarm(2) in the same way; its handler
 * only writes what was composed beforehand.
 *
 * Each part (chan, cancel, lock, timer, spawn, block) is a function X_rounds(rand) in X_stress.c.
 * mixed_stress.c includes them all, with STRESS_MIXED defined, and runs them at once.
 */
#ifndef WEFT_STRESS_H
#define WEFT_STRESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weft.h>

/* ---- random numbers: one state a goroutine, so that no draw depends on another's speed ---- */

struct stress_rand {
    uint64_t state;
};

static inline uint64_t stress_next(struct stress_rand *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 … n - 1 */
static inline int stress_below(struct stress_rand *r, int n) {
    return (int)(stress_next(r) % (uint64_t)n);
}

static inline bool stress_one_in(struct stress_rand *r, int n) {
    return stress_below(r, n) == 0;
}

/* A state of its own for a new goroutine. */
static inline struct stress_rand stress_split(struct stress_rand *r) {
    return (struct stress_rand){stress_next(r)};
}

/* ---- time and failure ---- */

static uint64_t stress_seed;
static weft_time stress_end;
static const char *stress_name;
static char stress_stuck_text[128];

static inline bool stress_more(void) {
    return weft_now() < stress_end;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STRESS_SANITIZED 1
#endif
#endif
#ifndef STRESS_SANITIZED
#define STRESS_SANITIZED 0
#endif

/* The load of a round shrinks under a sanitizer, which makes everything several times slower. */
static inline int stress_scale(int n) {
    return STRESS_SANITIZED && n > 8 ? n / 4 : n;
}

__attribute__((noreturn, format(printf, 3, 4))) static void stress_fail(const char *file, int line,
                                                                        const char *format, ...) {
    char text[512];
    int n = snprintf(text, sizeof text, "%s:%d: %s: ", file, line, stress_name);
    va_list ap;
    va_start(ap, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n, format, ap);
    va_end(ap);
    dprintf(2, "%s (WEFT_STRESS_SEED=%" PRIu64 ")\n", text, stress_seed);
    _exit(1);
}

#define STRESS_FAIL(...) stress_fail(__FILE__, __LINE__, __VA_ARGS__)
#define STRESS_CHECK(condition)                                                                    \
    ((condition) ? (void)0 : stress_fail(__FILE__, __LINE__, "not so: %s", #condition))

static inline void stress_stuck(int sig) {
    (void)sig;
    ssize_t n = write(2, stress_stuck_text, strlen(stress_stuck_text));
    (void)n;
    _exit(1);
}

static inline long stress_env(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtol(text, NULL, 0) : otherwise;
}

static inline struct stress_rand stress_begin(const char *name) {
    long seconds = stress_env("WEFT_STRESS_SECONDS", 1);
    const char *seed = getenv("WEFT_STRESS_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    stress_name = name;
    stress_seed = seed != NULL && *seed != '\0'
                      ? strtoull(seed, NULL, 0)
                      : (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec;
    stress_end = weft_now() + seconds * WEFT_SECOND;
    snprintf(stress_stuck_text, sizeof stress_stuck_text,
             "%s: stuck (WEFT_STRESS_SEED=%" PRIu64 ")\n", name, stress_seed);
    struct sigaction stuck = {.sa_handler = stress_stuck, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigaction(SIGALRM, &stuck, NULL);
    alarm((unsigned)(seconds * 4 + 120));
    return (struct stress_rand){stress_seed};
}

/* The line that sums up; the value is the program's status. */
__attribute__((format(printf, 1, 2))) static inline int stress_passed(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    printf("%s: ", stress_name);
    vprintf(format, ap);
    printf(" (WEFT_STRESS_SEED=%" PRIu64 ")\n", stress_seed);
    va_end(ap);
    return 0;
}

/* A short rest: nothing, a yield or a sleep. */
static inline void stress_rest(struct stress_rand *r) {
    switch (stress_below(r, 8)) {
    case 0:
        weft_sleep(stress_below(r, 200) * WEFT_MICROSECOND);
        break;
    case 1:
    case 2:
        weft_yield();
        break;
    default:
        break;
    }
}

#endif
