/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goroutines that go to sleep in the kernel without a bracket, for nothing, for microseconds and for
 * longer than a time slice, with calls of all kinds into weft in between, while the number of Ps
 * changes.
 *
 * Invariants: no call fails, with EINTR least of all; errno stays; the thread stays over anything
 * but a call that may park; one at a time in a section, be its lock weft's or pthreads', with and
 * without a sleep in it; what is sent, written or counted arrives, each once.
 */
#include "stress.h" /* first: it asks for the GNU extensions */

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

enum { RETAKE_STEPS = 100, RETAKE_WORKERS = 24 };

struct retake_round {
    pthread_mutex_t theirs;
    long by_theirs, in_theirs; /* guarded by theirs */
    weft_mutex ours;
    long by_ours, in_ours; /* guarded by ours */
    _Atomic long theirs_wanted, ours_wanted;
    int ends[2];
    _Atomic uint64_t piped_in, piped_out;
    weft_chan(uint64_t) shared;
    _Atomic uint64_t sent, received;
    weft_sem sem;
    _Atomic int in_sem;
    _Atomic long started, born;
    _Atomic bool over;
    weft_wg wg, collectors;
};

struct retake_worker {
    struct retake_round *round;
    struct stress_rand rand;
    weft_chan(int) own;
};

static _Atomic uint64_t retake_calls;

static long retake_thread(void) {
    return syscall(SYS_gettid);
}

/* ---- asleep in the kernel ---- */

static void retake_nap(struct stress_rand *r) {
    STRESS_CHECK(usleep((unsigned)stress_below(r, 300)) == 0);
}

static void retake_compute(int loops) {
    for (int i = loops; i > 0; i--)
        __asm__ volatile("");
}

/* Who reads has written, so a byte is there for each reader; perhaps another's, and a while later. */
static void retake_pipe(struct retake_round *r, struct stress_rand *rand) {
    unsigned char byte = (unsigned char)stress_next(rand);
    atomic_fetch_add(&r->piped_in, byte);
    if (stress_one_in(rand, 2))
        retake_nap(rand);
    STRESS_CHECK(write(r->ends[1], &byte, 1) == 1);
    STRESS_CHECK(read(r->ends[0], &byte, 1) == 1);
    atomic_fetch_add(&r->piped_out, byte);
}

static void retake_section(struct retake_round *r, struct stress_rand *rand) {
    STRESS_CHECK(pthread_mutex_lock(&r->theirs) == 0);
    STRESS_CHECK(r->in_theirs++ == 0);
    if (stress_one_in(rand, 2))
        retake_nap(rand);
    r->by_theirs++;
    STRESS_CHECK(--r->in_theirs == 0);
    STRESS_CHECK(pthread_mutex_unlock(&r->theirs) == 0);
    atomic_fetch_add(&r->theirs_wanted, 1);
}

static void retake_blocks(struct retake_worker *w) {
    struct stress_rand *rand = &w->rand;
    long thread = retake_thread();
    struct pollfd none = {.fd = -1};
    errno = 77;
    switch (stress_below(rand, 12)) {
    case 0:
    case 1:
    case 2:
        retake_nap(rand);
        break;
    case 3:
    case 4:
        retake_pipe(w->round, rand);
        break;
    case 5:
    case 6:
        retake_section(w->round, rand);
        break;
    case 7:
        STRESS_CHECK(poll(&none, 1, stress_below(rand, 3)) == 0);
        break;
    case 8: /* back, and on without a P */
        retake_nap(rand);
        retake_compute(stress_below(rand, stress_one_in(rand, 10) ? 20000000 : 300000));
        break;
    case 9:
        if (stress_one_in(rand, 4))
            STRESS_CHECK(usleep(12000) == 0);
        break;
    default:
        break;
    }
    STRESS_CHECK(errno == 77);
    STRESS_CHECK(retake_thread() == thread);
    atomic_fetch_add_explicit(&retake_calls, 1, memory_order_relaxed);
}

/* ---- calls that don't park: the thread is the one that slept ---- */

static void retake_is_born(struct retake_round *r) {
    atomic_fetch_add(&r->born, 1);
}

static void retake_stays(struct retake_worker *w) {
    long thread = retake_thread();
    int v = stress_below(&w->rand, 1000), got = -1;
    switch (stress_below(&w->rand, 4)) {
    case 0:
        STRESS_CHECK(weft_try_send(w->own, v));
        STRESS_CHECK(retake_thread() == thread);
        retake_blocks(w);
        STRESS_CHECK(retake_thread() == thread);
        STRESS_CHECK(weft_try_recv(w->own, &got) && got == v);
        break;
    case 1:
        atomic_fetch_add(&w->round->started, 1);
        STRESS_CHECK(weft_wg_go(&w->round->wg, retake_is_born, w->round) == 0);
        break;
    case 2: {
        weft_chan(int) c = weft_chan_make(int, 1);
        STRESS_CHECK(retake_thread() == thread);
        weft_chan_unref(c);
        break;
    }
    default:
        weft_block_enter();
        STRESS_CHECK(retake_thread() == thread);
        retake_nap(&w->rand);
        STRESS_CHECK(retake_thread() == thread);
        weft_block_exit(); /* here it may move */
        return;
    }
    STRESS_CHECK(retake_thread() == thread);
}

/* ---- calls that may park ---- */

static void retake_lock(struct retake_worker *w) {
    struct retake_round *r = w->round;
    weft_mutex_lock(&r->ours);
    STRESS_CHECK(r->in_ours++ == 0);
    if (stress_one_in(&w->rand, 4))
        retake_blocks(w); /* with the lock: others park */
    r->by_ours++;
    STRESS_CHECK(--r->in_ours == 0);
    weft_mutex_unlock(&r->ours);
    atomic_fetch_add(&r->ours_wanted, 1);
}

static void retake_acquire(struct retake_worker *w) {
    struct retake_round *r = w->round;
    STRESS_CHECK(weft_sem_acquire(&r->sem, 1));
    STRESS_CHECK(atomic_fetch_add(&r->in_sem, 1) < 2);
    retake_nap(&w->rand);
    atomic_fetch_sub(&r->in_sem, 1);
    weft_sem_release(&r->sem, 1);
}

static void retake_send(struct retake_worker *w) {
    uint64_t v = stress_next(&w->rand) >> 20;
    atomic_fetch_add(&w->round->sent, v);
    if (stress_one_in(&w->rand, 2))
        STRESS_CHECK(weft_send(w->round->shared, v));
    else
        STRESS_CHECK(weft_select(weft_case_send(w->round->shared, v),
                                 weft_case_recv((weft_chan(int))NULL, NULL)) == 0);
}

static void retake_locked(struct retake_worker *w) {
    weft_lock_os_thread();
    long thread = retake_thread();
    for (int i = stress_below(&w->rand, 4); i > 0; i--) {
        retake_blocks(w);
        switch (stress_below(&w->rand, 3)) {
        case 0:
            weft_yield();
            break;
        case 1:
            retake_send(w);
            break;
        default:
            STRESS_CHECK(weft_sleep(stress_below(&w->rand, 200) * WEFT_MICROSECOND));
            break;
        }
        STRESS_CHECK(retake_thread() == thread);
    }
    weft_unlock_os_thread();
}

static void retake_moves(struct retake_worker *w) {
    switch (stress_below(&w->rand, 6)) {
    case 0:
        retake_lock(w);
        break;
    case 1:
        retake_acquire(w);
        break;
    case 2:
        retake_send(w);
        break;
    case 3:
        retake_locked(w);
        break;
    default:
        stress_rest(&w->rand);
        break;
    }
}

static void retake_work(struct retake_worker *w) {
    w->own = weft_chan_make(int, 1);
    for (int i = stress_scale(RETAKE_STEPS); i > 0; i--) {
        retake_blocks(w);
        if (stress_one_in(&w->rand, 2))
            retake_stays(w);
        else
            retake_moves(w);
    }
    weft_chan_unref(w->own);
    if (stress_one_in(&w->rand, 2))
        retake_blocks(w); /* and it ends, or leaves, without a P */
    if (stress_one_in(&w->rand, 2))
        weft_goexit();
}

static void retake_collect(struct retake_worker *w) {
    struct retake_round *r = w->round;
    uint64_t v = 0;
    while (weft_recv(r->shared, &v)) {
        atomic_fetch_add(&r->received, v);
        if (stress_one_in(&w->rand, 4))
            retake_nap(&w->rand);
    }
}

static void retake_change_procs(struct retake_worker *w) {
    int first = weft_gomaxprocs(0), last = first;
    while (!w->round->over) {
        int n = 1 + stress_below(&w->rand, 8);
        STRESS_CHECK(weft_gomaxprocs(n) == last);
        last = n;
        if (stress_one_in(&w->rand, 2))
            retake_nap(&w->rand);
        weft_sleep(stress_below(&w->rand, 20) * WEFT_MILLISECOND);
    }
    STRESS_CHECK(weft_gomaxprocs(first) == last);
}

/* ---- a round ---- */

static void retake_open(struct retake_round *r, struct stress_rand *rand) {
    memset(r, 0, sizeof *r);
    STRESS_CHECK(pthread_mutex_init(&r->theirs, NULL) == 0);
    STRESS_CHECK(pipe2(r->ends, O_CLOEXEC) == 0);
    r->shared = weft_chan_make(uint64_t, (size_t)stress_below(rand, 4));
    weft_sem_init(&r->sem, 2);
}

static void retake_account(struct retake_round *r) {
    STRESS_CHECK(r->by_theirs == r->theirs_wanted);
    STRESS_CHECK(r->by_ours == r->ours_wanted);
    STRESS_CHECK(r->piped_in == r->piped_out);
    STRESS_CHECK(r->sent == r->received);
    STRESS_CHECK(r->started == r->born);
    STRESS_CHECK(weft_sem_try_acquire(&r->sem, 2));
    weft_chan_unref(r->shared);
    pthread_mutex_destroy(&r->theirs);
    close(r->ends[0]);
    close(r->ends[1]);
}

/* Half of the rounds keep the number of Ps: with one it means most that a P is taken. */
static void retake_round(struct retake_round *r, struct retake_worker *workers,
                         struct stress_rand *rand) {
    int n = 1 + stress_below(rand, stress_scale(RETAKE_WORKERS));
    bool changes = stress_one_in(rand, 2);
    retake_open(r, rand);
    for (int i = 0; i < n + 3; i++)
        workers[i] = (struct retake_worker){.round = r, .rand = stress_split(rand)};
    for (int i = 0; i < 2; i++)
        STRESS_CHECK(weft_wg_go(&r->collectors, retake_collect, &workers[n + i]) == 0);
    if (changes)
        STRESS_CHECK(weft_wg_go(&r->collectors, retake_change_procs, &workers[n + 2]) == 0);
    for (int i = 0; i < n; i++)
        STRESS_CHECK(weft_wg_go(&r->wg, retake_work, &workers[i]) == 0);
    weft_wg_wait(&r->wg);
    r->over = true;
    weft_chan_close(r->shared);
    weft_wg_wait(&r->collectors);
    retake_account(r);
}

static int retake_rounds(struct stress_rand rand) {
    struct retake_round *round = malloc(sizeof *round);
    struct retake_worker *workers = calloc(RETAKE_WORKERS + 3, sizeof *workers);
    int rounds = 0;
    do {
        retake_round(round, workers, &rand);
        rounds++;
    } while (stress_more());
    free(workers);
    free(round);
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = retake_rounds(stress_begin("retake_stress"));
    return stress_passed("%d rounds, %" PRIu64 " sleeps", rounds, atomic_load(&retake_calls));
}
WEFT_MAIN(app)
#endif
