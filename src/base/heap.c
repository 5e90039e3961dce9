/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Size-class allocator; heap.h says what for.
 *
 * A cache holds at most LIMIT bytes or 64 blocks of a class, whichever is less; what is over goes
 * to the global list by the half, and comes back in batches of the same size. Chunks are never
 * given back: a block's memory may be a free list's link at any time, and 4 MB of address space at
 * a time cost nothing until touched.
 */
#include "heap.h"

#include <string.h>

#include "../os/os.h"
#include "lock.h"
#include "sanitize.h"

#define CHUNK ((size_t)4 << 20)
#define LIMIT 32768u
#define LARGEST 32768u

static const uint32_t class_size[WEFTI_SIZE_CLASSES] = {
    16,  32,  48,  64,  80,  96,   112,  128,  160,  192,   224,
    256, 320, 384, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768};

static struct {
    struct wefti_lock lock; /* guards all of it; rank WEFTI_RANK_MEM */
    struct wefti_memlist list[WEFTI_SIZE_CLASSES];
    char *chunk, *chunk_end;
} heap;

static unsigned class_of(size_t size) {
    if (size <= 128)
        return size == 0 ? 0 : (unsigned)((size - 1) / 16);
    unsigned c = 8;
    while (class_size[c] < size)
        c++;
    return c;
}

static uint32_t batch_of(unsigned c) {
    uint32_t n = LIMIT / class_size[c];
    return n > 64 ? 32 : n > 1 ? n / 2 : 1;
}

static void push(struct wefti_memlist *list, void *block) {
    *(void **)block = list->first;
    list->first = block;
    list->n++;
}

static void *pop(struct wefti_memlist *list) {
    void *block = list->first;
    if (block) {
        list->first = *(void **)block;
        list->n--;
    }
    return block;
}

static void *carve(uint32_t size) {
    if (size % 64 == 0) /* whole cache lines: channels count on it */
        heap.chunk += -(uintptr_t)heap.chunk & 63;
    if (heap.chunk > heap.chunk_end)
        heap.chunk = heap.chunk_end;
    if ((size_t)(heap.chunk_end - heap.chunk) < size) {
        char *chunk = os_reserve(CHUNK, 4096);
        if (!chunk)
            return NULL;
        wefti_root_region(chunk, CHUNK);
        heap.chunk = chunk;
        heap.chunk_end = chunk + CHUNK;
    }
    void *block = heap.chunk;
    heap.chunk += size;
    return block;
}

static void *take_global(unsigned c) {
    void *block = pop(&heap.list[c]);
    return block ? block : carve(class_size[c]);
}

static void *refill(struct wefti_memcache *cache, unsigned c) {
    wefti_lock(&heap.lock);
    void *block = take_global(c);
    if (block && cache) {
        for (uint32_t n = batch_of(c); n > 1; n--) {
            void *more = take_global(c);
            if (!more)
                break;
            push(&cache->list[c], more);
        }
    }
    wefti_unlock(&heap.lock);
    return block;
}

static void spill(struct wefti_memlist *list, unsigned c, uint32_t n) {
    wefti_lock(&heap.lock);
    while (n-- > 0 && list->n > 0)
        push(&heap.list[c], pop(list));
    wefti_unlock(&heap.lock);
}

static size_t whole_pages(size_t size) {
    return (size + 4095) & ~(size_t)4095;
}

void *wefti_heap_alloc(struct wefti_memcache *cache, size_t size) {
    if (unlikely(size > LARGEST)) {
        void *block = os_reserve(whole_pages(size), 4096);
        if (block)
            wefti_root_region(block, whole_pages(size));
        return block;
    }
    unsigned c = class_of(size);
    void *block = cache ? pop(&cache->list[c]) : NULL;
    return likely(block != NULL) ? block : refill(cache, c);
}

void wefti_heap_free(struct wefti_memcache *cache, void *block, size_t size) {
    if (!block)
        return;
    if (unlikely(size > LARGEST)) {
        wefti_root_region_gone(block, whole_pages(size));
        os_release(block, whole_pages(size));
        return;
    }
    unsigned c = class_of(size);
    if (!cache) {
        wefti_lock(&heap.lock);
        push(&heap.list[c], block);
        wefti_unlock(&heap.lock);
        return;
    }
    if (unlikely(cache->list[c].n >= 2 * batch_of(c)))
        spill(&cache->list[c], c, batch_of(c));
    push(&cache->list[c], block);
}

void wefti_heap_after_fork(void) {
    memset(&heap, 0, sizeof heap);
}

void wefti_heap_flush(struct wefti_memcache *cache) {
    for (unsigned c = 0; c < WEFTI_SIZE_CLASSES; c++)
        spill(&cache->list[c], c, UINT32_MAX);
}
