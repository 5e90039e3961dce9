/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping, timers made and stopped, and calls that block a thread. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* ---- sleepers: how late do they wake? ---- */

static void sleeper(i64 me, i64 each, i64 *late, weft_wg *wg) {
    for (i64 r = 0; r < each; r++) {
        weft_duration asked = (1 + (7 * me + 13 * r) % 10) * WEFT_MILLISECOND;
        weft_time start = weft_now();
        weft_sleep(asked);
        late[r] = weft_now() - start - asked;
    }
    weft_wg_done(wg);
}

struct sleep_result {
    double wall_ms, cpu_ms, p50_us, p99_us;
};

static struct sleep_result sleep_all(i64 tasks, i64 each) {
    size_t n = (size_t)(tasks * each);
    i64 *late = calloc(n, sizeof *late);
    CHECK(late != NULL, "out of memory");
    weft_wg wg = WEFT_WG_INIT;
    i64 cpu = bench_cpu_ns();
    weft_time start = weft_now();
    for (i64 i = 0; i < tasks; i++) {
        weft_wg_add(&wg, 1);
        CHECK(weft_go(sleeper, i, each, late + i * each, &wg) == 0, "out of goroutines");
    }
    weft_wg_wait(&wg);
    struct sleep_result result;
    result.wall_ms = (double)(weft_now() - start) / 1e6;
    result.cpu_ms = (double)(bench_cpu_ns() - cpu) / 1e6;
    bench_sort(late, n);
    CHECK(late[0] >= 0, "a sleep was %ld ns short", (long)-late[0]);
    result.p50_us = bench_percentile(late, n, .5) / 1e3;
    result.p99_us = bench_percentile(late, n, .99) / 1e3;
    free(late);
    return result;
}

static void run_sleepers(double *out) {
    struct sleep_result r = sleep_all(100000, 10);
    out[0] = r.wall_ms, out[1] = r.cpu_ms, out[2] = r.p50_us, out[3] = r.p99_us;
}

static void run_sleeplight(double *out) {
    struct sleep_result r = sleep_all(100, 20);
    out[0] = r.p50_us, out[1] = r.p99_us, out[2] = r.cpu_ms;
}

/* ---- timers that never fire ---- */

static void fire(void *fired) {
    atomic_fetch_add((_Atomic i64 *)fired, 1);
}

static void make_and_stop(weft_duration d, _Atomic i64 *fired) {
    weft_timer *timer = weft_after_func(d, fire, fired);
    CHECK(weft_timer_stop(timer), "the timer was not pending");
    weft_timer_unref(timer);
}

static i64 timer(void) {
    static _Atomic i64 fired;
    i64 n = bench_n(500000);
    for (i64 i = 0; i < n; i++)
        make_and_stop(10 * WEFT_SECOND, &fired);
    CHECK(fired == 0, "a stopped timer fired");
    return n;
}
static void run_timer(double *out) {
    out[0] = bench_per_op(timer);
}

static i64 timer_chan(void) {
    i64 n = bench_n(500000);
    for (i64 i = 0; i < n; i++) {
        weft_timer *timer = weft_timer_new(10 * WEFT_SECOND);
        CHECK(weft_timer_stop(timer), "the timer was not pending");
        weft_timer_unref(timer);
    }
    return n;
}
static void run_timer_chan(double *out) {
    out[0] = bench_per_op(timer_chan);
}

/* ---- the same on top of a million that stay armed ---- */

enum { PENDING = 1000000, HEAP_OPS = 300000 };

static weft_duration far_off(uint64_t *random) {
    return WEFT_HOUR + (weft_duration)(bench_xorshift(random) % (uint64_t)WEFT_HOUR);
}

static void run_timer_heap(double *out) {
    static _Atomic i64 fired;
    static weft_timer *armed[PENDING];
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < PENDING; i++) /* touch it, so that the bytes counted are the timers' own */
        *(weft_timer *volatile *)&armed[i] = NULL;
    i64 before = bench_mem_bytes();
    weft_time start = weft_now();
    for (int i = 0; i < PENDING; i++)
        armed[i] = weft_after_func(far_off(&random), fire, &fired);
    out[0] = (double)(weft_now() - start) / PENDING;
    out[3] = (double)(bench_mem_bytes() - before) / PENDING;

    start = weft_now();
    for (int i = 0; i < HEAP_OPS; i++)
        make_and_stop(far_off(&random), &fired);
    out[1] = (double)(weft_now() - start) / HEAP_OPS;

    start = weft_now();
    for (int i = 0; i < PENDING; i++)
        CHECK(weft_timer_stop(armed[i]), "the timer was not pending");
    out[2] = (double)(weft_now() - start) / PENDING;
    for (int i = 0; i < PENDING; i++)
        weft_timer_unref(armed[i]);
    CHECK(fired == 0, "a stopped timer fired");
}

/* ---- blocking calls beside a ping-pong ---- */

enum { CALLERS = 64, CALLS = 20 };

struct blocking {
    weft_chan(i64) there, back;
    _Atomic i64 rounds, calls;
    _Atomic bool stop;
    weft_wg players, callers;
};

static void server(struct blocking *b) {
    i64 ball;
    for (i64 i = 0; !atomic_load(&b->stop); i++) {
        weft_send(b->there, i);
        weft_recv(b->back, &ball);
        CHECK(ball == i + 1, "pingpong");
        atomic_store(&b->rounds, i + 1);
    }
    weft_chan_close(b->there);
}

static void returner(struct blocking *b) {
    i64 ball;
    while (weft_recv(b->there, &ball))
        weft_send(b->back, ball + 1);
}

static void caller(struct blocking *b) {
    for (int i = 0; i < CALLS; i++) {
        weft_time start = weft_now();
        struct timespec rest = {0, 10 * WEFT_MILLISECOND};
        while (weft_block(nanosleep(&rest, &rest)) != 0)
            CHECK(errno == EINTR, "nanosleep: errno %d", errno);
        CHECK(weft_now() - start >= 10 * WEFT_MILLISECOND, "a short nanosleep");
        atomic_fetch_add(&b->calls, 1);
    }
}

static void run_syscall(double *out) {
    struct blocking b = {.there = weft_chan_make(i64, 0), .back = weft_chan_make(i64, 0)};
    weft_wg_go(&b.players, server, &b);
    weft_wg_go(&b.players, returner, &b);
    weft_time start = weft_now();
    weft_sleep(300 * WEFT_MILLISECOND);
    out[2] = (double)(weft_now() - start) / (double)atomic_load(&b.rounds);

    i64 before = atomic_load(&b.rounds);
    start = weft_now();
    for (int i = 0; i < CALLERS; i++)
        weft_wg_go(&b.callers, caller, &b);
    weft_wg_wait(&b.callers);
    weft_duration spent = weft_now() - start;
    out[0] = (double)spent / 1e6;
    out[1] = (double)spent / (double)(atomic_load(&b.rounds) - before);
    atomic_store(&b.stop, true);
    weft_wg_wait(&b.players);
    CHECK(b.calls == CALLERS * CALLS, "%ld calls", (long)b.calls);
    weft_chan_unref(b.there);
    weft_chan_unref(b.back);
}

const struct bench_case bench_time[] = {
    {.name = "sleepers",
     .max_reps = 3,
     .rows = "sleepers_wall_ms sleepers_cpu_ms sleepers_p50_us sleepers_p99_us",
     .run = run_sleepers},
    {.name = "sleeplight",
     .warm = true,
     .rows = "sleeplight_p50_us sleeplight_p99_us sleeplight_cpu_ms",
     .run = run_sleeplight},
    {.name = "timer", .warm = true, .run = run_timer},
    {.name = "timer_ch", .warm = true, .run = run_timer_chan},
    {.name = "timer_heap",
     .max_reps = 1,
     .rows = "timer_heap_create timer_heap_op timer_heap_stop timer_heap_bytes",
     .run = run_timer_heap},
    {.name = "syscall",
     .max_reps = 3,
     .rows = "syscall_wall_ms syscall_pp_ns syscall_pp_alone_ns",
     .run = run_syscall},
    {0},
};
