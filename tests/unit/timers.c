/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers without a scheduler: an M and a P made by hand, heaps run at moments that the test names.
 *
 * With one P (single) nothing is locked; the tests with threads use several Ps.
 */
#include <pthread.h>
#include <string.h>

#include "os/os.h"
#include "runq/runq.h"
#include "sched/state.h"
#include "timer/timer.h"
#include "weft_test.h"

enum { MANY = 700 };

static struct p p = {.single = 1};
static struct m m = {.p = &p};
static struct wefti_timer timers[MANY];
static int fired[MANY];
static int order[4 * MANY], fires; /* which one fired when */

static bool note(struct m *mp, struct wefti_timer *t, int64_t now) {
    (void)mp, (void)now;
    int i = (int)(t - timers);
    CHECK(i >= 0 && i < MANY);
    fired[i]++;
    if (fires < 4 * MANY)
        order[fires] = i;
    fires++;
    return false;
}

static struct wefti_timers *begin(void) {
    p.timers = wefti_timers_new();
    CHECK(p.timers);
    CHECK_EQ((uintptr_t)p.timers % WEFTI_CACHELINE, 0);
    for (int i = 0; i < MANY; i++)
        wefti_timer_init(&timers[i], note, NULL, NULL);
    return p.timers;
}

static void check_heap(const struct wefti_timers *ts) {
    for (uint32_t i = 0; i < ts->n; i++) {
        CHECK_EQ(ts->entries[i].t->slot, i);
        CHECK_EQ(ts->entries[i].t->when, ts->entries[i].when);
        if (i > 0)
            CHECK(ts->entries[(i - 1) / 4].when <= ts->entries[i].when);
    }
}

/* ---- the heap alone, against an array ---- */

static int64_t model[MANY]; /* 0: not in the heap */

static int64_t model_first(void) {
    int64_t first = 0;
    for (int i = 0; i < MANY; i++)
        if (model[i] != 0 && (first == 0 || model[i] < first))
            first = model[i];
    return first;
}

static void random_step(struct wefti_timers *ts, struct wefti_rand *rand) {
    int i = (int)wefti_rand_below(rand, MANY);
    int64_t when = 1 + wefti_rand_below(rand, 1u << (4 + wefti_rand_below(rand, 20)));
    if (model[i] == 0) {
        wefti_timers_add(&m, ts, &timers[i], model[i] = when);
    } else if (wefti_rand64(rand) % 3 == 0) {
        wefti_timers_adjust(ts, &timers[i], model[i] = when);
    } else {
        wefti_timers_remove(ts, &timers[i]);
        model[i] = 0;
    }
}

TEST_PLAIN(heap_against_a_model) {
    struct wefti_timers *ts = begin();
    struct wefti_rand rand = {5};
    for (int i = 0; i < 30000 / test_slowness(); i++) {
        int64_t before = ts->first;
        random_step(ts, &rand);
        bool earlier = wefti_timers_publish(ts);
        int64_t first = model_first();
        CHECK_EQ(wefti_timers_first(ts), first);
        CHECK_EQ(earlier, first != 0 && (before == 0 || first < before));
        CHECK(wefti_timers_due(ts, first) == (first != 0));
        CHECK(!wefti_timers_due(ts, first - 1));
        if (i % 64 == 0)
            check_heap(ts);
    }
    while (ts->n > 0) { /* out they come, earliest first */
        int64_t first = model_first();
        CHECK_EQ(ts->entries[0].when, first);
        model[ts->entries[0].t - timers] = 0;
        wefti_timers_remove(ts, ts->entries[0].t);
    }
    CHECK_EQ(model_first(), 0);
    CHECK(!wefti_timers_publish(ts));
    CHECK_EQ(wefti_timers_first(ts), 0);
    wefti_timers_release(&m, ts);
    wefti_timers_add(&m, ts, &timers[0], 9); /* it may be used again */
    CHECK_EQ(ts->entries[0].when, 9);
}

TEST_PLAIN(end_of_time) {
    int64_t last = INT64_MAX;
    CHECK_EQ(wefti_timer_when(100, 5), 105);
    CHECK_EQ(wefti_timer_when(100, 0), 100);
    CHECK_EQ(wefti_timer_when(100, -5), 100);
    CHECK_EQ(wefti_timer_when(100, last), last);
    CHECK_EQ(wefti_timer_when(100, last - 100), last);
    CHECK_EQ(wefti_timer_when(100, last - 101), last - 1);
}

/* ---- arming, stopping, firing ---- */

TEST_PLAIN(fire_in_order_of_time) {
    struct wefti_timers *ts = begin();
    for (int i = 0; i < MANY; i++)
        wefti_timer_arm(&m, &timers[i], 1 + (i * 37) % MANY, 0);
    CHECK_EQ(wefti_timers_first(ts), 1);
    CHECK_EQ(wefti_timers_run(&m, ts, 0), 0);
    CHECK_EQ(wefti_timers_run(&m, ts, 300), 300);
    CHECK_EQ(fires, 300);
    CHECK_EQ(wefti_timers_first(ts), 301);
    CHECK_EQ(wefti_timers_run(&m, ts, MANY + 100), MANY - 300);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(timers[order[i]].when, i + 1);
        CHECK_EQ(fired[i], 1);
        CHECK(!timers[i].heap);
        CHECK(!wefti_timer_disarm(&m, &timers[i]));
    }
    CHECK_EQ(wefti_timers_first(ts), 0);
    CHECK_EQ(wefti_timers_run(&m, ts, INT64_MAX), 0);
}

TEST_PLAIN(stopped_ones_do_not_fire) {
    struct wefti_timers *ts = begin();
    for (int i = 0; i < MANY; i++)
        wefti_timer_arm(&m, &timers[i], 1 + (i * 37) % 100, 0);
    for (int i = 0; i < MANY; i += 2) {
        CHECK(wefti_timer_disarm(&m, &timers[i]));
        CHECK(!wefti_timer_disarm(&m, &timers[i]));
        check_heap(ts);
    }
    CHECK_EQ(wefti_timers_run(&m, ts, 100), MANY / 2);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(fired[i], i & 1);
}

TEST_PLAIN(first_is_published) {
    struct wefti_timers *ts = begin();
    wefti_timer_arm(&m, &timers[0], 50, 0);
    CHECK_EQ(wefti_timers_first(ts), 50);
    wefti_timer_arm(&m, &timers[1], 70, 0);
    CHECK_EQ(wefti_timers_first(ts), 50);
    wefti_timer_arm(&m, &timers[2], 30, 0);
    CHECK_EQ(wefti_timers_first(ts), 30);
    CHECK(wefti_timer_disarm(&m, &timers[2]));
    CHECK_EQ(wefti_timers_first(ts), 50);
    CHECK(wefti_timer_rearm(&m, &timers[0], 90, 0));
    CHECK_EQ(wefti_timers_first(ts), 70);
    CHECK(wefti_timer_rearm(&m, &timers[0], 10, 0));
    CHECK_EQ(wefti_timers_first(ts), 10);
    CHECK(!wefti_timer_rearm(&m, &timers[2], 5, 0));
    CHECK_EQ(wefti_timers_first(ts), 5);
    CHECK_EQ(wefti_timers_run(&m, ts, 10), 2);
    CHECK_EQ(wefti_timers_first(ts), 70);
    CHECK_EQ(fires, 2);
}

TEST_PLAIN(periodic_drops_missed_ticks) {
    struct wefti_timers *ts = begin();
    wefti_timer_arm(&m, &timers[0], 100, 10);
    CHECK_EQ(wefti_timers_run(&m, ts, 99), 0);
    CHECK_EQ(wefti_timers_run(&m, ts, 100), 1);
    CHECK_EQ(wefti_timers_first(ts), 110);
    CHECK_EQ(wefti_timers_run(&m, ts, 145), 1); /* 110 … 140 are one */
    CHECK_EQ(wefti_timers_first(ts), 150);
    CHECK_EQ(wefti_timers_run(&m, ts, 150), 1);
    CHECK_EQ(wefti_timers_first(ts), 160);
    CHECK(wefti_timer_rearm(&m, &timers[0], 500, 0)); /* once, from now on */
    CHECK_EQ(wefti_timers_run(&m, ts, 600), 1);
    CHECK_EQ(wefti_timers_run(&m, ts, 900), 0);
    CHECK_EQ(fires, 4);
    wefti_timer_arm(&m, &timers[1], INT64_MAX - 5, INT64_MAX - 1); /* the sum overflows */
    CHECK_EQ(wefti_timers_run(&m, ts, INT64_MAX - 1), 1);
    CHECK_EQ(wefti_timers_first(ts), INT64_MAX);
    CHECK(wefti_timer_disarm(&m, &timers[1]));
}

/* ---- late: after the lock, with the timer disarmed ---- */

static int lates;

static bool wants_late(struct m *mp, struct wefti_timer *t, int64_t now) {
    (void)mp;
    CHECK(t->heap == p.timers); /* not detached yet */
    return now % 2 == 0;
}

static void arms_again(struct m *mp, struct wefti_timer *t) {
    CHECK(!t->heap);
    lates++;
    wefti_timer_arm(mp, t, t->when + 10, 0);
}

TEST_PLAIN(late_may_arm_again) {
    struct wefti_timers *ts = begin();
    wefti_timer_init(&timers[0], wants_late, arms_again, NULL);
    wefti_timer_arm(&m, &timers[0], 10, 0);
    wefti_timer_arm(&m, &timers[1], 40, 0);
    CHECK_EQ(wefti_timers_run(&m, ts, 10), 1);
    CHECK_EQ(lates, 1);
    CHECK_EQ(wefti_timers_first(ts), 20);
    CHECK_EQ(wefti_timers_run(&m, ts, 36), 2); /* 20 and, armed by its late, 30 */
    CHECK_EQ(lates, 3);
    CHECK_EQ(wefti_timers_run(&m, ts, 41), 2); /* an odd moment: no late */
    CHECK_EQ(lates, 3);
    CHECK_EQ(wefti_timers_first(ts), 0);
}

/* ---- ending a wait ---- */

TEST_PLAIN(wakes_its_own_wait_only) {
    struct wefti_timers *ts = begin();
    static struct g gs[2];
    for (int i = 0; i < 2; i++) {
        gs[i].wait = (uint64_t)(7 + i) << WEFTI_TICKET_SHIFT | WEFTI_PARKED;
        wefti_timer_init(&timers[i], wefti_timer_wakes, NULL, &gs[i]);
        timers[i].seq = 7;
        wefti_timer_arm(&m, &timers[i], 10, 0);
    }
    CHECK_EQ(wefti_timers_run(&m, ts, 10), 2);
    CHECK_EQ(gs[0].wait, 0);
    CHECK_EQ(gs[0].wake, WEFTI_WAKE_TIMEOUT);
    CHECK_EQ(gs[0].status, WEFTI_G_RUNNABLE);
    CHECK_EQ(wefti_runq_get_ring(&p.runq, true), &gs[0]);
    CHECK_EQ(gs[1].wait, (uint64_t)8 << WEFTI_TICKET_SHIFT | WEFTI_PARKED); /* a later wait */
    CHECK(wefti_runq_empty(&p.runq));
    CHECK(!timers[0].heap && !timers[1].heap);
}

/* ---- Ps that go ---- */

TEST_PLAIN(moved_to_another_p) {
    struct wefti_timers *from = begin(), *to = wefti_timers_new();
    for (int i = 0; i < MANY; i++) {
        p.timers = i % 3 ? from : to;
        wefti_timer_arm(&m, &timers[i], 1000 - i, i % 5);
    }
    wefti_timers_move(&m, from, to);
    CHECK_EQ(from->n, 0);
    CHECK_EQ(wefti_timers_first(from), 0);
    CHECK_EQ(to->n, MANY);
    CHECK_EQ(wefti_timers_first(to), 1000 - MANY + 1);
    check_heap(to);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(timers[i].heap, to);
        CHECK_EQ(timers[i].period, i % 5);
        CHECK(wefti_timer_disarm(&m, &timers[i]));
    }
    CHECK_EQ(wefti_timers_first(to), 0);
}

TEST_PLAIN(cleared_at_the_end_of_a_run) {
    struct wefti_timers *ts = begin();
    CHECK(!wefti_timers_matter(ts));
    for (int i = 0; i < 100; i++)
        wefti_timer_arm(&m, &timers[i], 10 + i, 0);
    CHECK(wefti_timers_matter(ts));
    wefti_timers_clear(&m, ts);
    CHECK_EQ(ts->n, 0);
    CHECK_EQ(wefti_timers_first(ts), 0);
    for (int i = 0; i < 100; i++)
        CHECK(!wefti_timer_disarm(&m, &timers[i]));
    CHECK_EQ(wefti_timers_run(&m, ts, 1000), 0);
    CHECK_EQ(fires, 0);
}

/* ---- several Ps ---- */

enum { PS = 3, OWN = 20 };

static struct p ps[PS];
static struct m ms[PS];

struct owned {
    struct wefti_timer t;
    uint32_t fired; /* atomic */
};

static bool count_fire(struct m *mp, struct wefti_timer *t, int64_t now) {
    (void)mp, (void)now;
    add_relaxed(&((struct owned *)t->arg)->fired, 1);
    return false;
}

/* Arms, stops and resets its own timers, and runs everybody's heaps. What was armed either fires
 * once or was stopped, and who was told that it was not stopped finds it fired. */
static void *owner(void *arg) {
    struct m *mp = arg;
    struct wefti_rand rand = {(uint64_t)(mp - ms)};
    static struct owned all[PS][OWN];
    struct owned *mine = all[mp - ms];
    for (int i = 0; i < OWN; i++)
        wefti_timer_init(&mine[i].t, count_fire, NULL, &mine[i]);
    uint32_t armed[OWN] = {0};
    for (int round = 0; round < 30000 / test_slowness(); round++) {
        int i = (int)wefti_rand_below(&rand, OWN);
        int64_t when = 1 + wefti_rand_below(&rand, 1000);
        if (wefti_rand64(&rand) & 1) {
            if (!wefti_timer_rearm(mp, &mine[i].t, when, 0))
                armed[i]++;
        } else if (wefti_timer_disarm(mp, &mine[i].t)) {
            armed[i]--;
        } else {
            CHECK_EQ(load_relaxed(&mine[i].fired), armed[i]);
        }
        struct p *victim = &ps[wefti_rand_below(&rand, PS)];
        if (wefti_rand64(&rand) % 4 == 0)
            wefti_timers_run(mp, victim->timers, wefti_rand_below(&rand, 1000));
    }
    for (int i = 0; i < OWN; i++) {
        if (wefti_timer_disarm(mp, &mine[i].t))
            armed[i]--;
        CHECK_EQ(load_relaxed(&mine[i].fired), armed[i]);
    }
    return NULL;
}

TEST_PLAIN(several_ps) {
    pthread_t threads[PS];
    for (int i = 0; i < PS; i++) {
        CHECK((ps[i].timers = wefti_timers_new()) != NULL);
        ms[i].p = &ps[i];
    }
    for (int i = 0; i < PS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, owner, &ms[i]), 0);
    for (int i = 0; i < PS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < PS; i++)
        CHECK_EQ(ps[i].timers->n, 0);
}

/* Several goroutines may reset and stop one timer: of two stops of one arming, one wins. */
static struct owned shared;
static uint64_t armings, stops; /* atomic */

static void *sharer(void *arg) {
    struct m *mp = arg;
    struct wefti_rand rand = {(uint64_t)(mp - ms) + 50};
    for (int round = 0; round < 30000 / test_slowness(); round++) {
        int64_t when = 1 + wefti_rand_below(&rand, 1000);
        switch (wefti_rand_below(&rand, 4)) {
        case 0:
        case 1:
            if (!wefti_timer_rearm(mp, &shared.t, when, 0))
                add_relaxed(&armings, 1);
            break;
        case 2:
            if (wefti_timer_disarm(mp, &shared.t))
                add_relaxed(&stops, 1);
            break;
        default:
            wefti_timers_run(mp, ps[wefti_rand_below(&rand, PS)].timers, when);
        }
    }
    return NULL;
}

TEST_PLAIN(one_timer_of_many) {
    pthread_t threads[PS];
    wefti_timer_init(&shared.t, count_fire, NULL, &shared);
    for (int i = 0; i < PS; i++) {
        CHECK((ps[i].timers = wefti_timers_new()) != NULL);
        ms[i].p = &ps[i];
    }
    for (int i = 0; i < PS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, sharer, &ms[i]), 0);
    for (int i = 0; i < PS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    stops += wefti_timer_disarm(&ms[0], &shared.t);
    CHECK_EQ(armings, stops + shared.fired);
    CHECK(shared.fired > 0 && stops > 0);
}
