/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/ctx.h: contexts: cancellation, deadlines and values that are passed down a tree.
 *
 * Each goroutine runs under a context: the one that was current where it was started, its group's,
 * that of its weft_attr, or one that a scope put on. Once that context is done, the goroutine's
 * parked or next cancellable call that would have to wait fails with ECANCELED or ETIMEDOUT. A
 * call that can finish at once does finish.
 *
 * A context holds its parent, a goroutine the context that it runs under. Calls that make a context
 * give the caller one reference.
 */
#ifndef WEFT_CTX_H
#define WEFT_CTX_H

#include <weft/base.h>
#include <weft/chan.h>

WEFT_BEGIN_DECLS

/* A function registered to run after a context's end. */
typedef struct weft_ctx_hook weft_ctx_hook;

/*
 * weft_ctx_background returns the context that is never done and has no deadline and no values:
 * the root of all others, and what goroutine 1 and threads that are no goroutine run under.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: the context, which is not counted: ref and unref of it do nothing.
 * From:    Go, context.Background.
 */
WEFT_API weft_ctx *weft_ctx_background(void);

/*
 * weft_ctx_current returns the context that the caller runs under.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: the context, borrowed, never NULL. Take a reference to use it when the goroutine may
 *          have gone on to another one.
 * Example: if (weft_ctx_err(weft_ctx_current()) != 0) return;
 * See:     weft_scope_ctx.
 */
WEFT_API weft_ctx *weft_ctx_current(void);

/*
 * weft_ctx_with_cancel makes a child of parent that weft_ctx_cancel can end. It ends with its
 * parent too; made from an ended parent it is done at once, with that one's error and cause. A
 * parent of NULL ends the program: "cannot create context from nil parent".
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the context, the caller's to unref; or NULL with errno.
 * Errors:  ENOMEM.
 * Example: weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
 * See:     weft_ctx_cancel, weft_ctx_unref.
 * From:    Go, context.WithCancel.
 */
WEFT_API weft_ctx *weft_ctx_with_cancel(weft_ctx *parent);

/*
 * weft_ctx_with_timeout is weft_ctx_with_deadline(parent, weft_now() + d).
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the context, the caller's to unref; or NULL with errno.
 * Errors:  ENOMEM.
 * See:     weft_scope_timeout.
 * From:    Go, context.WithTimeout.
 */
WEFT_API weft_ctx *weft_ctx_with_timeout(weft_ctx *parent, weft_duration d);

/*
 * weft_ctx_with_deadline makes a child of parent that ends at the deadline, with ETIMEDOUT, or
 * earlier by weft_ctx_cancel or with its parent. An earlier deadline of the parent's stays in
 * force. With a deadline in the past it is done when the call returns.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the context, the caller's to unref; or NULL with errno. The last unref stops its timer.
 * Errors:  ENOMEM.
 * From:    Go, context.WithDeadline.
 */
WEFT_API weft_ctx *weft_ctx_with_deadline(weft_ctx *parent, weft_time deadline);

/*
 * weft_ctx_with_value makes a child of parent in which key has value. Keys are compared by address,
 * so a key is the address of a static object of yours. Binding NULL hides the parent's value. Key
 * and value are borrowed.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the context, the caller's to unref; or NULL with errno.
 * Errors:  ENOMEM.
 * Example: static const char user_key; ctx = weft_ctx_with_value(ctx, &user_key, user);
 * See:     weft_ctx_value.
 * From:    Go, context.WithValue.
 */
WEFT_API weft_ctx *weft_ctx_with_value(weft_ctx *parent, const void *key, void *value);

/*
 * weft_ctx_without_cancel makes a child of parent that has its values, and neither its deadline nor
 * its end.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the context, the caller's to unref; or NULL with errno.
 * Errors:  ENOMEM.
 * From:    Go, context.WithoutCancel.
 */
WEFT_API weft_ctx *weft_ctx_without_cancel(weft_ctx *parent);

/*
 * weft_ctx_ref takes one more reference to ctx.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: ctx.
 */
WEFT_API weft_ctx *weft_ctx_ref(weft_ctx *ctx);

/*
 * weft_ctx_unref gives a reference back. The last one releases ctx, its timer and its reference to
 * its parent; it cancels nothing, as nobody can be left who runs under ctx. NULL is ignored.
 *
 * Traits:  never parks; any thread; no memory.
 */
WEFT_API void weft_ctx_unref(weft_ctx *ctx);

/*
 * weft_ctx_cancel ends ctx and all contexts below it; cause is what weft_ctx_cause then returns, 0
 * stands for ECANCELED. All their done channels are closed when it returns; after-functions are
 * started, not waited for. To a context that is done already it does nothing, and so it does to one
 * that has no end of its own: the background, and those of weft_ctx_with_value and
 * weft_ctx_without_cancel.
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of every call that fails because of it.
 * From:    Go, context.CancelCauseFunc.
 */
WEFT_API void weft_ctx_cancel(weft_ctx *ctx, int cause);

/*
 * weft_ctx_err tells whether and how ctx ended.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: 0 while it is not done; ECANCELED; ETIMEDOUT when its deadline passed.
 * Order:   a value that is not 0 comes after the cancel.
 * From:    Go, context.Context.Err.
 */
WEFT_API int weft_ctx_err(weft_ctx *ctx);

/*
 * weft_ctx_cause tells why ctx ended: the cause given to weft_ctx_cancel, its own or that of the
 * context above through which it ended.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: 0 while it is not done; the cause; where none was given, what weft_ctx_err returns.
 * From:    Go, context.Cause.
 */
WEFT_API int weft_ctx_cause(weft_ctx *ctx);

/*
 * weft_ctx_done returns a channel that is closed when ctx ends. Nobody may send on it or close it.
 *
 * Traits:  never parks; any thread; allocates (without memory the program ends).
 * Returns: the channel, borrowed, valid as long as ctx; NULL for a context that can never end, so
 *          that a select case on it is never ready.
 * Order:   the cancel is before the return of a receive from it.
 * Example: weft_select(weft_case_recv(in, &v), weft_case_recv(weft_ctx_done(ctx), NULL))
 * From:    Go, context.Context.Done.
 */
#ifndef __cplusplus
WEFT_API weft_chan(char) weft_ctx_done(weft_ctx *ctx);
#else
WEFT_API void *weft_impl_ctx_done(weft_ctx *ctx) __asm__("weft_ctx_done");
#endif

/*
 * weft_ctx_deadline asks for the moment at which ctx ends by itself.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true with *deadline set; false, and *deadline as it was, when there is none. deadline
 *          may be NULL.
 * From:    Go, context.Context.Deadline.
 */
WEFT_API bool weft_ctx_deadline(weft_ctx *ctx, weft_time *deadline);

/*
 * weft_ctx_value looks up the nearest binding of key, in ctx or above it.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: the value, borrowed; NULL without one.
 * From:    Go, context.Context.Value.
 */
WEFT_API void *weft_ctx_value(weft_ctx *ctx, const void *key);

/*
 * weft_ctx_after_func has fn(arg) run in a goroutine of its own once ctx has ended, right away when
 * it has ended already. It runs once, with ctx's values and without its end. ctx must be held until
 * then: a context that everybody dropped never ends. When there is no memory for the goroutine at
 * ctx's end, the program ends.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: a handle, valid until it was given to weft_ctx_hook_stop or ctx was released, whichever
 *          is first; or NULL with errno.
 * Errors:  ENOMEM.
 * Order:   the cancel is before the start of fn.
 * See:     weft_ctx_hook_stop.
 * From:    Go, context.AfterFunc.
 */
WEFT_API weft_ctx_hook *weft_ctx_after_func(weft_ctx *ctx, void (*fn)(void *arg), void *arg);

/*
 * weft_ctx_hook_stop takes a function registered by weft_ctx_after_func back. The handle is gone
 * after the call, whatever it returns.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true when fn will not run; false when it was started; nobody waits for its end.
 * From:    Go, the stop of context.AfterFunc.
 */
WEFT_API bool weft_ctx_hook_stop(weft_ctx_hook *hook);

/* Both return the context before, which the scope's end puts back. */
WEFT_API weft_ctx *weft_impl_scope_enter_ctx(weft_ctx *ctx);
WEFT_API weft_ctx *weft_impl_scope_enter_timeout(weft_duration d);
WEFT_API void weft_impl_scope_leave(weft_ctx **before);

WEFT_END_DECLS

#define WEFT_IMPL_SCOPE_NAME(n) WEFT_IMPL_SCOPE_NAME_(n)
#define WEFT_IMPL_SCOPE_NAME_(n) weft_impl_scope_##n

#ifndef __cplusplus
#define WEFT_IMPL_SCOPE_ENDS __attribute__((__cleanup__(weft_impl_scope_leave), __unused__))
#define WEFT_IMPL_SCOPE(entered)                                                                   \
    WEFT_IMPL_SCOPE_ENDS weft_ctx *WEFT_IMPL_SCOPE_NAME(__COUNTER__) = (entered)
#else
#define WEFT_IMPL_SCOPE(entered) const weft_impl_scope WEFT_IMPL_SCOPE_NAME(__COUNTER__)(entered)

class weft_impl_scope {
    weft_ctx *before_;

  public:
    explicit weft_impl_scope(weft_ctx *before) noexcept : before_(before) {
    }
    ~weft_impl_scope() {
        weft_impl_scope_leave(&before_);
    }
    weft_impl_scope(const weft_impl_scope &) = delete;
    weft_impl_scope &operator=(const weft_impl_scope &) = delete;
};

inline weft_chan(char) weft_ctx_done(weft_ctx *ctx) {
    return weft_chan(char)::weft_impl_from(weft_impl_ctx_done(ctx));
}
#endif

/*
 * weft_scope_timeout is a declaration: from here to the end of the enclosing block, however it is
 * left, this goroutine runs under a child of its context that ends d from now. The context before
 * then comes back, and the child is released. Goroutines started inside inherit the child.
 *
 * weft_goexit out of it needs no care; a longjmp out of it leaves the child on.
 *
 * Traits:  never parks; goroutines (elsewhere it ends the program with a message); allocates
 *          (without memory the program ends).
 * Example: { weft_scope_timeout(5 * WEFT_SECOND); if (!weft_recv(c, &v)) report(errno); }
 * See:     weft_scope_ctx, weft_ctx_with_timeout.
 *
 * weft_scope_timeout(weft_duration d);
 */
#define weft_scope_timeout(d) WEFT_IMPL_SCOPE(weft_impl_scope_enter_timeout(d))

/*
 * weft_scope_ctx is a declaration: from here to the end of the enclosing block, however it is left,
 * this goroutine runs under ctx, of which it takes a reference; NULL ends the program. The context
 * before then comes back.
 *
 * weft_goexit and longjmp: as weft_scope_timeout.
 *
 * Traits:  never parks; goroutines (elsewhere it ends the program with a message); allocates
 *          (without memory the program ends).
 * Example: { weft_scope_ctx(request_ctx); serve(request); }
 * See:     weft_scope_timeout.
 *
 * weft_scope_ctx(weft_ctx *ctx);
 */
#define weft_scope_ctx(ctx) WEFT_IMPL_SCOPE(weft_impl_scope_enter_ctx(ctx))

#endif
