/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers, tickers, function timers, sleeps: never early, none lost, and what stop and reset answer
 * agrees with what ran.
 *
 * The account of a function timer: each arming (new, reset) leads to one run, or was taken back by
 * a stop or reset that returned true.  So armings - trues is the number of runs, in the end
 * exactly.
 *
 * The account of a channel timer with one receiver: it is armed until its value was received or a
 * stop took it back; stop and reset return true in that state and false in the other, and after
 * either nothing old arrives.
 */
#include "stress.h"

enum { TIMER_OWNERS = 24, TIMER_STEPS = 120 };

static _Atomic uint64_t timer_armed;

/* ---- function timers ---- */

struct timer_function {
    _Atomic int64_t floor; /* no run may come before this moment */
    _Atomic int runs;
    int armings, trues; /* the owner's */
};

struct timer_owner {
    struct stress_rand rand;
    struct timer_function f;
};

static void timer_run(void *arg) {
    struct timer_function *f = arg;
    weft_time now = weft_now(), floor = atomic_load(&f->floor);
    if (now < floor)
        STRESS_FAIL("a function timer ran %" PRId64 " ns early", floor - now);
    atomic_fetch_add(&f->runs, 1);
}

static weft_duration timer_span(struct stress_rand *r) {
    if (stress_one_in(r, 8))
        return stress_one_in(r, 2) ? 0 : -1;
    if (stress_one_in(r, 8))
        return WEFT_HOUR; /* only a stop or reset gets it out of the heap */
    return stress_below(r, 1500) * WEFT_MICROSECOND;
}

/*
 * Called before an arming.  While an earlier arming may still run, the floor may only sink; with
 * none outstanding it is the new moment.
 */
static void timer_set_floor(struct timer_function *f, weft_time due) {
    bool quiet = atomic_load(&f->runs) == f->armings - f->trues;
    if (quiet || due < atomic_load(&f->floor))
        atomic_store(&f->floor, due);
    f->armings++;
    atomic_fetch_add_explicit(&timer_armed, 1, memory_order_relaxed);
}

static void timer_reset_function(struct timer_owner *o, weft_timer *t, weft_duration d) {
    timer_set_floor(&o->f, weft_now() + d);
    o->f.trues += weft_timer_reset(t, d);
}

static void timer_own_function(struct timer_owner *o) {
    struct timer_function *f = &o->f;
    weft_duration d = timer_span(&o->rand);
    timer_set_floor(f, weft_now() + d);
    weft_timer *t = weft_after_func(d, timer_run, f);
    STRESS_CHECK(t != NULL && weft_timer_chan(t) == NULL);
    for (int i = stress_scale(TIMER_STEPS); i > 0; i--) {
        switch (stress_below(&o->rand, 4)) {
        case 0:
            f->trues += weft_timer_stop(t);
            STRESS_CHECK(!weft_timer_stop(t)); /* stopped already */
            break;
        case 1:
            timer_reset_function(o, t, timer_span(&o->rand));
            break;
        default:
            weft_sleep(stress_below(&o->rand, 300) * WEFT_MICROSECOND);
            break;
        }
    }
    f->trues += weft_timer_stop(t);
    /* None lost: all that were not taken back run; none twice: and no more than those. */
    while (atomic_load(&f->runs) < f->armings - f->trues)
        weft_sleep(50 * WEFT_MICROSECOND);
    weft_sleep(200 * WEFT_MICROSECOND);
    if (atomic_load(&f->runs) != f->armings - f->trues)
        STRESS_FAIL("armed %d times, taken back %d times, ran %d times", f->armings, f->trues,
                    atomic_load(&f->runs));
    weft_timer_unref(t);
}

/* ---- channel timers ---- */

struct timer_state {
    weft_timer *t;
    weft_time due;
    bool armed; /* and its value not received */
};

static void timer_got(struct timer_state *s, weft_time value) {
    weft_time now = weft_now();
    STRESS_CHECK(s->armed);
    if (now < s->due)
        STRESS_FAIL("a timer fired %" PRId64 " ns early", s->due - now);
    STRESS_CHECK(value > 0 && value <= now);
    s->armed = false;
}

static void timer_receive(struct timer_state *s, struct stress_rand *r) {
    weft_time value = 0;
    weft_duration patience = stress_below(r, 500) * WEFT_MICROSECOND;
    if (stress_one_in(r, 2)) {
        if (weft_try_recv(weft_timer_chan(s->t), &value))
            timer_got(s, value);
    } else if (weft_select(weft_case_recv(weft_timer_chan(s->t), &value),
                           weft_case_after(patience)) == 0) {
        timer_got(s, value);
    }
}

static void timer_check_nothing_old(struct timer_state *s) {
    STRESS_CHECK(!weft_try_recv(weft_timer_chan(s->t), NULL));
}

static void timer_own_channel(struct timer_owner *o) {
    weft_duration d = timer_span(&o->rand);
    struct timer_state s = {.due = weft_now() + d, .armed = true};
    s.t = weft_timer_new(d);
    STRESS_CHECK(s.t != NULL);
    for (int i = stress_scale(TIMER_STEPS); i > 0; i--) {
        switch (stress_below(&o->rand, 4)) {
        case 0:
            STRESS_CHECK(weft_timer_stop(s.t) == s.armed);
            s.armed = false;
            timer_check_nothing_old(&s);
            break;
        case 1:
            d = timer_span(&o->rand);
            s.due = weft_now() + d;
            STRESS_CHECK(weft_timer_reset(s.t, d) == s.armed);
            s.armed = true;
            break;
        default:
            timer_receive(&s, &o->rand);
            break;
        }
        atomic_fetch_add_explicit(&timer_armed, 1, memory_order_relaxed);
    }
    if (s.armed && s.due < weft_now() + WEFT_SECOND) { /* none lost */
        weft_time value = 0;
        STRESS_CHECK(weft_recv(weft_timer_chan(s.t), &value));
        timer_got(&s, value);
    }
    STRESS_CHECK(weft_timer_stop(s.t) == s.armed);
    weft_timer_unref(s.t);
}

/* ---- tickers, sleeps, after ---- */

static void timer_own_ticker(struct timer_owner *o) {
    weft_duration period = (1 + stress_below(&o->rand, 400)) * WEFT_MICROSECOND;
    weft_time from = weft_now();
    weft_ticker *t = weft_ticker_new(period);
    STRESS_CHECK(t != NULL);
    int ticks = 0;
    for (int i = stress_scale(TIMER_STEPS); i > 0; i--) {
        if (stress_one_in(&o->rand, 10)) {
            weft_ticker_stop(t);
            STRESS_CHECK(!weft_try_recv(weft_ticker_chan(t), NULL));
            period = (1 + stress_below(&o->rand, 400)) * WEFT_MICROSECOND;
            from = weft_now();
            ticks = 0;
            weft_ticker_reset(t, period);
        } else if (stress_one_in(&o->rand, 4)) {
            weft_sleep(stress_below(&o->rand, 900) * WEFT_MICROSECOND);
        } else {
            STRESS_CHECK(weft_recv(weft_ticker_chan(t), NULL));
            /* Tick n comes n periods after the start at the earliest, dropped ones or not. */
            if (weft_now() < from + ++ticks * period)
                STRESS_FAIL("tick %d of a %" PRId64 " ns ticker is early", ticks, period);
        }
        STRESS_CHECK(weft_chan_len(weft_ticker_chan(t)) <= 1);
    }
    weft_ticker_stop(t);
    STRESS_CHECK(!weft_try_recv(weft_ticker_chan(t), NULL));
    weft_ticker_unref(t);
}

static void timer_own_sleeps(struct timer_owner *o) {
    for (int i = stress_scale(TIMER_STEPS); i > 0; i--) {
        weft_duration d = stress_below(&o->rand, 300) * WEFT_MICROSECOND;
        weft_time until = weft_now() + d;
        if (stress_one_in(&o->rand, 3)) {
            weft_chan(weft_time) c = weft_after(d);
            STRESS_CHECK(c != NULL);
            if (!stress_one_in(&o->rand, 3)) /* else it is dropped before its moment */
                STRESS_CHECK(weft_recv(c, NULL) && weft_now() >= until);
            weft_chan_unref(c);
        } else if (stress_one_in(&o->rand, 2)) {
            STRESS_CHECK(weft_select(weft_case_after(d)) == 0 && weft_now() >= until);
        } else {
            STRESS_CHECK(weft_sleep(d) && weft_now() >= until);
        }
    }
}

static int timer_rounds(struct stress_rand rand) {
    static void (*const kinds[])(struct timer_owner *) = {
        timer_own_function,
        timer_own_channel,
        timer_own_ticker,
        timer_own_sleeps,
    };
    struct timer_owner *owners = calloc(TIMER_OWNERS, sizeof *owners);
    int rounds = 0;
    do {
        weft_wg wg = WEFT_WG_INIT;
        for (int i = 0; i < TIMER_OWNERS; i++) {
            memset(&owners[i], 0, sizeof owners[i]);
            owners[i].rand = stress_split(&rand);
            weft_wg_go(&wg, kinds[stress_below(&rand, 4)], &owners[i]);
        }
        weft_wg_wait(&wg);
        rounds++;
    } while (stress_more());
    free(owners);
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = timer_rounds(stress_begin("timer_stress"));
    return stress_passed("%d rounds, %" PRIu64 " armings", rounds, atomic_load(&timer_armed));
}
WEFT_MAIN(app)
#endif
