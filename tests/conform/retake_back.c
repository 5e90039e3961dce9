/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retake_back.c: what a goroutine does when it comes back from a call in the kernel, in which the
 * monitor took its P: it may go on elsewhere in a call that may wait, and stays on its thread in
 * any other, as ever.
 */
#include "unannounced.h" /* first: it asks for the GNU extensions */

static atomic_int done;

static void nothing(void) {
}

/* ---- back from a call ---- */

static atomic_int back;

/* Reads, then does what the test is about. */
static void reads_then(void (*then)(void)) {
    read_byte();
    back++;
    then();
    done++;
}

enum { READERS = 3 };

/* They come back while main computes on the only P, then while nobody runs. */
static void come_back_and(void (*then)(void)) {
    open_ends();
    for (int round = 0; round < 4; round++) {
        bool busy = round % 2 == 0;
        weft_wg wg = WEFT_WG_INIT;
        back = 0;
        for (int i = 0; i < READERS; i++)
            CHECK_EQ(weft_wg_go(&wg, reads_then, then), 0);
        EVENTUALLY(inside == READERS);
        weft_yield();
        write_bytes(READERS);
        while (busy && back < READERS)
            hog_for(1 * WEFT_MILLISECOND);
        if (busy)
            hog_for(3 * WEFT_MILLISECOND); /* by now they are in their next call, without a P */
        weft_wg_wait(&wg);
        CHECK_EQ(inside, 0);
    }
    close_ends();
}

/* In a call that may wait it may go on elsewhere. */

static void yields(void) {
    weft_yield();
}

static void sleeps(void) {
    CHECK(weft_sleep(WEFT_MILLISECOND));
}

static void sends(weft_chan(int) c) {
    CHECK(weft_send(c, 7));
    weft_chan_unref(c);
}

static void receives(void) {
    weft_chan(int) c = weft_chan_make(int, 0);
    int v = 0;
    weft_go(sends, weft_chan_ref(c));
    CHECK(weft_recv(c, &v));
    CHECK_EQ(v, 7);
    weft_chan_unref(c);
}

static weft_mutex weft_lock = WEFT_MUTEX_INIT;
static int locked_by; /* under weft_lock */

static void locks(void) {
    for (int i = 0; i < 20; i++) {
        weft_mutex_lock(&weft_lock);
        CHECK_EQ(locked_by++, 0);
        if (i % 4 == 0)
            weft_yield();
        CHECK_EQ(--locked_by, 0);
        weft_mutex_unlock(&weft_lock);
    }
}

/* In any other it stays on its thread. */

static void tries_to_send(void) {
    weft_chan(int) c = weft_chan_make(int, 1);
    long thread = thread_id();
    int v = 0;
    CHECK(weft_try_send(c, 5));
    CHECK_EQ(thread_id(), thread);
    CHECK(weft_try_recv(c, &v));
    CHECK_EQ(thread_id(), thread);
    CHECK_EQ(v, 5);
    weft_chan_unref(c);
}

static void makes_a_channel(void) {
    long thread = thread_id();
    weft_chan(int) c = weft_chan_make(int, 1);
    CHECK_EQ(thread_id(), thread);
    weft_chan_unref(c);
}

static void starts_another(void) {
    long thread = thread_id();
    CHECK_EQ(weft_go(nothing), 0);
    CHECK_EQ(thread_id(), thread);
}

static void in_a_bracket(void) {
    long thread = thread_id(), within = 0;
    weft_block_enter();
    CHECK_EQ(thread_id(), thread);
    usleep(1000);
    within = thread_id();
    weft_block_exit();
    CHECK_EQ(within, thread);
    CHECK_EQ(weft_block(getpid()), getpid());
}

static void locks_its_thread(void) {
    long thread = thread_id();
    weft_lock_os_thread();
    CHECK_EQ(thread_id(), thread);
    weft_yield();
    receives();
    CHECK_EQ(thread_id(), thread);
    weft_unlock_os_thread();
}

/* On a pipe of its own: the first one's bytes are for the others. */
static int again[2];
static atomic_int once_more;

static void reads_once_more(void) {
    char c = 0;
    once_more++;
    CHECK_EQ(read(again[0], &c, 1), 1);
    CHECK_EQ(c, 'y');
    usleep(2000);
}

static void leaves(void) {
    done++;
    weft_goexit();
}

static void computes(void) {
    hog_for(5 * WEFT_MILLISECOND);
}

static void computes_and_receives(void) {
    hog_for(5 * WEFT_MILLISECOND);
    receives();
}

#define COMES_BACK_AND(name, then)                                                                 \
    TEST_ENV(back_and_##name, WITHOUT_SIGNAL) {                                                    \
        come_back_and(then);                                                                       \
    }                                                                                              \
    TEST_ENV(back_and_##name##_with_signal, "GOMAXPROCS=1") {                                      \
        come_back_and(then);                                                                       \
    }

COMES_BACK_AND(ends, nothing)
COMES_BACK_AND(leaves, leaves)
COMES_BACK_AND(yields, yields)
COMES_BACK_AND(sleeps, sleeps)
COMES_BACK_AND(receives, receives)
COMES_BACK_AND(locks, locks)
COMES_BACK_AND(tries_to_send, tries_to_send)
COMES_BACK_AND(makes_a_channel, makes_a_channel)
COMES_BACK_AND(starts_another, starts_another)
COMES_BACK_AND(enters_a_bracket, in_a_bracket)
COMES_BACK_AND(locks_its_thread, locks_its_thread)
COMES_BACK_AND(computes, computes)
COMES_BACK_AND(computes_and_receives, computes_and_receives)

TEST_ENV(back_and_blocks_again, WITHOUT_SIGNAL) {
    open_ends();
    CHECK_EQ(pipe(again), 0);
    for (int i = 0; i < READERS; i++)
        weft_go(reads_then, reads_once_more);
    EVENTUALLY(inside == READERS);
    write_bytes(READERS);
    EVENTUALLY(once_more == READERS);
    CHECK_EQ(done, 0);
    CHECK_EQ(write(again[1], "yyy", READERS), READERS);
    EVENTUALLY(done == READERS);
    close_ends();
    close(again[0]);
    close(again[1]);
}

static void dies(void) {
    weft_chan_close((weft_chan(int))NULL);
}

TEST_ENV(back_and_dies, WITHOUT_SIGNAL);
TEST_DIES(back_and_dies, 2, "fatal error: close of nil channel", "[running]:") {
    open_ends();
    for (int i = 0; i < READERS; i++)
        weft_go(reads_then, dies);
    EVENTUALLY(inside == READERS);
    write_bytes(READERS);
    for (;;)
        weft_yield();
}

/* ---- locked goroutines ---- */

static void reads_locked(int unlocks) {
    weft_lock_os_thread();
    long thread = thread_id();
    read_byte();
    CHECK_EQ(thread_id(), thread);
    receives();
    CHECK_EQ(thread_id(), thread);
    usleep(1000);
    weft_yield();
    CHECK_EQ(thread_id(), thread);
    if (unlocks)
        weft_unlock_os_thread();
    done++;
}

static void locked_ones_block(void) {
    open_ends();
    for (int i = 0; i < 6; i++)
        weft_go(reads_locked, i % 2);
    EVENTUALLY(inside == 6);
    write_bytes(6);
    EVENTUALLY(done == 6);
    close_ends();
}

TEST_ENV(locked_goroutines, WITHOUT_SIGNAL) {
    locked_ones_block();
}

TEST_ENV(locked_goroutines_on_2, "GOMAXPROCS=2") {
    locked_ones_block();
}

/* Main is locked, too: what it waits for comes from others, on other threads. */
TEST_ENV(a_locked_main, WITHOUT_SIGNAL) {
    weft_lock_os_thread();
    long thread = thread_id();
    locked_ones_block();
    usleep(5000);
    CHECK_EQ(thread_id(), thread);
    weft_unlock_os_thread();
}

/* ---- back and computing on ---- */

static void naps_then_hogs(int i) {
    usleep(5000);
    hog(i);
}

static bool moved(int n, const unsigned long *since) {
    for (int i = 0; i < n; i++)
        if (counted[i] == since[i])
            return false;
    return true;
}

/* They take turns with those that never slept. */
static void hogs_share(int n) {
    unsigned long since[8];
    for (int i = 0; i < n; i++)
        CHECK_EQ(i % 2 ? weft_go(hog, i) : weft_go(naps_then_hogs, i), 0);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < n; i++)
            since[i] = counted[i];
        EVENTUALLY(moved(n, since));
    }
    stop_hogs();
}

TEST_ENV(back_and_hogs, "GOMAXPROCS=1") {
    hogs_share(5);
}

TEST_ENV(back_and_hogs_on_2, "GOMAXPROCS=2") {
    hogs_share(8);
}

/* ---- back for good: it blocked some times, then only computes between its calls ---- */

static atomic_long turns_of_it;
static atomic_bool its_turn_comes, enough;

static void work(void) {
    for (int i = 0; i < 200000; i++)
        __asm__ volatile("" : "+r"(i));
}

static void blocks_then_works(void) {
    for (int i = 0; i < 6; i++) {
        usleep(20000);
        weft_yield();
    }
    for (; !enough; weft_yield()) {
        work();
        turns_of_it++;
    }
    done++;
}

/* It compares its turns with the other's. */
static void works_beside(void) {
    while (!enough) {
        long before = turns_of_it;
        for (int i = 0; i < 100; i++) {
            work();
            weft_yield();
        }
        if (turns_of_it - before >= 50)
            its_turn_comes = true;
    }
    done++;
}

TEST_ENV(back_for_good, "GOMAXPROCS=1") {
    weft_go(works_beside);
    weft_go(blocks_then_works);
    EVENTUALLY(its_turn_comes);
    enough = true;
    EVENTUALLY(done == 2);
}
