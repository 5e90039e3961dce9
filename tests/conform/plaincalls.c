/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that block in the kernel and that weft is not told of: no bracket around them. They hold no
 * P, whatever locks of the program's their goroutines have (P22), and flags are seen between them
 * (P23). What brackets do is in threads.c and lockedthreads.c, what signals do in preempt.c.
 */
#include "conform.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/syscall.h>

static weft_wg wg;
static atomic_bool stop;
static atomic_long turns;
static atomic_int done;

static void beside(void) {
    while (!stop) {
        turns++;
        weft_yield();
    }
}

/* In a call until somebody else had a turn: for ever, if the caller kept the only P. */
static void sleep_until_others_ran(unsigned microseconds) {
    long before = turns;
    do
        CHECK_EQ(usleep(microseconds), 0);
    while (turns == before);
}

/* ---- a lock held over a call ---- */

enum { HOLDERS = 4, SECTIONS = 5 };

static pthread_mutex_t section = PTHREAD_MUTEX_INITIALIZER;
static atomic_int inside, sections; /* ThreadSanitizer does not know file locks */

static void enter_section(void) {
    CHECK_EQ(inside++, 0);
    sleep_until_others_ran(30000);
    CHECK_EQ(--inside, 0);
    sections++;
}

static void holds_asleep(void) {
    for (int i = 0; i < SECTIONS; i++) {
        pthread_mutex_lock(&section);
        enter_section();
        pthread_mutex_unlock(&section);
    }
    done++;
}

static void await_sections(void (*holder)(void)) {
    weft_go(beside);
    for (int i = 0; i < HOLDERS; i++)
        weft_go(holder);
    EVENTUALLY(done == HOLDERS);
    CHECK_EQ(sections, HOLDERS * SECTIONS);
    stop = true;
    EVENTUALLY(weft_num_goroutine() == 1);
}

TEST1(P22_a_mutex_held_by_one_that_sleeps) {
    await_sections(holds_asleep);
}

TEST_ENV(P22_a_mutex_held_by_one_that_sleeps_2, "GOMAXPROCS=2") {
    await_sections(holds_asleep);
}

/* Nobody has a P to spare for signals: only by taking the Ps of those that are blocked. */
TEST_ENV(P22_a_mutex_without_preemption, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1") {
    await_sections(holds_asleep);
}

static char lock_file[] = "/tmp/weft-plaincalls-XXXXXX";

static void holds_file_lock(void) {
    int fd = open(lock_file, O_RDWR | O_CLOEXEC); /* a lock of its own */
    CHECK(fd >= 0);
    for (int i = 0; i < SECTIONS; i++) {
        CHECK_EQ(flock(fd, LOCK_EX), 0);
        enter_section();
        CHECK_EQ(flock(fd, LOCK_UN), 0);
    }
    close(fd);
    done++;
}

TEST1(P22_a_file_lock_held_by_one_that_sleeps) {
    int fd = mkstemp(lock_file);
    CHECK(fd >= 0);
    await_sections(holds_file_lock);
    close(fd);
    CHECK_EQ(unlink(lock_file), 0);
}

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int tokens;

static void puts_tokens(int n) {
    for (int i = 0; i < n; i++) {
        pthread_mutex_lock(&section);
        while (tokens >= 2)
            pthread_cond_wait(&changed, &section);
        tokens++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&section);
    }
    done++;
}

static void takes_tokens(int n) {
    for (int i = 0; i < n; i++) {
        pthread_mutex_lock(&section);
        while (tokens == 0)
            pthread_cond_wait(&changed, &section);
        tokens--;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&section);
    }
    done++;
}

/* A condition of pthreads' between goroutines: who waits for it must not keep the P of who signals. */
TEST1(P22_goroutines_that_wait_for_a_pthread_condition) {
    const int n = ROUNDS(500);
    for (int i = 0; i < 3; i++) {
        weft_go(takes_tokens, n);
        weft_go(puts_tokens, n);
    }
    EVENTUALLY(done == 6);
    CHECK_EQ(tokens, 0);
}

/* ---- P23 ---- */

static void naps(unsigned microseconds) {
    while (!stop) {
        usleep(microseconds);
        turns++;
    }
}

static void asks(unsigned unused) {
    (void)unused;
    while (!stop) {
        syscall(SYS_getppid);
        turns++;
    }
}

static void short_calls(void (*calls)(unsigned), unsigned microseconds) {
    stop = false;
    turns = 0;
    for (int i = 0; i < 8; i++)
        weft_wg_go(&wg, calls, microseconds);
    while (turns < 100)
        weft_sleep(WEFT_MILLISECOND);
    stop = true;
    weft_wg_wait(&wg);
}

TEST_ENV(P23_plain_short_calls_without_end_see_a_flag, "GOMAXPROCS=2") {
    short_calls(naps, 10);
    short_calls(naps, 100);
    short_calls(naps, 1000);
    short_calls(asks, 0);
}

TEST1(P23_plain_short_calls_on_one_P) {
    short_calls(naps, 10);
    short_calls(naps, 1000);
    short_calls(asks, 0);
}

/* ---- between calls: a weft call, and computing ---- */

static void calls_and_sends(weft_chan(int) c, int n) {
    for (int i = 0; i < n; i++) {
        CHECK_EQ(usleep(500), 0);
        CHECK(weft_send(c, i));
        weft_yield();
    }
    done++;
}

static void sums(weft_chan(int) c, int n, long *sum) {
    int v;
    for (int i = 0; i < n; i++) {
        CHECK(weft_recv(c, &v));
        *sum += v;
    }
    done++;
}

static void many_send(void) {
    enum { SENDERS = 16 };
    const int n = ROUNDS(100);
    long sum = 0;
    weft_chan(int) c = weft_chan_make(int, 0);
    for (int i = 0; i < SENDERS; i++)
        weft_go(calls_and_sends, c, n);
    weft_go(sums, c, SENDERS * n, &sum);
    EVENTUALLY(done == SENDERS + 1);
    CHECK_EQ(sum, (long)SENDERS * n * (n - 1) / 2);
    weft_chan_unref(c);
}

TEST1(calls_and_sends_on_one_P) {
    many_send();
}

TEST_ENV(calls_and_sends_on_two_Ps, "GOMAXPROCS=2") {
    many_send();
}

static void calls_and_computes(int n) {
    volatile double x = 1;
    for (int i = 0; i < n; i++) {
        CHECK_EQ(usleep(1000), 0);
        for (int k = 0; k < 200000; k++)
            x = x * 1.0000001;
    }
    CHECK(x > 1);
    done++;
}

TEST_ENV(calls_and_computing_in_turn, "GOMAXPROCS=2") {
    const int n = ROUNDS(30);
    weft_go(beside);
    for (int i = 0; i < 8; i++)
        weft_go(calls_and_computes, n);
    EVENTUALLY(done == 8);
    CHECK(turns > 0);
    stop = true;
    EVENTUALLY(weft_num_goroutine() == 1);
}
