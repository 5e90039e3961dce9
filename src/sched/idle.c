/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the next goroutine, and what an M does when there is none.
 *
 * The order: every 61st switch the global queue; the own queue; the global queue, a fair share;
 * other Ps' queues and timers, in four rounds of random order. Before it robs others, it
 * asks the poller for descriptors that became ready (netpoll.c). Then the M gives its P up, looks at
 * everything once more, and sleeps: one idle M as the keeper, until the earliest timer of all Ps or
 * until a descriptor is ready; the others until they are given a P.
 *
 * No lost work, the two sides in prose (both fences are full ones):
 *
 *   submitter: puts G on a queue;  fence;  reads npidle and nmspinning;
 *              wakes an M if there is an idle P and no spinner
 *   idler:     nmspinning--;       fence;  reads all queues;
 *              takes a P again and goes on if one holds work
 *
 * If the submitter read nmspinning > 0, some spinner's decrement comes after, and that spinner's
 * reads, after its fence, see G. If it read npidle == 0, every P has an M that has not given it up
 * yet, and that M reads the queues after giving it up. A spinner that finds work wakes another one
 * before it runs it, so there is always one looking while there may be more. An M that was not
 * spinning looks again all the same: what it found before it gave up its P may be too old, and another
 * M's short claim to be spinning (wefti_wakep) may have kept it from spinning itself. tests/model has
 * this protocol as a model, and the interleaving that is lost without that look.
 *
 * No lost timer. The armer writes its heap's first time, fences, and reads timekeeper and until;
 * the keeper writes timekeeper and until, fences, and reads all first times. So either the armer
 * sees that the sleeper is to be woken (or that there is none and an idle P: it wakes an M), or the
 * keeper sees the new time before it sleeps. Until the poller is open the keeper sleeps on a futex
 * word which the armer changes first; afterwards in the poller, whose bell the armer rings, and the
 * ring stays: either way a wake-up between the look and the sleep ends the sleep at once. A keeper
 * that read "not open" cleared keeper_wake before it did, and who opens the poller sets keeper_wake
 * after it, so that keeper does not stay on the futex.
 *
 * A keeper asleep counts as asleep for the deadlock report (keeping), as any idle M: the timer it
 * sleeps for may have been stopped. What wakes it while it counts so is a timer or a waiter for a
 * descriptor, and either is reason enough for no report. It counts until it looks for a P, and the
 * next may keep watch before that, so there may be several.
 */
#include "../os/os.h"
#include "../runq/runq.h"
#include "../timer/timer.h"
#include "netpoll.h"
#include "order.h"
#include "state.h"

/* ---- timers ---- */

static int64_t earliest_timer(void) {
    int64_t earliest = 0;
    for (uint32_t i = 0; i < load_acquire(&S.nallp); i++) {
        int64_t when = load_seqcst(
            &S.allp[i]->timers->first); /* pairs with the fence in wefti_timer_earlier */
        if (when != 0 && (earliest == 0 || when < earliest))
            earliest = when;
    }
    return earliest;
}

bool wefti_timers_left(void) {
    return earliest_timer() != 0;
}

bool wefti_oldest_timer_due(int64_t now) {
    int64_t when = earliest_timer();
    return when != 0 && when <= now;
}

/* Runs what is due in pp's heap. */
void wefti_run_timers(struct m *mp, struct p *pp) {
    int64_t first = load_relaxed(&pp->timers->first);
    if (likely(first == 0))
        return;
    int64_t now = os_nanotime();
    store_relaxed(&S.now, now);
    if (first <= now)
        wefti_timers_run(mp, pp->timers, now);
}

void wefti_wake_keeper(void) {
    if (xchg_seqcst(&S.keeper_wake, 1) != 0) /* pairs with the keeper's look before it sleeps */
        return;
    if (wefti_poll_is_open())
        wefti_poll->ring();
    os_futex_wake(&S.keeper_wake, 1);
}

/* There is something to watch for: an M should do it. */
void wefti_need_keeper(struct m *mp) {
    if (!load_seqcst(&S.timekeeper) && load_seqcst(&S.npidle) != 0) /* with sleep_without_work */
        wefti_wakep(mp);
}

void wefti_timer_earlier(struct m *mp, int64_t when) {
    if (unlikely(mp->outside))
        wefti_fatal("a timer can't be armed: no runtime is running (weft_run or weft_start first)");
    fence_seqcst(); /* pairs with the keeper's, in keep_watch */
    int64_t until = load_relaxed(&S.until);
    if (!load_relaxed(&S.timekeeper))
        wefti_need_keeper(mp);
    else if (until == 0 || when < until)
        wefti_wake_keeper();
}

/* ---- stealing ---- */

/* Another P's queue, in the last round its timers and its front too. *again: timers ran, look at
 * the own queue. */
static struct g *steal_from(struct m *mp, struct p *victim, bool last, bool *again) {
    struct p *pp = mp->p;
    if (last) {
        wefti_run_timers(mp, victim);
        if (!wefti_runq_empty(&pp->runq)) {
            *again = true;
            return NULL;
        }
    }
    if (load_relaxed(&victim->status) == WEFTI_P_IDLE)
        return NULL;
    bool take_front = last && load_relaxed(&victim->runq.next) != NULL;
    if (take_front && load_relaxed(&victim->status) == WEFTI_P_RUNNING &&
        wefti_runq_len(&victim->runq) == 0) {
        /* Its owner is most likely about to run it. */
        struct g *front = load_relaxed(&victim->runq.next);
        os_futex_wait(&(uint32_t){0}, 0, os_nanotime() + 3000);
        take_front = load_relaxed(&victim->runq.next) == front;
    }
    return wefti_runq_steal(&pp->runq, &victim->runq, take_front);
}

static struct g *steal_work(struct m *mp, bool *again) {
    struct wefti_rand *r = wefti_oracle(mp);
    uint32_t n = S.nprocs;
    for (int round = 0; round < 4; round++) {
        struct wefti_order order = wefti_order_of(n, r);
        for (uint32_t i = 0; i < n; i++, wefti_order_next(&order)) {
            if (load_relaxed(&S.stopping)) {
                *again = true;
                return NULL;
            }
            struct p *victim = S.allp[order.at];
            if (victim == mp->p)
                continue;
            struct g *gp = steal_from(mp, victim, round == 3, again);
            if (gp || *again)
                return gp;
        }
    }
    return NULL;
}

/* ---- the global queue; with the lock ---- */

void wefti_flush_yielded(struct p *pp) {
    wefti_glist_append(&S.global, &pp->yielded);
}

/*
 * A fair share of the global queue (at most `most`): one to run, the others to pp's own queue.
 * Those that bring their own thread stay in the global queue, in order: there each P finds them,
 * and whoever is woken meanwhile does not come behind them.
 */
static struct g *take_global(struct p *pp, uint32_t most) {
    uint32_t n = S.global.n;
    if (n == 0)
        return NULL;
    uint32_t share = n / S.nprocs + 1;
    share = share < n ? share : n;
    share = share < most ? share : most;
    struct g *gp = wefti_glist_pop(&S.global);
    for (; share > 1 && !S.global.first->bound; share--) {
        struct g *more = wefti_glist_pop(&S.global);
        if (!wefti_runq_put(&pp->runq, more)) {
            wefti_glist_push(&S.global, more);
            break;
        }
    }
    return gp;
}

static struct g *from_global(struct p *pp, uint32_t most) {
    if (load_relaxed(&S.global.n) == 0 && pp->yielded.n == 0)
        return NULL;
    store_relaxed(&pp->turns, pp->turns + 1);
    wefti_lock(&S.lock);
    wefti_flush_yielded(pp); /* out of turn too: in the batch they would wait for an empty queue */
    struct g *gp = take_global(pp, most);
    wefti_unlock(&S.lock);
    return gp;
}

/* One; see out_of_turn. */
static struct g *global_out_of_turn(struct p *pp) {
    if (load_relaxed(&S.global.n) == 0 && pp->yielded.n == 0)
        return NULL;
    bool captives = os_nanotime() - pp->ownsince >= S.slice;
    struct g *gp = NULL;
    wefti_lock(&S.lock);
    wefti_flush_yielded(pp);
    if (captives || (S.global.first && !load_relaxed(&S.global.first->captive)))
        gp = take_global(pp, 1);
    wefti_unlock(&S.lock);
    if (gp)
        store_relaxed(&pp->turns, pp->turns + 1);
    return gp;
}

/* ---- spinning ---- */

static void start_spinning(struct m *mp) {
    store_relaxed(&mp->spinning, 1);
    add_seqcst(&S.nmspinning, 1);
    store_relaxed(&S.needspinning, 0);
}

/* It found work: another M may have to look for more in its place. */
static void found_work(struct m *mp) {
    store_relaxed(&mp->spinning, 0);
    add_seqcst(&S.nmspinning, (uint32_t)-1);
    wefti_wakep(mp);
}

void wefti_wakep(struct m *mp) {
    (void)mp;
    uint32_t none = 0;
    if (load_relaxed(&S.nmspinning) != 0 ||
        !cas_seqcst(&S.nmspinning, &none, 1)) /* pairs with going idle */
        return;
    wefti_lock(&S.lock);
    struct p *pp = wefti_pidle_get();
    if (!pp) {
        store_relaxed(&S.needspinning, 1);
        add_seqcst(&S.nmspinning, (uint32_t)-1);
        wefti_unlock(&S.lock);
        return;
    }
    wefti_unlock(&S.lock);
    wefti_start_m(pp, true);
}

static bool may_spin(struct m *mp) {
    uint32_t busy = S.nprocs - load_relaxed(&S.npidle);
    return mp->spinning || 2 * load_relaxed(&S.nmspinning) < busy;
}

/* ---- going idle ---- */

/* Some queue holds work and there is an idle P for it: takes that P. */
static bool recheck_queues(struct m *mp) {
    struct p *pp = NULL;
    for (uint32_t i = 0; i < load_acquire(&S.nprocs) && !pp; i++) {
        if (wefti_runq_len(&S.allp[i]->runq) == 0) /* a front alone is its owner's */
            continue;
        wefti_lock(&S.lock);
        pp = wefti_pidle_get();
        wefti_unlock(&S.lock);
        if (!pp)
            return false;
    }
    if (!pp && load_relaxed(&S.global.n) != 0) {
        wefti_lock(&S.lock);
        if (S.global.n != 0)
            pp = wefti_pidle_get();
        wefti_unlock(&S.lock);
    }
    if (!pp)
        return false;
    wefti_acquire_p(mp, pp);
    return true;
}

/* Gives the P up. False: something turned up under the lock, the P is kept. */
static bool give_up_p(struct m *mp) {
    wefti_lock(&S.lock);
    bool keep = S.stopping || load_relaxed(&S.phase) != WEFTI_UP || S.global.n != 0 ||
                mp->p->yielded.n != 0;
    if (!keep && !mp->spinning && load_relaxed(&S.needspinning)) {
        start_spinning(mp);
        keep = true;
    }
    if (!keep)
        wefti_pidle_put(wefti_release_p(mp));
    wefti_unlock(&S.lock);
    return !keep;
}

/* Something may happen by itself: somebody must be there to see it. */
static bool worth_watching(void) {
    return earliest_timer() != 0 || load_seqcst(&S.netwaiters) != 0; /* as armers' and waiters' */
}

/* The keeper's sleep. True when descriptors are ready. */
static bool keeper_sleep(int64_t until) {
    if (load_acquire(&S.keeper_wake) != 0 || load_relaxed(&S.phase) != WEFTI_UP)
        return false;
    if (wefti_poll_is_open())
        return wefti_poll->wait(until != 0 ? until : -1); /* pairs with wefti_wake_keeper */
    os_futex_wait(&S.keeper_wake, 0, until != 0 ? until : -1);
    return false;
}

/* Publishes until when it sleeps, and sleeps. */
static bool sleep_until_due(void) {
    int64_t until, again;
    do {
        store_seqcst(&S.keeper_wake, 0);
        until = earliest_timer();
        store_seqcst(&S.until, until);
        fence_seqcst(); /* pairs with the one in wefti_timer_earlier */
        again = earliest_timer();
    } while (again != 0 && (until == 0 || again < until));
    return until != 0 || load_seqcst(&S.netwaiters) != 0 ? keeper_sleep(until) : false;
}

static void count_keeper(void) {
    wefti_lock(&S.lock);
    S.keeping++;
    wefti_check_deadlock(0);
    wefti_unlock(&S.lock);
}

/* As the one keeper, until a timer is due or a descriptor ready: true when it slept (or need not),
 * false when there is one already. *ready: descriptors are. */
static bool keep_watch(bool *ready) {
    if (xchg_seqcst(&S.timekeeper, 1) != 0)
        return false;
    count_keeper();
    *ready = sleep_until_due();
    store_relaxed(&S.until, 0);
    store_seqcst(&S.timekeeper, 0);
    store_relaxed(&S.now, os_nanotime());
    return true;
}

/* Back from keeping watch: a P to do something about it, if there is one. */
static bool take_idle_p(struct m *mp, bool ready) {
    wefti_lock(&S.lock);
    struct p *pp = load_relaxed(&S.phase) == WEFTI_UP ? wefti_pidle_get() : NULL;
    S.keeping--;
    wefti_unlock(&S.lock);
    if (pp)
        wefti_acquire_p(mp, pp);
    else if (ready)
        store_relaxed(&S.netready, 1);
    return pp != NULL;
}

/* Without work and P: true when it has a P again, false when the run is over. */
static bool sleep_without_work(struct m *mp) {
    if (mp->spinning) {
        store_relaxed(&mp->spinning, 0);
        add_seqcst(&S.nmspinning, (uint32_t)-1);
    }
    fence_seqcst(); /* pairs with the submitters', in more_work */
    if (recheck_queues(mp)) {
        start_spinning(mp);
        return true;
    }
    bool ready = false;
    if (worth_watching() && keep_watch(&ready)) {
        if (take_idle_p(mp, ready)) {
            start_spinning(mp);
            if (ready) /* also when nobody waits: what is left there ends the next watch at once */
                wefti_netpoll(mp);
            return true;
        }
        if (load_relaxed(&S.phase) != WEFTI_UP)
            return false;
    }
    return wefti_stop_m(mp);
}

/* ---- the search ---- */

/*
 * Two goroutines that hand work to each other through the front would keep everybody else waiting,
 * those in the ring and those in the global queue. So every 61st switch goes to one of these two,
 * by turns.
 *
 * A captive at the global queue's head takes a whole slice, though, thousands of times what 61
 * switches take. Out of turn it comes only when the others have had as long since the last one; so
 * what hands on beside a hog gets half of the P, and not the microseconds between two slices.
 */
static struct g *out_of_turn(struct p *pp) {
    pp->turn = !pp->turn;
    struct g *gp = pp->turn ? global_out_of_turn(pp) : NULL;
    if (!gp)
        gp = wefti_runq_get_ring(&pp->runq, pp->single);
    return gp || pp->turn ? gp : global_out_of_turn(pp);
}

static struct g *search(struct m *mp, struct p *pp, bool *inherit, bool *again) {
    struct g *gp = mp->wanted;
    if (gp) {
        mp->wanted = NULL;
        return gp;
    }
    wefti_run_timers(mp, pp);
    bool out = load_relaxed(&pp->globaltick) <= 1;
    if (unlikely(load_relaxed(&S.netready)) || (out && wefti_netpoll_due()))
        wefti_netpoll(mp);
    if (out) {
        store_relaxed(&pp->globaltick, WEFTI_GLOBAL_EVERY);
        if ((gp = out_of_turn(pp)) != NULL)
            return gp;
    }
    if ((gp = wefti_runq_get(&pp->runq, pp->single, inherit)) != NULL)
        return gp;
    *inherit = false;
    if ((gp = from_global(pp, WEFTI_RUNQ_SIZE / 2)) != NULL)
        return gp;
    if (wefti_netpoll_due() && wefti_netpoll(mp)) {
        *again = true;
        return NULL;
    }
    if (!pp->single && may_spin(mp)) {
        if (!mp->spinning)
            start_spinning(mp);
        gp = steal_work(mp, again);
    }
    return gp;
}

struct g *wefti_find_runnable(struct m *mp, bool *inherit) {
    for (;;) {
        if (unlikely(load_acquire(&S.phase) != WEFTI_UP || load_relaxed(&mp->attn.is.ended) ||
                     mp->dying)) {
            if (mp->spinning) {
                store_relaxed(&mp->spinning, 0);
                add_seqcst(&S.nmspinning, (uint32_t)-1);
            }
            return NULL;
        }
        if (unlikely(load_acquire(&S.stopping))) {
            if (mp->spinning) {
                store_relaxed(&mp->spinning, 0);
                add_seqcst(&S.nmspinning, (uint32_t)-1);
            }
            wefti_lock(&S.lock);
            bool stop = S.stopping;
            if (stop) {
                if (mp->wanted)
                    wefti_glist_push(&S.global, mp->wanted);
                mp->wanted = NULL;
                mp->p->stopm = mp;
                wefti_stop_world_p(wefti_release_p(mp));
            }
            wefti_unlock(&S.lock);
            if (stop && !wefti_stop_m(mp))
                return NULL;
            continue;
        }
        if (unlikely(load_relaxed(&S.procs_due) != 0))
            wefti_change_procs(mp);
        bool again = false;
        struct g *gp = search(mp, mp->p, inherit, &again);
        if (gp) {
            if (mp->spinning)
                found_work(mp);
            return gp;
        }
        if (again || !give_up_p(mp))
            continue;
        if (!sleep_without_work(mp))
            return NULL;
    }
}

/* ---- the deadlock report ---- */

/* Threads that neither weft nor a sanitizer started may yet wake somebody. */
static bool foreign_threads(void) {
    int known = (int)(S.nm + S.nsys);
#ifdef __SANITIZE_THREAD__
    known++;
#endif
    return S.nforeign > 0 || os_thread_count() > known;
}

/*
 * With the lock, by an M about to sleep that still counts as awake, or by sysmon before it sleeps
 * for long. Nothing can ever run again when every other M sleeps, no timer that matters is armed, no
 * goroutine waits for a descriptor, and nobody outside can call in.
 */
void wefti_check_deadlock(uint32_t awake) {
    if (S.background || load_relaxed(&S.phase) != WEFTI_UP || S.stopping ||
        load_seqcst(&S.netwaiters) != 0)
        return;
    if (S.nm - S.nmidle - load_relaxed(&S.nmblocked) - S.keeping > awake || S.npidle != S.nprocs ||
        S.global.n != 0 || S.spawn)
        return;
    for (uint32_t i = 0; i < S.nprocs; i++)
        if (!wefti_runq_empty(&S.allp[i]->runq) || S.allp[i]->yielded.n != 0 ||
            wefti_timers_matter(S.allp[i]->timers))
            return;
    if (foreign_threads())
        return;
    if (S.main_goexit && wefti_live_goroutines() == 0)
        wefti_fatal("no goroutines (main called runtime.Goexit) - deadlock!");
    wefti_fatal("all goroutines are asleep - deadlock!");
}
