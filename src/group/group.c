/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: goroutines that are counted, limited, cancelled and waited for together.
 *
 * All is guarded by g->lock, a P-lock of rank WEFTI_RANK_GROUP; contexts' locks rank above it.
 *   state         goroutines that run or are being started: the places taken
 *   limit         places there are; 0: any number
 *   ctx           the group's context, one reference; NULL: none yet in this round
 *   error         the first result that was not 0
 *   head, tail    goroutines that wait for a place, first in first out
 *   whead, wtail  goroutines that wait for the end
 *
 * Places. One who finds none free queues, and from then on a place is never free while somebody
 * waits: a goroutine that ends hands its place to the first of the queue, so state stays as it is,
 * and nobody can be overtaken or miss a wake-up. Whoever could not start its goroutine for want of
 * memory gives its place back the same way. Neither queue holds waits that can be lost: nobody but
 * the group claims them. So state is 0 only when nobody waits for a place.
 *
 * A round ends when a wait sees state 0, or when state becomes 0 and somebody waits. Whoever makes
 * that step takes context and error off the group under the lock: the group is as new then, but for
 * its limit. The context is cancelled and dropped before any wait returns; each wait gets the
 * error. With nobody waiting, context and error stay for the wait to come, or for further
 * goroutines.
 *
 * The last touch. The group may lie on the waiter's stack. What is needed after the lock is given
 * back (the context, the claimed waiters with the error in their sudogs) is in the hands of the one
 * who took it; the unlock is the last touch, and a waiter that didn't park sees state 0 only after
 * it. A goroutine that failed cancels the context before it gives its place back, by a reference of
 * its own, so the group is there meanwhile.
 *
 * The context is a child of what is current where the round begins, at the first start or at
 * weft_group_ctx. A goroutine of the group runs under it (wefti_newproc takes a reference).
 */
#include <weft/group.h>

#include "../context/context.h"
#include "../sync/sync.h"

WEFTI_SYNC_QUEUE_AT(weft_group, head, tail);
WEFTI_SYNC_QUEUE_AT(weft_group, whead, wtail);

static void lock(struct m *mp, weft_group *g) {
    wefti_plock(mp, &g->lock, WEFTI_RANK_GROUP);
}

static void unlock(struct m *mp, weft_group *g) {
    wefti_punlock(mp, &g->lock, WEFTI_RANK_GROUP);
}

/* ---- the end of a round ---- */

struct round {
    weft_ctx *ctx;
    int error;
};

/* Takes the round off a locked group without goroutines. */
static struct round end_round(weft_group *g) {
    struct round round = {g->ctx, g->error};
    g->ctx = NULL;
    g->error = 0;
    return round;
}

/* Ends its context; no lock is held. */
static void close_round(struct m *mp, struct round round) {
    if (!round.ctx)
        return;
    wefti_ctx_end(mp, round.ctx, ECANCELED, ECANCELED);
    wefti_ctx_unref(mp, round.ctx);
}

/* ---- places ---- */

/* Gives a place back, or on. */
static void put_place(struct m *mp, weft_group *g) {
    struct sudog *next = NULL, *waiters = NULL;
    struct round round = {0};
    lock(mp, g);
    next = wefti_sync_claim_first(mp, wefti_sync_queue(&g->head));
    if (!next && --g->state == 0) {
        waiters = wefti_sync_claim_all(mp, wefti_sync_queue(&g->whead));
        if (waiters)
            round = end_round(g);
    }
    unlock(mp, g);
    if (next) {
        wefti_sync_ready(mp, next);
        return;
    }
    close_round(mp, round);
    for (struct sudog *sg = waiters; sg; sg = sg->next)
        sg->word[0] = (uint64_t)round.error;
    wefti_sync_ready_list(mp, waiters);
}

static bool full(const weft_group *g) {
    return g->limit > 0 && g->state >= (uint64_t)g->limit;
}

/* Parks in `queue` of a locked group; unlocks it. */
static struct m *park(struct m *mp, weft_group *g, void **queue, enum wefti_reason reason) {
    struct g *gp = mp->curg;
    wefti_waitq_push(wefti_sync_queue(queue), wefti_sync_wait_begin(mp, g, reason, false));
    unlock(mp, g);
    return wefti_wait(mp, gp);
}

/* Makes sure that a locked group has a context. */
static bool begin_round(struct m *mp, weft_group *g) {
    if (!g->ctx)
        g->ctx = wefti_ctx_make(mp, wefti_ctx_current(mp));
    return g->ctx != NULL;
}

/* ---- starting ---- */

/* Runs where a goroutine of the group ends. */
static void ended(struct m *mp, struct g *gp, int result) {
    weft_group *g = gp->done_arg;
    weft_ctx *ctx = NULL;
    if (result != 0) {
        lock(mp, g);
        if (g->error == 0) {
            g->error = result;
            ctx = weft_ctx_ref(g->ctx);
        }
        unlock(mp, g);
    }
    if (ctx) {
        wefti_ctx_end(mp, ctx, ECANCELED, result);
        wefti_ctx_unref(mp, ctx);
    }
    put_place(mp, g);
}

/* Starts fn in a place that is taken already; 0, or ENOMEM and the place is given back. */
static int start(struct m *mp, weft_group *g, const struct weft_impl_site *site, int (*fn)(void),
                 const uint64_t *words) {
    const struct weft_attr attr = {.ctx = g->ctx}; /* it stays as long as the place is taken */
    int err = wefti_newproc(mp, &attr, site, (void (*)(void))fn, words, ended, g);
    if (unlikely(err))
        put_place(mp, g);
    return err;
}

int weft_impl_group_go(weft_group *g, const struct weft_impl_site *site, int (*fn)(void),
                       const uint64_t *words) {
    if (unlikely(!fn))
        wefti_fatal("go of nil func value");
    struct m *mp = wefti_enter_park();
    int err = ENOMEM;
    lock(mp, g);
    bool begun = begin_round(mp, g);
    if (begun && full(g))
        mp = park(mp, g, &g->head, WEFTI_WAIT_GROUP_GO); /* a place was handed over */
    else {
        g->state += begun;
        unlock(mp, g);
    }
    if (begun)
        err = start(mp, g, site, fn, words);
    wefti_leave(mp);
    if (unlikely(err)) {
        weft_set_errno(err);
        return -1;
    }
    return 0;
}

bool weft_impl_group_try_go(weft_group *g, const struct weft_impl_site *site, int (*fn)(void),
                            const uint64_t *words) {
    if (unlikely(!fn))
        wefti_fatal("go of nil func value");
    struct m *mp = wefti_enter();
    int err = 0;
    lock(mp, g);
    if (full(g))
        err = EAGAIN;
    else if (!begin_round(mp, g))
        err = ENOMEM;
    else
        g->state++;
    unlock(mp, g);
    if (!err)
        err = start(mp, g, site, fn, words);
    wefti_leave(mp);
    if (unlikely(err))
        weft_set_errno(err);
    return err == 0;
}

/* ---- the rest ---- */

int weft_group_wait(weft_group *g) {
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    int error;
    lock(mp, g);
    if (g->state != 0) {
        mp = park(mp, g, &g->whead, WEFTI_WAIT_GROUP_WAIT);
        error = (int)gp->sudog.word[0];
    } else {
        struct round round = end_round(g);
        unlock(mp, g);
        close_round(mp, round);
        error = round.error;
    }
    wefti_leave(mp);
    return error;
}

void weft_group_cancel(weft_group *g) {
    struct m *mp = wefti_enter();
    lock(mp, g);
    weft_ctx *ctx = weft_ctx_ref(g->ctx);
    unlock(mp, g);
    if (ctx) {
        wefti_ctx_end(mp, ctx, ECANCELED, ECANCELED);
        wefti_ctx_unref(mp, ctx);
    }
    wefti_leave(mp);
}

void weft_group_set_limit(weft_group *g, int n) {
    struct m *mp = wefti_enter();
    lock(mp, g);
    uint64_t active = g->state;
    if (likely(active == 0))
        g->limit = n > 0 ? n : 0;
    unlock(mp, g);
    wefti_leave(mp);
    if (unlikely(active != 0))
        wefti_fatal("errgroup: modify limit while %d goroutines in the group are still active",
                    (int)active);
}

weft_ctx *weft_group_ctx(weft_group *g) {
    struct m *mp = wefti_enter();
    lock(mp, g);
    begin_round(mp, g);
    weft_ctx *ctx = g->ctx;
    unlock(mp, g);
    wefti_leave(mp);
    if (unlikely(!ctx))
        weft_set_errno(ENOMEM);
    return ctx;
}
