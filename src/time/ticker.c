/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickers: a channel's timer with a period. The heap arms it anew at each tick, at a multiple of
 * the period, so ticks don't drift; a tick that finds the last one unread is dropped.
 */
#include "time.h"

#include <errno.h>

#include "../base/throw.h"

weft_ticker *weft_ticker_new(weft_duration d) {
    if (unlikely(d <= 0))
        wefti_fatal("non-positive interval for NewTicker");
    struct m *mp = wefti_enter();
    struct weft_timer *t = wefti_clock_new(mp);
    if (likely(t != NULL))
        wefti_timer_arm(mp, &t->t, wefti_timer_when(wefti_nanotime(), d), d);
    wefti_leave(mp);
    if (unlikely(!t))
        weft_set_errno(ENOMEM);
    return (weft_ticker *)t;
}

weft_chan(weft_time) weft_ticker_chan(weft_ticker *t) {
    return t ? t->timer.t.arg : NULL;
}

void weft_ticker_stop(weft_ticker *t) {
    if (!t)
        return;
    struct m *mp = wefti_enter();
    wefti_clock_stop(mp, &t->timer);
    wefti_leave(mp);
}

void weft_ticker_reset(weft_ticker *t, weft_duration d) {
    if (unlikely(d <= 0))
        wefti_fatal("non-positive interval for Ticker.Reset");
    if (unlikely(!t))
        wefti_fatal("time: Reset called on uninitialized Ticker");
    struct m *mp = wefti_enter();
    wefti_clock_reset(mp, &t->timer, d, d);
    wefti_leave(mp);
}

void weft_ticker_unref(weft_ticker *t) {
    if (!t)
        return;
    struct m *mp = wefti_enter();
    wefti_clock_free(mp, &t->timer);
    wefti_leave(mp);
}
