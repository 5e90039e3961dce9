/* SPDX-License-Identifier: Apache-2.0 */
/*
 * time.c: group T of the behaviours without virtual time (T1 to T25): sleep, timers, tickers.
 *
 * Go's tests bound durations from above (T6, T7, T16, T20). A loaded machine can break any such
 * bound, so here these say "no earlier than", "in this order" and "in the end it comes"; the
 * watchdog of the harness is the only bound from above.
 *
 * T17 (stop or reset of a zeroed timer object) has nothing to test: weft_timer is opaque and made
 * by weft_timer_new only, so there is no zeroed one.
 */
#include "conform.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static _Atomic int stage;
static _Atomic int count;
static _Atomic int failed;

TEST(T1_sleep_lasts_its_duration) {
    static const weft_duration spans[] = {1, WEFT_MICROSECOND, WEFT_MILLISECOND,
                                          7 * WEFT_MILLISECOND, 100 * WEFT_MILLISECOND};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        struct timespec a, b; /* a clock that is not weft's own */
        clock_gettime(CLOCK_MONOTONIC, &a);
        weft_time start = weft_now();
        errno = ERANGE;
        CHECK(weft_sleep(spans[i]));
        CHECK_EQ(errno, ERANGE);
        weft_time end = weft_now();
        clock_gettime(CLOCK_MONOTONIC, &b);
        CHECK(end - start >= spans[i]);
        CHECK((b.tv_sec - a.tv_sec) * WEFT_SECOND + (b.tv_nsec - a.tv_nsec) >= spans[i]);
    }
}

static void set_stage(int n) {
    stage = n;
}

TEST1(T2_sleep_of_nothing_is_no_yield) {
    int not_yielded = 0;
    for (int i = 0; i < 50; i++) {
        stage = 0;
        weft_go(set_stage, 1);
        CHECK(weft_sleep(0));
        CHECK(weft_sleep(-1));
        CHECK(weft_sleep(INT64_MIN));
        not_yielded += stage == 0;
        EVENTUALLY(stage == 1);
    }
    CHECK(not_yielded > 0); /* all 50 only if the monitor hit each; a yielding sleep gives 0 */
}

static _Atomic int signals_seen;
static _Atomic bool stop_signals;

static void on_signal(int sig) {
    (void)sig;
    signals_seen++;
}

static void *send_signals(void *arg) {
    (void)arg;
    struct timespec ms = {0, 1000000};
    while (!stop_signals) {
        kill(getpid(), SIGUSR1);
        nanosleep(&ms, NULL);
    }
    return NULL;
}

TEST(T3_signals_do_not_shorten_a_sleep) {
    struct sigaction act = {.sa_handler = on_signal}; /* without SA_RESTART */
    pthread_t thread;
    CHECK_EQ(sigaction(SIGUSR1, &act, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, send_signals, NULL), 0);
    EVENTUALLY(signals_seen > 0);
    for (int i = 0; i < 5; i++) {
        int before = signals_seen;
        weft_time start = weft_now();
        CHECK(weft_sleep(30 * WEFT_MILLISECOND));
        CHECK(weft_now() - start >= 30 * WEFT_MILLISECOND);
        EVENTUALLY(signals_seen > before);
    }
    stop_signals = true;
    pthread_join(thread, NULL);
}

static void sleeps_for_ever(weft_duration d) {
    count++;
    weft_sleep(d);
    failed = 1;
}

static void fails(void *arg) {
    (void)arg;
    failed = 2;
}

TEST(T4_the_largest_duration) {
    weft_go(sleeps_for_ever, INT64_MAX);
    weft_go(sleeps_for_ever, INT64_MAX - 1);
    weft_timer *t = weft_timer_new(INT64_MAX);
    weft_timer *f = weft_after_func(INT64_MAX, fails, NULL);
    weft_chan(weft_time) a = weft_after(INT64_MAX);
    EVENTUALLY(count == 2);
    for (int i = 0; i < 20; i++)
        CHECK(weft_sleep(WEFT_MILLISECOND)); /* other timers go on */
    CHECK_EQ(weft_select(weft_case_recv(a, NULL), weft_case_recv(weft_timer_chan(t), NULL),
                         weft_case_after(INT64_MAX), weft_case_after(WEFT_MILLISECOND)),
             3);
    CHECK_EQ(failed, 0);
    CHECK(weft_timer_stop(t));
    CHECK(weft_timer_stop(f));
    CHECK(!weft_timer_reset(t, INT64_MAX));
    CHECK(!weft_try_recv(weft_timer_chan(t), NULL));
    CHECK(weft_timer_stop(t));
    weft_timer_unref(t);
    weft_timer_unref(f);
    weft_chan_unref(a);
}

TEST(T5_negative_time_outs) {
    weft_chan(int) never = weft_chan_make(int, 0);
    CHECK_EQ(weft_select(weft_case_recv(never, NULL), weft_case_after(-1)), 1);
    CHECK_EQ(weft_select(weft_case_after(INT64_MIN), weft_case_recv(never, NULL)), 0);
    weft_chan(weft_time) a = weft_after(-WEFT_HOUR);
    CHECK(weft_recv(a, NULL));
    weft_timer *t = weft_timer_new(INT64_MIN);
    CHECK(weft_recv(weft_timer_chan(t), NULL));
    weft_timer_unref(t);
    weft_chan_unref(a);
    weft_chan_unref(never);
}

static const int shuffled[] = {5, 2, 9, 3, 7, 1, 8, 4, 10, 6};
enum { SHUFFLED = sizeof shuffled / sizeof *shuffled };

static int fired[SHUFFLED];

static void note_fired(void *arg) {
    fired[count++] = (int)(intptr_t)arg;
}

/* One P has one heap: what is due in an order is started in that order, however late. */
TEST1(T6_fire_in_the_order_of_their_moments) {
    weft_time base = weft_now();
    weft_chan(weft_time) channels[SHUFFLED];
    weft_timer *timers[SHUFFLED];
    for (int i = 0; i < SHUFFLED; i++) {
        channels[i] = weft_after(shuffled[i] * 5 * WEFT_MILLISECOND);
        timers[i] = weft_after_func(shuffled[i] * 5 * WEFT_MILLISECOND, note_fired,
                                    (void *)(intptr_t)shuffled[i]);
    }
    weft_time at[SHUFFLED + 1] = {0};
    for (int i = 0; i < SHUFFLED; i++)
        CHECK(weft_recv(channels[i], &at[shuffled[i]]));
    for (int i = 1; i <= SHUFFLED; i++) {
        CHECK(at[i] >= base + i * 5 * WEFT_MILLISECOND);
        CHECK(i == 1 || at[i] >= at[i - 1]);
    }
    EVENTUALLY(count == SHUFFLED);
    for (int i = 0; i < SHUFFLED; i++) {
        weft_timer_unref(timers[i]);
        weft_chan_unref(channels[i]);
    }
}

TEST(T7_ten_time_outs_in_a_row) {
    const weft_duration delta = 5 * WEFT_MILLISECOND;
    weft_time start = weft_now(), last = start;
    for (int i = 0; i < 10; i++) {
        weft_chan(weft_time) c = weft_after(delta);
        weft_time told = 0;
        CHECK(weft_recv(c, &told));
        CHECK(told >= last + delta);
        CHECK(told <= weft_now());
        last = told;
        weft_chan_unref(c);
    }
    CHECK(weft_now() - start >= 10 * delta);
}

TEST1(T8_T9_a_stopped_timer_never_fires) {
    weft_timer *stopped = weft_timer_new(5 * WEFT_MILLISECOND);
    weft_timer *function = weft_after_func(5 * WEFT_MILLISECOND, fails, NULL);
    weft_timer *later = weft_timer_new(30 * WEFT_MILLISECOND);
    CHECK(weft_timer_stop(stopped)); /* true even if it had fired: nobody received */
    bool caught = weft_timer_stop(function);
    CHECK(!weft_timer_stop(stopped));
    CHECK(weft_recv(weft_timer_chan(later), NULL)); /* the same heap's later one */
    errno = 0;
    CHECK(!weft_try_recv(weft_timer_chan(stopped), NULL));
    CHECK_EQ(errno, EAGAIN);
    settle();
    CHECK(!caught || failed == 0);
    CHECK(!weft_timer_stop(function));
    CHECK(!weft_timer_stop(later)); /* fired and received */
    weft_timer_unref(stopped);
    weft_timer_unref(function);
    weft_timer_unref(later);
}

TEST(T9_stop_of_a_function_timer) {
    weft_timer *t = weft_after_func(WEFT_HOUR, fails, NULL);
    CHECK(weft_timer_stop(t));
    CHECK(!weft_timer_stop(t));
    CHECK(!weft_timer_reset(t, WEFT_HOUR));
    CHECK(weft_timer_stop(t));
    weft_timer_unref(t);
    CHECK_EQ(failed, 0);
}

TEST(T9_stop_takes_back_a_value_not_received) {
    weft_timer *t = weft_timer_new(0);
    weft_sleep(5 * WEFT_MILLISECOND); /* it has fired by now, or never will if it was lost */
    CHECK(weft_timer_stop(t));
    CHECK(!weft_try_recv(weft_timer_chan(t), NULL));
    CHECK(!weft_timer_reset(t, 0));
    weft_sleep(5 * WEFT_MILLISECOND);
    weft_time before = weft_now();
    CHECK(weft_timer_reset(t, 10 * WEFT_MILLISECOND)); /* takes the old value back */
    weft_time told = 0;
    CHECK(weft_recv(weft_timer_chan(t), &told));
    CHECK(told >= before + 10 * WEFT_MILLISECOND);
    weft_timer_unref(t);
}

TEST(T10_reset) {
    weft_time start = weft_now(), told = 0;
    weft_timer *t = weft_timer_new(WEFT_HOUR);
    CHECK(weft_timer_reset(t, 20 * WEFT_MILLISECOND));
    CHECK(weft_recv(weft_timer_chan(t), &told));
    CHECK(told >= start + 20 * WEFT_MILLISECOND);
    CHECK(!weft_timer_reset(t, 20 * WEFT_MILLISECOND)); /* fired */
    CHECK(weft_recv(weft_timer_chan(t), &told));
    CHECK(told >= start + 40 * WEFT_MILLISECOND);
    CHECK(!weft_timer_stop(t));
    CHECK(!weft_timer_reset(t, WEFT_HOUR));
    CHECK(weft_timer_stop(t));
    CHECK(!weft_timer_reset(t, 1)); /* stopped */
    CHECK(weft_recv(weft_timer_chan(t), NULL));
    weft_timer_unref(t);
}

struct func_timer {
    weft_chan(uint64_t) ran;
    weft_chan(int) go_on;
};

static void blocking_func(void *arg) {
    struct func_timer *f = arg;
    weft_send(f->ran, weft_id());
    weft_recv(f->go_on, NULL);
    count++;
}

TEST1(T11_a_function_timer_has_its_own_goroutine) {
    struct func_timer f = {weft_chan_make(uint64_t, 0), weft_chan_make(int, 0)};
    weft_timer *t[3];
    uint64_t id[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++)
        t[i] = weft_after_func(i * WEFT_MILLISECOND, blocking_func, &f);
    for (int i = 0; i < 3; i++) {
        CHECK(weft_recv(f.ran, &id[i])); /* the ones before still block */
        CHECK(weft_sleep(WEFT_MILLISECOND));
    }
    CHECK(id[0] != id[1] && id[1] != id[2] && id[0] != id[2]);
    CHECK(id[0] > 1 && id[1] > 1 && id[2] > 1);
    CHECK_EQ(count, 0);
    weft_chan_close(f.go_on);
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(count, 3);
    for (int i = 0; i < 3; i++)
        weft_timer_unref(t[i]);
    weft_chan_unref(f.ran);
    weft_chan_unref(f.go_on);
}

static void count_up(void *arg) {
    (void)arg;
    count++;
}

TEST(T12_a_function_timer_has_no_channel) {
    weft_timer *t = weft_after_func(0, count_up, NULL);
    CHECK(weft_timer_chan(t) == NULL);
    EVENTUALLY(count == 1);
    CHECK(!weft_timer_reset(t, 0));
    EVENTUALLY(count == 2);
    CHECK(!weft_timer_reset(t, WEFT_HOUR));
    CHECK(weft_timer_reset(t, 0));
    EVENTUALLY(count == 3);
    CHECK(!weft_timer_stop(t));
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_timer_unref(t);
}

static void chain(void *arg) {
    int left = --*(int *)arg; /* each link alone touches it: it arms the next one after this */
    if (left > 0)
        weft_timer_unref(weft_after_func(0, chain, arg));
    else
        stage = 2;
    weft_sleep(WEFT_SECOND);
    count++;
}

TEST(T13_a_chain_of_sleeping_functions) {
    static int left = 500; /* one after the other these would take 500 s */
    weft_timer_unref(weft_after_func(0, chain, &left));
    EVENTUALLY(stage == 2);
    CHECK_EQ(left, 0);
    EVENTUALLY(count == 500); /* an unref of an armed timer does not stop it */
}

TEST(T14_timers_of_nothing_a_million_times) {
    weft_timer *t = weft_timer_new(0);
    CHECK(weft_recv(weft_timer_chan(t), NULL));
    for (int i = 0; i < ROUNDS(1000000); i++) {
        CHECK(!weft_timer_reset(t, i & 1));
        CHECK(weft_recv(weft_timer_chan(t), NULL));
    }
    weft_timer_unref(t);
    for (int i = 0; i < ROUNDS(10000); i++) {
        t = weft_timer_new(0);
        CHECK(weft_recv(weft_timer_chan(t), NULL));
        weft_timer_unref(t);
    }
}

TEST(T15_moved_earlier_again_and_again) {
    weft_timer *t = weft_timer_new(WEFT_HOUR);
    for (int i = 0; i < 200; i++) {
        weft_time start = weft_now();
        for (int k = 10; k > 0; k--)
            CHECK(weft_timer_reset(t, k * WEFT_MINUTE));
        CHECK(weft_timer_reset(t, WEFT_MILLISECOND));
        weft_time told = 0;
        CHECK(weft_recv(weft_timer_chan(t), &told));
        CHECK(told >= start + WEFT_MILLISECOND);
        CHECK(!weft_timer_reset(t, WEFT_HOUR));
    }
    CHECK(weft_timer_stop(t));
    weft_timer_unref(t);
}

static void moved_about(unsigned random) {
    weft_timer *t = weft_timer_new(WEFT_HOUR);
    weft_time due = 0, told = 0;
    for (int i = 0; i < 20; i++) {
        random = random * 1664525u + 1013904223u;
        weft_duration d = WEFT_MILLISECOND + (random >> 8) % (20 * WEFT_MILLISECOND);
        due = weft_now() + d;
        weft_timer_reset(t, d);
        if (i % 3 == 0)
            weft_sleep((random >> 4) % WEFT_MILLISECOND);
    }
    if (!weft_recv(weft_timer_chan(t), &told) || told < due)
        failed = 1;
    if (weft_timer_stop(t))
        failed = 2;
    weft_timer_unref(t);
    count++;
}

TEST(T16_a_hundred_timers_moved_at_random) {
    weft_wg wg = WEFT_WG_INIT;
    for (unsigned i = 0; i < 100; i++)
        weft_wg_go(&wg, moved_about, i * 7919u);
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 0);
    CHECK_EQ(count, 100);
}

TEST_DIES(T18_ticker_of_no_period, 2, "fatal error: non-positive interval for NewTicker") {
    weft_ticker_new(0);
}

TEST_DIES(T18_ticker_of_negative_period, 2, "fatal error: non-positive interval for NewTicker") {
    weft_ticker_new(-WEFT_SECOND);
}

TEST_DIES(T19_reset_to_no_period, 2, "fatal error: non-positive interval for Ticker.Reset") {
    weft_ticker *k = weft_ticker_new(WEFT_SECOND);
    weft_ticker_reset(k, 0);
}

TEST(T20_ticks_come_at_the_period) {
    const weft_duration period = 4 * WEFT_MILLISECOND;
    weft_time start = weft_now(), told = 0;
    weft_ticker *k = weft_ticker_new(period);
    for (int i = 1; i <= 5; i++) {
        CHECK(weft_recv(weft_ticker_chan(k), &told));
        CHECK(told >= start + i * period);
    }
    start = weft_now();
    weft_ticker_reset(k, 2 * period); /* takes back a tick not yet received */
    for (int i = 1; i <= 5; i++) {
        CHECK(weft_recv(weft_ticker_chan(k), &told));
        CHECK(told >= start + i * 2 * period);
    }
    weft_ticker_stop(k);
    weft_ticker_unref(k);
}

TEST(T21_a_stopped_ticker_is_quiet_and_open) {
    weft_ticker *k = weft_ticker_new(2 * WEFT_MILLISECOND);
    CHECK(weft_recv(weft_ticker_chan(k), NULL));
    weft_sleep(5 * WEFT_MILLISECOND); /* one more may wait: the stop takes it back */
    weft_ticker_stop(k);
    for (int i = 0; i < 5; i++) {
        errno = 0;
        CHECK(!weft_try_recv(weft_ticker_chan(k), NULL));
        CHECK_EQ(errno, EAGAIN); /* EPIPE would mean closed */
        quiet_for(4 * WEFT_MILLISECOND);
    }
    weft_ticker_reset(k, WEFT_MILLISECOND);
    CHECK(weft_recv(weft_ticker_chan(k), NULL));
    weft_ticker_stop(k);
    weft_ticker_unref(k);
}

TEST(T22_a_slow_receiver_loses_ticks) {
    const weft_duration period = 10 * WEFT_MILLISECOND;
    weft_ticker *k = weft_ticker_new(period);
    weft_sleep(20 * period);
    weft_time start = weft_now();
    int waiting = 0;
    while (weft_try_recv(weft_ticker_chan(k), NULL))
        waiting++;
    weft_time end = weft_now();
    CHECK(waiting >= 1);
    CHECK(waiting <= 2 + (end - start) / period); /* one waited, the others came meanwhile */
    weft_ticker_stop(k);
    weft_ticker_unref(k);
}

static void share_ticker(weft_ticker *k, int n) {
    for (int i = 0; i < n; i++)
        if (!weft_recv(weft_ticker_chan(k), NULL))
            failed = 1;
    count += n;
}

TEST(T23_ten_share_a_ticker) {
    const weft_duration period = WEFT_MILLISECOND;
    weft_wg wg = WEFT_WG_INIT;
    weft_time start = weft_now();
    weft_ticker *k = weft_ticker_new(period);
    for (int i = 0; i < 10; i++)
        weft_wg_go(&wg, share_ticker, k, 10);
    weft_wg_wait(&wg);
    CHECK(weft_now() - start >= 100 * period); /* a tick given to two would make it shorter */
    CHECK_EQ(count, 100);
    CHECK_EQ(failed, 0);
    weft_ticker_stop(k);
    weft_ticker_unref(k);
}

static void short_sleeper(int i) {
    weft_sleep((1 + i % 10) * WEFT_MILLISECOND);
    count++;
}

TEST(T24_sleepers_do_not_make_others_late) {
    /* The 5 s of Go's test are 30 here: an order of magnitude, not a measure of the machine. */
    const int n = ROUNDS(5000);
    weft_chan(int) c = weft_chan_make(int, 1);
    for (int round = 0; round < 4; round++) {
        count = 0;
        for (int i = 0; i < n; i++)
            CHECK_EQ(weft_go(short_sleeper, i), 0);
        do {
            CHECK(weft_send(c, 1));
            CHECK_EQ(weft_select(weft_case_recv(c, NULL), weft_case_after(30 * WEFT_SECOND)), 0);
            CHECK_EQ(
                weft_select(weft_case_after(WEFT_MILLISECOND), weft_case_after(30 * WEFT_SECOND)),
                0);
        } while (count < n);
    }
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(c);
}

static _Atomic bool stop_spinning;

static void yields_until_stopped(void) {
    while (!stop_spinning)
        weft_yield();
}

static void stops_spinners(void *arg) {
    (void)arg;
    stop_spinning = true;
}

TEST(T25_expired_timers_run_while_all_Ps_are_busy) {
    for (int i = 0; i < 8; i++)
        weft_go(yields_until_stopped);
    weft_timer *t = weft_after_func(10 * WEFT_MILLISECOND, stops_spinners, NULL);
    yields_until_stopped(); /* ends by the timer alone */
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_timer_unref(t);
}

TEST_ENV(T25_an_idle_P_takes_over_a_busy_ones_timers, "GOMAXPROCS=2") {
    for (int i = 0; i < 5; i++) {
        stop_spinning = false;
        weft_timer *t = weft_after_func(3 * WEFT_MILLISECOND, stops_spinners, NULL);
        while (!stop_spinning)
            continue; /* makes no weft call: this P never looks at its timers */
        CHECK(!weft_timer_stop(t));
        EVENTUALLY(weft_num_goroutine() == 1);
        weft_timer_unref(t);
    }
}
