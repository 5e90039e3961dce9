/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goroutines that compute for ever: how the CPU is shared among them, and what sharing it costs.
 *
 * A hog makes no weft call, so it never leaves its thread, and its share is what that thread's CPU
 * clock says. How often it went round its loop says less: virtual CPUs differ in speed.
 */
#include "latency.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANY = 1000 };

/* Between two looks at the clock: less than any hand-over of a P, more than a timer's interrupt. */
#define BLINK 20000

static struct hog {
    clockid_t clock;
    i64 base;           /* what the clock showed when it began */
    _Atomic i64 began;  /* when */
    _Atomic i64 inside; /* nanoseconds in its own loop (measured) */
} __attribute__((aligned(128))) hogs[MANY];

static i64 read_clock(clockid_t clock) {
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0, "a thread's CPU clock can't be read");
    return (i64)t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void begin(struct hog *h) {
    CHECK(pthread_getcpuclockid(pthread_self(), &h->clock) == 0, "no CPU clock");
    h->base = read_clock(h->clock);
    h->began = lat_clock();
}

static void hog(struct hog *h) {
    begin(h);
    for (;;)
        __asm__ volatile("");
}

/* Adds up the time it is at work. What takes it off its loop leaves a gap in the clock. */
static void measured(struct hog *h) {
    begin(h);
    i64 inside = 0;
    for (i64 now, last = lat_clock();; last = now) {
        now = lat_clock();
        if (now - last < BLINK)
            atomic_store_explicit(&h->inside, inside += now - last, memory_order_relaxed);
    }
}

static i64 cpu_of(const struct hog *h) {
    return h->began ? read_clock(h->clock) - h->base : 0;
}

/* ---- shares ---- */

static int how_many_began(int n) {
    int began = 0;
    for (int i = 0; i < n; i++)
        began += hogs[i].began != 0;
    return began;
}

static void run_four(void) {
    i64 before[4], least = INT64_MAX, most = 0;
    for (int i = 0; i < 4; i++)
        CHECK(weft_go(hog, &hogs[i]) == 0, "out of goroutines");
    for (int waits = 0; how_many_began(4) < 4; waits++) {
        CHECK(waits < 1000, "a hog never ran");
        weft_sleep(10 * MS);
    }
    for (int i = 0; i < 4; i++)
        before[i] = cpu_of(&hogs[i]);
    weft_sleep(lat_window);
    for (int i = 0; i < 4; i++) {
        i64 cpu = cpu_of(&hogs[i]) - before[i];
        least = cpu < least ? cpu : least;
        most = cpu > most ? cpu : most;
    }
    lat_row((double)most / (double)least, "hogs4_ratio");
}

/* From the moment when all have begun, or, `early`, from the start. */
static void run_crowd(int n, i64 window, bool early) {
    i64 *cpu = calloc((size_t)n, sizeof *cpu), start = lat_clock(), last = 0, sum = 0;
    CHECK(cpu != NULL, "out of memory");
    for (int i = 0; i < n; i++)
        CHECK(weft_go(hog, &hogs[i]) == 0, "out of goroutines");
    if (early)
        weft_sleep(window - (lat_clock() - start));
    while (how_many_began(n) < n && lat_clock() - start < 10 * window)
        weft_sleep(10 * MS);
    if (!early) {
        for (int i = 0; i < n; i++)
            cpu[i] = -cpu_of(&hogs[i]);
        weft_sleep(window);
    }
    for (int i = 0; i < n; i++) {
        sum += cpu[i] += cpu_of(&hogs[i]);
        last = hogs[i].began > last ? hogs[i].began : last;
    }
    lat_sort(cpu, (size_t)n);
    lat_row(how_many_began(n), "hogs%d_ran", n);
    lat_row((double)(last - start) / 1e6, "hogs%d_last_began_ms", n);
    lat_row((double)cpu[0] / (double)LAT_SLICE, "hogs%d_min_slices", n);
    lat_row((double)sum / n / (double)LAT_SLICE, "hogs%d_mean_slices", n);
    lat_row((double)cpu[n - 1] / (double)LAT_SLICE, "hogs%d_max_slices", n);
    free(cpu);
}

static void run_hundred(void) {
    run_crowd(100, lat_window, false);
}

static void run_thousand(void) {
    run_crowd(1000, lat_window * 11 / 5, true);
}

/* ---- overhead ---- */

static i64 inside_of_all(int n) {
    i64 sum = 0;
    for (int i = 0; i < n; i++)
        sum += hogs[i].inside;
    return sum;
}

/* A thread of its own, since without preemption no goroutine gets a turn beside the hogs. */
static void *watches(void *arg) {
    int n = *(int *)arg;
    usleep(200000);
    i64 start = lat_clock(), cpu = lat_process_cpu(), inside = inside_of_all(n);
    usleep((useconds_t)(lat_window / 1000));
    double wall = (double)(lat_clock() - start);
    double used = (double)(lat_process_cpu() - cpu), in_loops = (double)(inside_of_all(n) - inside);
    lat_row(100 * in_loops / (wall * lat_p), "overhead%d_share_pct", n);
    lat_row(100 * (used - in_loops) / used, "overhead%d_of_cpu_pct", n);
    fflush(stdout);
    _exit(0);
}

static void run_overhead(int n) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, watches, &n) == 0, "no thread");
    for (int i = 0; i < n; i++)
        CHECK(weft_go(measured, &hogs[i]) == 0, "out of goroutines");
    weft_recv((weft_chan(i64))NULL, NULL);
}

static void run_overhead_nobody_waits(void) {
    run_overhead(2);
}

static void run_overhead_two_wait(void) {
    run_overhead(4);
}

/* ---- a pair that hands on to each other, beside one that computes on the same P ---- */

static void run_pair(void) {
    struct lat_pair pair;
    lat_pair_start(&pair);
    double alone = lat_pair_alone(&pair);
    CHECK(weft_go(hog, &hogs[0]) == 0, "out of goroutines");
    i64 start = lat_clock(), before = pair.rounds;
    weft_sleep(lat_window);
    double wall = (double)(lat_clock() - start);
    lat_row(alone, "pair_alone_per_s");
    lat_row((double)(pair.rounds - before) * 1e9 / wall, "pair_beside_hog_per_s");
}

const struct lat_case lat_hogs[] = {
    {.name = "hogs4", .only_p = 2, .run = run_four},
    {.name = "hogs100", .only_p = 2, .run = run_hundred},
    {.name = "hogs1000", .only_p = 2, .run = run_thousand},
    {.name = "pair", .only_p = 1, .run = run_pair},
    {.name = "overhead2", .only_p = 2, .run = run_overhead_nobody_waits},
    {.name = "overhead4", .only_p = 2, .run = run_overhead_two_wait},
    {0},
};
