/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutex: Go's, with the queue in the mutex.
 *
 * The state word. LOCKED, WOKEN and the release of LOCKED are anybody's by compare-and-swap;
 * WAITERS and STARVING change only under m->lock (by atomic steps, for the other bits do not wait).
 *
 *   LOCKED    somebody holds it
 *   WAITERS   the queue is not empty
 *   WOKEN     one goroutine is awake and will look at the state again: a waiter that was woken, or
 *             one that spins. It alone clears the bit: as it takes the lock, or in a step that sees
 *             LOCKED. Until then an unlock wakes nobody
 *   STARVING  the lock is handed from unlocker to first waiter and never free
 *
 * Invariants: STARVING implies LOCKED, WAITERS and not WOKEN. WAITERS is set only in a step that
 * sees LOCKED.
 *
 * Normal mode: an unlock frees the lock and wakes the first waiter, which competes with whoever
 * comes along (barging); mostly it loses, and that is fast: a running goroutine needs no switch. A
 * loser goes back to the front of the queue; if it has waited for more than 1 ms by then, it sets
 * STARVING. In that mode newcomers queue without trying, and an unlock leaves LOCKED set and makes
 * the first waiter the holder, until one is served that waited less, or is the last. The unlocker
 * decides that, since it holds the queue: Go's waiters do it when they wake.
 *
 * Uncontended lock, trylock and unlock are one compare-and-swap on the word: no thread-local, no
 * runtime, any thread. (Go's unlock subtracts and looks afterwards; see "the last touch".)
 *
 * No wake-up is lost. One pair at a time:
 *   - waiter queues / holder unlocks. The waiter's step that sets WAITERS sees LOCKED and happens
 *     under m->lock, as does its push. Either the holder's release came before: then the waiter saw
 *     no LOCKED and takes it. Or it comes after: then its compare-and-swap of the bare LOCKED
 *     fails, it takes m->lock, which it gets after the push, and finds the waiter.
 *   - waiter queues / an unlock that wakes another. The release may happen after m->lock is given
 *     back, so one more can queue in between without being seen. The woken one holds WOKEN and is
 *     not asleep: it takes the lock and its unlock looks at the queue, or it queues again or gives
 *     up, in a step that sees LOCKED and clears WOKEN, so that holder's unlock looks.
 *   - spinner / unlock. The same: a spinner with WOKEN is awake.
 *   - waiter times out / unlock wakes it. One claim wins. The unlock won: the waiter competes once
 *     more, then gives up as above. The timer won: the unlock pops it as lost and takes the next;
 *     if the queue is empty then, it clears the bits and releases with nobody to wake.
 *   - waiter times out / waiter queues: m->lock orders them; the last to leave clears the bits.
 *   - hand-over / time-out of the one to be served: as for an unlock. LOCKED stays set meanwhile.
 *   - park / ready: a wait is published before it is queued (sched.h), so a claim at any moment
 *     after the push is fine.
 *
 * The last touch: in an unlock it is the step that clears LOCKED, or, handing over, the unlock of
 * m->lock, which is before the ready. Therefore the lock is freed after m->lock is given back and
 * not under it, and whoever gets the mutex may free its memory once nobody else waits.
 *
 * What was written under the lock is seen by the next holder: the release of LOCKED pairs with the
 * acquire of the compare-and-swap that takes it (relaxed steps between them are read-modify-writes
 * and keep the chain); a hand-over is ordered by wefti_ready and wefti_wait.
 *
 * Rejected: a table of queues by address, as Go's semaphores have: the mutex would be 8 bytes, but
 * strangers would share a lock and a dump could not tell the mutex from the goroutine. Rejected:
 * yielding to the served waiter in a hand-over, as Go does: an unlock would become a call that
 * moves to another thread (only documented ones may). It is not needed: the unlocker's own next
 * lock queues behind.
 */
#include "sync.h"

#include "../arch/arch.h"

#define LOCKED 1u
#define WOKEN 2u
#define STARVING 4u
#define WAITERS 8u

#define STARVES_AFTER 1000000 /* nanoseconds */
#define SPINS 4               /* rounds, of */
#define PAUSES 30

_Static_assert(sizeof(weft_mutex) == 24, "weft_mutex is part of the binary interface");
WEFTI_SYNC_QUEUE_AT(weft_mutex, head, tail);

/* One goroutine's attempt to lock. */
struct attempt {
    weft_mutex *m;
    const weft_time *deadline; /* NULL: none */
    enum wefti_reason reason;
    uint32_t woken; /* WOKEN when the bit is mine, else 0 */
    uint32_t spins; /* rounds since it last slept */
    int64_t since;  /* began to wait; 0: has not */
    bool starving;  /* waited for longer than STARVES_AFTER */
};

static inline bool take_free(weft_mutex *m) {
    uint32_t free = 0;
    return cas_acquire(&m->state, &free, LOCKED); /* pairs with the releases of LOCKED below */
}

static inline bool release_bare(weft_mutex *m) {
    uint32_t held = LOCKED;
    return cas_release(&m->state, &held, 0); /* pairs with the steps that take LOCKED */
}

static inline struct wefti_waitq *queue(weft_mutex *m) {
    return wefti_sync_queue(&m->head);
}

/* ---- lock ---- */

/* A little patience pays only if the holder can run meanwhile and nobody waits for this P. */
static bool spin_pays(struct m *mp) {
    struct p *pp = mp->p;
    return !pp->single && load_relaxed(&pp->runq.next) == NULL &&
           load_relaxed(&pp->runq.head) == load_relaxed(&pp->runq.tail);
}

static void spin(struct attempt *a, uint32_t seen) {
    if (!a->woken && (seen & (WOKEN | WAITERS)) == WAITERS &&
        cas_relaxed(&a->m->state, &seen, seen | WOKEN)) /* a hint to unlock; orders nothing */
        a->woken = WOKEN;
    for (int i = 0; i < PAUSES; i++)
        arch_pause();
    a->spins++;
}

/* Gives up: true, unless the lock is free just now. */
static bool give_up(struct attempt *a) {
    uint32_t old = load_relaxed(&a->m->state);
    do {
        if (!(old & LOCKED))
            return false;
    } while (!cas_relaxed(&a->m->state, &old, old & ~a->woken)); /* the holder's unlock sees it */
    return true;
}

/* Queues the caller with its wait published: NULL if the lock is free just now. */
static struct sudog *queue_up(struct m *mp, struct attempt *a) {
    weft_mutex *m = a->m;
    bool again = a->since != 0;
    if (!again)
        a->since = wefti_nanotime();
    wefti_plock(mp, &m->lock, WEFTI_RANK_SYNC);
    uint32_t set = WAITERS | (a->starving ? STARVING : 0);
    uint32_t old = load_relaxed(&m->state);
    do {
        if (!(old & LOCKED)) {
            wefti_punlock(mp, &m->lock, WEFTI_RANK_SYNC);
            return NULL;
        }
    } while (!cas_relaxed(&m->state, &old, (old | set) & ~a->woken)); /* m->lock orders the rest */
    a->woken = 0;
    struct sudog *sg = wefti_sync_wait_begin(mp, m, a->reason, false);
    sg->word[0] = (uint64_t)a->since;
    if (again)
        wefti_waitq_push_front(queue(m), sg);
    else
        wefti_waitq_push(queue(m), sg);
    wefti_punlock(mp, &m->lock, WEFTI_RANK_SYNC);
    return sg;
}

/* Timed out: leaves the queue, unless an unlock that lost the claim has seen to that. */
static void leave_queue(struct m *mp, weft_mutex *m, struct sudog *sg) {
    wefti_plock(mp, &m->lock, WEFTI_RANK_SYNC);
    if (sg->queued) {
        wefti_waitq_remove(queue(m), sg);
        if (queue(m)->first == NULL)
            __atomic_fetch_and(&m->state, ~(WAITERS | STARVING), __ATOMIC_RELAXED); /* m->lock */
    }
    wefti_punlock(mp, &m->lock, WEFTI_RANK_SYNC);
}

static bool lock_inside(struct m **mpp, struct attempt *a) {
    struct m *mp = *mpp;
    struct g *gp = mp->curg;
    for (;;) {
        uint32_t old = load_relaxed(&a->m->state);
        if (!(old & LOCKED)) {
            /* pairs with the releases of LOCKED below */
            if (cas_acquire(&a->m->state, &old, (old | LOCKED) & ~a->woken))
                return true;
            continue;
        }
        if (!(old & STARVING) && a->spins < SPINS && spin_pays(mp)) {
            spin(a, old);
            continue;
        }
        if (a->deadline && wefti_nanotime() >= *a->deadline) {
            if (give_up(a))
                return false;
            continue;
        }
        struct sudog *sg = queue_up(mp, a);
        if (sg == NULL)
            continue;
        *mpp = mp = wefti_sync_wait_until(mp, gp, a->deadline);
        if (gp->wake != WEFTI_WAKE_OK) {
            leave_queue(mp, a->m, sg);
            return false;
        }
        if (sg->flag)
            return true; /* handed over */
        a->woken = WOKEN;
        a->spins = 0;
        a->starving = a->starving || wefti_nanotime() - a->since > STARVES_AFTER;
    }
}

static __attribute__((noinline)) bool lock_slow(weft_mutex *m, const weft_time *deadline,
                                                enum wefti_reason reason) {
    struct attempt a = {.m = m, .deadline = deadline, .reason = reason};
    struct m *mp = wefti_enter_park();
    bool locked = lock_inside(&mp, &a);
    if (!locked)
        *mp->errnop = ETIMEDOUT;
    wefti_leave(mp);
    return locked;
}

void weft_mutex_lock(weft_mutex *m) {
    if (unlikely(!take_free(m)))
        lock_slow(m, NULL, WEFTI_WAIT_MUTEX_LOCK);
}

void wefti_mutex_lock(weft_mutex *m, enum wefti_reason reason) {
    if (unlikely(!take_free(m)))
        lock_slow(m, NULL, reason);
}

bool weft_mutex_timedlock(weft_mutex *m, weft_time deadline) {
    return likely(take_free(m)) || lock_slow(m, &deadline, WEFTI_WAIT_MUTEX_LOCK);
}

/* Takes a free lock although others are awake or queued, as any newcomer may. */
bool weft_mutex_trylock(weft_mutex *m) {
    if (likely(take_free(m)))
        return true;
    uint32_t old = load_relaxed(&m->state);
    while (!(old & LOCKED))
        if (cas_acquire(&m->state, &old, old | LOCKED)) /* pairs with the releases of LOCKED */
            return true;
    return false;
}

bool wefti_mutex_is_locked(weft_mutex *m) {
    return load_relaxed(&m->state) & LOCKED; /* a check for misuse: the caller's own lock */
}

/* ---- unlock ---- */

/* Releases if nobody needs to be woken; false: somebody does. */
static bool release_quietly(weft_mutex *m) {
    uint32_t old = load_relaxed(&m->state);
    do {
        if (unlikely(!(old & LOCKED)))
            wefti_fatal("sync: unlock of unlocked mutex");
        if ((old & (WAITERS | WOKEN)) == WAITERS)
            return false;
    } while (!cas_release(&m->state, &old, old & ~LOCKED)); /* pairs with the takers; last touch */
    return true;
}

/* Normal mode, under m->lock: claims a waiter, which owns WOKEN then. NULL: none needed. */
static struct sudog *choose(struct m *mp, weft_mutex *m) {
    uint32_t old = load_relaxed(&m->state);
    do {
        if ((old & (WAITERS | WOKEN)) != WAITERS)
            return NULL;
    } while (!cas_relaxed(&m->state, &old, old | WOKEN)); /* m->lock orders the rest */
    struct sudog *sg = wefti_sync_claim_first(mp, queue(m));
    uint32_t clear = (queue(m)->first ? 0 : WAITERS) | (sg ? 0 : WOKEN);
    if (clear)
        __atomic_fetch_and(&m->state, ~clear, __ATOMIC_RELAXED); /* m->lock orders the rest */
    return sg;
}

/* Starvation mode, under m->lock: claims the next holder. NULL: all had timed out. */
static struct sudog *choose_heir(struct m *mp, weft_mutex *m) {
    wefti_assert((load_relaxed(&m->state) & (LOCKED | WAITERS | WOKEN)) == (LOCKED | WAITERS));
    struct sudog *sg = wefti_sync_claim_first(mp, queue(m));
    uint32_t clear = 0;
    if (queue(m)->first == NULL)
        clear = WAITERS | STARVING;
    else if (wefti_nanotime() - (int64_t)sg->word[0] <= STARVES_AFTER)
        clear = STARVING;
    if (clear)
        __atomic_fetch_and(&m->state, ~clear, __ATOMIC_RELAXED); /* m->lock orders the rest */
    if (sg)
        sg->flag = true;
    return sg;
}

void wefti_mutex_unlock(struct m *mp, weft_mutex *m) {
    if (likely(release_bare(m)))
        return;
    while (!release_quietly(m)) {
        wefti_plock(mp, &m->lock, WEFTI_RANK_SYNC);
        bool hand_over = load_relaxed(&m->state) & STARVING; /* changes under m->lock only */
        struct sudog *sg = hand_over ? choose_heir(mp, m) : choose(mp, m);
        wefti_punlock(mp, &m->lock, WEFTI_RANK_SYNC); /* handing over, the last touch */
        if (sg == NULL)
            continue;
        if (!hand_over) /* pairs with the takers; last touch */
            __atomic_fetch_and(&m->state, ~LOCKED, __ATOMIC_RELEASE);
        wefti_sync_ready(mp, sg);
        return;
    }
}

static __attribute__((noinline)) void unlock_slow(weft_mutex *m) {
    if (release_quietly(m))
        return;
    struct m *mp = wefti_enter();
    wefti_mutex_unlock(mp, m);
    wefti_leave(mp);
}

void weft_mutex_unlock(weft_mutex *m) {
    if (unlikely(!release_bare(m)))
        unlock_slow(m);
}
