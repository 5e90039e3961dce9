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

/* A dead G; NULL when there is no memory. Its park word and timer are idle; the rest is the taker's
 * to set. */
struct g *wefti_g_take(struct p *pp);
void wefti_g_give(struct p *pp, struct g *gp);
void wefti_g_flush(struct p *pp);

/* Calls fn for every G ever carved, in order of carving, until it returns false. Takes no lock. */
void wefti_g_foreach(bool (*fn)(struct g *gp, void *arg), void *arg);

#endif
