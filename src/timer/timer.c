/* SPDX-License-Identifier: Apache-2.0 */
/* Arming, stopping and firing; timer.h has the protocol and argues its races. */
#include "timer.h"

#include "../base/throw.h"
#include "../rt/mem.h"
#include "../rt/plock.h"

static void lock(struct m *mp, struct wefti_timers *ts) {
    wefti_plock(mp, &ts->lock, WEFTI_RANK_TIMERS);
}

static void unlock(struct m *mp, struct wefti_timers *ts) {
    wefti_punlock(mp, &ts->lock, WEFTI_RANK_TIMERS);
}

/* Locks the heap that t is in and returns it, NULL when t is not armed. */
static struct wefti_timers *lock_heap(struct m *mp, struct wefti_timer *t) {
    for (;;) {
        struct wefti_timers *ts = load_acquire(&t->heap); /* pairs with wefti_timer_detach */
        if (!ts)
            return NULL;
        lock(mp, ts);
        if (likely(load_relaxed(&t->heap) == ts)) /* under the lock that guards it, if it is so */
            return ts;
        unlock(mp, ts);
    }
}

/* Unlocks and, when there is an earlier moment now, says so. */
static void publish(struct m *mp, struct wefti_timers *ts, int64_t when) {
    bool earlier = wefti_timers_publish(ts);
    unlock(mp, ts);
    if (earlier)
        wefti_timer_earlier(mp, when);
}

void wefti_timer_arm(struct m *mp, struct wefti_timer *t, int64_t when, int64_t period) {
    struct wefti_timers *ts = mp->p->timers;
    wefti_assert(load_relaxed(&t->heap) == NULL && when > 0 && period >= 0);
    lock(mp, ts);
    t->period = period;
    wefti_timers_add(mp, ts, t, when);
    store_relaxed(&t->heap, ts); /* whoever reads it takes the lock */
    publish(mp, ts, when);
}

bool wefti_timer_disarm(struct m *mp, struct wefti_timer *t) {
    struct wefti_timers *ts = lock_heap(mp, t);
    if (!ts)
        return false;
    wefti_timers_remove(ts, t);
    wefti_timer_detach(t);
    wefti_timers_publish(ts);
    unlock(mp, ts);
    return true;
}

/* Arms a timer that others may want to arm too: false when one of them did. */
static bool try_arm(struct m *mp, struct wefti_timer *t, int64_t when, int64_t period) {
    struct wefti_timers *ts = mp->p->timers;
    struct wefti_timers *none = NULL;
    lock(mp, ts);
    if (!cas_acquire(&t->heap, &none, ts)) { /* pairs with wefti_timer_detach */
        unlock(mp, ts);
        return false;
    }
    t->period = period;
    wefti_timers_add(mp, ts, t, when);
    publish(mp, ts, when);
    return true;
}

bool wefti_timer_rearm(struct m *mp, struct wefti_timer *t, int64_t when, int64_t period) {
    wefti_assert(when > 0 && period >= 0);
    for (;;) {
        struct wefti_timers *ts = lock_heap(mp, t);
        if (ts) {
            t->period = period;
            wefti_timers_adjust(ts, t, when);
            publish(mp, ts, when);
            return true;
        }
        if (try_arm(mp, t, when, period))
            return false;
    }
}

/* The first multiple of the period after now, from when on. */
static int64_t next_tick(int64_t when, int64_t period, int64_t now) {
    int64_t missed = (now - when) / period;
    int64_t ahead;
    if (__builtin_mul_overflow(missed + 1, period, &ahead) ||
        __builtin_add_overflow(when, ahead, &when))
        return INT64_MAX;
    return when;
}

/* Fires the first timer of a locked heap. */
static void fire(struct m *mp, struct wefti_timers *ts, struct wefti_timer *t, int64_t now) {
    if (t->period > 0) {
        wefti_timers_adjust(ts, t, next_tick(t->when, t->period, now));
        bool late = t->fire(mp, t, now);
        wefti_assert(!late);
        (void)late;
        return;
    }
    wefti_timers_remove(ts, t);
    if (t->fire == wefti_timer_wakes) {
        struct wefti_timer copy = {.when = t->when, .arg = t->arg, .seq = t->seq};
        wefti_timer_detach(t);
        wefti_timer_wakes(mp, &copy, now);
        return;
    }
    void (*late)(struct m *, struct wefti_timer *) = t->late;
    bool more = t->fire(mp, t, now);
    wefti_timer_detach(t);
    if (!more)
        return;
    wefti_timers_publish(ts);
    unlock(mp, ts);
    late(mp, t);
    lock(mp, ts);
}

struct wefti_timers *wefti_timers_new(void) {
    char *block = wefti_zalloc(NULL, sizeof(struct wefti_timers) + WEFTI_CACHELINE - 1);
    uintptr_t past = (uintptr_t)block % WEFTI_CACHELINE;
    if (!block)
        return NULL;
    return (struct wefti_timers *)(void *)(past ? block + WEFTI_CACHELINE - past : block);
}

size_t wefti_timers_run(struct m *mp, struct wefti_timers *ts, int64_t now) {
    size_t ran = 0;
    if (!wefti_timers_due(ts, now))
        return 0;
    lock(mp, ts);
    while (ts->n > 0 && ts->entries[0].when <= now) {
        fire(mp, ts, ts->entries[0].t, now);
        ran++;
    }
    wefti_timers_publish(ts);
    unlock(mp, ts);
    return ran;
}

void wefti_timers_move(struct m *mp, struct wefti_timers *from, struct wefti_timers *to) {
    for (uint32_t i = 0; i < from->n; i++) {
        struct wefti_timer *t = from->entries[i].t;
        wefti_timers_add(mp, to, t, from->entries[i].when);
        store_relaxed(&t->heap, to); /* the world is stopped */
    }
    wefti_timers_publish(to);
    wefti_timers_release(mp, from);
}

void wefti_timers_clear(struct m *mp, struct wefti_timers *ts) {
    for (uint32_t i = 0; i < ts->n; i++) {
        struct wefti_timer *t = ts->entries[i].t;
        wefti_timer_detach(t);
        wefti_timer_drop(mp, t); /* it may be gone */
    }
    wefti_timers_release(mp, ts);
}

bool wefti_timers_matter(struct wefti_timers *ts) {
    for (uint32_t i = 0; i < ts->n; i++) {
        const struct wefti_timer *t = ts->entries[i].t;
        if (t->fire != wefti_timer_posts || wefti_timer_awaited(t))
            return true;
    }
    return false;
}
