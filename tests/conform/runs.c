/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runs.c: whole runs: how they end (G11, G14, G15), what they count and show (G6, G9), many runs in
 * one process, and that a seed repeats a schedule.
 */
#include "conform.h"

#include <pthread.h>
#include <stdatomic.h>

static _Atomic long steps;
static _Atomic int after;

/* ---- the end of a run ---- */

static void parked_for_ever(weft_chan(int) c) {
    weft_recv(c, NULL);
    after++;
}

static void parked_for_long(void) {
    weft_sleep(20 * WEFT_MILLISECOND); /* would wake while the test still looks */
    after++;
}

static void runs_for_ever(void) {
    for (;;) {
        steps++;
        weft_yield();
    }
}

static int leaves_others_behind(int argc, char **argv) {
    weft_chan(int) c = weft_chan_make(int, 0);
    CHECK_EQ(argc, 2);
    CHECK_STR(argv[1], "passed on");
    for (int i = 0; i < 20; i++) {
        weft_go(parked_for_ever, c);
        weft_go(parked_for_long);
        weft_go(runs_for_ever);
    }
    EVENTUALLY(steps > 1000);
    return 7;
}

TEST_PLAIN(G11_a_run_ends_with_main) {
    char name[] = "program", arg[] = "passed on";
    char *argv[] = {name, arg, NULL};
    CHECK_EQ(weft_run(leaves_others_behind, 2, argv), 7);
    long then = steps, woken = after;
    CHECK_EQ(weft_num_goroutine(), 0);
    usleep(60000); /* looks that nothing happens any more */
    CHECK_EQ(steps, then);
    CHECK_EQ(after, woken);
}

static pthread_t runs_on;

/* As code needs that must stay on a program's first thread. */
static int locks_its_thread(int argc, char **argv) {
    (void)argc, (void)argv;
    weft_lock_os_thread();
    weft_yield();
    return pthread_equal(pthread_self(), runs_on) != 0;
}

TEST_PLAIN(main_begins_on_the_thread_of_the_run) {
    runs_on = pthread_self();
    for (int i = 0; i < ROUNDS(300); i++)
        CHECK_EQ(weft_run(locks_its_thread, 0, NULL), 1);
}

static void exits_later(int status) {
    weft_sleep(5 * WEFT_MILLISECOND);
    for (int i = 0; i < 10; i++)
        weft_yield();
    exit(status);
}

static void main_leaves(void) {
    weft_go(exits_later, 23);
    weft_goexit();
}

TEST_PLAIN(G14_G15_main_leaves_by_goexit) {
    struct test_output r = test_run_child(main_leaves, NULL);
    CHECK_EQ(r.status, 23);
    CHECK_STR(r.err, "");
    test_output_free(&r);
}

static void at_exit(void) {
    fputs("flushed\n", stdout);
}

static void exits_while_main_waits(void) {
    atexit(at_exit);
    printf("buffered ");
    weft_go(exits_later, 24);
    for (;;)
        weft_yield();
}

TEST_PLAIN(G15_exit_in_any_goroutine) {
    struct test_output r = test_run_child(exits_while_main_waits, "GOMAXPROCS=2");
    CHECK_EQ(r.status, 24);
    CHECK_STR(r.out, "buffered flushed\n");
    test_output_free(&r);
}

static int run_in_a_run(int argc, char **argv) {
    (void)argc, (void)argv;
    return 0;
}

TEST(a_run_inside_a_run_is_refused) {
    errno = 0;
    CHECK_EQ(weft_run(run_in_a_run, 0, NULL), -1);
    CHECK_EQ(errno, EBUSY);
}

/* ---- what a dump shows ---- */

static int headers_in_dump(void) {
    int fd = memfd_create("dump", MFD_CLOEXEC);
    CHECK(fd >= 0);
    weft_dump(fd);
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    CHECK_EQ(pread(fd, text, (size_t)size, 0), size);
    close(fd);
    int n = 0;
    for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        unsigned long long id;
        int end = 0;
        if (sscanf(line, "goroutine %llu%n", &id, &end) == 1 && end > 0 &&
            strchr(line + end, '[') != NULL && id > 0)
            n++;
    }
    free(text);
    return n;
}

TEST(G6_the_count_is_that_of_the_dump) {
    weft_chan(int) c = weft_chan_make(int, 0);
    CHECK_EQ(headers_in_dump(), 1);
    for (int i = 0; i < 50; i++)
        weft_go(parked_for_ever, c);
    CHECK_EQ(headers_in_dump(), 51);
    CHECK_EQ(weft_num_goroutine(), 51);
    weft_chan_close(c);
    EVENTUALLY(weft_num_goroutine() == 1);
    EVENTUALLY(headers_in_dump() == 1);
    weft_chan_unref(c);
}

static void never_runs(void *arg) {
    (void)arg;
}

TEST(G9_no_helper_shows_in_a_dump) {
    weft_timer *t = weft_timer_new(WEFT_HOUR), *f = weft_after_func(WEFT_HOUR, never_runs, NULL);
    weft_ticker *k = weft_ticker_new(WEFT_MILLISECOND);
    weft_ctx *ctx = weft_ctx_with_timeout(weft_ctx_background(), WEFT_HOUR);
    CHECK_EQ(headers_in_dump(), 1);
    weft_sleep(10 * WEFT_MILLISECOND);
    CHECK_EQ(headers_in_dump(), 1);
    CHECK_EQ(weft_num_goroutine(), 1);
    weft_ctx_unref(ctx);
    weft_ticker_unref(k);
    CHECK(weft_timer_stop(f));
    weft_timer_unref(f);
    weft_timer_unref(t);
}

/* ---- many runs in one process ---- */

static int count_mappings(void) {
    FILE *f = fopen("/proc/self/maps", "re");
    int lines = 0;
    for (int c; f != NULL && (c = getc(f)) != EOF;)
        lines += c == '\n';
    if (f != NULL)
        fclose(f);
    return lines;
}

static void holds_some(weft_chan(int) c, weft_chan(int) never, weft_mutex *m) {
    if (m != NULL)
        weft_mutex_lock(m);
    weft_send(c, 1);
    weft_recv(never, NULL);
    after++; /* it is left parked: never gets here */
}

static int busy_app(int argc, char **argv) {
    (void)argv;
    weft_chan(int) c = weft_chan_make(int, 0), never = weft_chan_make(int, 0);
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_timer *t = weft_timer_new(WEFT_MICROSECOND);
    CHECK_EQ(weft_id(), 1);
    CHECK_EQ(weft_num_goroutine(), 1);
    for (int i = 0; i < 10; i++)
        weft_go(holds_some, c, never, i == 0 ? &m : NULL);
    for (int i = 0; i < 10; i++)
        CHECK(weft_recv(c, NULL));
    CHECK(weft_recv(weft_timer_chan(t), NULL));
    weft_timer_unref(t);
    return argc;
}

static void many_runs(int n) {
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_run(busy_app, i % 100, NULL), i % 100);
}

TEST_PLAIN(a_thousand_runs_leak_nothing) {
    many_runs(20);
    for (int i = 0; i < 2000 && test_count_threads() > 1; i++)
        usleep(1000); /* an ended thread stays in /proc for a moment */
    int threads = test_count_threads(), fds = test_count_fds(), mappings = count_mappings();
    size_t resident = resident_bytes();
    many_runs(ROUNDS(1000));
    for (int i = 0; i < 2000 && test_count_threads() > threads; i++)
        usleep(1000);
    CHECK_EQ(test_count_threads(), threads);
    CHECK_EQ(test_count_fds(), fds);
    CHECK_EQ(after, 0);
    /*
     * The C library keeps a few thread stacks and arenas of its own; a mapping leaked in each run
     * would make a thousand, and a stack of one page four megabytes. The channels are left to the
     * run on purpose: one has waiters and can't be given back.
     */
    if (!SANITIZED) {
        CHECK(count_mappings() <= mappings + 8);
        CHECK(resident_bytes() < resident + (4u << 20));
    }
}

/* ---- one seed, one schedule ---- */

static char log_text[4096];
static size_t log_size;

static void log_char(char c) {
    if (log_size < sizeof log_text - 2)
        log_text[log_size++] = c;
}

static void logs(int name, weft_chan(int) a, weft_chan(int) b) {
    for (int i = 0; i < 12; i++) {
        log_char((char)('a' + name));
        int which = weft_select(weft_case_send(a, name), weft_case_recv(a, NULL),
                                weft_case_send(b, name), weft_case_recv(b, NULL));
        log_char((char)('0' + which));
        if (i % 3 == 0)
            weft_yield();
    }
}

static void log_one_schedule(void) {
    weft_chan(int) a = weft_chan_make(int, 2), b = weft_chan_make(int, 3);
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 8; i++)
        weft_wg_go(&wg, logs, i, a, b);
    weft_wg_wait(&wg);
    log_char('\n');
    CHECK_EQ(write(STDOUT_FILENO, log_text, log_size), log_size);
}

static struct test_output log_of_seed(int seed) {
    char env[64];
    snprintf(env, sizeof env, "GOMAXPROCS=1 GODEBUG=schedseed=%d", seed);
    struct test_output r = test_run_child(log_one_schedule, env);
    CHECK_EQ(r.status, 0);
    CHECK(r.out_len > 8 * 12 * 2);
    return r;
}

TEST_PLAIN(a_seed_repeats_its_schedule) {
    enum { SEEDS = 6 };
    struct test_output first[SEEDS];
    int different = 0;
    for (int i = 0; i < SEEDS; i++) {
        first[i] = log_of_seed(i + 1);
        for (int again = 0; again < 2; again++) {
            struct test_output r = log_of_seed(i + 1);
            CHECK_STR(r.out, first[i].out);
            test_output_free(&r);
        }
        if (i > 0)
            different += strcmp(first[i].out, first[i - 1].out) != 0;
    }
    /* Two seeds may meet in one schedule of some hundred choices; five times running they don't. */
    CHECK(different > 0);
    for (int i = 0; i < SEEDS; i++)
        test_output_free(&first[i]);
}
