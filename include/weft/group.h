/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/group.h: goroutines that work on one task, end together, and fail together.
 *
 * A group counts its goroutines, keeps their first error, and gives them a context that ends with
 * that error. It is ready for use when zeroed, needs no destroy, and must not be moved or copied
 * between the first weft_group_go and the return of weft_group_wait.
 */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include <weft/base.h>
#include <weft/go.h>

WEFT_BEGIN_DECLS

/* The members are private; they are here for their size alone. */
typedef struct weft_group {
    weft_ctx *ctx;
    uint64_t state;
    int32_t limit;
    int32_t error;
    uint32_t lock;
    uint32_t pad;
    void *head, *tail;
    void *whead, *wtail;
} weft_group;

#define WEFT_GROUP_INIT WEFT_IMPL_ZERO

/*
 * weft_group_go starts fn(args...) in a goroutine of the group, under the group's context. fn
 * returns int: 0, or an error, of which the first cancels the context with that error as its cause.
 * weft_goexit counts as 0. Arguments are those of weft_go.
 *
 * The context is made at the first weft_group_go, unless weft_group_ctx has made it, as a child of
 * the caller's current context. At the group's limit the call waits for a goroutine of the group to
 * end; those who wait are served in the order in which they came.
 *
 * Traits:  parks at the limit ("semacquire"), not cancellable; any thread; allocates.
 * Returns: 0, or -1 with errno and nothing started.
 * Errors:  ENOMEM  as weft_go.
 * Order:   as weft_go; the end of fn is before the return of weft_group_wait.
 * Example: weft_group g = WEFT_GROUP_INIT;
 *          for (int i = 0; i < n; i++) weft_group_go(&g, fetch, &urls[i]);
 *          if (weft_group_wait(&g) != 0) ...
 * See:     weft_group_try_go, weft_group_wait.
 * From:    Go, x/sync/errgroup.
 *
 * int weft_group_go(weft_group *g, fn, args...);
 */
#ifndef __cplusplus
#define weft_group_go(g, ...)                                                                      \
    WEFT_IMPL_GO_CALL(weft_impl_group_go, WEFT_IMPL_ARG, (g), "weft_group_go", INT, __VA_ARGS__)
#else
#define weft_group_go(g, ...)                                                                      \
    (weft_impl_launch<int>{weft_impl_start_group{(g), WEFT_IMPL_SITE_CXX(__VA_ARGS__), false},     \
                           __VA_ARGS__}                                                            \
         .status())
#endif

/*
 * weft_group_try_go starts fn(args...) as weft_group_go does, if the limit allows it at once.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: true when the goroutine was started; false, with errno, when not.
 * Errors:  EAGAIN  the group is at its limit.
 *          ENOMEM  as weft_go.
 * Order:   as weft_group_go.
 * From:    Go, x/sync/errgroup.
 *
 * bool weft_group_try_go(weft_group *g, fn, args...);
 */
#ifndef __cplusplus
#define weft_group_try_go(g, ...)                                                                  \
    WEFT_IMPL_GO_CALL(weft_impl_group_try_go, WEFT_IMPL_ARG, (g), "weft_group_try_go", INT,        \
                      __VA_ARGS__)
#else
#define weft_group_try_go(g, ...)                                                                  \
    (weft_impl_launch<int>{weft_impl_start_group{(g), WEFT_IMPL_SITE_CXX(__VA_ARGS__), true},      \
                           __VA_ARGS__}                                                            \
         .started())
#endif

/*
 * weft_group_wait waits until every goroutine of the group has ended. A context that ends meanwhile
 * ends the goroutines that run below it, not the wait. Then the group's context is cancelled and
 * released, and the group may be used again, with a fresh one.
 *
 * Traits:  parks ("sync.WaitGroup.Wait"), not cancellable; any thread; no memory.
 * Returns: 0, or the first error that a goroutine of the group returned.
 * Order:   the end of each goroutine of the group is before the return.
 * From:    Go, x/sync/errgroup.
 */
WEFT_API int weft_group_wait(weft_group *g);

/*
 * weft_group_cancel cancels the group's context, with ECANCELED. It is no error of the group's:
 * weft_group_wait returns what the goroutines returned. Before the group has a context, which the
 * first weft_group_go or weft_group_ctx makes, it does nothing.
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before every call that fails because of it.
 * See:     weft_ctx_cancel.
 */
WEFT_API void weft_group_cancel(weft_group *g);

/*
 * weft_group_set_limit has at most n goroutines of the group at a time; n <= 0 means no limit, as
 * in a zeroed group. While goroutines of the group run, it ends the program: "errgroup: modify
 * limit while N goroutines in the group are still active".
 *
 * Traits:  never parks; any thread; no memory.
 * From:    Go, x/sync/errgroup.
 */
WEFT_API void weft_group_set_limit(weft_group *g, int n);

/*
 * weft_group_ctx returns the group's context, which its goroutines run under. Before the first
 * weft_group_go it makes it, as a child of the caller's current context.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: the context, borrowed, valid until weft_group_wait returns; or NULL with errno.
 * Errors:  ENOMEM  it had to be made.
 * See:     weft_ctx_current, which is the same in a goroutine of the group.
 */
WEFT_API weft_ctx *weft_group_ctx(weft_group *g);

WEFT_API int weft_impl_group_go(weft_group *g, const struct weft_impl_site *site, int (*fn)(void),
                                const uint64_t *words);
WEFT_API bool weft_impl_group_try_go(weft_group *g, const struct weft_impl_site *site,
                                     int (*fn)(void), const uint64_t *words);

WEFT_END_DECLS

#ifdef __cplusplus
struct weft_impl_start_group {
    weft_group *group;
    const struct weft_impl_site *site;
    bool only_try;
    bool operator()(void (*entry)(void), uint64_t word) const {
        const uint64_t words[6] = {word, 0, 0, 0, 0, 0};
        auto typed = reinterpret_cast<int (*)(void)>(entry);
        if (only_try)
            return weft_impl_group_try_go(group, site, typed, words);
        return weft_impl_group_go(group, site, typed, words) == 0;
    }
};
#endif

#endif
