/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crowds: a thousand goroutines that compute for ever all get their turns (P21); after a crowd of
 * those, or of calls that weft was not told of, the threads that were needed for it end. The same
 * after calls in brackets is in spares.c.
 */
#include "conform.h"

#include <stdatomic.h>

static weft_wg wg;
static atomic_bool stop;
static atomic_uchar ran[1000];

static void hog(int i) {
    ran[i] = 1;
    while (!stop)
        for (int k = 0; k < 1000; k++)
            __asm__ volatile("" : "+r"(k));
}

static int how_many_ran(int n) {
    int count = 0;
    for (int i = 0; i < n; i++)
        count += ran[i];
    return count;
}

static void all_run(int n) {
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_wg_go(&wg, hog, i), 0);
    EVENTUALLY(how_many_ran(n) == n);
    stop = true;
    weft_wg_wait(&wg);
}

/* More Ps than CPUs, so that a slow machine gets through them, too: each keeps its P for a slice. */
TEST_ENV(P21_a_thousand_hogs_all_run, "GOMAXPROCS=8") {
    all_run(SANITIZED ? 100 : 1000);
}

TEST_ENV(P21_a_hundred_hogs_all_run, "GOMAXPROCS=2") {
    all_run(FEW_FIBERS ? 20 : 100);
}

/* ---- threads afterwards ---- */

/* As in spares.c: GOMAXPROCS 2, two spares, the keeper, the monitor, the spawner; one on its way
 * out. */
enum { HANDFUL = 8 };

static void await_handful(void) {
    weft_time end = weft_now() + EVENTUALLY_LIMIT;
    int sanitizers_own = SANITIZED ? 1 : 0;
    while (test_count_threads() - sanitizers_own > HANDFUL) {
        if (weft_now() > end)
            FAIL("%d threads are left", test_count_threads());
        weft_sleep(10 * WEFT_MILLISECOND);
    }
}

TEST_ENV(a_handful_of_threads_after_a_hundred_hogs, "GOMAXPROCS=2", "GODEBUG=threadidle=100") {
    int n = FEW_FIBERS ? 20 : 100;
    for (int round = 0; round < 2; round++) {
        stop = false;
        for (int i = 0; i < n; i++) {
            ran[i] = 0;
            CHECK_EQ(weft_wg_go(&wg, hog, i), 0);
        }
        EVENTUALLY(how_many_ran(n) == n);
        CHECK(test_count_threads() >= n); /* captives keep their threads */
        stop = true;
        weft_wg_wait(&wg);
        await_handful();
    }
}

static int ends[2];
static atomic_int inside;

static void reads_byte(void) {
    char byte;
    inside++;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    inside--;
}

TEST_ENV(a_handful_of_threads_after_plain_calls, "GOMAXPROCS=2", "GODEBUG=threadidle=100") {
    static const char bytes[500];
    const int n = FEW_FIBERS ? 50 : 500;
    CHECK_EQ(pipe(ends), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < n; i++)
            CHECK_EQ(weft_wg_go(&wg, reads_byte), 0);
        EVENTUALLY(inside == n);
        CHECK(test_count_threads() >= n);
        CHECK_EQ(write(ends[1], bytes, (size_t)n), n);
        weft_wg_wait(&wg);
        CHECK_EQ(inside, 0);
        await_handful();
    }
    close(ends[0]);
    close(ends[1]);
}
