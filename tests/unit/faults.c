/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens when the system has no memory or no thread: os_fail_after makes the Nth request from
 * now on fail.
 *
 * Where nothing says which of the runtime's requests is the Nth, the test goes through all N until
 * none fails any more.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/os.h"
#include "weft_test.h"

#define MB ((size_t)1 << 20)

static void fail_after(int64_t n) {
    store_relaxed(&os_fail_after, n);
}

/* True when a request has failed since; ends it otherwise. */
static bool has_failed(void) {
    int64_t left = load_relaxed(&os_fail_after);
    fail_after(0);
    return left <= 0;
}

/* Megabytes of address space. */
static size_t address_space(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    size_t pages = 0;
    CHECK(f);
    CHECK_EQ(fscanf(f, "%zu", &pages), 1);
    fclose(f);
    return pages / (MB / 4096);
}

/* A joined thread may stay in /proc for a moment after its join. */
static int threads_left(void) {
    for (int i = 0; i < 2000 && test_count_threads() > 1; i++)
        usleep(1000);
    return test_count_threads();
}

/* ---- weft_go without memory ---- */

static uint64_t ran; /* atomic */

static void runs(weft_wg *wg) {
    add_relaxed(&ran, 1);
    weft_wg_done(wg);
}

/* Starts one with a stack of `size`: 0, or an errno. */
static int start(weft_wg *wg, size_t size) {
    weft_wg_add(wg, 1);
    errno = 0;
    if (weft_go_with((&(struct weft_attr){.stack_size = size}), runs, wg) == 0)
        return 0;
    int err = errno;
    weft_wg_done(wg);
    return err;
}

static void waits(weft_chan(int) go_on, weft_wg *wg) {
    weft_recv(go_on, NULL);
    runs(wg);
}

/*
 * The largest stacks have a reservation each. Now and then main's time slice is over as it calls, the
 * runtime wants a thread for the others meanwhile, and that is the request that fails.
 */
TEST_ENV(go_without_a_stack, "GOMAXPROCS=1");
TEST(go_without_a_stack) {
    weft_chan(int) go_on = weft_chan_make(int, 0);
    weft_wg wg = {0};
    weft_wg_add(&wg, 1);
    CHECK_EQ(weft_go_with((&(struct weft_attr){.stack_size = 1024 * MB}), waits, go_on, &wg), 0);
    weft_yield(); /* it waits, and keeps its stack */
    size_t before = address_space();
    int started = 0;
    for (int i = 0; i < 300; i++) {
        fail_after(1);
        int err = start(&wg, 1024 * MB);
        CHECK(has_failed());
        CHECK(err == ENOMEM || err == 0);
        started += err == 0;
        CHECK(weft_num_goroutine() <= 2 + started);
    }
    CHECK(started < 100);
    /* the failed ones left nothing */
    CHECK(address_space() <= before + 1026 * (size_t)started + 512);
    for (int i = 0; i < 5; i++, started++)
        CHECK_EQ(start(&wg, 1024 * MB), 0);
    weft_chan_close(go_on);
    weft_wg_wait(&wg);
    CHECK_EQ(ran, started + 1);
    weft_chan_unref(go_on);
}

/* The reserve asks for 1 GB, and for less where that is refused. */
TEST_ENV(less_will_do, "GOMAXPROCS=1");
TEST(less_will_do) {
    weft_wg wg = {0};
    for (int i = 0; i < 40; i++) {
        fail_after(1);
        CHECK_EQ(start(&wg, 64 * MB), 0);
    }
    has_failed();
    weft_wg_wait(&wg);
    CHECK_EQ(ran, 40);
}

/* Gs come from slabs; each slab that is refused costs one weft_go. */
TEST_ENV(go_without_a_g, "GOMAXPROCS=1");
TEST(go_without_a_g) {
    enum { MANY = 6000 };
    weft_chan(int) go_on = weft_chan_make(int, 0);
    weft_wg wg = {0};
    int started = 0, refused = 0;
    for (int i = 0; i < MANY; i++) {
        fail_after(1);
        weft_wg_add(&wg, 1);
        errno = 0;
        if (weft_go(waits, go_on, &wg) == 0) {
            started++;
        } else {
            CHECK_EQ(errno, ENOMEM);
            refused++;
            weft_wg_done(&wg);
            fail_after(0);
            weft_wg_add(&wg, 1);
            CHECK_EQ(weft_go(waits, go_on, &wg), 0); /* the next one gets it */
            started++;
        }
    }
    fail_after(0);
    CHECK(refused > 0 && refused < 20);
    CHECK_EQ(weft_num_goroutine(), started + 1);
    weft_yield();
    weft_chan_close(go_on);
    weft_wg_wait(&wg);
    CHECK_EQ(ran, started);
    weft_chan_unref(go_on);
}

TEST_ENV(channels_without_memory, "GOMAXPROCS=1");
TEST(channels_without_memory) {
    fail_after(1);
    errno = 0;
    CHECK(!weft_chan_make(int, 1000000));
    CHECK_EQ(errno, ENOMEM);
    CHECK(has_failed());
    weft_chan(int) c = weft_chan_make(int, 1000000);
    CHECK(c);
    CHECK(weft_send(c, 1));
    weft_chan_unref(c);
}

/* Each of the first requests of a busy program fails in turn: what was started runs. */
static void every_request(void) {
    for (int n = 1; n <= 40; n++) {
        weft_wg wg = {0};
        uint64_t started = 0, before = load_relaxed(&ran);
        fail_after(n);
        for (int i = 0; i < 3000; i++) {
            int err = start(&wg, i % 100 == 0 ? 512 * MB : i % 10 == 0 ? 2 * MB : 0);
            CHECK(err == 0 || err == ENOMEM);
            started += err == 0;
            if (i % 500 == 0)
                weft_yield();
        }
        has_failed();
        CHECK(started >= 2999);
        weft_wg_wait(&wg);
        CHECK_EQ(load_relaxed(&ran) - before, started);
    }
}

TEST_ENV(every_request_on_one_p, "GOMAXPROCS=1");
TEST(every_request_on_one_p) {
    every_request();
}

TEST_ENV(every_request_on_four_ps, "GOMAXPROCS=4");
TEST(every_request_on_four_ps) {
    every_request();
}

/* ---- a run that cannot start ---- */

static int answers(int argc, char **argv) {
    (void)argv;
    weft_wg wg = {0};
    for (int i = 0; i < 10; i++)
        CHECK_EQ(start(&wg, 0), 0);
    weft_wg_wait(&wg);
    return argc;
}

/* In a child, whose runtime has nothing yet. Ends with 10 when the Nth request was never made. */
static void run_without(void) {
    int64_t n = atoll(getenv("FAULT"));
    fail_after(n);
    errno = 0;
    int result = weft_run(answers, 42, NULL);
    int err = errno;
    bool failed = has_failed();
    if (result == -1)
        CHECK(failed && (err == ENOMEM || err == EAGAIN));
    else
        CHECK_EQ(result, 42);
    CHECK_EQ(threads_left(), 1);
    CHECK_EQ(weft_run(answers, 43, NULL), 43); /* and then it starts */
    CHECK_EQ(threads_left(), 1);
    if (!failed)
        _exit(10);
    _exit(result == -1 ? 11 : 0);
}

static void start_without(void) {
    int64_t n = atoll(getenv("FAULT"));
    fail_after(n);
    errno = 0;
    int result = weft_start();
    int err = errno;
    bool failed = has_failed();
    CHECK(result == 0 || (failed && (err == ENOMEM || err == EAGAIN)));
    if (result == -1)
        CHECK_EQ(weft_start(), 0);
    weft_wg wg = {0};
    CHECK_EQ(start(&wg, 0), 0);
    weft_wg_wait(&wg);
    int tries = 0;
    while (weft_stop() != 0 && tries++ < 1000) /* until the goroutine is gone */
        usleep(1000);
    CHECK_EQ(threads_left(), 1);
    if (!failed)
        _exit(10);
    _exit(result == -1 ? 11 : 0);
}

static void go_through(void (*body)(void)) {
    int refused = 0, n = 1;
    for (; n < 100; n++) {
        char env[64];
        snprintf(env, sizeof env, "FAULT=%d GOMAXPROCS=2", n);
        struct test_output o = test_run_child_plain(body, env);
        int status = o.status;
        if (status != 0 && status != 10 && status != 11)
            FAIL("request %d refused: status %d; stderr:\n%s", n, status, o.err);
        test_output_free(&o);
        refused += status == 11;
        if (status == 10)
            break;
    }
    CHECK(n < 100);
    CHECK(refused >= 3); /* memory for the Ps, two threads */
}

TEST_PLAIN(run_fails_with_errno) {
    go_through(run_without);
}

TEST_PLAIN(start_fails_with_errno) {
    go_through(start_without);
}

/* ---- a program whose threads are refused ---- */

static uint32_t over; /* atomic */

static void *refuse(void *arg) {
    (void)arg;
    while (!load_acquire(&over)) {
        fail_after(1);
        usleep(50);
    }
    fail_after(0);
    return NULL;
}

static void blocks(weft_wg *wg) {
    for (int i = 0; i < 5; i++)
        weft_block(usleep(2000)); /* long enough for its P to be taken */
    runs(wg);
}

static void computes(weft_wg *wg) {
    for (int i = 0; i < 50; i++)
        weft_yield();
    runs(wg);
}

/* For a while each thread and each block of memory is refused: whoever comes back from a blocking
 * call goes on, and afterwards all do. */
static void threads_are_refused(void) {
    enum { EACH = 8 };
    pthread_t refuser;
    weft_wg wg = {0};
    for (int round = 0; round < 3; round++) {
        store_release(&over, 0);
        store_relaxed(&ran, 0);
        CHECK_EQ(pthread_create(&refuser, NULL, refuse, NULL), 0);
        for (int i = 0; i < EACH; i++) {
            weft_wg_add(&wg, 2); /* the first ones of the run have made room for so many */
            CHECK_EQ(weft_go(computes, &wg), 0);
            CHECK_EQ(weft_go(blocks, &wg), 0);
        }
        weft_block(usleep(100000));
        store_release(&over, 1);
        weft_block(pthread_join(refuser, NULL));
        weft_wg_wait(&wg);
        CHECK_EQ(load_relaxed(&ran), 2 * EACH);
    }
}

TEST_ENV(threads_are_refused_on_one_p, "GOMAXPROCS=1");
TEST(threads_are_refused_on_one_p) {
    threads_are_refused();
}

TEST_ENV(threads_are_refused_on_four_ps, "GOMAXPROCS=4");
TEST(threads_are_refused_on_four_ps) {
    threads_are_refused();
}

static void locked(weft_wg *wg) {
    weft_lock_os_thread();
    for (int i = 0; i < 10; i++)
        weft_yield();
    weft_unlock_os_thread();
    runs(wg);
}

/* A locked goroutine needs a thread besides the others'. */
TEST_ENV(locked_goroutines_and_no_threads, "GOMAXPROCS=2");
TEST(locked_goroutines_and_no_threads) {
    weft_wg wg = {0};
    for (int n = 1; n <= 10; n++) {
        ran = 0;
        fail_after(n);
        for (int i = 0; i < 20; i++) {
            weft_wg_add(&wg, 1);
            int err = weft_go(locked, &wg);
            if (err)
                weft_wg_done(&wg);
        }
        weft_wg_wait(&wg);
        has_failed();
        CHECK(ran >= 19);
    }
}
