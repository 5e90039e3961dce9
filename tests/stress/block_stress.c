/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads under strain: goroutines in bracketed blocking calls, goroutines locked to their threads,
 * threads that weft did not start, and a number of Ps that changes all the time.
 *
 * Invariants: a bracket keeps errno and value; what one writes into a pipe within brackets another
 * reads, each byte once; a locked goroutine sees one thread throughout, and nobody else sees it;
 * every value that crosses between threads and goroutines arrives once; a P count that was set is
 * the one that the next call returns.
 */
#include "stress.h" /* first: it asks for the GNU extensions */

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>

enum {
    BLOCK_STEPS = 60,
    BLOCK_SLEEPERS = 8,
    BLOCK_LOCKED = 4,
    BLOCK_FOREIGN = 3,
    BLOCK_VALUES = 200
};

struct block_round {
    int ends[2];
    _Atomic uint64_t piped_in, piped_out;
    weft_chan(uint64_t) to_threads, from_threads;
    _Atomic uint64_t sent, returned;
    weft_mutex m;
    uint64_t counter; /* guarded by m */
    _Atomic uint64_t counted;
    weft_sem sem;
    _Atomic long owned[BLOCK_LOCKED]; /* threads of locked goroutines, 0 when none */
    _Atomic int locked_alive;
    weft_wg wg;
};

struct block_worker {
    struct block_round *round;
    struct stress_rand rand;
    int me;
};

static _Atomic uint64_t block_calls;

static long block_thread(void) {
    return syscall(SYS_gettid);
}

static void block_nap(int microseconds) {
    struct timespec span = {0, microseconds * 1000L};
    nanosleep(&span, NULL);
}

/* Not on a thread that a locked goroutine holds. */
static void block_check_stranger(struct block_round *r) {
    long here = block_thread();
    for (int i = 0; i < BLOCK_LOCKED; i++)
        if (atomic_load(&r->owned[i]) == here)
            STRESS_FAIL("a goroutine runs on the thread of locked goroutine %d", i);
}

/* ---- brackets ---- */

static void block_sleeper(struct block_worker *w) {
    for (int i = stress_scale(BLOCK_STEPS); i > 0; i--) {
        int span = stress_below(&w->rand, 400);
        if (stress_one_in(&w->rand, 4))
            weft_block(block_nap(0));
        else if (stress_one_in(&w->rand, 3))
            weft_block(usleep((unsigned)span));
        else
            weft_block(block_nap(span));
        errno = 0;
        STRESS_CHECK(weft_block(close(-1)) == -1 && errno == EBADF);
        STRESS_CHECK(weft_block(17) == 17);
        block_check_stranger(w->round);
        atomic_fetch_add_explicit(&block_calls, 1, memory_order_relaxed);
        stress_rest(&w->rand);
    }
}

/* A weft call inside a bracket takes a P again for its own duration. */
static void block_nested(struct block_worker *w) {
    weft_chan(int) c = weft_chan_make(int, 1);
    for (int i = stress_scale(BLOCK_STEPS); i > 0; i--) {
        int v = 0;
        weft_block_enter();
        block_nap(stress_below(&w->rand, 100));
        STRESS_CHECK(weft_try_send(c, i));
        weft_block_exit();
        STRESS_CHECK(weft_recv(c, &v) && v == i);
        stress_rest(&w->rand);
    }
    weft_chan_unref(c);
}

static void block_writer(struct block_worker *w) {
    struct block_round *r = w->round;
    for (int i = stress_scale(BLOCK_STEPS); i > 0; i--) {
        unsigned char byte = (unsigned char)stress_next(&w->rand);
        STRESS_CHECK(weft_block(write(r->ends[1], &byte, 1)) == 1);
        atomic_fetch_add(&r->piped_in, byte);
        stress_rest(&w->rand);
    }
}

static void block_reader(struct block_worker *w) {
    struct block_round *r = w->round;
    for (int i = stress_scale(BLOCK_STEPS); i > 0; i--) {
        unsigned char byte;
        STRESS_CHECK(weft_block(read(r->ends[0], &byte, 1)) == 1);
        atomic_fetch_add(&r->piped_out, byte);
    }
}

/* ---- locked goroutines ---- */

static void block_locked(struct block_worker *w) {
    struct block_round *r = w->round;
    int depth = 1 + stress_below(&w->rand, 3);
    for (int i = 0; i < depth; i++)
        weft_lock_os_thread();
    long mine = block_thread();
    block_check_stranger(r);
    atomic_store(&r->owned[w->me], mine);
    for (int i = stress_scale(BLOCK_STEPS); i > 0; i--) {
        switch (stress_below(&w->rand, 4)) {
        case 0:
            weft_yield();
            break;
        case 1:
            weft_sleep(stress_below(&w->rand, 200) * WEFT_MICROSECOND);
            break;
        case 2:
            weft_block(block_nap(stress_below(&w->rand, 100)));
            break;
        default:
            weft_mutex_lock(&r->m);
            r->counter++;
            weft_yield();
            weft_mutex_unlock(&r->m);
            atomic_fetch_add(&r->counted, 1);
            break;
        }
        if (block_thread() != mine)
            STRESS_FAIL("a locked goroutine has left its thread");
    }
    atomic_store(&r->owned[w->me], 0);
    if (stress_one_in(&w->rand, 4))
        return; /* ends locked and takes its thread with it */
    for (int i = 0; i < depth; i++)
        weft_unlock_os_thread();
}

/* ---- the number of Ps ---- */

static void block_change_procs(struct block_worker *w) {
    int first = weft_gomaxprocs(0), last = first;
    for (int i = stress_scale(BLOCK_STEPS) / 4; i > 0; i--) {
        int n = 1 + stress_below(&w->rand, 8);
        STRESS_CHECK(weft_gomaxprocs(n) == last);
        STRESS_CHECK(weft_gomaxprocs(0) == n);
        last = n;
        block_check_stranger(w->round);
        weft_sleep(stress_below(&w->rand, 500) * WEFT_MICROSECOND);
    }
    STRESS_CHECK(weft_gomaxprocs(first) == last);
}

/* ---- foreign threads ---- */

static void block_count(struct block_round *r) {
    weft_mutex_lock(&r->m);
    r->counter++;
    weft_mutex_unlock(&r->m);
    atomic_fetch_add(&r->counted, 1);
}

/* Takes values, sends their doubles back, and uses whatever else a thread may. */
static void *block_foreign(void *arg) {
    struct block_worker *w = arg;
    struct block_round *r = w->round;
    uint64_t v = 0;
    STRESS_CHECK(weft_id() == 0 && weft_name()[0] == '\0');
    while (weft_recv(r->to_threads, &v)) {
        switch (stress_below(&w->rand, 5)) {
        case 0:
            block_count(r);
            break;
        case 1:
            STRESS_CHECK(weft_wg_go(&r->wg, block_count, r) == 0);
            break;
        case 2:
            STRESS_CHECK(weft_sleep(stress_below(&w->rand, 200) * WEFT_MICROSECOND));
            break;
        case 3:
            STRESS_CHECK(weft_sem_acquire(&r->sem, 1));
            weft_yield();
            weft_sem_release(&r->sem, 1);
            break;
        default:
            break;
        }
        if (stress_one_in(&w->rand, 2))
            STRESS_CHECK(weft_send(r->from_threads, 2 * v));
        else
            STRESS_CHECK(weft_select(weft_case_send(r->from_threads, 2 * v),
                                     weft_case_recv((weft_chan(int))NULL, NULL)) == 0);
    }
    STRESS_CHECK(errno == EPIPE);
    return NULL;
}

static void block_feed(struct block_worker *w) {
    struct block_round *r = w->round;
    for (int i = stress_scale(BLOCK_VALUES); i > 0; i--) {
        uint64_t v = stress_next(&w->rand) >> 20;
        STRESS_CHECK(weft_send(r->to_threads, v));
        atomic_fetch_add(&r->sent, 2 * v);
        stress_rest(&w->rand);
    }
}

static void block_collect(struct block_worker *w) {
    struct block_round *r = w->round;
    for (int i = stress_scale(BLOCK_VALUES); i > 0; i--) {
        uint64_t v = 0;
        STRESS_CHECK(weft_recv(r->from_threads, &v));
        atomic_fetch_add(&r->returned, v);
        block_check_stranger(r);
    }
}

/* ---- a round ---- */

static void block_open(struct block_round *r, struct stress_rand *rand) {
    memset(r, 0, sizeof *r);
    STRESS_CHECK(pipe2(r->ends, O_CLOEXEC) == 0);
    r->to_threads = weft_chan_make(uint64_t, (size_t)stress_below(rand, 4));
    r->from_threads = weft_chan_make(uint64_t, (size_t)stress_below(rand, 4));
    weft_sem_init(&r->sem, 2);
}

static void block_account(struct block_round *r) {
    STRESS_CHECK(atomic_load(&r->piped_in) == atomic_load(&r->piped_out));
    STRESS_CHECK(atomic_load(&r->sent) == atomic_load(&r->returned));
    STRESS_CHECK(r->counter == atomic_load(&r->counted));
    STRESS_CHECK(weft_sem_try_acquire(&r->sem, 2));
    weft_chan_unref(r->to_threads);
    weft_chan_unref(r->from_threads);
    close(r->ends[0]);
    close(r->ends[1]);
}

static struct block_worker *block_worker(struct block_worker *w, struct block_round *r,
                                         struct stress_rand *rand, int me) {
    *w = (struct block_worker){r, stress_split(rand), me};
    return w;
}

static void block_round(struct block_round *r, struct block_worker *w, struct stress_rand *rand) {
    static void (*const once[])(struct block_worker *) = {
        block_nested, block_writer,       block_reader, block_writer,
        block_reader, block_change_procs, block_feed,   block_collect,
    };
    pthread_t threads[BLOCK_FOREIGN];
    block_open(r, rand);
    for (int i = 0; i < BLOCK_FOREIGN; i++)
        STRESS_CHECK(
            pthread_create(&threads[i], NULL, block_foreign, block_worker(w++, r, rand, i)) == 0);
    for (int i = 0; i < BLOCK_SLEEPERS; i++)
        weft_wg_go(&r->wg, block_sleeper, block_worker(w++, r, rand, i));
    for (int i = 0; i < BLOCK_LOCKED; i++)
        weft_wg_go(&r->wg, block_locked, block_worker(w++, r, rand, i));
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        weft_wg_go(&r->wg, once[i], block_worker(w++, r, rand, 0));
    weft_wg_wait(&r->wg);
    weft_chan_close(r->to_threads);
    for (int i = 0; i < BLOCK_FOREIGN; i++)
        STRESS_CHECK(weft_block(pthread_join(threads[i], NULL)) == 0);
    weft_wg_wait(&r->wg); /* what the threads started last */
    block_account(r);
}

static int block_rounds(struct stress_rand rand) {
    struct block_round *round = malloc(sizeof *round);
    struct block_worker *workers =
        calloc(BLOCK_FOREIGN + BLOCK_SLEEPERS + BLOCK_LOCKED + 8, sizeof *workers);
    int rounds = 0;
    do {
        block_round(round, workers, &rand);
        rounds++;
    } while (stress_more());
    free(workers);
    free(round);
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = block_rounds(stress_begin("block_stress"));
    return stress_passed("%d rounds, %" PRIu64 " brackets", rounds, atomic_load(&block_calls));
}
WEFT_MAIN(app)
#endif
