/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wants which signals, and the goroutine that tells them.
 *
 * A registration is a channel or a context, and a set of signals. The list of them has one lock, a
 * P-lock, under which they come and go, dispositions change (handler.c) and notices are sent: a
 * send to a channel never waits, so that is short. The channel of a registration is held by it. A
 * context is not, or it would never be dropped: it tells the registry before it is freed, and
 * until then its reference can be tried for.
 *
 * The dispatcher is a goroutine of the runtime's own, made with the first registration. It waits
 * for the bell, sends what was counted, and ends the contexts that got a signal: without the lock,
 * which a context's end must not be called with. When it finds no registration left it closes the
 * bell and ends; a registration that comes before that keeps it.
 *
 * Exactly the signals that arrive while a registration exists are sent to it: whoever adds one, or
 * takes one away, first sends what was counted until then to those who are there (deliver). So
 * after a stop nothing is lost and nothing comes late. A context that is due to end by this is
 * left to the dispatcher, which the same signals have woken or are about to wake.
 *
 * The dispatcher holds a context while it ends it. So its signals may come back a moment after the
 * last reference of the user's went; after weft_ctx_cancel they are back.
 *
 * A context's signals stay taken after its end, as in Go, until it is cancelled or dropped: those
 * who send a signal twice (timeout(1), a shell and a terminal) would otherwise kill a program that
 * is shutting down.
 *
 * A channel of several waiting notices of one signal gets them in one go; where there is room for
 * fewer, the rest is missed.
 */
#include <errno.h>
#include <poll.h>
#include <weft/ctx.h>
#include <weft/go.h>
#include <weft/signal.h>
#include <weft/time.h>

#include "../chan/chan.h"
#include "../context/context.h"
#include "../io/fd.h"
#include "handler.h"

#define PAUSE (10 * WEFT_MILLISECOND) /* when the bell can't be waited for: out of memory */

struct registration {
    struct registration *next;
    void *chan;           /* held; or NULL, and … */
    struct weft_ctx *ctx; /* … not held */
    uint64_t set;         /* of signals, see bit_of */
    int due;              /* the signal by which ctx is to end, or 0 */
};

/* All guarded by lock. */
static struct {
    uint32_t lock; /* rank WEFTI_RANK_SIGNAL */
    bool running;  /* there is a dispatcher, and a bell */
    struct registration *first;
} registry;

static void lock(struct m *mp) {
    wefti_plock(mp, &registry.lock, WEFTI_RANK_SIGNAL);
}

static void unlock(struct m *mp) {
    wefti_punlock(mp, &registry.lock, WEFTI_RANK_SIGNAL);
}

/* ---- sets ---- */

static uint64_t bit_of(int sig) {
    return (uint64_t)1 << (sig - 1);
}

/* An empty list stands for all. 0, or EINVAL. */
static int make_set(const int *signals, size_t n, uint64_t *set) {
    *set = 0;
    for (size_t i = 0; i < n; i++) {
        if (!wefti_signal_may(signals[i]))
            return EINVAL;
        *set |= bit_of(signals[i]);
    }
    for (int sig = 1; n == 0 && sig <= WEFTI_SIGNALS; sig++)
        if (wefti_signal_may(sig))
            *set |= bit_of(sig);
    return 0;
}

/* ---- sending; with the lock ---- */

static void tell(struct m *mp, struct registration *r, int sig, uint32_t times) {
    if (r->ctx && r->due == 0 && load_relaxed(&r->ctx->err) == 0)
        r->due = sig;
    while (r->chan && times > 0 && wefti_chan_post(mp, r->chan, (uint64_t)sig))
        times--;
}

static void deliver(struct m *mp) {
    for (int sig = 1; sig <= WEFTI_SIGNALS; sig++) {
        uint32_t times = wefti_signal_count(sig);
        for (struct registration *r = times ? registry.first : NULL; r; r = r->next)
            if (r->set & bit_of(sig))
                tell(mp, r, sig, times);
    }
}

/* ---- the dispatcher ---- */

/* A context that is to end, with a reference; NULL: none. */
static struct weft_ctx *next_due(struct m *mp, int *sig) {
    struct weft_ctx *ctx = NULL;
    lock(mp);
    for (struct registration *r = registry.first; r && !ctx; r = r->next) {
        *sig = r->due;
        r->due = 0;
        if (*sig != 0 && wefti_ctx_tryref(r->ctx))
            ctx = r->ctx;
    }
    unlock(mp);
    return ctx;
}

static void end_contexts(struct m *mp) {
    struct weft_ctx *ctx;
    int sig;
    while ((ctx = next_due(mp, &sig)) != NULL) {
        wefti_ctx_end(mp, ctx, ECANCELED, sig);
        wefti_ctx_unref(mp, ctx);
    }
}

/* False: nobody is registered, and the dispatcher is none any more. */
static bool answer_bell(void) {
    struct m *mp = wefti_enter();
    lock(mp);
    wefti_bell_quiet();
    deliver(mp);
    bool go_on = registry.first != NULL;
    if (!go_on) {
        wefti_bell_close();
        registry.running = false;
    }
    unlock(mp);
    end_contexts(mp);
    wefti_leave(mp);
    return go_on;
}

static void dispatch(void) {
    int fd = wefti_bell_fd();
    do {
        if (wefti_fd_poll(fd, POLLIN) < 0)
            weft_sleep(PAUSE);
    } while (answer_bell());
}

/* With the lock. 0, or an errno. */
static int start_dispatcher(struct m *mp) {
    static const struct weft_impl_site here = {__FILE__, "weft_signal_notify", __LINE__, 0, NULL};
    if (mp->outside)
        wefti_fatal("signals can't be asked for: no runtime is running (weft_run or weft_start "
                    "first)");
    int err = wefti_bell_open();
    if (err)
        return err;
    err = wefti_newproc_system(mp, "signals", &here, dispatch);
    if (err)
        wefti_bell_close();
    registry.running = err == 0;
    return err;
}

/* ---- registrations ---- */

/* Where the registration of one of the two is linked, or would be. With the lock. */
static struct registration **find(void *chan, struct weft_ctx *ctx) {
    struct registration **link = &registry.first;
    while (*link && ((*link)->chan != chan || (*link)->ctx != ctx))
        link = &(*link)->next;
    return link;
}

/* Adds set to the registration of one of the two, which is `fresh` if there is none; whether it was
 * needed. With the lock. */
static bool add_set(void *chan, struct weft_ctx *ctx, uint64_t set, struct registration *fresh) {
    struct registration **link = find(chan, ctx);
    bool is_new = *link == NULL;
    if (is_new) {
        *fresh = (struct registration){.chan = chan, .ctx = ctx};
        *link = fresh;
        if (chan)
            wefti_chan_ref_internal(chan);
    }
    (*link)->set |= set;
    for (int sig = 1; sig <= WEFTI_SIGNALS; sig++)
        if (set & bit_of(sig))
            wefti_signal_take(sig);
    return is_new;
}

/* 0, or an errno and nothing has changed. */
static int add(struct m *mp, void *chan, struct weft_ctx *ctx, uint64_t set) {
    struct registration *fresh = wefti_alloc(mp, sizeof *fresh);
    if (!fresh)
        return ENOMEM;
    lock(mp);
    int err = registry.running ? 0 : start_dispatcher(mp);
    bool used = false;
    if (!err) {
        deliver(mp);
        used = add_set(chan, ctx, set, fresh);
    }
    unlock(mp);
    if (!used)
        wefti_free(mp, fresh, sizeof *fresh);
    return err;
}

/* Gives back what r alone wants. With the lock. */
static void give_back(const struct registration *r) {
    uint64_t others = 0;
    for (const struct registration *other = registry.first; other; other = other->next)
        if (other != r)
            others |= other->set;
    for (int sig = 1; sig <= WEFTI_SIGNALS; sig++)
        if (r->set & ~others & bit_of(sig))
            wefti_signal_give_back(sig);
}

static void discard(struct m *mp, struct registration *r) {
    if (r->chan)
        wefti_chan_unref_internal(mp, r->chan);
    wefti_free(mp, r, sizeof *r);
}

static void take_away(struct m *mp, void *chan, struct weft_ctx *ctx) {
    lock(mp);
    struct registration **link = find(chan, ctx), *r = *link;
    if (r) {
        give_back(r);
        deliver(mp);
        *link = r->next;
        if (!registry.first)
            wefti_bell_ring(); /* the dispatcher's work is done */
    }
    unlock(mp);
    if (r)
        discard(mp, r);
}

/* ---- public ---- */

int weft_signal_notify(weft_chan(int) c, const int *signals, size_t n) {
    if (unlikely(!c))
        wefti_fatal("os/signal: Notify using nil channel");
    uint64_t set;
    int err = make_set(signals, n, &set);
    if (!err) {
        struct m *mp = wefti_enter();
        err = add(mp, c, NULL, set);
        wefti_leave(mp);
    }
    if (err)
        weft_set_errno(err);
    return err ? -1 : 0;
}

void weft_signal_stop(weft_chan(int) c) {
    if (!c)
        return;
    struct m *mp = wefti_enter();
    take_away(mp, c, NULL);
    wefti_leave(mp);
}

static void context_over(struct m *mp, struct weft_ctx *ctx) {
    take_away(mp, NULL, ctx);
}

/* *err: why it is NULL. */
static struct weft_ctx *make_context(struct m *mp, struct weft_ctx *parent, uint64_t set,
                                     int *err) {
    struct weft_ctx *ctx = wefti_ctx_make(mp, parent);
    if (!ctx) {
        *err = ENOMEM;
        return NULL;
    }
    ctx->over = context_over;
    *err = add(mp, NULL, ctx, set);
    if (*err == 0)
        return ctx;
    wefti_ctx_unref(mp, ctx);
    return NULL;
}

weft_ctx *weft_signal_ctx(weft_ctx *parent, const int *signals, size_t n) {
    if (unlikely(!parent))
        wefti_fatal("cannot create context from nil parent");
    struct weft_ctx *ctx = NULL;
    uint64_t set;
    int err = make_set(signals, n, &set);
    if (!err) {
        struct m *mp = wefti_enter();
        ctx = make_context(mp, parent, set, &err);
        wefti_leave(mp);
    }
    if (err)
        weft_set_errno(err);
    return ctx;
}

/* ---- the end of a run, and forks ---- */

void wefti_signals_end(struct m *mp) {
    for (int sig = 1; sig <= WEFTI_SIGNALS; sig++) {
        wefti_signal_give_back(sig);
        wefti_signal_count(sig);
    }
    wefti_bell_close();
    registry.running = false;
    for (struct registration *r; (r = registry.first) != NULL;) {
        registry.first = r->next;
        discard(mp, r);
    }
}

void wefti_signals_after_fork(void) {
    wefti_signal_forget();
    registry.lock = 0;
    registry.running = false;
    registry.first = NULL;
}
