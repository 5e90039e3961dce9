/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/signal.h: signals as values on a channel, and as the end of a context.
 *
 * What arrives is handled in a goroutine, where everything may be called, and not in a signal
 * handler, where next to nothing may. A signal that somebody asked for no longer does what it did
 * before: SIGINT doesn't end the program. When the last who asked for it has stopped, or the run
 * ends, the disposition from before comes back; so it does in the child of a fork(2). Unless the
 * program has put a handler of its own in between: that stays.
 *
 * What can't be caught (SIGKILL, SIGSTOP), what a faulty instruction raises (SIGSEGV, SIGBUS,
 * SIGFPE, SIGILL, SIGTRAP, SIGSYS) and the signals that the C library keeps for itself can't be
 * asked for. Signals are the process's: it doesn't matter which thread they were sent to. Calls
 * that block in the kernel are restarted (SA_RESTART) and don't see EINTR.
 *
 * The kernel keeps one of a standard signal that is pending already; what it delivers is told, each
 * once. While somebody asks for signals the program is not reported as deadlocked: one may come.
 */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H

#include <signal.h>
#include <weft/base.h>
#include <weft/chan.h>

WEFT_BEGIN_DECLS

/*
 * weft_signal_notify has the number of each signal of the list that arrives sent on c; with an n of
 * 0, of all that can be asked for. Called again for the same channel it adds to the list. Several
 * channels may ask for one signal, and each gets it.
 *
 * Nobody waits for the receiver: when there is no room, the notice is dropped. A channel of
 * capacity 1 is enough to hear of one signal, as of several that mean the same.
 *
 * Traits:  never parks; any thread (without a runtime it ends the program); allocates.
 * Returns: 0, or -1 with errno and nothing changed. It holds a reference of c until
 *          weft_signal_stop. A c of NULL ends the program: "os/signal: Notify using nil channel".
 * Errors:  EINVAL  a number that is no signal, or one that can't be asked for.
 *          EMFILE, ENFILE, ENOMEM   no descriptor or no memory to be had.
 * Order:   nothing that the sender of a signal did is ordered by it, but for a raise(3) or kill(2)
 *          of this process: it is before the receive.
 * Example: weft_chan(int) c = weft_chan_make(int, 1);
 *          weft_signal_notify(c, (int[]){SIGHUP}, 1);
 *          while (weft_recv(c, NULL)) reload();
 * See:     weft_signal_stop, weft_signal_ctx.
 * From:    Go, signal.Notify.
 */
#ifndef __cplusplus
WEFT_API int weft_signal_notify(weft_chan(int) c, const int *signals, size_t n);
#else
WEFT_API int weft_impl_signal_notify(void *c, const int *signals,
                                     size_t n) __asm__("weft_signal_notify");
#endif

/*
 * weft_signal_stop ends all that weft_signal_notify began for c, and gives its reference back. When
 * it returns, nothing more is sent on c; what was sent stays there to be received. It closes
 * nothing. For NULL, and for a channel that asked for nothing, it does nothing.
 *
 * Traits:  never parks; any thread; no memory.
 * See:     weft_signal_notify.
 * From:    Go, signal.Stop.
 */
#ifndef __cplusplus
WEFT_API void weft_signal_stop(weft_chan(int) c);
#else
WEFT_API void weft_impl_signal_stop(void *c) __asm__("weft_signal_stop");
#endif

/*
 * weft_signal_ctx makes a child of parent that the first of the signals ends, with ECANCELED; the
 * signal's number is its cause. With an n of 0 that is any that can be asked for. It ends with its
 * parent, and by weft_ctx_cancel, too.
 *
 * It keeps its signals from doing what they did before until weft_ctx_cancel or the last unref (or
 * a moment longer, when that meets a signal; weft_ctx_cancel returns with the signals back). So
 * a SIGINT that comes twice in a row, as shells and timeout(1) may send it, doesn't kill a program
 * that is shutting down; cancel the context to have the next one do so.
 *
 * Traits:  never parks; any thread (without a runtime it ends the program); allocates.
 * Returns: the context, the caller's to unref; or NULL with errno. A parent of NULL ends the
 *          program: "cannot create context from nil parent".
 * Errors:  as weft_signal_notify.
 * Order:   as weft_ctx_cancel.
 * Example: weft_ctx *ctx = weft_signal_ctx(weft_ctx_current(), (int[]){SIGINT, SIGTERM}, 2);
 *          weft_scope_ctx(ctx); serve(listener); weft_ctx_unref(ctx);
 * See:     weft_signal_notify, weft_ctx_cause, weft_scope_ctx.
 * From:    Go, signal.NotifyContext.
 */
WEFT_API weft_ctx *weft_signal_ctx(weft_ctx *parent, const int *signals, size_t n);

WEFT_END_DECLS

#ifdef __cplusplus
inline int weft_signal_notify(weft_chan(int) c, const int *signals, size_t n) {
    return weft_impl_signal_notify(c.weft_impl_core(), signals, n);
}
inline void weft_signal_stop(weft_chan(int) c) {
    weft_impl_signal_stop(c.weft_impl_core());
}
#endif

#endif
