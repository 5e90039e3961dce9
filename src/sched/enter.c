/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow ways in and out of the runtime: what the attention byte of an M may ask for, and threads that have no M.
 *
 *   no M       a thread of the program's. While a run is on it gets a record and a goroutine that stands for it; each
 *              call takes a P at its start and gives it back at its end. Without a run, calls that need none (making,
 *              trying, freeing) work under one lock, as "the outside M".
 *   nested     a signal handler that interrupted the runtime called into it: the program ends, since the lists it would
 *              touch are half changed
 *   forked     the child of a fork: only exec is allowed, or weft_after_fork
 *   ended      the run is over: the goroutine goes no further, its M ends
 *   foreign    see above
 *   bracket    a call inside weft_block: takes a P for its duration
 *   preempt    the time slice is over, or the world stops: in a call that may park the goroutine goes to the global
 *              queue, in others it stays on its thread and waits for a P (captive)
 */
#include <errno.h>
#include <pthread.h>
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

static struct m *enter_outside(void) {
    wefti_lock(&outside.lock);
    struct m *mp = &outside.m;
    if (!mp->p) {
        outside.p.single = 1;
        outside.p.timers = wefti_timers_new();
        mp->p = &outside.p;
        mp->curg = &mp->foreign;
        mp->foreign.foreign = 1;
        mp->foreign.bound = mp;
        mp->giveback = 1;
        mp->outside = 1;
    }
    mp->errnop = &errno;
    return mp;
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
    mp->foreign.bound = mp;
    mp->foreign.started = 1;
    mp->foreign.m = mp;
    wefti_m = mp;
    pthread_setspecific(foreign_key, mp);
    return mp;
}

static void join_run(struct m *mp) {
    wefti_lock(&S.lock);
    mp->run = S.run;
    mp->alllink = S.foreign;
    S.foreign = mp;
    S.nforeign++;
    wefti_unlock(&S.lock);
}

static struct m *enter_foreign(struct m *mp) {
    if (load_acquire(&S.phase) == WEFTI_UP) {
        if (!mp)
            mp = attach_thread();
        if (mp->run != S.run)
            join_run(mp);
        mp->giveback = 1;
        store_relaxed(&mp->inrt, 1);
        if (wefti_need_p(mp, &mp->foreign))
            return mp;
    }
    if (mp)
        store_release(&mp->inrt, 0);
    return enter_outside();
}

struct m *wefti_foreign_wait_over(struct m *mp, struct g *gp) {
    uint64_t w = load_relaxed(&gp->wait);
    if (w & WEFTI_CANCELLABLE) {
        store_relaxed(&gp->wait, 0);
        store_release(&mp->inrt, 0);
        struct m *out = enter_outside();
        gp->wake = WEFTI_WAKE_CANCELED;
        return out;
    }
    for (;;)
        os_futex_wait(&(uint32_t){0}, 0, -1);
}

void wefti_giveback(struct m *mp) {
    if (mp->outside) {
        wefti_unlock(&outside.lock);
        return;
    }
    if (mp->attn.is.bracket) {
        wefti_leave_bracket(mp);
        return;
    }
    wefti_hand_off(mp, wefti_release_p(mp));
}

/* ---- forks ---- */

static void in_child(void) {
    if (wefti_m && !wefti_m->attn.is.foreign)
        wefti_m->attn.is.forked = 1;
    if (S.phase != WEFTI_OFF)
        S.phase = WEFTI_FORKED;
}

void wefti_fork_setup(void) {
    static bool done;
    if (!done)
        pthread_atfork(NULL, NULL, in_child);
    done = true;
}

static const char fork_text[] = "weft called in the child of a fork: only exec is possible there, or weft_after_fork() first";

/* ---- the end ---- */

void wefti_abandon(struct m *mp) {
    wefti_switch_to_g0(mp);
}

/* ---- entering ---- */

static struct m *give_way(struct m *mp, bool may_park) {
    struct g *gp = mp->curg;
    struct p *pp = mp->p;
    store_relaxed(&mp->attn.is.preempt, 0);
    bool waiting = load_relaxed(&S.global.n) != 0 || !wefti_runq_empty(&pp->runq) || pp->yielded.n != 0;
    if (!load_acquire(&S.stopping) && !waiting)
        return mp;
    if (may_park && !gp->bound)
        return wefti_switch_away(mp, gp, WEFTI_POST_GLOBAL);
    wefti_captive(mp, gp);
    return mp;
}

struct m *wefti_enter_slow(bool may_park) {
    struct m *mp = arch_getm();
    if (unlikely(load_relaxed(&S.phase) == WEFTI_FORKED))
        wefti_fatal("%s", fork_text);
    if (!mp)
        return enter_foreign(NULL);
    if (mp->inrt == 2)
        wefti_fatal("weft called from a signal handler that interrupted weft: only plain code may run there");
    if (mp->attn.is.foreign)
        return enter_foreign(mp);
    if (mp->attn.is.forked)
        wefti_fatal("%s", fork_text);
    if (os_gettid() != mp->tid)
        wefti_fatal("weft called in the child of a vfork: only exec and _exit are possible there");
    if (mp->attn.is.ended)
        wefti_abandon(mp);
    if (mp->attn.is.bracket) {
        mp->giveback = 1;
        struct g *gp = mp->curg;
        struct m *bound = gp->bound;
        gp->bound = mp;
        if (!wefti_need_p(mp, gp))
            wefti_abandon(mp);
        mp->inner_bound = bound != NULL;
        return mp;
    }
    return mp->attn.is.preempt ? give_way(mp, may_park) : mp;
}

struct m *wefti_enter_goroutine(const char *what) {
    struct m *mp = arch_getm();
    if (!mp || mp->attn.is.foreign)
        wefti_fatal("%s needs a goroutine: this thread is none (weft_run and weft_go make them)", what);
    return wefti_enter();
}
