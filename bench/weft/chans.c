/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: streams, many to many, a ring, the prime sieve, waking ten thousand at once. */
#include "bench.h"

/* ---- one producer, one consumer ---- */

struct stream {
    weft_chan(i64) items;
    i64 n, count, sum;
    weft_wg wg;
};

static void produce(struct stream *s) {
    for (i64 i = 0; i < s->n; i++)
        weft_send(s->items, i);
    weft_chan_close(s->items);
}

static void consume(struct stream *s) {
    i64 item, count = 0, sum = 0;
    while (weft_recv(s->items, &item)) {
        count++;
        sum += item;
    }
    s->count = count, s->sum = sum;
}

static i64 stream(i64 n, size_t capacity) {
    struct stream s = {weft_chan_make(i64, capacity), n, 0, 0, WEFT_WG_INIT};
    weft_wg_go(&s.wg, produce, &s);
    weft_wg_go(&s.wg, consume, &s);
    weft_wg_wait(&s.wg);
    CHECK(s.count == n && s.sum == n * (n - 1) / 2, "stream %ld %ld", (long)s.count, (long)s.sum);
    weft_chan_unref(s.items);
    return n;
}

static i64 stream0(void) {
    return stream(bench_n(500000), 0);
}
static i64 stream128(void) {
    return stream(bench_n(2000000), 128);
}
static void run_stream0(double *out) {
    out[0] = bench_per_op(stream0);
}
static void run_stream128(double *out) {
    out[0] = bench_per_op(stream128);
}

/* ---- eight producers, eight consumers ---- */

static void produce_range(weft_chan(i64) items, i64 from, i64 to) {
    for (i64 i = from; i < to; i++)
        weft_send(items, i);
}

static void consume_all(weft_chan(i64) items, _Atomic i64 *count, _Atomic i64 *sum) {
    i64 item, mine = 0, my_sum = 0;
    while (weft_recv(items, &item)) {
        mine++;
        my_sum += item;
    }
    atomic_fetch_add(count, mine);
    atomic_fetch_add(sum, my_sum);
}

static i64 mpmc(void) {
    i64 each = bench_n(100000), n = 8 * each;
    weft_chan(i64) items = weft_chan_make(i64, 128);
    weft_wg producers = WEFT_WG_INIT, consumers = WEFT_WG_INIT;
    _Atomic i64 count = 0, sum = 0;
    for (i64 p = 0; p < 8; p++) {
        weft_wg_go(&producers, produce_range, items, p * each, (p + 1) * each);
        weft_wg_go(&consumers, consume_all, items, &count, &sum);
    }
    weft_wg_wait(&producers);
    weft_chan_close(items);
    weft_wg_wait(&consumers);
    CHECK(count == n && sum == n * (n - 1) / 2, "mpmc %ld %ld", (long)count, (long)sum);
    weft_chan_unref(items);
    return n;
}
static void run_mpmc(double *out) {
    out[0] = bench_per_op(mpmc);
}

/* ---- a token round a ring of 503; only the trip of the token is timed ---- */

enum { RING = 503 };

static void ring_member(weft_chan(i64) in, weft_chan(i64) next, weft_chan(i64) report, i64 me) {
    i64 token;
    while (weft_recv(in, &token))
        if (token == 0)
            weft_send(report, me);
        else
            weft_send(next, token - 1);
}

static void run_ring(double *out) {
    static weft_chan(i64) seat[RING];
    i64 hops = bench_n(500000), who = -1;
    weft_chan(i64) report = weft_chan_make(i64, 0);
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < RING; i++)
        seat[i] = weft_chan_make(i64, 0);
    for (i64 i = 0; i < RING; i++)
        weft_wg_go(&wg, ring_member, seat[i], seat[(i + 1) % RING], report, i);
    weft_sleep(WEFT_MILLISECOND);
    weft_time start = weft_now();
    weft_send(seat[0], hops);
    weft_recv(report, &who);
    out[0] = (double)(weft_now() - start) / (double)hops;
    CHECK(who == hops % RING, "the token ended at %ld", (long)who);
    for (int i = 0; i < RING; i++)
        weft_chan_close(seat[i]);
    weft_wg_wait(&wg);
    for (int i = 0; i < RING; i++)
        weft_chan_unref(seat[i]);
    weft_chan_unref(report);
}

/* ---- the prime sieve; the chain is left parked, as in Go ---- */

static void sieve_source(weft_chan(i64) out) {
    for (i64 i = 2;; i++)
        weft_send(out, i);
}

static void sieve_filter(weft_chan(i64) in, weft_chan(i64) out, i64 prime) {
    i64 v;
    for (;;) {
        weft_recv(in, &v);
        if (v % prime != 0)
            weft_send(out, v);
    }
}

static void sieve(void) {
    weft_chan(i64) head = weft_chan_make(i64, 0);
    i64 prime = 0;
    weft_go(sieve_source, head);
    for (int i = 0; i < 2000; i++) {
        weft_recv(head, &prime);
        weft_chan(i64) next = weft_chan_make(i64, 0);
        weft_go(sieve_filter, head, next, prime);
        head = next;
    }
    CHECK(prime == 17389, "sieve %ld", (long)prime);
}
static void run_sieve(double *out) {
    out[0] = bench_whole_ms(sieve);
}

/* ---- ten thousand wait, one close wakes them; only that is timed ---- */

enum { WAITERS = 10000, ROUNDS = 5 };

static void wait_at(weft_chan(i64) gate, _Atomic i64 *parked, _Atomic i64 *woken, weft_wg *wg) {
    atomic_fetch_add(parked, 1);
    weft_recv(gate, NULL);
    atomic_fetch_add(woken, 1);
    weft_wg_done(wg);
}

static void run_wake(double *out) {
    weft_duration spent = 0;
    for (int r = 0; r < ROUNDS; r++) {
        weft_chan(i64) gate = weft_chan_make(i64, 0);
        _Atomic i64 parked = 0, woken = 0;
        weft_wg wg = WEFT_WG_INIT;
        weft_wg_add(&wg, WAITERS);
        for (int i = 0; i < WAITERS; i++)
            weft_go(wait_at, gate, &parked, &woken, &wg);
        bench_await(&parked, WAITERS);
        weft_sleep(10 * WEFT_MILLISECOND);
        weft_time start = weft_now();
        weft_chan_close(gate);
        weft_wg_wait(&wg);
        spent += weft_now() - start;
        CHECK(woken == WAITERS, "%ld woken", (long)woken);
        weft_chan_unref(gate);
    }
    out[0] = (double)spent / (WAITERS * ROUNDS);
}

const struct bench_case bench_chans[] = {
    {.name = "stream0", .warm = true, .run = run_stream0},
    {.name = "stream128", .warm = true, .run = run_stream128},
    {.name = "mpmc", .warm = true, .run = run_mpmc},
    {.name = "ring503", .warm = true, .run = run_ring},
    {.name = "sieve_ms", .run = run_sieve},
    {.name = "wake", .warm = true, .run = run_wake},
    {0},
};
