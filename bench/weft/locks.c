/* SPDX-License-Identifier: Apache-2.0 */
/* Mutex alone and contended, and a read-write lock with one write in a hundred. */
#include "bench.h"

struct shared {
    weft_mutex lock;
    i64 counter;
    weft_wg wg;
};

static void count(struct shared *s, i64 each) {
    for (i64 i = 0; i < each; i++) {
        weft_mutex_lock(&s->lock);
        s->counter++;
        weft_mutex_unlock(&s->lock);
    }
}

static i64 mutexes(i64 tasks, i64 each) {
    struct shared s = {0};
    for (i64 i = 0; i < tasks; i++)
        weft_wg_go(&s.wg, count, &s, each);
    weft_wg_wait(&s.wg);
    CHECK(s.counter == tasks * each, "mutex %ld", (long)s.counter);
    return s.counter;
}

static i64 mutex1(void) {
    return mutexes(1, bench_n(10000000));
}
static i64 mutex16(void) {
    return mutexes(16, bench_n(100000));
}
static void run_mutex1(double *out) {
    out[0] = bench_per_op(mutex1);
}
static void run_mutex16(double *out) {
    out[0] = bench_per_op(mutex16);
}

/* ---- sixteen readers, one writer ---- */

struct guarded {
    weft_rwmutex lock;
    i64 a, b;
    _Atomic i64 torn;
    weft_wg wg;
};

static void reader(struct guarded *g, i64 reads) {
    i64 torn = 0;
    for (i64 i = 1; i <= reads; i++) {
        weft_rwmutex_rlock(&g->lock);
        torn += g->a != g->b;
        weft_rwmutex_runlock(&g->lock);
        if (i % 100 == 0)
            weft_yield();
    }
    atomic_fetch_add(&g->torn, torn);
}

static void writer(struct guarded *g, i64 writes) {
    for (i64 i = 0; i < writes; i++) {
        weft_rwmutex_lock(&g->lock);
        g->a++;
        g->b++;
        weft_rwmutex_unlock(&g->lock);
        weft_yield();
    }
}

static i64 rwmutex(void) {
    i64 reads = bench_n(60000), writes = bench_n(9600);
    struct guarded g = {0};
    for (int i = 0; i < 16; i++)
        weft_wg_go(&g.wg, reader, &g, reads);
    weft_wg_go(&g.wg, writer, &g, writes);
    weft_wg_wait(&g.wg);
    CHECK(g.torn == 0 && g.a == writes && g.b == writes, "rwmutex: %ld torn, %ld, %ld",
          (long)g.torn, (long)g.a, (long)g.b);
    return 16 * reads + writes;
}
static void run_rwmutex(double *out) {
    out[0] = bench_per_op(rwmutex);
}

const struct bench_case bench_locks[] = {
    {.name = "mutex1", .warm = true, .run = run_mutex1},
    {.name = "mutex16", .warm = true, .run = run_mutex16},
    {.name = "rwmutex", .warm = true, .run = run_rwmutex},
    {0},
};
