/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/time.h: the clock, sleeping, timers and tickers.
 *
 * weft_duration, weft_time and the units are in weft/base.h. Timers behave as in Go 1.23 and later:
 * a stop or reset takes back a value that nobody has received. Timers need a runtime: arming one,
 * or sleeping, where none is running ends the program (weft_run).
 */
#ifndef WEFT_TIME_H
#define WEFT_TIME_H

#include <weft/base.h>
#include <weft/chan.h>

WEFT_BEGIN_DECLS

/* Something that happens once, at a moment; and something that happens again and again. */
typedef struct weft_timer weft_timer;
typedef struct weft_ticker weft_ticker;

/*
 * weft_now returns the present moment on a monotonic clock.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: nanoseconds since a point that is fixed for the life of the process.
 * Example: weft_time start = weft_now(); work(); took = weft_now() - start;
 * From:    POSIX, clock_gettime(CLOCK_MONOTONIC).
 */
WEFT_API weft_time weft_now(void);

/*
 * weft_sleep waits for d at least. With a d of 0 or less it returns true at once, without a yield.
 * A signal does not end it.
 *
 * Traits:  parks ("sleep"), cancellable; any thread; no memory.
 * Returns: true after d; false, with errno, when it was cut short.
 * Errors:  ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the deadline of the goroutine's context has passed.
 * Example: weft_sleep(10 * WEFT_MILLISECOND);
 * From:    Go, time.Sleep.
 */
WEFT_API bool weft_sleep(weft_duration d);

/*
 * weft_after makes a channel on which the moment arrives, once, after d.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the channel, the caller's to unref, which may be done before the moment; or NULL with
 *          errno.
 * Errors:  ENOMEM.
 * Order:   the call is before the receive.
 * See:     weft_case_after, which a single select does with and which has nothing to free.
 * From:    Go, time.After.
 */
#ifndef __cplusplus
WEFT_API weft_chan(weft_time) weft_after(weft_duration d);
#else
WEFT_API void *weft_impl_after(weft_duration d) __asm__("weft_after");
#endif

/*
 * weft_timer_new makes a timer that sends the moment on its channel after d, at once when d is 0
 * or less.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the timer, the caller's to unref; or NULL with errno.
 * Errors:  ENOMEM.
 * Order:   the call is before the receive.
 * See:     weft_timer_chan, weft_timer_stop, weft_timer_unref.
 * From:    Go, time.NewTimer.
 */
WEFT_API weft_timer *weft_timer_new(weft_duration d);

/*
 * weft_after_func makes a timer that runs fn(arg) in a goroutine of its own after d, under the
 * background context. When there is no memory for the goroutine at that moment, the program ends.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the timer, the caller's to unref, which may be done before the moment; or NULL with
 *          errno.
 * Errors:  ENOMEM.
 * Order:   the call is before the start of fn.
 * See:     weft_timer_stop, weft_timer_reset.
 * From:    Go, time.AfterFunc.
 */
WEFT_API weft_timer *weft_after_func(weft_duration d, void (*fn)(void *arg), void *arg);

/*
 * weft_timer_chan returns the channel on which the timer sends.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: the channel, borrowed: it lives as long as the timer, or as a reference taken to it;
 *          NULL for a timer of weft_after_func.
 */
#ifndef __cplusplus
WEFT_API weft_chan(weft_time) weft_timer_chan(weft_timer *timer);
#else
WEFT_API void *weft_impl_timer_chan(weft_timer *timer) __asm__("weft_timer_chan");
#endif

/*
 * weft_timer_stop keeps a timer from firing. A value that it has sent and nobody received is taken
 * back, so after the call nothing arrives until a reset. The channel stays open. It doesn't wait
 * for a function that has started.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true when it stopped the timer or took its value back; false when it had fired, or was
 *          stopped before.
 * From:    Go 1.23, time.Timer.Stop.
 */
WEFT_API bool weft_timer_stop(weft_timer *timer);

/*
 * weft_timer_reset has the timer fire d from now, once. A value that nobody received is taken back.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true when the timer was armed or its value was taken back; false when it had fired, or
 *          was stopped.
 * Order:   the call is before the receive or the start of the function.
 * From:    Go 1.23, time.Timer.Reset.
 */
WEFT_API bool weft_timer_reset(weft_timer *timer, weft_duration d);

/*
 * weft_timer_unref gives the timer back. One with a channel is stopped and freed; one of
 * weft_after_func still fires if it was armed, and is then freed. NULL is ignored.
 *
 * Traits:  never parks; any thread; no memory.
 */
WEFT_API void weft_timer_unref(weft_timer *timer);

/*
 * weft_ticker_new makes a ticker that sends the moment on its channel every d. When the receiver
 * is slow, ticks are dropped; one waits at most. A d of 0 or less ends the program: "non-positive
 * interval for NewTicker".
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the ticker, the caller's to unref; or NULL with errno.
 * Errors:  ENOMEM.
 * See:     weft_ticker_chan, weft_ticker_unref.
 * From:    Go, time.NewTicker.
 */
WEFT_API weft_ticker *weft_ticker_new(weft_duration d);

/*
 * weft_ticker_chan returns the channel on which the ticker sends.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: the channel, borrowed: it lives as long as the ticker, or as a reference taken to it.
 */
#ifndef __cplusplus
WEFT_API weft_chan(weft_time) weft_ticker_chan(weft_ticker *ticker);
#else
WEFT_API void *weft_impl_ticker_chan(weft_ticker *ticker) __asm__("weft_ticker_chan");
#endif

/*
 * weft_ticker_stop ends the ticks; one that nobody received is taken back. The channel stays open.
 *
 * Traits:  never parks; any thread; no memory.
 * From:    Go 1.23, time.Ticker.Stop.
 */
WEFT_API void weft_ticker_stop(weft_ticker *ticker);

/*
 * weft_ticker_reset has the ticker tick every d, the first time d from now; it starts a stopped
 * one again. A d of 0 or less ends the program: "non-positive interval for Ticker.Reset".
 *
 * Traits:  never parks; any thread; no memory.
 * From:    Go 1.23, time.Ticker.Reset.
 */
WEFT_API void weft_ticker_reset(weft_ticker *ticker, weft_duration d);

/*
 * weft_ticker_unref gives the ticker back, which is stopped and freed. NULL is ignored.
 *
 * Traits:  never parks; any thread; no memory.
 */
WEFT_API void weft_ticker_unref(weft_ticker *ticker);

WEFT_END_DECLS

#ifdef __cplusplus
inline weft_chan(weft_time) weft_after(weft_duration d) {
    return weft_chan(weft_time)::weft_impl_from(weft_impl_after(d));
}
inline weft_chan(weft_time) weft_timer_chan(weft_timer *timer) {
    return weft_chan(weft_time)::weft_impl_from(weft_impl_timer_chan(timer));
}
inline weft_chan(weft_time) weft_ticker_chan(weft_ticker *ticker) {
    return weft_chan(weft_time)::weft_impl_from(weft_impl_ticker_chan(ticker));
}
#endif

#endif
