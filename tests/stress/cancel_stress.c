/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts that end at random moments over goroutines in send, receive, select, semaphore, sleep.
 *
 * The rule under test: each wait has one winner.  A send that failed has delivered nothing and one
 * that succeeded has delivered once; an acquire that failed took no permit; a failed call's errno
 * is the error of the context that ended; every goroutine gets to its end.  Groups and functions
 * that run after a context's end are counted as well.
 */
#include "stress.h"

enum { CANCEL_CHANS = 4, CANCEL_WORKERS = 32, CANCEL_NUMBERS = 256, CANCEL_CONTEXTS = 12 };

struct cancel_round {
    weft_chan(uint64_t) chans[CANCEL_CHANS];
    weft_sem sem;
    int permits, contexts, workers;
    _Atomic int held;
    weft_ctx *ctx[CANCEL_CONTEXTS]; /* 0 is the root; each other one below an earlier one */
    weft_ctx_hook *hook[CANCEL_CONTEXTS];
    _Atomic int hooks_run;
    _Atomic uint8_t sent[CANCEL_WORKERS][CANCEL_NUMBERS], arrived[CANCEL_WORKERS][CANCEL_NUMBERS];
    weft_wg wg;
};

struct cancel_worker {
    struct cancel_round *round;
    struct stress_rand rand;
    weft_ctx *under;
    int me, numbers;
};

static _Atomic uint64_t cancel_ended;

/* A call has failed: it must be because the context ended, in the way that errno says. */
static void cancel_check_end(void) {
    int error = errno;
    weft_ctx *ctx = weft_ctx_current();
    weft_time deadline;
    if (error != ECANCELED && error != ETIMEDOUT)
        STRESS_FAIL("a cancelled call failed with errno %d", error);
    if (weft_ctx_err(ctx) != error)
        STRESS_FAIL("errno is %d, the context's error %d", error, weft_ctx_err(ctx));
    if (error == ETIMEDOUT)
        STRESS_CHECK(weft_ctx_deadline(ctx, &deadline) && weft_now() >= deadline);
    atomic_fetch_add_explicit(&cancel_ended, 1, memory_order_relaxed);
}

static void cancel_arrive(struct cancel_round *r, uint64_t tag) {
    int worker = (int)(tag >> 32), number = (int)(uint32_t)tag;
    if (worker >= r->workers || number >= CANCEL_NUMBERS)
        STRESS_FAIL("a value that nobody sent: %#" PRIx64, tag);
    atomic_fetch_add(&r->arrived[worker][number], 1);
}

/* ---- operations: false when the context ended ---- */

static bool cancel_send(struct cancel_worker *w) {
    struct cancel_round *r = w->round;
    if (w->numbers == CANCEL_NUMBERS)
        return weft_sleep(50 * WEFT_MICROSECOND);
    uint64_t tag = (uint64_t)w->me << 32 | (uint64_t)w->numbers;
    if (!weft_send(r->chans[stress_below(&w->rand, CANCEL_CHANS)], tag))
        return false;
    atomic_store(&r->sent[w->me][w->numbers++], 1);
    return true;
}

static bool cancel_recv(struct cancel_worker *w) {
    uint64_t tag = 99;
    if (!weft_recv(w->round->chans[stress_below(&w->rand, CANCEL_CHANS)], &tag)) {
        int error = errno;
        STRESS_CHECK(tag == 0);
        weft_set_errno(error);
        return false;
    }
    cancel_arrive(w->round, tag);
    return true;
}

static bool cancel_select(struct cancel_worker *w) {
    struct cancel_round *r = w->round;
    int from = stress_below(&w->rand, CANCEL_CHANS);
    uint64_t tag = (uint64_t)w->me << 32 | (uint64_t)w->numbers, got = 0;
    weft_chan(uint64_t) to = NULL; /* never ready */
    if (w->numbers < CANCEL_NUMBERS)
        to = r->chans[(from + 1) % CANCEL_CHANS];
    switch (weft_select(weft_case_send(to, tag), weft_case_recv(r->chans[from], &got),
                        weft_case_after(stress_below(&w->rand, 1000) * WEFT_MICROSECOND),
                        weft_case_recv(weft_ctx_done(weft_ctx_current()), NULL))) {
    case 0:
        atomic_store(&r->sent[w->me][w->numbers++], 1);
        return true;
    case 1:
        cancel_arrive(r, got);
        return true;
    case 2:
        return true;
    case 3: /* the done channel is closed, so an error must be there */
        weft_set_errno(weft_ctx_err(weft_ctx_current()));
        return false;
    default:
        return false;
    }
}

static bool cancel_sem(struct cancel_worker *w) {
    struct cancel_round *r = w->round;
    int n = 1 + stress_below(&w->rand, r->permits);
    if (stress_one_in(&w->rand, 4)) {
        if (!weft_sem_try_acquire(&r->sem, (uint64_t)n))
            return true;
    } else if (!weft_sem_acquire(&r->sem, (uint64_t)n)) {
        return false;
    }
    int held = atomic_fetch_add(&r->held, n) + n;
    if (held > r->permits)
        STRESS_FAIL("%d permits held of %d", held, r->permits);
    if (stress_one_in(&w->rand, 2))
        weft_yield();
    atomic_fetch_sub(&r->held, n);
    weft_sem_release(&r->sem, (uint64_t)n);
    return true;
}

static bool cancel_sleep(struct cancel_worker *w) {
    weft_duration d = stress_below(&w->rand, 400) * WEFT_MICROSECOND;
    weft_time until = weft_now() + d;
    if (!weft_sleep(d))
        return false;
    STRESS_CHECK(weft_now() >= until);
    return true;
}

static void cancel_work(struct cancel_worker *w) {
    static bool (*const operations[])(struct cancel_worker *) = {
        cancel_send, cancel_recv, cancel_select, cancel_sem, cancel_sleep,
    };
    while (operations[stress_below(&w->rand, 5)](w))
        ;
    cancel_check_end();
}

/* ---- three ways to get under a context ---- */

static void cancel_by_attr(struct cancel_worker *w) {
    STRESS_CHECK(weft_ctx_current() == w->under);
    cancel_work(w);
}

static void cancel_by_scope(struct cancel_worker *w) {
    weft_ctx *before = weft_ctx_current();
    {
        weft_scope_ctx(w->under);
        STRESS_CHECK(weft_ctx_current() == w->under);
        cancel_work(w);
    }
    STRESS_CHECK(weft_ctx_current() == before);
}

static void cancel_by_timeout(struct cancel_worker *w) {
    weft_scope_ctx(w->under);
    for (int i = 0; i < 4 && weft_ctx_err(w->under) == 0; i++) {
        weft_scope_timeout(stress_below(&w->rand, 800) * WEFT_MICROSECOND);
        cancel_work(w);
    }
}

static void cancel_run(struct cancel_worker *w, int way) {
    if (way == 0)
        cancel_by_attr(w);
    else if (way == 1)
        cancel_by_scope(w);
    else
        cancel_by_timeout(w);
    weft_wg_done(&w->round->wg);
}

/* ---- a round ---- */

static void cancel_count_hook(void *arg) {
    struct cancel_round *r = arg;
    atomic_fetch_add(&r->hooks_run, 1);
}

static weft_ctx *cancel_child(weft_ctx *parent, struct stress_rand *rand) {
    static const char key;
    switch (stress_below(rand, 3)) {
    case 0:
        return weft_ctx_with_timeout(parent, stress_below(rand, 4000) * WEFT_MICROSECOND);
    case 1:
        return weft_ctx_with_value(parent, &key, parent);
    default:
        return weft_ctx_with_cancel(parent);
    }
}

static void cancel_open(struct cancel_round *r, struct stress_rand *rand) {
    memset(r, 0, sizeof *r);
    for (int i = 0; i < CANCEL_CHANS; i++)
        r->chans[i] = weft_chan_make(uint64_t, (size_t)(i % 2 ? stress_below(rand, 8) : 0));
    r->permits = 1 + stress_below(rand, 6);
    weft_sem_init(&r->sem, (uint64_t)r->permits);
    r->contexts = 1 + stress_below(rand, CANCEL_CONTEXTS);
    for (int i = 0; i < r->contexts; i++) {
        r->ctx[i] = i == 0 ? weft_ctx_with_cancel(weft_ctx_background())
                           : cancel_child(r->ctx[stress_below(rand, i)], rand);
        STRESS_CHECK(r->ctx[i] != NULL);
        r->hook[i] = weft_ctx_after_func(r->ctx[i], cancel_count_hook, r);
    }
    r->workers = 1 + stress_below(rand, CANCEL_WORKERS);
}

static void cancel_start(struct cancel_worker *w, struct cancel_round *r, struct stress_rand *rand,
                         int me) {
    int way = stress_below(rand, 3);
    *w = (struct cancel_worker){r, stress_split(rand), r->ctx[stress_below(rand, r->contexts)], me,
                                0};
    struct weft_attr attr = {.ctx = way == 0 ? w->under : NULL};
    weft_wg_add(&r->wg, 1);
    if (weft_go_with(&attr, cancel_run, w, way) != 0)
        STRESS_FAIL("weft_go_with: errno %d", errno);
}

/* Whether the hook was taken back or has run, it is one of the two and once. */
static void cancel_account_hooks(struct cancel_round *r, struct stress_rand *rand, int early) {
    int stopped = early;
    for (int i = 0; i < r->contexts; i++)
        if (r->hook[i] != NULL && stress_one_in(rand, 2))
            stopped += weft_ctx_hook_stop(r->hook[i]);
    while (atomic_load(&r->hooks_run) < r->contexts - stopped)
        weft_yield();
    weft_yield();
    STRESS_CHECK(atomic_load(&r->hooks_run) == r->contexts - stopped);
}

static void cancel_account(struct cancel_round *r) {
    for (int i = 0; i < CANCEL_CHANS; i++)
        for (uint64_t tag; weft_try_recv(r->chans[i], &tag);)
            cancel_arrive(r, tag);
    for (int w = 0; w < r->workers; w++)
        for (int i = 0; i < CANCEL_NUMBERS; i++)
            if (atomic_load(&r->sent[w][i]) != atomic_load(&r->arrived[w][i]))
                STRESS_FAIL("worker %d, number %d: sent %d times, arrived %d times", w, i,
                            atomic_load(&r->sent[w][i]), atomic_load(&r->arrived[w][i]));
    STRESS_CHECK(atomic_load(&r->held) == 0);
    STRESS_CHECK(weft_sem_try_acquire(&r->sem, (uint64_t)r->permits));
    STRESS_CHECK(!weft_sem_try_acquire(&r->sem, 1));
}

static void cancel_round(struct cancel_round *r, struct cancel_worker *workers,
                         struct stress_rand *rand) {
    int early = 0;
    cancel_open(r, rand);
    for (int i = 0; i < r->workers; i++)
        cancel_start(&workers[i], r, rand, i);
    for (int i = 0; i < r->contexts; i++) {
        weft_sleep(stress_below(rand, 600) * WEFT_MICROSECOND);
        int which = stress_below(rand, r->contexts);
        weft_ctx_cancel(r->ctx[which], stress_below(rand, 100));
        if (r->hook[which] != NULL && stress_one_in(rand, 4)) {
            early += weft_ctx_hook_stop(r->hook[which]);
            r->hook[which] = NULL;
        }
    }
    weft_ctx_cancel(r->ctx[0], 0);
    weft_wg_wait(&r->wg);
    for (int i = 0; i < r->contexts; i++)
        STRESS_CHECK(weft_ctx_err(r->ctx[i]) != 0);
    cancel_account_hooks(r, rand, early);
    cancel_account(r);
    for (int i = 0; i < r->contexts; i++)
        weft_ctx_unref(r->ctx[i]);
    for (int i = 0; i < CANCEL_CHANS; i++)
        weft_chan_unref(r->chans[i]);
}

/* ---- groups ---- */

enum { CANCEL_ERROR = 4242 };

static int cancel_in_group(weft_chan(int) never, _Atomic int *alive, int lifetime, int result) {
    atomic_fetch_add(alive, 1);
    if (lifetime >= 0 && weft_sleep(lifetime * WEFT_MICROSECOND)) {
        atomic_fetch_sub(alive, 1);
        return result;
    }
    if (weft_recv(never, NULL))
        STRESS_FAIL("a value came from nowhere");
    cancel_check_end();
    atomic_fetch_sub(alive, 1);
    return 0;
}

/* One fails; the others, who wait for ever, must be cancelled by that and counted. */
static void cancel_group(struct stress_rand *rand) {
    weft_group g = WEFT_GROUP_INIT;
    _Atomic int alive = 0;
    weft_chan(int) never = weft_chan_make(int, 0);
    int n = 1 + stress_below(rand, 16), failing = stress_below(rand, n);
    int limit = failing + 1 + stress_below(rand, 4); /* at least the failing one gets in */
    weft_group_set_limit(&g, stress_one_in(rand, 2) ? 0 : limit);
    for (int i = 0; i < n; i++) {
        int lifetime = i == failing ? stress_below(rand, 500) : -1;
        STRESS_CHECK(weft_group_go(&g, cancel_in_group, never, &alive, lifetime,
                                   i == failing ? CANCEL_ERROR : 0) == 0);
    }
    STRESS_CHECK(weft_group_wait(&g) == CANCEL_ERROR);
    STRESS_CHECK(atomic_load(&alive) == 0);
    STRESS_CHECK(weft_chan_len(never) == 0);
    weft_chan_unref(never);
}

static int cancel_rounds(struct stress_rand rand) {
    struct cancel_round *round = malloc(sizeof *round);
    struct cancel_worker *workers = calloc(CANCEL_WORKERS, sizeof *workers);
    int rounds = 0;
    do {
        cancel_round(round, workers, &rand);
        cancel_group(&rand);
        rounds++;
    } while (stress_more());
    free(workers);
    free(round);
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = cancel_rounds(stress_begin("cancel_stress"));
    return stress_passed("%d rounds, %" PRIu64 " waits cancelled", rounds,
                         atomic_load(&cancel_ended));
}
WEFT_MAIN(app)
#endif
