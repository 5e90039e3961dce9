/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that block in the kernel and that nobody announces: pthread locks and conditions, sleeps,
 * pipes, poll, flock. None is interrupted, and none keeps others from what they wait for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

/* ---- a bounded queue: even workers produce, odd ones consume ---- */

enum { ROOM = 16 };

struct queue {
    pthread_mutex_t m;
    pthread_cond_t not_full, not_empty;
    uint64_t items[ROOM];
    unsigned first, n;
    int producers;    /* at work */
    uint64_t in, out; /* sums */
    long nin, nout;
};

void *soak_queue_make(void) {
    struct queue *q = calloc(1, sizeof *q);
    SOAK_CHECK(q != NULL);
    pthread_mutex_init(&q->m, NULL);
    pthread_cond_init(&q->not_full, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    q->producers = 2;
    return q;
}

void soak_queue_end(void *shared) {
    struct queue *q = shared;
    SOAK_CHECK(q->n == 0 && q->in == q->out && q->nin == q->nout);
    free(q);
}

static void put(struct queue *q, uint64_t item) {
    SOAK_CHECK(pthread_mutex_lock(&q->m) == 0);
    while (q->n == ROOM)
        SOAK_CHECK(pthread_cond_wait(&q->not_full, &q->m) == 0);
    q->items[(q->first + q->n++) % ROOM] = item;
    q->in += item;
    q->nin++;
    SOAK_CHECK(pthread_cond_signal(&q->not_empty) == 0);
    SOAK_CHECK(pthread_mutex_unlock(&q->m) == 0);
}

/* False: there will be none any more. */
static bool take(struct queue *q) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3600;
    SOAK_CHECK(pthread_mutex_lock(&q->m) == 0);
    while (q->n == 0 && q->producers > 0)
        SOAK_CHECK(pthread_cond_timedwait(&q->not_empty, &q->m, &until) == 0);
    bool any = q->n > 0;
    if (any) {
        q->out += q->items[q->first];
        q->nout++;
        q->first = (q->first + 1) % ROOM;
        q->n--;
        SOAK_CHECK(pthread_cond_signal(&q->not_full) == 0);
    }
    SOAK_CHECK(pthread_mutex_unlock(&q->m) == 0);
    return any;
}

static void producer_ends(struct queue *q) {
    SOAK_CHECK(pthread_mutex_lock(&q->m) == 0);
    q->producers--;
    SOAK_CHECK(pthread_cond_broadcast(&q->not_empty) == 0);
    SOAK_CHECK(pthread_mutex_unlock(&q->m) == 0);
}

void soak_produces_and_consumes(struct soak_worker *w) {
    struct queue *q = w->shared;
    if (w->me % 2 == 1) {
        while (take(q)) {
            w->done++;
            soak_rest(w);
        }
        return;
    }
    do {
        put(q, soak_below(w, 1000000));
        w->done++;
        soak_rest(w);
    } while (soak_more());
    producer_ends(q);
}

/* ---- a lock that is held for long now and then ---- */

struct mutex {
    pthread_mutex_t m;
    long inside, counted;
    long wanted; /* atomic */
};

void *soak_mutex_make(void) {
    struct mutex *m = calloc(1, sizeof *m);
    SOAK_CHECK(m != NULL);
    pthread_mutex_init(&m->m, NULL);
    return m;
}

void soak_mutex_end(void *shared) {
    struct mutex *m = shared;
    SOAK_CHECK(m->counted == m->wanted);
    free(m);
}

void soak_locks(struct soak_worker *w) {
    struct mutex *m = w->shared;
    do {
        SOAK_CHECK(pthread_mutex_lock(&m->m) == 0);
        SOAK_CHECK(m->inside++ == 0);
        soak_compute(soak_below(w, soak_below(w, 100) == 0 ? 30000000 : 20000));
        SOAK_CHECK(--m->inside == 0);
        m->counted++;
        SOAK_CHECK(pthread_mutex_unlock(&m->m) == 0);
        __atomic_fetch_add(&m->wanted, 1, __ATOMIC_RELAXED);
        w->done++;
        soak_rest(w);
    } while (soak_more());
}

/* ---- sleeps ---- */

static int64_t nanos(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void wait_on_semaphore(int ms) {
    sem_t sem;
    struct timespec until;
    SOAK_CHECK(sem_init(&sem, 0, 0) == 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int r = sem_timedwait(&sem, &until), err = errno;
    SOAK_CHECK(r == -1 && err == ETIMEDOUT);
    sem_destroy(&sem);
}

static void nap(int kind, int ms) {
    struct timespec span = {0, ms * 1000000};
    struct pollfd none = {.fd = -1};
    switch (kind) {
    case 0:
        SOAK_CHECK(usleep((unsigned)ms * 1000) == 0);
        break;
    case 1:
        SOAK_CHECK(poll(&none, 1, ms) == 0);
        break;
    case 2:
        SOAK_CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL) == 0);
        break;
    default:
        wait_on_semaphore(ms);
    }
}

void soak_naps(struct soak_worker *w) {
    do {
        int ms = (int)soak_below(w, 20);
        int64_t before = nanos();
        nap((int)soak_below(w, 4), ms);
        SOAK_CHECK(nanos() - before >= (ms - 1) * 1000000ll);
        soak_compute(soak_below(w, 4) == 0 ? soak_below(w, 3000000) : 0);
        w->done++;
        soak_rest(w);
    } while (soak_more());
}

/* ---- two that pass bytes to each other ---- */

struct pipes {
    int there[2], back[2];
};

void *soak_pipes_make(void) {
    struct pipes *p = calloc(1, sizeof *p);
    SOAK_CHECK(p != NULL && pipe2(p->there, O_CLOEXEC) == 0 && pipe2(p->back, O_CLOEXEC) == 0);
    return p;
}

void soak_pipes_end(void *shared) {
    struct pipes *p = shared;
    close(p->there[0]);
    close(p->back[0]);
    close(p->back[1]);
    free(p);
}

static void answers(struct soak_worker *w, struct pipes *p) {
    char c;
    for (;;) {
        struct pollfd in = {.fd = p->there[0], .events = POLLIN};
        SOAK_CHECK(poll(&in, 1, -1) == 1);
        ssize_t n = read(p->there[0], &c, 1);
        if (n == 0)
            return;
        SOAK_CHECK(n == 1);
        c++;
        SOAK_CHECK(write(p->back[1], &c, 1) == 1);
        w->done++;
        soak_rest(w);
    }
}

void soak_passes_bytes(struct soak_worker *w) {
    struct pipes *p = w->shared;
    if (w->me % 2 == 1) {
        answers(w, p);
        return;
    }
    do {
        char c = (char)soak_below(w, 256), got = 0;
        SOAK_CHECK(write(p->there[1], &c, 1) == 1);
        SOAK_CHECK(read(p->back[0], &got, 1) == 1);
        SOAK_CHECK(got == (char)(c + 1));
        w->done++;
        soak_rest(w);
    } while (soak_more());
    close(p->there[1]);
}

/* ---- a file's lock ---- */

struct locked_file {
    int fds[8]; /* each goroutine's own: the lock is of the open file */
    int inside;
};

void *soak_flock_make(void) {
    struct locked_file *f = calloc(1, sizeof *f);
    char name[] = "/tmp/weft-soak-XXXXXX";
    SOAK_CHECK(f != NULL && (f->fds[0] = mkostemp(name, O_CLOEXEC)) >= 0);
    for (int i = 1; i < 8; i++)
        SOAK_CHECK((f->fds[i] = open(name, O_RDWR | O_CLOEXEC)) >= 0);
    unlink(name);
    return f;
}

void soak_flock_end(void *shared) {
    struct locked_file *f = shared;
    for (int i = 0; i < 8; i++)
        close(f->fds[i]);
    free(f);
}

/* The kernel's lock orders what is done under it, which ThreadSanitizer can't see. */
void soak_locks_file(struct soak_worker *w) {
    struct locked_file *f = w->shared;
    do {
        SOAK_CHECK(flock(f->fds[w->me], LOCK_EX) == 0);
        SOAK_CHECK(__atomic_fetch_add(&f->inside, 1, __ATOMIC_SEQ_CST) == 0);
        soak_compute(soak_below(w, 100000));
        SOAK_CHECK(__atomic_fetch_sub(&f->inside, 1, __ATOMIC_SEQ_CST) == 1);
        SOAK_CHECK(flock(f->fds[w->me], LOCK_UN) == 0);
        w->done++;
        soak_rest(w);
    } while (soak_more());
}
