/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ms: threads made, woken, put to sleep and ended.
 *
 * A P changes hands in one way only: it is offered. The giver stores it in the other M's `offer`
 * and wakes that M; the M takes it by exchange. An M sleeps on its own `park` word (futex): the
 * giver stores 1, the sleeper swaps in 0 before it looks at the offer again, so an offer made
 * between look and sleep is not slept through. An offer that the thread does not take, since a
 * debugger holds it, is taken back (revoke.c).
 *
 * Threads are made by the spawner alone. pthread_create takes locks of libc's that a goroutine may
 * hold while it is stopped (dlopen's, malloc's): whoever needs a thread leaves a record for the
 * spawner, with the P in its offer, and goes on; nobody waits for it. When no thread is to be had,
 * the P's goroutines go to the global queue and the P to the idle list: those that run will take
 * them, and sysmon tries again.
 *
 * An M that ends gives up its P, takes itself off all lists and counts and leaves its record to the
 * spawner, which joins the thread: without waiting, for the thread may be held up by destructors of
 * the program's (pthread keys, thread_local), and these may wait for a goroutine that needs a
 * thread. Until it is joined it may be one thread too many for the deadlock report, so the monitor
 * is told when it was.
 *
 * A thread may not come up because the lock that it or the spawner waits for is held by a captive,
 * which waits for a P, which may be the very one that was offered to that thread. So a record stays
 * on the list until its thread has come up, and sysmon takes back an offer that was not taken for a
 * millisecond, if there is a bound goroutine to run instead, or an M that went idle meanwhile: they
 * need no new thread.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "../base/sanitize.h"
#include "../runq/runq.h"
#include "../timer/timer.h"
#include "state.h"

#define M_STACK ((size_t)256 << 10)
#define JOIN_FIRST 500000 /* nanoseconds between tries to join an ended thread, … */
#define JOIN_LAST 20000000000
#define PATIENCE 1000000 /* nanoseconds for a new thread to take the P offered to it */

__thread struct m *wefti_m __attribute__((tls_model("initial-exec")));

/* ---- Ps between Ms ---- */

struct p *wefti_pidle_get(void) {
    struct p *pp = S.pidle;
    if (!pp)
        return NULL;
    S.pidle = pp->link;
    store_seqcst(&S.npidle, S.npidle - 1);
    store_relaxed(&S.ptaken, S.ptaken + 1);
    if (unlikely(S.monsleep))
        wefti_sysmon_kick();
    return pp;
}

void wefti_pidle_put(struct p *pp) {
    store_relaxed(&pp->status, WEFTI_P_IDLE);
    pp->link = S.pidle;
    S.pidle = pp;
    store_seqcst(&S.npidle, S.npidle + 1);
}

void wefti_acquire_p(struct m *mp, struct p *pp) {
    wefti_assert(mp->p == NULL);
    store_relaxed(&mp->p, pp);
    store_relaxed(&pp->offered, NULL);
    store_release(&pp->m, mp); /* pairs with the load in look_at_running */
    store_release(&pp->status, WEFTI_P_RUNNING);
}

struct p *wefti_release_p(struct m *mp) {
    struct p *pp = mp->p;
    store_relaxed(&mp->p, NULL);
    store_relaxed(&pp->m, NULL);
    store_release(&pp->status, WEFTI_P_IDLE);
    return pp;
}

void wefti_stop_world_p(struct p *pp) {
    store_release(&pp->status, WEFTI_P_STOPPED);
    if (--S.stopwait == 0) {
        store_release(&S.stopnote, 1); /* pairs with the wait in wefti_stop_world */
        os_futex_wake(&S.stopnote, 1);
    }
}

void wefti_grant(struct m *mp, struct p *pp) {
    wefti_pin_here(mp);
    if (mp->blocked_counted) {
        mp->blocked_counted = 0;
        add_seqcst(&S.nmblocked, (uint32_t)-1);
    }
    store_relaxed(&pp->offered, mp);
    store_release(&mp->offer, pp); /* pairs with the exchange in wefti_sleep_for_p */
    store_seqcst(&mp->park, 1);
    os_futex_wake(&mp->park, 1);
}

struct p *wefti_sleep_for_p(struct m *mp) {
    store_relaxed(&mp->blocked, 1);
    wefti_pin_sleeps(mp);
    struct p *pp;
    while ((pp = xchg_acqrel(&mp->offer, NULL)) == NULL) { /* pairs with wefti_grant */
        if (load_acquire(&mp->attn.is.ended) || load_acquire(&S.phase) != WEFTI_UP ||
            (load_relaxed(&mp->attn.is.foreign) && mp->run != load_relaxed(&S.run)) ||
            load_relaxed(&mp->retired) ||
            load_acquire(&mp->revoked)) /* pairs with take_back in revoke.c */
            break;
        if (xchg_seqcst(&mp->park, 0) == 0)
            os_futex_wait(&mp->park, 0, -1);
    }
    store_relaxed(&mp->blocked, 0);
    wefti_pin_woken(mp, pp != NULL);
    return pp;
}

bool wefti_stop_m(struct m *mp) {
    struct p *pp;
    do {
        int64_t now = os_nanotime();
        wefti_lock(&S.lock);
        if (load_relaxed(&S.phase) != WEFTI_UP) {
            wefti_unlock(&S.lock);
            return false;
        }
        store_relaxed(&mp->revoked, 0);
        wefti_check_deadlock(1);
        wefti_midle_put(mp, now);
        wefti_unlock(&S.lock);
        pp = wefti_sleep_for_p(mp);
    } while (!pp && load_relaxed(&mp->revoked));
    if (!pp) {
        wefti_lock(&S.lock);
        wefti_midle_leave(mp); /* nobody else did, when the run is over */
        wefti_unlock(&S.lock);
        return false;
    }
    wefti_acquire_p(mp, pp);
    return true;
}

/* ---- records ---- */

struct m *wefti_new_m(void) {
    struct m *mp = S.freem;
    if (mp) {
        S.freem = mp->idlelink;
        memset(mp, 0, sizeof *mp);
    } else {
        char *block = os_reserve((sizeof *mp + 4095) & ~(size_t)4095, 4096);
        if (!block)
            return NULL;
        mp = (struct m *)block;
    }
    mp->id = S.mids++;
    mp->rand.state = (uint64_t)S.started * 0x9e3779b97f4a7c15u ^ mp->id;
    return mp;
}

void wefti_release_m(struct m *mp) {
    mp->idlelink = S.freem;
    S.freem = mp;
}

static void unlist(struct m *mp) {
    for (struct m **link = &S.allm; *link; link = &(*link)->alllink)
        if (*link == mp) {
            *link = mp->alllink;
            return;
        }
}

/* ---- on the thread ---- */

/*
 * pthread_exit and pthread_cancel unwind the goroutine's stack, find its end, and go on on the
 * thread's own with the destructors of its keys: weft has one, so that the thread does not go with
 * its P. An M that ends in its own way takes the value back first.
 */
static pthread_key_t alive_key;

static void ended_by_force(void *arg) {
    struct m *mp = arg;
    if (!mp->straggler)
        wefti_fatal("pthread_exit or pthread_cancel in a goroutine: its thread is not its own; "
                    "return, or call weft_goexit");
}

static void make_alive_key(void) {
    pthread_key_create(&alive_key, ended_by_force);
}

extern void *__cxa_get_globals(void) __attribute__((weak));

void wefti_thread_begin(struct m *mp) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    /* These may call malloc. A thread that waits for its lock has no P yet (rescue). */
    pthread_once(&once, make_alive_key);
    pthread_setspecific(alive_key, mp);
    os_thread_stack(&mp->g0_lo, &mp->g0_hi);
    mp->cxa = __cxa_get_globals ? __cxa_get_globals() : NULL;
    store_relaxed(&mp->inrt, 1);
    compiler_barrier(); /* a signal's handler finds no M, or one that is in the runtime */
    wefti_m = mp;
    mp->errnop = &errno;
    store_relaxed(&mp->tid, os_gettid());
    os_exact_timers();
    wefti_fault_stack(mp);
#ifdef WEFTI_TSAN
    mp->fiber = __tsan_get_current_fiber();
#endif
}

void wefti_thread_end(struct m *mp) {
    wefti_lock(&S.lock);
    wefti_forget_stray(mp);
    store_relaxed(&mp->tid, 0); /* no preemption signal is sent from here on */
    wefti_unlock(&S.lock);
    wefti_preempt_settle(mp);
    wefti_fault_stack_gone(mp);
    pthread_setspecific(alive_key, NULL);
    wefti_m = NULL;
}

/* With the lock: this record's thread has come up, or never will. */
static void no_spawn(struct m *mp) {
    for (struct m **link = &S.spawn; *link; link = &(*link)->idlelink)
        if (*link == mp) {
            *link = mp->idlelink;
            store_relaxed(&S.nspawn, S.nspawn - 1);
            S.spawn_at = load_relaxed(&S.now);
            return;
        }
}

/* The P that this thread was made for, or, if that was taken back, an idle one, if there is. */
static struct p *first_p(struct m *mp) {
    wefti_lock(&S.lock);
    no_spawn(mp);
    struct p *pp = mp->offer;
    mp->offer = NULL;
    if (!pp && load_relaxed(&S.phase) == WEFTI_UP && !S.stopping)
        pp = wefti_pidle_get();
    wefti_unlock(&S.lock);
    return pp;
}

static void *m_main(void *arg) {
    struct m *mp = arg;
    wefti_thread_begin(mp);
    os_thread_self(&mp->thread);
    os_sigmask_set(&S.sigmask);
    struct p *pp = first_p(mp);
    if (pp)
        wefti_acquire_p(mp, pp);
    wefti_schedule(mp);
    while (unlikely(
        load_relaxed(&S.exiting))) /* the process ends, and nobody would join this thread */
        os_futex_wait(&(uint32_t){0}, 0, -1);
    if (mp->p && load_relaxed(&S.phase) == WEFTI_UP && !load_relaxed(&mp->attn.is.ended))
        wefti_hand_off(mp, wefti_release_p(mp));
    wefti_thread_end(mp);
    wefti_lock(&S.lock);
    if (mp->straggler) {
        wefti_release_m(mp);
        wefti_unlock(&S.lock);
        return NULL;
    }
    wefti_check_deadlock(1);
    unlist(mp);
    store_relaxed(&S.nm, S.nm - 1);
    mp->idlelink = S.zombies;
    S.zombies = mp;
    wefti_unlock(&S.lock);
    add_seqcst(&S.endnote, 1);
    os_futex_wake(&S.endnote, 1);
    add_seqcst(&S.spawn_seq, 1); /* the spawner joins it */
    os_futex_wake(&S.spawn_seq, 1);
    return NULL;
}

/* ---- starting ---- */

/* The first goroutine of the global queue that brings its own thread. */
static struct g *take_bound(void) {
    struct g *before = NULL;
    for (struct g *gp = S.global.first; gp; before = gp, gp = gp->schedlink) {
        if (!gp->bound)
            continue;
        if (before)
            before->schedlink = gp->schedlink;
        else
            S.global.first = gp->schedlink;
        if (S.global.last == gp)
            S.global.last = before;
        store_relaxed(&S.global.n, S.global.n - 1);
        return gp;
    }
    return NULL;
}

/* With the lock. A bound goroutine needs no other thread: it gets the P; else the P's work waits
 * for others. */
static void no_thread_for(struct p *pp, bool spinning) {
    struct g *gp;
    bool front;
    while ((gp = wefti_runq_get(&pp->runq, false, &front)) != NULL)
        wefti_glist_push(&S.global, gp);
    wefti_flush_yielded(pp);
    if (spinning)
        add_seqcst(&S.nmspinning, (uint32_t)-1);
    if (load_relaxed(&S.phase) == WEFTI_UP && (gp = take_bound()) != NULL)
        wefti_grant(gp->bound, pp);
    else
        wefti_pidle_put(pp);
}

static bool thread_allowed(void) {
    if (S.nspawn >= S.nprocs) /* enough for every P are on their way */
        return false;
    if (S.nm < load_relaxed(&S.max_threads))
        return true;
    if (!S.warned_threads) {
        S.warned_threads = 1;
        wefti_warn("%u threads exist, the limit (weft_set_max_threads): goroutines wait for one to "
                   "become free",
                   S.nm);
    }
    return false;
}

void wefti_start_m(struct p *pp, bool spinning) {
    wefti_lock(&S.lock);
    if (S.stopping) {
        wefti_stop_world_p(pp);
        if (spinning)
            add_seqcst(&S.nmspinning, (uint32_t)-1);
        wefti_unlock(&S.lock);
        return;
    }
    struct m *mp = wefti_midle_get(pp);
    if (mp) {
        wefti_unlock(&S.lock);
        store_relaxed(&mp->spinning, spinning);
        wefti_grant(mp, pp);
        return;
    }
    if (load_relaxed(&S.phase) != WEFTI_UP || !thread_allowed() || !(mp = wefti_new_m())) {
        no_thread_for(pp, spinning);
        wefti_unlock(&S.lock);
        return;
    }
    store_relaxed(&mp->spinning, spinning);
    mp->offer = pp;
    mp->alllink = S.allm;
    S.allm = mp;
    store_relaxed(&S.nm, S.nm + 1);
    mp->idlelink = NULL;
    struct m **end = &S.spawn;
    while (*end)
        end = &(*end)->idlelink;
    *end = mp;
    if (S.nspawn == 0)
        S.spawn_at = load_relaxed(&S.now);
    store_relaxed(&S.nspawn, S.nspawn + 1);
    wefti_unlock(&S.lock);
    add_seqcst(&S.spawn_seq, 1);
    os_futex_wake(&S.spawn_seq, 1);
}

/*
 * The goroutine that is next on pp if it brings its own thread: pp goes straight there, and no
 * other thread is woken that would only pass it on. NULL as well when a look at more than pp's
 * queue is due, and when a thief that was there before pp was given up takes the goroutine.
 */
static struct g *next_bound(struct p *pp) {
    struct g *gp = load_relaxed(&pp->runq.next);
    int64_t first = load_relaxed(&pp->timers->first);
    uint32_t tick = load_relaxed(&pp->globaltick); /* once: sysmon writes it, too */
    if (!gp || !load_relaxed(&gp->bound) || tick <= 1 || load_relaxed(&S.stopping) ||
        load_relaxed(&S.netready) || (first != 0 && first <= os_nanotime()))
        return NULL;
    store_relaxed(&pp->globaltick, tick - 1);
    return wefti_runq_take_next(&pp->runq, pp->single);
}

void wefti_hand_off(struct m *mp, struct p *pp) {
    struct g *gp = next_bound(pp);
    if (gp) {
        wefti_grant(gp->bound, pp);
        return;
    }
    if (!wefti_runq_empty(&pp->runq) || pp->yielded.n != 0 || load_relaxed(&S.global.n) != 0) {
        wefti_start_m(pp, false);
        return;
    }
    uint32_t none = 0;
    if (!pp->single && load_relaxed(&S.nmspinning) + load_relaxed(&S.npidle) == 0 &&
        cas_seqcst(&S.nmspinning, &none, 1)) {
        wefti_start_m(pp, true);
        return;
    }
    wefti_lock(&S.lock);
    if (S.stopping) {
        wefti_stop_world_p(pp);
    } else if (S.global.n != 0) {
        wefti_unlock(&S.lock);
        wefti_start_m(pp, false);
        return;
    } else {
        int64_t first = load_relaxed(&pp->timers->first);
        wefti_pidle_put(pp);
        wefti_unlock(&S.lock);
        if (first != 0)
            wefti_timer_earlier(mp, first);
        else if (load_seqcst(&S.netwaiters) != 0) /* a thread that waits, with all else idle */
            wefti_need_keeper(mp);
        return;
    }
    wefti_unlock(&S.lock);
}

/* With the lock: the P that was offered to mp goes to somebody who needs no new thread, if there is
 * one. */
static void take_back(struct m *mp) {
    struct p *pp = mp->offer;
    bool spinning = mp->spinning;
    struct g *gp = S.stopping ? NULL : take_bound();
    struct m *idle = S.stopping || gp ? NULL : wefti_midle_get(pp);
    if (!S.stopping && !gp && !idle)
        return;
    mp->offer = NULL;
    store_relaxed(&mp->spinning, 0);
    if (idle)
        store_relaxed(&idle->spinning, spinning);
    else if (spinning)
        add_seqcst(&S.nmspinning, (uint32_t)-1);
    if (S.stopping)
        wefti_stop_world_p(pp);
    else
        wefti_grant(gp ? gp->bound : idle, pp);
}

/* By sysmon. */
void wefti_rescue_spawned(int64_t now) {
    wefti_lock(&S.lock);
    bool stuck = S.spawn && now - S.spawn_at >= PATIENCE && load_relaxed(&S.phase) == WEFTI_UP;
    struct m *mp = stuck ? S.spawn : NULL;
    while (mp && !mp->offer)
        mp = mp->idlelink;
    if (mp)
        take_back(mp);
    wefti_unlock(&S.lock);
}

/* ---- the spawner ---- */

static void spawn_one(struct m *mp) {
    struct os_thread thread;
    if (os_thread_create(&thread, M_STACK, m_main, mp) == 0)
        return;
    wefti_lock(&S.lock);
    no_spawn(mp);
    unlist(mp);
    store_relaxed(&S.nm, S.nm - 1);
    struct p *pp = mp->offer;
    mp->offer = NULL;
    if (!pp) {
        /* it was taken back */
    } else if (S.stopping) {
        wefti_stop_world_p(pp);
        if (mp->spinning)
            add_seqcst(&S.nmspinning, (uint32_t)-1);
    } else {
        no_thread_for(pp, mp->spinning);
    }
    wefti_release_m(mp);
    wefti_unlock(&S.lock);
    add_seqcst(&S.endnote, 1); /* the end of the run waits for nm to fall */
    os_futex_wake(&S.endnote, 1);
}

static struct m *next_spawn(void) {
    wefti_lock(&S.lock);
    struct m *mp = S.spawn;
    while (mp && mp->making)
        mp = mp->idlelink;
    if (mp)
        mp->making = 1;
    wefti_unlock(&S.lock);
    return mp;
}

static struct m *next_zombie(void) {
    wefti_lock(&S.lock);
    struct m *mp = S.zombies;
    if (mp)
        S.zombies = mp->idlelink;
    wefti_unlock(&S.lock);
    return mp;
}

/* The thread is gone: so is what may have kept the deadlock report from being made. */
static void joined(struct m *mp) {
    int64_t now = os_nanotime();
    wefti_lock(&S.lock);
    wefti_release_m(mp);
    S.joined = now;
    if (S.monsleep)
        wefti_sysmon_kick();
    wefti_unlock(&S.lock);
}

/* Joins ended threads. False: some still run what the program has at a thread's end, and `wait`
 * said not to wait for them, since that may need the next thread. */
static bool join_ended(bool wait) {
    struct m *left = NULL, *mp;
    while ((mp = next_zombie()) != NULL) {
        if (os_thread_join(&mp->thread, wait)) {
            joined(mp);
        } else {
            mp->idlelink = left;
            left = mp;
        }
    }
    wefti_lock(&S.lock);
    for (struct m *next; left; left = next) {
        next = left->idlelink;
        left->idlelink = S.zombies;
        S.zombies = left;
    }
    bool all = S.zombies == NULL;
    wefti_unlock(&S.lock);
    return all;
}

void *wefti_spawner_main(void *arg) {
    (void)arg;
    os_thread_name("weft-spawner");
    int64_t pause = JOIN_FIRST;
    for (;;) {
        uint32_t seq = load_acquire(&S.spawn_seq); /* pairs with whoever left a record */
        struct m *mp;
        while ((mp = next_spawn()) != NULL)
            spawn_one(mp);
        bool end = load_acquire(&S.monend); /* pairs with stop_helpers: nobody else will end */
        bool all = join_ended(end);
        if (end && all)
            return NULL;
        pause = all ? JOIN_FIRST : pause * 2 < JOIN_LAST ? pause * 2 : JOIN_LAST;
        os_futex_wait(&S.spawn_seq, seq, all ? -1 : os_nanotime() + pause);
    }
}
