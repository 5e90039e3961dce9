/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 4-ary min-heap of (moment, timer).
 *
 * Entry i has its children at 4i + 1 … 4i + 4 and its parent at (i - 1) / 4. Invariant: no entry is
 * later than its children, and entries[i].t->slot == i for all i < n. Timers of the same moment
 * come out in no particular order, but in the same one for the same calls.
 *
 * Four children are 64 bytes: entries is three entries into its block, so that they share a cache
 * line where the block begins on one, as large ones do. Sifting carries the moving entry in
 * registers and writes each place once.
 */
#include "timer.h"

#include "../base/throw.h"
#include "../rt/mem.h"

#define ARITY 4
#define PAD 3          /* entries before the first: puts entries[1] on a line of its own */
#define BLOCK_FIRST 64 /* entries of the first block, PAD included */

static void place(struct wefti_timers *ts, uint32_t i, struct wefti_timers_entry e) {
    ts->entries[i] = e;
    e.t->slot = i;
}

/* Finds the place for e, coming from the hole i, towards the top … */
static void sift_up(struct wefti_timers *ts, uint32_t i, struct wefti_timers_entry e) {
    while (i > 0) {
        uint32_t parent = (i - 1) / ARITY;
        if (ts->entries[parent].when <= e.when)
            break;
        place(ts, i, ts->entries[parent]);
        i = parent;
    }
    place(ts, i, e);
}

/* The earliest of the children first … last - 1. */
static uint32_t earliest(const struct wefti_timers_entry *entries, uint32_t first, uint32_t last) {
    uint32_t best = first;
    int64_t when = entries[first].when;
    for (uint32_t i = first + 1; i < last; i++) {
        bool less = entries[i].when < when;
        best = less ? i : best;
        when = less ? entries[i].when : when;
    }
    return best;
}

/* … or towards the leaves. */
static void sift_down(struct wefti_timers *ts, uint32_t i, struct wefti_timers_entry e) {
    for (;;) {
        uint64_t first = (uint64_t)i * ARITY + 1;
        if (first >= ts->n)
            break;
        uint32_t last = first + ARITY < ts->n ? (uint32_t)first + ARITY : ts->n;
        uint32_t child = earliest(ts->entries, (uint32_t)first, last);
        if (ts->entries[child].when >= e.when)
            break;
        place(ts, i, ts->entries[child]);
        i = child;
    }
    place(ts, i, e);
}

static void settle(struct wefti_timers *ts, uint32_t hole, struct wefti_timers_entry e) {
    if (hole > 0 && e.when < ts->entries[(hole - 1) / ARITY].when)
        sift_up(ts, hole, e);
    else
        sift_down(ts, hole, e);
}

static void grow(struct m *mp, struct wefti_timers *ts) {
    struct wefti_timers_entry *old = ts->entries;
    uint32_t had = ts->cap + PAD;
    if (old && had > UINT32_MAX / 2)
        wefti_fatal("out of memory");
    uint32_t n = old ? 2 * had : BLOCK_FIRST;
    struct wefti_timers_entry *block = wefti_alloc(mp, n * sizeof *block);
    if (!block)
        wefti_fatal("out of memory");
    for (uint32_t i = 0; i < ts->n; i++)
        block[PAD + i] = old[i];
    if (old)
        wefti_free(mp, old - PAD, had * sizeof *old);
    ts->entries = block + PAD;
    ts->cap = n - PAD;
}

void wefti_timers_add(struct m *mp, struct wefti_timers *ts, struct wefti_timer *t, int64_t when) {
    if (unlikely(ts->n == ts->cap))
        grow(mp, ts);
    uint32_t hole = ts->n;
    store_relaxed(&ts->n, hole + 1); /* a count for those who only look */
    t->when = when;
    sift_up(ts, hole, (struct wefti_timers_entry){when, t});
}

void wefti_timers_remove(struct wefti_timers *ts, struct wefti_timer *t) {
    uint32_t hole = t->slot;
    uint32_t last = ts->n - 1;
    wefti_assert(hole <= last && ts->entries[hole].t == t);
    store_relaxed(&ts->n, last);
    if (hole != last)
        settle(ts, hole, ts->entries[last]);
}

void wefti_timers_adjust(struct wefti_timers *ts, struct wefti_timer *t, int64_t when) {
    wefti_assert(t->slot < ts->n && ts->entries[t->slot].t == t);
    t->when = when;
    settle(ts, t->slot, (struct wefti_timers_entry){when, t});
}

bool wefti_timers_publish(struct wefti_timers *ts) {
    int64_t before = ts->first;
    int64_t first = ts->n > 0 ? ts->entries[0].when : 0;
    wefti_assert(ts->n == 0 || first > 0); /* 0 says that there is none */
    if (first == before)
        return false;
    store_release(&ts->first, first); /* pairs with the loads in wefti_timers_first, _due */
    return first != 0 && (before == 0 || first < before);
}

void wefti_timers_release(struct m *mp, struct wefti_timers *ts) {
    if (ts->entries)
        wefti_free(mp, ts->entries - PAD, (ts->cap + PAD) * sizeof *ts->entries);
    ts->entries = NULL;
    ts->cap = 0;
    store_relaxed(&ts->n, 0); /* the monitor may look at these two even now */
    store_relaxed(&ts->first, 0);
}
