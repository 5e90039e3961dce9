/* SPDX-License-Identifier: Apache-2.0 */
/* The futex lock and the P-lock: mutual exclusion, with few threads and with more than CPUs. */
#include <pthread.h>

#include "base/lock.h"
#include "os/os.h"
#include "rt/plock.h"
#include "weft_test.h"

enum { MOST_THREADS = 12 };

static struct wefti_lock lock;
static uint32_t plock;
static uint32_t inside; /* atomic */
static uint64_t total;  /* guarded by the lock under test */
static uint32_t rounds;

static void section(uint32_t i) {
    CHECK_EQ(add_relaxed(&inside, 1), 0);
    total++;
    if (i % 256 == 0)
        os_yield(); /* the others pile up and sleep */
    CHECK_EQ(add_relaxed(&inside, (uint32_t)-1), 1);
}

static void *locker(void *arg) {
    (void)arg;
    for (uint32_t i = 0; i < rounds; i++) {
        wefti_lock(&lock);
        section(i);
        wefti_unlock(&lock);
    }
    return NULL;
}

static void *plocker(void *arg) {
    struct p p = {.single = 0};
    struct m m = {.p = &p};
    (void)arg;
    for (uint32_t i = 0; i < rounds; i++) {
        wefti_plock(&m, &plock, WEFTI_RANK_SYNC);
        section(i);
        wefti_punlock(&m, &plock, WEFTI_RANK_SYNC);
    }
    return NULL;
}

static void hammer(void *(*fn)(void *), uint32_t threads, uint32_t n) {
    pthread_t t[MOST_THREADS];
    total = 0;
    rounds = n / (uint32_t)test_slowness();
    for (uint32_t i = 0; i < threads; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, fn, NULL), 0);
    for (uint32_t i = 0; i < threads; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK_EQ(total, (uint64_t)threads * rounds);
}

TEST_PLAIN(free_is_zero) {
    wefti_lock(&lock);
    CHECK(lock.word != 0);
    wefti_unlock(&lock);
    CHECK_EQ(lock.word, 0);
}

TEST_PLAIN(exclusion_of_two) {
    hammer(locker, 2, 100000);
    CHECK_EQ(lock.word, 0);
}

TEST_PLAIN(exclusion_of_many) {
    hammer(locker, MOST_THREADS, 10000);
    CHECK_EQ(lock.word, 0);
}

static void *sleeper(void *arg) {
    (void)arg;
    wefti_lock(&lock);
    total++;
    wefti_unlock(&lock);
    return NULL;
}

/* All sleep in the kernel while the holder keeps it for long, and each gets it afterwards. */
TEST_PLAIN(sleepers_are_woken) {
    pthread_t t[MOST_THREADS];
    wefti_lock(&lock);
    for (int i = 0; i < MOST_THREADS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, sleeper, NULL), 0);
    uint32_t never = 0;
    os_futex_wait(&never, 0, os_nanotime() + 50000000);
    CHECK_EQ(total, 0);
    CHECK_EQ(load_relaxed(&lock.word), 2);
    wefti_unlock(&lock);
    for (int i = 0; i < MOST_THREADS; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK_EQ(total, MOST_THREADS);
    CHECK_EQ(lock.word, 0);
}

TEST_PLAIN(plock_excludes) {
    hammer(plocker, 2, 100000);
    CHECK_EQ(plock, 0);
    hammer(plocker, 6, 10000);
    CHECK_EQ(plock, 0);
}

/* With one P the holder of the P is alone, and the word is left as it is. */
TEST_PLAIN(plock_of_one_p_is_nothing) {
    struct p p = {.single = 1};
    struct m m = {.p = &p};
    uint32_t word = 0;
    wefti_plock(&m, &word, WEFTI_RANK_CHAN);
    CHECK_EQ(word, 0);
    wefti_punlock(&m, &word, WEFTI_RANK_CHAN);
    CHECK_EQ(word, 0);
}
