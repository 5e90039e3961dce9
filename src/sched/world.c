/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping and starting the world, and changing the number of Ps while it is stopped.
 *
 * Stopped means: every P is in state STOPPED and belongs to the stopper. Idle Ps and those left in
 * a bracket are taken at once; an M that runs a goroutine gives its P up at its next call into weft
 * (its attention byte says so), where it is (by the preemption signal), or when it looks for work.
 * The last to stop wakes the stopper. `stopping` is set and Ps are counted under sched.lock, so a P
 * is counted exactly once.
 *
 * Afterwards all goes on where it was: a goroutine that was stopped stands in front of its P's queue,
 * and the P goes to the M that gave it up, unless that has found no time yet to go idle.
 *
 * One stopper at a time: `worldlock`. A second one must not wait for it with a P in hand, which the
 * first one waits for: it gives way like any goroutine that is asked to, and tries again.
 */
#include <string.h>

#include "../runq/runq.h"
#include "../stack/gslab.h"
#include "../stack/stack.h"
#include "../timer/timer.h"
#include "state.h"

static void preempt_all(void) {
    for (uint32_t i = 0; i < S.nprocs; i++)
        if (load_relaxed(&S.allp[i]->status) == WEFTI_P_RUNNING)
            wefti_preempt_p(S.allp[i], WEFTI_SLICE_OVER);
}

/* With the lock: Ps left in a bracket, or by a stray, which does not look for a stop. */
static void stop_syscalls(void) {
    for (uint32_t i = 0; i < S.nprocs; i++) {
        struct p *pp = S.allp[i];
        struct m *mp = load_relaxed(&pp->m);
        uint32_t syscall = WEFTI_P_SYSCALL;
        if (!cas_seqcst(&pp->status, &syscall, WEFTI_P_STOPPED))
            continue;
        if (mp)
            wefti_see_inside(mp);
        store_relaxed(&pp->m, NULL);
        wefti_stop_world_p(pp);
    }
}

static bool run_is_over(struct m *mp) {
    if (load_acquire(&S.phase) == WEFTI_UP)
        return false;
    if (!load_relaxed(&mp->attn.is.foreign))
        wefti_abandon(mp);
    return true;
}

/* The M afterwards; a foreign thread's call whose run is over gets the outside M or one with
 * nothing stopped. */
struct m *wefti_stop_world(struct m *mp) {
    uint32_t free = 0;
    while (!cas_acquire(&S.worldlock, &free, 1)) { /* pairs with the release in wefti_start_world */
        free = 0;
        struct m *after = wefti_captive(mp, mp->curg);
        if (after != mp)
            return after;
    }
    wefti_lock(&S.lock);
    S.stopwait = S.nprocs + 1;
    store_relaxed(&S.stopnote, 0);
    store_seqcst(&S.stopping,
                 1); /* pairs with the look in weft_block_enter after it stored SYSCALL */
    wefti_stop_world_p(mp->p);
    for (struct p *pp; (pp = wefti_pidle_get()) != NULL;)
        wefti_stop_world_p(pp);
    stop_syscalls();
    S.stopwait--; /* the one more: nobody wakes the stopper before it waits */
    bool done = S.stopwait == 0;
    wefti_unlock(&S.lock);
    while (!done) {
        preempt_all();
        os_futex_wait(&S.stopnote, 0, os_nanotime() + WEFTI_RETRY);
        wefti_lock(&S.lock);
        if (S.stopping)
            stop_syscalls();
        wefti_unlock(&S.lock);
        done = load_acquire(&S.stopnote); /* pairs with wefti_stop_world_p */
        if (!done && run_is_over(mp))
            return wefti_foreign_over(mp);
    }
    store_relaxed(&mp->attn.is.preempt, 0);
    return run_is_over(mp) ? wefti_foreign_over(mp) : mp;
}

void wefti_start_world(struct m *mp) {
    struct p *run = NULL;
    wefti_lock(&S.lock);
    store_seqcst(&S.stopping, 0);
    for (uint32_t i = S.nprocs; i-- > 0;) {
        struct p *pp = S.allp[i];
        if (pp == mp->p)
            continue;
        wefti_flush_yielded(pp); /* an idle P holds nothing */
        if (wefti_runq_empty(&pp->runq)) {
            pp->stopm = NULL;
            wefti_pidle_put(pp);
        } else {
            pp->link = run;
            run = pp;
        }
    }
    store_release(&mp->p->status, WEFTI_P_RUNNING);
    if (S.monsleep)
        wefti_sysmon_kick();
    wefti_unlock(&S.lock);
    while (run) {
        struct p *pp = run;
        run = pp->link;
        wefti_start_m(pp, false);
    }
    store_release(&S.worldlock, 0);   /* pairs with the swap in wefti_stop_world */
    if (load_relaxed(&S.npidle) != 0) /* for the global queue, and what the others' queues hold */
        wefti_wakep(mp);
}

/* ---- the number of Ps ---- */

/* The monitor has seen none of its slices: the first one begins when it does. */
void wefti_first_slice(struct p *pp) {
    memset(&pp->mon, 0, sizeof pp->mon);
    pp->syscalltick = pp->slicetick = 0;
    pp->schedtick = 1;
}

/* NULL without memory. */
static struct p *new_p(uint32_t id) {
    struct wefti_timers *timers = wefti_timers_new();
    struct p *pp = timers ? os_reserve((sizeof *pp + 4095) & ~(size_t)4095, 4096) : NULL;
    if (!pp) {
        wefti_heap_free(NULL, timers, sizeof *timers);
        return NULL;
    }
    pp->id = id;
    pp->timers = timers;
    pp->globaltick = WEFTI_GLOBAL_EVERY;
    pp->status = WEFTI_P_DEAD;
    wefti_first_slice(pp);
    return pp;
}

/* Makes Ps up to n; how many there are, which is less without memory. */
static uint32_t make_ps(uint32_t n) {
    for (uint32_t i = S.nallp; i < n; i++) {
        struct p *pp = new_p(i);
        if (!pp)
            return i;
        S.allp[i] = pp;
        store_release(&S.nallp, i + 1); /* pairs with those who walk allp without the lock */
    }
    return n;
}

/* What a P holds goes to the others. */
static void drain(struct m *mp, struct p *pp, struct p *heir) {
    struct g *gp;
    bool front;
    wefti_lock(&S.lock);
    while ((gp = wefti_runq_get(&pp->runq, true, &front)) != NULL)
        wefti_glist_push(&S.global, gp);
    wefti_flush_yielded(pp);
    wefti_unlock(&S.lock);
    if (heir)
        wefti_timers_move(mp, pp->timers, heir->timers);
    wefti_g_flush(pp);
    wefti_stack_flush(pp);
    wefti_heap_flush(&pp->mem);
    store_relaxed(&pp->status, WEFTI_P_DEAD);
}

/*
 * The world is stopped, or not yet started; mp has a P if any exist. Without memory for so many there
 * are fewer; false when there is none for even one.
 */
bool wefti_resize(struct m *mp, uint32_t n) {
    n = make_ps(n);
    if (n == 0)
        return false;
    if (!mp->p || mp->p->id >= n) {
        struct p *old = mp->p;
        store_relaxed(&mp->p, NULL);
        if (old)
            store_relaxed(&old->m, NULL);
        wefti_acquire_p(mp, S.allp[0]);
    }
    for (uint32_t i = n; i < S.nprocs; i++)
        drain(mp, S.allp[i], mp->p);
    wefti_lock(&S.lock);
    for (uint32_t i = 0; i < n; i++) {
        S.allp[i]->single = n == 1;
        S.allp[i]->seeded = S.seeded;
        if (load_relaxed(&S.allp[i]->status) == WEFTI_P_DEAD)
            store_relaxed(&S.allp[i]->status, WEFTI_P_STOPPED);
    }
    store_release(&S.nprocs, n); /* pairs with those who walk allp without the lock */
    wefti_unlock(&S.lock);
    return true;
}
