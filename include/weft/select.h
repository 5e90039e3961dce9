/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/select.h: waiting for the first of several channel operations.
 *
 * weft_select(case, case...) builds an array of struct weft_case and hands it to weft_select_n.
 * Everything a case needs is fixed before anything is chosen: channels and values are evaluated
 * once, in the order written, and a value is copied.
 */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include <weft/base.h>
#include <weft/chan.h>

/*
 * struct weft_case: one case of a select, made by the weft_case_ macros. 64 bytes; a program may
 * copy it and need not know its members.
 *
 * A send's value of up to 16 bytes is in the case (WEFT_CASE_HELD), and such a case may be kept and
 * used again. A larger value is behind `from`, in a copy that lives to the end of the block in
 * which the case was written (in C++, of the full expression).
 */
struct weft_case {
    uint32_t op;             /* one of the operations below, and flags */
    uint32_t size;           /* SEND, RECV: of the element, in bytes */
    void *chan;              /* SEND, RECV: the channel; NULL is never ready */
    void *into;              /* RECV: where the value goes; NULL drops it */
    const void *from;        /* SEND without WEFT_CASE_HELD: where the value is */
    bool *ok;                /* with WEFT_CASE_OK: whether a value was sent or received; or NULL */
    int64_t duration;        /* AFTER: nanoseconds from the start of the select */
    unsigned char value[16]; /* SEND with WEFT_CASE_HELD: the value */
};

/* Operations and flags of weft_case.op. */
#define WEFT_CASE_SEND 1u
#define WEFT_CASE_RECV 2u
#define WEFT_CASE_AFTER 3u
#define WEFT_CASE_DEFAULT 4u
#define WEFT_CASE_OP_MASK 0xffu
#define WEFT_CASE_OK 0x100u
#define WEFT_CASE_HELD 0x200u

WEFT_BEGIN_DECLS

/*
 * weft_select_n carries out exactly one of n cases, the first that is ready; when several are, one
 * of them at random, and each with the same chance. When none is, it takes the default case if
 * there is one, and waits otherwise. Without any case it parks for ever.
 *
 * A receive from a closed channel is ready and so is a send on one; both beat a default. Of a
 * receive case that was not chosen, *into and *ok stay as they were.
 *
 * Traits:  parks unless there is a default, cancellable; any thread; no memory of the caller's.
 * Returns: the index of the case that went ahead, from 0; or -1 with errno. Of a receive on a
 *          closed channel it is the index, and the value is zeroed (ask _ok to tell it apart).
 * Errors:  EPIPE      a send case was chosen whose channel is closed, and it has no `ok`.
 *          ECANCELED  the goroutine's context was cancelled and no case was ready.
 *          ETIMEDOUT  the deadline of that context has passed and no case was ready.
 * Order:   that of the send or receive that went ahead.
 * Example: struct weft_case cs[2] = {weft_case_recv(a, &x), weft_case_send_from(b, &y)};
 *          int i = weft_select_n(cs, 2);
 * See:     weft_select.
 * From:    Go, reflect.Select.
 */
WEFT_API int weft_select_n(struct weft_case *cases, size_t n);

WEFT_END_DECLS

/*
 * weft_select carries out exactly one of the cases written as its arguments, as weft_select_n does.
 * Up to as many as the compiler takes; with none it parks for ever.
 *
 * Traits:  parks unless there is a default, cancellable; any thread; no memory of the caller's.
 * Returns: the index of the case that went ahead, in the order written, from 0; or -1 with errno.
 * Errors:  EPIPE, ECANCELED, ETIMEDOUT  as weft_select_n.
 * Order:   that of the send or receive that went ahead.
 * Example: switch (weft_select(weft_case_recv(in, &v), weft_case_after(WEFT_SECOND))) {
 *          case 0: use(v); break;
 *          case 1: give_up(); break;
 *          }
 * See:     weft_select_n, weft_case_send, weft_case_recv, weft_case_after, weft_case_default.
 * From:    Go, "Select statements".
 *
 * int weft_select(cases...);
 */
#ifndef __cplusplus
/*
 * One case in front, so that the array is never empty; the core doesn't see it. weft_case.op is an
 * integer and comes first, so that a channel written where a case belongs is diagnosed.
 */
#define WEFT_IMPL_CASES(...)                                                                       \
    (struct weft_case[]) {                                                                         \
        {0}, __VA_ARGS__                                                                           \
    }
#define weft_select(...)                                                                           \
    weft_select_n((WEFT_IMPL_CASES(__VA_ARGS__)) + 1,                                              \
                  sizeof(__typeof__(WEFT_IMPL_CASES(__VA_ARGS__))) / sizeof(struct weft_case) - 1)
#else
#define weft_select(...) (weft_impl_select{__VA_ARGS__}.chosen())

/* Braces, so that the cases are evaluated in the order written. */
class weft_impl_select {
    int chosen_;

  public:
    weft_impl_select() : chosen_(weft_select_n(nullptr, 0)) {
    }
    template <class... Cases>
    explicit weft_impl_select(const struct weft_case &first, const Cases &...rest) {
        struct weft_case all[] = {first, static_cast<const struct weft_case &>(rest)...};
        chosen_ = weft_select_n(all, 1 + sizeof...(rest));
    }
    int chosen() const noexcept {
        return chosen_;
    }
};
#endif

WEFT_IMPL_INLINE struct weft_case weft_impl_case_recv(uint32_t op, void *chan, void *into, bool *ok,
                                                      size_t size) {
    struct weft_case made = WEFT_IMPL_ZERO;
    made.chan = chan;
    made.into = into;
    made.ok = ok;
    made.op = op;
    made.size = WEFT_IMPL_CAST(uint32_t, size);
    return made;
}

WEFT_IMPL_INLINE struct weft_case weft_impl_case_send(uint32_t op, void *chan, const void *value,
                                                      bool *ok, size_t size) {
    struct weft_case made = WEFT_IMPL_ZERO;
    made.chan = chan;
    made.ok = ok;
    made.op = op;
    made.size = WEFT_IMPL_CAST(uint32_t, size);
    if ((op & WEFT_CASE_HELD) != 0)
        __builtin_memcpy(made.value, value, size <= sizeof made.value ? size : 0);
    else
        made.from = value;
    return made;
}

/* Whether an element of this size travels inside the case. */
#define WEFT_IMPL_HELD(size)                                                                       \
    ((size) <= sizeof(((struct weft_case *)0)->value) ? WEFT_CASE_HELD : 0u)

/*
 * weft_case_send: a case that sends a value. When it is chosen and the channel is closed, the
 * select returns -1 with EPIPE. The value is copied when the case is made.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Example: weft_case_send(out, (struct pt){1, 2})
 * See:     weft_case_send_ok, weft_case_send_from, weft_send.
 *
 * struct weft_case weft_case_send(weft_chan(T) c, T value);
 */
/*
 * weft_case_send_ok: as weft_case_send, but when it is chosen the select returns its index, and *ok
 * tells whether the value was sent (true) or the channel is closed (false).
 *
 * Traits:  never parks; any thread, any time; no memory.
 * See:     weft_case_send.
 *
 * struct weft_case weft_case_send_ok(weft_chan(T) c, T value, bool *ok);
 */
/*
 * weft_case_send_from: a case that sends *value, of which it keeps no copy: *value must live, and
 * stay as it is, until the select has returned. It is what an array for weft_select_n that outlives
 * the block wants.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * See:     weft_case_send, weft_select_n.
 *
 * struct weft_case weft_case_send_from(weft_chan(T) c, const T *value);
 */
/*
 * weft_case_recv: a case that receives into *into, or drops the value where into is NULL. From a
 * channel that is closed and empty it is ready, and zeroes *into.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Example: weft_case_recv(weft_ctx_done(ctx), NULL)
 * See:     weft_case_recv_ok, weft_recv.
 *
 * struct weft_case weft_case_recv(weft_chan(T) c, T *into);
 */
/*
 * weft_case_recv_ok: as weft_case_recv, and when it is chosen *ok tells whether a value was
 * received (true) or the channel is closed and empty (false).
 *
 * Traits:  never parks; any thread, any time; no memory.
 * See:     weft_case_recv.
 *
 * struct weft_case weft_case_recv_ok(weft_chan(T) c, T *into, bool *ok);
 */
#ifndef __cplusplus
/* pair is a struct of the value and a bool *, which lies at the next multiple of its size. */
WEFT_IMPL_INLINE struct weft_case weft_impl_case_send_ok(uint32_t op, void *chan, const void *pair,
                                                         size_t size) {
    bool *ok;
    size_t at = (size + sizeof ok - 1) / sizeof ok * sizeof ok;
    __builtin_memcpy(&ok, (const char *)pair + at, sizeof ok);
    return weft_impl_case_send(op, chan, pair, ok, size);
}

#define WEFT_IMPL_SIZE(c) sizeof(WEFT_IMPL_ELEM(c))
#define weft_case_send(c, ...)                                                                     \
    weft_impl_case_send(WEFT_CASE_SEND | WEFT_IMPL_HELD(WEFT_IMPL_SIZE(c)), (void *)(c),           \
                        WEFT_IMPL_VALUE(c, __VA_ARGS__), NULL, WEFT_IMPL_SIZE(c))
/* The value and ok in one list: with a literal's commas in it, only the compiler can part them. */
#define WEFT_IMPL_PAIR(c)                                                                          \
    struct {                                                                                       \
        WEFT_IMPL_ELEM(c) value;                                                                   \
        bool *ok;                                                                                  \
    }
#define weft_case_send_ok(c, ...)                                                                  \
    weft_impl_case_send_ok(                                                                        \
        WEFT_CASE_SEND | WEFT_CASE_OK | WEFT_IMPL_HELD(WEFT_IMPL_SIZE(c)), (void *)(c),            \
        ((void)(__typeof__(((int (*)(WEFT_IMPL_ELEM(c), bool *))0)(__VA_ARGS__)) *)0,              \
         (const void *)&(WEFT_IMPL_PAIR(c)){__VA_ARGS__}),                                         \
        WEFT_IMPL_SIZE(c))
#define weft_case_send_from(c, value)                                                              \
    weft_impl_case_send(WEFT_CASE_SEND, (void *)(c), (const WEFT_IMPL_ELEM(c) *){(value)}, NULL,   \
                        WEFT_IMPL_SIZE(c))
#define weft_case_recv(c, into)                                                                    \
    weft_impl_case_recv(WEFT_CASE_RECV, (void *)(c), WEFT_IMPL_INTO(c, into), NULL,                \
                        WEFT_IMPL_SIZE(c))
#define weft_case_recv_ok(c, into, ok)                                                             \
    weft_impl_case_recv(WEFT_CASE_RECV | WEFT_CASE_OK, (void *)(c), WEFT_IMPL_INTO(c, into), (ok), \
                        WEFT_IMPL_SIZE(c))
#else
/* A case and its value's copy: the object is a temporary of the expression that has the select. */
template <class T, bool Held = (sizeof(T) <= 16)> struct weft_impl_send_case : weft_case {
    weft_impl_send_case(uint32_t what, void *core, const T &sent, bool *sent_ok)
        : weft_case(weft_impl_case_send(what | WEFT_CASE_HELD, core, &sent, sent_ok, sizeof(T))) {
    }
};
template <class T> struct weft_impl_send_case<T, false> : weft_case {
    T copy;
    weft_impl_send_case(uint32_t what, void *core, const T &sent, bool *sent_ok)
        : weft_case(weft_impl_case_send(what, core, nullptr, sent_ok, sizeof(T))), copy(sent) {
        from = &copy;
    }
    weft_impl_send_case(const weft_impl_send_case &) = delete;
    weft_impl_send_case &operator=(const weft_impl_send_case &) = delete;
};

template <class T>
weft_impl_send_case<T> weft_case_send(weft_channel<T> c, const weft_impl_same_t<T> &value) {
    weft_impl_check_element<T>();
    return weft_impl_send_case<T>(WEFT_CASE_SEND, c.weft_impl_core(), value, nullptr);
}
template <class T>
weft_impl_send_case<T> weft_case_send_ok(weft_channel<T> c, const weft_impl_same_t<T> &value,
                                         bool *ok) {
    weft_impl_check_element<T>();
    return weft_impl_send_case<T>(WEFT_CASE_SEND | WEFT_CASE_OK, c.weft_impl_core(), value, ok);
}
template <class T>
struct weft_case weft_case_send_from(weft_channel<T> c, const weft_impl_same_t<T> *value) {
    weft_impl_check_element<T>();
    return weft_impl_case_send(WEFT_CASE_SEND, c.weft_impl_core(), value, nullptr, sizeof(T));
}
template <class T> struct weft_case weft_case_recv(weft_channel<T> c, weft_impl_same_t<T> *into) {
    return weft_impl_case_recv(WEFT_CASE_RECV, c.weft_impl_core(),
                               const_cast<std::remove_cv_t<T> *>(into), nullptr, sizeof(T));
}
template <class T>
struct weft_case weft_case_recv_ok(weft_channel<T> c, weft_impl_same_t<T> *into, bool *ok) {
    return weft_impl_case_recv(WEFT_CASE_RECV | WEFT_CASE_OK, c.weft_impl_core(),
                               const_cast<std::remove_cv_t<T> *>(into), ok, sizeof(T));
}
#endif

/*
 * weft_case_after: a case that is ready once the duration has passed since the start of the select,
 * never earlier; 0 or less is ready at once. It needs no channel and nothing to free.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * See:     weft_after, for a channel that several selects share.
 * From:    Go, time.After.
 */
WEFT_IMPL_INLINE struct weft_case weft_case_after(weft_duration duration) {
    struct weft_case made = WEFT_IMPL_ZERO;
    made.duration = duration;
    made.op = WEFT_CASE_AFTER;
    return made;
}

/*
 * weft_case_default: the case that is taken when no other is ready; the select never parks then.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * From:    Go, "Select statements".
 */
WEFT_IMPL_INLINE struct weft_case weft_case_default(void) {
    struct weft_case made = WEFT_IMPL_ZERO;
    made.op = WEFT_CASE_DEFAULT;
    return made;
}

#endif
