/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a context is made of, for the files of this folder and for others that make and end contexts
 * (groups, signals). ctx.c makes, counts and reads them, cancel.c ends them, after.c runs functions
 * at their end, scope.c puts them on and off.
 *
 * A context is a node of a tree. It begins with the part that the scheduler knows, struct
 * wefti_ambient, and its one lock, ambient.lock, guards the members there and whatever below says
 * so. Nobody holds the locks of two contexts at once, so their order never matters.
 *
 * References go up only: a child holds its parent, a scope's context also what it replaced. A
 * parent knows its children by a list that doesn't count. A child is on it as long as it can be
 * ended from above, and leaves it when it has ended or is freed, whichever is first.
 */
#ifndef WEFTI_CONTEXT_CONTEXT_H
#define WEFTI_CONTEXT_CONTEXT_H

#include <weft/ctx.h>

#include "../sched/sched.h"

struct weft_ctx {
    struct wefti_ambient ambient; /* first: what a goroutine runs under */

    /* Fixed before anybody else sees it. */
    struct weft_ctx *parent;       /* held; NULL: the background */
    struct wefti_ambient *restore; /* a scope's: what the goroutine ran under before; held */
    const void *key;
    void *value;
    int64_t deadline; /* its own or the nearest above it, whichever is earlier */
    bool has_deadline;
    bool has_value;  /* key and value count */
    bool can_end;    /* it, or one above it, is cancelable */
    bool cancelable; /* weft_ctx_cancel works on it */
    bool scope;      /* stands in for its parent while a goroutine has that one on (scope.c) */
    bool timed;      /* timer is in use */
    uint32_t forks;  /* wefti_forks when it was made: void with another value */
    /* Called by weft_ctx_cancel, and before ctx is freed, with no lock held; or NULL. */
    void (*over)(struct m *mp, struct weft_ctx *ctx);

    /* Place among its parent's children; guarded by the parent's lock. */
    bool linked;
    struct weft_ctx *next, *prev; /* once off the list, next is the ender's who took it off */
    struct weft_ctx *children;    /* own lock */

    /* Its end. */
    int err;          /* 0, ECANCELED, ETIMEDOUT: set once under own lock; atomic for readers */
    int cause;        /* set before err */
    uint32_t closing; /* 1 from err's setting until all done channels below are closed; atomic */
    bool done_closed; /* own lock */
    void *done;       /* channel; NULL: nobody asked. Made under own lock; atomic for readers */
    struct weft_ctx_hook *hooks;    /* waiting, or started and not stopped; own lock */
    struct weft_ctx_hook *starting; /* the ender's */
    struct weft_ctx *endlink;       /* the ender's list; that of the dead in the end */
    struct wefti_timer timer;       /* weak: being armed holds no reference (cancel.c) */
};

/* The background. Never a parent pointer and never a goroutine's ambient: NULL stands for it. */
extern struct weft_ctx wefti_ctx_background;

/* A child of parent that can be cancelled, with one reference; NULL without memory. */
struct weft_ctx *wefti_ctx_make(struct m *mp, struct weft_ctx *parent);
/* The same with a deadline. */
struct weft_ctx *wefti_ctx_make_deadline(struct m *mp, struct weft_ctx *parent, int64_t deadline);
/* The parent's values without its end. */
struct weft_ctx *wefti_ctx_make_without(struct m *mp, struct weft_ctx *parent);
/* A node that ends with parent and stands in for it in a scope. */
struct weft_ctx *wefti_ctx_make_scope(struct m *mp, struct weft_ctx *parent);

void wefti_ctx_unref(struct m *mp, struct weft_ctx *ctx);
/* One more reference, unless it is about to be freed. It must not be freed meanwhile. */
bool wefti_ctx_tryref(struct weft_ctx *ctx);
/* Off its parent's list, if it is on it. */
void wefti_ctx_unlink(struct m *mp, struct weft_ctx *ctx);
/* The context that the caller runs under; borrowed. */
struct weft_ctx *wefti_ctx_current(struct m *mp);

/* Ends ctx and all below it. When it returns, their done channels are closed. No lock is held. */
void wefti_ctx_end(struct m *mp, struct weft_ctx *ctx, int err, int cause);
/* Gives a context that nobody knows yet a timer; arms it, when it is in the tree. */
void wefti_ctx_timed(struct weft_ctx *ctx);
void wefti_ctx_arm(struct m *mp, struct weft_ctx *ctx);

/* Takes the waiting hooks of a context that is just being ended, under its lock … */
void wefti_ctx_hooks_take(struct weft_ctx *ctx);
/* … and starts them, without. */
void wefti_ctx_hooks_start(struct m *mp, struct weft_ctx *ctx);
/* Frees those of a context that is freed. */
void wefti_ctx_hooks_free(struct m *mp, struct weft_ctx *ctx);

static inline void wefti_ctx_lock(struct m *mp, struct weft_ctx *ctx) {
    wefti_plock(mp, &ctx->ambient.lock, WEFTI_RANK_CTX);
}

static inline void wefti_ctx_unlock(struct m *mp, struct weft_ctx *ctx) {
    wefti_punlock(mp, &ctx->ambient.lock, WEFTI_RANK_CTX);
}

#endif
