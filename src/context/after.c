/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that run after a context's end, each in a goroutine of its own.
 *
 * A hook belongs to its context and holds no reference to it: it is freed by its stop or with the
 * context, whichever is first. A context that everybody dropped never ends, so its functions never
 * run; whoever wants them to run keeps the context.
 *
 * States, all changes under the context's lock:
 *   WAITS     on ctx->hooks
 *   STARTING  on ctx->starting, which is the ender's alone; it reads and writes the links unlocked
 *   STARTED   on ctx->hooks again, for nothing but to be freed
 * The ender turns WAITS into STARTING in the section that sets err, and a hook is registered as
 * WAITS only in a section that finds no err: so each runs once, started by the ender or by the
 * one who registers it. A stop decides by the state: WAITS is prevented, true; the others aren't.
 * A stop of one that is STARTING leaves the freeing to the ender, whose links it is on, and who
 * holds the context for so long.
 *
 * The function runs under the context without its end: with the end on, its first wait would fail.
 *
 * Out of memory for the goroutine is fatal when a context ends: there is nobody to tell, and the
 * function is as a rule the one that gives something back. At registration it is an error.
 */
#include "context.h"

#include <errno.h>

#include <weft/go.h>

enum state { WAITS, STARTING, STARTED };

struct weft_ctx_hook {
    struct weft_ctx_hook *next, *prev;
    struct weft_ctx *ctx; /* borrowed; NULL: one that is never freed and never ends */
    void (*fn)(void *);
    void *arg;
    enum state state;
    bool stopped; /* while STARTING: nobody has the handle any more */
};

static const struct weft_impl_site here = {__FILE__, "weft_ctx_after_func", __LINE__, 1, NULL};

static void link_hook(struct weft_ctx *ctx, struct weft_ctx_hook *hook) {
    hook->prev = NULL;
    hook->next = ctx->hooks;
    if (hook->next)
        hook->next->prev = hook;
    ctx->hooks = hook;
}

static void unlink_hook(struct weft_ctx *ctx, struct weft_ctx_hook *hook) {
    if (hook->prev)
        hook->prev->next = hook->next;
    else
        ctx->hooks = hook->next;
    if (hook->next)
        hook->next->prev = hook->prev;
}

void wefti_ctx_hooks_take(struct weft_ctx *ctx) {
    ctx->starting = ctx->hooks;
    ctx->hooks = NULL;
    for (struct weft_ctx_hook *hook = ctx->starting; hook; hook = hook->next)
        hook->state = STARTING;
}

/* 0, or ENOMEM. */
static int start(struct m *mp, struct weft_ctx *ctx, const struct weft_ctx_hook *hook) {
    struct weft_ctx *endless = wefti_ctx_make_without(mp, ctx);
    if (!endless)
        return ENOMEM;
    const struct weft_attr attr = {.ctx = endless};
    const uint64_t words[6] = {(uintptr_t)hook->arg};
    int err = wefti_newproc(mp, &attr, &here, (void (*)(void))hook->fn, words, NULL, NULL);
    wefti_ctx_unref(mp, endless);
    return err;
}

void wefti_ctx_hooks_start(struct m *mp, struct weft_ctx *ctx) {
    struct weft_ctx_hook *hook;
    while ((hook = ctx->starting) != NULL) {
        ctx->starting = hook->next;
        if (start(mp, ctx, hook) != 0)
            wefti_fatal("out of memory for a function of weft_ctx_after_func");
        wefti_ctx_lock(mp, ctx);
        bool stopped = hook->stopped;
        if (!stopped) {
            hook->state = STARTED;
            link_hook(ctx, hook);
        }
        wefti_ctx_unlock(mp, ctx);
        if (stopped)
            wefti_free(mp, hook, sizeof *hook);
    }
}

void wefti_ctx_hooks_free(struct m *mp, struct weft_ctx *ctx) {
    for (struct weft_ctx_hook *hook = ctx->hooks, *next; hook; hook = next) {
        next = hook->next;
        wefti_free(mp, hook, sizeof *hook);
    }
}

/* Registers it, or starts it where the end has come already. */
static int enlist(struct m *mp, struct weft_ctx *ctx, struct weft_ctx_hook *hook) {
    if (ctx == &wefti_ctx_background)
        return 0;
    hook->ctx = ctx;
    wefti_ctx_lock(mp, ctx);
    bool ended = ctx->err != 0;
    if (!ended)
        link_hook(ctx, hook);
    wefti_ctx_unlock(mp, ctx);
    if (!ended)
        return 0;
    int err = start(mp, ctx, hook);
    if (err)
        return err;
    hook->state = STARTED;
    wefti_ctx_lock(mp, ctx);
    link_hook(ctx, hook);
    wefti_ctx_unlock(mp, ctx);
    return 0;
}

weft_ctx_hook *weft_ctx_after_func(weft_ctx *ctx, void (*fn)(void *arg), void *arg) {
    if (unlikely(!ctx))
        wefti_fatal("cannot create context from nil parent");
    if (unlikely(!fn))
        wefti_fatal("go of nil func value");
    struct m *mp = wefti_enter();
    struct weft_ctx_hook *hook = wefti_alloc(mp, sizeof *hook);
    if (hook) {
        *hook = (struct weft_ctx_hook){.fn = fn, .arg = arg, .state = WAITS};
        if (enlist(mp, ctx, hook) != 0) {
            wefti_free(mp, hook, sizeof *hook);
            hook = NULL;
        }
    }
    wefti_leave(mp);
    if (unlikely(!hook))
        weft_set_errno(ENOMEM);
    return hook;
}

bool weft_ctx_hook_stop(weft_ctx_hook *hook) {
    struct m *mp = wefti_enter();
    struct weft_ctx *ctx = hook->ctx;
    enum state state = WAITS;
    if (ctx) {
        wefti_ctx_lock(mp, ctx);
        state = hook->state;
        if (state == STARTING)
            hook->stopped = true;
        else
            unlink_hook(ctx, hook);
        wefti_ctx_unlock(mp, ctx);
    }
    if (state != STARTING)
        wefti_free(mp, hook, sizeof *hook);
    wefti_leave(mp);
    return state == WAITS;
}
