/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running goroutines: the park word at work, ready, yield, and the switch.
 *
 * Where a switch goes. A goroutine that parks, yields or ends picks the next one itself, from its
 * P's own queue, and switches straight to it, on its own stack: no detour over the M's scheduler
 * stack. It goes to that stack (g0) only when something else is due: the queue is empty, the global
 * queue's turn has come, a timer is due, the world stops, the next goroutine is bound to another M,
 * or it needs a stack that is not at hand.
 *
 * What is left behind. With several Ps a goroutine that switches away must not be run by another M
 * before its stack is left, so the M carries it in mp->after across the switch, and whoever runs
 * next on this M does what is due (wefti_resume): PARKING becomes PARKED, or it goes on a queue.
 * With one P nobody can pick it up before the switch is done, so all of that is done before it.
 *
 * Park against ready, the pair in prose. The parker publishes PARKING while it holds the object's
 * lock, and queues its sudog there. A waker finds the sudog under the same lock, so it sees PARKING
 * or later. It claims by compare-and-swap. If the parker has not switched yet, ready sees PARKING
 * and adds NOTIFIED by compare-and-swap; the parker's M, after the switch, fails its own PARKING ->
 * PARKED swap or sees NOTIFIED, and puts the goroutine on its queue. If the parker has switched,
 * the word says PARKED (that store releases the saved context, the claim acquires it), and ready
 * queues it. Both swap the same word, so exactly one of the two queues it.
 */
#include "../base/sanitize.h"
#include "../os/os.h"
#include "../runq/runq.h"
#include "../stack/stack.h"
#include "../timer/timer.h"
#include "state.h"
#include <weft/go.h>

struct wefti_sched wefti_sched;

int64_t wefti_nanotime(void) {
    return os_nanotime();
}

/* Kept by sysmon and by Ms that wake: an order of magnitude cheaper than asking the clock at every
 * park. */
int64_t wefti_coarse(void) {
    return load_relaxed(&S.now);
}

/* ---- what belongs to the thread and follows the goroutine ---- */

static inline void save_thread(struct m *mp, struct g *gp) {
    gp->err = *mp->errnop;
    if (unlikely(mp->cxa && (mp->cxa->caught || mp->cxa->uncaught))) {
        gp->cxa = *mp->cxa;
        *mp->cxa = (struct wefti_cxa){0};
        gp->special |= WEFTI_SPECIAL_CXA;
    }
}

static void load_special(struct m *mp, struct g *gp) {
    if (gp->special & WEFTI_SPECIAL_CXA)
        *mp->cxa = gp->cxa;
    gp->special &= (uint8_t)~WEFTI_SPECIAL_CXA;
    if (gp->special & WEFTI_SPECIAL_BLOCKY)
        mp->giveback = WEFTI_GIVEBACK_BLOCKY;
}

static inline void load_thread(struct m *mp, struct g *gp) {
    *mp->errnop = gp->err;
    if (unlikely(gp->special & (WEFTI_SPECIAL_CXA | WEFTI_SPECIAL_BLOCKY)))
        load_special(mp, gp);
}

/* ---- queues ---- */

void wefti_line_up(struct g *gp) {
    if (gp->used)
        wefti_glist_push_front(&S.global, gp);
    else
        wefti_glist_push(&S.global, gp);
}

static void global_put(struct g *gp) {
    wefti_lock(&S.lock);
    wefti_line_up(gp);
    wefti_unlock(&S.lock);
}

/* Half of a full ring and one more go to the global queue. */
static void overflow(struct p *pp, struct g *gp) {
    struct wefti_glist batch = {0};
    while (!wefti_runq_put(&pp->runq, gp)) {
        if (!wefti_runq_take_half(&pp->runq, pp->single, &batch))
            continue; /* thieves made room */
        wefti_glist_push(&batch, gp);
        wefti_lock(&S.lock);
        wefti_glist_append(&S.global, &batch);
        wefti_unlock(&S.lock);
        return;
    }
}

static inline void put_tail(struct p *pp, struct g *gp) {
    if (unlikely(!wefti_runq_put(&pp->runq, gp)))
        overflow(pp, gp);
}

/* There is something in the ring now: an idle P is worth an M. */
static inline void more_work(struct m *mp) {
    if (mp->p->single)
        return;
    fence_seqcst(); /* StoreLoad: pairs with the fence of an M that stops spinning or gives up its P
                       (idle.c) */
    if (unlikely(load_relaxed(&S.npidle) != 0 && load_relaxed(&S.nmspinning) == 0))
        wefti_wakep(mp);
}

/* Runnable, in front. */
static inline void put_next(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    if (unlikely(pp->seeded) && (wefti_rand64(wefti_oracle(mp)) & 3) == 0) {
        put_tail(pp, gp);
        more_work(mp);
        return;
    }
    struct g *kicked = wefti_runq_put_next(&pp->runq, gp, pp->single);
    if (kicked) {
        put_tail(pp, kicked);
        more_work(mp);
    }
}

void wefti_runq_add(struct m *mp, struct g *gp) {
    put_next(mp, gp);
}

/* ---- the park word ---- */

uint64_t wefti_ticket_block(struct p *pp) {
    uint64_t block = add_relaxed(&S.tickets, 1) + 1;
    pp->ticket = block << 20;
    pp->ticket_end = pp->ticket + (1u << 20);
    return pp->ticket++;
}

bool wefti_claim_shared(struct g *gp, uint64_t ticket) {
    uint64_t w = load_relaxed(&gp->wait);
    for (;;) {
        if (w >> WEFTI_TICKET_SHIFT != ticket || (w & WEFTI_CLAIMED))
            return false;
        if (cas_acqrel(&gp->wait, &w,
                       w | WEFTI_CLAIMED)) /* pairs with commit: its stack is saved */
            return true;
    }
}

bool wefti_wait_retract(struct m *mp, struct g *gp) {
    if (!wefti_claim(mp, gp, load_relaxed(&gp->wait) >> WEFTI_TICKET_SHIFT))
        return false;
    store_relaxed(&gp->wait, 0);
    return true;
}

/* True when the caller shall queue it; otherwise its own M or an inspector will. */
static bool leave_word(struct g *gp) {
    uint64_t w = load_acquire(
        &gp->wait); /* pairs with commit; nobody changes a claimed PARKED word that is not HELD */
    while (unlikely(!(w & WEFTI_PARKED) || (w & WEFTI_HELD))) {
        uint64_t left = w & WEFTI_HELD ? w | WEFTI_NOTE : w | WEFTI_NOTIFIED;
        if (cas_acqrel(&gp->wait, &w,
                       left)) /* pairs with the swap in commit, or the inspector's release */
            return false;
    }
    store_relaxed(&gp->wait, 0);
    return true;
}

void wefti_kick(struct m *mp, struct g *gp) {
    put_tail(mp->p, gp);
    more_work(mp);
}

void wefti_ready_slow(struct m *mp, struct g *gp) {
    if (unlikely(!leave_word(gp)))
        return;
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    put_next(mp, gp);
}

void wefti_ready_tail(struct m *mp, struct g *gp) {
    if (unlikely(!leave_word(gp)))
        return;
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    put_tail(mp->p, gp);
    more_work(mp);
}

/* PARKING -> PARKED; or, when it was readied meanwhile, onto the queue. Its stack has been left. */
void wefti_wait_commit(struct m *mp, struct g *gp) {
    uint64_t w = load_acquire(&gp->wait); /* pairs with leave_word: what the winner wrote */
    for (;;) {
        if (w & WEFTI_NOTIFIED) {
            store_relaxed(&gp->wait, 0);
            store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
            put_next(mp, gp);
            return;
        }
        if (cas_acqrel(&gp->wait, &w,
                       (w & ~(uint64_t)WEFTI_PARKING) | WEFTI_PARKED)) /* pairs with wefti_claim */
            return;
    }
}

static inline uint32_t count_yield(struct p *pp) {
    uint32_t n = pp->yields + 1;
    store_relaxed(&pp->yields, n);
    return n;
}

/*
 * Behind all others: the tail of the own queue when nothing is in the global one, else the global
 * tail, collected by the P and moved there in batches while no P is idle. With several Ps each 64th
 * goes to the global queue in any case: goroutines that only yield leave no P idle, so nothing else
 * would ever even out a P that has many of them and one that has few.
 */
static void yield_queue(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    bool mix = !pp->single && (count_yield(pp) & 63) == 0;
    if (likely(load_relaxed(&S.global.n) == 0 && pp->yielded.n == 0 && !mix)) {
        put_tail(pp, gp);
        return;
    }
    wefti_glist_push(&pp->yielded, gp);
    if (pp->yielded.n >= 64 || mix || load_relaxed(&S.npidle) > 0) {
        wefti_lock(&S.lock);
        wefti_flush_yielded(pp);
        wefti_unlock(&S.lock);
    }
}

/* ---- the switch ---- */

/* Back from a bracket whose P is gone; looking for one and queueing are one step, or both sides
 * could miss the other. */
static void need_p(struct m *mp, struct g *gp) {
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    wefti_lock(&S.lock);
    struct p *pp = load_relaxed(&S.phase) == WEFTI_UP ? wefti_pidle_get() : NULL;
    if (!pp)
        wefti_glist_push(&S.global, gp);
    wefti_unlock(&S.lock);
    if (pp) {
        wefti_acquire_p(mp, pp);
        put_next(mp, gp);
    }
}

void wefti_resume(struct m *mp) {
    struct g *gp = mp->after;
    if (likely(gp == NULL))
        return;
    mp->after = NULL;
    switch ((enum wefti_post)gp->post) {
    case WEFTI_POST_PARK:
        wefti_wait_commit(mp, gp);
        break;
    case WEFTI_POST_YIELD:
        yield_queue(mp, gp);
        more_work(mp);
        break;
    case WEFTI_POST_GLOBAL:
        store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
        global_put(gp);
        break;
    case WEFTI_POST_FRONT:
        store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
        put_next(mp, gp);
        break;
    case WEFTI_POST_NEED_P:
        need_p(mp, gp);
        break;
    case WEFTI_POST_FREE:
        wefti_free_g(mp, gp);
        break;
    }
}

/* Nothing that g0 must see to, although the P has timers or a tick came round. */
static bool ordinary(struct p *pp) {
    if (load_relaxed(&pp->globaltick) == 0) {
        store_relaxed(&pp->globaltick, 1); /* find_runnable takes it from there */
        return false;
    }
    if (load_relaxed(&S.stopping) || load_relaxed(&S.netready))
        return false;
    return load_relaxed(&pp->timers->first) == 0 || (++pp->timertick & 3) != 0;
}

/* A goroutine that is not like the others: NULL when g0 must run it. */
static struct g *admit(struct m *mp, struct p *pp, struct g *gp) {
    bool bound = gp->special & WEFTI_SPECIAL_BOUND;
    if (unlikely(bound || (!gp->stack.slab && !wefti_stack_bind(pp, gp)))) {
        mp->wanted = gp;
        return NULL;
    }
    return gp;
}

/*
 * The next goroutine of this P if this is an ordinary switch; NULL: something is due that g0 must
 * see to. A goroutine picked and then found to need g0 is left in mp->wanted. `alone` is
 * pp->single, written out so that each caller's copy has but one side.
 */
static inline __attribute__((always_inline)) struct g *pick_local(struct m *mp, struct p *pp,
                                                                  bool alone) {
    uint32_t tick = load_relaxed(&pp->globaltick) - 1;
    store_relaxed(&pp->globaltick, tick);
    if (unlikely((int)(tick == 0) |
                 (int)((load_relaxed(&S.stopping) | load_relaxed(&S.netready)) != 0) |
                 (int)(load_relaxed(&pp->timers->first) != 0)) &&
        !ordinary(pp))
        return NULL;
    bool front;
    struct g *gp = wefti_runq_get(&pp->runq, alone, &front);
    if (unlikely(!gp))
        return NULL;
    if (!front)
        store_relaxed(&pp->schedtick, pp->schedtick + 1);
    return likely(!gp->special) ? gp : admit(mp, pp, gp);
}

static inline void now_running(struct m *mp, struct g *gp) {
    store_relaxed(&gp->status, WEFTI_G_RUNNING);
    store_relaxed(&gp->m, mp);
    store_relaxed(&mp->curg, gp);
}

#if defined(WEFTI_ASAN) || defined(WEFTI_TSAN)
static void announce_switch(struct m *mp, struct g *from, struct g *to, bool leaving) {
#ifdef WEFTI_ASAN
    void **save = leaving ? NULL : from ? &from->asan_stack : &mp->asan_stack;
    if (to)
        __sanitizer_start_switch_fiber(save, to->stack.lo, wefti_stack_size(to));
    else
        __sanitizer_start_switch_fiber(save, mp->g0_lo,
                                       (size_t)((char *)mp->g0_hi - (char *)mp->g0_lo));
#endif
#ifdef WEFTI_TSAN
    __tsan_switch_to_fiber(to ? to->fiber : mp->fiber, 0);
#endif
    (void)mp, (void)from, (void)to, (void)leaving;
}

static void arrived(struct g *gp, struct m *mp) {
#ifdef WEFTI_ASAN
    __sanitizer_finish_switch_fiber(gp ? gp->asan_stack : mp->asan_stack, NULL, NULL);
    if (gp)
        gp->asan_stack = NULL;
#endif
    (void)gp, (void)mp;
}
#else
#define announce_switch(mp, from, to, leaving) ((void)0)
#define arrived(gp, mp) ((void)0)
#endif

static inline __attribute__((always_inline)) void switch_to(struct m *mp, void **save,
                                                            struct g *from, struct g *next) {
    (void)from;
    if (likely(next != NULL)) {
        now_running(mp, next);
        announce_switch(mp, from, next, false);
        if (likely(!(next->special & WEFTI_SPECIAL_FRESH)))
            arch_switch(save, next->sp);
        else
            arch_start(save, wefti_stack_top(next), next);
    } else {
        store_relaxed(&mp->curg, NULL);
        announce_switch(mp, from, NULL, false);
        arch_switch(save, mp->g0sp);
    }
}

/*
 * Leaves gp's stack with `post` still to be done, and returns when gp runs again, on the M it runs
 * on then. `next` is what to run meanwhile, NULL for g0.
 */
static inline __attribute__((always_inline)) struct m *switch_from(struct m *mp, struct g *gp,
                                                                   struct g *next) {
    if (unlikely(gp->special & WEFTI_SPECIAL_UNGUARDED) && wefti_stack_overflowed(gp, arch_sp()))
        wefti_report_overflow(gp);
    save_thread(mp, gp);
    switch_to(mp, &gp->sp, gp, next);
    mp = arch_getm();
    arrived(gp, mp);
    if (unlikely(mp->after != NULL))
        wefti_resume(mp);
    load_thread(mp, gp);
    return mp;
}

struct m *wefti_switch_away(struct m *mp, struct g *gp, enum wefti_post post) {
    gp->post = (uint8_t)post;
    mp->after = gp;
    return switch_from(mp, gp, NULL);
}

/* The first statements of a goroutine: newproc.c goes on from here. */
void wefti_goroutine_begin(struct g *gp) {
    struct m *mp = arch_getm();
    gp->special &= (uint8_t)~WEFTI_SPECIAL_FRESH;
    arrived(NULL, mp);
    if (unlikely(mp->after != NULL))
        wefti_resume(mp);
    *mp->errnop = 0;
}

void wefti_switch_exit(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    (void)gp;
    struct g *next = likely(pp->single) ? pick_local(mp, pp, true) : pick_local(mp, pp, false);
    announce_switch(mp, gp, next, true);
    if (!next) {
        store_relaxed(&mp->curg, NULL);
        arch_jump(mp->g0sp);
    }
    now_running(mp, next);
    if (next->special & WEFTI_SPECIAL_FRESH)
        arch_start_jump(wefti_stack_top(next), next);
    arch_jump(next->sp);
}

void wefti_switch_to_g0(struct m *mp) {
    announce_switch(mp, mp->curg, NULL, true);
    store_relaxed(&mp->curg, NULL);
    arch_jump(mp->g0sp);
}

/* ---- waiting ---- */

static struct m *park_shared(struct m *mp, struct g *gp) {
    struct g *next = pick_local(mp, mp->p, false);
    gp->post = WEFTI_POST_PARK;
    mp->after = gp;
    return switch_from(mp, gp, next);
}

/* What an ordinary wait need not look at: true when it is over already. */
static bool wait_is_over(struct m *mp, struct g *gp) {
    if (gp->ambient && (load_relaxed(&gp->wait) & WEFTI_CANCELLABLE)) {
        fence_seqcst(); /* pairs with wefti_ambient_wake's: it sees PARKING, or this sees err */
        if (load_acquire(&gp->ambient->err) && wefti_wait_retract(mp, gp)) {
            gp->wake = WEFTI_WAKE_CANCELED;
            return true;
        }
    }
    if (load_acquire(&gp->wait) & WEFTI_NOTIFIED) { /* pairs with leave_word */
        store_relaxed(&gp->wait, 0);
        return true;
    }
    return false;
}

struct m *wefti_wait(struct m *mp, struct g *gp) {
    uint64_t w = load_relaxed(&gp->wait);
    if (unlikely((gp->ambient != NULL) | ((w & WEFTI_NOTIFIED) != 0)) && wait_is_over(mp, gp))
        return mp;
    if (unlikely((size_t)((char *)arch_sp() - mp->alt_lo) < mp->alt_size))
        wefti_fatal(
            "a signal handler waits on its thread's alternate stack: handlers must not wait");
    store_relaxed(&gp->since, wefti_stamp());
    if (unlikely(gp->special & WEFTI_SPECIAL_BOUND))
        return wefti_wait_bound(mp, gp);
    store_relaxed(&gp->status, WEFTI_G_WAITING);
    struct p *pp = mp->p;
    if (unlikely(!pp->single))
        return park_shared(mp, gp);
    struct g *next = pick_local(mp, pp, true);
    store_relaxed(&gp->wait, load_relaxed(&gp->wait) ^ (WEFTI_PARKING | WEFTI_PARKED));
    return switch_from(mp, gp, next);
}

struct m *wefti_wait_forever(struct m *mp, enum wefti_reason reason, bool cancellable) {
    struct g *gp = mp->curg;
    wefti_wait_begin(mp, gp, reason, cancellable);
    return wefti_wait(mp, gp);
}

bool wefti_timer_wakes(struct m *mp, struct wefti_timer *t, int64_t now) {
    (void)now;
    struct g *gp = t->arg;
    if (wefti_claim(mp, gp, t->seq)) {
        gp->wake = WEFTI_WAKE_TIMEOUT;
        wefti_ready_tail(mp, gp);
    }
    return false;
}

struct m *wefti_wait_until(struct m *mp, struct g *gp, int64_t deadline) {
    if (deadline == 0)
        return wefti_wait(mp, gp);
    struct wefti_timer *t = &gp->timer;
    t->fire = wefti_timer_wakes;
    t->arg = gp;
    t->seq = gp->sudog.ticket;
    wefti_timer_arm(mp, t, deadline, 0);
    mp = wefti_wait(mp, gp);
    wefti_timer_disarm(mp, t);
    return mp;
}

/* ---- yield ---- */

/* Who waits by yielding, with nobody else to run, would keep the poller from being asked. */
static bool ask_poller(struct p *pp) {
    bool ask = (count_yield(pp) & 15) == 0 && wefti_netpoll_due();
    if (ask)
        store_relaxed(&S.netready, 1);
    return ask;
}

static bool alone_here(struct p *pp) {
    return load_relaxed(&pp->runq.next) == NULL && pp->runq.tail == load_relaxed(&pp->runq.head) &&
           load_relaxed(&S.global.n) == 0 && pp->yielded.n == 0 &&
           load_relaxed(&pp->timers->first) == 0 && !load_relaxed(&S.stopping) &&
           !load_relaxed(&S.netready) && !ask_poller(pp);
}

static struct m *yield_shared(struct m *mp, struct g *gp) {
    if (alone_here(mp->p))
        return mp;
    struct g *next = pick_local(mp, mp->p, false);
    gp->post = WEFTI_POST_YIELD;
    mp->after = gp;
    return switch_from(mp, gp, next);
}

static struct m *yield_alone(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    struct g *next = pick_local(mp, pp, true);
    if (unlikely(!next) && !mp->wanted && alone_here(pp))
        return mp;
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
    if (unlikely((load_relaxed(&S.global.n) | pp->yielded.n) != 0) ||
        !wefti_runq_put(&pp->runq, gp))
        yield_queue(mp, gp);
    return switch_from(mp, gp, next);
}

void weft_yield(void) {
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    if (unlikely(gp->special & WEFTI_SPECIAL_BOUND)) {
        if (mp->giveback != WEFTI_GIVEBACK)
            mp = wefti_requeue_bound(mp, gp);
    } else {
        mp = likely(mp->p->single) ? yield_alone(mp, gp) : yield_shared(mp, gp);
    }
    wefti_leave(mp);
}

/* ---- the scheduling loop, on g0 ---- */

/*
 * It has no stack and none is to be had: to the back of everything, until others have ended. Fatal
 * when nothing else can run: no other goroutine is runnable or running, in a bracket or about to be
 * woken by a timer.
 */
static void no_stack(struct m *mp, struct g *gp) {
    wefti_lock(&S.lock);
    for (struct p *pp = S.pidle; pp; pp = pp->link)
        wefti_stack_flush(pp); /* an idle P's cache may hold what the promise was about */
    wefti_unlock(&S.lock);
    if (wefti_stack_bind(mp->p, gp)) {
        wefti_runq_add(mp, gp);
        return;
    }
    bool nothing_else =
        load_relaxed(&S.global.n) == 0 && wefti_runq_empty(&mp->p->runq) && !wefti_timers_left();
    for (uint32_t i = 0; i < S.nprocs && nothing_else; i++)
        nothing_else = S.allp[i] == mp->p || load_relaxed(&S.allp[i]->status) == WEFTI_P_IDLE;
    if (nothing_else)
        wefti_fatal("out of stacks: goroutine %llu cannot start (limits of memory or mappings)",
                    (unsigned long long)gp->id);
    os_futex_wait(&(uint32_t){0}, 0, os_nanotime() + 100000);
    global_put(gp);
}

static void execute(struct m *mp, struct g *gp, bool inherit) {
    struct p *pp = mp->p;
    if (unlikely(gp->used != 0))
        wefti_slice_begins(pp, gp);
    else if (!inherit)
        store_relaxed(&pp->schedtick, pp->schedtick + 1);
    switch_to(mp, &mp->g0sp, NULL, gp);
    arrived(NULL, mp);
    wefti_resume(mp);
}

/* The P goes to the goroutine's own M. It is a switch like others: it counts for the turn of the
 * global queue and for the time slice. */
static void give_to_bound(struct m *mp, struct g *gp, bool inherit) {
    struct p *pp = mp->p;
    if (!inherit)
        store_relaxed(&pp->schedtick, pp->schedtick + 1);
    uint32_t tick = load_relaxed(&pp->globaltick); /* once: sysmon writes it, too */
    if (tick > 1)
        store_relaxed(&pp->globaltick, tick - 1);
    mp->leaving = 1;
    wefti_grant(gp->bound, wefti_release_p(mp));
    mp->leaving = 0;
}

void wefti_schedule(struct m *mp) {
    for (;;) {
        if (!mp->p && (load_relaxed(&mp->attn.is.ended) || !wefti_stop_m(mp)))
            return;
        bool inherit = false;
        struct g *gp = wefti_find_runnable(mp, &inherit);
        if (!gp)
            return;
        if (unlikely(gp->bound != NULL)) {
            give_to_bound(mp, gp, inherit);
            continue;
        }
        if (!gp->stack.slab && !wefti_stack_bind(mp->p, gp)) {
            no_stack(mp, gp);
            continue;
        }
        execute(mp, gp, inherit);
    }
}
