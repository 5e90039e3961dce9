/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockedthreads.c: goroutines tied to their threads, what becomes of the thread, and who stays where
 * when the world stops.  P5, P8, P9, P10, P23 and P33 of the behaviours that weft shares with Go.
 */
#include "conform.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static weft_wg wg;
static _Atomic int failed;

static pid_t thread_id(void) {
    return (pid_t)syscall(SYS_gettid);
}

static bool thread_lives(pid_t tid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d", tid);
    return access(path, F_OK) == 0;
}

/* ---- P5 ---- */

static void yields_sleeps_and_blocks(weft_chan(int) c, int me) {
    weft_lock_os_thread();
    pid_t mine = thread_id();
    for (int i = 0; i < 100; i++) {
        int v;
        switch ((i + me) % 4) {
        case 0:
            weft_yield();
            break;
        case 1:
            weft_sleep(WEFT_MICROSECOND);
            break;
        case 2:
            weft_block(usleep(10));
            break;
        default:
            weft_select(weft_case_recv(c, &v), weft_case_after(20 * WEFT_MICROSECOND));
        }
        if (thread_id() != mine)
            failed = 1;
    }
    weft_unlock_os_thread();
}

static void keep_threads(void) {
    weft_chan(int) c = weft_chan_make(int, 0);
    for (int i = 0; i < 8; i++)
        weft_wg_go(&wg, yields_sleeps_and_blocks, c, i);
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 0);
    weft_chan_unref(c);
}

TEST_ENV(P5_locked_goroutines_keep_their_threads_1, "GOMAXPROCS=1") {
    keep_threads();
}

TEST_ENV(P5_locked_goroutines_keep_their_threads_4, "GOMAXPROCS=4") {
    keep_threads();
}

/* ---- P8, P9: a goroutine ends locked ---- */

static _Atomic pid_t ended_on;

static void ends_locked(bool by_goexit) {
    weft_lock_os_thread();
    ended_on = thread_id();
    if (by_goexit)
        weft_goexit();
}

static void looks_at_its_thread(void) {
    if (thread_id() == ended_on)
        failed = 1;
}

static void others_run_elsewhere(int n) {
    for (int i = 0; i < n; i++)
        weft_wg_go(&wg, looks_at_its_thread);
    weft_wg_wait(&wg);
    looks_at_its_thread();
    CHECK_EQ(failed, 0);
}

static void end_locked(int rounds) {
    for (int i = 0, done = 0; done < rounds; i++) {
        CHECK(i < 1000);
        weft_wg_go(&wg, ends_locked, i % 2 == 0);
        weft_wg_wait(&wg);
        if (ended_on == getpid())
            continue; /* P9: not this one */
        others_run_elsewhere(20);
        EVENTUALLY(!thread_lives(ended_on));
        done++;
    }
}

TEST_ENV(P8_the_thread_ends_with_its_goroutine, "GOMAXPROCS=2") {
    weft_lock_os_thread(); /* the first thread is main's: others end */
    end_locked(10);
}

TEST_ENV(P8_the_thread_ends_with_its_goroutine_on_one_P, "GOMAXPROCS=1") {
    weft_lock_os_thread();
    end_locked(10);
}

/* On one P the first thread runs everybody. The harness sees that weft_run comes back on it. */
TEST_ENV(P9_the_first_thread_is_parked, "GOMAXPROCS=1") {
    CHECK_EQ(thread_id(), getpid());
    weft_wg_go(&wg, ends_locked, false);
    weft_wg_wait(&wg);
    CHECK_EQ(ended_on, getpid());
    others_run_elsewhere(100);
    CHECK(thread_id() != getpid());
    for (int i = 0; i < 20; i++)
        weft_sleep(100 * WEFT_MICROSECOND);
    CHECK(thread_id() != getpid());
    CHECK(thread_lives(getpid()));
    end_locked(3); /* and that of others afterwards ends */
}

/* ---- P10: the kernel's state of a locked thread stays its own ---- */

static char before[4096];
static _Atomic int inside;
static _Atomic bool go_on;

static void notes_folder(void) {
    char now[4096];
    inside++;
    while (!go_on)
        weft_block(usleep(1000)); /* keeps its thread, so that each has one */
    if (!getcwd(now, sizeof now) || strcmp(now, before) != 0)
        failed = 1;
    inside--;
}

static void spreads_nothing(void) {
    weft_lock_os_thread();
    CHECK_EQ(chdir("/"), 0);
    for (int i = 0; i < 30; i++) /* new threads, asked for by this one */
        weft_wg_go(&wg, notes_folder);
    EVENTUALLY(inside == 30);
    go_on = true;
    EVENTUALLY(inside == 0);
    CHECK_EQ(failed, 0);
}

static void unshares(void) {
    weft_lock_os_thread();
    if (unshare(CLONE_FS) != 0)
        failed = 2;
    else
        spreads_nothing();
}

static void state_stays(void) {
    CHECK(getcwd(before, sizeof before));
    if (strcmp(before, "/") == 0)
        test_skip("in / there is no other folder to go to");
    weft_go(unshares); /* ends locked: the changed thread is not used again */
    EVENTUALLY(failed != 0 || go_on);
    EVENTUALLY(weft_num_goroutine() == 1);
    if (failed == 2)
        test_skip("unshare is not allowed here");
    CHECK_EQ(failed, 0);
    notes_folder();
    CHECK_EQ(failed, 0);
}

TEST_ENV(P10_new_threads_are_not_made_by_locked_ones, "GOMAXPROCS=2") {
    weft_lock_os_thread(); /* the first thread's folder is /proc's cwd: it stays */
    state_stays();
}

TEST_ENV(P10_new_threads_are_not_made_by_locked_ones_on_one_P, "GOMAXPROCS=1") {
    weft_lock_os_thread();
    state_stays();
}

/* ---- P23 ---- */

static _Atomic bool stop;
static _Atomic long calls;

static void naps(unsigned microseconds) {
    while (!stop) {
        weft_block(usleep(microseconds));
        calls++;
    }
}

static void nap_for(unsigned microseconds) {
    stop = false;
    calls = 0;
    for (int i = 0; i < 8; i++)
        weft_wg_go(&wg, naps, microseconds);
    while (calls < 100)
        weft_sleep(WEFT_MILLISECOND);
    weft_time told = weft_now();
    stop = true;
    weft_wg_wait(&wg);
    CHECK(weft_now() - told < 5 * WEFT_SECOND * test_slowness());
}

TEST_ENV(P23_short_calls_without_end_see_a_flag, "GOMAXPROCS=2") {
    nap_for(10);
    nap_for(100);
    nap_for(1000);
}

/* ---- P33 ---- */

static _Atomic long moves;

static void computes(void) {
    pid_t on = thread_id();
    inside++;
    while (!stop) {
        weft_gomaxprocs(0); /* a call in which the world may stop */
        pid_t now = thread_id();
        moves += now != on;
        on = now;
        calls++;
    }
}

TEST_ENV(P33_who_survives_a_stop_of_the_world_runs_on, "GOMAXPROCS=3") {
    enum { STOPS = 200 };
    for (int i = 0; i < 2; i++)
        weft_wg_go(&wg, computes);
    EVENTUALLY(inside == 2);
    for (int i = 0; i < STOPS; i++) {
        long seen = calls;
        weft_gomaxprocs(3 + (i + 1) % 2); /* a stop each time, and a P that nobody uses */
        EVENTUALLY(calls > seen + 2);
    }
    stop = true;
    weft_wg_wait(&wg);
    CHECK(moves < STOPS); /* of two each: on the same thread where possible */
}
