/* SPDX-License-Identifier: Apache-2.0 */
/* Changing from one goroutine to another: yield, and a ball between two. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- yield ---- */

static i64 last_task, switched; /* of use at one P only, where they need no lock */

static void yielder(i64 me, i64 each, i64 *done, weft_wg *wg) {
    i64 count = 0;
    while (count < each) {
        if (bench_p == 1 && last_task != me) {
            last_task = me;
            switched++;
        }
        weft_yield();
        count++;
    }
    *done = count;
    weft_wg_done(wg);
}

static i64 yields(i64 tasks, i64 each) {
    weft_wg wg = WEFT_WG_INIT;
    i64 *done = calloc((size_t)tasks, sizeof *done), sum = 0;
    CHECK(done != NULL, "out of memory");
    last_task = -1, switched = 0;
    for (i64 i = 0; i < tasks; i++) {
        weft_wg_add(&wg, 1);
        weft_go(yielder, i, each, &done[i], &wg);
    }
    weft_wg_wait(&wg);
    for (i64 i = 0; i < tasks; i++)
        sum += done[i];
    free(done);
    CHECK(sum == tasks * each, "%ld yields", (long)sum);
    CHECK(bench_p != 1 || switched * 2 >= sum, "only %ld of %ld yields switched", (long)switched,
          (long)sum);
    return sum;
}

static i64 yield2(void) {
    return yields(2, bench_n(1000000));
}
static i64 yield10k(void) {
    return yields(10000, bench_n(200));
}
static void run_yield2(double *out) {
    out[0] = bench_per_op(yield2);
}
static void run_yield10k(double *out) {
    out[0] = bench_per_op(yield10k);
}

/* ---- ping-pong ---- */

struct match {
    weft_chan(i64) there, back;
    i64 rounds, sum;
    weft_wg wg;
    bool apart; /* each player is held on a thread of its own */
    long tid[2];
};

static void go_apart(struct match *match, int player) {
    if (match->apart) {
        weft_lock_os_thread();
        match->tid[player] = syscall(SYS_gettid);
    }
}

static void server(struct match *match) {
    go_apart(match, 0);
    i64 sum = 0, ball;
    for (i64 i = 0; i < match->rounds; i++) {
        weft_send(match->there, i);
        weft_recv(match->back, &ball);
        sum += ball;
    }
    match->sum = sum;
    weft_wg_done(&match->wg);
}

static void returner(struct match *match) {
    go_apart(match, 1);
    i64 ball;
    for (i64 i = 0; i < match->rounds; i++) {
        weft_recv(match->there, &ball);
        weft_send(match->back, ball + 1);
    }
    weft_wg_done(&match->wg);
}

static i64 play(i64 rounds, bool apart) {
    struct match match = {.there = weft_chan_make(i64, 0),
                          .back = weft_chan_make(i64, 0),
                          .rounds = rounds,
                          .apart = apart};
    weft_wg_add(&match.wg, 2);
    weft_go(server, &match);
    weft_go(returner, &match);
    weft_wg_wait(&match.wg);
    CHECK(match.sum == rounds * (rounds + 1) / 2, "pingpong sum %ld", (long)match.sum);
    CHECK(!apart || match.tid[0] != match.tid[1], "not apart");
    weft_chan_unref(match.there);
    weft_chan_unref(match.back);
    return rounds;
}

static i64 pingpong(void) {
    return play(bench_n(300000), false);
}
static i64 pingpong_x(void) {
    return play(bench_n(30000), true);
}
static void run_pingpong(double *out) {
    out[0] = bench_per_op(pingpong);
}
static void run_pingpong_x(double *out) {
    out[0] = bench_per_op(pingpong_x);
}

const struct bench_case bench_switch[] = {
    {.name = "yield2", .warm = true, .run = run_yield2},
    {.name = "yield10k", .warm = true, .run = run_yield10k},
    {.name = "pingpong", .warm = true, .run = run_pingpong},
    {.name = "pingpong_x", .warm = true, .only_p = 2, .run = run_pingpong_x},
    {0},
};
