/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cases share: the table they register in, their sizes, their verification, their clock.
 *
 * A case is a function that does the whole work once and fills in one number per row. It runs
 * inside the application's goroutine. What it counts, and what must come out, is in ../README.md.
 */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <weft.h>

typedef int64_t i64;

enum { BENCH_MAX_ROWS = 4 };

struct bench_case {
    const char *name;
    int max_reps; /* the environment's K (5) may ask for fewer, never for more; 0: as many as K */
    bool warm;    /* one untimed run at a tenth of the size goes first */
    int only_p;   /* the case makes sense with that many Ps only; 0: with any number */
    const char *rows; /* the rows' names, separated by blanks; NULL: the case's name */
    void (*run)(double *out);
};

/* One table a file, ended by a case without name. */
extern const struct bench_case bench_switch[], bench_spawn[], bench_chans[], bench_select[],
    bench_locks[], bench_time[], bench_memory[];

extern int bench_p; /* GOMAXPROCS */

i64 bench_n(i64 full); /* a count of operations: a tenth of it in the warm-up */

i64 bench_cpu_ns(void);    /* user and system time of the process */
i64 bench_mem_bytes(void); /* VmRSS and VmPTE */

void bench_sort(i64 *values, size_t n);
double bench_percentile(const i64 *sorted, size_t n, double p); /* nearest rank */

uint64_t bench_xorshift(uint64_t *state);

/* Yields until the counter has reached `want`. */
void bench_await(const _Atomic i64 *counter, i64 want);

_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            bench_fail(__VA_ARGS__);                                                               \
    } while (0)

/* Nanoseconds per operation of a function that returns how many it did. */
static inline double bench_per_op(i64 (*work)(void)) {
    weft_time start = weft_now();
    i64 ops = work();
    return (double)(weft_now() - start) / (double)ops;
}

/* Milliseconds that a function takes. */
static inline double bench_whole_ms(void (*work)(void)) {
    weft_time start = weft_now();
    work();
    return (double)(weft_now() - start) / 1e6;
}

#endif
