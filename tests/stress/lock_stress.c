/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutex, RW lock, condition, semaphore, once and wait group under many goroutines.
 *
 * What a lock guards here is plain memory with an invariant of its own, so that a second one inside
 * shows as a broken invariant, as a lost update, or to the race detector.
 */
#include "stress.h"

enum { LOCK_WORKERS = 24, LOCK_STEPS = 300, LOCK_QUEUE = 8, LOCK_ONCES = 16 };

struct lock_round {
    weft_mutex m;
    uint64_t counter; /* guarded by m */
    _Atomic uint64_t counted;

    weft_rwmutex rw;
    uint64_t left, right; /* guarded by rw: right is ~left */
    _Atomic int readers, writers;

    weft_mutex queue_m;
    weft_cond not_empty, not_full;
    uint64_t queue[LOCK_QUEUE]; /* guarded by queue_m, as the four below */
    int used, first, producers;
    uint64_t put, got;

    weft_sem sem;
    int permits;
    _Atomic int held;

    weft_once once[LOCK_ONCES];
    int once_runs[LOCK_ONCES]; /* written inside the once alone */

    weft_wg wg;
    int workers;
};

struct lock_worker {
    struct lock_round *round;
    struct stress_rand rand;
};

static _Atomic uint64_t lock_taken;

/* ---- steps ---- */

static void lock_step_mutex(struct lock_worker *w) {
    struct lock_round *r = w->round;
    int way = stress_below(&w->rand, 4);
    if (way == 0) {
        if (!weft_mutex_trylock(&r->m))
            return;
    } else if (way == 1) {
        weft_time until = weft_now() + stress_below(&w->rand, 100) * WEFT_MICROSECOND;
        if (!weft_mutex_timedlock(&r->m, until)) {
            STRESS_CHECK(weft_now() >= until);
            return;
        }
    } else {
        weft_mutex_lock(&r->m);
    }
    uint64_t before = r->counter;
    stress_rest(&w->rand);
    STRESS_CHECK(r->counter == before);
    r->counter = before + 1;
    weft_mutex_unlock(&r->m);
    atomic_fetch_add(&r->counted, 1);
}

static void lock_step_read(struct lock_worker *w) {
    struct lock_round *r = w->round;
    if (stress_one_in(&w->rand, 4)) {
        if (!weft_rwmutex_tryrlock(&r->rw))
            return;
    } else {
        weft_rwmutex_rlock(&r->rw);
    }
    atomic_fetch_add(&r->readers, 1);
    uint64_t left = r->left;
    STRESS_CHECK(atomic_load(&r->writers) == 0);
    stress_rest(&w->rand);
    STRESS_CHECK(r->left == left && r->right == ~left);
    atomic_fetch_sub(&r->readers, 1);
    weft_rwmutex_runlock(&r->rw);
}

static void lock_step_write(struct lock_worker *w) {
    struct lock_round *r = w->round;
    if (stress_one_in(&w->rand, 4)) {
        if (!weft_rwmutex_trylock(&r->rw))
            return;
    } else {
        weft_rwmutex_lock(&r->rw);
    }
    STRESS_CHECK(atomic_fetch_add(&r->writers, 1) == 0);
    STRESS_CHECK(atomic_load(&r->readers) == 0);
    r->left++;
    stress_rest(&w->rand);
    r->right = ~r->left;
    STRESS_CHECK(atomic_fetch_sub(&r->writers, 1) == 1);
    weft_rwmutex_unlock(&r->rw);
}

static void lock_step_sem(struct lock_worker *w) {
    struct lock_round *r = w->round;
    int n = 1 + stress_below(&w->rand, r->permits);
    if (stress_one_in(&w->rand, 4)) {
        if (!weft_sem_try_acquire(&r->sem, (uint64_t)n))
            return;
    } else {
        STRESS_CHECK(weft_sem_acquire(&r->sem, (uint64_t)n));
    }
    int held = atomic_fetch_add(&r->held, n) + n;
    if (held > r->permits)
        STRESS_FAIL("%d permits held of %d", held, r->permits);
    stress_rest(&w->rand);
    atomic_fetch_sub(&r->held, n);
    weft_sem_release(&r->sem, (uint64_t)n);
}

static void lock_once_body(void *arg) {
    int *runs = arg;
    weft_yield();
    ++*runs;
    weft_yield();
}

static void lock_step_once(struct lock_worker *w) {
    struct lock_round *r = w->round;
    int i = stress_below(&w->rand, LOCK_ONCES);
    weft_once_do(&r->once[i], lock_once_body, &r->once_runs[i]);
    STRESS_CHECK(r->once_runs[i] == 1);
}

static void lock_add(int *cell) {
    ++*cell;
}

static void lock_add_and_exit(int *cell) {
    ++*cell;
    weft_goexit();
}

static void lock_step_wg(struct lock_worker *w) {
    weft_wg wg = WEFT_WG_INIT;
    int cells[4] = {0}, n = 1 + stress_below(&w->rand, 4);
    for (int i = 0; i < n; i++) {
        if (stress_one_in(&w->rand, 2))
            weft_wg_go(&wg, lock_add, &cells[i]);
        else
            weft_wg_go(&wg, lock_add_and_exit, &cells[i]);
    }
    weft_wg_wait(&wg);
    for (int i = 0; i < n; i++)
        STRESS_CHECK(cells[i] == 1);
}

static void lock_work(struct lock_worker *w) {
    static void (*const steps[])(struct lock_worker *) = {
        lock_step_mutex, lock_step_read, lock_step_read, lock_step_write,
        lock_step_sem,   lock_step_once, lock_step_wg,
    };
    for (int i = stress_scale(LOCK_STEPS); i > 0; i--) {
        steps[stress_below(&w->rand, 7)](w);
        atomic_fetch_add_explicit(&lock_taken, 1, memory_order_relaxed);
    }
}

/* ---- a bounded queue on two conditions ---- */

static void lock_wait(struct lock_worker *w, weft_cond *cond) {
    struct lock_round *r = w->round;
    if (stress_one_in(&w->rand, 3)) {
        weft_time until = weft_now() + stress_below(&w->rand, 200) * WEFT_MICROSECOND;
        if (!weft_cond_timedwait(cond, &r->queue_m, until))
            STRESS_CHECK(weft_now() >= until);
    } else {
        weft_cond_wait(cond, &r->queue_m);
    }
}

static void lock_produce(struct lock_worker *w) {
    struct lock_round *r = w->round;
    for (int i = stress_scale(LOCK_STEPS); i > 0; i--) {
        uint64_t value = stress_next(&w->rand) >> 16;
        weft_mutex_lock(&r->queue_m);
        while (r->used == LOCK_QUEUE)
            lock_wait(w, &r->not_full);
        r->queue[(r->first + r->used++) % LOCK_QUEUE] = value;
        r->put += value;
        bool inside = stress_one_in(&w->rand, 2); /* signal with the mutex or without */
        if (inside)
            weft_cond_signal(&r->not_empty);
        weft_mutex_unlock(&r->queue_m);
        if (!inside)
            weft_cond_signal(&r->not_empty);
    }
    weft_mutex_lock(&r->queue_m);
    if (--r->producers == 0)
        weft_cond_broadcast(&r->not_empty);
    weft_mutex_unlock(&r->queue_m);
}

static bool lock_take(struct lock_worker *w) {
    struct lock_round *r = w->round;
    weft_mutex_lock(&r->queue_m);
    while (r->used == 0 && r->producers > 0)
        lock_wait(w, &r->not_empty);
    bool any = r->used > 0;
    if (any) {
        r->got += r->queue[r->first];
        r->first = (r->first + 1) % LOCK_QUEUE;
        r->used--;
    }
    weft_mutex_unlock(&r->queue_m);
    if (any)
        weft_cond_signal(&r->not_full);
    return any;
}

static void lock_consume(struct lock_worker *w) {
    while (lock_take(w))
        stress_rest(&w->rand);
}

/* ---- a round ---- */

static void lock_round(struct lock_round *r, struct lock_worker *workers,
                       struct stress_rand *rand) {
    int used = 0;
    memset(r, 0, sizeof *r);
    r->right = ~r->left;
    r->permits = 1 + stress_below(rand, 6);
    weft_sem_init(&r->sem, (uint64_t)r->permits);
    r->producers = 1 + stress_below(rand, 4);
    for (int i = r->producers; i > 0; i--) {
        workers[used] = (struct lock_worker){r, stress_split(rand)};
        weft_wg_go(&r->wg, lock_produce, &workers[used++]);
    }
    for (int i = 1 + stress_below(rand, 4); i > 0; i--) {
        workers[used] = (struct lock_worker){r, stress_split(rand)};
        weft_wg_go(&r->wg, lock_consume, &workers[used++]);
    }
    for (int i = 1 + stress_below(rand, LOCK_WORKERS); i > 0; i--) {
        workers[used] = (struct lock_worker){r, stress_split(rand)};
        weft_wg_go(&r->wg, lock_work, &workers[used++]);
    }
    weft_wg_wait(&r->wg);
    STRESS_CHECK(r->counter == atomic_load(&r->counted));
    STRESS_CHECK(r->right == ~r->left);
    STRESS_CHECK(r->used == 0);
    STRESS_CHECK(r->put == r->got);
    STRESS_CHECK(weft_mutex_trylock(&r->m));
    STRESS_CHECK(weft_rwmutex_trylock(&r->rw));
    STRESS_CHECK(weft_sem_try_acquire(&r->sem, (uint64_t)r->permits));
    STRESS_CHECK(!weft_sem_try_acquire(&r->sem, 1));
}

static int lock_rounds(struct stress_rand rand) {
    struct lock_round *round = malloc(sizeof *round);
    struct lock_worker *workers = calloc(LOCK_WORKERS + 8, sizeof *workers);
    int rounds = 0;
    do {
        lock_round(round, workers, &rand);
        rounds++;
    } while (stress_more());
    free(workers);
    free(round);
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = lock_rounds(stress_begin("lock_stress"));
    return stress_passed("%d rounds, %" PRIu64 " steps", rounds, atomic_load(&lock_taken));
}
WEFT_MAIN(app)
#endif
