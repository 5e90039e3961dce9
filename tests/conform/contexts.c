/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contexts.c: group X of the behaviours, contexts. What a context does to the goroutine that runs
 * under it (cancelled waits, scopes) is in cancel.c; groups of goroutines are in groups.c.
 *
 * X2 (a TODO context) has nothing to test: weft has no such context.
 */
#include "conform.h"

#include <stdatomic.h>

static _Atomic int failed;
static _Atomic int stage;
static _Atomic int count;

static bool is_done(weft_ctx *ctx) {
    return weft_select(weft_case_recv(weft_ctx_done(ctx), NULL), weft_case_default()) == 0;
}

/* Done channel, error and cause agree with each other and with what is expected (0: alive). */
static bool ended_with(weft_ctx *ctx, int err, int cause) {
    return is_done(ctx) == (err != 0) && weft_ctx_err(ctx) == err && weft_ctx_cause(ctx) == cause;
}

TEST(X1_X3_background) {
    weft_ctx *bg = weft_ctx_background();
    weft_time t = 0;
    int key;
    CHECK(bg != NULL);
    CHECK(bg == weft_ctx_background());
    CHECK(weft_ctx_done(bg) == NULL);
    CHECK(!weft_ctx_deadline(bg, &t));
    CHECK(weft_ctx_value(bg, &key) == NULL);
    CHECK(ended_with(bg, 0, 0));
    CHECK(weft_ctx_current() == bg);
}

TEST(X3_values_alone_never_end) {
    int key, value;
    weft_ctx *ctx = weft_ctx_with_value(weft_ctx_background(), &key, &value);
    CHECK(weft_ctx_done(ctx) == NULL);
    CHECK_EQ(
        weft_select(weft_case_recv(weft_ctx_done(ctx), NULL), weft_case_after(WEFT_MILLISECOND)),
        1);
    weft_ctx_unref(ctx);
}

TEST(X4_X6_X22_cancel) {
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    CHECK(weft_ctx_done(ctx) != NULL);
    CHECK(ended_with(ctx, 0, 0));
    weft_ctx_cancel(ctx, 0);
    CHECK(ended_with(ctx, ECANCELED, ECANCELED));
    weft_ctx_unref(ctx);
}

TEST(X5_X6_cancel_reaches_every_descendant) {
    enum { N = 12 };
    int key, value = 4;
    weft_ctx *ctx[N];
    ctx[0] = weft_ctx_with_cancel(weft_ctx_background());
    for (int i = 1; i < N; i++)
        ctx[i] = i % 3 == 0   ? weft_ctx_with_value(ctx[i / 2], &key, &value)
                 : i % 3 == 1 ? weft_ctx_with_cancel(ctx[i / 2])
                              : weft_ctx_with_timeout(ctx[i / 2], WEFT_HOUR);
    weft_ctx_cancel(ctx[0], 0);
    for (int i = 0; i < N; i++)
        CHECK(ended_with(ctx[i], ECANCELED, ECANCELED));
    for (int i = 0; i < N; i++)
        weft_ctx_unref(ctx[i]);
}

TEST(X7_a_child_leaves_its_parent_alone) {
    weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx *child = weft_ctx_with_cancel(parent);
    weft_ctx *sister = weft_ctx_with_cancel(parent);
    weft_ctx_cancel(child, EIO);
    CHECK(ended_with(child, ECANCELED, EIO));
    CHECK(ended_with(parent, 0, 0));
    CHECK(ended_with(sister, 0, 0));
    weft_ctx_unref(child);
    CHECK(ended_with(parent, 0, 0));
    weft_ctx_cancel(parent, 0);
    CHECK(ended_with(sister, ECANCELED, ECANCELED));
    weft_ctx_unref(sister);
    weft_ctx_unref(parent);
}

TEST(X8_X21_the_first_end_stays) {
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx_cancel(ctx, EDOM);
    weft_ctx_cancel(ctx, ERANGE);
    weft_ctx_cancel(ctx, 0);
    CHECK(ended_with(ctx, ECANCELED, EDOM));
    weft_ctx_unref(ctx);

    ctx = weft_ctx_with_deadline(weft_ctx_background(), weft_now() - 1);
    weft_ctx_cancel(ctx, EDOM);
    CHECK(ended_with(ctx, ETIMEDOUT, ETIMEDOUT));
    weft_ctx_unref(ctx);
}

static void cancel_it(weft_ctx *ctx) {
    weft_ctx_cancel(ctx, 0);
}

TEST(X9_many_cancel_at_once) {
    enum { N = 100 };
    for (int round = 0; round < 30; round++) {
        weft_ctx *ctx[N];
        weft_wg wg = WEFT_WG_INIT;
        ctx[0] = weft_ctx_with_cancel(weft_ctx_background());
        for (int i = 1; i < N; i++)
            ctx[i] = weft_ctx_with_cancel(ctx[i / 3]);
        for (int i = 0; i < N; i++)
            weft_wg_go(&wg, cancel_it, ctx[(i * 37) % N]);
        for (int i = 0; i < 4; i++)
            weft_wg_go(&wg, cancel_it, ctx[0]);
        for (int i = 0; i < N; i++)
            CHECK(!weft_recv(weft_ctx_done(ctx[i]), NULL));
        weft_wg_wait(&wg);
        for (int i = 0; i < N; i++) {
            CHECK(ended_with(ctx[i], ECANCELED, ECANCELED));
            weft_ctx_unref(ctx[i]);
        }
    }
}

static void cancel_child_after_parent(weft_ctx *parent, weft_ctx *child) {
    weft_recv(weft_ctx_done(parent), NULL);
    weft_ctx_cancel(child, 0);
}

TEST(X10_interlocked_cancels) {
    for (int round = 0; round < ROUNDS(1000); round++) {
        weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
        weft_ctx *child = weft_ctx_with_cancel(parent);
        weft_wg wg = WEFT_WG_INIT;
        weft_wg_go(&wg, cancel_child_after_parent, parent, child);
        weft_wg_go(&wg, cancel_it, parent);
        CHECK(!weft_recv(weft_ctx_done(child), NULL));
        weft_wg_wait(&wg);
        weft_ctx_unref(child);
        weft_ctx_unref(parent);
    }
}

TEST(X11_child_of_an_ended_parent) {
    weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx_cancel(parent, EBUSY);
    weft_ctx *child[] = {weft_ctx_with_cancel(parent), weft_ctx_with_timeout(parent, WEFT_HOUR),
                         weft_ctx_with_value(parent, &failed, &stage)};
    for (int i = 0; i < 3; i++) {
        CHECK(ended_with(child[i], ECANCELED, EBUSY));
        weft_ctx_unref(child[i]);
    }
    weft_ctx_unref(parent);

    parent = weft_ctx_with_deadline(weft_ctx_background(), weft_now() - WEFT_SECOND);
    child[0] = weft_ctx_with_cancel(parent);
    CHECK(ended_with(child[0], ETIMEDOUT, ETIMEDOUT));
    weft_ctx_unref(child[0]);
    weft_ctx_unref(parent);
}

TEST(X12_deadline_passes) {
    weft_time start = weft_now(), deadline = start + 20 * WEFT_MILLISECOND, told = 0;
    weft_ctx *ctx = weft_ctx_with_deadline(weft_ctx_background(), deadline);
    weft_ctx *child = weft_ctx_with_cancel(ctx);
    CHECK(weft_ctx_deadline(ctx, &told));
    CHECK_EQ(told, deadline);
    told = 0;
    CHECK(weft_ctx_deadline(child, &told));
    CHECK_EQ(told, deadline);
    CHECK(!weft_recv(weft_ctx_done(child), NULL));
    CHECK(weft_now() >= deadline);
    CHECK(ended_with(ctx, ETIMEDOUT, ETIMEDOUT));
    CHECK(ended_with(child, ETIMEDOUT, ETIMEDOUT));
    weft_ctx_unref(child);
    weft_ctx_unref(ctx);

    start = weft_now();
    ctx = weft_ctx_with_timeout(weft_ctx_background(), 20 * WEFT_MILLISECOND);
    CHECK(weft_ctx_deadline(ctx, &told));
    CHECK(told >= start + 20 * WEFT_MILLISECOND);
    CHECK(!weft_recv(weft_ctx_done(ctx), NULL));
    CHECK(weft_now() >= told);
    CHECK(ended_with(ctx, ETIMEDOUT, ETIMEDOUT));
    weft_ctx_unref(ctx);
}

TEST(X13_deadline_in_the_past) {
    weft_ctx *ctx[] = {weft_ctx_with_deadline(weft_ctx_background(), weft_now()),
                       weft_ctx_with_deadline(weft_ctx_background(), weft_now() - WEFT_HOUR),
                       weft_ctx_with_timeout(weft_ctx_background(), 0),
                       weft_ctx_with_timeout(weft_ctx_background(), -WEFT_SECOND)};
    for (int i = 0; i < 4; i++) {
        CHECK(ended_with(ctx[i], ETIMEDOUT, ETIMEDOUT));
        weft_ctx_unref(ctx[i]);
    }
}

TEST(X14_the_earlier_deadline_counts) {
    weft_time t = weft_now() + WEFT_HOUR, told = 0;
    weft_ctx *parent = weft_ctx_with_deadline(weft_ctx_background(), t);
    weft_ctx *later = weft_ctx_with_deadline(parent, t + WEFT_HOUR);
    weft_ctx *sooner = weft_ctx_with_deadline(parent, t - WEFT_MINUTE);
    CHECK(weft_ctx_deadline(later, &told));
    CHECK_EQ(told, t);
    CHECK(weft_ctx_deadline(sooner, &told));
    CHECK_EQ(told, t - WEFT_MINUTE);
    weft_ctx_unref(sooner);
    weft_ctx_unref(later);
    weft_ctx_unref(parent);

    parent = weft_ctx_with_timeout(weft_ctx_background(), 10 * WEFT_MILLISECOND);
    later = weft_ctx_with_timeout(parent, WEFT_HOUR);
    CHECK(!weft_recv(weft_ctx_done(later), NULL));
    CHECK(ended_with(later, ETIMEDOUT, ETIMEDOUT));
    weft_ctx_unref(later);
    weft_ctx_unref(parent);
}

TEST(X15_cancel_before_the_deadline) {
    weft_ctx *ctx = weft_ctx_with_timeout(weft_ctx_background(), 30 * WEFT_MILLISECOND);
    weft_time deadline = 0;
    CHECK(weft_ctx_deadline(ctx, &deadline));
    weft_ctx_cancel(ctx, EINTR);
    if (weft_ctx_err(ctx) == ETIMEDOUT)
        test_skip("30 ms passed between two lines");
    CHECK(ended_with(ctx, ECANCELED, EINTR));
    quiet_for(60 * WEFT_MILLISECOND); /* the deadline changes nothing any more */
    CHECK(weft_now() > deadline);
    CHECK(ended_with(ctx, ECANCELED, EINTR));
    weft_ctx_unref(ctx);
}

static const int key_a = 7, key_b = 7;

TEST(X16_X17_X18_values) {
    int one = 1, two = 2;
    weft_ctx *bg = weft_ctx_background();
    weft_ctx *a1 = weft_ctx_with_value(bg, &key_a, &one);
    weft_ctx *mid = weft_ctx_with_timeout(a1, WEFT_HOUR);
    weft_ctx *b2 = weft_ctx_with_value(mid, &key_b, &two);
    weft_ctx *a2 = weft_ctx_with_value(b2, &key_a, &two);
    weft_ctx *hidden = weft_ctx_with_value(a2, &key_a, NULL);
    CHECK(weft_ctx_value(a1, &key_a) == &one);
    CHECK(weft_ctx_value(a1, &key_b) == NULL);
    CHECK(weft_ctx_value(mid, &key_a) == &one);
    CHECK(weft_ctx_value(b2, &key_a) == &one);
    CHECK(weft_ctx_value(b2, &key_b) == &two);
    CHECK(weft_ctx_value(a2, &key_a) == &two);
    CHECK(weft_ctx_value(hidden, &key_a) == NULL);
    CHECK(weft_ctx_value(hidden, &key_b) == &two);
    /* A derived context keeps its parents alive. */
    weft_ctx_unref(a1);
    weft_ctx_unref(mid);
    weft_ctx_unref(b2);
    weft_ctx_unref(a2);
    CHECK(weft_ctx_value(hidden, &key_b) == &two);
    weft_ctx_unref(hidden);
}

TEST(X19_without_cancel) {
    int one = 1;
    weft_time t = 0;
    weft_ctx *ended = weft_ctx_with_timeout(weft_ctx_background(), WEFT_HOUR);
    weft_ctx *valued = weft_ctx_with_value(ended, &key_a, &one);
    weft_ctx *before = weft_ctx_without_cancel(valued);
    weft_ctx_cancel(ended, EIO);
    weft_ctx *after = weft_ctx_without_cancel(valued);
    CHECK(ended_with(valued, ECANCELED, EIO));
    weft_ctx *free_ones[] = {before, after};
    for (int i = 0; i < 2; i++) {
        CHECK(ended_with(free_ones[i], 0, 0));
        CHECK(weft_ctx_done(free_ones[i]) == NULL);
        CHECK(!weft_ctx_deadline(free_ones[i], &t));
        CHECK(weft_ctx_value(free_ones[i], &key_a) == &one);
        weft_ctx *child = weft_ctx_with_cancel(free_ones[i]);
        CHECK(ended_with(child, 0, 0));
        weft_ctx_unref(child);
    }
    weft_ctx_unref(after);
    weft_ctx_unref(before);
    weft_ctx_unref(valued);
    weft_ctx_unref(ended);
}

#define NIL_PARENT "fatal error: cannot create context from nil parent"

TEST_DIES(X20_cancel_of_no_parent, 2, NIL_PARENT) {
    weft_ctx_with_cancel(NULL);
}

TEST_DIES(X20_timeout_of_no_parent, 2, NIL_PARENT) {
    weft_ctx_with_timeout(NULL, WEFT_SECOND);
}

TEST_DIES(X20_deadline_of_no_parent, 2, NIL_PARENT) {
    weft_ctx_with_deadline(NULL, weft_now());
}

TEST_DIES(X20_value_of_no_parent, 2, NIL_PARENT) {
    weft_ctx_with_value(NULL, &key_a, NULL);
}

TEST_DIES(X20_without_cancel_of_no_parent, 2, NIL_PARENT) {
    weft_ctx_without_cancel(NULL);
}

TEST(X21_X22_causes) {
    weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx *child = weft_ctx_with_cancel(parent);
    weft_ctx *grandchild = weft_ctx_with_timeout(child, WEFT_HOUR);
    weft_ctx *sister = weft_ctx_with_cancel(parent);
    CHECK_EQ(weft_ctx_cause(grandchild), 0);
    weft_ctx_cancel(child, ENOSPC);
    CHECK(ended_with(grandchild, ECANCELED, ENOSPC));
    weft_ctx_cancel(parent, EPERM);
    CHECK(ended_with(parent, ECANCELED, EPERM));
    CHECK(ended_with(sister, ECANCELED, EPERM));
    CHECK(ended_with(child, ECANCELED, ENOSPC));
    CHECK(ended_with(grandchild, ECANCELED, ENOSPC));
    weft_ctx_unref(sister);
    weft_ctx_unref(grandchild);
    weft_ctx_unref(child);
    weft_ctx_unref(parent);
}

struct hooked {
    weft_ctx *ctx;
    weft_chan(uint64_t) ran; /* gets the id of the goroutine that runs the function */
    weft_chan(int) go_on;
};

static void hook(void *arg) {
    struct hooked *h = arg;
    if (h->ctx != NULL && weft_ctx_err(h->ctx) == 0)
        failed = 1;
    count++;
    weft_send(h->ran, weft_id());
    if (h->go_on != NULL)
        weft_recv(h->go_on, NULL);
    stage = 2;
}

TEST(X23_after_func_runs_after_the_end) {
    struct hooked h = {weft_ctx_with_cancel(weft_ctx_background()), weft_chan_make(uint64_t, 0),
                       weft_chan_make(int, 0)};
    weft_ctx_hook *handle = weft_ctx_after_func(h.ctx, hook, &h);
    CHECK(handle != NULL);
    settle();
    CHECK_EQ(count, 0);
    weft_ctx_cancel(h.ctx, 0); /* returns although the function waits for us */
    uint64_t id = 0;
    CHECK(weft_recv(h.ran, &id));
    CHECK(id != 0 && id != weft_id());
    CHECK_EQ(stage, 0);
    CHECK(weft_send(h.go_on, 1));
    EVENTUALLY(stage == 2);
    weft_ctx_cancel(h.ctx, 0);
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(count, 1);
    CHECK_EQ(failed, 0);
    CHECK(!weft_ctx_hook_stop(handle));
    weft_ctx_unref(h.ctx);
    weft_chan_unref(h.ran);
    weft_chan_unref(h.go_on);
}

TEST(X24_after_func_on_an_ended_context) {
    struct hooked h = {weft_ctx_with_timeout(weft_ctx_background(), -1),
                       weft_chan_make(uint64_t, 0), NULL};
    weft_ctx_hook *handle = weft_ctx_after_func(h.ctx, hook, &h);
    uint64_t id = 0;
    CHECK(weft_recv(h.ran, &id));
    CHECK(id != 0 && id != weft_id());
    EVENTUALLY(stage == 2);
    CHECK_EQ(count, 1);
    CHECK(!weft_ctx_hook_stop(handle));
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_ctx_unref(h.ctx);
    weft_chan_unref(h.ran);
}

TEST(X25_stopped_after_func_never_runs) {
    struct hooked h = {weft_ctx_with_cancel(weft_ctx_background()), weft_chan_make(uint64_t, 2),
                       NULL};
    weft_ctx_hook *kept = weft_ctx_after_func(h.ctx, hook, &h);
    weft_ctx_hook *stopped = weft_ctx_after_func(h.ctx, hook, &h);
    CHECK(weft_ctx_hook_stop(stopped));
    weft_ctx_cancel(h.ctx, 0);
    CHECK(weft_recv(h.ran, NULL));
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(count, 1);
    CHECK(!weft_ctx_hook_stop(kept));
    weft_ctx_unref(h.ctx);
    weft_chan_unref(h.ran);
}

static void count_run(void *arg) {
    (*(_Atomic int *)arg)++;
}

TEST(X25_stop_against_cancel) {
    /* Exactly one of the two: the stop says true, or the function runs. */
    for (int round = 0; round < ROUNDS(5000); round++) {
        _Atomic int ran = 0;
        weft_wg wg = WEFT_WG_INIT;
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
        weft_ctx_hook *h = weft_ctx_after_func(ctx, count_run, (void *)&ran);
        weft_wg_go(&wg, cancel_it, ctx);
        for (int i = 0; i < round % 4; i++)
            weft_yield();
        bool stopped = weft_ctx_hook_stop(h);
        weft_wg_wait(&wg);
        EVENTUALLY(weft_num_goroutine() == 1);
        CHECK_EQ(ran, stopped ? 0 : 1);
        weft_ctx_unref(ctx);
    }
}

static void come_and_go(weft_ctx *parent, int n) {
    for (int i = 0; i < n; i++) {
        weft_ctx *a = weft_ctx_with_cancel(parent);
        weft_ctx *b = weft_ctx_with_timeout(parent, WEFT_HOUR);
        weft_ctx_hook *h = weft_ctx_after_func(parent, count_run, (void *)&count);
        weft_ctx_done(a);
        weft_ctx_cancel(a, 0);
        weft_ctx_cancel(b, 0);
        if (!weft_ctx_hook_stop(h))
            failed = 1;
        weft_ctx_unref(a);
        weft_ctx_unref(b);
    }
}

TEST(X26_a_parent_holds_nothing_of_the_gone) {
    weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
    come_and_go(parent, 5000);
    size_t before = resident_bytes();
    come_and_go(parent, ROUNDS(100000));
    /* 32 bytes kept per round would be 3.2 MB. */
    if (!SANITIZED)
        CHECK(resident_bytes() < before + (2u << 20));
    CHECK_EQ(failed, 0);
    weft_ctx_cancel(parent, 0);
    settle();
    CHECK_EQ(count, 0);
    weft_ctx_unref(parent);
}

TEST(X26_children_dropped_without_cancel) {
    weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx *kept = weft_ctx_with_cancel(parent);
    for (int i = 0; i < 1000; i++)
        weft_ctx_unref(i & 1 ? weft_ctx_with_cancel(parent)
                             : weft_ctx_with_timeout(parent, WEFT_HOUR));
    weft_ctx_cancel(parent, 0); /* must meet the living child only */
    CHECK(ended_with(kept, ECANCELED, ECANCELED));
    weft_ctx_unref(kept);
    weft_ctx_unref(parent);
}

/* Thirty layers chosen by a fixed generator; values readable before and after the end. */
static void layers(unsigned seed, bool by_timeout) {
    enum { N = 30 };
    static int keys[N], values[N];
    bool bound[N];
    weft_ctx *chain[N + 2];
    unsigned random = seed;
    weft_ctx *root = by_timeout ? weft_ctx_with_timeout(weft_ctx_background(), 2 * WEFT_MILLISECOND)
                                : weft_ctx_with_cancel(weft_ctx_background());
    chain[0] = root;
    for (int i = 0; i < N; i++) {
        random = random * 1664525u + 1013904223u;
        bound[i] = (random >> 16) % 3 == 0;
        chain[i + 1] = bound[i] ? weft_ctx_with_value(chain[i], &keys[i], &values[i])
                       : (random >> 16) % 3 == 1
                           ? weft_ctx_with_cancel(chain[i])
                           : weft_ctx_with_timeout(chain[i], WEFT_HOUR + (weft_duration)i);
    }
    for (int phase = 0; phase < 2; phase++) {
        for (int i = 0; i < N; i++)
            CHECK(weft_ctx_value(chain[N], &keys[i]) == (bound[i] ? &values[i] : NULL));
        if (phase == 0) {
            if (!by_timeout)
                weft_ctx_cancel(root, 0);
            CHECK(!weft_recv(weft_ctx_done(chain[N]), NULL));
        }
    }
    int err = by_timeout ? ETIMEDOUT : ECANCELED;
    for (int i = 0; i <= N; i++) {
        CHECK(ended_with(chain[i], err, err));
        weft_ctx_unref(chain[i]);
    }
}

TEST(X27_layers) {
    for (unsigned seed = 1; seed <= 20; seed++) {
        layers(seed, false);
        layers(seed * 77, true);
    }
}

TEST(ctx_references_are_counted) {
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    CHECK(weft_ctx_ref(ctx) == ctx);
    weft_ctx_unref(ctx);
    CHECK(ended_with(ctx, 0, 0));
    weft_ctx_cancel(ctx, 0);
    CHECK(ended_with(ctx, ECANCELED, ECANCELED));
    weft_ctx_unref(ctx);
    weft_ctx_unref(weft_ctx_ref(weft_ctx_background())); /* not counted: must do no harm */
    CHECK(weft_ctx_err(weft_ctx_background()) == 0);
}
