/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making, counting and reading contexts.
 *
 * Into the tree. A child reads its parent's end and joins the list of children in one section of
 * the parent's lock. Whoever ends the parent sets err and takes the list in one such section too.
 * So either the ender finds the child, or the child finds the end and is born ended, with the
 * parent's error and cause: no child slips through. Only contexts that can end are in lists: below
 * the background or a without_cancel there is nothing to hear from.
 *
 * Out of it. The one who drops the last reference has the context for himself, but for two weak
 * ways to it: the parent's list and its own timer. Both turn a weak look into a reference by
 * wefti_ctx_tryref, which fails from the last drop on, and both are closed before the memory goes:
 * unlinking takes the parent's lock, under which enders look; disarming a timer that is just firing
 * returns only when its fire function has returned (timer/timer.h). A context without references
 * has no children and no members, for these hold it.
 *
 * Freeing a context drops its parent's reference, and so on up a chain of any length: the dead are
 * kept on a list and freed one by one, not by recursion.
 *
 * Done channels are made when first asked for; most contexts are never asked. The first to store
 * the pointer wins. A channel made after the end is closed before others can see it, so a reader
 * of the pointer need not take the lock.
 *
 * Values, deadlines and the way up never change, and the caller's reference keeps the whole chain:
 * these calls need no lock and don't enter the runtime. They may write to the user's memory.
 */
#include "context.h"

#include <errno.h>

#include "../chan/chan.h"
#include "../timer/timer.h"

struct weft_ctx wefti_ctx_background;

/* ---- life ---- */

static void release(struct m *mp, struct wefti_ambient *ambient);

bool wefti_ctx_tryref(struct weft_ctx *ctx) {
    uint64_t refs = load_relaxed(&ctx->ambient.refs);
    while (refs != 0)
        if (cas_relaxed(&ctx->ambient.refs, &refs,
                        refs + 1)) /* the caller's lock orders the rest */
            return true;
    return false;
}

static bool drop(struct weft_ctx *ctx) {
    return add_acqrel(&ctx->ambient.refs, -1) == 1; /* what others did to it is before its end */
}

void wefti_ctx_unlink(struct m *mp, struct weft_ctx *ctx) {
    struct weft_ctx *parent = ctx->parent;
    if (!parent || !parent->can_end)
        return;
    wefti_ctx_lock(mp, parent);
    if (ctx->linked) {
        if (ctx->prev)
            ctx->prev->next = ctx->next;
        else
            parent->children = ctx->next;
        if (ctx->next)
            ctx->next->prev = ctx->prev;
        ctx->linked = false;
    }
    wefti_ctx_unlock(mp, parent);
}

static void destroy(struct m *mp, struct weft_ctx *ctx) {
    if (unlikely(ctx->over != NULL))
        ctx->over(mp, ctx);
    wefti_ctx_unlink(mp, ctx);
    if (ctx->timed)
        wefti_timer_disarm(mp, &ctx->timer);
    wefti_assert(!ctx->children && !ctx->ambient.members && !ctx->starting);
    wefti_ctx_hooks_free(mp, ctx);
    if (ctx->done)
        wefti_chan_unref_internal(mp, ctx->done);
    wefti_free(mp, ctx, sizeof *ctx);
}

/* Drops a reference; with the last, ctx joins the dead. */
static void bury(struct weft_ctx *ctx, struct weft_ctx **dead) {
    if (ctx && drop(ctx)) {
        ctx->endlink = *dead;
        *dead = ctx;
    }
}

static void release(struct m *mp, struct wefti_ambient *ambient) {
    struct weft_ctx *dead = (struct weft_ctx *)ambient;
    dead->endlink = NULL;
    while (dead) {
        struct weft_ctx *ctx = dead, *parent = ctx->parent;
        struct weft_ctx *restore = (struct weft_ctx *)ctx->restore;
        dead = ctx->endlink;
        destroy(mp, ctx);
        bury(parent, &dead);
        bury(restore, &dead);
    }
}

void wefti_ctx_unref(struct m *mp, struct weft_ctx *ctx) {
    wefti_ambient_unref(mp, &ctx->ambient);
}

weft_ctx *weft_ctx_ref(weft_ctx *ctx) {
    if (ctx)
        wefti_ambient_ref(&ctx->ambient);
    return ctx;
}

void weft_ctx_unref(weft_ctx *ctx) {
    if (!ctx || ctx == &wefti_ctx_background || !drop(ctx))
        return;
    struct m *mp = wefti_enter();
    release(mp, &ctx->ambient);
    wefti_leave(mp);
}

/* ---- making ---- */

/* A context with its parent's properties, not in the tree yet. */
static struct weft_ctx *new_child(struct m *mp, struct weft_ctx *parent) {
    struct weft_ctx *ctx = wefti_zalloc(mp, sizeof *ctx);
    if (!ctx)
        return NULL;
    ctx->ambient.refs = 1;
    ctx->ambient.release = release;
    ctx->forks = wefti_forks;
    if (parent == &wefti_ctx_background)
        return ctx;
    wefti_ambient_ref(&parent->ambient);
    ctx->parent = parent;
    ctx->deadline = parent->deadline;
    ctx->has_deadline = parent->has_deadline;
    ctx->can_end = parent->can_end;
    return ctx;
}

/* Puts it in the tree, or ends it as its parent ended. */
static struct weft_ctx *adopt(struct m *mp, struct weft_ctx *ctx) {
    struct weft_ctx *parent = ctx->parent;
    if (!parent || !parent->can_end)
        return ctx;
    wefti_ctx_lock(mp, parent);
    if (parent->err) {
        ctx->err = ctx->ambient.err = parent->err;
        ctx->cause = parent->cause;
    } else {
        ctx->next = parent->children;
        if (ctx->next)
            ctx->next->prev = ctx;
        parent->children = ctx;
        ctx->linked = true;
    }
    wefti_ctx_unlock(mp, parent);
    return ctx;
}

struct weft_ctx *wefti_ctx_make(struct m *mp, struct weft_ctx *parent) {
    struct weft_ctx *ctx = new_child(mp, parent);
    if (!ctx)
        return NULL;
    ctx->can_end = ctx->cancelable = true;
    return adopt(mp, ctx);
}

struct weft_ctx *wefti_ctx_make_deadline(struct m *mp, struct weft_ctx *parent, int64_t deadline) {
    struct weft_ctx *ctx = new_child(mp, parent);
    if (!ctx)
        return NULL;
    bool sooner = !ctx->has_deadline || deadline < ctx->deadline;
    bool past = deadline <= wefti_nanotime();
    ctx->can_end = ctx->cancelable = ctx->has_deadline = true;
    if (sooner)
        ctx->deadline = deadline;
    if (sooner && !past)
        wefti_ctx_timed(ctx);
    adopt(mp, ctx);
    if (past)
        wefti_ctx_end(mp, ctx, ETIMEDOUT, ETIMEDOUT);
    else if (ctx->timed)
        wefti_ctx_arm(mp, ctx);
    return ctx;
}

struct weft_ctx *wefti_ctx_make_scope(struct m *mp, struct weft_ctx *parent) {
    struct weft_ctx *ctx = new_child(mp, parent);
    if (!ctx)
        return NULL;
    ctx->scope = true;
    return adopt(mp, ctx);
}

struct weft_ctx *wefti_ctx_make_without(struct m *mp, struct weft_ctx *parent) {
    struct weft_ctx *ctx = new_child(mp, parent);
    if (!ctx)
        return NULL;
    ctx->can_end = ctx->has_deadline = false;
    return ctx;
}

static struct weft_ctx *make_value(struct m *mp, struct weft_ctx *parent, const void *key,
                                   void *value) {
    struct weft_ctx *ctx = new_child(mp, parent);
    if (!ctx)
        return NULL;
    ctx->key = key;
    ctx->value = value;
    ctx->has_value = true;
    return adopt(mp, ctx);
}

static struct m *enter_with(const struct weft_ctx *parent) {
    if (unlikely(!parent))
        wefti_fatal("cannot create context from nil parent");
    return wefti_enter();
}

static struct weft_ctx *leave_with(struct m *mp, struct weft_ctx *ctx) {
    wefti_leave(mp);
    if (unlikely(!ctx))
        weft_set_errno(ENOMEM);
    return ctx;
}

weft_ctx *weft_ctx_with_cancel(weft_ctx *parent) {
    struct m *mp = enter_with(parent);
    return leave_with(mp, wefti_ctx_make(mp, parent));
}

weft_ctx *weft_ctx_with_deadline(weft_ctx *parent, weft_time deadline) {
    struct m *mp = enter_with(parent);
    return leave_with(mp, wefti_ctx_make_deadline(mp, parent, deadline));
}

weft_ctx *weft_ctx_with_timeout(weft_ctx *parent, weft_duration d) {
    struct m *mp = enter_with(parent);
    int64_t deadline = wefti_timer_when(wefti_nanotime(), d);
    return leave_with(mp, wefti_ctx_make_deadline(mp, parent, deadline));
}

weft_ctx *weft_ctx_with_value(weft_ctx *parent, const void *key, void *value) {
    struct m *mp = enter_with(parent);
    return leave_with(mp, make_value(mp, parent, key, value));
}

weft_ctx *weft_ctx_without_cancel(weft_ctx *parent) {
    struct m *mp = enter_with(parent);
    return leave_with(mp, wefti_ctx_make_without(mp, parent));
}

/* ---- reading ---- */

weft_ctx *weft_ctx_background(void) {
    return &wefti_ctx_background;
}

struct weft_ctx *wefti_ctx_current(struct m *mp) {
    struct weft_ctx *ctx = mp->curg ? (struct weft_ctx *)mp->curg->ambient : NULL;
    if (ctx && ctx->scope)
        ctx = ctx->parent;
    return ctx ? ctx : &wefti_ctx_background;
}

weft_ctx *weft_ctx_current(void) {
    struct m *mp = wefti_enter();
    struct weft_ctx *ctx = wefti_ctx_current(mp);
    wefti_leave(mp);
    return ctx;
}

int weft_ctx_err(weft_ctx *ctx) {
    return load_acquire(&ctx->err); /* pairs with the store in cancel.c */
}

int weft_ctx_cause(weft_ctx *ctx) {
    return load_acquire(&ctx->err) ? ctx->cause : 0; /* pairs with the store in cancel.c */
}

bool weft_ctx_deadline(weft_ctx *ctx, weft_time *deadline) {
    if (!ctx->has_deadline)
        return false;
    if (deadline)
        *deadline = ctx->deadline;
    return true;
}

void *weft_ctx_value(weft_ctx *ctx, const void *key) {
    for (; ctx; ctx = ctx->parent)
        if (ctx->has_value && ctx->key == key)
            return ctx->value;
    return NULL;
}

/* Gives ctx its done channel. */
static void make_done(struct m *mp, struct weft_ctx *ctx) {
    void *done = wefti_chan_make_internal(mp, 1, 0);
    if (!done)
        wefti_fatal("out of memory for a context's done channel");
    wefti_ctx_lock(mp, ctx);
    if (!ctx->done) {
        if (ctx->err) {
            ctx->done_closed = true;
            wefti_chan_close_internal(mp, done); /* nobody waits on it yet */
        }
        store_release(&ctx->done, done); /* pairs with the load in weft_ctx_done */
        done = NULL;
    }
    wefti_ctx_unlock(mp, ctx);
    if (done)
        wefti_chan_unref_internal(mp, done); /* another goroutine was faster */
}

weft_chan(char) weft_ctx_done(weft_ctx *ctx) {
    if (!ctx->can_end)
        return NULL;
    if (!load_acquire(&ctx->done)) { /* pairs with the store in make_done */
        struct m *mp = wefti_enter();
        make_done(mp, ctx);
        wefti_leave(mp);
    }
    return load_acquire(&ctx->done);
}
