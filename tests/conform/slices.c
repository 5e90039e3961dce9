/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long goroutines that compute run when timers come due beside them, and what their threads'
 * CPU masks look like meanwhile (sched/slice.c, os/linux/affinity.c).
 *
 * Nothing here compares with a clock on the wall: who ran between two events, and shares of CPU
 * time.
 */
#include "hogs.h"

#include <pthread.h>
#include <sched.h>

static atomic_int done;

/* ---- the early cut ---- */

/* Which of two hogs moved since the last time, as bits. */
static int who_moved(unsigned long before[2]) {
    int moved = 0;
    for (int i = 0; i < 2; i++) {
        unsigned long n = counted[i];
        moved |= (n != before[i]) << i;
        before[i] = n;
    }
    return moved;
}

/* At the end of a slice the other hog is next. So one that ran alone before a timer and alone after it
 * went on with its slice. */
TEST1(a_timer_cuts_a_slice_and_the_slice_goes_on) {
    unsigned long before[2] = {0, 0};
    start_hogs(2);
    weft_time end = weft_now() + EVENTUALLY_LIMIT;
    for (int last = 0, now;; last = now) {
        weft_sleep(WEFT_MILLISECOND);
        now = who_moved(before);
        if (now == last && (now == 1 || now == 2))
            break;
        CHECK(weft_now() < end);
    }
    stop_hogs();
}

static int64_t cpu_time(void) {
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t hog_had;

static void measured_hog(void) {
    int64_t before = cpu_time();
    for (; !stop; compute())
        counted[0]++;
    hog_had = cpu_time() - before;
}

/* One that computes for long whenever its timer wakes it would leave a hog half a millisecond in
 * between, a sixth of its own time, were it not for the bound: with it there is more than that. */
TEST1(cuts_do_not_starve_who_computes) {
    const int times = 100;
    const int64_t span = 3 * 1000000;
    weft_go(measured_hog);
    for (int i = 0; i < times; i++) {
        weft_sleep(100 * WEFT_MICROSECOND);
        for (int64_t end = cpu_time() + span; cpu_time() < end;)
            compute();
    }
    stop_hogs();
    CHECK(hog_had >= times * span / 4);
}

/* ---- the mask ---- */

static cpu_set_t at_start;

static cpu_set_t mask_now(void) {
    cpu_set_t set;
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    return set;
}

static void sees_the_whole_mask(int i) {
    for (; !stop; compute()) {
        cpu_set_t now = mask_now();
        CHECK(CPU_EQUAL(&now, &at_start));
        counted[i]++;
    }
    done++;
}

/* The last one of those it may have; then all again. */
static void sets_its_own_mask(int i) {
    cpu_set_t mine;
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &at_start))
        last--;
    CPU_ZERO(&mine);
    CPU_SET(last, &mine);
    for (int turn = 0; !stop; turn++) {
        cpu_set_t *set = turn % 2 ? &at_start : &mine;
        CHECK_EQ(sched_setaffinity(0, sizeof *set, set), 0);
        for (int k = 0; k < 2000 && !stop; k++, compute()) {
            cpu_set_t now = mask_now();
            CHECK(CPU_EQUAL(&now, set));
        }
        counted[i]++;
    }
    CHECK_EQ(sched_setaffinity(0, sizeof at_start, &at_start), 0);
    done++;
}

static void ticks(void) {
    while (!stop)
        weft_sleep(WEFT_MILLISECOND);
    done++;
}

TEST_ENV(the_mask_is_the_programs, "GOMAXPROCS=2") {
    at_start = mask_now();
    for (int i = 0; i < 4; i++)
        weft_go(sees_the_whole_mask, i);
    for (int i = 4; i < 6; i++)
        weft_go(sets_its_own_mask, i);
    weft_go(ticks);
    weft_sleep(500 * WEFT_MILLISECOND);
    for (int i = 0; i < 6; i++)
        EVENTUALLY(counted[i] > 0);
    stop_hogs();
    CHECK_EQ(done, 7);
}

static void *look_at_mask(void *arg) {
    *(cpu_set_t *)arg = mask_now();
    return NULL;
}

static void makes_threads(void) {
    while (!stop) {
        pthread_t thread;
        cpu_set_t theirs;
        CHECK_EQ(pthread_create(&thread, NULL, look_at_mask, &theirs), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK(CPU_EQUAL(&theirs, &at_start));
        counted[4]++;
    }
    done++;
}

TEST_ENV(a_new_thread_has_the_programs_mask, "GOMAXPROCS=2") {
    at_start = mask_now();
    for (int i = 0; i < 3; i++)
        weft_go(hog, i);
    weft_go(makes_threads);
    weft_go(ticks);
    weft_sleep(300 * WEFT_MILLISECOND);
    EVENTUALLY(counted[4] > 0);
    stop_hogs();
    CHECK_EQ(done, 2);
}
