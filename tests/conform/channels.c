/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channels.c: group C of the behaviours, channels: hand-over, buffers, order, closing, NULL.
 * Ids not tested here: none. Cancelled sends and receives are in cancel.c, elements of all sizes
 * in elements.c, pthreads as senders and receivers in threads.c.
 */
#include "conform.h"

#include <stdatomic.h>

static _Atomic int stage;
static _Atomic int failed;
static _Atomic long total;

static void send_one(weft_chan(int) c, int v) {
    stage = 1;
    if (!weft_send(c, v))
        failed = errno;
    stage = 2;
}

static void recv_one(weft_chan(int) c, int *into) {
    stage = 1;
    if (!weft_recv(c, into))
        failed = errno;
    stage = 2;
}

TEST1(C1_C17_unbuffered_send_waits) {
    weft_chan(int) c = weft_chan_make(int, 0);
    int v = 0;
    weft_go(send_one, c, 41);
    settle();
    CHECK_EQ(stage, 1);
    CHECK_EQ(weft_chan_len(c), 0);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 41);
    EVENTUALLY(stage == 2);
    CHECK_EQ(failed, 0);
    weft_chan_unref(c);
}

TEST1(C2_C15_buffered_send_waits_when_full) {
    weft_chan(int) c = weft_chan_make(int, 3);
    int v = 0;
    CHECK_EQ(weft_chan_cap(c), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_chan_len(c), (size_t)i);
        CHECK(weft_send(c, i));
    }
    weft_go(send_one, c, 3);
    settle();
    CHECK_EQ(stage, 1);
    CHECK_EQ(weft_chan_len(c), 3);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 0);
    EVENTUALLY(stage == 2);
    CHECK_EQ(weft_chan_len(c), 3);
    for (int i = 1; i < 4; i++) {
        CHECK(weft_recv(c, &v));
        CHECK_EQ(v, i);
    }
    CHECK_EQ(weft_chan_len(c), 0);
    weft_chan_unref(c);
}

TEST1(C3_receive_waits_on_empty) {
    for (size_t cap = 0; cap < 5; cap += 4) {
        weft_chan(int) c = weft_chan_make(int, cap);
        int v = -1;
        stage = 0;
        weft_go(recv_one, c, &v);
        settle();
        CHECK_EQ(stage, 1);
        CHECK_EQ(v, -1);
        CHECK(weft_send(c, 7));
        EVENTUALLY(stage == 2);
        CHECK_EQ(v, 7);
        weft_chan_unref(c);
    }
}

static void send_range(weft_chan(int) c, int from, int to) {
    for (int i = from; i < to; i++)
        if (!weft_send(c, i))
            failed = errno;
}

TEST(C4_values_keep_their_order) {
    for (size_t cap = 0; cap <= 100; cap++) {
        weft_chan(int) c = weft_chan_make(int, cap);
        weft_wg wg = WEFT_WG_INIT;
        weft_wg_go(&wg, send_range, c, 0, 100);
        for (int i = 0; i < 100; i++) {
            int v = -1;
            CHECK(weft_recv(c, &v));
            CHECK_EQ(v, i);
        }
        weft_wg_wait(&wg);
        weft_chan_unref(c);
    }
    CHECK_EQ(failed, 0);
}

static _Atomic int seen[4000];

static void recv_n(weft_chan(int) c, int n) {
    for (int i = 0; i < n; i++) {
        int v = -1;
        if (!weft_recv(c, &v) || v < 0 || v >= 4000)
            failed = 1;
        else
            seen[v]++;
        (void)weft_chan_len(c);
        (void)weft_chan_cap(c);
    }
}

static void many_to_many(size_t cap) {
    weft_chan(int) c = weft_chan_make(int, cap);
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 4; i++) {
        weft_wg_go(&wg, send_range, c, i * 1000, (i + 1) * 1000);
        weft_wg_go(&wg, recv_n, c, 1000);
    }
    weft_wg_wait(&wg);
    CHECK_EQ(weft_chan_len(c), 0);
    weft_chan_unref(c);
}

TEST(C5_C24_each_value_exactly_once) {
    many_to_many(0);
    many_to_many(1);
    many_to_many(10);
    CHECK_EQ(failed, 0);
    for (int i = 0; i < 4000; i++)
        CHECK_EQ(seen[i], 3);
}

TEST_ENV(C5_C24_each_value_exactly_once_8, "GOMAXPROCS=8") {
    many_to_many(0);
    many_to_many(7);
    CHECK_EQ(failed, 0);
    for (int i = 0; i < 4000; i++)
        CHECK_EQ(seen[i], 2);
}

TEST(C6_send_on_closed) {
    for (size_t cap = 0; cap < 3; cap++) {
        weft_chan(int) c = weft_chan_make(int, cap);
        weft_chan_close(c);
        errno = 0;
        CHECK(!weft_send(c, 5));
        CHECK_EQ(errno, EPIPE);
        errno = 0;
        CHECK(!weft_try_send(c, 5));
        CHECK_EQ(errno, EPIPE);
        CHECK_EQ(weft_chan_len(c), 0);
        int v = 77;
        CHECK(!weft_recv(c, &v));
        CHECK_EQ(v, 0);
        weft_chan_unref(c);
    }
}

TEST1(C7_close_wakes_a_parked_sender) {
    weft_chan(int) c = weft_chan_make(int, 0);
    int v = 77;
    weft_go(send_one, c, 5);
    settle();
    CHECK_EQ(stage, 1);
    weft_chan_close(c);
    EVENTUALLY(stage == 2);
    CHECK_EQ(failed, EPIPE);
    errno = 0;
    CHECK(!weft_recv(c, &v));
    CHECK_EQ(errno, EPIPE);
    CHECK_EQ(v, 0);
    weft_chan_unref(c);
}

TEST(C8_close_keeps_the_buffer) {
    weft_chan(int) c = weft_chan_make(int, 8);
    int v = -1;
    for (int i = 10; i < 15; i++)
        CHECK(weft_send(c, i));
    weft_chan_close(c);
    CHECK_EQ(weft_chan_len(c), 5);
    for (int i = 10; i < 15; i++) {
        CHECK(weft_recv(c, &v));
        CHECK_EQ(v, i);
    }
    errno = 0;
    CHECK(!weft_recv(c, &v));
    CHECK_EQ(errno, EPIPE);
    CHECK_EQ(v, 0);
    weft_chan_unref(c);
}

TEST(C9_closed_and_drained) {
    struct wide {
        unsigned char bytes[200];
    } w;
    weft_chan(struct wide) c = weft_chan_make(struct wide, 2);
    weft_chan_close(c);
    for (int round = 0; round < 100; round++) {
        memset(&w, 0xa5, sizeof w);
        errno = 0;
        CHECK(!((round & 1) ? weft_recv(c, &w) : weft_try_recv(c, &w)));
        CHECK_EQ(errno, EPIPE);
        for (size_t i = 0; i < sizeof w.bytes; i++)
            CHECK_EQ(w.bytes[i], 0);
    }
    weft_chan_unref(c);
}

TEST1(C10_parked_senders_value_is_lost_at_close) {
    weft_chan(int) c = weft_chan_make(int, 2);
    int v = 0;
    CHECK(weft_send(c, 1));
    CHECK(weft_send(c, 2));
    weft_go(send_one, c, 3);
    settle();
    CHECK_EQ(stage, 1);
    weft_chan_close(c);
    EVENTUALLY(stage == 2);
    CHECK_EQ(failed, EPIPE);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 1);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 2);
    CHECK(!weft_recv(c, &v));
    CHECK_EQ(v, 0);
    weft_chan_unref(c);
}

TEST_DIES(C11_close_of_closed, 2, "fatal error: close of closed channel") {
    weft_chan(int) c = weft_chan_make(int, 1);
    weft_chan_close(c);
    weft_chan_close(c);
}

TEST_DIES(C12_close_of_null, 2, "fatal error: close of nil channel") {
    weft_chan(int) c = NULL;
    weft_chan_close(c);
}

TEST_ENV(C13_send_on_null_parks_for_ever, TRACE_ENV) {
    struct trace_capture err = trace_capture();
    weft_chan(int) none = NULL;
    weft_go(send_one, none, 1);
    CHECK(parks_with(&err, "chan send (nil chan)"));
    CHECK_EQ(stage, 1);
}

TEST_ENV(C14_receive_from_null_parks_for_ever, TRACE_ENV) {
    struct trace_capture err = trace_capture();
    weft_chan(int) none = NULL;
    static int v = 9;
    weft_go(recv_one, none, &v);
    CHECK(parks_with(&err, "chan receive (nil chan)"));
    CHECK_EQ(stage, 1);
    CHECK_EQ(v, 9);
}

TEST(C15_C16_length_and_capacity) {
    weft_chan(long) none = NULL;
    weft_chan(long) flat = weft_chan_make(long, 0);
    weft_chan(long) deep = weft_chan_make(long, 1000);
    CHECK_EQ(weft_chan_len(none), 0);
    CHECK_EQ(weft_chan_cap(none), 0);
    CHECK_EQ(weft_chan_len(flat), 0);
    CHECK_EQ(weft_chan_cap(flat), 0);
    CHECK_EQ(weft_chan_cap(deep), 1000);
    for (long i = 0; i < 1000; i++)
        CHECK(weft_send(deep, i));
    CHECK_EQ(weft_chan_len(deep), 1000);
    CHECK_EQ(weft_chan_cap(deep), 1000);
    weft_chan_unref(flat);
    weft_chan_unref(deep);
}

TEST_DIES(C18_negative_capacity, 2, "fatal error: makechan: size out of range") {
    weft_chan(int) c = weft_chan_make(int, (size_t)-1);
    (void)c;
}

TEST_DIES(C18_size_overflows, 2, "fatal error: makechan: size out of range") {
    struct big {
        char bytes[1 << 20];
    };
    weft_chan(struct big) c = weft_chan_make(struct big, SIZE_MAX >> 18);
    (void)c;
}

TEST(C19_C20_try_fails_at_once) {
    weft_chan(int) flat = weft_chan_make(int, 0);
    weft_chan(int) deep = weft_chan_make(int, 1);
    int v = 33;
    errno = 0;
    CHECK(!weft_try_recv(flat, &v));
    CHECK_EQ(errno, EAGAIN);
    CHECK(!weft_try_recv(deep, &v));
    errno = 0;
    CHECK(!weft_try_send(flat, 1));
    CHECK_EQ(errno, EAGAIN);
    CHECK(weft_try_send(deep, 2));
    errno = 0;
    CHECK(!weft_try_send(deep, 3));
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(weft_chan_len(deep), 1);
    errno = ERANGE;
    CHECK(weft_try_recv(deep, &v));
    CHECK_EQ(errno, ERANGE); /* success leaves errno alone */
    CHECK_EQ(v, 2);
    CHECK(!weft_try_recv(deep, &v));
    weft_chan_unref(flat);
    weft_chan_unref(deep);
}

TEST(C19_C20_try_on_null) {
    weft_chan(int) none = NULL;
    int v = 5;
    errno = 0;
    CHECK(!weft_try_send(none, 1));
    CHECK_EQ(errno, EAGAIN);
    errno = 0;
    CHECK(!weft_try_recv(none, &v));
    CHECK_EQ(errno, EAGAIN);
}

TEST1(C21_try_send_finds_a_parked_receiver) {
    weft_chan(int) c = weft_chan_make(int, 0);
    int v = 0;
    weft_go(recv_one, c, &v);
    settle();
    CHECK(weft_try_send(c, 12));
    EVENTUALLY(stage == 2);
    CHECK_EQ(v, 12);
    CHECK(!weft_try_send(c, 13));
    weft_chan_unref(c);
}

TEST1(C22_try_recv_finds_a_parked_sender) {
    weft_chan(int) c = weft_chan_make(int, 0);
    int v = 0;
    weft_go(send_one, c, 14);
    settle();
    CHECK(weft_try_recv(c, &v));
    CHECK_EQ(v, 14);
    EVENTUALLY(stage == 2);
    CHECK_EQ(failed, 0);
    CHECK(!weft_try_recv(c, &v));
    weft_chan_unref(c);
}

static void try_recv_once(weft_chan(int) c) {
    int v;
    if (!weft_try_recv(c, &v) && errno == EAGAIN)
        failed = 1;
}

TEST(C23_try_recv_against_close) {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < ROUNDS(10000); i++) {
        weft_chan(int) c = weft_chan_make(int, 1);
        CHECK(weft_send(c, 1));
        weft_wg_go(&wg, try_recv_once, c);
        weft_chan_close(c);
        weft_recv(c, NULL);
        weft_wg_wait(&wg);
        CHECK_EQ(failed, 0);
        weft_chan_unref(c);
    }
}

TEST1(C25_receivers_are_served_in_order) {
    enum { N = 20 };
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_wg wg = WEFT_WG_INIT;
    int got[N];
    for (int i = 0; i < N; i++) {
        got[i] = -1;
        weft_wg_go(&wg, recv_one, c, &got[i]);
        settle();
    }
    for (int i = 0; i < N; i++)
        CHECK(weft_send(c, i));
    weft_wg_wait(&wg);
    for (int i = 0; i < N; i++)
        CHECK_EQ(got[i], i);
    weft_chan_unref(c);
}

TEST1(C26_senders_are_served_in_order) {
    enum { N = 20 };
    for (size_t cap = 0; cap <= 3; cap += 3) {
        weft_chan(int) c = weft_chan_make(int, cap);
        weft_wg wg = WEFT_WG_INIT;
        for (int i = 0; i < N; i++) {
            weft_wg_go(&wg, send_one, c, i);
            settle();
        }
        for (int i = 0; i < N; i++) {
            int v = -1;
            CHECK(weft_recv(c, &v));
            CHECK_EQ(v, i);
        }
        weft_wg_wait(&wg);
        weft_chan_unref(c);
    }
    CHECK_EQ(failed, 0);
}

TEST1(C27_parked_receiver_gets_the_value_directly) {
    weft_chan(int) c = weft_chan_make(int, 4);
    int v = 0;
    weft_go(recv_one, c, &v);
    settle();
    CHECK_EQ(stage, 1);
    CHECK(weft_send(c, 6));
    CHECK_EQ(weft_chan_len(c), 0);
    EVENTUALLY(stage == 2);
    CHECK_EQ(v, 6);
    weft_chan_unref(c);
}

TEST1(C28_receive_from_full_buffer_with_parked_sender) {
    weft_chan(int) c = weft_chan_make(int, 2);
    int v = 0;
    CHECK(weft_send(c, 1));
    CHECK(weft_send(c, 2));
    weft_go(send_one, c, 3);
    settle();
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 1);
    CHECK_EQ(weft_chan_len(c), 2); /* the sender's value went in before the receive returned */
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 2);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 3);
    EVENTUALLY(stage == 2);
    weft_chan_unref(c);
}

TEST(C29_receive_drops_the_value) {
    weft_chan(int) c = weft_chan_make(int, 2);
    int v = 0;
    CHECK(weft_send(c, 1));
    CHECK(weft_send(c, 2));
    CHECK(weft_recv(c, NULL));
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 2);
    CHECK(weft_send(c, 3));
    CHECK(weft_try_recv(c, NULL));
    CHECK_EQ(weft_chan_len(c), 0);
    weft_chan_unref(c);
}

static void forward(weft_chan(int) in, weft_chan(int) out) {
    int v;
    while (weft_recv(in, &v)) {
        if (v % 11 == 0)
            weft_yield();
        if (!weft_send(out, v))
            failed = errno;
    }
    if (errno != EPIPE)
        failed = errno;
}

static void collect(weft_chan(int) out, weft_chan(long) result) {
    long sum = 0;
    int v, n = 0;
    while (weft_recv(out, &v)) {
        sum += v;
        n++;
    }
    weft_send(result, n);
    weft_send(result, sum);
}

TEST(C30_receive_until_closed_and_empty) {
    const int count = ROUNDS(271828);
    weft_chan(int) in = weft_chan_make(int, 23);
    weft_chan(int) out = weft_chan_make(int, 23);
    weft_chan(long) result = weft_chan_make(long, 0);
    weft_wg wg = WEFT_WG_INIT;
    long sum = 0, got_n = 0, got_sum = 0;
    for (int i = 0; i < 23; i++)
        weft_wg_go(&wg, forward, in, out);
    weft_go(collect, out, result);
    for (int i = 0; i < count; i++) {
        CHECK(weft_send(in, i));
        sum += i;
    }
    weft_chan_close(in);
    weft_wg_wait(&wg);
    weft_chan_close(out);
    CHECK(weft_recv(result, &got_n));
    CHECK(weft_recv(result, &got_sum));
    CHECK_EQ(got_n, count);
    CHECK_EQ(got_sum, sum);
    CHECK_EQ(failed, 0);
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(in);
    weft_chan_unref(out);
    weft_chan_unref(result);
}

static void sieve_numbers(weft_chan(int) out) {
    for (int i = 2; weft_send(out, i); i++)
        continue;
}

static void sieve_filter(weft_chan(int) in, weft_chan(int) out, int prime) {
    int v;
    while (weft_recv(in, &v))
        if (v % prime != 0 && !weft_send(out, v))
            break;
}

static void sieve(size_t cap) {
    static const int primes[] = {2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};
    weft_chan(int) c = weft_chan_make(int, cap);
    weft_go(sieve_numbers, c);
    for (size_t i = 0; i < sizeof primes / sizeof *primes; i++) {
        int p = 0;
        CHECK(weft_recv(c, &p));
        CHECK_EQ(p, primes[i]);
        weft_chan(int) next = weft_chan_make(int, cap);
        weft_go(sieve_filter, c, next, p);
        c = next; /* the chain's channels live until the run ends */
    }
}

TEST(C31_prime_sieve) {
    sieve(0);
    sieve(16);
}

static void recv_closed(weft_chan(int64_t) c) {
    int64_t v = -1;
    if (!weft_recv(c, &v) && errno == EPIPE && v == 0)
        total++;
}

TEST1(C32_close_wakes_every_receiver) {
    enum { N = 100 };
    weft_chan(int64_t) c = weft_chan_make(int64_t, 2);
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < N; i++)
        weft_wg_go(&wg, recv_closed, c);
    settle();
    CHECK_EQ(total, 0);
    weft_chan_close(c);
    weft_wg_wait(&wg);
    CHECK_EQ(total, N);
    weft_chan_unref(c);
}

TEST(chan_references_are_counted) {
    weft_chan(int) c = weft_chan_make(int, 1);
    weft_chan(int) same = weft_chan_ref(c);
    CHECK(same == c);
    weft_chan_set_name(c, "twice held");
    weft_chan_unref(c);
    CHECK(weft_send(same, 1)); /* the second reference keeps it whole */
    int v = 0;
    CHECK(weft_recv(same, &v));
    CHECK_EQ(v, 1);
    weft_chan_unref(same);
}

TEST_ENV(chan_last_unref_with_waiters, "GOMAXPROCS=1");
TEST_DIES(chan_last_unref_with_waiters, 2, "fatal error: free of channel with waiters") {
    static int v;
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_go(recv_one, c, &v);
    settle();
    weft_chan_unref(c);
}
