/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow ways in and out of the runtime: what the attention byte of an M may ask for, and threads
 * that have no M.
 *
 *   no M       a thread of the program's. While a run is on it gets a record and a goroutine that
 *              stands for it; each call takes a P at its start and gives it back at its end. Without
 *              a run, calls that need none (making, trying, freeing) work under one lock, as "the
 *              outside M"; while a run ends they wait until it has ended
 *   nested     a signal handler that interrupted the runtime called into it: the program ends, since
 *              the lists it would touch are half changed
 *   forked     the child of a fork: only exec is allowed, or weft_after_fork
 *   ended      the run is over: the goroutine goes no further, its M ends
 *   foreign    see above
 *   bracket    a call inside weft_block: takes a P for its duration
 *   stolen     its P was taken while it was in a system call: needs one, like a bracket's end; or
 *              the monitor is about to take it, and comes too late
 *   deaf       it did not answer the preemption signal: its thread must hear it again
 *   preempt    the time slice is over, or the world stops: in a call that may park the goroutine
 *              goes to the global queue, in others it stays on its thread and waits for a P (captive)
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "../runq/runq.h"
#include "../timer/timer.h"
#include "state.h"

/* ---- outside ---- */

static struct {
    struct wefti_lock lock; /* held from entry to leave; rank WEFTI_RANK_RUN */
    struct m m;
    struct p p;
} outside;

/* A run is ending: what it leaves behind is not settled yet. */
static void await_end(void) {
    uint32_t phase;
    while ((phase = load_acquire(&S.phase)) == WEFTI_ENDING &&
           !load_relaxed(&S.hasty)) /* pairs with the store of OFF */
        os_futex_wait(&S.phase, phase, -1);
}

static void make_outside(struct m *mp) {
    outside.p.single = 1;
    outside.p.globaltick = WEFTI_GLOBAL_EVERY;
    outside.p.timers = wefti_timers_new();
    mp->p = &outside.p;
    mp->curg = &mp->foreign;
    mp->foreign.foreign = 1;
    wefti_bind(&mp->foreign, mp);
    mp->giveback = WEFTI_GIVEBACK;
    mp->outside = 1;
}

/* NULL when a run has come up meanwhile. */
static struct m *enter_outside(void) {
    await_end();
    wefti_lock(&outside.lock);
    if (load_relaxed(&S.phase) == WEFTI_UP) {
        wefti_unlock(&outside.lock);
        return NULL;
    }
    struct m *mp = &outside.m;
    if (!mp->p)
        make_outside(mp);
    mp->errnop = &errno;
    return mp;
}

/* A run comes up: calls that began outside are over when this returns, and later ones belong to the
 * run. */
void wefti_close_outside(void) {
    wefti_lock(&outside.lock);
    store_release(&S.phase, WEFTI_UP);
    wefti_unlock(&outside.lock);
}

/* ---- threads of the program's ---- */

static pthread_key_t foreign_key;

static void thread_gone(void *arg) {
    struct m *mp = arg;
    wefti_m = NULL;
    wefti_lock(&S.lock);
    for (struct m **link = &S.foreign; *link; link = &(*link)->alllink)
        if (*link == mp) {
            *link = mp->alllink;
            S.nforeign--;
            break;
        }
    wefti_release_m(mp);
    if (S.monsleep)
        wefti_sysmon_kick(); /* the deadlock report may have waited for this thread's end */
    wefti_unlock(&S.lock);
}

static void make_foreign_key(void) {
    pthread_key_create(&foreign_key, thread_gone);
}

static struct m *attach_thread(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_foreign_key);
    wefti_lock(&S.lock);
    struct m *mp = wefti_new_m();
    wefti_unlock(&S.lock);
    if (!mp)
        wefti_fatal("out of memory: no record for this thread");
    mp->errnop = &errno;
    mp->tid = os_gettid();
    mp->attn.is.foreign = 1;
    mp->curg = &mp->foreign;
    mp->foreign.foreign = 1;
    wefti_bind(&mp->foreign, mp);
    mp->foreign.m = mp;
    wefti_m = mp;
    pthread_setspecific(foreign_key, mp);
    return mp;
}

/* Inside a call: the end of the run waits for it. False: there is no run. */
static bool join_run(struct m *mp) {
    wefti_lock(&S.lock);
    bool up = load_relaxed(&S.phase) == WEFTI_UP;
    if (up) {
        if (mp->run != S.run) {
            mp->run = S.run;
            store_relaxed(&mp->offer, NULL);
            store_relaxed(&mp->revoked, 0);
            store_relaxed(&mp->park, 0); /* a grant in the last run may be late with it */
            mp->alllink = S.foreign;
            S.foreign = mp;
            S.nforeign++;
        }
        S.inside++;
    }
    wefti_unlock(&S.lock);
    return up;
}

static void leave_run(struct m *mp) {
    mp->giveback = 0;
    wefti_lock(&S.lock);
    S.inside--;
    wefti_unlock(&S.lock);
    if (load_relaxed(&S.phase) != WEFTI_UP) {
        add_seqcst(&S.endnote, 1);
        os_futex_wake(&S.endnote, 1);
    }
    store_release(&mp->inrt, 0);
}

static struct m *enter_foreign(struct m *mp) {
    for (;;) {
        if (load_acquire(&S.phase) == WEFTI_UP) {
            if (!mp)
                mp = attach_thread();
            store_relaxed(&mp->inrt, 1);
            if (join_run(mp)) {
                mp->giveback = WEFTI_GIVEBACK;
                if (wefti_need_p(mp, &mp->foreign))
                    return mp;
                leave_run(mp);
            }
        }
        if (mp)
            store_release(&mp->inrt, 0);
        struct m *out = enter_outside();
        if (out)
            return out;
    }
}

/* The run ended under a foreign thread's call, which goes on outside. */
struct m *wefti_foreign_over(struct m *mp) {
    store_relaxed(&mp->p, NULL); /* the end of the run sees to all Ps */
    leave_run(mp);
    return enter_foreign(mp);
}

/*
 * Whatever it waits for will not come: it leaves the run, and its wait ends outside, cancelled or
 * timed out. A wait that can end in neither way sleeps for good, as its documentation says.
 */
struct m *wefti_foreign_wait_over(struct m *mp, struct g *gp) {
    bool over = false;
    for (;;) {
        uint64_t w = load_acquire(&gp->wait); /* pairs with the winner's store of 0 */
        if ((over = w == 0))
            break; /* readied just before: it got what it waited for */
        if (w & WEFTI_CLAIMED) {
            os_yield(); /* its winner is about to */
            continue;
        }
        bool timed = load_relaxed(&gp->timer.heap) != NULL;
        if (!(w & WEFTI_CANCELLABLE) && !timed)
            break;
        if ((over = cas_acqrel(&gp->wait, &w, 0))) { /* pairs with wefti_claim */
            gp->wake = w & WEFTI_CANCELLABLE ? WEFTI_WAKE_CANCELED : WEFTI_WAKE_TIMEOUT;
            break;
        }
    }
    leave_run(mp);
    while (!over)
        os_futex_wait(&(uint32_t){0}, 0, -1);
    return enter_foreign(mp);
}

void wefti_giveback(struct m *mp) {
    if (mp->giveback == WEFTI_GIVEBACK_BLOCKY) {
        mp->giveback = 0;
        wefti_leave_blocky(mp);
        return;
    }
    if (mp->outside) {
        wefti_unlock(&outside.lock);
        return;
    }
    if (load_relaxed(&mp->attn.is.bracket)) {
        wefti_leave_bracket(mp);
        return;
    }
    wefti_hand_off(mp, wefti_release_p(mp));
    leave_run(mp);
}

/* ---- forks ---- */

/* Without a run the child is as good as its parent, unless another thread was inside. */
static void in_child(void) {
    if (wefti_m && !load_relaxed(&wefti_m->attn.is.foreign))
        wefti_m->attn.is.forked = 1;
    if (load_relaxed(&S.phase) != WEFTI_OFF || outside.lock.word != 0 || wefti_starting_or_ending())
        S.phase = WEFTI_FORKED;
    wefti_fatal_after_fork();
    wefti_preempt_after_fork();
    wefti_signals_after_fork();
}

void wefti_enter_after_fork(void) {
    memset(&outside, 0, sizeof outside);
}

void wefti_fork_setup(void) {
    static bool done;
    if (!done)
        pthread_atfork(NULL, NULL, in_child);
    done = true;
}

static const char fork_text[] =
    "weft called in the child of a fork: only exec is possible there, or weft_after_fork() first";

void wefti_not_in_child(void) {
    if (unlikely(load_relaxed(&S.phase) == WEFTI_FORKED))
        wefti_fatal("%s", fork_text);
}

/* ---- the end ---- */

void wefti_abandon(struct m *mp) {
    mp->after = NULL;
    wefti_switch_to_g0(mp);
}

/* ---- entering ---- */

static struct m *give_way(struct m *mp, bool may_park) {
    struct g *gp = mp->curg;
    struct p *pp = mp->p;
    bool cut = load_relaxed(&mp->attn.is.preempt) == WEFTI_CUT;
    store_relaxed(&mp->attn.is.preempt, 0);
    if (!wefti_gives_way(pp, gp, cut))
        return mp;
    if (may_park && !gp->bound) {
        if (load_relaxed(&S.stopping)) /* it runs on afterwards */
            return wefti_switch_away(mp, gp, WEFTI_POST_FRONT);
        if (gp->used) /* others' turn does not come by that */
            return wefti_switch_away(mp, gp, WEFTI_POST_GLOBAL);
        store_relaxed(&pp->turns, pp->turns + 1);
        if (pp->rounds == 0)
            wefti_begin_in_global(pp);
        else
            pp->rounds--;
        return wefti_switch_away(mp, gp, WEFTI_POST_GLOBAL);
    }
    return wefti_captive(mp, gp);
}

struct m *wefti_enter_slow(bool may_park) {
    struct m *mp = arch_getm();
    wefti_not_in_child();
    if (!mp)
        return enter_foreign(NULL);
    if (mp->inrt == 2)
        wefti_fatal("weft called from a signal handler that interrupted weft: only plain code may "
                    "run there");
    if (load_relaxed(&mp->attn.is.foreign))
        return enter_foreign(mp);
    if (load_relaxed(&mp->attn.is.forked))
        wefti_fatal("%s", fork_text);
    if (os_gettid() != mp->tid)
        wefti_fatal("weft called in the child of a vfork: only exec and _exit are possible there");
    if (load_relaxed(&mp->attn.is.ended))
        wefti_abandon(mp);
    if (unlikely(load_relaxed(&mp->attn.is.deaf)))
        wefti_preempt_listen(mp);
    if (unlikely(wefti_lost_p(mp)) && !wefti_stray_back(mp))
        return wefti_without_p(mp, may_park);
    if (load_relaxed(&mp->attn.is.bracket)) {
        mp->giveback = WEFTI_GIVEBACK;
        struct g *gp = mp->curg;
        struct m *bound = gp->bound;
        wefti_bind(gp, mp);
        if (!wefti_need_p(mp, gp))
            wefti_abandon(mp);
        mp->inner_bound = bound != NULL;
        return mp;
    }
    return load_relaxed(&mp->attn.is.preempt) ? give_way(mp, may_park) : mp;
}

struct m *wefti_enter_goroutine(const char *what) {
    struct m *mp = arch_getm();
    if (!mp || load_relaxed(&mp->attn.is.foreign))
        wefti_fatal("%s needs a goroutine: this thread is none (weft_run and weft_go make them)",
                    what);
    return wefti_enter();
}
