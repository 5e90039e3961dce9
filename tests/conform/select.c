/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c: group S of the behaviours, select: choice, evaluation, closed channels, parking.
 * Ids not tested here: none. Selects under a cancelled context are in cancel.c.
 */
#include "conform.h"

#include <stdatomic.h>

static _Atomic int failed;
static _Atomic int stage;
static _Atomic int chosen;

TEST(S1_exactly_one_ready_case) {
    weft_chan(int) a = weft_chan_make(int, 1);
    weft_chan(int) b = weft_chan_make(int, 1);
    weft_chan(int) out = weft_chan_make(int, 1);
    int taken[3] = {0, 0, 0};
    for (int round = 0; round < 3000; round++) {
        int x = -1, y = -1;
        CHECK(weft_send(a, round));
        CHECK(weft_send(b, -round));
        int which = weft_select(weft_case_recv(a, &x), weft_case_recv(b, &y),
                                weft_case_send(out, round + 1));
        CHECK(which >= 0 && which < 3);
        taken[which]++;
        CHECK_EQ(weft_chan_len(a), which == 0 ? 0 : 1);
        CHECK_EQ(weft_chan_len(b), which == 1 ? 0 : 1);
        CHECK_EQ(weft_chan_len(out), which == 2 ? 1 : 0);
        CHECK_EQ(x, which == 0 ? round : -1);
        CHECK_EQ(y, which == 1 ? -round : -1);
        weft_try_recv(a, NULL);
        weft_try_recv(b, NULL);
        weft_try_recv(out, NULL);
    }
    /* A fair choice leaves a case out of 3000 rounds with probability (2/3)^3000. */
    CHECK(taken[0] > 0 && taken[1] > 0 && taken[2] > 0);
    weft_chan_unref(a);
    weft_chan_unref(b);
    weft_chan_unref(out);
}

TEST(S2_default_when_nothing_is_ready) {
    weft_chan(int) empty = weft_chan_make(int, 1);
    weft_chan(int) flat = weft_chan_make(int, 0);
    weft_chan(int) none = NULL;
    int v = 8;
    errno = ERANGE;
    CHECK_EQ(weft_select(weft_case_recv(empty, &v), weft_case_send(flat, 1),
                         weft_case_recv(none, &v), weft_case_send(none, 1), weft_case_default()),
             4);
    CHECK_EQ(errno, ERANGE);
    CHECK_EQ(v, 8);
    CHECK_EQ(weft_select(weft_case_default(), weft_case_recv(empty, &v)), 0);
    CHECK_EQ(weft_select(weft_case_default(), weft_case_send(empty, 3)), 1);
    CHECK_EQ(weft_chan_len(empty), 1);
    weft_chan_unref(empty);
    weft_chan_unref(flat);
}

static void select_two(weft_chan(int) a, weft_chan(int) b, int *x, int *y) {
    stage = 1;
    chosen = weft_select(weft_case_recv(a, x), weft_case_recv(b, y));
    stage = 2;
}

TEST1(S3_S15_parks_until_ready) {
    weft_chan(int) a = weft_chan_make(int, 0);
    weft_chan(int) b = weft_chan_make(int, 1);
    int x = 5, y = 6;
    weft_go(select_two, a, b, &x, &y);
    settle();
    CHECK_EQ(stage, 1);
    CHECK(weft_send(b, 60));
    EVENTUALLY(stage == 2);
    CHECK_EQ(chosen, 1);
    CHECK_EQ(x, 5); /* the loser's destination keeps its contents */
    CHECK_EQ(y, 60);
    CHECK_EQ(weft_chan_len(b), 0);
    CHECK(!weft_try_send(a, 1)); /* and its waiter is gone from the channel */
    weft_chan_unref(a);
    weft_chan_unref(b);
}

static void select_nothing(void) {
    stage = 1;
    weft_select();
    stage = 2;
}

TEST_ENV(S4_no_case_parks_for_ever, TRACE_ENV) {
    struct trace_capture err = trace_capture();
    weft_go(select_nothing);
    CHECK(parks_with(&err, "select (no cases)"));
    CHECK_EQ(stage, 1);
}

TEST(S5_default_only) {
    CHECK_EQ(weft_select(weft_case_default()), 0);
}

static int order[8];
static int order_n;

static weft_chan(int) note_chan(weft_chan(int) c, int n) {
    order[order_n++] = n;
    return c;
}

static int note_value(int v, int n) {
    order[order_n++] = n;
    return v;
}

TEST(S6_operands_are_evaluated_once_in_order) {
    weft_chan(int) a = weft_chan_make(int, 1);
    weft_chan(int) b = weft_chan_make(int, 1);
    weft_chan(int) c = weft_chan_make(int, 1);
    int v;
    for (int round = 0; round < 100; round++) {
        order_n = 0;
        CHECK(weft_send(c, round));
        int which = weft_select(weft_case_send(note_chan(a, 0), note_value(1, 1)),
                                weft_case_recv(note_chan(c, 2), &v),
                                weft_case_send(note_chan(b, 3), note_value(2, 4)));
        CHECK_EQ(order_n, 5);
        /* A case's channel comes before the next case's; within one case C leaves it open. */
        int position[5];
        for (int i = 0; i < 5; i++)
            position[order[i]] = i;
        CHECK(position[0] < 2 && position[1] < 2);
        CHECK_EQ(position[2], 2);
        CHECK(position[3] > 2 && position[4] > 2);
        weft_try_recv(which == 0 ? a : which == 1 ? c : b, NULL);
        weft_try_recv(c, NULL);
    }
    weft_chan_unref(a);
    weft_chan_unref(b);
    weft_chan_unref(c);
}

static void select_send(weft_chan(int) c, weft_chan(int) other, int *value) {
    stage = 1;
    chosen = weft_select(weft_case_send(c, *value), weft_case_recv(other, NULL));
    stage = 2;
}

TEST1(S7_value_is_fixed_on_entry) {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_chan(int) other = weft_chan_make(int, 0);
    int value = 3, v = 0;
    weft_go(select_send, c, other, &value);
    settle();
    CHECK_EQ(stage, 1);
    value = 4;
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 3);
    EVENTUALLY(stage == 2);
    CHECK_EQ(chosen, 0);
    weft_chan_unref(c);
    weft_chan_unref(other);
}

TEST(S8_receive_case_on_closed) {
    weft_chan(int) closed = weft_chan_make(int, 1);
    weft_chan(int) open = weft_chan_make(int, 1);
    CHECK(weft_send(closed, 11));
    weft_chan_close(closed);
    int v = 0;
    bool ok = false;
    CHECK_EQ(weft_select(weft_case_recv(open, NULL), weft_case_recv_ok(closed, &v, &ok)), 1);
    CHECK(ok);
    CHECK_EQ(v, 11);
    for (int i = 0; i < 10; i++) {
        v = 99;
        ok = true;
        CHECK_EQ(weft_select(weft_case_recv(open, NULL), weft_case_recv_ok(closed, &v, &ok)), 1);
        CHECK(!ok);
        CHECK_EQ(v, 0);
        v = 99;
        CHECK_EQ(weft_select(weft_case_recv(closed, &v), weft_case_default()), 0);
        CHECK_EQ(v, 0);
    }
    weft_chan_unref(open);
    weft_chan_unref(closed);
}

TEST(S9_S10_send_case_on_closed) {
    weft_chan(int) closed = weft_chan_make(int, 3);
    weft_chan(int) open = weft_chan_make(int, 0);
    weft_chan_close(closed);
    for (int i = 0; i < 100; i++) {
        bool ok = true;
        errno = 0;
        CHECK_EQ(weft_select(weft_case_send(closed, 1), weft_case_default()), -1);
        CHECK_EQ(errno, EPIPE);
        CHECK_EQ(weft_select(weft_case_recv(open, NULL), weft_case_send_ok(closed, 1, &ok),
                             weft_case_default()),
                 1);
        CHECK(!ok);
        errno = 0;
        CHECK_EQ(weft_select(weft_case_recv(open, NULL), weft_case_send(closed, 1)), -1);
        CHECK_EQ(errno, EPIPE);
    }
    CHECK_EQ(weft_chan_len(closed), 0);
    weft_chan_unref(open);
    weft_chan_unref(closed);
}

TEST(S9_send_ok_on_open) {
    weft_chan(int) c = weft_chan_make(int, 1);
    bool ok = false;
    int v = 0;
    CHECK_EQ(weft_select(weft_case_send_ok(c, 21, &ok)), 0);
    CHECK(ok);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 21);
    weft_chan_unref(c);
}

static void select_send_plain(weft_chan(int) c, weft_chan(int) other) {
    stage = 1;
    chosen = weft_select(weft_case_recv(other, NULL), weft_case_send(c, 1));
    failed = errno;
    stage = 2;
}

static void select_send_with_ok(weft_chan(int) c, weft_chan(int) other, bool *ok) {
    stage = 1;
    chosen = weft_select(weft_case_recv(other, NULL), weft_case_send_ok(c, 1, ok));
    stage = 2;
}

TEST1(S11_close_wakes_a_send_case) {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_chan(int) other = weft_chan_make(int, 0);
    weft_go(select_send_plain, c, other);
    settle();
    CHECK_EQ(stage, 1);
    weft_chan_close(c);
    EVENTUALLY(stage == 2);
    CHECK_EQ(chosen, -1);
    CHECK_EQ(failed, EPIPE);
    weft_chan_unref(c);

    bool ok = true;
    c = weft_chan_make(int, 0);
    stage = 0;
    weft_go(select_send_with_ok, c, other, &ok);
    settle();
    CHECK_EQ(stage, 1);
    weft_chan_close(c);
    EVENTUALLY(stage == 2);
    CHECK_EQ(chosen, 1);
    CHECK(!ok);
    weft_chan_unref(c);
    weft_chan_unref(other);
}

static void select_recv_with_ok(weft_chan(int) c, weft_chan(int) other, int *v, bool *ok) {
    stage = 1;
    chosen = weft_select(weft_case_recv(other, NULL), weft_case_recv_ok(c, v, ok));
    stage = 2;
}

TEST1(S12_close_wakes_a_receive_case) {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_chan(int) other = weft_chan_make(int, 0);
    int v = 55;
    bool ok = true;
    weft_go(select_recv_with_ok, c, other, &v, &ok);
    settle();
    CHECK_EQ(stage, 1);
    weft_chan_close(c);
    EVENTUALLY(stage == 2);
    CHECK_EQ(chosen, 1);
    CHECK(!ok);
    CHECK_EQ(v, 0);
    weft_chan_unref(c);
    weft_chan_unref(other);
}

/* Senders and receivers of one value: 0 plain, 1 one-case select, 2 two-case select. */
static void send_by(int kind, weft_chan(int) c, weft_chan(int) never, int v) {
    bool good = kind == 0   ? weft_send(c, v)
                : kind == 1 ? weft_select(weft_case_send(c, v)) == 0
                            : weft_select(weft_case_recv(never, NULL), weft_case_send(c, v)) == 1;
    if (!good)
        failed = 1;
}

static int recv_by(int kind, weft_chan(int) c, weft_chan(int) never) {
    int v = -1;
    bool good = kind == 0   ? weft_recv(c, &v)
                : kind == 1 ? weft_select(weft_case_recv(c, &v)) == 0
                            : weft_select(weft_case_recv(c, &v), weft_case_recv(never, NULL)) == 0;
    return good ? v : -1;
}

static void send_many_by(int kind, weft_chan(int) c, weft_chan(int) never, int n) {
    for (int i = 0; i < n; i++)
        send_by(kind, c, never, i);
}

TEST(S13_one_case_is_the_plain_operation) {
    weft_chan(int) never = weft_chan_make(int, 0);
    for (size_t cap = 0; cap < 3; cap += 2)
        for (int sender = 0; sender < 3; sender++)
            for (int receiver = 0; receiver < 3; receiver++) {
                weft_chan(int) c = weft_chan_make(int, cap);
                weft_wg wg = WEFT_WG_INIT;
                weft_wg_go(&wg, send_many_by, sender, c, never, 200);
                for (int i = 0; i < 200; i++)
                    CHECK_EQ(recv_by(receiver, c, never), i);
                weft_wg_wait(&wg);
                weft_chan_unref(c);
            }
    CHECK_EQ(failed, 0);
    weft_chan_unref(never);
}

TEST(S14_receive_case_drops_its_value) {
    weft_chan(int) c = weft_chan_make(int, 1);
    bool ok = false;
    CHECK(weft_send(c, 1));
    CHECK_EQ(weft_select(weft_case_recv(c, NULL)), 0);
    CHECK(weft_send(c, 2));
    CHECK_EQ(weft_select(weft_case_recv_ok(c, NULL, &ok)), 0);
    CHECK(ok);
    CHECK_EQ(weft_chan_len(c), 0);
    weft_chan_unref(c);
}

static void default_never(weft_chan(int) a, weft_chan(int) b) {
    if (weft_select(weft_case_recv(a, NULL), weft_case_recv(b, NULL), weft_case_default()) == 2)
        failed = 1;
}

/* b becomes ready, by a value or a close, before a is drained: one of them always is. */
static void default_race(bool by_close) {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < ROUNDS(10000); i++) {
        weft_chan(int) a = weft_chan_make(int, 1);
        weft_chan(int) b = weft_chan_make(int, 1);
        CHECK(weft_send(a, 1));
        weft_wg_go(&wg, default_never, a, b);
        if (by_close)
            weft_chan_close(b);
        else
            CHECK(weft_send(b, 1));
        weft_try_recv(a, NULL);
        weft_wg_wait(&wg);
        CHECK_EQ(failed, 0);
        weft_chan_unref(a);
        weft_chan_unref(b);
    }
}

TEST(S16_never_the_default_while_one_is_ready) {
    default_race(false);
    default_race(true);
}

TEST_ENV(S16_never_the_default_while_one_is_ready_8, "GOMAXPROCS=8") {
    default_race(false);
    default_race(true);
}

static void send_on_four(weft_chan(int) a, weft_chan(int) b, weft_chan(int) c, weft_chan(int) d,
                         int n) {
    for (int i = 0; i < n; i++)
        if (weft_select(weft_case_send(a, i), weft_case_send(b, i), weft_case_send(c, i),
                        weft_case_send(d, i)) < 0)
            failed = 1;
    weft_chan_close(a);
    weft_chan_close(b);
    weft_chan_close(c);
    weft_chan_close(d);
}

static void pass_on(weft_chan(int) in, weft_chan(int) out) {
    int v;
    while (weft_recv(in, &v))
        weft_send(out, v);
}

static void four_channels(int n) {
    weft_chan(int) c[4];
    weft_chan(int) out = weft_chan_make(int, 0);
    weft_wg wg = WEFT_WG_INIT;
    unsigned char *got = calloc((size_t)n, 1);
    for (int i = 0; i < 4; i++) {
        c[i] = weft_chan_make(int, 0);
        weft_wg_go(&wg, pass_on, c[i], out);
    }
    weft_wg_go(&wg, send_on_four, c[0], c[1], c[2], c[3], n);
    for (int i = 0; i < n; i++) {
        int v = -1;
        CHECK(weft_recv(out, &v));
        CHECK(v >= 0 && v < n);
        CHECK_EQ(got[v], 0);
        got[v] = 1;
    }
    weft_wg_wait(&wg);
    CHECK(!weft_try_recv(out, NULL));
    free(got);
    for (int i = 0; i < 4; i++)
        weft_chan_unref(c[i]);
    weft_chan_unref(out);
}

TEST(S17_a_value_goes_one_way_only) {
    four_channels(ROUNDS(20000));
    CHECK_EQ(failed, 0);
}

TEST_ENV(S17_a_value_goes_one_way_only_8, "GOMAXPROCS=8") {
    four_channels(ROUNDS(20000));
    CHECK_EQ(failed, 0);
}

static void plain_sender(weft_chan(int) c, int n) {
    for (int i = 0; i < n; i++)
        if (!weft_send(c, 0))
            failed = 1;
}

static void plain_receiver(weft_chan(int) c, int n) {
    for (int i = 0; i < n; i++)
        if (!weft_recv(c, NULL))
            failed = 1;
}

/* A channel that had its n is taken out by making it NULL. */
static void select_sender(weft_chan(int) a, weft_chan(int) b, weft_chan(int) c, weft_chan(int) d,
                          int n) {
    weft_chan(int) left[4] = {a, b, c, d};
    int done[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4 * n; i++) {
        int k = weft_select(weft_case_send(left[3], 0), weft_case_send(left[2], 0),
                            weft_case_send(left[0], 0), weft_case_send(left[1], 0));
        k = k == 0 ? 3 : k == 1 ? 2 : k - 2;
        if (++done[k] == n)
            left[k] = NULL;
    }
}

static void select_receiver(weft_chan(int) a, weft_chan(int) b, weft_chan(int) c, weft_chan(int) d,
                            int n) {
    weft_chan(int) left[4] = {a, b, c, d};
    int done[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4 * n; i++) {
        int k = weft_select(weft_case_recv(left[0], NULL), weft_case_recv(left[1], NULL),
                            weft_case_recv(left[2], NULL), weft_case_recv(left[3], NULL));
        if (++done[k] == n)
            left[k] = NULL;
    }
}

static void select_stress(int n) {
    weft_chan(int) c[4];
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 4; i++) {
        c[i] = weft_chan_make(int, i < 2 ? 0 : (size_t)i);
        weft_wg_go(&wg, plain_sender, c[i], n);
        weft_wg_go(&wg, plain_receiver, c[i], n);
    }
    weft_wg_go(&wg, select_sender, c[0], c[1], c[2], c[3], n);
    weft_wg_go(&wg, select_receiver, c[0], c[1], c[2], c[3], n);
    weft_wg_wait(&wg);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(weft_chan_len(c[i]), 0);
        weft_chan_unref(c[i]);
    }
}

TEST(S18_select_stress) {
    select_stress(ROUNDS(10000));
    CHECK_EQ(failed, 0);
}

TEST_ENV(S18_select_stress_8, "GOMAXPROCS=8") {
    select_stress(ROUNDS(10000));
    CHECK_EQ(failed, 0);
}

static void select_wide(weft_chan(int) *c, size_t n, int *values, int *index) {
    struct weft_case *cases = calloc(n, sizeof *cases);
    for (size_t i = 0; i < n; i++)
        cases[i] = weft_case_recv(c[i], &values[i]);
    stage = 1;
    *index = weft_select_n(cases, n);
    stage = 2;
    free(cases);
}

TEST1(S19_hundreds_of_cases) {
    enum { N = 700 };
    static weft_chan(int) c[N];
    static int values[N];
    for (int i = 0; i < N; i++)
        c[i] = weft_chan_make(int, 0);
    for (int target = 0; target < N; target += 233) {
        int index = -1;
        stage = 0;
        memset(values, 0xff, sizeof values);
        weft_go(select_wide, c, (size_t)N, values, &index);
        settle();
        CHECK_EQ(stage, 1);
        CHECK(weft_send(c[target], 1000 + target));
        EVENTUALLY(stage == 2);
        CHECK_EQ(index, target);
        for (int i = 0; i < N; i++)
            CHECK_EQ(values[i], i == target ? 1000 + target : -1);
    }
    for (int i = 0; i < N; i++) {
        CHECK(!weft_try_send(c[i], 0));
        weft_chan_unref(c[i]);
    }
}

TEST(S19_select_n_sends_from_memory) {
    weft_chan(long) c = weft_chan_make(long, 2);
    long value = 1234567890123L, v = 0;
    struct weft_case cases[] = {weft_case_send_from(c, &value)};
    CHECK_EQ(weft_select_n(cases, 1), 0);
    value = 5; /* the case keeps no copy: the second round sends what is there now */
    CHECK_EQ(weft_select_n(cases, 1), 0);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 1234567890123L);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 5);
    struct weft_case idle[] = {weft_case_recv(c, &v), weft_case_default()};
    CHECK_EQ(weft_select_n(idle, 2), 1);
    weft_chan_unref(c);
}

static void select_echo(weft_chan(int) ask, weft_chan(int) reply, weft_chan(int) quit) {
    for (;;) {
        int v;
        if (weft_select(weft_case_recv(ask, &v), weft_case_recv(quit, NULL)) != 0)
            return;
        weft_send(reply, v);
    }
}

TEST(S20_parked_selects_leave_no_memory) {
    weft_chan(int) ask = weft_chan_make(int, 0);
    weft_chan(int) reply = weft_chan_make(int, 0);
    weft_chan(int) quit = weft_chan_make(int, 0);
    weft_wg wg = WEFT_WG_INIT;
    size_t before = 0;
    weft_wg_go(&wg, select_echo, ask, reply, quit);
    for (int i = 0; i < ROUNDS(110000); i++) {
        int v = -1;
        if (i == ROUNDS(10000))
            before = resident_bytes();
        CHECK(weft_send(ask, i));
        CHECK_EQ(weft_select(weft_case_recv(quit, NULL), weft_case_recv(reply, &v)), 1);
        CHECK_EQ(v, i);
    }
    size_t after = resident_bytes();
    /* 16 bytes kept per select would be 1.6 MB and more. */
    if (!SANITIZED)
        CHECK(after < before + (1u << 20));
    weft_chan_close(quit);
    weft_wg_wait(&wg);
    weft_chan_unref(ask);
    weft_chan_unref(reply);
    weft_chan_unref(quit);
}

static void select_null(void) {
    weft_chan(int) none = NULL;
    stage = 1;
    weft_select(weft_case_recv(none, NULL), weft_case_send(none, 1));
    stage = 2;
}

TEST_ENV(S21_reason_of_a_select_on_null, TRACE_ENV) {
    struct trace_capture err = trace_capture();
    weft_go(select_null);
    CHECK(parks_with(&err, "select"));
    CHECK_EQ(stage, 1);
}

TEST(S22_time_out_case) {
    weft_chan(int) never = weft_chan_make(int, 0);
    for (int i = 0; i < 5; i++) {
        weft_time start = weft_now();
        CHECK_EQ(weft_select(weft_case_recv(never, NULL), weft_case_after(20 * WEFT_MILLISECOND)),
                 1);
        CHECK(weft_now() - start >= 20 * WEFT_MILLISECOND);
    }
    CHECK_EQ(weft_select(weft_case_after(WEFT_HOUR), weft_case_after(WEFT_MILLISECOND)), 1);
    weft_chan(int) ready = weft_chan_make(int, 1);
    CHECK(weft_send(ready, 4));
    CHECK_EQ(weft_select(weft_case_after(WEFT_HOUR), weft_case_recv(ready, NULL)), 1);
    weft_chan_unref(ready);
    weft_chan_unref(never);
}
