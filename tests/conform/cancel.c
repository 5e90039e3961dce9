/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cancel.c: the ambient context ("Cancellation" of api.md): which waits end, with what error, and
 * that a cancel that races with a hand-over loses nothing. No group of ids: contexts themselves are
 * group X (contexts.c), groups W26 to W32 (groups.c).
 *
 * The races count exactly. Each round lets a waiter under a context, its partner and a canceller
 * meet; afterwards what was given must be what was taken, whoever won.
 */
#include "conform.h"

#include <stdatomic.h>

static _Atomic int failed;
static _Atomic int stage;
static _Atomic int error;

static weft_ctx *ended_context(void) {
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx_cancel(ctx, EIO);
    return ctx;
}

/* ---- what a done context does to calls ---- */

TEST(cancel_ends_what_would_wait) {
    weft_ctx *ctx = ended_context();
    weft_chan(int) flat = weft_chan_make(int, 0);
    weft_chan(int) none = NULL;
    weft_sem sem = WEFT_SEM_INIT(1);
    int v = 9;
    weft_scope_ctx(ctx);
    errno = 0;
    CHECK(!weft_send(flat, 1));
    CHECK_EQ(errno, ECANCELED); /* not the cause, which weft_ctx_cause tells */
    CHECK_EQ(weft_ctx_cause(weft_ctx_current()), EIO);
    errno = 0;
    CHECK(!weft_recv(flat, &v));
    CHECK_EQ(errno, ECANCELED);
    CHECK_EQ(v, 0);
    errno = 0;
    CHECK(!weft_send(none, 1));
    CHECK_EQ(errno, ECANCELED);
    errno = 0;
    v = 9;
    CHECK(!weft_recv(none, &v));
    CHECK_EQ(errno, ECANCELED);
    CHECK_EQ(v, 0);
    errno = 0;
    CHECK_EQ(weft_select(weft_case_recv(flat, &v), weft_case_send(flat, 1)), -1);
    CHECK_EQ(errno, ECANCELED);
    errno = 0;
    CHECK_EQ(weft_select(weft_case_recv(flat, &v), weft_case_after(WEFT_HOUR)), -1);
    CHECK_EQ(errno, ECANCELED);
    errno = 0;
    CHECK_EQ(weft_select(), -1);
    CHECK_EQ(errno, ECANCELED);
    errno = 0;
    CHECK(!weft_sleep(WEFT_HOUR));
    CHECK_EQ(errno, ECANCELED);
    errno = 0;
    CHECK(!weft_sem_acquire(&sem, 2));
    CHECK_EQ(errno, ECANCELED);
    CHECK(weft_sem_try_acquire(&sem, 1)); /* the failed one left the permit */
    weft_ctx_unref(ctx);
    weft_chan_unref(flat);
}

TEST(cancel_lets_what_can_finish_finish) {
    weft_ctx *ctx = ended_context();
    weft_chan(int) c = weft_chan_make(int, 2);
    weft_chan(int) closed = weft_chan_make(int, 0);
    weft_sem sem = WEFT_SEM_INIT(3);
    weft_mutex m = WEFT_MUTEX_INIT;
    int v = 0;
    weft_chan_close(closed);
    weft_scope_ctx(ctx);
    for (int i = 0; i < 100; i++) {
        CHECK(weft_send(c, i));
        CHECK_EQ(weft_select(weft_case_recv((weft_chan(int))NULL, &v), weft_case_send(c, -i)), 1);
        CHECK(weft_recv(c, &v));
        CHECK_EQ(v, i);
        CHECK_EQ(weft_select(weft_case_recv(c, &v), weft_case_send((weft_chan(int))NULL, 1)), 0);
        CHECK_EQ(v, -i);
        CHECK_EQ(weft_select(weft_case_recv(c, &v), weft_case_default()), 1);
        errno = 0;
        CHECK(!weft_recv(closed, &v));
        CHECK_EQ(errno, EPIPE);
        CHECK(weft_sleep(0));
        CHECK(weft_sleep(-WEFT_SECOND));
        CHECK(weft_sem_acquire(&sem, 3));
        weft_sem_release(&sem, 3);
        weft_mutex_lock(&m);
        weft_mutex_unlock(&m);
    }
    weft_ctx_unref(ctx);
    weft_chan_unref(c);
    weft_chan_unref(closed);
}

TEST(cancel_own_done_channel_is_a_ready_case) {
    weft_ctx *ctx = ended_context();
    weft_chan(int) never = weft_chan_make(int, 0);
    weft_scope_ctx(ctx);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(weft_select(weft_case_recv(never, NULL), weft_case_recv(weft_ctx_done(ctx), NULL)),
                 1);
    weft_ctx_unref(ctx);
    weft_chan_unref(never);
}

/* ---- parked goroutines ---- */

enum wait { RECV, SEND, SELECT, SLEEP, SEM, RECV_NULL, SELECT_NONE, WAITS };

static weft_chan(int) quiet;
static weft_sem empty_sem;

static bool wait_by(enum wait how) {
    switch (how) {
    case RECV:
        return weft_recv(quiet, NULL);
    case SEND:
        return weft_send(quiet, 1);
    case SELECT:
        return weft_select(weft_case_recv(quiet, NULL), weft_case_after(WEFT_HOUR)) >= 0;
    case SLEEP:
        return weft_sleep(WEFT_HOUR);
    case SEM:
        return weft_sem_acquire(&empty_sem, 1);
    case RECV_NULL:
        return weft_recv((weft_chan(int))NULL, NULL);
    default:
        return weft_select() >= 0;
    }
}

static void parks(int how) {
    stage = 1;
    bool ok = wait_by((enum wait)how);
    error = ok ? -1 : errno;
    stage = 2;
}

TEST1(cancel_wakes_every_kind_of_wait) {
    for (int how = 0; how < WAITS; how++) {
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
        quiet = weft_chan_make(int, 0);
        stage = 0;
        CHECK_EQ(weft_go_with(&(struct weft_attr){.ctx = ctx}, parks, how), 0);
        settle();
        CHECK_EQ(stage, 1);
        weft_ctx_cancel(ctx, EIO);
        EVENTUALLY(stage == 2);
        CHECK_EQ(error, ECANCELED);
        /* Its waiter is gone: nobody takes and nobody gives. */
        CHECK(!weft_try_send(quiet, 1));
        CHECK(!weft_try_recv(quiet, NULL));
        weft_chan_unref(quiet);
        weft_ctx_unref(ctx);
    }
}

TEST(cancel_by_a_deadline_is_ETIMEDOUT) {
    for (int how = 0; how < WAITS; how++) {
        weft_time deadline = weft_now() + 5 * WEFT_MILLISECOND;
        weft_ctx *ctx = weft_ctx_with_deadline(weft_ctx_background(), deadline);
        quiet = weft_chan_make(int, 0);
        stage = 0;
        CHECK_EQ(weft_go_with(&(struct weft_attr){.ctx = ctx}, parks, how), 0);
        EVENTUALLY(stage == 2);
        CHECK(weft_now() >= deadline);
        CHECK_EQ(error, ETIMEDOUT);
        CHECK_EQ(weft_ctx_err(ctx), ETIMEDOUT);
        weft_chan_unref(quiet);
        weft_ctx_unref(ctx);
    }
}

TEST(cancel_before_the_deadline_is_ECANCELED) {
    weft_ctx *ctx = weft_ctx_with_timeout(weft_ctx_background(), WEFT_HOUR);
    quiet = weft_chan_make(int, 0);
    weft_go_with(&(struct weft_attr){.ctx = ctx}, parks, (int)RECV);
    EVENTUALLY(stage == 1);
    weft_ctx_cancel(ctx, ETIMEDOUT); /* a cause is no error */
    EVENTUALLY(stage == 2);
    CHECK_EQ(error, ECANCELED);
    weft_ctx_unref(ctx);
    weft_chan_unref(quiet);
}

TEST1(cancel_reaches_through_inheritance) {
    weft_ctx *top = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx *below = weft_ctx_with_timeout(top, WEFT_HOUR);
    quiet = weft_chan_make(int, 0);
    {
        weft_scope_ctx(below);
        weft_go(parks, (int)RECV); /* inherits the context of the scope, not of the goroutine */
    }
    weft_ctx_unref(below); /* the goroutine holds it */
    settle();
    CHECK_EQ(stage, 1);
    weft_ctx_cancel(top, 0);
    EVENTUALLY(stage == 2);
    CHECK_EQ(error, ECANCELED);
    weft_ctx_unref(top);
    weft_chan_unref(quiet);
}

/* ---- what is not cancellable ---- */

static weft_mutex held;
static weft_rwmutex rw_held;
static weft_cond cond;
static weft_wg never_done;
static weft_group members;

static void locks(int how) {
    stage = 1;
    if (how == 0) {
        weft_mutex_lock(&held);
        weft_mutex_unlock(&held);
    } else if (how == 1) {
        weft_rwmutex_rlock(&rw_held);
        weft_rwmutex_runlock(&rw_held);
    } else if (how == 2) {
        weft_rwmutex_lock(&rw_held);
        weft_rwmutex_unlock(&rw_held);
    } else if (how == 3) {
        weft_mutex_lock(&held);
        weft_cond_wait(&cond, &held);
        weft_mutex_unlock(&held);
    } else if (how == 4) {
        weft_wg_wait(&never_done);
    } else if (weft_group_wait(&members) != 0) {
        failed = 1;
    }
    stage = 2;
}

static int member(weft_chan(int) gate, weft_ctx *own) {
    weft_scope_ctx(own);
    return weft_recv(gate, NULL) ? 0 : errno;
}

TEST1(cancel_leaves_locks_and_waits_alone) {
    for (int how = 0; how < 6; how++) {
        weft_chan(int) gate = weft_chan_make(int, 0);
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
        stage = 0;
        if (how == 0)
            weft_mutex_lock(&held);
        if (how == 1 || how == 2)
            weft_rwmutex_lock(&rw_held);
        weft_wg_add(&never_done, 1);
        weft_group_go(&members, member, gate, weft_ctx_background());
        weft_go_with(&(struct weft_attr){.ctx = ctx}, locks, how);
        settle();
        CHECK_EQ(stage, 1);
        weft_ctx_cancel(ctx, 0);
        settle();
        CHECK_EQ(stage, 1); /* cancelled, and still waiting */
        if (how == 0)
            weft_mutex_unlock(&held);
        if (how == 1 || how == 2)
            weft_rwmutex_unlock(&rw_held);
        weft_cond_broadcast(&cond);
        weft_wg_done(&never_done);
        CHECK(weft_send(gate, 1));
        EVENTUALLY(stage == 2);
        if (how != 5)
            CHECK_EQ(weft_group_wait(&members), 0);
        weft_ctx_unref(ctx);
        EVENTUALLY(weft_num_goroutine() == 1);
        weft_chan_unref(gate);
    }
    CHECK_EQ(failed, 0);
}

/* ---- scopes ---- */

static int leaves_early(weft_ctx *ctx, int how) {
    for (int i = 0; i < 3; i++) {
        weft_scope_ctx(ctx);
        if (how == 0)
            continue;
        if (how == 1)
            break;
        if (how == 2)
            goto out;
        return weft_ctx_current() == ctx ? 1 : 2;
    }
out:
    return 0;
}

TEST(cancel_scopes_put_the_context_back) {
    weft_ctx *bg = weft_ctx_current();
    weft_ctx *a = weft_ctx_with_cancel(bg), *b = weft_ctx_with_cancel(bg);
    for (int how = 0; how < 4; how++) {
        CHECK_EQ(leaves_early(a, how), how == 3 ? 1 : 0);
        CHECK(weft_ctx_current() == bg);
    }
    {
        weft_scope_ctx(a);
        CHECK(weft_ctx_current() == a);
        {
            weft_scope_ctx(b);
            CHECK(weft_ctx_current() == b);
            weft_scope_ctx(a); /* two in one block */
            CHECK(weft_ctx_current() == a);
            {
                weft_scope_timeout(WEFT_HOUR);
                CHECK(weft_ctx_current() != a);
                CHECK(weft_ctx_deadline(weft_ctx_current(), &(weft_time){0}));
                weft_ctx_cancel(a, 0); /* the scope's context is a's child */
                CHECK_EQ(weft_ctx_err(weft_ctx_current()), ECANCELED);
            }
            CHECK(weft_ctx_current() == a);
        }
        CHECK(weft_ctx_current() == a);
    }
    CHECK(weft_ctx_current() == bg);
    weft_ctx_unref(a);
    weft_ctx_unref(b);
}

TEST(cancel_scope_timeout) {
    weft_chan(int) never = weft_chan_make(int, 0);
    for (int i = 0; i < 3; i++) {
        weft_time start = weft_now();
        weft_scope_timeout(10 * WEFT_MILLISECOND);
        errno = 0;
        CHECK(!weft_recv(never, NULL));
        CHECK_EQ(errno, ETIMEDOUT);
        CHECK(weft_now() - start >= 10 * WEFT_MILLISECOND);
        CHECK(!weft_sleep(WEFT_HOUR));
        CHECK_EQ(errno, ETIMEDOUT);
    }
    CHECK(weft_sleep(WEFT_MILLISECOND)); /* out of the scope all is as before */
    weft_chan_unref(never);
}

TEST(cancel_scope_keeps_its_context) {
    weft_ctx *bg = weft_ctx_current();
    {
        weft_ctx *ctx = ended_context();
        weft_scope_ctx(ctx);
        weft_ctx_unref(ctx);
        CHECK(!weft_sleep(WEFT_HOUR));
        CHECK_EQ(weft_ctx_cause(weft_ctx_current()), EIO);
    }
    CHECK(weft_ctx_current() == bg);
}

/* ---- races: nothing is lost ---- */

struct race {
    weft_chan(int) c;
    weft_chan(int) spare; /* a second channel for selects */
    weft_chan(char) over; /* closed when the waiter's call has returned */
    weft_sem sem;
    int spin;
    _Atomic bool ok; /* what the waiter's call returned */
    int got;
    int code;
};

static void racing_send(struct race *r, int by_select) {
    int v = r->spin + 1;
    bool ok = by_select ? weft_select(weft_case_recv(r->spare, NULL), weft_case_send(r->c, v)) == 1
                        : weft_send(r->c, v);
    r->code = ok ? 0 : errno;
    r->ok = ok;
    weft_chan_close(r->over);
}

static void racing_recv(struct race *r, int by_select) {
    bool ok = by_select
                  ? weft_select(weft_case_recv(r->spare, NULL), weft_case_recv(r->c, &r->got)) == 1
                  : weft_recv(r->c, &r->got);
    r->code = ok ? 0 : errno;
    r->ok = ok;
    weft_chan_close(r->over);
}

static void racing_acquire(struct race *r) {
    bool ok = weft_sem_acquire(&r->sem, 1);
    r->code = ok ? 0 : errno;
    r->ok = ok;
    weft_chan_close(r->over);
}

/*
 * The partner and the canceller meet at a line, so that the two really run at the same moment when
 * there are CPUs for both. Every wait here is bounded: who comes too late just loses the race.
 */
enum { AT_LINE = 20000 };
static _Atomic bool armed, away;

static void spin(int n) {
    for (volatile int i = 0; i < n; i++)
        continue;
}

static void cancel_from_line(weft_ctx *ctx, int delay) {
    armed = true;
    for (int i = 0; i < AT_LINE && !away; i++)
        continue;
    spin(delay);
    weft_ctx_cancel(ctx, 0);
}

/* Starts the canceller and returns when both may go; each round shifts the two a little. */
static void line_up(weft_wg *wg, weft_ctx *ctx, int round) {
    armed = away = false;
    if (round % 2)
        weft_yield(); /* the waiter is most likely parked by now, else most likely not */
    weft_wg_go(wg, cancel_from_line, ctx, round * 7 % 61);
    for (int i = 0; i < AT_LINE && !armed; i++)
        continue;
    if (round % 16 == 0)
        weft_yield();
    away = true;
    spin(round * 5 % 59);
}

/* Counts of who won, so that a test can tell whether there was a race at all. */
static int finished, cancelled;

static void judge(struct race *r, bool taken) {
    CHECK_EQ(r->ok, taken);
    if (taken) {
        finished++;
    } else {
        CHECK_EQ(r->code, ECANCELED);
        cancelled++;
    }
}

static void race_rounds(int rounds, size_t cap, int by_select, bool sends) {
    for (int i = 0; i < rounds; i++) {
        struct race r = {.c = weft_chan_make(int, cap),
                         .spare = weft_chan_make(int, 0),
                         .over = weft_chan_make(char, 0),
                         .spin = i % 200};
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
        weft_wg wg = WEFT_WG_INIT;
        int v = 0;
        for (size_t k = 0; sends && k < cap; k++)
            CHECK(weft_send(r.c, -1)); /* a full buffer: the sender has to wait */
        {
            weft_scope_ctx(ctx);
            if (sends)
                weft_wg_go(&wg, racing_send, &r, by_select);
            else
                weft_wg_go(&wg, racing_recv, &r, by_select);
        }
        line_up(&wg, ctx, i);
        bool met;
        if (sends) {
            if (cap > 0)
                CHECK(weft_recv(r.c, NULL)); /* the filler: makes room while the cancel runs */
            met = weft_select(weft_case_recv(r.c, &v), weft_case_recv(r.over, NULL)) == 0;
            weft_wg_wait(&wg);
            met = met || weft_try_recv(r.c, &v); /* left in the buffer */
            CHECK_EQ(v, met ? r.spin + 1 : 0);
        } else {
            met = weft_select(weft_case_send(r.c, i + 1), weft_case_recv(r.over, NULL)) == 0;
            weft_wg_wait(&wg);
            if (met && weft_try_recv(r.c, NULL))
                met = false; /* it went into the buffer and was not taken */
            CHECK_EQ(r.got, met ? i + 1 : 0);
        }
        judge(&r, met);
        CHECK_EQ(weft_chan_len(r.c), 0);
        weft_ctx_unref(ctx);
        weft_chan_unref(r.c);
        weft_chan_unref(r.spare);
        weft_chan_unref(r.over);
    }
    CHECK_EQ(finished + cancelled, rounds);
}

#define RACE(name, cap, by_select, sends)                                                          \
    TEST_ENV(name##_2, "GOMAXPROCS=2") {                                                           \
        race_rounds(ROUNDS(10000), cap, by_select, sends);                                         \
    }                                                                                              \
    TEST_ENV(name##_8, "GOMAXPROCS=8") {                                                           \
        race_rounds(ROUNDS(10000), cap, by_select, sends);                                         \
    }

RACE(cancel_against_send, 0, 0, true)
RACE(cancel_against_buffered_send, 1, 0, true)
RACE(cancel_against_select_send, 0, 1, true)
RACE(cancel_against_recv, 0, 0, false)
RACE(cancel_against_buffered_recv, 1, 0, false)
RACE(cancel_against_select_recv, 0, 1, false)

static void race_permits(int rounds) {
    for (int i = 0; i < rounds; i++) {
        struct race r = {.over = weft_chan_make(char, 0)};
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
        weft_wg wg = WEFT_WG_INIT;
        {
            weft_scope_ctx(ctx);
            weft_wg_go(&wg, racing_acquire, &r);
        }
        line_up(&wg, ctx, i);
        weft_sem_release(&r.sem, 1);
        weft_wg_wait(&wg);
        judge(&r, !weft_sem_try_acquire(&r.sem, 1)); /* there is one permit: he has it or I */
        CHECK(!weft_sem_try_acquire(&r.sem, 1));
        weft_ctx_unref(ctx);
        weft_chan_unref(r.over);
    }
    CHECK_EQ(finished + cancelled, rounds);
}

TEST_ENV(cancel_against_sem_2, "GOMAXPROCS=2") {
    race_permits(ROUNDS(10000));
}

TEST_ENV(cancel_against_sem_8, "GOMAXPROCS=8") {
    race_permits(ROUNDS(10000));
}

static void acquires(weft_sem *sem, uint64_t n) {
    stage++;
    if (weft_sem_acquire(sem, n))
        stage += 10;
}

TEST1(cancel_of_the_head_lets_the_next_through) {
    /* The head wants 5, 3 are free, the next wants 1: when the head goes, the next must wake. */
    weft_sem sem = WEFT_SEM_INIT(3);
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_go_with(&(struct weft_attr){.ctx = ctx}, acquires, &sem, (uint64_t)5);
    settle();
    weft_go(acquires, &sem, (uint64_t)1);
    settle();
    CHECK_EQ(stage, 2); /* both wait: first in, first out */
    weft_ctx_cancel(ctx, 0);
    EVENTUALLY(stage == 12);
    CHECK(weft_sem_try_acquire(&sem, 2));
    CHECK(!weft_sem_try_acquire(&sem, 1));
    weft_ctx_unref(ctx);
}

static void select_done_or_never(weft_chan(int) never, weft_ctx *ctx) {
    if (weft_select(weft_case_recv(never, NULL), weft_case_recv(weft_ctx_done(ctx), NULL)) != 1)
        failed = 1;
}

static void race_done_channel(int rounds) {
    weft_chan(int) never = weft_chan_make(int, 0);
    for (int i = 0; i < rounds; i++) {
        weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_background());
        weft_ctx *ctx = weft_ctx_with_cancel(parent);
        weft_wg wg = WEFT_WG_INIT;
        {
            weft_scope_ctx(ctx);
            weft_wg_go(&wg, select_done_or_never, never, i & 1 ? ctx : parent);
        }
        for (int k = 0; k < i % 3; k++)
            weft_yield();
        weft_ctx_cancel(parent, 0);
        weft_wg_wait(&wg);
        CHECK_EQ(failed, 0); /* its case, never the ambient cancel */
        weft_ctx_unref(ctx);
        weft_ctx_unref(parent);
    }
    weft_chan_unref(never);
}

TEST_ENV(cancel_closes_done_before_it_wakes_2, "GOMAXPROCS=2") {
    race_done_channel(ROUNDS(10000));
}

TEST_ENV(cancel_closes_done_before_it_wakes_8, "GOMAXPROCS=8") {
    race_done_channel(ROUNDS(10000));
}
