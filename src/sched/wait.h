/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The park word's transitions, inline: they are what channels and locks do most. rt.h has the states,
 * proc.c the argument why park and ready never miss each other.
 */
#ifndef WEFTI_SCHED_WAIT_H
#define WEFTI_SCHED_WAIT_H

#include "../rt/rt.h"

uint64_t wefti_ticket_block(struct p *pp);
void wefti_ready_slow(struct m *mp, struct g *gp);
void wefti_kick(struct m *mp, struct g *gp);
bool wefti_claim_shared(struct g *gp, uint64_t ticket);

/* Publishes a wait (PARKING) of the calling goroutine and returns its ticket. */
static inline uint64_t wefti_wait_begin(struct m *mp, struct g *gp, enum wefti_reason reason,
                                        bool cancellable) {
    struct p *pp = mp->p;
    uint64_t ticket = likely(pp->ticket < pp->ticket_end) ? pp->ticket++ : wefti_ticket_block(pp);
    store_relaxed(&gp->reason, (uint8_t)reason);
    gp->wake = WEFTI_WAKE_OK;
    uint64_t flags = WEFTI_PARKING | (cancellable ? WEFTI_CANCELLABLE : 0);
    store_release(&gp->wait, ticket << WEFTI_TICKET_SHIFT | flags); /* pairs with wefti_claim */
    return ticket;
}

/* Wins a wait, or doesn't. The winner sets wake (and the sudog's words) and then calls wefti_ready. */
static inline bool wefti_claim(struct m *mp, struct g *gp, uint64_t ticket) {
    if (unlikely(!mp->p->single))
        return wefti_claim_shared(gp, ticket);
    uint64_t w = load_relaxed(&gp->wait);
    if (unlikely(w >> WEFTI_TICKET_SHIFT != ticket || (w & WEFTI_CLAIMED)))
        return false;
    store_relaxed(&gp->wait, w | WEFTI_CLAIMED);
    return true;
}

/* Makes a claimed goroutine runnable (runnext of this P) and wakes an M for it if that's worth it. */
static inline void wefti_ready(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    uint64_t w = load_relaxed(&gp->wait);
    if (unlikely(!pp->single || (w & (WEFTI_PARKED | WEFTI_HELD)) != WEFTI_PARKED || pp->seeded)) {
        wefti_ready_slow(mp, gp);
        return;
    }
    store_relaxed(&gp->wait, 0);
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    struct g *old = pp->runq.next;
    store_relaxed(&pp->runq.next, gp);
    if (unlikely(old != NULL))
        wefti_kick(mp, old);
}

#endif
