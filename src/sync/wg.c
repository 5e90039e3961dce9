/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wait group: a counter and those that wait for it to be 0.
 *
 * The state word holds the counter in its upper half (signed) and the number of waiters in its
 * lower half, so that one step tells the one that reaches 0 whether somebody waits. Adding is one
 * atomic addition and no more, unless it reaches 0 with waiters. The number of waiters changes
 * under `lock` only, together with the queue: up, in a step that sees the counter above 0; and back
 * to 0, by the one that brought the counter to 0.
 *
 *   - waiter queues / counter reaches 0. One word, so one comes first. The waiter: the other sees
 *     it counted, takes `lock` after the push and finds it. The counter: the waiter sees 0 and does
 *     not wait.
 *   - park / ready: a wait is published before it is queued; it can't time out or be cancelled, so
 *     the claim succeeds.
 *   - addition from 0 / parked waiters. Between the step that reached 0 and the release of the
 *     waiters the word says "0, with waiters". An addition that sees this is misuse (W6); so is a
 *     word that has changed when the waiters are about to be released. Both are fatal: the waiters
 *     could not know which round they waited for.
 *
 * The last touch: of the one that reaches 0 without waiters, that step; with waiters, the unlock of
 * `lock`, before any of them is ready. A waiter does not touch the object after it was woken. So a
 * wait group on the waiter's stack may go when the (one) wait has returned.
 *
 * Order: the additions are acquire and release, and a chain of them hands on what each of the done
 * calls had seen; the wait's acquire, or its wake-up, pairs with the last of them.
 */
#include "sync.h"

#define ONE ((uint64_t)1 << 32) /* one of the counter */

_Static_assert(sizeof(weft_wg) == 32, "weft_wg is part of the binary interface");
WEFTI_SYNC_QUEUE_AT(weft_wg, head, tail);

static inline int32_t counter(uint64_t state) {
    return (int32_t)(state >> 32);
}

static inline uint32_t waiters(uint64_t state) {
    return (uint32_t)state;
}

static __attribute__((noreturn, cold)) void misuse(void) {
    wefti_fatal("sync: WaitGroup misuse: Add called concurrently with Wait");
}

/* Adds delta; true: that made it 0, and there are waiters to release. */
static inline bool add(weft_wg *wg, int delta) {
    uint64_t change = (uint64_t)(int64_t)delta << 32;
    uint64_t now = add_acqrel(&wg->state, change) + change; /* pairs with each other and the wait */
    if (unlikely(counter(now) < 0))
        wefti_fatal("sync: negative WaitGroup counter");
    if (likely(waiters(now) == 0))
        return false;
    if (delta > 0 && counter(now) == delta)
        misuse();
    return counter(now) == 0;
}

static void release(struct m *mp, weft_wg *wg) {
    wefti_plock(mp, &wg->lock, WEFTI_RANK_SYNC);
    uint64_t now = load_relaxed(&wg->state); /* `lock`: the waiters don't change meanwhile */
    if (counter(now) != 0 || waiters(now) == 0 || !cas_relaxed(&wg->state, &now, 0))
        misuse();
    struct sudog *list = wefti_sync_claim_all(mp, wefti_sync_queue(&wg->head));
    wefti_punlock(mp, &wg->lock, WEFTI_RANK_SYNC); /* last touch */
    wefti_sync_ready_list(mp, list);
}

void weft_wg_add(weft_wg *wg, int delta) {
    if (likely(!add(wg, delta)))
        return;
    struct m *mp = wefti_enter();
    release(mp, wg);
    wefti_leave(mp);
}

void weft_wg_done(weft_wg *wg) {
    weft_wg_add(wg, -1);
}

/* Counts the caller among the waiters: false if the counter is 0. Under `lock`. */
static bool count_in(weft_wg *wg) {
    uint64_t old = load_acquire(&wg->state); /* pairs with the additions */
    do {
        if (counter(old) == 0)
            return false;
    } while (!cas_acqrel(&wg->state, &old, old + 1)); /* acquire for the next look */
    return true;
}

void weft_wg_wait(weft_wg *wg) {
    if (counter(load_acquire(&wg->state)) == 0) /* pairs with the additions */
        return;
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    wefti_plock(mp, &wg->lock, WEFTI_RANK_SYNC);
    if (!count_in(wg)) {
        wefti_punlock(mp, &wg->lock, WEFTI_RANK_SYNC);
        wefti_leave(mp);
        return;
    }
    wefti_waitq_push(wefti_sync_queue(&wg->head),
                     wefti_sync_wait_begin(mp, wg, WEFTI_WAIT_WG_WAIT, false));
    wefti_punlock(mp, &wg->lock, WEFTI_RANK_SYNC);
    mp = wefti_wait(mp, gp);
    wefti_leave(mp);
}

/* ---- start and count ---- */

/* At the end of a counted goroutine, however it came to it; in the runtime. */
static void ended(struct m *mp, struct g *gp, int result) {
    (void)result;
    weft_wg *wg = gp->done_arg;
    if (add(wg, -1))
        release(mp, wg);
}

int weft_impl_wg_go(weft_wg *wg, const struct weft_impl_site *site, void (*fn)(void),
                    const uint64_t *words) {
    if (fn == NULL)
        wefti_fatal("go of nil func value");
    bool none = add(wg, 1); /* before the goroutine exists: its end must not be seen first */
    wefti_assert(!none);
    (void)none;
    struct m *mp = wefti_enter();
    int err = wefti_newproc(mp, NULL, site, fn, words, ended, wg);
    if (unlikely(err != 0)) {
        if (add(wg, -1))
            release(mp, wg);
        *mp->errnop = err;
    }
    wefti_leave(mp);
    return err == 0 ? 0 : -1;
}
