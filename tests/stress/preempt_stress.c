/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goroutines stopped by signal in the middle of the C library, beside others that hand on, sleep in
 * the kernel, hold pthread mutexes over time slices, and change the number of Ps.
 *
 * Invariants: what malloc gave keeps its contents; lines printed to one FILE are whole; qsort sorts;
 * copies are equal; a counter under a pthread mutex counts all; no call fails with EINTR; what
 * hands on goes on.
 */
#include "stress.h" /* first: it asks for the GNU extensions */

#include <poll.h>
#include <pthread.h>

enum { PREEMPT_KINDS = 6, PREEMPT_BLOCKS = 64, PREEMPT_SORTED = 4000, PREEMPT_COPIED = 1 << 20 };

struct preempt_round {
    pthread_mutex_t m;
    long counted; /* guarded by m */
    long wanted;  /* atomic */
    FILE *out;
    char *text;
    size_t size;
    long lines; /* atomic */
    weft_time end;
    _Atomic bool over;
    _Atomic long handed;
    weft_wg wg;
};

struct preempt_worker {
    struct preempt_round *round;
    struct stress_rand rand;
};

static bool preempt_more(struct preempt_round *r) {
    struct timespec now; /* no weft call */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return !r->over && (weft_time)now.tv_sec * WEFT_SECOND + now.tv_nsec < r->end;
}

static void preempt_allocates(struct preempt_worker *w) {
    unsigned char *blocks[PREEMPT_BLOCKS] = {0};
    size_t sizes[PREEMPT_BLOCKS] = {0};
    while (preempt_more(w->round))
        for (int n = 0; n < 200; n++) {
            int i = stress_below(&w->rand, PREEMPT_BLOCKS);
            for (size_t k = 0; k < sizes[i]; k++)
                STRESS_CHECK(blocks[i][k] == (unsigned char)i);
            free(blocks[i]);
            sizes[i] = (size_t)stress_below(&w->rand, 3000);
            blocks[i] = malloc(sizes[i] + 1);
            STRESS_CHECK(blocks[i] != NULL);
            memset(blocks[i], i, sizes[i]);
        }
    for (int i = 0; i < PREEMPT_BLOCKS; i++)
        free(blocks[i]);
}

static void preempt_prints(struct preempt_worker *w) {
    for (long n = 0; n < 20000 && preempt_more(w->round); n++) {
        fprintf(w->round->out, "line %08d of %s: %08d\n", 12345678, "a goroutine", 87654321);
        __atomic_fetch_add(&w->round->lines, 1, __ATOMIC_RELAXED);
    }
}

static int preempt_order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void preempt_sorts(struct preempt_worker *w) {
    uint64_t *v = malloc(PREEMPT_SORTED * sizeof *v);
    while (preempt_more(w->round)) {
        uint64_t sum = 0;
        for (int i = 0; i < PREEMPT_SORTED; i++)
            sum += v[i] = stress_next(&w->rand);
        qsort(v, PREEMPT_SORTED, sizeof *v, preempt_order);
        for (int i = 0; i < PREEMPT_SORTED; i++) {
            STRESS_CHECK(i == 0 || v[i - 1] <= v[i]);
            sum -= v[i];
        }
        STRESS_CHECK(sum == 0);
    }
    free(v);
}

static void preempt_copies(struct preempt_worker *w) {
    char *from = malloc(PREEMPT_COPIED), *to = malloc(PREEMPT_COPIED);
    while (preempt_more(w->round)) {
        memset(from, stress_below(&w->rand, 256), PREEMPT_COPIED);
        memcpy(to, from, PREEMPT_COPIED);
        STRESS_CHECK(memcmp(to, from, PREEMPT_COPIED) == 0);
    }
    free(from);
    free(to);
}

static void preempt_locks(struct preempt_worker *w) {
    while (preempt_more(w->round)) {
        STRESS_CHECK(pthread_mutex_lock(&w->round->m) == 0);
        long seen = w->round->counted;
        for (int i = stress_below(&w->rand, 200000); i > 0; i--)
            __asm__ volatile("");
        w->round->counted = seen + 1;
        STRESS_CHECK(pthread_mutex_unlock(&w->round->m) == 0);
        __atomic_fetch_add(&w->round->wanted, 1, __ATOMIC_RELAXED);
    }
}

static void preempt_naps(struct preempt_worker *w) {
    struct pollfd none = {.fd = -1};
    while (preempt_more(w->round)) {
        STRESS_CHECK(usleep((unsigned)stress_below(&w->rand, 15000)) == 0);
        STRESS_CHECK(poll(&none, 1, stress_below(&w->rand, 15)) == 0);
        for (int i = stress_below(&w->rand, 1000000); i > 0; i--)
            __asm__ volatile("");
    }
}

static void preempt_hands_on(struct preempt_round *r, weft_chan(int) in, weft_chan(int) out) {
    int v = 0;
    while (!r->over && weft_recv(in, &v)) {
        atomic_fetch_add_explicit(&r->handed, 1, memory_order_relaxed);
        if (!weft_try_send(out, v + 1))
            break;
    }
    r->over = true;
    weft_try_send(out, 0);
}

static void preempt_changes_ps(struct preempt_worker *w) {
    int before = weft_gomaxprocs(0);
    while (preempt_more(w->round)) {
        weft_sleep(stress_below(&w->rand, 20) * WEFT_MILLISECOND);
        weft_gomaxprocs(1 + stress_below(&w->rand, 4));
    }
    weft_gomaxprocs(before);
}

static void preempt_check_lines(struct preempt_round *r) {
    static const char line[] = "line 12345678 of a goroutine: 87654321\n";
    size_t length = sizeof line - 1;
    fclose(r->out);
    STRESS_CHECK(r->size == length * (size_t)r->lines);
    for (long i = 0; i < r->lines; i++)
        STRESS_CHECK(memcmp(r->text + (size_t)i * length, line, length) == 0);
    free(r->text);
}

static void preempt_round(struct stress_rand *rand) {
    static void (*const kinds[PREEMPT_KINDS])(struct preempt_worker *) = {
        preempt_allocates, preempt_prints, preempt_sorts,
        preempt_copies,    preempt_locks,  preempt_naps,
    };
    struct preempt_round r = {.m = PTHREAD_MUTEX_INITIALIZER, .wg = WEFT_WG_INIT};
    struct preempt_worker workers[3 * PREEMPT_KINDS + 1];
    weft_chan(int) a = weft_chan_make(int, 2), b = weft_chan_make(int, 2);
    int n = STRESS_SANITIZED ? PREEMPT_KINDS : 3 * PREEMPT_KINDS;
    r.out = open_memstream(&r.text, &r.size);
    r.end = weft_now() + 400 * WEFT_MILLISECOND;
    STRESS_CHECK(weft_wg_go(&r.wg, preempt_hands_on, &r, a, b) == 0);
    STRESS_CHECK(weft_wg_go(&r.wg, preempt_hands_on, &r, b, a) == 0);
    weft_send(a, 0);
    for (int i = 0; i <= n; i++) {
        workers[i] = (struct preempt_worker){&r, stress_split(rand)};
        STRESS_CHECK(weft_wg_go(&r.wg, i < n ? kinds[i % PREEMPT_KINDS] : preempt_changes_ps,
                                &workers[i]) == 0);
    }
    weft_sleep(400 * WEFT_MILLISECOND);
    r.over = true;
    weft_try_send(a, 0);
    weft_try_send(b, 0);
    weft_wg_wait(&r.wg);
    STRESS_CHECK(r.counted == r.wanted);
    STRESS_CHECK(r.handed > 0);
    preempt_check_lines(&r);
    weft_chan_unref(a);
    weft_chan_unref(b);
}

static int preempt_rounds(struct stress_rand rand) {
    int rounds = 0;
    do {
        preempt_round(&rand);
        rounds++;
    } while (stress_more());
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = preempt_rounds(stress_begin("preempt_stress"));
    return stress_passed("%d rounds", rounds);
}
WEFT_MAIN(app)
#endif
