/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a program dies: deadlock reports, programming errors, exit status.  Group D of the
 * behaviours that weft shares with Go, the message line and the status of it.
 *
 * Not here:
 *   D6        needs a goroutine in IO wait, which comes with the network poller
 *   D10-D16   headers, frames and order of a dump; of D10 the message line is looked at here
 *   D19, D20  virtual time
 *   D24       headers of GOTRACEBACK=system; of D21 to D25 message line and status are here
 *   D26, D28  SIGQUIT and SIGSEGV reports
 * and of D18 the reasons `preempted`, `panicwait` and `synctest...`, which come with what causes
 * them; the reasons of locks and waiting are looked at in locks.c and waiting.c.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"

#define ASLEEP "fatal error: all goroutines are asleep - deadlock!"
#define NO_GOROUTINES "fatal error: no goroutines (main called runtime.Goexit) - deadlock!"

static void park_for_ever(void) {
    weft_recv((weft_chan(int))NULL, NULL);
}

/* A sleep of the thread that no weft call announces or shortens. */
static void nap(long ms) {
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&span, &span) != 0)
        ;
}

static bool begins_with(const char *text, const char *begin) {
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* ---- deadlock ---- */

TEST_DIES(D1_D4_receive_on_main_alone, 2, ASLEEP) {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_recv(c, NULL);
}

TEST_DIES(D1_D4_all_parked, 2, ASLEEP) {
    for (int i = 0; i < 10; i++)
        weft_go(park_for_ever);
    weft_wg wg = WEFT_WG_INIT;
    weft_wg_add(&wg, 1);
    weft_wg_wait(&wg);
}

static void lock_twice(weft_mutex *m) {
    weft_mutex_lock(m);
    weft_mutex_lock(m);
}

TEST_DIES(D1_main_waits_for_a_goroutine_that_hangs, 2, ASLEEP) {
    static weft_mutex m;
    static weft_wg wg;
    weft_wg_go(&wg, lock_twice, &m);
    weft_wg_wait(&wg);
}

TEST_DIES(D1_select_without_cases, 2, ASLEEP) {
    weft_select();
}

TEST_DIES(D1_after_work_on_several_Ps, 2, ASLEEP) {
    static weft_wg wg;
    weft_gomaxprocs(4);
    for (int i = 0; i < 100; i++)
        weft_wg_go(&wg, weft_yield);
    weft_wg_wait(&wg);
    park_for_ever();
}

TEST_DIES(D2_locked_main, 2, ASLEEP) {
    weft_lock_os_thread();
    park_for_ever();
}

static void park_locked(void) {
    weft_lock_os_thread();
    park_for_ever();
}

TEST_DIES(D2_locked_other, 2, ASLEEP) {
    weft_go(park_locked);
    park_for_ever();
}

TEST_DIES(D2_locked_main_and_locked_other, 2, ASLEEP) {
    weft_lock_os_thread();
    weft_go(park_locked);
    weft_yield();
    park_for_ever();
}

static int app_that_hangs(int argc, char **argv) {
    (void)argc, (void)argv;
    park_for_ever();
    return 0;
}

/* Code that runs before main: in the child of the test below it is a run of its own. */
__attribute__((constructor)) static void before_main(void) {
    if (getenv("WEFT_TEST_BEFORE_MAIN") != NULL)
        weft_run(app_that_hangs, 0, NULL);
}

static void do_nothing(void) {
}

TEST_PLAIN(D2_deadlock_before_main) {
    struct test_output r = test_run_child_plain(do_nothing, "WEFT_TEST_BEFORE_MAIN=1");
    CHECK_EQ(r.status, 2);
    CHECK(begins_with(r.err, ASLEEP "\n"));
    test_output_free(&r);
}

TEST_DIES(D3_main_gone_alone, 2, NO_GOROUTINES) {
    weft_goexit();
}

static void finish_later(_Atomic int *left) {
    weft_sleep(2 * WEFT_MILLISECOND);
    atomic_fetch_sub(left, 1);
}

TEST_DIES(D3_main_gone_and_the_others_end, 2, NO_GOROUTINES) {
    static _Atomic int left = 5;
    for (int i = 0; i < 5; i++)
        weft_go(finish_later, &left);
    weft_goexit();
}

/* With goroutines left it is the other text, main or no main. */
TEST_DIES(D1_D3_main_gone_others_parked, 2, ASLEEP) {
    weft_go(park_for_ever);
    weft_goexit();
}

/* ---- what holds the report back ---- */

static void say(const char *text) {
    CHECK_EQ(write(1, text, strlen(text)), (ssize_t)strlen(text));
}

static void sleep_and_say(void) {
    weft_sleep(60 * WEFT_MILLISECOND);
    say("awake\n");
}

static void park_beside_a_sleeper(void) {
    weft_go(sleep_and_say);
    park_for_ever();
}

static void say_fired(void *unused) {
    (void)unused;
    say("fired\n");
}

static void park_beside_a_timer(void) {
    weft_after_func(60 * WEFT_MILLISECOND, say_fired, NULL);
    park_for_ever();
}

static void park_beside_a_stopped_timer(void) {
    weft_timer *t = weft_after_func(WEFT_HOUR, say_fired, NULL);
    CHECK(weft_timer_stop(t));
    park_for_ever();
}

/* With two Ps another M is asleep until the timer is due by the time that it is stopped. */
static void park_beside_a_timer_slept_for(void) {
    weft_timer *t = weft_after_func(WEFT_HOUR, say_fired, NULL);
    nap(20);
    CHECK(weft_timer_stop(t));
    park_for_ever();
}

static void park_beside_an_open_pipe(void) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    park_for_ever();
}

static void block_and_say(void) {
    weft_block(nap(60));
    say("returned\n");
}

static void park_beside_a_system_call(void) {
    weft_go(block_and_say);
    park_for_ever();
}

static void expect_late_report(void (*body)(void), const char *said) {
    static const char *const procs[] = {"GOMAXPROCS=1", "GOMAXPROCS=2"};
    for (int i = 0; i < 2; i++) {
        struct test_output r = test_run_child(body, procs[i]);
        CHECK_EQ(r.status, 2);
        CHECK_STR(r.out, said);
        CHECK(begins_with(r.err, ASLEEP "\n"));
        test_output_free(&r);
    }
}

TEST_PLAIN(D5_sleeper_holds_the_report_back) {
    expect_late_report(park_beside_a_sleeper, "awake\n");
}

TEST_PLAIN(D5_armed_function_timer_holds_it_back) {
    expect_late_report(park_beside_a_timer, "fired\n");
}

TEST_PLAIN(D5_stopped_function_timer_does_not) {
    expect_late_report(park_beside_a_stopped_timer, "");
}

TEST_PLAIN(D5_stopped_timer_that_an_M_sleeps_for) {
    expect_late_report(park_beside_a_timer_slept_for, "");
}

TEST_PLAIN(D7_open_descriptor_does_not) {
    expect_late_report(park_beside_an_open_pipe, "");
}

TEST_PLAIN(D8_system_call_holds_it_back) {
    expect_late_report(park_beside_a_system_call, "returned\n");
}

static void *nap_and_send(void *chan) {
    weft_chan(int) c = chan;
    nap(60); /* long enough for a wrong report */
    weft_send(c, 7);
    return NULL;
}

static void receive_from_thread(void) {
    weft_chan(int) c = weft_chan_make(int, 0);
    pthread_t thread;
    int v = 0;
    CHECK_EQ(pthread_create(&thread, NULL, nap_and_send, c), 0);
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 7);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    weft_chan_unref(c);
}

TEST(D9_foreign_thread_turns_the_report_off) {
    receive_from_thread();
}

TEST_DIES(D9_report_is_on_again_when_the_thread_is_gone, 2, ASLEEP) {
    receive_from_thread();
    weft_sleep(50 * WEFT_MILLISECOND);
    park_for_ever();
}

static void receive_and_store(weft_chan(int) c, _Atomic int *got) {
    int v = 0;
    CHECK(weft_recv(c, &v));
    atomic_store(got, v);
}

/* Under weft_start the threads of the program may always come and wake somebody. */
TEST_PLAIN(D9_no_report_under_weft_start) {
    static _Atomic int got;
    CHECK_EQ(weft_start(), 0);
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_go(receive_and_store, c, &got);
    nap(60); /* all goroutines are asleep */
    CHECK(weft_send(c, 9));
    while (atomic_load(&got) != 9)
        nap(1);
    weft_chan_unref(c);
}

/* ---- programming errors: Go's text, status 2 ---- */

TEST_DIES(D4_D10_close_of_closed, 2, "fatal error: close of closed channel") {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_chan_close(c);
    weft_chan_close(c);
}

TEST_DIES(D4_D10_close_of_null, 2, "fatal error: close of nil channel") {
    weft_chan(int) c = NULL;
    weft_chan_close(c);
}

static void close_it(weft_chan(int) c) {
    weft_chan_close(c);
}

TEST_DIES(D4_D10_in_another_goroutine, 2, "fatal error: close of closed channel") {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_chan_close(c);
    weft_go(close_it, c);
    weft_sleep(WEFT_HOUR);
}

TEST_DIES(D4_D10_go_of_null, 2, "fatal error: go of nil func value") {
    void (*nothing)(void) = NULL;
    weft_go(nothing);
}

TEST_DIES(D4_D10_channel_too_large, 2, "fatal error: makechan: size out of range") {
    weft_chan(long) c = weft_chan_make(long, (size_t)1 << 62);
    weft_chan_close(c);
}

static void receive_it(weft_chan(int) c) {
    weft_recv(c, NULL);
}

TEST_DIES(D4_D10_free_with_waiters, 2, "fatal error: free of channel with waiters") {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_gomaxprocs(1);
    weft_go(receive_it, c);
    for (int i = 0; i < 10; i++)
        weft_yield();
    weft_chan_unref(c);
}

TEST_DIES(D4_D10_context_of_null, 2, "fatal error: cannot create context from nil parent") {
    weft_ctx_with_cancel(NULL);
}

static void hook_that_speaks(const char *text) {
    say("hook: ");
    say(text);
    say("\n");
}

static void die_with_hook(void) {
    weft_set_fatal_hook(hook_that_speaks);
    weft_chan_close((weft_chan(int))NULL);
}

TEST_PLAIN(D4_hook_sees_the_text_first) {
    struct test_output r = test_run_child(die_with_hook, NULL);
    CHECK_EQ(r.status, 2);
    CHECK(begins_with(r.err, "fatal error: close of nil channel\n"));
    CHECK(begins_with(r.out, "hook: "));
    CHECK(strstr(r.out, "close of nil channel") != NULL);
    test_output_free(&r);
}

static void say_at_exit(void) {
    say("atexit\n");
}

static void die_with_atexit(void) {
    atexit(say_at_exit);
    weft_chan_close((weft_chan(int))NULL);
}

/* A handler could hang on a lock that a stopped goroutine holds, so none is run. */
TEST_PLAIN(D4_death_runs_no_exit_handlers) {
    struct test_output r = test_run_child(die_with_atexit, NULL);
    CHECK_EQ(r.status, 2);
    CHECK_STR(r.out, "");
    test_output_free(&r);
}

/* ---- reasons ---- */

static void do_send_nil(void *unused) {
    (void)unused;
    weft_send((weft_chan(int))NULL, 1);
}

static void do_recv_nil(void *unused) {
    (void)unused;
    weft_recv((weft_chan(int))NULL, NULL);
}

static void do_send(void *chan) {
    weft_send((weft_chan(int))chan, 1);
}

static void do_recv(void *chan) {
    weft_recv((weft_chan(int))chan, NULL);
}

static void do_select(void *chan) {
    weft_chan(int) c = chan;
    weft_select(weft_case_recv(c, NULL), weft_case_recv((weft_chan(int))NULL, NULL));
}

static void do_select_nothing(void *unused) {
    (void)unused;
    weft_select();
}

static void do_sleep(void *unused) {
    (void)unused;
    weft_sleep(WEFT_HOUR);
}

TEST_ENV(D12_D17_reasons_of_channels, TRACE_ENV) {
    weft_chan(int) a = weft_chan_make(int, 0), b = weft_chan_make(int, 0);
    CHECK(trace_sees(do_recv, a, "chan receive"));
    CHECK(trace_sees(do_send, b, "chan send"));
    CHECK(trace_sees(do_recv_nil, NULL, "chan receive (nil chan)"));
    CHECK(trace_sees(do_send_nil, NULL, "chan send (nil chan)"));
}

TEST_ENV(D12_D17_reasons_of_select_and_sleep, TRACE_ENV) {
    weft_chan(int) c = weft_chan_make(int, 0);
    CHECK(trace_sees(do_select, c, "select"));
    CHECK(trace_sees(do_select_nothing, NULL, "select (no cases)"));
    CHECK(trace_sees(do_sleep, NULL, "sleep"));
}

/* ---- GOTRACEBACK: message line and status ---- */

static void die_in_main(void) {
    weft_chan_close((weft_chan(int))NULL);
}

TEST_PLAIN(D21_D22_none_prints_the_line_alone) {
    static const char *const none[] = {"GOTRACEBACK=none", "GOTRACEBACK=0"};
    for (int i = 0; i < 2; i++) {
        struct test_output r = test_run_child(die_in_main, none[i]);
        CHECK_EQ(r.status, 2);
        CHECK_STR(r.err, "fatal error: close of nil channel\n");
        test_output_free(&r);
    }
}

TEST_PLAIN(D21_D23_D24_line_and_status_are_the_same) {
    static const char *const levels[] = {
        "GOTRACEBACK=single", "GOTRACEBACK=all", "GOTRACEBACK=system",
        "GOTRACEBACK=1",      "GOTRACEBACK=2",   "GOTRACEBACK=",
    };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        struct test_output r = test_run_child(die_in_main, levels[i]);
        CHECK_EQ(r.status, 2);
        CHECK(begins_with(r.err, "fatal error: close of nil channel\n"));
        test_output_free(&r);
    }
}

TEST_PLAIN(D21_D25_crash_dies_of_SIGABRT) {
    struct test_output r = test_run_child(die_in_main, "GOTRACEBACK=crash");
    CHECK_EQ(r.status, 128 + SIGABRT);
    CHECK(begins_with(r.err, "fatal error: close of nil channel\n"));
    test_output_free(&r);
}

static void die_of_sigterm(void) {
    kill(getpid(), SIGTERM);
    park_for_ever();
}

TEST_PLAIN(D27_SIGTERM_ends_it_silently) {
    struct test_output r = test_run_child(die_of_sigterm, NULL);
    CHECK_EQ(r.status, 128 + SIGTERM);
    CHECK_STR(r.err, "");
    CHECK_STR(r.out, "");
    test_output_free(&r);
}

/* ---- stack overflow ---- */

static int descend(int depth, volatile char *above) {
    volatile char frame[512];
    frame[0] = (char)depth;
    frame[511] = above[0];
    if (depth == -1)
        return 0;
    return descend(depth + 1, frame) + frame[depth % 512];
}

static void overflow(void) {
    volatile char top[1] = {0};
    descend(1, top);
}

static const int overflow_line = __LINE__ + 4; /* of the weft_go_with */

static void die_of_overflow(void) {
    struct weft_attr named = {.name = "digger"};
    weft_go_with(&named, overflow);
    weft_sleep(WEFT_HOUR);
}

enum { BIG_STACK = 256 * 1024 };

static const int big_overflow_line = __LINE__ + 4;

static void die_of_big_overflow(void) {
    struct weft_attr big = {.stack_size = BIG_STACK};
    weft_go_with(&big, overflow);
    weft_sleep(WEFT_HOUR);
}

/* "fatal error: goroutine N (NAME) overflowed its K KB stack, created at FILE:LINE\n" */
static void check_overflow_line(const char *err, const char *name, long kilobytes, int site) {
    const char *at = err;
    long id = 0, size = 0, line = 0;
    CHECK(trace_number(&at, "fatal error: goroutine ", &id));
    CHECK(id > 1);
    CHECK(trace_word(&at, " "));
    CHECK(trace_word(&at, name));
    CHECK(trace_number(&at, "overflowed its ", &size));
    CHECK_EQ(size, kilobytes);
    CHECK(trace_word(&at, " KB stack, created at "));
    const char *end = strchr(at, '\n');
    CHECK(end != NULL);
    const char *file = strstr(at, "fatal.c");
    CHECK(file != NULL && file < end);
    at = file;
    CHECK(trace_number(&at, "fatal.c:", &line));
    CHECK_EQ(line, site);
    CHECK(at == end);
}

TEST_PLAIN(D4_D29_stack_overflow_names_the_goroutine) {
    struct test_output r = test_run_child(die_of_overflow, NULL);
    CHECK_EQ(r.status, 2);
    check_overflow_line(r.err, "(digger) ", 64, overflow_line);
    test_output_free(&r);
}

TEST_PLAIN(D29_stack_overflow_names_the_size) {
    struct test_output r = test_run_child(die_of_big_overflow, NULL);
    CHECK_EQ(r.status, 2);
    check_overflow_line(r.err, "", BIG_STACK / 1024, big_overflow_line);
    test_output_free(&r);
}

/* ---- too many threads ---- */

enum { BLOCKERS = 40, THREADS_AT_MOST = 8 };

struct blockers {
    int ends[2], errors;
    _Atomic int inside, most, done;
    weft_wg wg;
};

/* Counted until here: after the bracket it may wait for its turn without a thread. */
static ssize_t read_and_count(struct blockers *b, char *byte) {
    ssize_t n = read(b->ends[0], byte, 1);
    atomic_fetch_sub(&b->inside, 1);
    return n;
}

static void block_in_read(struct blockers *b) {
    char byte;
    int inside = atomic_fetch_add(&b->inside, 1) + 1;
    int most = atomic_load(&b->most);
    while (inside > most && !atomic_compare_exchange_weak(&b->most, &most, inside))
        ;
    CHECK_EQ(weft_block(read_and_count(b, &byte)), 1);
    atomic_fetch_add(&b->done, 1);
}

/* Lets the blocked ones go when the warning has come, for then nothing more can start. */
static void *release_after_warning(void *arg) {
    struct blockers *b = arg;
    char bytes[BLOCKERS] = {0};
    while (lseek(b->errors, 0, SEEK_END) == 0)
        nap(2);
    nap(20); /* a second warning would come now */
    if (write(b->ends[1], bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        abort();
    return NULL;
}

TEST(D30_too_many_threads_queue_and_warn_once) {
    static struct blockers b;
    pthread_t releaser;
    CHECK_EQ(pipe(b.ends), 0);
    CHECK_EQ(weft_set_max_threads(THREADS_AT_MOST), 10000);
    struct trace_capture c = trace_capture();
    b.errors = c.memory;
    CHECK_EQ(pthread_create(&releaser, NULL, release_after_warning, &b), 0);
    for (int i = 0; i < BLOCKERS; i++)
        weft_wg_go(&b.wg, block_in_read, &b);
    weft_wg_wait(&b.wg);
    trace_release(&c);
    CHECK_EQ(pthread_join(releaser, NULL), 0);
    CHECK_EQ(atomic_load(&b.done), BLOCKERS);
    CHECK(atomic_load(&b.most) > 1);
    CHECK(atomic_load(&b.most) <= THREADS_AT_MOST);
    char *text = trace_text(&c), *rest = text;
    int lines = 0;
    for (char *line; (line = trace_next_line(&rest)) != NULL; lines++)
        CHECK(strstr(line, "thread") != NULL);
    CHECK_EQ(lines, 1);
    CHECK_STR(rest, "");
    free(text);
    trace_end(&c);
    close(b.ends[0]);
    close(b.ends[1]);
    CHECK_EQ(weft_set_max_threads(10000), THREADS_AT_MOST);
}
