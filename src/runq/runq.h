/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A P's queue of runnable goroutines: a ring with one owner that puts and takes, and any number of
 * thieves.
 *
 *   tail  written by the owner alone: put writes the slot, then tail (release)
 *   head  moved by whoever takes, by compare-and-swap: the one whose swap wins owns the slots that
 *         it moved over
 *   next  one slot in front of the ring, exchanged by owner and thieves
 *
 * Put's release of tail pairs with the thief's acquire of it (the slots are written); a taker's
 * release of head pairs with put's acquire of it (the slots are read, and may be written over).
 * Indices run freely; tail - head is the length, and both wrap at 2^32, a multiple of the size.
 *
 * With one P there are no thieves: `alone` says so, and nothing needs an atomic read-modify-write.
 *
 * Pure data: whatever does not fit is returned, and the caller sees to it. Compiles alone, with any
 * power of two as WEFTI_RUNQ_SIZE, for a model checker.
 */
#ifndef WEFTI_RUNQ_RUNQ_H
#define WEFTI_RUNQ_RUNQ_H

#include "../rt/rt.h"

#define WEFTI_RUNQ_MASK (WEFTI_RUNQ_SIZE - 1)
_Static_assert((WEFTI_RUNQ_SIZE & WEFTI_RUNQ_MASK) == 0,
               "indices wrap: the size is a power of two");

/* Owner: to the tail. False when the ring is full (nothing was put). */
static inline bool wefti_runq_put(struct wefti_runq *q, struct g *gp) {
    uint32_t head =
        load_acquire(&q->head); /* pairs with the takers' release: the slot has been read */
    uint32_t tail = q->tail;
    if (unlikely(tail - head >= WEFTI_RUNQ_SIZE))
        return false;
    store_relaxed(&q->ring[tail & WEFTI_RUNQ_MASK], gp);
    store_release(&q->tail, tail + 1); /* pairs with wefti_runq_grab's acquire */
    return true;
}

/* Owner: in front; returns the one that stood there, or NULL. */
static inline struct g *wefti_runq_put_next(struct wefti_runq *q, struct g *gp, bool alone) {
    if (!alone)
        return xchg_seqcst(
            &q->next, gp); /* pairs with thieves; and StoreLoad with the look at idle Ps after it */
    struct g *old = q->next;
    store_relaxed(&q->next, gp);
    return old;
}

/* Owner: the front alone. */
static inline struct g *wefti_runq_take_next(struct wefti_runq *q, bool alone) {
    if (!alone)
        return xchg_acquire(&q->next, NULL); /* pairs with put_next of a former owner */
    struct g *gp = q->next;
    store_relaxed(&q->next, NULL);
    return gp;
}

/* Owner: the head of the ring. */
static inline struct g *wefti_runq_get_ring(struct wefti_runq *q, bool alone) {
    uint32_t head = load_acquire(&q->head); /* pairs with thieves' release */
    for (;;) {
        if (head == q->tail)
            return NULL;
        struct g *gp = load_relaxed(&q->ring[head & WEFTI_RUNQ_MASK]);
        if (alone) {
            store_relaxed(&q->head, head + 1);
            return gp;
        }
        if (cas_acqrel(&q->head, &head, head + 1)) /* pairs with wefti_runq_put's acquire */
            return gp;
    }
}

/* Owner: the front, else the head; *front says which. */
static inline struct g *wefti_runq_get(struct wefti_runq *q, bool alone, bool *front) {
    struct g *gp = load_relaxed(&q->next);
    *front = true;
    if (gp && alone) {
        store_relaxed(&q->next, NULL);
        return gp;
    }
    if (gp &&
        (gp = xchg_acquire(&q->next, NULL)) != NULL) /* pairs with put_next of a former owner */
        return gp;
    *front = false;
    return wefti_runq_get_ring(q, alone);
}

/* Anybody: how many in the ring (not the front). A moment's truth. */
static inline uint32_t wefti_runq_len(const struct wefti_runq *q) {
    uint32_t head = load_acquire(&q->head);
    uint32_t n = load_acquire(&q->tail) - head;
    return n <= WEFTI_RUNQ_SIZE ? n : 0;
}

/* Anybody: nothing in the ring nor in front, at one moment between call and return. */
bool wefti_runq_empty(const struct wefti_runq *q);
/* Owner of a full ring: takes its older half out, as a list of WEFTI_RUNQ_SIZE/2; false when
 * thieves were there first. */
bool wefti_runq_take_half(struct wefti_runq *q, bool alone, struct wefti_glist *out);
/* Thief, owner of `to`, which is empty: half of `from` (rounded up), the front too when there is
 * nothing else and `take_front`. Returns one to run; the others are in `to`. */
struct g *wefti_runq_steal(struct wefti_runq *to, struct wefti_runq *from, bool take_front);

static inline void wefti_glist_push(struct wefti_glist *list, struct g *gp) {
    gp->schedlink = NULL;
    if (list->last)
        list->last->schedlink = gp;
    else
        list->first = gp;
    list->last = gp;
    store_relaxed(&list->n, list->n + 1);
}

static inline void wefti_glist_push_front(struct wefti_glist *list, struct g *gp) {
    gp->schedlink = list->first;
    list->first = gp;
    if (!list->last)
        list->last = gp;
    store_relaxed(&list->n, list->n + 1);
}

static inline struct g *wefti_glist_pop(struct wefti_glist *list) {
    struct g *gp = list->first;
    if (gp) {
        list->first = gp->schedlink;
        if (!list->first)
            list->last = NULL;
        store_relaxed(&list->n, list->n - 1);
    }
    return gp;
}

/* All of `from` to the tail of `to`. */
static inline void wefti_glist_append(struct wefti_glist *to, struct wefti_glist *from) {
    if (!from->first)
        return;
    if (to->last)
        to->last->schedlink = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    store_relaxed(&to->n, to->n + from->n);
    from->first = from->last = NULL;
    store_relaxed(&from->n, 0);
}

#endif
