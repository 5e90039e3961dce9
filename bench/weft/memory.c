/* SPDX-License-Identifier: Apache-2.0 */
/* What a parked goroutine costs: many wait at one gate, and all are woken and counted. */
#include "bench.h"

static void wait_at(weft_chan(i64) gate, _Atomic i64 *parked, _Atomic i64 *woken) {
    atomic_fetch_add(parked, 1);
    weft_recv(gate, NULL);
    atomic_fetch_add(woken, 1);
}

static void park_many(i64 tasks, double *out) {
    static _Atomic i64 parked, woken;
    weft_chan(i64) gate = weft_chan_make(i64, 0);
    i64 before = bench_mem_bytes();
    weft_time start = weft_now();
    for (i64 i = 0; i < tasks; i++)
        CHECK(weft_go(wait_at, gate, &parked, &woken) == 0, "no room for goroutine %ld", (long)i);
    bench_await(&parked, tasks);
    weft_duration create = weft_now() - start;
    weft_sleep(50 * WEFT_MILLISECOND);
    i64 after = bench_mem_bytes();
    weft_chan_close(gate);
    bench_await(&woken, tasks);
    CHECK(woken == tasks, "%ld woken", (long)woken);
    out[0] = (double)(after - before) / (double)tasks;
    out[1] = (double)create / 1e6;
}

static void run_100k(double *out) {
    park_many(100000, out);
}
static void run_1m(double *out) {
    park_many(1000000, out);
}

const struct bench_case bench_memory[] = {
    {.name = "mem100k", .max_reps = 1, .rows = "mem100k_bytes mem100k_create_ms", .run = run_100k},
    {.name = "mem1m", .max_reps = 1, .rows = "mem1m_bytes mem1m_create_ms", .run = run_1m},
    {0},
};
