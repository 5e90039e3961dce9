/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threads.c: goroutines and threads. Pthreads of the program's own use weft's calls beside
 * goroutines (they block as threads), weft_start serves a program with a main of its own, a locked
 * goroutine keeps its thread to itself, weft_block gives the P away, GOMAXPROCS changes under load.
 * Widens C24, P6, P18 and P22.
 */
#include "conform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static _Atomic int failed;
static _Atomic int stage;
static _Atomic long total;

static pid_t thread_id(void) {
    return (pid_t)syscall(SYS_gettid);
}

static pthread_t start_thread(void *(*fn)(void *), void *arg) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, fn, arg);
    if (error != 0)
        FAIL("pthread_create: %s", strerror(error));
    return thread;
}

/* From a goroutine: the P is given away meanwhile. */
static void join_thread(pthread_t thread) {
    int error = weft_block(pthread_join(thread, NULL));
    CHECK_EQ(error, 0);
}

/* ---- foreign threads ---- */

enum { VALUES = 2000 };

static weft_chan(int) up, down, never;
static weft_mutex mutex;
static weft_wg wg;
static long plain;

static void *thread_sends(void *arg) {
    (void)arg;
    for (int i = 0; i < VALUES; i++)
        if (!weft_send(up, i))
            failed = 1;
    return NULL;
}

static void *thread_receives(void *arg) {
    int v = -1, want = 0;
    (void)arg;
    while (weft_recv(down, &v))
        if (v != want++)
            failed = 2;
    if (errno != EPIPE || want != VALUES)
        failed = 3;
    return NULL;
}

static void passes_down(void) {
    int v;
    for (int i = 0; i < VALUES; i++) {
        if (!weft_recv(up, &v) || !weft_send(down, v))
            failed = 4;
    }
    weft_chan_close(down);
}

static void thread_channels(size_t cap) {
    up = weft_chan_make(int, cap);
    down = weft_chan_make(int, cap);
    pthread_t a = start_thread(thread_sends, NULL), b = start_thread(thread_receives, NULL);
    weft_go(passes_down);
    join_thread(a);
    join_thread(b);
    CHECK_EQ(failed, 0);
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(up);
    weft_chan_unref(down);
}

TEST_ENV(threads_send_and_receive_1, "GOMAXPROCS=1") {
    thread_channels(0);
    thread_channels(4);
}

TEST_ENV(threads_send_and_receive_4, "GOMAXPROCS=4") {
    thread_channels(0);
    thread_channels(4);
}

/* Two threads with nothing between them but a channel. */
TEST(threads_talk_to_threads) {
    up = weft_chan_make(int, 0);
    pthread_t a = start_thread(thread_sends, NULL);
    down = up; /* the receiving thread takes from the same channel */
    pthread_t b = start_thread(thread_receives, NULL);
    join_thread(a);
    weft_chan_close(up);
    join_thread(b);
    CHECK_EQ(failed, 0);
    weft_chan_unref(up);
}

static void locks_and_adds(int n) {
    for (int i = 0; i < n; i++) {
        weft_mutex_lock(&mutex);
        plain++;
        weft_mutex_unlock(&mutex);
    }
}

static void *thread_locks(void *arg) {
    locks_and_adds(*(int *)arg);
    weft_wg_done(&wg);
    return NULL;
}

static void goroutine_locks(int n) {
    locks_and_adds(n);
}

TEST(threads_lock_and_count_down) {
    int n = ROUNDS(20000);
    pthread_t t[2];
    weft_wg_add(&wg, 2);
    for (int i = 0; i < 2; i++)
        t[i] = start_thread(thread_locks, &n);
    for (int i = 0; i < 4; i++)
        weft_wg_go(&wg, goroutine_locks, n);
    weft_wg_wait(&wg);
    CHECK_EQ(plain, 6L * n);
    join_thread(t[0]);
    join_thread(t[1]);
}

static void *thread_waits(void *arg) {
    (void)arg;
    stage = 1;
    weft_wg_wait(&wg);
    stage = 2;
    return NULL;
}

TEST(threads_wait_for_goroutines) {
    weft_chan(int) gate = weft_chan_make(int, 0);
    weft_wg_add(&wg, 1);
    pthread_t t = start_thread(thread_waits, NULL);
    EVENTUALLY(stage == 1);
    quiet_for(5 * WEFT_MILLISECOND);
    CHECK_EQ(stage, 1);
    weft_wg_done(&wg);
    EVENTUALLY(stage == 2);
    join_thread(t);
    weft_chan_unref(gate);
}

static void *thread_selects(void *arg) {
    weft_ctx *ctx = arg;
    int v = 0, n = 0;
    weft_time start = weft_now();
    if (weft_select(weft_case_recv(never, NULL), weft_case_after(5 * WEFT_MILLISECOND)) != 1)
        failed = 1;
    if (weft_now() - start < 5 * WEFT_MILLISECOND)
        failed = 2;
    if (weft_select(weft_case_recv(never, NULL), weft_case_default()) != 1)
        failed = 3;
    while (weft_select(weft_case_recv(never, NULL), weft_case_recv(up, &v),
                       weft_case_recv(weft_ctx_done(ctx), NULL)) == 1)
        n += v;
    total = n;
    if (weft_ctx_err(ctx) != ECANCELED)
        failed = 4;
    return NULL;
}

TEST(threads_select) {
    never = weft_chan_make(int, 0);
    up = weft_chan_make(int, 0);
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    pthread_t t = start_thread(thread_selects, ctx);
    for (int i = 1; i <= 1000; i++)
        CHECK(weft_send(up, i));
    weft_ctx_cancel(ctx, 0);
    join_thread(t);
    CHECK_EQ(failed, 0);
    CHECK_EQ(total, 500500);
    weft_ctx_unref(ctx);
    weft_chan_unref(up);
    weft_chan_unref(never);
}

static weft_sem sem;
static weft_cond cond;
static weft_rwmutex rwmutex;

static void *thread_everything(void *arg) {
    (void)arg;
    weft_time start = weft_now();
    if (!weft_sleep(10 * WEFT_MILLISECOND) || weft_now() - start < 10 * WEFT_MILLISECOND)
        failed = 1;
    if (weft_ctx_current() != weft_ctx_background())
        failed = 2;
    if (!weft_sem_acquire(&sem, 2)) /* main releases one by one */
        failed = 3;
    weft_mutex_lock(&mutex);
    stage = 1;
    while (plain == 0)
        weft_cond_wait(&cond, &mutex);
    weft_mutex_unlock(&mutex);
    weft_rwmutex_rlock(&rwmutex);
    weft_rwmutex_runlock(&rwmutex);
    weft_rwmutex_lock(&rwmutex);
    weft_rwmutex_unlock(&rwmutex);
    weft_timer *t = weft_timer_new(WEFT_MILLISECOND);
    if (!weft_recv(weft_timer_chan(t), NULL))
        failed = 4;
    weft_timer_unref(t);
    weft_yield();
    return NULL;
}

TEST(threads_sleep_and_wait) {
    pthread_t t = start_thread(thread_everything, NULL);
    weft_sem_release(&sem, 1);
    weft_yield();
    weft_sem_release(&sem, 1);
    EVENTUALLY(stage == 1);
    weft_mutex_lock(&mutex); /* the thread set stage under it: it waits by now */
    plain = 1;
    weft_mutex_unlock(&mutex);
    weft_cond_broadcast(&cond);
    join_thread(t);
    CHECK_EQ(failed, 0);
    CHECK(!weft_sem_try_acquire(&sem, 1));
}

static void adds_id(void) {
    if (weft_id() <= 1)
        failed = 1;
    total++;
}

static void *thread_goes(void *arg) {
    (void)arg;
    weft_wg own = WEFT_WG_INIT;
    for (int i = 0; i < 500; i++)
        if (weft_go(adds_id) != 0 || weft_wg_go(&own, adds_id) != 0)
            failed = 2;
    weft_wg_wait(&own);
    return NULL;
}

TEST(threads_start_goroutines) {
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        t[i] = start_thread(thread_goes, NULL);
    for (int i = 0; i < 3; i++)
        join_thread(t[i]);
    EVENTUALLY(total == 3000);
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(failed, 0);
}

/* ---- a program with a main of its own ---- */

static void answers(weft_chan(int) ask, weft_chan(int) reply) {
    int v;
    while (weft_recv(ask, &v))
        weft_send(reply, v * v);
}

/* Under weft_start this thread is no goroutine, and goroutines end in their own time. */
static void await_no_goroutine(void) {
    while (weft_num_goroutine() > 0)
        weft_sleep(WEFT_MILLISECOND);
}

TEST_PLAIN(start_and_stop) {
    CHECK_EQ(weft_start(), 0);
    CHECK_EQ(weft_start(), 0); /* counted */
    CHECK_EQ(weft_id(), 0);
    CHECK_EQ(weft_num_goroutine(), 0);
    weft_chan(int) ask = weft_chan_make(int, 0), reply = weft_chan_make(int, 0);
    CHECK_EQ(weft_go(answers, ask, reply), 0);
    for (int i = 0; i < 1000; i++) {
        int v = -1;
        CHECK(weft_send(ask, i));
        CHECK(weft_recv(reply, &v));
        CHECK_EQ(v, i * i);
    }
    CHECK_EQ(weft_stop(), 0);
    errno = 0;
    CHECK_EQ(weft_stop(), -1);
    CHECK_EQ(errno, EBUSY);
    weft_chan_close(ask); /* the refused stop changed nothing: it goes on */
    await_no_goroutine();
    weft_chan_unref(ask);
    weft_chan_unref(reply);
    CHECK_EQ(weft_stop(), 0);
    errno = 0;
    CHECK_EQ(weft_stop(), -1);
    CHECK_EQ(errno, EINVAL);
}

static void adds_one(void) {
    total++;
}

TEST_PLAIN(start_and_stop_again_and_again) {
    int threads = 0;
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(weft_start(), 0);
        weft_wg own = WEFT_WG_INIT;
        for (int k = 0; k < 10; k++)
            CHECK_EQ(weft_wg_go(&own, adds_one), 0);
        weft_wg_wait(&own);
        await_no_goroutine();
        CHECK_EQ(weft_stop(), 0);
        if (i == 0)
            threads = test_count_threads();
    }
    CHECK_EQ(total, 2000);
    for (int i = 0; i < 1000 && test_count_threads() > threads; i++)
        usleep(1000); /* an ended thread stays in /proc for a moment */
    CHECK(test_count_threads() <= threads);
}

/* ---- weft_lock_os_thread ---- */

static _Atomic pid_t locked_thread;
static _Atomic bool stop;

static void others(void) {
    while (!stop) {
        if (thread_id() == locked_thread)
            failed = 1;
        weft_yield();
    }
}

static void stays_on_its_thread(weft_chan(int) to, weft_chan(int) from) {
    weft_lock_os_thread();
    weft_lock_os_thread(); /* counted */
    locked_thread = thread_id();
    for (int i = 0; i < ROUNDS(500); i++) {
        if (i % 3 == 0)
            weft_sleep(1);
        else if (i % 3 == 1)
            weft_yield();
        else if (!weft_send(to, i) || !weft_recv(from, NULL))
            failed = 2;
        if (thread_id() != locked_thread)
            failed = 3;
        if (i == 100)
            weft_unlock_os_thread();
    }
    locked_thread = 0;
    weft_unlock_os_thread();
    stage = 1;
}

static void lock_thread(void) {
    weft_chan(int) to = weft_chan_make(int, 0), from = weft_chan_make(int, 0);
    stop = false;
    for (int i = 0; i < 20; i++)
        weft_go(others);
    weft_go(stays_on_its_thread, to, from);
    while (stage == 0)
        if (weft_select(weft_case_recv(to, NULL), weft_case_after(10 * WEFT_MILLISECOND)) == 0)
            CHECK(weft_send(from, 1));
    stop = true;
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(failed, 0);
    weft_chan_unref(to);
    weft_chan_unref(from);
}

TEST_ENV(P6_a_locked_thread_runs_nobody_else_1, "GOMAXPROCS=1") {
    lock_thread();
}

TEST_ENV(P6_a_locked_thread_runs_nobody_else_4, "GOMAXPROCS=4") {
    lock_thread();
}

/* Two locked goroutines hand the P to each other without anybody between: others get their turn. */

static weft_chan(int) ping, pong;

static void serves(int rounds) {
    int v;
    weft_lock_os_thread();
    for (int i = 0; i < rounds; i++)
        if (!weft_send(ping, i) || !weft_recv(pong, &v) || v != i)
            failed = 1;
    stop = true;
    weft_unlock_os_thread();
}

static void returns(int rounds) {
    int v;
    weft_lock_os_thread();
    for (int i = 0; i < rounds; i++)
        if (!weft_recv(ping, &v) || !weft_send(pong, v))
            failed = 2;
    weft_unlock_os_thread();
}

static void counts_turns(void) {
    while (!stop) {
        total++;
        weft_yield();
    }
}

static void counts_naps(_Atomic long *naps) {
    while (!stop) {
        weft_sleep(WEFT_MICROSECOND);
        ++*naps;
    }
}

static void locked_pair(void) {
    static _Atomic long naps;
    const int rounds = ROUNDS(20000);
    ping = weft_chan_make(int, 0);
    pong = weft_chan_make(int, 0);
    stop = false;
    weft_wg_go(&wg, counts_turns);
    weft_wg_go(&wg, counts_naps, &naps);
    weft_wg_go(&wg, serves, rounds);
    weft_wg_go(&wg, returns, rounds);
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 0);
    CHECK(total > rounds / 100);
    CHECK(naps > rounds / 1000);
    weft_chan_unref(ping);
    weft_chan_unref(pong);
}

TEST_ENV(a_locked_pair_starves_nobody_1, "GOMAXPROCS=1") {
    locked_pair();
}

TEST_ENV(a_locked_pair_starves_nobody_4, "GOMAXPROCS=4") {
    locked_pair();
}

/* ---- weft_block ---- */

static void writes_byte(int fd) {
    char byte = 'w';
    if (write(fd, &byte, 1) != 1)
        failed = 1;
}

TEST1(P22_weft_block_lets_others_run) {
    int fd[2];
    char byte = 0;
    CHECK_EQ(pipe(fd), 0);
    for (int i = 0; i < 100; i++) {
        weft_go(writes_byte, fd[1]); /* the only P is needed to run it */
        ssize_t n = weft_block(read(fd[0], &byte, 1));
        CHECK_EQ(n, 1);
        CHECK_EQ(byte, 'w');
    }
    close(fd[0]);
    close(fd[1]);
    CHECK_EQ(failed, 0);
}

TEST1(P22_block_brackets_let_others_run) {
    int fd[2];
    char byte = 0;
    CHECK_EQ(pipe(fd), 0);
    weft_go(writes_byte, fd[1]);
    weft_block_enter();
    ssize_t n = read(fd[0], &byte, 1);
    weft_block_exit();
    CHECK_EQ(n, 1);
    close(fd[0]);
    close(fd[1]);
}

static void sets_total(long v) {
    total = v;
}

TEST(weft_block_gives_value_and_errno) {
    weft_chan(int) c = weft_chan_make(int, 1);
    errno = 0;
    CHECK_EQ(weft_block(read(-1, NULL, 0)), -1);
    CHECK_EQ(errno, EBADF);
    errno = ERANGE;
    weft_block(sets_total(5)); /* void */
    CHECK_EQ(total, 5);
    CHECK_EQ(errno, ERANGE);
    CHECK(weft_block(2.5) == 2.5);
    CHECK(weft_block(weft_try_send(c, 3))); /* a weft call inside */
    int v = 0;
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 3);
    weft_chan_unref(c);
}

static void reads_byte(int fd, weft_wg *done) {
    char byte;
    ssize_t n = weft_block(read(fd, &byte, 1));
    if (n == 1)
        total++;
    weft_wg_done(done);
}

TEST1(P22_many_blocked_calls_hold_no_P) {
    enum { N = 40 };
    int fd[2];
    weft_wg done = WEFT_WG_INIT;
    CHECK_EQ(pipe(fd), 0);
    weft_wg_add(&done, N);
    for (int i = 0; i < N; i++)
        weft_go(reads_byte, fd[0], &done);
    for (int i = 0; i < N; i++) {
        weft_yield();
        CHECK_EQ(write(fd[1], "x", 1), 1);
    }
    weft_wg_wait(&done);
    CHECK_EQ(total, N);
    close(fd[0]);
    close(fd[1]);
}

/* ---- GOMAXPROCS ---- */

static void plays(weft_chan(int) in, weft_chan(int) out, int rounds) {
    for (int i = 0; i < rounds; i++) {
        int v = -1;
        if (!weft_recv(in, &v) || v != i || !weft_send(out, v))
            failed = 1;
        total++;
    }
}

static void leads(weft_chan(int) out, weft_chan(int) in, int rounds) {
    for (int i = 0; i < rounds; i++) {
        int v = -1;
        if (!weft_send(out, i) || !weft_recv(in, &v) || v != i)
            failed = 2;
    }
}

TEST(P18_gomaxprocs_changes_under_load) {
    enum { PAIRS = 10 };
    weft_chan(int) to[PAIRS], from[PAIRS];
    weft_wg all = WEFT_WG_INIT;
    const int rounds = ROUNDS(3000);
    int now = weft_gomaxprocs(0);
    CHECK(now >= 1);
    CHECK(weft_num_cpu() >= 1);
    for (int i = 0; i < PAIRS; i++) {
        to[i] = weft_chan_make(int, 0);
        from[i] = weft_chan_make(int, i % 2);
        weft_wg_go(&all, plays, to[i], from[i], rounds);
        weft_wg_go(&all, leads, to[i], from[i], rounds);
    }
    for (int i = 0; i < 200; i++) {
        int n = 1 + (i * 5) % 8;
        CHECK_EQ(weft_gomaxprocs(n), now);
        CHECK_EQ(weft_gomaxprocs(0), n);
        CHECK_EQ(weft_gomaxprocs(-1), n);
        now = n;
        weft_yield();
    }
    weft_wg_wait(&all);
    CHECK_EQ(failed, 0);
    CHECK_EQ(total, (long)PAIRS * rounds);
    for (int i = 0; i < PAIRS; i++) {
        weft_chan_unref(to[i]);
        weft_chan_unref(from[i]);
    }
}
