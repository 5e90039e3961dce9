/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Semaphore: W21 and W22 of the behaviours that weft shares with Go.  W23 to W25 do not hold in
 * weft: its semaphore has no total size and takes what is free at once.
 *
 * "One P" tests stand on a fact of the scheduler: with GOMAXPROCS=1 a few yields let every
 * goroutine that was started before run until it parks.
 */
#include "conform.h" /* first: it asks for the GNU extensions */

#include <stdatomic.h>

struct gate {
    weft_sem sem;
    _Atomic int inside, rounds;
    weft_wg wg;
};

static void pass_gate(struct gate *g) {
    for (int i = 0; i < 1000; i++) {
        CHECK(weft_sem_acquire(&g->sem, 1));
        CHECK_EQ(atomic_fetch_add(&g->inside, 1), 0);
        if (i % 16 == 0)
            weft_yield();
        CHECK_EQ(atomic_fetch_sub(&g->inside, 1), 1);
        atomic_fetch_add(&g->rounds, 1);
        weft_sem_release(&g->sem, 1);
    }
}

static void run_gate(void) {
    static struct gate g = {.sem = WEFT_SEM_INIT(1)};
    for (int i = 0; i < 10; i++)
        weft_wg_go(&g.wg, pass_gate, &g);
    weft_wg_wait(&g.wg);
    CHECK_EQ(atomic_load(&g.rounds), 10000);
    CHECK(weft_sem_try_acquire(&g.sem, 1));
    CHECK(!weft_sem_try_acquire(&g.sem, 1));
}

TEST(W21_semaphore_of_one) {
    run_gate();
}

TEST_ENV(W21_semaphore_of_one_on_eight_Ps, "GOMAXPROCS=8") {
    run_gate();
}

struct taker {
    weft_sem *sem;
    int wants;
    _Atomic int order; /* 0 until it got them, then its place in the line */
    int error;
};

static _Atomic int places;

static void take(struct taker *t) {
    errno = 0;
    bool got = weft_sem_acquire(t->sem, (uint64_t)t->wants);
    t->error = got ? 0 : errno;
    atomic_store(&t->order, atomic_fetch_add(&places, 1) + 1);
}

TEST_ENV(W21_acquire_parks_until_release, "GOMAXPROCS=1") {
    static weft_sem sem; /* zeroed: nothing is free */
    static struct taker t = {.sem = &sem, .wants = 2};
    CHECK(!weft_sem_try_acquire(&sem, 1));
    weft_go(take, &t);
    settle();
    CHECK_EQ(atomic_load(&t.order), 0);
    weft_sem_release(&sem, 1);
    settle();
    CHECK_EQ(atomic_load(&t.order), 0); /* half of it is not enough */
    weft_sem_release(&sem, 1);
    settle();
    CHECK_EQ(atomic_load(&t.order), 1);
    CHECK(!weft_sem_try_acquire(&sem, 1));
}

TEST_ENV(W21_waiters_are_served_in_order, "GOMAXPROCS=1") {
    static weft_sem sem;
    static struct taker t[3];
    for (int i = 0; i < 3; i++) {
        t[i].sem = &sem;
        t[i].wants = 3 - i; /* 3, 2, 1: the small ones must not overtake */
        weft_go(take, &t[i]);
        settle();
    }
    for (int free = 1; free <= 6; free++) {
        weft_sem_release(&sem, 1);
        settle();
        CHECK_EQ(atomic_load(&t[0].order), free >= 3 ? 1 : 0);
        CHECK_EQ(atomic_load(&t[1].order), free >= 5 ? 2 : 0);
        CHECK_EQ(atomic_load(&t[2].order), free >= 6 ? 3 : 0);
    }
}

TEST_ENV(W22_try_acquire_changes_nothing_when_it_fails, "GOMAXPROCS=1") {
    static weft_sem sem = WEFT_SEM_INIT(3);
    static struct taker t = {.sem = &sem, .wants = 5};
    CHECK(!weft_sem_try_acquire(&sem, 4)); /* does not fit */
    CHECK(weft_sem_try_acquire(&sem, 3));
    CHECK(!weft_sem_try_acquire(&sem, 1));
    weft_sem_release(&sem, 3);
    weft_go(take, &t);
    settle();
    errno = 0;
    CHECK(!weft_sem_try_acquire(&sem, 1)); /* fits, but there is a waiter */
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(atomic_load(&t.order), 0);
    weft_sem_release(&sem, 2); /* 3 + 2: had a failed try taken or given some, this would not do */
    settle();
    CHECK_EQ(atomic_load(&t.order), 1);
    CHECK(!weft_sem_try_acquire(&sem, 1));
}

TEST_ENV(W21_W22_cancelled_head_lets_the_next_go, "GOMAXPROCS=1") {
    static weft_sem sem = WEFT_SEM_INIT(3);
    static struct taker big = {.sem = &sem, .wants = 5}, small = {.sem = &sem, .wants = 1};
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    struct weft_attr under = {.ctx = ctx};
    weft_go_with(&under, take, &big);
    settle();
    weft_go(take, &small);
    settle();
    CHECK_EQ(atomic_load(&big.order), 0);
    CHECK_EQ(atomic_load(&small.order), 0);
    weft_ctx_cancel(ctx, 0);
    EVENTUALLY(atomic_load(&small.order) == 2);
    CHECK_EQ(big.error, ECANCELED);
    CHECK_EQ(small.error, 0);
    CHECK(weft_sem_try_acquire(&sem, 2)); /* the big one took none with it */
    CHECK(!weft_sem_try_acquire(&sem, 1));
    weft_ctx_unref(ctx);
}

TEST(W21_acquire_under_an_ended_context_takes_what_is_free) {
    static weft_sem sem = WEFT_SEM_INIT(2);
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx_cancel(ctx, 0);
    weft_scope_ctx(ctx);
    CHECK(weft_sem_acquire(&sem, 2));
    errno = 0;
    CHECK(!weft_sem_acquire(&sem, 1)); /* would have to wait */
    CHECK_EQ(errno, ECANCELED);
    weft_ctx_unref(ctx);
}

static void park_in_sem_acquire(void *sem) {
    weft_sem_acquire(sem, 1);
}

TEST_ENV(W21_D18_reason_of_semaphore, TRACE_ENV) {
    static weft_sem sem;
    CHECK(trace_sees(park_in_sem_acquire, &sem, "semacquire"));
}
