/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a context and of all below it.
 *
 * The order, each step for the whole subtree before the next one begins:
 *   1  err and cause are set, the lists of children and of waiting hooks taken
 *   2  done channels are closed
 *   3  the ambient flags are set (wefti_ambient_mark): waits begun from now on fail
 *   4  cancellable waits of the members are claimed (wefti_ambient_wake)
 *   5  timers are stopped, hooks started
 * err and the ambient flag are two words because of step 2: one woken by a done channel must read
 * err, and a select that finds the done channel open must not yet meet the flag, for a ready case
 * (the done channel) beats the ambient.
 *
 * Who ends what. Whoever sets a context's err, under its lock, is its ender: there is one. It takes
 * the children off the list and visits them in the same way, so a subtree is ended by one ender,
 * except for parts that somebody else ended or is ending at that moment. Visiting is a loop with a
 * list of those still to visit, linked by `next`, which is free once a context is off its parent's
 * list; depth costs nothing. What an ender owns is linked by `endlink`, parents before children.
 *
 * Done channels are closed when a cancel returns, even if it is not the one that closes them. That
 * is what `closing` is for: set together with err, cleared when everything below is closed, by its
 * ender and, in the parts that others own, by these. One who meets a context that has ended waits
 * for `closing` to be 0: an ender for the parts below, after it closed its own; a second cancel for
 * the context that it was called for.
 *   - No cycle: an ender waits only for enders whose roots are strictly below its own root: it owns
 *     whatever it gets to first, so where it meets another's context, that one began there. One who
 *     owns nothing is waited for by nobody.
 *   - No deadlock: an ender holds a P, parks nowhere, and weft preempts nobody in the runtime; the
 *     waiter spins, then yields the CPU, as on a P-lock. With one P nobody else is ever in between.
 *   - A root stays on its parent's list until its closing is over but for the clearing: so one who
 *     ends the parent meanwhile finds it and waits. Those below the root are found through it.
 *   - A context made while its parent ends is born ended (ctx.c) and has no channel to close.
 *
 * References. The caller holds the root. Those below are got by wefti_ctx_tryref under the lock of
 * the parent whose list they are on; it fails for one that is about to be freed, which nobody can
 * see any more: it has neither users nor members nor children.
 *
 * Deadlines. An armed timer holds no reference: a context that everybody dropped goes at once, and
 * its timer with it. fire runs under the heap's lock and takes a reference if there is one to take;
 * late ends the context and gives it up. The last drop disarms: either it takes the timer out of
 * the heap, or it finds it fired, and then fire has returned; it can't have got a reference after
 * the last drop, and had it got one before, that drop would not have been the last.
 *   - A parent may end while the maker is about to arm the child's timer: the ender's disarm may
 *     come too early. Maker: arm, fence, look at err. Ender: set err, fence, look at the timer. One
 *     of the two sees the other's store and disarms.
 *
 * Rejected: one lock for a whole tree. All requests of a server hang below one root, and ending one
 * of them would stop the others' contexts for as long as its channels take to close. Rejected: Go's
 * nesting of locks from parent to child, which recurses to the depth of the tree.
 */
#include "context.h"

#include <errno.h>

#include "../chan/chan.h"
#include "../timer/timer.h"

struct ending {
    int err, cause;
    struct weft_ctx *owned, **last; /* those whose ender this is, by endlink */
    struct weft_ctx *pending;       /* to be visited, by next; a reference each */
    struct weft_ctx *others;        /* those whose ender is another, by next; a reference each */
};

/* Moves the children of a locked context to the list of those to visit. */
static void take_children(struct weft_ctx *ctx, struct ending *e) {
    struct weft_ctx *next;
    for (struct weft_ctx *child = ctx->children; child; child = next) {
        next = child->next;
        child->linked = false;
        if (!wefti_ctx_tryref(child))
            continue;
        child->next = e->pending;
        e->pending = child;
    }
    ctx->children = NULL;
}

/* Step 1 for one context: true if this is its ender. */
static bool visit(struct m *mp, struct weft_ctx *ctx, struct ending *e) {
    wefti_ctx_lock(mp, ctx);
    bool mine = ctx->err == 0;
    if (mine) {
        ctx->cause = e->cause;
        store_relaxed(&ctx->closing, 1);  /* seen by all who see err: they lock, too */
        store_release(&ctx->err, e->err); /* pairs with the loads in weft_ctx_err and _cause */
        take_children(ctx, e);
        wefti_ctx_hooks_take(ctx);
        ctx->endlink = NULL;
        *e->last = ctx;
        e->last = &ctx->endlink;
    }
    wefti_ctx_unlock(mp, ctx);
    return mine;
}

static void visit_pending(struct m *mp, struct ending *e) {
    struct weft_ctx *ctx;
    while ((ctx = e->pending) != NULL) {
        e->pending = ctx->next;
        if (!visit(mp, ctx, e)) {
            ctx->next = e->others;
            e->others = ctx;
        }
    }
}

static void close_done(struct m *mp, struct weft_ctx *ctx) {
    wefti_ctx_lock(mp, ctx);
    void *done = ctx->done_closed ? NULL : ctx->done;
    ctx->done_closed = done != NULL || ctx->done_closed;
    wefti_ctx_unlock(mp, ctx);
    if (done)
        wefti_chan_close_internal(mp, done);
}

/* Until the ender of ctx has closed everything below. The word is a P-lock that its ender took. */
static void await_closed(struct weft_ctx *ctx) {
    if (load_acquire(&ctx->closing) == 0) /* pairs with the store in wake */
        return;
    wefti_plock_slow(&ctx->closing);
    store_release(&ctx->closing, 0); /* on to the next who waits */
}

static void await_others(struct m *mp, struct ending *e) {
    struct weft_ctx *ctx;
    while ((ctx = e->others) != NULL) {
        e->others = ctx->next;
        await_closed(ctx);
        wefti_ctx_unref(mp, ctx);
    }
}

/* Steps 3 and 4. */
static void wake(struct m *mp, struct ending *e) {
    for (struct weft_ctx *ctx = e->owned; ctx; ctx = ctx->endlink)
        wefti_ambient_mark(mp, &ctx->ambient, e->err);
    for (struct weft_ctx *ctx = e->owned; ctx; ctx = ctx->endlink) {
        store_release(&ctx->closing, 0); /* pairs with the load in await_closed */
        wefti_ambient_wake(mp, &ctx->ambient);
    }
}

void wefti_ctx_end(struct m *mp, struct weft_ctx *root, int err, int cause) {
    struct ending e = {.err = err, .cause = cause, .last = &e.owned};
    if (!visit(mp, root, &e)) {
        await_closed(root);
        return;
    }
    wefti_ambient_ref(&root->ambient); /* like all the others owned */
    visit_pending(mp, &e);
    for (struct weft_ctx *ctx = e.owned; ctx; ctx = ctx->endlink)
        close_done(mp, ctx);
    await_others(mp, &e);
    wefti_ctx_unlink(mp, root);
    wake(mp, &e);
    fence_seqcst(); /* pairs with the one in wefti_ctx_arm */
    for (struct weft_ctx *ctx = e.owned, *next; ctx; ctx = next) {
        next = ctx->endlink;
        if (ctx->timed)
            wefti_timer_disarm(mp, &ctx->timer);
        wefti_ctx_hooks_start(mp, ctx);
        wefti_ctx_unref(mp, ctx);
    }
}

void weft_ctx_cancel(weft_ctx *ctx, int cause) {
    if (!ctx->cancelable)
        return;
    struct m *mp = wefti_enter();
    wefti_ctx_end(mp, ctx, ECANCELED, cause ? cause : ECANCELED);
    if (unlikely(ctx->over != NULL))
        ctx->over(mp, ctx);
    wefti_leave(mp);
}

/* ---- deadlines ---- */

static bool deadline_fire(struct m *mp, struct wefti_timer *t, int64_t now) {
    (void)mp, (void)now;
    return wefti_ctx_tryref(t->arg);
}

static void deadline_late(struct m *mp, struct wefti_timer *t) {
    struct weft_ctx *ctx = t->arg;
    wefti_ctx_end(mp, ctx, ETIMEDOUT, ETIMEDOUT);
    wefti_ctx_unref(mp, ctx);
}

void wefti_ctx_timed(struct weft_ctx *ctx) {
    wefti_timer_init(&ctx->timer, deadline_fire, deadline_late, ctx);
    ctx->timed = true;
}

void wefti_ctx_arm(struct m *mp, struct weft_ctx *ctx) {
    wefti_timer_arm(mp, &ctx->timer, ctx->deadline, 0);
    fence_seqcst(); /* pairs with the one in wefti_ctx_end */
    if (load_acquire(&ctx->err))
        wefti_timer_disarm(mp, &ctx->timer);
}
