/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c: memory that lives as long as a file or the site, and tables by name. */
#include "model.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 16384

struct arena_block {
    struct arena_block *next;
    size_t used;
    alignas(max_align_t) char data[];
};

_Noreturn void no_memory(void) {
    fputs("weftdoc: out of memory\n", stderr);
    exit(1);
}

void *arena_alloc(struct arena *a, size_t size) {
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (a->blocks == NULL || a->left < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        struct arena_block *block = calloc(1, sizeof *block + room);
        if (block == NULL)
            no_memory();
        block->next = a->blocks;
        a->blocks = block;
        a->left = room;
    }
    void *at = a->blocks->data + a->blocks->used;
    a->blocks->used += size;
    a->left -= size;
    return at;
}

char *arena_copy(struct arena *a, const char *at, size_t len) {
    char *copy = arena_alloc(a, len + 1);
    if (len != 0)
        memcpy(copy, at, len);
    return copy;
}

char *arena_take(struct arena *a, struct buf *b) {
    if (b->failed)
        no_memory();
    char *copy = arena_copy(a, b->data, b->len);
    buf_free(b);
    return copy;
}

void arena_free(struct arena *a) {
    while (a->blocks != NULL) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
}

void *grow(void *array, size_t *count, size_t *cap, size_t size) {
    if (*count == *cap) {
        size_t more = *cap != 0 ? *cap * 2 : 8;
        array = reallocarray(array, more, size);
        if (array == NULL)
            no_memory();
        *cap = more;
    }
    memset((char *)array + *count * size, 0, size);
    ++*count;
    return array;
}

/* --- tables: open addressing, never more than half full */

struct slot {
    const char *key;
    size_t len;
    const void *value;
};

struct table {
    struct slot *slots;
    size_t mask, used;
};

uint64_t bytes_hash(const char *at, size_t len) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, then mixed: its low bits alone are weak */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)at[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static struct slot *find(const struct table *t, const char *key, size_t len) {
    size_t i = bytes_hash(key, len) & t->mask;
    while (t->slots[i].key != NULL &&
           (t->slots[i].len != len || memcmp(t->slots[i].key, key, len) != 0))
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

static void table_resize(struct table *t, size_t size) {
    struct table old = *t;
    t->slots = calloc(size, sizeof *t->slots);
    if (t->slots == NULL)
        no_memory();
    t->mask = size - 1;
    for (size_t i = 0; old.slots != NULL && i <= old.mask; i++)
        if (old.slots[i].key != NULL)
            *find(t, old.slots[i].key, old.slots[i].len) = old.slots[i];
    free(old.slots);
}

struct table *table_new(size_t expected) {
    struct table *t = calloc(1, sizeof *t);
    if (t == NULL)
        no_memory();
    size_t size = 64;
    while (size < expected * 2)
        size *= 2;
    table_resize(t, size);
    return t;
}

void table_put(struct table *t, const char *key, const void *value) {
    if (t->used * 2 > t->mask)
        table_resize(t, (t->mask + 1) * 2);
    struct slot *s = find(t, key, strlen(key));
    if (s->key != NULL)
        return;
    *s = (struct slot){key, strlen(key), value};
    t->used++;
}

const void *table_get(const struct table *t, const char *key, size_t len) {
    return t == NULL ? NULL : find(t, key, len)->value;
}

void table_free(struct table *t) {
    if (t == NULL)
        return;
    free(t->slots);
    free(t);
}
