/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brackets: weft_block_enter and weft_block_exit around code that may block in the kernel.
 *
 * Entering leaves the P behind in state SYSCALL, with nobody's claim on it: whoever changes that
 * state by compare-and-swap owns the P. sysmon takes it for others after a tick; a stop of the
 * world takes it at once; the M takes it back at the end of the bracket if it is still there. In
 * that last case a bracket costs two compare-and-swaps and no lock. An M that finds its P gone
 * takes an idle one or sends its goroutine to the global queue and sleeps.
 *
 * The release of SYSCALL pairs with the takers' swap: what the goroutine did before is seen by
 * those who run on the P next. A P in SYSCALL may have work in its queue; thieves may take that as
 * from any P.
 *
 * A weft call inside the bracket takes a P for its duration, as a foreign thread's call does
 * (enter.c); the goroutine can't move to another thread meanwhile, for the bracket is its thread's.
 */
#include <weft/go.h>

#include "state.h"

void weft_block_enter(void) {
    struct m *mp = wefti_enter();
    mp->depth++;
    if (mp->giveback == WEFTI_GIVEBACK ||
        mp->depth > 1) { /* a foreign thread has no P between calls; nor has an outer bracket */
        wefti_leave(mp);
        return;
    }
    mp->giveback = 0;
    struct p *pp = mp->p;
    mp->oldp = pp;
    store_relaxed(&pp->syscalltick, load_relaxed(&pp->syscalltick) + 1);
    store_relaxed(&mp->curg->status, WEFTI_G_SYSCALL);
    store_relaxed(&mp->curg->since, wefti_stamp());
    store_relaxed(&mp->attn.is.bracket, 1);
    store_relaxed(&mp->p, NULL);
    store_seqcst(&pp->status,
                 WEFTI_P_SYSCALL); /* pairs with the swaps of sysmon, weft_block_exit, stop_world */
    if (unlikely(load_seqcst(&S.stopping))) {
        uint32_t syscall = WEFTI_P_SYSCALL;
        wefti_lock(&S.lock);
        if (S.stopping && cas_seqcst(&pp->status, &syscall, WEFTI_P_STOPPED)) {
            store_relaxed(&pp->m, NULL);
            wefti_stop_world_p(pp);
        }
        wefti_unlock(&S.lock);
    }
    if (unlikely(load_relaxed(&S.monsleep)))
        wefti_sysmon_kick_locked();
    store_release(&mp->inrt, 0);
}

struct m *wefti_without_p(struct m *mp, bool may_move) {
    struct g *gp = mp->curg;
    if (unlikely(load_relaxed(&mp->attn.is.ended)))
        wefti_abandon(mp);
    if (may_move && !gp->bound)
        return wefti_switch_away(mp, gp, WEFTI_POST_NEED_P);
    bool bound = gp->bound != NULL;
    wefti_bind(gp, mp);
    if (!wefti_need_p(mp, gp))
        wefti_abandon(mp);
    if (!bound)
        wefti_bind(gp, NULL);
    return mp;
}

void weft_block_exit(void) {
    struct m *mp = arch_getm();
    if (!mp || load_relaxed(&mp->attn.is.foreign) || mp->depth > 1) {
        if (mp && mp->depth > 0)
            mp->depth--;
        return;
    }
    if (mp->depth == 0)
        wefti_fatal("weft_block_exit without weft_block_enter");
    if (unlikely(load_relaxed(&mp->attn.is.forked))) { /* weft_block(fork()): in the child */
        mp->depth = 0;
        return;
    }
    store_relaxed(&mp->inrt, 1);
    compiler_barrier(); /* as in wefti_enter_as */
    mp->depth = 0;
    store_relaxed(&mp->attn.is.bracket, 0);
    struct p *pp = mp->oldp;
    uint32_t syscall = WEFTI_P_SYSCALL;
    if (likely(!load_acquire(&mp->attn.is.ended) &&
               cas_seqcst(&pp->status, &syscall, WEFTI_P_RUNNING))) { /* with block_enter */
        wefti_see_inside(load_relaxed(&pp->m)); /* another's, if the P came round meanwhile */
        store_relaxed(&mp->p, pp);
        store_release(&pp->m, mp); /* pairs with the load in look_at_running */
        store_relaxed(&pp->syscalltick, load_relaxed(&pp->syscalltick) + 1);
    } else {
        mp = wefti_without_p(mp, true);
    }
    store_relaxed(&mp->curg->status, WEFTI_G_RUNNING);
    wefti_leave(mp);
}

/* The end of a weft call inside a bracket. */
void wefti_leave_bracket(struct m *mp) {
    struct g *gp = mp->curg;
    mp->giveback = 0;
    if (!mp->inner_bound)
        wefti_bind(gp, NULL);
    store_relaxed(&gp->status, WEFTI_G_SYSCALL);
    wefti_hand_off(mp, wefti_release_p(mp));
}
