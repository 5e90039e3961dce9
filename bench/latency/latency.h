/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cases share: the table they register in, their rows, their clocks, the ping-pong beside.
 *
 * A case is run once by a process of its own, in the application's goroutine, and prints its rows.
 * What each row says is in ../README.md.
 */
#ifndef WEFT_LATENCY_H
#define WEFT_LATENCY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <weft.h>

typedef int64_t i64;

#define MS ((i64)1000000)
#define LAT_SLICE (10 * MS)

struct lat_case {
    const char *name;
    int only_p; /* the case makes sense with that many Ps only; 0: with any number */
    void (*run)(void);
};

/* One table a file, ended by a case without name. */
extern const struct lat_case lat_hogs[], lat_handoffs[], lat_tickers[], lat_calls[], lat_threads[];

extern int lat_p;      /* GOMAXPROCS */
extern i64 lat_window; /* nanoseconds that a measurement takes */

void lat_row(double value, const char *format, ...) __attribute__((format(printf, 2, 3)));

i64 lat_process_cpu(void); /* nanoseconds of the process's threads */
int lat_thread_count(void);

void lat_sort(i64 *values, size_t n);
i64 lat_percentile(const i64 *sorted, size_t n, double p); /* nearest rank */

/* PREFIX_p50_us, PREFIX_p99_us, PREFIX_max_us; sorts. */
void lat_row_percentiles(const char *prefix, i64 *values, size_t n);

_Noreturn void lat_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            lat_fail(__VA_ARGS__);                                                                 \
    } while (0)

/* Without a weft call. */
static inline i64 lat_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (i64)t.tv_sec * 1000 * MS + t.tv_nsec;
}

/* Two goroutines that play ping-pong until they are told to stop. */
struct lat_pair {
    weft_chan(i64) there, back;
    _Atomic i64 rounds;
    _Atomic bool stop;
    weft_wg players;
};

void lat_pair_start(struct lat_pair *pair);
void lat_pair_stop(struct lat_pair *pair);
double lat_pair_alone(struct lat_pair *pair); /* round trips a second; takes half a second */

#endif
