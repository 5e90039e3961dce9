/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime's heap: sizes at the classes' boundaries, no overlap, reuse, caches that fill and
 * spill, mappings for what is large, no memory, and blocks that wander between threads' caches.
 */
#define _GNU_SOURCE
#define WEFT_NO_ERRNO 1
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/heap.h"
#include "base/rand.h"
#include "os/os.h"
#include "weft_test.h"

#define LARGEST 32768

static const size_t boundaries[] = {16,  32,  48,  64,  80,  96,   112,  128,  160,  192,   224,
                                    256, 320, 384, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768};
#define BOUNDARIES (sizeof boundaries / sizeof *boundaries)
_Static_assert(BOUNDARIES == WEFTI_SIZE_CLASSES, "all classes are here");

static uint32_t cached(const struct wefti_memcache *cache) {
    uint32_t n = 0;
    for (int c = 0; c < WEFTI_SIZE_CLASSES; c++)
        n += cache->list[c].n;
    return n;
}

/* ---- blocks whose contents say who they are ---- */

struct block {
    unsigned char *at;
    size_t size;
    unsigned char mark;
};

static struct block take(struct wefti_memcache *cache, size_t size, unsigned mark) {
    struct block b = {wefti_heap_alloc(cache, size), size, (unsigned char)mark};
    CHECK(b.at);
    CHECK_EQ((uintptr_t)b.at % 16, 0);
    memset(b.at, b.mark, b.size);
    return b;
}

static void check(const struct block *b) {
    for (size_t i = 0; i < b->size; i++)
        if (b->at[i] != b->mark)
            FAIL("byte %zu of a block of %zu is %#x, not %#x", i, b->size, b->at[i], b->mark);
}

static void give(struct wefti_memcache *cache, struct block *b) {
    check(b);
    wefti_heap_free(cache, b->at, b->size);
    b->at = NULL;
}

/* ---- one thread ---- */

TEST_PLAIN(sizes_at_the_boundaries) {
    static struct wefti_memcache cache;
    static struct block blocks[BOUNDARIES * 3 * 8 + 8];
    size_t n = 0;
    for (int with_cache = 0; with_cache < 2; with_cache++) {
        struct wefti_memcache *c = with_cache ? &cache : NULL;
        for (int repeat = 0; repeat < 4; repeat++) {
            for (size_t i = 0; i < BOUNDARIES; i++)
                for (size_t d = 0; d < 3; d++, n++)
                    blocks[n] = take(c, boundaries[i] - 1 + d, (unsigned)(n * 37 + 1));
            blocks[n] = take(c, 0, 0);
            n++;
        }
    }
    for (size_t i = 0; i < n; i++) /* nobody wrote into another's */
        give(i & 1 ? &cache : NULL, &blocks[i]);
    wefti_heap_flush(&cache);
    CHECK_EQ(cached(&cache), 0);
}

TEST_PLAIN(every_small_size) {
    static struct wefti_memcache cache;
    static struct block blocks[1100];
    for (size_t i = 0; i < 1100; i++)
        blocks[i] = take(&cache, i, (unsigned)i * 7);
    for (size_t i = 0; i < 1100; i++)
        give(&cache, &blocks[i]);
}

/* Channels count on it that blocks of whole cache lines begin on one. */
TEST_PLAIN(whole_cache_lines) {
    static struct wefti_memcache cache;
    static const size_t sizes[] = {64, 128, 192, 256, 320, 384, 512, 768, 1024, 4096};
    for (int i = 0; i < 300; i++) {
        take(&cache, 16 + (size_t)i % 40, 1); /* puts the next one off the line */
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            CHECK_EQ((uintptr_t)take(&cache, sizes[s], 2).at % 64, 0);
    }
}

TEST_PLAIN(last_in_first_out) {
    static struct wefti_memcache cache;
    for (size_t i = 0; i < BOUNDARIES; i++) {
        void *a = wefti_heap_alloc(&cache, boundaries[i]);
        void *b = wefti_heap_alloc(&cache, boundaries[i]);
        CHECK(a != b);
        wefti_heap_free(&cache, a, boundaries[i]);
        wefti_heap_free(&cache, b, boundaries[i] - 1); /* another size of the same class */
        CHECK_EQ(wefti_heap_alloc(&cache, boundaries[i] - 1), b);
        CHECK_EQ(wefti_heap_alloc(&cache, boundaries[i]), a);
    }
    wefti_heap_free(&cache, NULL, 100); /* is nothing */
    wefti_heap_free(NULL, NULL, 1 << 20);
}

/* However many are freed, a cache keeps 32 KB or 64 blocks of a class, one batch more at most. */
TEST_PLAIN(full_caches_spill) {
    static struct wefti_memcache cache;
    static void *blocks[600];
    for (size_t i = 0; i < BOUNDARIES; i++) {
        for (int k = 0; k < 600; k++)
            CHECK((blocks[k] = wefti_heap_alloc(&cache, boundaries[i])) != NULL);
        for (int k = 0; k < 600; k++)
            wefti_heap_free(&cache, blocks[k], boundaries[i]);
        uint32_t n = cache.list[i].n;
        if (n == 0 || n > 64 || (n > 2 && n * boundaries[i] > 2 * LARGEST))
            FAIL("%u blocks of %zu in the cache", n, boundaries[i]);
    }
}

/* What one cache gave up another gets, and no memory of the system's is needed for it. */
TEST_PLAIN(flushed_blocks_are_reused) {
    static struct wefti_memcache a, b;
    static void *blocks[500], *again[500];
    for (int k = 0; k < 500; k++)
        CHECK((blocks[k] = wefti_heap_alloc(&a, 16384)) != NULL);
    for (int k = 0; k < 500; k++)
        wefti_heap_free(&a, blocks[k], 16384);
    wefti_heap_flush(&a);
    CHECK_EQ(cached(&a), 0);
    os_fail_after = 1000; /* counts what is asked of the system */
    for (int k = 0; k < 500; k++)
        CHECK((again[k] = wefti_heap_alloc(&b, 16384)) != NULL);
    CHECK_EQ(os_fail_after, 1000);
    os_fail_after = 0;
}

static bool mapped(void *page) {
    unsigned char in_core;
    return mincore(page, 4096, &in_core) == 0 || errno != ENOMEM;
}

TEST_PLAIN(large_blocks_are_mappings) {
    static const size_t sizes[] = {LARGEST + 1, 40960, 40961, 1 << 20, 5000001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct block b = take(NULL, sizes[i], 0x5a);
        char *at = (char *)b.at;
        CHECK_EQ((uintptr_t)at % 4096, 0);
        char *last_page = at + (sizes[i] - 1) / 4096 * 4096;
        CHECK(mapped(at) && mapped(last_page));
        give(NULL, &b);
        CHECK(!mapped(at) && !mapped(last_page));
        struct block zero = {wefti_heap_alloc(NULL, sizes[i]), sizes[i], 0};
        CHECK(zero.at);
        check(&zero);
        give(NULL, &zero);
    }
}

TEST_PLAIN(no_memory) {
    static struct wefti_memcache cache;
    os_fail_after = 1;
    CHECK(!wefti_heap_alloc(&cache, 100)); /* the very first chunk */
    os_fail_after = 1;
    CHECK(!wefti_heap_alloc(NULL, LARGEST + 1));
    void *block = wefti_heap_alloc(&cache, 100); /* and later there is some */
    CHECK(block);
    /* a chunk that runs out in the middle of a batch still gives what it has */
    uint32_t n = 0;
    os_fail_after = 1;
    while (os_fail_after == 1)
        if (wefti_heap_alloc(&cache, 32768))
            n++;
    CHECK(n > 100);
    CHECK(wefti_heap_alloc(&cache, 32768));
}

TEST_PLAIN(random_sizes) {
    static struct wefti_memcache cache;
    static struct block blocks[400];
    struct wefti_rand rand = {11};
    for (int i = 0; i < 40000 / test_slowness(); i++) {
        struct block *b = &blocks[wefti_rand_below(&rand, 400)];
        if (b->at)
            give(&cache, b);
        else
            *b = take(&cache, wefti_rand_below(&rand, 1u << wefti_rand_below(&rand, 17)),
                      (unsigned)wefti_rand64(&rand));
    }
    for (int i = 0; i < 400; i++)
        if (blocks[i].at)
            give(&cache, &blocks[i]);
}

/* ---- threads, each with its own cache; blocks change hands through slots ---- */

enum { THREADS = 4, SLOTS = 64 };

static struct block *slots[SLOTS]; /* atomic */

static void *worker(void *arg) {
    struct wefti_memcache *cache = calloc(1, sizeof *cache);
    struct wefti_rand rand = {(uintptr_t)arg};
    for (int i = 0; i < 20000 / test_slowness(); i++) {
        size_t size = wefti_rand_below(&rand, 16u << wefti_rand_below(&rand, 11));
        struct block *mine = wefti_heap_alloc(cache, sizeof *mine);
        CHECK(mine);
        *mine = take(i % 16 ? cache : NULL, size, (unsigned)wefti_rand64(&rand));
        struct block *other = xchg_acqrel(&slots[wefti_rand_below(&rand, SLOTS)], mine);
        if (!other)
            continue;
        give(i % 8 ? cache : NULL, other);
        wefti_heap_free(cache, other, sizeof *other);
    }
    wefti_heap_flush(cache);
    CHECK_EQ(cached(cache), 0);
    free(cache);
    return NULL;
}

TEST_PLAIN(threads_with_caches) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < SLOTS; i++) {
        if (!slots[i])
            continue;
        give(NULL, slots[i]);
        wefti_heap_free(NULL, slots[i], sizeof *slots[i]);
    }
}
