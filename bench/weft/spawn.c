/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting goroutines and hearing of their end.
 *
 * A channel made in a case belongs to its maker, who lets go of it after the last receive. A sender
 * may then still be on its way out of weft_send, so each has a reference of its own.
 */
#include "bench.h"

static void add_one(_Atomic i64 *counter, weft_wg *wg) {
    atomic_fetch_add(counter, 1);
    weft_wg_done(wg);
}

static i64 fan_out(i64 batches, int width) {
    static _Atomic i64 counter;
    atomic_store(&counter, 0);
    for (i64 b = 0; b < batches; b++) {
        weft_wg wg = WEFT_WG_INIT;
        weft_wg_add(&wg, width);
        for (int i = 0; i < width; i++)
            weft_go(add_one, &counter, &wg);
        weft_wg_wait(&wg);
    }
    CHECK(counter == batches * width, "%ld goroutines counted", (long)counter);
    return batches * width;
}

static i64 spawn(void) {
    return fan_out(bench_n(1000), 1000);
}
static i64 waitgroup(void) {
    return fan_out(bench_n(20), 10000);
}
static void run_spawn(double *out) {
    out[0] = bench_per_op(spawn);
}
static void run_waitgroup(double *out) {
    out[0] = bench_per_op(waitgroup);
}

/* ---- one after the other ---- */

static void give_back(weft_chan(i64) result, i64 value) {
    weft_send(result, value);
}

static i64 spawn_join(void) {
    i64 n = bench_n(300000), sum = 0, value;
    weft_chan(i64) result = weft_chan_make(i64, 1); /* one for all, and let go of by nobody */
    for (i64 i = 0; i < n; i++) {
        weft_go(give_back, result, i);
        weft_recv(result, &value);
        sum += value;
    }
    CHECK(sum == n * (n - 1) / 2, "spawn_join sum %ld", (long)sum);
    return n;
}
static void run_spawn_join(double *out) {
    out[0] = bench_per_op(spawn_join);
}

/* ---- a tree of 1,111,111 goroutines ---- */

static void skynet_node(weft_chan(i64) parent, i64 number, i64 size) {
    i64 sum = number;
    if (size > 1) {
        weft_chan(i64) children = weft_chan_make(i64, 0);
        for (i64 i = 0; i < 10; i++)
            weft_go(skynet_node, weft_chan_ref(children), number + i * (size / 10), size / 10);
        sum = 0;
        for (i64 i = 0, part; i < 10; i++) {
            weft_recv(children, &part);
            sum += part;
        }
        weft_chan_unref(children);
    }
    weft_send(parent, sum);
    weft_chan_unref(parent);
}

static void skynet(void) {
    weft_chan(i64) root = weft_chan_make(i64, 0);
    i64 sum = 0;
    weft_go(skynet_node, weft_chan_ref(root), (i64)0, (i64)1000000);
    weft_recv(root, &sum);
    weft_chan_unref(root);
    CHECK(sum == 499999500000, "skynet %ld", (long)sum);
}
static void run_skynet(double *out) {
    out[0] = bench_whole_ms(skynet);
}

/* ---- Fibonacci's tree: 196,417 goroutines, each awaited by the one that started it ---- */

static i64 fib(i64 n);

static void fib_task(i64 n, i64 *result, weft_wg *wg) {
    *result = fib(n);
    weft_wg_done(wg);
}

static i64 fib(i64 n) {
    if (n <= 2)
        return 1;
    weft_wg wg = WEFT_WG_INIT;
    i64 a;
    weft_wg_add(&wg, 1);
    weft_go(fib_task, n - 1, &a, &wg);
    i64 b = fib(n - 2);
    weft_wg_wait(&wg);
    return a + b;
}

static i64 fib_chan(i64 n);

static void fib_chan_task(i64 n, weft_chan(i64) result) {
    weft_send(result, fib_chan(n));
    weft_chan_unref(result);
}

static i64 fib_chan(i64 n) {
    if (n <= 2)
        return 1;
    weft_chan(i64) result = weft_chan_make(i64, 1);
    weft_go(fib_chan_task, n - 1, weft_chan_ref(result));
    i64 b = fib_chan(n - 2), a;
    weft_recv(result, &a);
    weft_chan_unref(result);
    return a + b;
}

static void fib_root(i64 (*f)(i64), weft_chan(i64) result) {
    weft_send(result, f(27));
    weft_chan_unref(result);
}

static void fib_run(i64 (*f)(i64)) {
    weft_chan(i64) result = weft_chan_make(i64, 1);
    i64 value = 0;
    weft_go(fib_root, f, weft_chan_ref(result));
    weft_recv(result, &value);
    weft_chan_unref(result);
    CHECK(value == 196418, "fib %ld", (long)value);
}

static void fib_wg_27(void) {
    fib_run(fib);
}
static void fib_chan_27(void) {
    fib_run(fib_chan);
}
static void run_fib(double *out) {
    out[0] = bench_whole_ms(fib_wg_27);
}
static void run_fib_chan(double *out) {
    out[0] = bench_whole_ms(fib_chan_27);
}

const struct bench_case bench_spawn[] = {
    {.name = "spawn", .warm = true, .run = run_spawn},
    {.name = "spawn_join", .warm = true, .run = run_spawn_join},
    {.name = "waitgroup", .warm = true, .run = run_waitgroup},
    {.name = "skynet_ms", .run = run_skynet},
    {.name = "fib_ms", .run = run_fib},
    {.name = "fib_ch_ms", .run = run_fib_chan},
    {0},
};
