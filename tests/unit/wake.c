/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a scheduler looking for work visits, and when readying a goroutine wakes a thread, by the
 * scheduler's own counts: P29 and P30 of the behaviours that weft shares with Go.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/sanitize.h"
#include "sched/order.h"
#include "sched/state.h"
#include "weft_test.h"

TEST_PLAIN(P29_each_P_once_from_any_start_by_any_step) {
    static bool visited[WEFTI_MAXPROCS];
    for (uint32_t n = 1; n <= 60; n++)
        for (uint32_t step = 1; step <= n; step++) {
            if (wefti_gcd(step, n) != 1)
                continue;
            for (uint32_t start = 0; start < n; start++) {
                struct wefti_order o = {.n = n, .step = step, .at = start};
                memset(visited, 0, n * sizeof *visited);
                for (uint32_t i = 0; i < n; i++, wefti_order_next(&o)) {
                    CHECK(o.at < n && !visited[o.at]);
                    visited[o.at] = true;
                }
            }
        }
}

TEST_PLAIN(P29_steps_and_starts_are_fit_and_vary) {
    struct wefti_rand r = {.state = 4711};
    static uint32_t steps[65], starts[65];
    for (uint32_t n = 1; n <= 64; n++) {
        memset(steps, 0, sizeof steps);
        memset(starts, 0, sizeof starts);
        for (uint32_t i = 0; i < 100 * n; i++) {
            struct wefti_order o = wefti_order_of(n, &r);
            CHECK(o.step >= 1 && o.step <= n && wefti_gcd(o.step, n) == 1);
            CHECK(o.at < n);
            steps[o.step]++;
            starts[o.at]++;
        }
        for (uint32_t i = 0; i < n; i++) {
            CHECK(starts[i] > 0);
            CHECK_EQ(steps[i + 1] > 0, wefti_gcd(i + 1, n) == 1);
        }
    }
}

/* ---- waking ---- */

static _Atomic int ran;

static void counts(void) {
    ran++;
}

static uint32_t taken(void) {
    return load_relaxed(&S.ptaken);
}

/* Main alone, without a weft call in which it might give way. */
static void busy_for(int64_t nanoseconds) {
    for (int64_t end = os_nanotime() + nanoseconds; os_nanotime() < end;)
        continue;
}

static void await_idle(uint32_t idle) {
    while (load_relaxed(&S.npidle) != idle || load_relaxed(&S.nmspinning) != 0)
        busy_for(1000);
}

/*
 * Makes ten goroutines runnable while `idle` Ps are idle and, if so wanted, somebody seems to look
 * for work. False: it took so long that main may have had to give way.
 */
static bool start_some(uint32_t idle, bool looks, uint32_t *before) {
    weft_sleep(WEFT_MILLISECOND); /* a slice of its own, and the last ones have ended */
    int64_t begin = os_nanotime();
    await_idle(idle);
    if (looks)
        add_seqcst(&S.nmspinning, 1);
    ran = 0;
    *before = taken();
    for (int i = 0; i < 10; i++)
        weft_go(counts);
    return os_nanotime() - begin < S.slice / 2;
}

TEST_ENV(P30_an_idle_P_and_nobody_looks, "GOMAXPROCS=4") {
    uint32_t before;
    start_some(3, false, &before);
    while (ran == 0) /* another thread runs them: main keeps its own P */
        busy_for(1000);
    CHECK(taken() != before);
}

TEST_ENV(P30_none_while_a_thread_looks, "GOMAXPROCS=4") {
    uint32_t before;
    while (!start_some(3, true, &before))
        add_seqcst(&S.nmspinning, (uint32_t)-1);
    busy_for(30000000);
    CHECK_EQ(taken(), before);
    CHECK_EQ(ran, 0);
    add_seqcst(&S.nmspinning, (uint32_t)-1);
    while (ran == 0) /* the monitor comes to it */
        busy_for(1000);
    CHECK(taken() != before);
}

static _Atomic bool held, let_go;

static void holds_a_P(void) {
    held = true;
    while (!let_go)
        continue;
}

TEST_ENV(P30_none_without_an_idle_P, "GOMAXPROCS=2", "GODEBUG=asyncpreemptoff=1") {
    uint32_t before, threads;
    weft_go(holds_a_P);
    while (!held)
        weft_yield();
    do
        threads = load_relaxed(&S.nm);
    while (!start_some(0, false, &before));
    busy_for(30000000);
    CHECK_EQ(taken(), before);
    CHECK(load_relaxed(&S.nm) <= threads + 1); /* a keeper, while main slept */
    CHECK_EQ(ran, 0);
    let_go = true;
}

#if defined(WEFTI_DEBUG) && !defined(WEFTI_ASAN) && !defined(WEFTI_TSAN)
/* The harness's watch over malloc (tests/harness/watch.c) sees what it is there for. */
TEST_DIES(malloc_inside_the_runtime, 134, "malloc called inside the runtime") {
    struct m *mp = wefti_enter();
    void *volatile block = malloc(100);
    wefti_leave(mp);
    free(block);
}
#endif
