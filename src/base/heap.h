/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime's own memory: no libc lock is ever taken under the runtime (a goroutine that holds
 * malloc's lock may be stopped), so channels, timers, contexts and boxes live here.
 *
 * Size classes up to 32 KB, cut from chunks of the system's; each P keeps a cache (a free list a
 * class), refilled from and spilled to a global list in batches. Larger blocks are mappings of
 * their own. The size is given back at free. The layers above use wefti_alloc and wefti_free
 * (rt/mem.h), which know the P.
 */
#ifndef WEFTI_BASE_HEAP_H
#define WEFTI_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define WEFTI_SIZE_CLASSES 22

/* A P's free blocks of one class, linked through their first word. */
struct wefti_memlist {
    void *first;
    uint32_t n;
};

struct wefti_memcache {
    struct wefti_memlist list[WEFTI_SIZE_CLASSES];
};

/* NULL when the system has no more. A NULL cache stands for the global lists, under their lock. */
void *wefti_heap_alloc(struct wefti_memcache *cache, size_t size);
void wefti_heap_free(struct wefti_memcache *cache, void *block, size_t size);
/* Gives all that a cache holds to the global lists: its P goes. */
void wefti_heap_flush(struct wefti_memcache *cache);
/* In a fork's child: nothing of before is used again, but may be freed. */
void wefti_heap_after_fork(void);

#endif
