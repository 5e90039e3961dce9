/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's memory for an M: from its P's cache. An M without a P (or no M at all) uses the
 * global lists. */
#ifndef WEFTI_RT_MEM_H
#define WEFTI_RT_MEM_H

#include <string.h>

#include "../base/heap.h"
#include "rt.h"

static inline struct wefti_memcache *wefti_memcache(struct m *mp) {
    return likely(mp && mp->p) ? &mp->p->mem : NULL;
}

/* NULL when the system has no more. Not zeroed. */
static inline void *wefti_alloc(struct m *mp, size_t size) {
    return wefti_heap_alloc(wefti_memcache(mp), size);
}

static inline void *wefti_zalloc(struct m *mp, size_t size) {
    void *block = wefti_alloc(mp, size);
    return block ? memset(block, 0, size) : NULL;
}

static inline void wefti_free(struct m *mp, void *block, size_t size) {
    wefti_heap_free(wefti_memcache(mp), block, size);
}

#endif
