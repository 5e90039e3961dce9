/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs of Gs: no G twice, free lists that overflow and are flushed, and the walk over all. */
#include <pthread.h>
#include <string.h>

#include "base/atomic.h"
#include "os/os.h"
#include "stack/gslab.h"
#include "weft_test.h"

enum { MANY = 5000 }; /* several slabs */

static struct p ps[3];

/* Marks a G as in somebody's hands: nobody else may have it. */
static void hold(struct g *gp) {
    CHECK(gp);
    CHECK_EQ((uintptr_t)gp % WEFTI_CACHELINE, 0);
    CHECK_EQ(gp->wait, 0);
    CHECK(!gp->timer.heap);
    CHECK_EQ(gp->id, 0);
    gp->id = 1;
}

static void let_go(struct p *pp, struct g *gp) {
    CHECK_EQ(gp->id, 1);
    gp->id = 0;
    wefti_g_give(pp, gp);
}

static bool count(struct g *gp, void *arg) {
    (void)gp;
    ++*(int *)arg;
    return true;
}

static int count_all(void) {
    int n = 0;
    wefti_g_foreach(count, &n);
    return n;
}

TEST_PLAIN(no_g_twice) {
    static struct g *held[MANY];
    CHECK_EQ(count_all(), 0);
    for (int i = 0; i < MANY; i++)
        hold(held[i] = wefti_g_take(&ps[0]));
    CHECK_EQ(count_all(), MANY); /* carved one by one, none ahead of need */
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(held[i]->id, 1);
    for (int i = 0; i < MANY; i++)
        let_go(&ps[0], held[i]);
    for (int i = 0; i < MANY; i++)
        hold(wefti_g_take(&ps[1])); /* another P gets what the first gave up */
    CHECK(count_all() <= MANY + (int)WEFTI_GFREE_MOST);
}

TEST_PLAIN(last_in_first_out) {
    struct g *a = wefti_g_take(&ps[0]), *b = wefti_g_take(&ps[0]);
    wefti_g_give(&ps[0], a);
    wefti_g_give(&ps[0], b);
    CHECK_EQ(wefti_g_take(&ps[0]), b);
    CHECK_EQ(wefti_g_take(&ps[0]), a);
}

/* A goroutine that ends may still stand on the newest one's stack: that one never leaves its P. */
TEST_PLAIN(newest_stays_at_a_spill) {
    static struct g *held[WEFTI_GFREE_MOST + 1];
    for (uint32_t i = 0; i <= WEFTI_GFREE_MOST; i++)
        hold(held[i] = wefti_g_take(&ps[0]));
    for (uint32_t i = 0; i < WEFTI_GFREE_MOST; i++)
        let_go(&ps[0], held[i]);
    CHECK_EQ(ps[0].gfree.n, WEFTI_GFREE_MOST);
    let_go(&ps[0], held[WEFTI_GFREE_MOST]);
    CHECK(ps[0].gfree.n < WEFTI_GFREE_MOST); /* a batch went */
    CHECK_EQ(wefti_g_take(&ps[0]), held[WEFTI_GFREE_MOST]);
    hold(wefti_g_take(&ps[1])); /* from the batch: nothing is carved */
    CHECK_EQ(count_all(), WEFTI_GFREE_MOST + 1);
}

TEST_PLAIN(flush_leaves_nothing) {
    static struct g *held[300];
    for (int i = 0; i < 300; i++)
        held[i] = wefti_g_take(&ps[0]);
    for (int i = 0; i < 300; i++)
        wefti_g_give(&ps[0], held[i]);
    wefti_g_flush(&ps[0]);
    CHECK_EQ(ps[0].gfree.n, 0);
    CHECK(!ps[0].gfree.first);
    for (int i = 0; i < 300; i++)
        hold(wefti_g_take(&ps[2]));
    CHECK_EQ(count_all(), 300);
    wefti_g_flush(&ps[0]); /* of an empty list */
}

struct walk {
    struct g *const *expected;
    int at, most;
};

static bool in_order(struct g *gp, void *arg) {
    struct walk *w = arg;
    CHECK_EQ(gp, w->expected[w->at]);
    return ++w->at < w->most;
}

TEST_PLAIN(foreach_in_order_of_carving) {
    static struct g *carved[MANY];
    for (int i = 0; i < MANY; i++)
        carved[i] = wefti_g_take(&ps[0]);
    for (int i = 0; i < MANY; i += 2)
        wefti_g_give(&ps[0], carved[i]); /* free ones are met too */
    struct walk all = {carved, 0, MANY + 1}, some = {carved, 0, 7};
    wefti_g_foreach(in_order, &all);
    CHECK_EQ(all.at, MANY);
    wefti_g_foreach(in_order, &some);
    CHECK_EQ(some.at, 7);
}

TEST_PLAIN(no_memory) {
    os_fail_after = 1;
    CHECK(!wefti_g_take(&ps[0]));
    CHECK_EQ(ps[0].gfree.n, 0);
    CHECK_EQ(count_all(), 0);
    hold(wefti_g_take(&ps[0]));
}

TEST_PLAIN(after_a_fork_one_is_left) {
    struct g *mine = NULL;
    for (int i = 0; i < 100; i++)
        mine = wefti_g_take(&ps[0]);
    wefti_g_after_fork(mine);
    CHECK_EQ(count_all(), 1);
    memset(&ps[0].gfree, 0, sizeof ps[0].gfree);
    CHECK(wefti_g_take(&ps[0]) != mine);
    CHECK_EQ(count_all(), 2);
    wefti_g_after_fork(NULL);
    CHECK_EQ(count_all(), 0);
}

/* ---- threads ---- */

enum { THREADS = 3, HAND = 700 };

static uint32_t stop; /* atomic */

static void *taker(void *arg) {
    struct p *pp = arg;
    struct g *hand[HAND];
    for (int round = 0; round < 200 / test_slowness(); round++) {
        for (int i = 0; i < HAND; i++)
            hold(hand[i] = wefti_g_take(pp));
        for (int i = 0; i < HAND; i++)
            let_go(pp, hand[i]);
    }
    wefti_g_flush(pp);
    return NULL;
}

static void *walker(void *arg) {
    (void)arg;
    int before = 0;
    while (!load_acquire(&stop)) {
        int n = count_all();
        CHECK(n >= before); /* none ever goes */
        before = n;
    }
    return NULL;
}

TEST_PLAIN(threads) {
    pthread_t threads[THREADS], observer;
    CHECK_EQ(pthread_create(&observer, NULL, walker, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, taker, &ps[i]), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    store_release(&stop, 1);
    CHECK_EQ(pthread_join(observer, NULL), 0);
    CHECK(count_all() <= THREADS * (HAND + (int)WEFTI_GFREE_MOST + 1));
}
