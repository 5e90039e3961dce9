/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler trace: which values of GODEBUG print what, the stamps, and every line under load.
 * Group F of the behaviours that weft shares with Go; what the numbers are at a moment that the
 * test made quiet is in schednumbers.c.  Tools parse these lines, so trace.h parses them strictly.
 *
 * Not here: of F6, that a line comes at most 10 ms late, which a loaded machine can't promise;
 * F11, whose one is a matter of nanoseconds: the field is parsed and must be 0 or 1.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft.h>

#include "trace_group.h"

enum { PERIOD = 10 };
#define TRACE "GODEBUG=schedtrace=10"
#define DETAIL "GODEBUG=schedtrace=10,scheddetail=1"

/* All whole groups of a text: bounds, and the stamps of F6. */
static long check_all(const char *text, bool detail, long period) {
    static struct group g;
    long n = trace_whole_groups(text), last = 0;
    CHECK_EQ(text[0], 'S'); /* and nothing before the first SCHED line */
    for (long i = 0; i < n; i++) {
        parse_group(text, i, detail, &g);
        if (detail)
            check_detail(&g);
        if (i > 0)
            CHECK(g.s.ms >= last + period);
        last = g.s.ms;
    }
    return n;
}

static void stay_for_five(void) {
    free(await_groups(&caught, 5));
}

static void stay_a_while(void) {
    weft_sleep(20 * PERIOD * WEFT_MILLISECOND);
}

static void expect_lines(long period) {
    char *text = run_caught(stay_for_five);
    CHECK(check_all(text, false, period) >= 5);
    free(text);
}

static void expect_silence(void) {
    char *text = run_caught(stay_a_while);
    CHECK_STR(text, "");
    free(text);
}

/* ---- which values do what ---- */

TEST_ENV(F2_F4_F6_lines_come, TRACE);
TEST_PLAIN(F2_F4_F6_lines_come) {
    expect_lines(PERIOD);
}

TEST_ENV(F2_zero_prints_nothing, "GODEBUG=schedtrace=0");
TEST_PLAIN(F2_zero_prints_nothing) {
    expect_silence();
}

TEST_ENV(F2_none_prints_nothing, "GODEBUG=");
TEST_PLAIN(F2_none_prints_nothing) {
    expect_silence();
}

TEST_ENV(F3_detail_alone_prints_nothing, "GODEBUG=scheddetail=1");
TEST_PLAIN(F3_detail_alone_prints_nothing) {
    expect_silence();
}

TEST_ENV(F1_the_later_entry_wins, "GODEBUG=schedtrace=0,schedtrace=10");
TEST_PLAIN(F1_the_later_entry_wins) {
    expect_lines(PERIOD);
}

TEST_ENV(F1_the_later_entry_wins_when_zero, "GODEBUG=schedtrace=10,schedtrace=0");
TEST_PLAIN(F1_the_later_entry_wins_when_zero) {
    expect_silence();
}

TEST_ENV(F1_unknown_names_are_ignored,
         "GODEBUG=http2client=0,,nosuchname=1,word,=,=5,schedtrace=10,gctrace=x,");
TEST_PLAIN(F1_unknown_names_are_ignored) {
    expect_lines(PERIOD);
}

TEST_ENV(F1_WEFT_DEBUG_stands_above, "GODEBUG=schedtrace=0", "WEFT_DEBUG=schedtrace=10");
TEST_PLAIN(F1_WEFT_DEBUG_stands_above) {
    expect_lines(PERIOD);
}

TEST_ENV(F1_WEFT_DEBUG_stands_above_to_turn_off, TRACE, "WEFT_DEBUG=schedtrace=0");
TEST_PLAIN(F1_WEFT_DEBUG_stands_above_to_turn_off) {
    expect_silence();
}

TEST_PLAIN(F1_bad_value_says_so_once) {
    static const char *const bad[] = {
        "GODEBUG=schedtrace=ten",
        "GODEBUG=schedtrace=10x",
        "GODEBUG=schedtrace=99999999999999999999",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct test_output r = test_run_child(stay_a_while, bad[i]);
        CHECK_EQ(r.status, 0);
        CHECK(strstr(r.err, "schedtrace") != NULL);
        CHECK(strstr(r.err, "SCHED ") == NULL);
        CHECK(strchr(r.err, '\n') == r.err + strlen(r.err) - 1); /* one line */
        test_output_free(&r);
    }
}

/* ---- stamps ---- */

TEST_ENV(F5_first_line_says_0ms, TRACE);
TEST_PLAIN(F5_first_line_says_0ms) {
    char *text = run_caught(stay_for_five);
    CHECK(strncmp(text, "SCHED 0ms: ", 11) == 0);
    free(text);
}

TEST_ENV(F5_F6_a_long_period, "GODEBUG=schedtrace=150");
TEST_PLAIN(F5_F6_a_long_period) {
    char *text = run_caught(stay_for_five);
    CHECK(strncmp(text, "SCHED 0ms: ", 11) == 0);
    CHECK(check_all(text, false, 150) >= 5);
    free(text);
}

/* ---- while the run ends ---- */

enum { LINGERERS = 12 };

static _Atomic int napping;
static _Atomic long groups_at_end;

static void nap(void) {
    atomic_fetch_add(&napping, 1);
    while (atomic_load(&napping) < LINGERERS)
        weft_block(usleep(1000));
}

/* Keeps the run from being over until the trace has shown its end, but for less than it takes to be
 * set aside. */
static void linger(void) {
    while (atomic_load(&groups_at_end) == 0)
        continue;
    for (int ms = 0; ms < 500; ms++) {
        char *text = trace_text(&caught);
        long n = trace_whole_groups(text);
        free(text);
        if (n >= atomic_load(&groups_at_end) + 2)
            return;
        usleep(1000);
    }
}

/* Threads that have ended are neither idle nor there. */
static void leave_idle_threads(void) {
    weft_go(linger);
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < LINGERERS; i++)
        weft_wg_go(&wg, nap);
    weft_wg_wait(&wg);
    char *text = trace_text(&caught);
    atomic_store(&groups_at_end, trace_whole_groups(text) + 1);
    free(text);
}

TEST_ENV(F10_F12_while_the_run_ends, "GOMAXPROCS=2", TRACE);
TEST_PLAIN(F10_F12_while_the_run_ends) {
    char *text = run_caught(leave_idle_threads);
    check_all(text, false, PERIOD);
    free(text);
}

/* ---- under load ---- */

enum { YIELDERS = 48, PAIRS = 8, SLEEPERS = 16, BLOCKERS = 4 };

static struct load {
    _Atomic int stop;
    weft_wg wg;
    weft_chan(int) ping[PAIRS], pong[PAIRS];
} load;

static void keep_yielding(void) {
    while (!atomic_load(&load.stop))
        weft_yield();
}

static void keep_serving(int i) {
    while (weft_recv(load.ping[i], NULL) && weft_send(load.pong[i], i))
        ;
}

static void keep_asking(int i) {
    while (!atomic_load(&load.stop)) {
        weft_send(load.ping[i], i);
        weft_recv(load.pong[i], NULL);
    }
    weft_chan_close(load.ping[i]);
}

static void keep_sleeping(void) {
    while (!atomic_load(&load.stop))
        weft_sleep(300 * WEFT_MICROSECOND);
}

static void keep_blocking(void) {
    while (!atomic_load(&load.stop))
        weft_block(usleep(500));
}

static void keep_spawning(void) {
    while (!atomic_load(&load.stop)) {
        weft_wg children = WEFT_WG_INIT;
        for (int i = 0; i < 32; i++)
            weft_wg_go(&children, weft_yield);
        weft_wg_wait(&children);
    }
}

static void start_load(void) {
    for (int i = 0; i < YIELDERS; i++)
        weft_wg_go(&load.wg, keep_yielding);
    for (int i = 0; i < PAIRS; i++) {
        load.ping[i] = weft_chan_make(int, 0);
        load.pong[i] = weft_chan_make(int, (size_t)i);
        weft_wg_go(&load.wg, keep_serving, i);
        weft_wg_go(&load.wg, keep_asking, i);
    }
    for (int i = 0; i < SLEEPERS; i++)
        weft_wg_go(&load.wg, keep_sleeping);
    for (int i = 0; i < BLOCKERS; i++)
        weft_wg_go(&load.wg, keep_blocking);
    weft_wg_go(&load.wg, keep_spawning);
}

static void stop_load(void) {
    atomic_store(&load.stop, 1);
    weft_wg_wait(&load.wg);
    for (int i = 0; i < PAIRS; i++) {
        weft_chan_unref(load.ping[i]);
        weft_chan_unref(load.pong[i]);
    }
}

static void carry_load(void) {
    start_load();
    free(await_groups(&caught, 15));
    stop_load();
}

TEST_ENV(F4_F7_F8_F13_F14_under_load, "GOMAXPROCS=4", TRACE);
TEST_PLAIN(F4_F7_F8_F13_F14_under_load) {
    static struct group g;
    char *text = run_caught(carry_load);
    long n = check_all(text, false, PERIOD), busy = 0, queued = 0;
    CHECK(n >= 15);
    for (long i = 0; i < n; i++) {
        parse_group(text, i, false, &g);
        CHECK_EQ(g.s.gomaxprocs, 4);
        CHECK_EQ(g.np + g.nm + g.ng, 0);
        busy += g.s.idleprocs < 4;
        queued += g.s.runqueue;
        for (int k = 0; k < 4; k++)
            queued += g.s.local[k];
    }
    /* 48 goroutines that only yield: a trace that shows rest, or nobody who waits, is untrue. */
    CHECK(busy >= n / 2);
    CHECK(queued >= n / 2);
    free(text);
}

static void check_load_detail(int procs) {
    static struct group g;
    char *text = run_caught(carry_load);
    long n = check_all(text, true, PERIOD), running = 0, parked = 0;
    CHECK(n >= 15);
    for (long i = 0; i < n; i++) {
        parse_group(text, i, true, &g);
        CHECK_EQ(g.s.gomaxprocs, procs);
        for (int k = 0; k < g.ng; k++) {
            running += g.g[k].status == 2 || g.g[k].status == 3; /* or in a bracket */
            parked += g.g[k].status == 4;
        }
    }
    CHECK(running > 0);
    CHECK(parked > 0);
    free(text);
}

TEST_ENV(F16_F17_F19_F20_F21_F22_under_load, "GOMAXPROCS=4", DETAIL);
TEST_PLAIN(F16_F17_F19_F20_F21_F22_under_load) {
    check_load_detail(4);
}

TEST_ENV(F16_F17_F19_F20_F21_F22_under_load_on_one_P, "GOMAXPROCS=1", DETAIL);
TEST_PLAIN(F16_F17_F19_F20_F21_F22_under_load_on_one_P) {
    check_load_detail(1);
}
