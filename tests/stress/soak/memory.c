/* SPDX-License-Identifier: Apache-2.0 */
/* malloc and its kin, qsort with its callback, large copies: contents are what was put there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

enum { BLOCKS = 64, SORTED = 4000, MEGABYTES = SOAK_SANITIZED ? 8 : 64 };

struct block {
    unsigned char *at;
    size_t size;
    unsigned char value;
};

static void check_block(const struct block *b) {
    for (size_t i = 0; i < b->size; i++)
        SOAK_CHECK(b->at[i] == b->value);
}

/* Small ones mostly, and some that the C library maps. */
static size_t any_size(struct soak_worker *w) {
    return soak_below(w, 500) == 0 ? 150000 + soak_below(w, 50000) : 1 + soak_below(w, 3000);
}

static void get_block(struct soak_worker *w, struct block *b) {
    b->size = any_size(w);
    b->value = (unsigned char)soak_below(w, 256);
    switch (soak_below(w, 4)) {
    case 0:
        b->at = calloc(b->size, 1);
        for (size_t i = 0; b->at && i < b->size; i++)
            SOAK_CHECK(b->at[i] == 0);
        break;
    case 1:
        if (posix_memalign((void **)&b->at, 64, b->size) != 0)
            b->at = NULL;
        break;
    default:
        b->at = malloc(b->size);
    }
    SOAK_CHECK(b->at != NULL);
    memset(b->at, b->value, b->size);
}

static void resize_block(struct soak_worker *w, struct block *b) {
    size_t size = any_size(w), kept = size < b->size ? size : b->size;
    b->at = realloc(b->at, size);
    SOAK_CHECK(b->at != NULL);
    b->size = kept;
    check_block(b);
    b->size = size;
    memset(b->at, b->value, size);
}

void soak_allocates(struct soak_worker *w) {
    struct block blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        get_block(w, &blocks[i]);
    do {
        for (int n = 0; n < 200; n++) {
            struct block *b = &blocks[soak_below(w, BLOCKS)];
            check_block(b);
            if (soak_below(w, 4) == 0) {
                resize_block(w, b);
            } else {
                free(b->at);
                get_block(w, b);
            }
        }
        w->done++;
        soak_rest(w);
    } while (soak_more());
    for (int i = 0; i < BLOCKS; i++) {
        check_block(&blocks[i]);
        free(blocks[i].at);
    }
}

static int in_order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void soak_sorts(struct soak_worker *w) {
    uint32_t *v = malloc(SORTED * sizeof *v);
    SOAK_CHECK(v != NULL);
    do {
        uint64_t sum = 0;
        for (int i = 0; i < SORTED; i++)
            sum += v[i] = soak_below(w, UINT32_MAX);
        qsort(v, SORTED, sizeof *v, in_order);
        for (int i = 0; i < SORTED; i++) {
            SOAK_CHECK(i == 0 || v[i - 1] <= v[i]);
            sum -= v[i];
        }
        SOAK_CHECK(sum == 0);
        w->done++;
        soak_rest(w);
    } while (soak_more());
    free(v);
}

void soak_copies(struct soak_worker *w) {
    const size_t size = (size_t)MEGABYTES << 20, words = size / sizeof(uint64_t);
    uint64_t *from = malloc(size), *to = malloc(size);
    SOAK_CHECK(from != NULL && to != NULL);
    do {
        uint64_t first = soak_below(w, UINT32_MAX);
        for (size_t i = 0; i < words; i++)
            from[i] = first + i * 0x9e3779b97f4a7c15u;
        memcpy(to, from, size);
        memset(from, 0, size);
        for (size_t i = 0; i < words; i++)
            SOAK_CHECK(to[i] == first + i * 0x9e3779b97f4a7c15u);
        w->done++;
        soak_rest(w);
    } while (soak_more());
    free(from);
    free(to);
}
