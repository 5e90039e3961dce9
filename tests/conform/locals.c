/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locals.c: what belongs to one goroutine and stays with it across parks and threads: errno, the
 * rounding mode, keys, the name, deferred calls. Widens G13 and M14.
 */
#include "conform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static _Atomic int failed;
static _Atomic int stage;
static _Atomic int count;
static _Atomic long threads_changed, progress;
static _Atomic bool stop;

/* One of the ways in which a goroutine can lose its P. */
static void lose_the_P(weft_chan(int) to, weft_chan(int) from, int i) {
    if (i % 4 == 0) {
        weft_sleep(1);
    } else if (i % 4 == 1 && to != NULL) {
        weft_send(to, i);
        weft_recv(from, NULL);
    } else {
        weft_yield();
    }
}

static void echo(weft_chan(int) from, weft_chan(int) to) {
    int v;
    while (weft_recv(from, &v))
        weft_send(to, v);
}

/* ---- errno ---- */

/* With `moves`, goes on until some goroutine was moved to another thread. */
static void keeps_errno(int mine, weft_chan(int) to, weft_chan(int) from, int rounds, int moves) {
    pid_t thread = (pid_t)syscall(SYS_gettid);
    for (int i = 0; i < rounds || (moves && threads_changed == 0); i++) {
        errno = mine;
        lose_the_P(to, from, i);
        if (errno != mine)
            failed = 1;
        close(-1); /* the C library sets it */
        lose_the_P(to, from, i + 1);
        if (errno != EBADF)
            failed = 2;
        pid_t now = (pid_t)syscall(SYS_gettid);
        threads_changed += now != thread;
        thread = now;
        progress++;
    }
}

static void errno_of_many(int moves) {
    weft_chan(int) to = weft_chan_make(int, 0), from = weft_chan_make(int, 0);
    weft_wg wg = WEFT_WG_INIT;
    weft_go(echo, to, from);
    for (int i = 0; i < 40; i++)
        weft_wg_go(&wg, keeps_errno, 1000 + i, to, from, ROUNDS(200), moves);
    if (moves)
        weft_go(stir, &progress, &stop);
    errno = 77;
    weft_wg_wait(&wg);
    CHECK_EQ(errno, 77);
    stop = true;
    CHECK_EQ(failed, 0);
    weft_chan_close(to);
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(to);
    weft_chan_unref(from);
}

TEST_ENV(errno_is_the_goroutines_1, "GOMAXPROCS=1") {
    errno_of_many(0);
}

TEST_ENV(errno_is_the_goroutines_4, "GOMAXPROCS=4") {
    errno_of_many(1);
    CHECK(threads_changed > 0);
}

static int parks_and_gives(int v) {
    weft_sleep(1);
    weft_yield();
    return v;
}

static void sets_errno(int rounds) {
    for (int i = 1; i <= rounds; i++) {
        weft_set_errno(parks_and_gives(i));
        if (errno != i)
            failed = 1;
    }
}

TEST_ENV(errno_by_set_errno, "GOMAXPROCS=4") {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 20; i++)
        weft_wg_go(&wg, sets_errno, ROUNDS(200));
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 0);
}

/* ---- rounding ---- */

/*
 * The rounding mode in both of x86's control words, set and read by hand, so that this program
 * needs no libm: fesetround() does no more.
 */
enum rounding { NEAREST, DOWNWARD, UPWARD, TOWARD_ZERO };

static void set_rounding(enum rounding mode) {
    unsigned short x87;
    unsigned sse;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    x87 = (unsigned short)((x87 & ~0xc00u) | (unsigned)mode << 10);
    __asm__ volatile("fldcw %0" : : "m"(x87));
    __asm__ volatile("stmxcsr %0" : "=m"(sse));
    sse = (sse & ~0x6000u) | (unsigned)mode << 13;
    __asm__ volatile("ldmxcsr %0" : : "m"(sse));
}

/* -1 when the two words disagree. */
static int get_rounding(void) {
    unsigned short x87;
    unsigned sse;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    __asm__ volatile("stmxcsr %0" : "=m"(sse));
    int mode = x87 >> 10 & 3;
    return mode == (int)(sse >> 13 & 3) ? mode : -1;
}

static void keeps_rounding(enum rounding mode, weft_chan(int) to, weft_chan(int) from, int rounds) {
    volatile double one = 1.0, three = 3.0;
    volatile long double lone = 1.0L, lthree = 3.0L;
    set_rounding(mode);
    volatile double third = one / three, minus = -one / three;
    volatile long double lthird = lone / lthree; /* the x87 word on x86 */
    for (int i = 0; i < rounds; i++) {
        lose_the_P(to, from, i);
        if (get_rounding() != (int)mode)
            failed = 1;
        if (one / three != third || -one / three != minus || lone / lthree != lthird)
            failed = 2;
    }
    set_rounding(NEAREST);
}

static void rounding_of_many(void) {
    weft_chan(int) to = weft_chan_make(int, 0), from = weft_chan_make(int, 0);
    weft_wg wg = WEFT_WG_INIT;
    weft_go(echo, to, from);
    for (int i = 0; i < 24; i++)
        weft_wg_go(&wg, keeps_rounding, (enum rounding)(i % 4), to, from, ROUNDS(200));
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 0);
    CHECK_EQ(get_rounding(), NEAREST);
    weft_chan_close(to);
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(to);
    weft_chan_unref(from);
}

TEST_ENV(rounding_is_the_goroutines_1, "GOMAXPROCS=1") {
    rounding_of_many();
}

TEST_ENV(rounding_is_the_goroutines_4, "GOMAXPROCS=4") {
    rounding_of_many();
}

static void ends_rounding_up(void) {
    set_rounding(UPWARD);
}

static void starts_to_nearest(void) {
    if (get_rounding() != NEAREST)
        failed = 1;
}

TEST1(rounding_ends_with_its_goroutine) {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 100; i++) {
        weft_wg_go(&wg, ends_rounding_up); /* its G and stack serve the next one */
        weft_wg_wait(&wg);
        CHECK_EQ(get_rounding(), NEAREST);
        weft_wg_go(&wg, starts_to_nearest);
        weft_wg_wait(&wg);
    }
    CHECK_EQ(failed, 0);
}

/* ---- keys ---- */

static weft_key key, other_key;
static _Atomic long destroyed;

static void destroy(void *value) {
    if (weft_id() <= 1)
        failed = 1; /* runs in the goroutine that ends */
    destroyed += (long)(intptr_t)value;
}

static void uses_keys(intptr_t n, int by_goexit) {
    if (weft_key_get(key) != NULL || weft_key_get(other_key) != NULL)
        failed = 2;
    if (weft_key_set(key, (void *)n) != 0 || weft_key_set(other_key, (void *)-n) != 0)
        failed = 3;
    for (int i = 0; i < 10; i++) {
        lose_the_P(NULL, NULL, i);
        if (weft_key_get(key) != (void *)n || weft_key_get(other_key) != (void *)-n)
            failed = 4;
    }
    if (n % 5 == 0 && weft_key_set(key, NULL) != 0)
        failed = 5;
    if (by_goexit)
        weft_goexit();
}

TEST(keys_and_their_destructors) {
    weft_wg wg = WEFT_WG_INIT;
    long want = 0;
    CHECK_EQ(weft_key_create(&key, destroy), 0);
    CHECK_EQ(weft_key_create(&other_key, NULL), 0);
    CHECK(weft_key_get(key) == NULL);
    CHECK_EQ(weft_key_set(key, &wg), 0);
    for (intptr_t n = 1; n <= 200; n++) {
        weft_wg_go(&wg, uses_keys, n, (int)(n & 1));
        want += n % 5 == 0 ? 0 : n; /* no call for a NULL value */
    }
    weft_wg_wait(&wg);
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(destroyed, want);
    CHECK_EQ(failed, 0);
    CHECK(weft_key_get(key) == &wg);
    CHECK_EQ(weft_key_delete(key), 0);
    CHECK_EQ(weft_key_delete(other_key), 0);
    CHECK_EQ(destroyed, want); /* a delete destroys nothing */
    errno = 0;
    CHECK_EQ(weft_key_set(key, &wg), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(weft_key_delete(key), -1);
}

TEST(keys_are_many_and_start_empty) {
    weft_key many[64];
    for (int round = 0; round < 3; round++) { /* a number used again has no old value */
        for (int i = 0; i < 64; i++) {
            CHECK_EQ(weft_key_create(&many[i], NULL), 0);
            CHECK(weft_key_get(many[i]) == NULL);
            CHECK_EQ(weft_key_set(many[i], &many[i]), 0);
        }
        for (int i = 0; i < 64; i++)
            CHECK(weft_key_get(many[i]) == &many[i]);
        for (int i = 0; i < 64; i++)
            CHECK_EQ(weft_key_delete(many[i]), 0);
    }
}

/* ---- names ---- */

static void checks_name(const char *want) {
    if (strcmp(weft_name(), want) != 0)
        failed = 1;
    weft_set_name("worker %d of %s", 7, "nine");
    weft_yield();
    if (strcmp(weft_name(), "worker 7 of nine") != 0)
        failed = 2;
    count++;
}

TEST(names) {
    char text[64] = "reaper";
    struct weft_attr attr = {.name = text};
    CHECK_EQ(weft_go_with(&attr, checks_name, "reaper"), 0);
    memset(text, 'x', sizeof text); /* it was copied */
    EVENTUALLY(count == 1);
    CHECK_EQ(weft_go(checks_name, ""), 0); /* a recycled G has no old name */
    EVENTUALLY(count == 2);
    weft_set_name("%s", "0123456789012345678901234567890123456789");
    CHECK_STR(weft_name(), "0123456789012345678901234567890"); /* 31 bytes */
    CHECK_EQ(failed, 0);
}

TEST(attributes_may_be_absent) {
    struct weft_attr zeros = {0};
    count = 0;
    CHECK_EQ(weft_go_with(NULL, checks_name, ""), 0);
    CHECK_EQ(weft_go_with(&zeros, checks_name, ""), 0);
    EVENTUALLY(count == 2);
    CHECK_EQ(failed, 0);
}

/* ---- deferred calls ---- */

static int order[8];

static void note(void *arg) {
    order[count++] = (int)(intptr_t)arg;
}

static void note_and_defer(void *arg) {
    note(arg);
    if (weft_defer(note, (void *)(intptr_t)9) != 0)
        failed = 1;
}

static void destroy_notes(void *value) {
    note(value);
}

static void defers(int by_goexit) {
    weft_key_set(key, (void *)(intptr_t)100);
    weft_defer(note, (void *)(intptr_t)1);
    weft_defer(note_and_defer, (void *)(intptr_t)2); /* 9 is the last registered then */
    weft_defer(note, (void *)(intptr_t)3);
    if (by_goexit)
        weft_goexit();
}

TEST(G13_deferred_calls_in_order) {
    static const int want[] = {3, 2, 9, 1, 100}; /* keys go after deferred calls */
    CHECK_EQ(weft_key_create(&key, destroy_notes), 0);
    for (int by_goexit = 0; by_goexit < 2; by_goexit++) {
        count = 0;
        weft_go(defers, by_goexit);
        EVENTUALLY(weft_num_goroutine() == 1);
        CHECK_EQ(count, 5);
        for (int i = 0; i < 5; i++)
            CHECK_EQ(order[i], want[i]);
    }
    CHECK_EQ(failed, 0);
}

static void exits_again(void *arg) {
    note(arg);
    weft_goexit(); /* the ones registered before still run */
}

static void defers_exit(void) {
    weft_defer(note, (void *)(intptr_t)1);
    weft_defer(exits_again, (void *)(intptr_t)2);
    weft_defer(note, (void *)(intptr_t)3);
}

TEST(G13_goexit_in_a_deferred_call) {
    weft_go(defers_exit);
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(count, 3);
    CHECK(order[0] == 3 && order[1] == 2 && order[2] == 1);
}

/* ---- a thread that is no goroutine has none of these ---- */

static void *foreign(void *arg) {
    errno = 0;
    bool right = weft_id() == 0 && strcmp(weft_name(), "") == 0 && weft_key_get(key) == NULL;
    right = right && weft_defer(note, arg) == -1 && errno == EPERM;
    errno = 0;
    right = right && weft_key_set(key, arg) == -1 && errno == EPERM;
    weft_set_name("ignored");
    right = right && strcmp(weft_name(), "") == 0;
    stage = right ? 1 : 2;
    return NULL;
}

TEST(locals_of_a_foreign_thread) {
    pthread_t thread;
    CHECK_EQ(weft_key_create(&key, NULL), 0);
    CHECK_EQ(weft_key_set(key, &thread), 0);
    CHECK_EQ(pthread_create(&thread, NULL, foreign, &count), 0);
    EVENTUALLY(stage != 0);
    pthread_join(thread, NULL);
    CHECK_EQ(stage, 1);
    CHECK_EQ(count, 0);
}
