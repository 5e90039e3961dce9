/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spares.c: threads that nobody needs any more end; those that are needed, and what counts on their
 * number (the deadlock report, the end of a run, the limit), are not disturbed. GODEBUG=threadidle
 * makes "for long" short: five seconds otherwise.  P32 of the behaviours that weft shares with Go.
 */
#include "conform.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

/* GOMAXPROCS 2, two spares, the keeper, the monitor, the spawner; one that is on its way out. */
enum { HANDFUL = 8, MANY = 100 };

static int sanitizers_own; /* threads that are not weft's */

static int threads(void) {
    return test_count_threads() - sanitizers_own;
}

static weft_wg wg;
static _Atomic int inside;
static int ends[2];

static void reads_byte(void) {
    char byte;
    inside++;
    ssize_t n = weft_block(read(ends[0], &byte, 1));
    if (n != 1)
        abort();
    inside--;
}

static void many_blocked_calls(void) {
    static const char bytes[MANY];
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < MANY; i++)
        weft_wg_go(&wg, reads_byte);
    EVENTUALLY(inside == MANY);
    CHECK(threads() > MANY);
    CHECK_EQ(write(ends[1], bytes, MANY), MANY);
    weft_wg_wait(&wg);
    close(ends[0]);
    close(ends[1]);
}

static void await_handful(void) {
    weft_time end = weft_now() + EVENTUALLY_LIMIT;
    while (threads() > HANDFUL) {
        if (weft_now() > end)
            FAIL("%d threads are left", threads());
        weft_sleep(10 * WEFT_MILLISECOND);
    }
}

static void count_sanitizers_own(void) {
    sanitizers_own = SANITIZED ? 1 : 0; /* at most: ThreadSanitizer's */
}

TEST_ENV(after_blocked_calls, "GOMAXPROCS=2", "GODEBUG=threadidle=100") {
    count_sanitizers_own();
    for (int i = 0; i < 3; i++) { /* records of ended threads are used again */
        many_blocked_calls();
        await_handful();
    }
}

/* As it is without the knob. */
TEST_ENV(after_blocked_calls_in_ten_seconds, "GOMAXPROCS=2") {
    count_sanitizers_own();
    many_blocked_calls();
    weft_sleep(10 * WEFT_SECOND);
    await_handful();
}

static void locks_and_sleeps(weft_chan(int) gate, bool unlock) {
    weft_lock_os_thread();
    inside++;
    weft_recv(gate, NULL);
    if (unlock)
        weft_unlock_os_thread();
}

static void many_locked(bool unlock) {
    weft_chan(int) gate = weft_chan_make(int, 0);
    inside = 0;
    for (int i = 0; i < MANY; i++)
        weft_wg_go(&wg, locks_and_sleeps, gate, unlock);
    EVENTUALLY(inside == MANY);
    weft_sleep(200 * WEFT_MILLISECOND); /* their threads sleep, and are not idle */
    CHECK(threads() > MANY);
    weft_chan_close(gate);
    weft_wg_wait(&wg);
    weft_chan_unref(gate);
    await_handful();
}

TEST_ENV(after_locked_goroutines, "GOMAXPROCS=2", "GODEBUG=threadidle=50") {
    count_sanitizers_own();
    many_locked(true);
    many_locked(false); /* ended locked: the threads end at once (P8) */
}

/* As many Ps as there were need as many threads no more. */
TEST_ENV(after_gomaxprocs_sank, "GOMAXPROCS=64", "GODEBUG=threadidle=50") {
    count_sanitizers_own();
    weft_sleep(10 * WEFT_MILLISECOND);
    many_blocked_calls();
    weft_sleep(300 * WEFT_MILLISECOND);
    CHECK(weft_gomaxprocs(2) == 64);
    await_handful();
}

/* ---- against grants ---- */

static void naps(void) {
    weft_block(usleep(100));
}

static void bursts(int rounds, int n) {
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < n; k++)
            weft_wg_go(&wg, naps);
        weft_wg_wait(&wg);
        if (i % 4 == 0)
            weft_sleep((i % 16) * 100 * WEFT_MICROSECOND);
    }
}

/* Threads are taken and retired at the same moments, thousands of times. */
TEST_ENV(bursts_while_threads_end, "GOMAXPROCS=2", "GODEBUG=threadidle=1") {
    bursts(ROUNDS(2000), 12);
}

TEST_ENV(bursts_while_threads_end_on_one_P, "GOMAXPROCS=1", "GODEBUG=threadidle=1") {
    bursts(ROUNDS(1000), 12);
}

TEST_ENV(P32_bursts_at_the_limit, "GOMAXPROCS=4", "GODEBUG=threadidle=1") {
    CHECK_EQ(weft_set_max_threads(6), 10000);
    bursts(ROUNDS(1000), 20);
    CHECK(test_count_threads() <= 6 + 2 + (SANITIZED ? 1 : 0) + 6); /* some on their way out */
    CHECK_EQ(weft_set_max_threads(0), 6);
}

static void sleeps_long(void) {
    weft_block(usleep(20000));
}

static void past_the_limit(void) {
    weft_set_max_threads(5);
    for (int i = 0; i < 20; i++)
        weft_wg_go(&wg, sleeps_long);
    weft_wg_wait(&wg);
}

TEST_PLAIN(P32_past_the_limit_work_queues_and_one_line_warns) {
    struct test_output o = test_run_child(past_the_limit, "GOMAXPROCS=2");
    const char *line = strstr(o.err, "5 threads exist, the limit");
    CHECK_EQ(o.status, 0);
    CHECK(line != NULL && strstr(line + 10, "threads exist") == NULL);
    test_output_free(&o);
}

/* ---- the end of a run, the deadlock report ---- */

static int one_burst(int argc, char **argv) {
    (void)argv;
    bursts(1, 12);
    weft_sleep(argc * 100 * WEFT_MICROSECOND);
    return 7;
}

TEST_ENV(runs_end_while_threads_end, "GOMAXPROCS=2", "GODEBUG=threadidle=1");
TEST_PLAIN(runs_end_while_threads_end) {
    int before = test_count_threads();
    for (int i = 0; i < ROUNDS(300); i++)
        CHECK_EQ(weft_run(one_burst, i % 32, NULL), 7);
    for (int i = 0; i < 2000 && test_count_threads() > before; i++)
        usleep(1000); /* an ended thread stays in /proc for a moment */
    CHECK(test_count_threads() <= before + (SANITIZED ? 1 : 0));
}

#define ASLEEP "fatal error: all goroutines are asleep - deadlock!"

static void deadlock_after(weft_duration pause) {
    bursts(1, 40);
    weft_sleep(pause);
    weft_recv((weft_chan(int))NULL, NULL);
}

TEST_ENV(deadlock_before_threads_end, "GODEBUG=threadidle=50");
TEST_DIES(deadlock_before_threads_end, 2, ASLEEP) {
    deadlock_after(0);
}

TEST_ENV(deadlock_after_threads_end, "GODEBUG=threadidle=20");
TEST_DIES(deadlock_after_threads_end, 2, ASLEEP) {
    deadlock_after(100 * WEFT_MILLISECOND);
}

static void deadlock_now(void) {
    deadlock_after(2 * WEFT_MILLISECOND);
}

TEST_PLAIN(deadlock_while_threads_end) {
    for (int i = 0; i < ROUNDS(40); i++) {
        char env[64];
        snprintf(env, sizeof env, "GOMAXPROCS=2 GODEBUG=threadidle=%d", 1 + i % 5);
        struct test_output o = test_run_child(deadlock_now, env);
        CHECK_EQ(o.status, 2);
        CHECK(strncmp(o.err, ASLEEP, strlen(ASLEEP)) == 0);
        test_output_free(&o);
    }
}

/* What a thread has to do at its end keeps no other from being made. */

static pthread_key_t key;
static weft_chan(int) answer;

static void asks_at_the_end(void *arg) {
    (void)arg;
    weft_recv(answer, NULL);
    inside--;
}

static void marks_thread(weft_chan(int) gate) {
    weft_lock_os_thread();
    CHECK_EQ(pthread_setspecific(key, &key), 0);
    inside++;
    weft_recv(gate, NULL);
    weft_unlock_os_thread();
}

TEST_ENV(a_thread_that_waits_at_its_end, "GOMAXPROCS=2", "GODEBUG=threadidle=5") {
    enum { MARKED = 10 };
    CHECK_EQ(pthread_key_create(&key, asks_at_the_end), 0);
    answer = weft_chan_make(int, 0);
    weft_chan(int) gate = weft_chan_make(int, 0);
    for (int i = 0; i < MARKED; i++)
        weft_wg_go(&wg, marks_thread, gate);
    EVENTUALLY(inside == MARKED);
    weft_chan_close(gate);
    weft_wg_wait(&wg);
    weft_sleep(50 * WEFT_MILLISECOND);
    int before = inside; /* all of them still wait, those that were spare in their destructors */
    CHECK_EQ(before, MARKED);
    bursts(10, 20);
    weft_chan_close(answer);
    EVENTUALLY(inside < MARKED);
    CHECK_EQ(pthread_key_delete(key), 0);
    weft_sleep(50 * WEFT_MILLISECOND); /* those on their way out still use it */
}

/* ---- an idle program stays asleep ---- */

static long switches_of(const char *task) {
    char path[300], line[128];
    long n, sum = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
            sum += n;
    if (f)
        fclose(f);
    return sum;
}

/* Of all threads but the caller's. */
static long switches(void) {
    char self[32];
    snprintf(self, sizeof self, "%d", getpid());
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks);
    long sum = 0;
    for (struct dirent *e; (e = readdir(tasks)) != NULL;)
        if (e->d_name[0] != '.' && strcmp(e->d_name, self) != 0)
            sum += switches_of(e->d_name);
    closedir(tasks);
    return sum;
}

static void burst_of_naps(void) {
    bursts(1, 40);
    inside = 1;
}

TEST_ENV(an_idle_program_stays_asleep, "GOMAXPROCS=2", "GODEBUG=threadidle=50");
TEST_PLAIN(an_idle_program_stays_asleep) {
    if (SANITIZED)
        test_skip("a sanitizer has threads of its own");
    CHECK_EQ(weft_start(), 0);
    CHECK_EQ(weft_go(burst_of_naps), 0);
    while (!inside || test_count_threads() > HANDFUL)
        usleep(10000);
    sleep(2); /* the monitor's last look after the last thread */
    long before = switches();
    sleep(3);
    CHECK(switches() - before <= 1);
    while (weft_num_goroutine() > 0)
        usleep(1000);
    CHECK_EQ(weft_stop(), 0);
}
