/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scopes: a context put on from a declaration to the end of its block.
 *
 * The scope's variable is nothing but what the goroutine ran under before. It can't be what holds
 * that: a weft_goexit, or a longjmp, leaves the frame without its cleanup, and the reference would
 * be lost. So the context that a scope puts on holds the one before, as `restore`, and a goroutine
 * holds its context: whatever it left behind goes when it ends. For weft_scope_timeout that is the
 * new context itself. For weft_scope_ctx, where the context is the user's, it is a node between:
 * a child of the user's context that ends with it, and for which weft_ctx_current shows its parent.
 *
 * Leaving puts back what the variable says, and doesn't ask what is on: after a longjmp out of an
 * inner scope that is the inner one's context, which holds the outer one's by restore, which holds
 * what the variable of the outer one says. So that is alive, whatever was jumped over.
 *
 * A goroutine started inside inherits the node and so keeps what was before the scope, too. That is
 * memory only, and no longer than it runs.
 *
 * The background before a scope is NULL, as in gp->ambient.
 *
 * Without memory the program ends: a declaration has nobody to tell, and going on without the
 * deadline that was asked for may be to wait for ever.
 */
#include "context.h"

#include "../timer/timer.h"

/* Puts ctx on, whose reference it takes over; what was on before. */
static struct weft_ctx *put_on(struct m *mp, struct weft_ctx *ctx, const char *what) {
    struct g *gp = mp->curg;
    if (!ctx)
        wefti_fatal("out of memory in %s", what);
    struct wefti_ambient *before = gp->ambient;
    wefti_ambient_ref(before);
    ctx->restore = before;
    wefti_ambient_set(mp, gp, &ctx->ambient);
    return (struct weft_ctx *)before;
}

weft_ctx *weft_impl_scope_enter_ctx(weft_ctx *ctx) {
    if (unlikely(!ctx))
        wefti_fatal("weft_scope_ctx of a NULL context");
    struct m *mp = wefti_enter_goroutine("weft_scope_ctx");
    struct weft_ctx *before = put_on(mp, wefti_ctx_make_scope(mp, ctx), "weft_scope_ctx");
    wefti_leave(mp);
    return before;
}

weft_ctx *weft_impl_scope_enter_timeout(weft_duration d) {
    struct m *mp = wefti_enter_goroutine("weft_scope_timeout");
    int64_t deadline = wefti_timer_when(wefti_nanotime(), d);
    struct weft_ctx *ctx = wefti_ctx_make_deadline(mp, wefti_ctx_current(mp), deadline);
    struct weft_ctx *before = put_on(mp, ctx, "weft_scope_timeout");
    wefti_leave(mp);
    return before;
}

void weft_impl_scope_leave(weft_ctx **before) {
    struct weft_ctx *ctx = *before; /* the user's memory is read outside of the runtime */
    struct m *mp = wefti_enter_goroutine("the end of a scope");
    if (ctx && unlikely(ctx->forks != wefti_forks)) /* put on before a fork: void in the child */
        ctx = NULL;
    if (ctx)
        wefti_ambient_ref(&ctx->ambient);
    wefti_ambient_set(mp, mp->curg, ctx ? &ctx->ambient : NULL);
    wefti_leave(mp);
}
