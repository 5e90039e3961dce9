/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groups.c: W26 to W32 of the behaviours, groups of goroutines with a common fate. As api.md
 * decides, a zeroed group has a context (against W27) and no limit at 0 or less (against W31).
 */
#include "conform.h"

#include <stdatomic.h>

static _Atomic int failed;
static _Atomic int count;
static _Atomic int running;
static _Atomic int most;

static int first_value; /* of the first that got so far */

static int gives_after(weft_chan(int) c, int value) {
    weft_recv(c, NULL);
    if (count++ == 0)
        first_value = value;
    return value;
}

static int gives(int value) {
    count++;
    return value;
}

TEST(W26_wait_until_all_returned) {
    weft_group g = WEFT_GROUP_INIT;
    weft_chan(int) c = weft_chan_make(int, 0);
    CHECK_EQ(weft_group_wait(&g), 0); /* nothing started */
    for (int i = 0; i < 20; i++)
        CHECK_EQ(weft_group_go(&g, gives_after, c, 0), 0);
    weft_chan_close(c);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(count, 20);
    weft_chan_unref(c);
}

TEST1(W26_the_first_error_counts) {
    weft_group g = WEFT_GROUP_INIT;
    weft_chan(int) c = weft_chan_make(int, 0);
    for (int i = 0; i < 5; i++)
        weft_group_go(&g, gives_after, c, 10 + i);
    settle(); /* all are parked */
    for (int i = 0; i < 2; i++)
        CHECK(weft_try_send(c, 1)); /* wakes two of them */
    settle();
    weft_chan_close(c);
    int first = weft_group_wait(&g);
    /* The first error cancels the group, so that the other receives end by it. */
    CHECK_EQ(first, first_value); /* one P: nobody ran between its return and its end */
    CHECK_EQ(count, 5);
    weft_chan_unref(c);
}

TEST(W26_errors_of_any_number) {
    weft_group g = WEFT_GROUP_INIT;
    weft_group_go(&g, gives, -5);
    CHECK_EQ(weft_group_wait(&g), -5);
    weft_group_go(&g, gives, INT32_MAX);
    CHECK_EQ(weft_group_wait(&g), INT32_MAX);
}

static int sees_group_context(weft_group *g, weft_ctx *parent) {
    if (weft_ctx_current() != weft_group_ctx(g) || weft_ctx_current() == parent)
        failed = 1;
    if (weft_ctx_value(weft_ctx_current(), &failed) != &count)
        failed = 2;
    return 0;
}

TEST(W27_zeroed_group_has_a_context) {
    static weft_group g; /* static: zeroed by the loader */
    weft_ctx *parent = weft_ctx_with_value(weft_ctx_background(), &failed, (void *)&count);
    {
        weft_scope_ctx(parent);
        CHECK_EQ(weft_group_go(&g, sees_group_context, &g, parent), 0);
        weft_ctx *ctx = weft_group_ctx(&g);
        CHECK(ctx != NULL && ctx != parent);
        CHECK(weft_ctx_done(ctx) != NULL);
    }
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(failed, 0);
    weft_ctx_unref(parent);
}

static int waits_to_be_cancelled(void) {
    if (weft_recv((weft_chan(int))NULL, NULL)) /* nothing else can end this */
        failed = 1;
    else if (errno != ECANCELED)
        failed = 2;
    count++;
    return ECANCELED;
}

TEST(W28_the_first_error_cancels_the_members) {
    weft_group g = WEFT_GROUP_INIT;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(weft_group_go(&g, waits_to_be_cancelled), 0);
    weft_ctx *ctx = weft_ctx_ref(weft_group_ctx(&g));
    CHECK_EQ(weft_ctx_err(ctx), 0);
    CHECK_EQ(weft_group_go(&g, gives, EIO), 0);
    CHECK_EQ(weft_group_wait(&g), EIO);
    CHECK_EQ(count, 11);
    CHECK_EQ(failed, 0);
    CHECK_EQ(weft_ctx_err(ctx), ECANCELED);
    CHECK_EQ(weft_ctx_cause(ctx), EIO);
    weft_ctx_unref(ctx);
}

TEST(W28_wait_ends_the_context) {
    weft_group g = WEFT_GROUP_INIT;
    CHECK_EQ(weft_group_go(&g, gives, 0), 0);
    weft_ctx *ctx = weft_ctx_ref(weft_group_ctx(&g));
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(weft_ctx_err(ctx), ECANCELED);
    weft_ctx_unref(ctx);
}

TEST(W28_group_cancel) {
    weft_group g = WEFT_GROUP_INIT;
    for (int i = 0; i < 10; i++)
        weft_group_go(&g, waits_to_be_cancelled);
    weft_group_cancel(&g);
    CHECK_EQ(weft_group_wait(&g), ECANCELED); /* what the members made of it */
    CHECK_EQ(count, 10);
    CHECK_EQ(failed, 0);
    CHECK_EQ(weft_ctx_err(weft_ctx_current()), 0);
}

TEST(W28_a_cancelled_parent_cancels_the_members_not_the_wait) {
    weft_group g = WEFT_GROUP_INIT;
    weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
    weft_scope_ctx(parent);
    for (int i = 0; i < 10; i++)
        weft_group_go(&g, waits_to_be_cancelled);
    weft_ctx_cancel(parent, 0);
    CHECK_EQ(weft_group_wait(&g), ECANCELED);
    CHECK_EQ(count, 10);
    CHECK_EQ(failed, 0);
    weft_ctx_unref(parent);
}

static int counts_running(weft_chan(int) gate) {
    int now = ++running;
    int seen = most;
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        continue;
    weft_yield();
    if (gate != NULL)
        weft_recv(gate, NULL);
    running--;
    count++;
    return 0;
}

TEST(W29_limit) {
    weft_group g = WEFT_GROUP_INIT;
    weft_group_set_limit(&g, 3);
    for (int i = 0; i < ROUNDS(2000); i++)
        CHECK_EQ(weft_group_go(&g, counts_running, (weft_chan(int))NULL), 0);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(count, ROUNDS(2000));
    CHECK(most <= 3);
}

static void starts_fourth(weft_group *g, weft_chan(int) gate) {
    weft_group_go(g, counts_running, gate);
    failed = 7; /* "started" */
}

TEST1(W29_a_start_beyond_the_limit_waits) {
    weft_group g = WEFT_GROUP_INIT;
    weft_chan(int) gate = weft_chan_make(int, 0);
    weft_wg wg = WEFT_WG_INIT;
    weft_group_set_limit(&g, 3);
    for (int i = 0; i < 3; i++)
        weft_group_go(&g, counts_running, gate);
    weft_wg_go(&wg, starts_fourth, &g, gate);
    settle();
    CHECK_EQ(failed, 0); /* still waits for a place */
    CHECK_EQ(running, 3);
    CHECK(weft_send(gate, 1));
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 7);
    weft_chan_close(gate);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(count, 4);
    CHECK_EQ(most, 3);
    weft_chan_unref(gate);
}

TEST1(W30_try_go_at_the_limit) {
    weft_group g = WEFT_GROUP_INIT;
    weft_chan(int) gate = weft_chan_make(int, 0);
    weft_group_set_limit(&g, 2);
    CHECK(weft_group_try_go(&g, counts_running, gate));
    CHECK(weft_group_try_go(&g, counts_running, gate));
    for (int i = 0; i < 10; i++) {
        errno = 0;
        CHECK(!weft_group_try_go(&g, counts_running, gate));
        CHECK_EQ(errno, EAGAIN);
    }
    settle();
    CHECK_EQ(running, 2);
    CHECK(weft_send(gate, 1));
    EVENTUALLY(running == 1);
    bool again = false;
    EVENTUALLY((again = weft_group_try_go(&g, counts_running, gate)));
    CHECK(again);
    weft_chan_close(gate);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(count, 3);
    CHECK_EQ(most, 2);
    weft_chan_unref(gate);
}

TEST1(W31_limit_of_nothing_is_none) {
    for (int limit = 0; limit >= -1; limit--) {
        weft_group g = WEFT_GROUP_INIT;
        weft_chan(int) gate = weft_chan_make(int, 0);
        count = 0;
        weft_group_set_limit(&g, 1);
        weft_group_set_limit(&g, limit);
        for (int i = 0; i < 50; i++)
            CHECK(weft_group_try_go(&g, counts_running, gate));
        settle();
        CHECK_EQ(running, 50);
        weft_chan_close(gate);
        CHECK_EQ(weft_group_wait(&g), 0);
        CHECK_EQ(count, 50);
        weft_chan_unref(gate);
    }
}

TEST_DIES(W32_limit_changed_while_running, 2,
          "fatal error: errgroup: modify limit while 2 goroutines in the group are still active") {
    weft_group g = WEFT_GROUP_INIT;
    weft_chan(int) gate = weft_chan_make(int, 0);
    weft_group_set_limit(&g, 4);
    weft_group_go(&g, counts_running, gate);
    weft_group_go(&g, counts_running, gate);
    weft_group_set_limit(&g, 5);
}

TEST(W26_W28_a_group_is_reused_after_wait) {
    weft_group g = WEFT_GROUP_INIT;
    weft_ctx *last = NULL;
    weft_group_set_limit(&g, 4);
    for (int round = 0; round < 200; round++) {
        int error = round % 3 == 0 ? EIO : 0;
        count = 0;
        CHECK_EQ(weft_group_go(&g, gives, 0), 0);
        weft_ctx *ctx = weft_ctx_ref(weft_group_ctx(&g));
        CHECK(ctx != last); /* last is still held: a fresh one can't have its address */
        CHECK_EQ(weft_ctx_err(ctx), 0);
        if (error == 0)
            CHECK_EQ(weft_group_go(&g, gives, 0), 0);
        else
            CHECK_EQ(weft_group_go(&g, gives, error), 0);
        CHECK_EQ(weft_group_wait(&g), error);
        CHECK_EQ(count, 2);
        CHECK_EQ(weft_ctx_err(ctx), ECANCELED);
        if (last != NULL)
            weft_ctx_unref(last);
        last = ctx;
    }
    weft_ctx_unref(last);
}

static int leaves_by_goexit(void) {
    count++;
    weft_goexit();
}

TEST(W26_goexit_counts_as_0) {
    weft_group g = WEFT_GROUP_INIT;
    weft_group_set_limit(&g, 2); /* the place must be given back too */
    for (int i = 0; i < 20; i++)
        weft_group_go(&g, leaves_by_goexit);
    CHECK_EQ(weft_group_wait(&g), 0);
    CHECK_EQ(count, 20);
}

static int sum_range(int from, int to, int *sum) {
    for (int i = from; i < to; i++)
        *sum += i;
    return 0;
}

TEST(W26_writes_are_seen_after_wait) {
    for (int round = 0; round < ROUNDS(2000); round++) {
        weft_group g = WEFT_GROUP_INIT;
        int a = 0, b = 0;
        weft_group_go(&g, sum_range, 0, 10, &a);
        weft_group_go(&g, sum_range, 10, 20, &b);
        CHECK_EQ(weft_group_wait(&g), 0);
        CHECK_EQ(a, 45);
        CHECK_EQ(b, 145);
    }
}
