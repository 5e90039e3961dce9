/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers and tickers as programs hold them.
 *
 * Three kinds, told apart by what fires:
 *
 *   - a channel's timer: t.fire is wefti_timer_posts, t.arg the channel; a ticker has a period too
 *   - weft_after's: the same, and t.late frees it, for nobody but the heap knows it
 *   - a function's timer: t.late starts the goroutine, t.arg is the function's argument
 *
 * t.lock makes one step of two where a channel's timer is stopped or reset: taking it out of the
 * heap and taking back the value. Both are needed for "no stale value is received after a stop":
 * once the timer is out of the heap (or found fired) no post is under way, for posts happen under
 * the heap's lock; what was posted before is in the buffer or was received, and the drain sees
 * which. A function's timer has one step only and doesn't take it.
 *
 * Life. A channel's timer is its holder's alone: unref stops and frees it. A function's timer still
 * fires after its holder's unref, so being armed counts as a reference; it goes from the heap to
 * late when it fires, and to whoever disarms it otherwise. weft_after's has that reference only.
 */
#ifndef WEFTI_TIME_TIME_H
#define WEFTI_TIME_TIME_H

#include <weft/time.h>

#include "../chan/chan.h"
#include "../sched/sched.h"
#include "../timer/timer.h"

struct weft_timer {
    struct wefti_timer t;
    void (*fn)(void *); /* a function's timer; else NULL */
    uint32_t refs;      /* a function's timer: the holder's and the heap's (atomic) */
};

struct weft_ticker {
    struct weft_timer timer;
};

/* A timer of the channel kind, not armed, with its channel; NULL without memory. */
struct weft_timer *wefti_clock_new(struct m *mp);
/* Stops it and takes back its value: true if it did the one or the other. */
bool wefti_clock_stop(struct m *mp, struct weft_timer *t);
/* The same, and arms it to fire in d. */
bool wefti_clock_reset(struct m *mp, struct weft_timer *t, int64_t d, int64_t period);
/* Stops and frees it. */
void wefti_clock_free(struct m *mp, struct weft_timer *t);

#endif
