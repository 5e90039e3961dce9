/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that block the thread, and that weft is not told of: do others run meanwhile?
 *
 * Beside them two goroutines play ping-pong; their rate says how much of the Ps the calls kept.
 */
#include "latency.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* ---- 64 goroutines × 20 sleeps of 10 ms ---- */

enum { CALLERS = 64, CALLS = 20 };

enum between { NOTHING, A_YIELD, A_SEND, IN_BRACKETS };

struct callers {
    enum between between;
    weft_chan(i64) sink;
    _Atomic i64 calls;
    weft_wg wg, drain;
};

static void nap(bool bracket) {
    i64 start = lat_clock();
    int result = bracket ? weft_block(usleep(10000)) : usleep(10000);
    CHECK(result == 0, "usleep: %s", strerror(errno));
    CHECK(lat_clock() - start >= 10 * MS, "a short usleep");
}

static void calls(struct callers *c) {
    for (i64 i = 0; i < CALLS; i++) {
        nap(c->between == IN_BRACKETS);
        c->calls++;
        if (c->between == A_YIELD)
            weft_yield();
        else if (c->between == A_SEND)
            weft_send(c->sink, i);
    }
}

static void drains(struct callers *c) {
    while (weft_recv(c->sink, NULL))
        continue;
}

static void run_sleeps(enum between between, const char *name) {
    struct lat_pair pair;
    struct callers c = {.between = between, .sink = weft_chan_make(i64, 0)};
    lat_pair_start(&pair);
    double alone = lat_pair_alone(&pair);
    weft_wg_go(&c.drain, drains, &c);
    i64 before = pair.rounds, start = lat_clock(), cpu = lat_process_cpu();
    for (int i = 0; i < CALLERS; i++)
        weft_wg_go(&c.wg, calls, &c);
    weft_wg_wait(&c.wg);
    double wall = (double)(lat_clock() - start);
    lat_row(wall / 1e6, "%s_wall_ms", name);
    lat_row((double)(lat_process_cpu() - cpu) / 1e6, "%s_cpu_ms", name);
    lat_row(alone, "%s_pp_alone_per_s", name);
    lat_row((double)(pair.rounds - before) * 1e9 / wall, "%s_pp_beside_per_s", name);
    CHECK(c.calls == CALLERS * CALLS, "%ld calls", (long)c.calls);
    lat_row(lat_thread_count(), "%s_threads", name);
    weft_chan_close(c.sink);
    weft_wg_wait(&c.drain);
    lat_pair_stop(&pair);
    weft_chan_unref(c.sink);
}

static void run_plain(void) {
    run_sleeps(NOTHING, "usleep");
}

static void run_yield(void) {
    run_sleeps(A_YIELD, "usleep_yield");
}

static void run_send(void) {
    run_sleeps(A_SEND, "usleep_send");
}

static void run_block(void) {
    run_sleeps(IN_BRACKETS, "usleep_block");
}

/* ---- a mutex of pthreads' that is held for 30 ms ---- */

enum { HOLDERS = 4, SECTIONS = 10 };

struct holders {
    pthread_mutex_t mutex;
    bool asleep; /* held by one that sleeps; else by one that computes */
    int sections;
    weft_wg wg;
};

static void holds(struct holders *h) {
    for (int i = 0; i < SECTIONS; i++) {
        pthread_mutex_lock(&h->mutex);
        int before = h->sections;
        i64 end = lat_clock() + 30 * MS;
        if (h->asleep)
            CHECK(usleep(30000) == 0, "usleep: %s", strerror(errno));
        while (lat_clock() < end)
            continue;
        CHECK(h->sections == before, "two inside");
        h->sections = before + 1;
        pthread_mutex_unlock(&h->mutex);
    }
}

static void run_mutex(bool asleep, const char *name) {
    struct lat_pair pair;
    struct holders h = {.mutex = PTHREAD_MUTEX_INITIALIZER, .asleep = asleep};
    lat_pair_start(&pair);
    double alone = lat_pair_alone(&pair);
    i64 before = pair.rounds, start = lat_clock();
    for (int i = 0; i < HOLDERS; i++)
        weft_wg_go(&h.wg, holds, &h);
    weft_wg_wait(&h.wg);
    double wall = (double)(lat_clock() - start);
    lat_row(h.sections, "%s_sections", name);
    lat_row(wall / 1e6, "%s_wall_ms", name);
    lat_row(alone, "%s_pp_alone_per_s", name);
    lat_row((double)(pair.rounds - before) * 1e9 / wall, "%s_pp_beside_per_s", name);
    CHECK(h.sections == HOLDERS * SECTIONS, "%d sections", h.sections);
    lat_pair_stop(&pair);
}

static void run_mutex_asleep(void) {
    run_mutex(true, "mutex30_sleep");
}

static void run_mutex_computing(void) {
    run_mutex(false, "mutex30_compute");
}

const struct lat_case lat_calls[] = {
    {.name = "usleep", .only_p = 2, .run = run_plain},
    {.name = "usleep_yield", .only_p = 2, .run = run_yield},
    {.name = "usleep_send", .only_p = 2, .run = run_send},
    {.name = "usleep_block", .only_p = 2, .run = run_block},
    {.name = "mutex30_sleep", .run = run_mutex_asleep},
    {.name = "mutex30_compute", .run = run_mutex_computing},
    {0},
};
