/* SPDX-License-Identifier: Apache-2.0 */
/* The rare operations of a run queue: overflow and theft. The protocol is at the head of runq.h. */
#include "runq.h"

bool wefti_runq_empty(const struct wefti_runq *q) {
    /*
     * The owner moves a goroutine from next to the ring (put_next kicks one out), so looking at the
     * ring and then at next could miss it twice. An unchanged tail around the two looks means that
     * it did not happen between them.
     */
    for (;;) {
        uint32_t head = load_seqcst(&q->head), tail = load_seqcst(&q->tail);
        struct g *next = load_seqcst(&q->next);
        if (tail == load_seqcst(&q->tail))
            return head == tail && next == NULL;
    }
}

bool wefti_runq_take_half(struct wefti_runq *q, bool alone, struct wefti_glist *out) {
    struct g *batch[WEFTI_RUNQ_SIZE / 2];
    uint32_t head = load_acquire(&q->head); /* pairs with thieves' release */
    const uint32_t n = WEFTI_RUNQ_SIZE / 2;
    if (q->tail - head < n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        batch[i] = load_relaxed(&q->ring[(head + i) & WEFTI_RUNQ_MASK]);
    if (alone)
        store_relaxed(&q->head, head + n);
    else if (!cas_acqrel(&q->head, &head, head + n)) /* pairs with wefti_runq_put's acquire */
        return false;
    for (uint32_t i = 0; i < n; i++)
        wefti_glist_push(out, batch[i]);
    return true;
}

/* Copies half of `from` into the free slots of `to` from index `at` on; how many, or 0. */
static uint32_t grab(struct wefti_runq *to, uint32_t at, struct wefti_runq *from) {
    for (;;) {
        uint32_t head = load_acquire(&from->head); /* pairs with the other takers' release */
        uint32_t tail = load_acquire(&from->tail); /* pairs with wefti_runq_put's release */
        uint32_t n = tail - head;
        n -= n / 2;
        if (n == 0)
            return 0;
        if (n > WEFTI_RUNQ_SIZE / 2) /* head and tail were read at different moments */
            continue;
        for (uint32_t i = 0; i < n; i++) {
            struct g *gp = load_relaxed(&from->ring[(head + i) & WEFTI_RUNQ_MASK]);
            store_relaxed(&to->ring[(at + i) & WEFTI_RUNQ_MASK], gp);
        }
        if (cas_acqrel(&from->head, &head, head + n)) /* pairs with wefti_runq_put's acquire */
            return n;
    }
}

struct g *wefti_runq_steal(struct wefti_runq *to, struct wefti_runq *from, bool take_front) {
    uint32_t tail = to->tail;
    uint32_t n = grab(to, tail, from);
    if (n == 0)
        return take_front && load_relaxed(&from->next) ? xchg_acquire(&from->next, NULL)
                                                       : NULL; /* put_next's xchg */
    struct g *gp = load_relaxed(&to->ring[(tail + n - 1) & WEFTI_RUNQ_MASK]);
    if (n > 1)
        store_release(&to->tail,
                      tail + n - 1); /* pairs with grab's acquire: others may steal them on */
    return gp;
}
