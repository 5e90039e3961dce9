/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: those with a channel, those that run a function, and weft_after. time.h has the kinds.
 *
 * A function starts in late, not in fire: making a goroutine allocates, may wake a thread and takes
 * locks of lower rank than the heap's. So a stop that returns false means that the goroutine exists
 * or is being made at this moment by another M; nothing can prevent it any more, which is what
 * false says. The goroutine runs under the background context, for it belongs to no other.
 *
 * Out of memory for that goroutine is fatal: there is nobody to tell, and a timer that silently
 * does not run is worse.
 */
#include "time.h"

#include <errno.h>

#include <weft/ctx.h>
#include <weft/go.h>

#include "../base/throw.h"
#include "../rt/mem.h"

/* ---- timers with a channel ---- */

bool wefti_timer_posts(struct m *mp, struct wefti_timer *t, int64_t now) {
    wefti_chan_post(mp, t->arg,
                    (uint64_t)now); /* full: the receiver is slow, the tick is dropped */
    return t->late != NULL;
}

bool wefti_timer_awaited(const struct wefti_timer *t) {
    return wefti_chan_has_waiter(t->arg);
}

struct weft_timer *wefti_clock_new(struct m *mp) {
    struct weft_timer *t = wefti_alloc(mp, sizeof *t);
    if (!t)
        return NULL;
    void *chan = wefti_chan_make_internal(mp, sizeof(weft_time), 1);
    if (!chan) {
        wefti_free(mp, t, sizeof *t);
        return NULL;
    }
    *t = (struct weft_timer){.t = {.fire = wefti_timer_posts, .arg = chan}};
    return t;
}

static bool stop_locked(struct m *mp, struct weft_timer *t) {
    bool armed = wefti_timer_disarm(mp, &t->t);
    bool unread = wefti_chan_drain(mp, t->t.arg);
    return armed || unread;
}

bool wefti_clock_stop(struct m *mp, struct weft_timer *t) {
    wefti_plock(mp, &t->t.lock, WEFTI_RANK_TIMER);
    bool stopped = stop_locked(mp, t);
    wefti_punlock(mp, &t->t.lock, WEFTI_RANK_TIMER);
    return stopped;
}

bool wefti_clock_reset(struct m *mp, struct weft_timer *t, int64_t d, int64_t period) {
    int64_t when = wefti_timer_when(wefti_nanotime(), d);
    wefti_plock(mp, &t->t.lock, WEFTI_RANK_TIMER);
    bool stopped = stop_locked(mp, t); /* not armed again before the drain: it could fire between */
    wefti_timer_arm(mp, &t->t, when, period);
    wefti_punlock(mp, &t->t.lock, WEFTI_RANK_TIMER);
    return stopped;
}

void wefti_clock_free(struct m *mp, struct weft_timer *t) {
    wefti_timer_disarm(mp, &t->t);
    wefti_chan_unref_internal(mp, t->t.arg);
    wefti_free(mp, t, sizeof *t);
}

weft_timer *weft_timer_new(weft_duration d) {
    struct m *mp = wefti_enter();
    struct weft_timer *t = wefti_clock_new(mp);
    if (likely(t != NULL))
        wefti_timer_arm(mp, &t->t, wefti_timer_when(wefti_nanotime(), d), 0);
    wefti_leave(mp);
    if (unlikely(!t))
        weft_set_errno(ENOMEM);
    return t;
}

weft_chan(weft_time) weft_timer_chan(weft_timer *t) {
    return t && !t->fn ? t->t.arg : NULL;
}

/* ---- weft_after ---- */

static void after_late(struct m *mp, struct wefti_timer *wt) {
    wefti_clock_free(mp, (struct weft_timer *)wt);
}

weft_chan(weft_time) weft_after(weft_duration d) {
    struct m *mp = wefti_enter();
    struct weft_timer *t = wefti_clock_new(mp);
    void *chan = NULL;
    if (likely(t != NULL)) {
        chan = t->t.arg;
        wefti_chan_ref_internal(chan); /* the caller's */
        t->t.late = after_late;
        wefti_timer_arm(mp, &t->t, wefti_timer_when(wefti_nanotime(), d),
                        0); /* it may be gone now */
    }
    wefti_leave(mp);
    if (unlikely(!chan))
        weft_set_errno(ENOMEM);
    return chan;
}

/* ---- timers that run a function ---- */

static bool func_fire(struct m *mp, struct wefti_timer *t, int64_t now) {
    (void)mp, (void)t, (void)now;
    return true; /* the heap's reference goes to late */
}

static void func_unref(struct m *mp, struct weft_timer *t) {
    if (add_acqrel(&t->refs, (uint32_t)-1) == 1) /* what others did to it is before its end */
        wefti_free(mp, t, sizeof *t);
}

static void func_late(struct m *mp, struct wefti_timer *wt) {
    static const struct weft_impl_site site = {__FILE__, "weft_after_func", __LINE__, 1, NULL};
    struct weft_timer *t = (struct weft_timer *)wt;
    const struct weft_attr attr = {.ctx = weft_ctx_background()};
    const uint64_t words[6] = {(uintptr_t)wt->arg};
    if (wefti_newproc(mp, &attr, &site, (void (*)(void))t->fn, words, NULL, NULL) != 0)
        wefti_fatal("out of memory: no goroutine for the function of a timer");
    func_unref(mp, t);
}

static bool func_stop(struct m *mp, struct weft_timer *t) {
    bool armed = wefti_timer_disarm(mp, &t->t);
    if (armed)
        func_unref(mp, t);
    return armed;
}

static bool func_reset(struct m *mp, struct weft_timer *t, int64_t d) {
    add_relaxed(&t->refs, 1); /* the heap's, before it can fire */
    bool armed = wefti_timer_rearm(mp, &t->t, wefti_timer_when(wefti_nanotime(), d), 0);
    if (armed)
        func_unref(mp, t); /* it had one */
    return armed;
}

weft_timer *weft_after_func(weft_duration d, void (*fn)(void *), void *arg) {
    if (unlikely(!fn))
        wefti_fatal("go of nil func value");
    struct m *mp = wefti_enter();
    struct weft_timer *t = wefti_alloc(mp, sizeof *t);
    if (likely(t != NULL)) {
        *t = (struct weft_timer){
            .t = {.fire = func_fire, .late = func_late, .arg = arg}, .fn = fn, .refs = 2};
        wefti_timer_arm(mp, &t->t, wefti_timer_when(wefti_nanotime(), d), 0);
    }
    wefti_leave(mp);
    if (unlikely(!t))
        weft_set_errno(ENOMEM);
    return t;
}

/* The end of a run: an armed timer that only the heap knows is freed. */
void wefti_timer_drop(struct m *mp, struct wefti_timer *t) {
    if (t->late == func_late)
        func_unref(mp, (struct weft_timer *)t);
    else if (t->late == after_late)
        after_late(mp, t);
}

/* ---- for both ---- */

bool weft_timer_stop(weft_timer *t) {
    if (unlikely(!t))
        wefti_fatal("time: Stop called on uninitialized Timer");
    struct m *mp = wefti_enter();
    bool stopped = t->fn ? func_stop(mp, t) : wefti_clock_stop(mp, t);
    wefti_leave(mp);
    return stopped;
}

bool weft_timer_reset(weft_timer *t, weft_duration d) {
    if (unlikely(!t))
        wefti_fatal("time: Reset called on uninitialized Timer");
    struct m *mp = wefti_enter();
    bool stopped = t->fn ? func_reset(mp, t, d) : wefti_clock_reset(mp, t, d, 0);
    wefti_leave(mp);
    return stopped;
}

void weft_timer_unref(weft_timer *t) {
    if (!t)
        return;
    struct m *mp = wefti_enter();
    if (t->fn)
        func_unref(mp, t);
    else
        wefti_clock_free(mp, t);
    wefti_leave(mp);
}
