/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_model.c: group M of the behaviours. Each test writes plain memory, passes one edge of the
 * model and reads it on the other side, thousands of times, at more Ps than CPUs and at two. x86
 * hides some missing barriers; the same tests under TSan see a missing edge on any machine.
 *
 * M2 (the end of a goroutine comes before nothing by itself) takes a promise away: nothing to test.
 */
#include "conform.h"

#include <stdatomic.h>
#include <sys/syscall.h>

static long plain_a, plain_b; /* never atomic: the edges under test are all that orders them */
static long seen_a;
static _Atomic int failed;

/* The test and its twin with 8 Ps. */
#define EDGE(name, call)                                                                           \
    TEST_ENV(name##_2, "GOMAXPROCS=2") {                                                           \
        call;                                                                                      \
        CHECK_EQ(failed, 0);                                                                       \
    }                                                                                              \
    TEST_ENV(name##_8, "GOMAXPROCS=8") {                                                           \
        call;                                                                                      \
        CHECK_EQ(failed, 0);                                                                       \
    }

static void expect(long want) {
    if (plain_a != want)
        failed = 1;
}

static void expect_and_answer(long want, weft_chan(int) back) {
    expect(want);
    weft_send(back, 1);
}

static void go_edge(void) {
    weft_chan(int) back = weft_chan_make(int, 0);
    for (long i = 1; i <= ROUNDS(10000); i++) {
        plain_a = i;
        weft_go(expect_and_answer, i, back);
        CHECK(weft_recv(back, NULL));
    }
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(back);
}
EDGE(M1_go_before_the_first_statement, go_edge())

static void writes_then_sends(weft_chan(int) c, weft_chan(int) back, long n) {
    for (long i = 1; i <= n; i++) {
        plain_a = i;
        weft_send(c, 1);
        weft_recv(back, NULL);
    }
}

static void send_edge(size_t cap) {
    weft_chan(int) c = weft_chan_make(int, cap), back = weft_chan_make(int, cap);
    weft_wg wg = WEFT_WG_INIT;
    long n = ROUNDS(10000);
    weft_wg_go(&wg, writes_then_sends, c, back, n);
    for (long i = 1; i <= n; i++) {
        CHECK(weft_recv(c, NULL));
        expect(i);
        CHECK(weft_send(back, 1));
    }
    weft_wg_wait(&wg);
    weft_chan_unref(c);
    weft_chan_unref(back);
}
EDGE(M3_send_before_receive, (send_edge(0), send_edge(1), send_edge(10)))

/* The same through selects that park on two channels. */
static void select_edge(void) {
    weft_chan(int) c = weft_chan_make(int, 0), back = weft_chan_make(int, 0);
    weft_chan(int) never = weft_chan_make(int, 0);
    weft_wg wg = WEFT_WG_INIT;
    long n = ROUNDS(10000);
    weft_wg_go(&wg, writes_then_sends, c, back, n);
    for (long i = 1; i <= n; i++) {
        CHECK_EQ(weft_select(weft_case_recv(never, NULL), weft_case_recv(c, NULL)), 1);
        expect(i);
        CHECK_EQ(weft_select(weft_case_send(back, 1), weft_case_recv(never, NULL)), 0);
    }
    weft_wg_wait(&wg);
    weft_chan_unref(c);
    weft_chan_unref(back);
    weft_chan_unref(never);
}
EDGE(M3_send_before_select_receive, select_edge())

static void writes_then_closes(weft_chan(int) c, long v) {
    plain_a = v;
    weft_chan_close(c);
}

static void close_edge(void) {
    for (long i = 1; i <= ROUNDS(10000); i++) {
        weft_chan(int) c = weft_chan_make(int, i & 1);
        weft_wg wg = WEFT_WG_INIT;
        weft_wg_go(&wg, writes_then_closes, c, i);
        CHECK(!weft_recv(c, NULL));
        expect(i);
        weft_wg_wait(&wg);
        weft_chan_unref(c);
    }
}
EDGE(M4_close_before_the_receive_that_fails, close_edge())

static void writes_then_receives(weft_chan(int) c, weft_chan(int) back, long n) {
    for (long i = 1; i <= n; i++) {
        plain_a = i;
        weft_recv(c, NULL);
        weft_recv(back, NULL);
    }
}

static void receive_edge(void) {
    weft_chan(int) c = weft_chan_make(int, 0), back = weft_chan_make(int, 1);
    weft_wg wg = WEFT_WG_INIT;
    long n = ROUNDS(10000);
    weft_wg_go(&wg, writes_then_receives, c, back, n);
    for (long i = 1; i <= n; i++) {
        CHECK(weft_send(c, 1)); /* returns once it was received */
        expect(i);
        CHECK(weft_send(back, 1));
    }
    weft_wg_wait(&wg);
    weft_chan_unref(c);
    weft_chan_unref(back);
}
EDGE(M5_receive_before_an_unbuffered_send_returns, receive_edge())

static weft_mutex mutex;
static weft_rwmutex rwmutex;

static void adds_under_mutex(long n) {
    for (long i = 0; i < n; i++) {
        weft_mutex_lock(&mutex);
        plain_a++;
        plain_b++;
        if (plain_a != plain_b)
            failed = 1;
        weft_mutex_unlock(&mutex);
    }
}

static void adds_under_rwmutex(long n) {
    for (long i = 0; i < n; i++) {
        weft_rwmutex_lock(&rwmutex);
        plain_a++;
        plain_b++;
        weft_rwmutex_unlock(&rwmutex);
        weft_rwmutex_rlock(&rwmutex);
        if (plain_a != plain_b)
            failed = 1;
        weft_rwmutex_runlock(&rwmutex);
    }
}

static void adds_under_trylock(long n) {
    for (long i = 0; i < n;) {
        if (!weft_mutex_trylock(&mutex)) {
            weft_yield();
            continue;
        }
        plain_a++;
        plain_b++;
        weft_mutex_unlock(&mutex);
        i++;
    }
}

static void lock_edge(void (*adder)(long)) {
    weft_wg wg = WEFT_WG_INIT;
    long n = ROUNDS(5000);
    plain_a = plain_b = 0;
    for (int i = 0; i < 4; i++)
        weft_wg_go(&wg, adder, n);
    weft_wg_wait(&wg);
    CHECK_EQ(plain_a, 4 * n);
    CHECK_EQ(plain_b, 4 * n);
}
EDGE(M6_unlock_before_lock, (lock_edge(adds_under_mutex), lock_edge(adds_under_rwmutex)))
EDGE(M7_trylock_is_a_lock, lock_edge(adds_under_trylock))

static void once_fn(void *arg) {
    plain_a = *(long *)arg;
    weft_yield();
    plain_b = *(long *)arg;
}

static void calls_once(weft_once *once, long *value) {
    weft_once_do(once, once_fn, value);
    if (plain_a != *value || plain_b != *value)
        failed = 1;
}

static void once_edge(void) {
    for (long i = 1; i <= ROUNDS(3000); i++) {
        weft_once once = WEFT_ONCE_INIT;
        weft_wg wg = WEFT_WG_INIT;
        long value = i;
        for (int k = 0; k < 4; k++)
            weft_wg_go(&wg, calls_once, &once, &value);
        weft_wg_wait(&wg);
    }
}
EDGE(M8_once_before_any_return, once_edge())

static void writes_one(long *slot, long v, weft_wg *done) {
    *slot = v;
    if (done != NULL)
        weft_wg_done(done);
}

static void wg_edge(bool by_done) {
    for (long i = 1; i <= ROUNDS(5000); i++) {
        weft_wg wg = WEFT_WG_INIT;
        long slots[3] = {0, 0, 0};
        if (by_done)
            weft_wg_add(&wg, 3);
        for (int k = 0; k < 3; k++) {
            if (by_done)
                weft_go(writes_one, &slots[k], i + k, &wg);
            else
                weft_wg_go(&wg, writes_one, &slots[k], i + k, (weft_wg *)NULL);
        }
        weft_wg_wait(&wg);
        for (int k = 0; k < 3; k++)
            if (slots[k] != i + k)
                failed = 1;
        EVENTUALLY(weft_num_goroutine() == 1);
    }
}
EDGE(M9_done_before_wait, wg_edge(true))
EDGE(M10_end_of_function_before_wait, wg_edge(false))

static weft_cond cond;
static bool waiting; /* under mutex: set by a waiter right before it parks */

static void waits_for_signal(long n) {
    for (long i = 1; i <= n; i++) {
        weft_mutex_lock(&mutex);
        waiting = true;
        weft_cond_wait(&cond, &mutex);
        weft_mutex_unlock(&mutex);
        expect(i);
    }
}

static bool take_waiting(void) {
    weft_mutex_lock(&mutex);
    bool was = waiting;
    waiting = false;
    weft_mutex_unlock(&mutex);
    return was;
}

/* The write comes after the last unlock, so the signal alone orders it before the read. */
static void cond_edge(bool broadcast) {
    weft_wg wg = WEFT_WG_INIT;
    long n = ROUNDS(5000);
    weft_wg_go(&wg, waits_for_signal, n);
    for (long i = 1; i <= n; i++) {
        EVENTUALLY(take_waiting());
        plain_a = i;
        if (broadcast)
            weft_cond_broadcast(&cond);
        else
            weft_cond_signal(&cond);
    }
    weft_wg_wait(&wg);
}
EDGE(M11_signal_before_wait_returns, (cond_edge(false), cond_edge(true)))

static _Atomic int flag_x, flag_y;
static int saw_x, saw_y;

static void store_x_load_y(void) {
    flag_x = 1;
    saw_y = flag_y;
}

static void store_y_load_x(void) {
    flag_y = 1;
    saw_x = flag_x;
}

static void atomics_edge(void) {
    for (int i = 0; i < ROUNDS(10000); i++) {
        weft_wg wg = WEFT_WG_INIT;
        flag_x = flag_y = 0;
        weft_wg_go(&wg, store_x_load_y);
        weft_wg_go(&wg, store_y_load_x);
        weft_wg_wait(&wg);
        if (saw_x == 0 && saw_y == 0)
            failed = 1; /* in one total order one of the stores is first */
    }
}
EDGE(M12_atomics_are_in_one_order, atomics_edge())

static void sees_armed(void *arg) {
    weft_chan(int) back = arg;
    if (plain_a != plain_b)
        failed = 1;
    seen_a = plain_a;
    weft_send(back, 1);
}

static void timer_edge(void) {
    weft_chan(int) back = weft_chan_make(int, 0);
    for (long i = 1; i <= ROUNDS(2000); i++) {
        plain_a = plain_b = i;
        weft_timer *t = weft_after_func(0, sees_armed, back);
        CHECK(weft_recv(back, NULL));
        if (seen_a != i)
            failed = 1;
        weft_timer_unref(t);
    }
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(back);
}
EDGE(M13_arming_before_the_function, timer_edge())

static void takes_timer(weft_timer *t, long want) {
    weft_recv(weft_timer_chan(t), NULL);
    expect(want);
}

static void timer_value_edge(void) {
    for (long i = 1; i <= ROUNDS(2000); i++) {
        weft_wg wg = WEFT_WG_INIT;
        weft_timer *t = weft_timer_new(WEFT_HOUR);
        weft_wg_go(&wg, takes_timer, t, i);
        plain_a = i;
        weft_timer_reset(t, 0);
        weft_wg_wait(&wg);
        weft_timer_unref(t);
    }
}
EDGE(M13_arming_before_the_value_is_received, timer_value_edge())

static _Atomic long threads_changed, progress;
static _Atomic bool stop;

/* Its own memory, plain, written before and read after each way to lose the P. */
static void wanders(int seed, long n) {
    long mine[64] = {0}, want = 0, sum = 0;
    pid_t thread = (pid_t)syscall(SYS_gettid);
    for (long i = 1; i <= n || threads_changed == 0; i++) {
        mine[i % 64] += i + seed;
        want += i + seed;
        long before = mine[i % 64];
        if (i % 3 == 0)
            weft_sleep(1);
        else
            weft_yield();
        if (mine[i % 64] != before)
            failed = 1;
        pid_t now = (pid_t)syscall(SYS_gettid);
        threads_changed += now != thread;
        thread = now;
        progress++;
    }
    for (int k = 0; k < 64; k++)
        sum += mine[k];
    if (sum != want)
        failed = 1;
}

static void migration_edge(void) {
    weft_wg wg = WEFT_WG_INIT;
    weft_go(stir, &progress, &stop);
    for (int i = 0; i < 20; i++)
        weft_wg_go(&wg, wanders, i, (long)ROUNDS(500));
    weft_wg_wait(&wg);
    stop = true;
    CHECK(threads_changed > 0);
    EVENTUALLY(weft_num_goroutine() == 1);
}
EDGE(M14_a_moved_goroutine_sees_its_own_writes, migration_edge())
