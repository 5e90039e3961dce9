/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A P's run queue: the ring alone, its overflow through the scheduler's own path, theft, and all of
 * it under threads. Sequential tests run from several first indices, among them some before 2^32.
 */
#include <pthread.h>
#include <string.h>

#include "runq/runq.h"
#include "sched/state.h"
#include "weft_test.h"

#define SIZE WEFTI_RUNQ_SIZE

static struct g gs[2 * SIZE + 2];
static const uint32_t starts[] = {0,           1,           SIZE - 1,         SIZE,
                                  0x7fffffffu, UINT32_MAX,  UINT32_MAX - 100, UINT32_MAX - SIZE,
                                  0x80000000u, 4294967041u, UINT32_MAX - 128};
#define STARTS (sizeof starts / sizeof *starts)

/* An empty queue whose indices begin at `start`. */
static void begin(struct wefti_runq *q, uint32_t start) {
    memset(q, 0, sizeof *q);
    q->head = q->tail = start;
}

static void fill(struct wefti_runq *q, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        CHECK(wefti_runq_put(q, &gs[i]));
}

/* ---- one owner, no thieves ---- */

static void check_fifo(uint32_t start, bool alone) {
    static struct wefti_runq q;
    begin(&q, start);
    bool front;
    CHECK(wefti_runq_empty(&q));
    CHECK(!wefti_runq_get(&q, alone, &front));
    CHECK(!wefti_runq_get_ring(&q, alone));
    for (uint32_t n = 1; n <= SIZE; n++) {
        fill(&q, n);
        CHECK_EQ(wefti_runq_len(&q), n);
        CHECK(!wefti_runq_empty(&q));
        for (uint32_t i = 0; i < n; i++) {
            CHECK_EQ(wefti_runq_get(&q, alone, &front), &gs[i]);
            CHECK(!front);
        }
        CHECK(wefti_runq_empty(&q));
    }
}

TEST_PLAIN(P25_first_in_first_out) {
    for (size_t s = 0; s < STARTS; s++) {
        check_fifo(starts[s], true);
        check_fifo(starts[s], false);
    }
}

/* Go's TestSchedLocalQueue: i are put, some of them in front, and i come out, each once. */
static void check_exactly_once(uint32_t start, bool alone) {
    static struct wefti_runq q;
    static int seen[SIZE];
    begin(&q, start);
    bool front;
    for (uint32_t n = 0; n < SIZE; n++) {
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < n; i++) {
            struct g *kicked = i % 3 ? &gs[i] : wefti_runq_put_next(&q, &gs[i], alone);
            CHECK(!kicked || wefti_runq_put(&q, kicked));
        }
        for (uint32_t i = 0; i < n; i++) {
            struct g *gp = wefti_runq_get(&q, alone, &front);
            CHECK(gp >= gs && gp < gs + n);
            CHECK_EQ(seen[gp - gs]++, 0);
            CHECK_EQ(front, i == 0);
        }
        CHECK(!wefti_runq_get(&q, alone, &front));
        CHECK(wefti_runq_empty(&q));
    }
}

TEST_PLAIN(P25_each_exactly_once) {
    for (size_t s = 0; s < STARTS; s++) {
        check_exactly_once(starts[s], true);
        check_exactly_once(starts[s], false);
    }
}

TEST_PLAIN(front_slot) {
    static struct wefti_runq q;
    bool front;
    for (int alone = 0; alone < 2; alone++) {
        CHECK(!wefti_runq_put_next(&q, &gs[0], alone));
        CHECK(!wefti_runq_empty(&q));
        CHECK_EQ(wefti_runq_len(&q), 0); /* the front is not in the ring */
        CHECK_EQ(wefti_runq_put_next(&q, &gs[1], alone), &gs[0]);
        CHECK(wefti_runq_put(&q, &gs[0]));
        CHECK_EQ(wefti_runq_get_ring(&q, alone), &gs[0]); /* leaves the front alone */
        CHECK(!wefti_runq_get_ring(&q, alone));
        CHECK_EQ(wefti_runq_get(&q, alone, &front), &gs[1]);
        CHECK(front);
        CHECK(!wefti_runq_get(&q, alone, &front));
        CHECK(wefti_runq_empty(&q));
    }
}

TEST_PLAIN(lists) {
    struct wefti_glist a = {0}, b = {0};
    CHECK(!wefti_glist_pop(&a));
    wefti_glist_append(&a, &b);
    CHECK(!a.first && !a.last && a.n == 0);
    for (int i = 0; i < 3; i++)
        wefti_glist_push(&b, &gs[i]);
    wefti_glist_append(&a, &b); /* to an empty one */
    CHECK(!b.first && !b.last && b.n == 0);
    wefti_glist_push(&b, &gs[3]);
    wefti_glist_push(&b, &gs[4]);
    wefti_glist_append(&a, &b);
    CHECK_EQ(a.n, 5);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(wefti_glist_pop(&a), &gs[i]);
    CHECK(!a.first && !a.last && a.n == 0);
}

/* ---- overflow ---- */

static void check_take_half(uint32_t start, bool alone) {
    static struct wefti_runq q;
    struct wefti_glist out = {0};
    begin(&q, start);
    fill(&q, SIZE);
    CHECK(!wefti_runq_put(&q, &gs[SIZE])); /* full: nothing was put */
    CHECK_EQ(wefti_runq_len(&q), SIZE);
    CHECK(wefti_runq_take_half(&q, alone, &out));
    CHECK_EQ(out.n, SIZE / 2);
    for (uint32_t i = 0; i < SIZE / 2; i++) /* the older ones, in their order */
        CHECK_EQ(wefti_glist_pop(&out), &gs[i]);
    CHECK_EQ(wefti_runq_len(&q), SIZE / 2);
    for (uint32_t i = SIZE / 2; i < SIZE; i++)
        CHECK_EQ(wefti_runq_get_ring(&q, alone), &gs[i]);
    CHECK(wefti_runq_empty(&q));
}

TEST_PLAIN(P26_half_is_taken_out) {
    for (size_t s = 0; s < STARTS; s++) {
        check_take_half(starts[s], true);
        check_take_half(starts[s], false);
    }
}

TEST_PLAIN(P26_no_half_when_thieves_made_room) {
    static struct wefti_runq q;
    struct wefti_glist out = {0};
    fill(&q, SIZE / 2 - 1);
    CHECK(!wefti_runq_take_half(&q, false, &out));
    CHECK_EQ(out.n, 0);
    CHECK_EQ(wefti_runq_len(&q), SIZE / 2 - 1);
}

/* The scheduler's own way: half and the new one, 129 in all, at the global queue's tail. */
static void check_overflow(struct m *mp, uint32_t start) {
    struct wefti_runq *q = &mp->p->runq;
    struct wefti_glist *global = &wefti_sched.global;
    begin(q, start);
    wefti_glist_push(global, &gs[SIZE + 1]); /* was there before */
    for (uint32_t i = 0; i < SIZE; i++)
        wefti_kick(mp, &gs[i]);
    CHECK_EQ(global->n, 1);
    wefti_kick(mp, &gs[SIZE]);
    CHECK_EQ(global->n, 1 + SIZE / 2 + 1);
    CHECK_EQ(wefti_glist_pop(global), &gs[SIZE + 1]);
    for (uint32_t i = 0; i < SIZE / 2; i++)
        CHECK_EQ(wefti_glist_pop(global), &gs[i]);
    CHECK_EQ(wefti_glist_pop(global), &gs[SIZE]);
    CHECK_EQ(global->n, 0);
    for (uint32_t i = SIZE / 2; i < SIZE; i++)
        CHECK_EQ(wefti_runq_get_ring(q, mp->p->single), &gs[i]);
    CHECK(wefti_runq_empty(q));
}

TEST_PLAIN(P26_overflow_moves_half_and_one) {
    static struct m m;
    static struct p p;
    m.p = &p;
    for (uint32_t single = 0; single < 2; single++) {
        p.single = single;
        for (size_t s = 0; s < STARTS; s++)
            check_overflow(&m, starts[s]);
    }
}

/* ---- theft ---- */

static void check_steal(uint32_t to_start, uint32_t from_start, uint32_t n) {
    static struct wefti_runq to, from;
    begin(&to, to_start);
    begin(&from, from_start);
    fill(&from, n);
    struct g *gp = wefti_runq_steal(&to, &from, false);
    uint32_t stolen = n - n / 2;
    CHECK_EQ(gp != NULL, n > 0);
    CHECK_EQ(wefti_runq_len(&from), n / 2);
    CHECK_EQ(wefti_runq_len(&to) + (gp ? 1 : 0), stolen);
    for (uint32_t i = 0; i + 1 < stolen; i++) /* the older ones, in their order */
        CHECK_EQ(wefti_runq_get_ring(&to, false), &gs[i]);
    if (gp)
        CHECK_EQ(gp, &gs[stolen - 1]);
    for (uint32_t i = stolen; i < n; i++)
        CHECK_EQ(wefti_runq_get_ring(&from, false), &gs[i]);
    CHECK(wefti_runq_empty(&to));
    CHECK(wefti_runq_empty(&from));
}

TEST_PLAIN(P28_half_rounded_up) {
    for (size_t s = 0; s < STARTS; s++)
        for (uint32_t n = 0; n <= SIZE; n++)
            check_steal(starts[STARTS - 1 - s], starts[s], n);
}

TEST_PLAIN(P28_front_is_stolen_last) {
    static struct wefti_runq to, from;
    wefti_runq_put_next(&from, &gs[0], false);
    CHECK(!wefti_runq_steal(&to, &from, false));
    CHECK(wefti_runq_put(&from, &gs[1]));
    CHECK_EQ(wefti_runq_steal(&to, &from, true), &gs[1]); /* the ring first */
    CHECK(!wefti_runq_empty(&from));
    CHECK_EQ(wefti_runq_steal(&to, &from, true), &gs[0]);
    CHECK(wefti_runq_empty(&from));
    CHECK(!wefti_runq_steal(&to, &from, true));
    CHECK(wefti_runq_empty(&to));
}

/* ---- with threads ---- */

enum { POOL = 1500, THIEVES = 3 };

static struct g pool[POOL];
static uint32_t queued[POOL]; /* atomic: 1 while its G is in some queue */
static struct wefti_runq queues[THIEVES + 1];
static uint64_t given, taken_out; /* atomic */
static uint32_t stop;             /* atomic */

static void taken(struct g *gp) {
    CHECK(gp >= pool && gp < pool + POOL);
    CHECK_EQ(xchg_acqrel(&queued[gp - pool], 0), 1); /* pairs with the owner's look */
    add_relaxed(&taken_out, 1);
}

static void drain(struct wefti_runq *q) {
    bool front;
    for (struct g *gp; (gp = wefti_runq_get(q, false, &front)) != NULL;)
        taken(gp);
}

static void *thief(void *arg) {
    struct wefti_runq *mine = arg;
    struct wefti_rand rand = {(uint64_t)(mine - queues)};
    while (!load_acquire(&stop)) {
        struct wefti_runq *victim = &queues[wefti_rand_below(&rand, THIEVES + 1)];
        if (victim == mine)
            continue;
        struct g *gp = wefti_runq_steal(mine, victim, wefti_rand64(&rand) & 1);
        if (!gp)
            continue;
        taken(gp);
        if (wefti_rand64(&rand) & 1) /* others may steal the rest on */
            os_yield();
        drain(mine);
    }
    drain(mine);
    return NULL;
}

/* A G that is in no queue goes into the owner's, as the scheduler puts it there. */
static void put(struct wefti_runq *q, struct g *gp, bool in_front) {
    struct wefti_glist out = {0};
    add_relaxed(&given, 1);
    if (in_front)
        gp = wefti_runq_put_next(q, gp, false);
    while (gp && !wefti_runq_put(q, gp))
        if (wefti_runq_take_half(q, false, &out))
            for (struct g *old; (old = wefti_glist_pop(&out)) != NULL;)
                taken(old);
}

static struct g *find_free(uint32_t *at) {
    for (uint32_t i = 0; i < POOL; i++) {
        *at = (*at + 1) % POOL;
        if (load_acquire(&queued[*at]) == 0) { /* pairs with taken */
            store_relaxed(&queued[*at], 1);
            return &pool[*at];
        }
    }
    return NULL;
}

static void own(struct wefti_runq *q, uint64_t rounds) {
    struct wefti_rand rand = {7};
    uint32_t at = 0;
    bool front;
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t burst = wefti_rand_below(&rand, 40) == 0 ? 600 : wefti_rand_below(&rand, 6);
        for (struct g *gp; burst > 0 && (gp = find_free(&at)) != NULL; burst--)
            put(q, gp, wefti_rand64(&rand) & 1);
        for (uint32_t n = wefti_rand_below(&rand, 6); n > 0; n--) {
            struct g *gp = wefti_runq_get(q, false, &front);
            if (gp)
                taken(gp);
        }
    }
}

TEST_PLAIN(P25_P28_owner_and_thieves) {
    pthread_t threads[THIEVES];
    for (uint32_t i = 0; i <= THIEVES; i++)
        begin(&queues[i], UINT32_MAX - 5000 * i); /* they wrap on the way */
    for (int i = 0; i < THIEVES; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, thief, &queues[i + 1]), 0);
    own(&queues[0], 20000 / (uint64_t)test_slowness());
    store_release(&stop, 1);
    for (int i = 0; i < THIEVES; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i <= THIEVES; i++)
        drain(&queues[i]); /* what a thief put into its queue, and the owner's last */
    CHECK_EQ(given, taken_out);
    for (int i = 0; i < POOL; i++)
        CHECK_EQ(queued[i], 0);
}

static void *watcher(void *arg) {
    while (!load_acquire(&stop))
        CHECK(!wefti_runq_empty(arg));
    return NULL;
}

/* Go's TestSchedLocalQueueEmpty: one moves from the front to the ring and another from the ring to
 * the front, and at each moment there is one. */
TEST_PLAIN(P25_never_seen_empty) {
    static struct wefti_runq q;
    pthread_t threads[2];
    bool front;
    begin(&q, UINT32_MAX - 3000);
    wefti_runq_put_next(&q, &gs[0], false);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, watcher, &q), 0);
    for (int i = 0; i < 400000 / test_slowness(); i++) {
        struct g *kicked = wefti_runq_put_next(&q, &gs[(i + 1) & 1], false);
        CHECK_EQ(kicked, &gs[i & 1]);
        CHECK(wefti_runq_put(&q, kicked));
        CHECK_EQ(wefti_runq_get(&q, false, &front), &gs[(i + 1) & 1]); /* the ring keeps one */
        CHECK(front);
        wefti_runq_put_next(&q, &gs[(i + 1) & 1], false);
        CHECK_EQ(wefti_runq_get_ring(&q, false), &gs[i & 1]);
    }
    store_release(&stop, 1);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}
