/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Gs live: dense slabs apart from the stacks, so that schedulers, dumps and thieves touch a
 * goroutine without touching its stack. Slabs are never given back or reused for anything else: a
 * pointer to a G stays a pointer to some G, which is what lets a late claim (a stale ticket) fail
 * harmlessly.
 */
#ifndef WEFTI_STACK_GSLAB_H
#define WEFTI_STACK_GSLAB_H

#include "../rt/rt.h"

#define WEFTI_GFREE_MOST 256u /* that a P keeps */

struct g *wefti_g_refill(struct p *pp);
void wefti_g_spill(struct p *pp);

/* Free lists are last in, first out: the newest G is the one whose lines are in the cache. */
static inline void wefti_gfree_push(struct wefti_glist *list, struct g *gp) {
    gp->schedlink = list->first;
    list->first = gp;
    store_relaxed(&list->n, list->n + 1); /* schedtrace reads it */
}

static inline struct g *wefti_gfree_pop(struct wefti_glist *list) {
    struct g *gp = list->first;
    list->first = gp->schedlink;
    store_relaxed(&list->n, list->n - 1);
    return gp;
}

/* A dead G; NULL when there is no memory. Its park word and timer are idle; the rest is the taker's
 * to set. */
static inline struct g *wefti_g_take(struct p *pp) {
    return likely(pp->gfree.n > 0) ? wefti_gfree_pop(&pp->gfree) : wefti_g_refill(pp);
}

static inline void wefti_g_give(struct p *pp, struct g *gp) {
    wefti_gfree_push(&pp->gfree, gp);
    if (unlikely(pp->gfree.n > WEFTI_GFREE_MOST))
        wefti_g_spill(pp);
}

void wefti_g_flush(struct p *pp);

/* In a fork's child: all Gs but gp (NULL: none) are forgotten. */
void wefti_g_after_fork(struct g *gp);

/* Calls fn for every G ever carved, in order of carving, until it returns false. Takes no lock. */
void wefti_g_foreach(bool (*fn)(struct g *gp, void *arg), void *arg);

#endif
