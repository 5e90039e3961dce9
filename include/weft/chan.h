/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/chan.h: typed channels.
 *
 * A handle is a pointer that knows its element's type: weft_chan(int) may be a variable, a
 * parameter, a member, the element of another channel. A wrong element type is a compiler
 * diagnostic. An element is any type that may be assigned, in C++ any trivially copyable one; not
 * an array (put it into a struct) and not void. Elements are copied in and out.
 */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <weft/base.h>

#ifdef __cplusplus
#include <type_traits>
#endif

WEFT_BEGIN_DECLS

WEFT_API void *weft_impl_chan_make(size_t elem_size, size_t capacity);
WEFT_API void *weft_impl_chan_ref(void *chan);
WEFT_API void weft_impl_chan_unref(void *chan);
WEFT_API bool weft_impl_send(void *chan, const void *value);
WEFT_API bool weft_impl_recv(void *chan, void *into, size_t elem_size);
WEFT_API bool weft_impl_try_send(void *chan, const void *value);
WEFT_API bool weft_impl_try_recv(void *chan, void *into);
WEFT_API void weft_impl_chan_close(void *chan);
WEFT_API size_t weft_impl_chan_len(void *chan);
WEFT_API size_t weft_impl_chan_cap(void *chan);
WEFT_API void weft_impl_chan_set_name(void *chan, const char *name);

WEFT_END_DECLS

#ifndef __cplusplus
/* An element's type, from a handle. */
#define WEFT_IMPL_ELEM(c) __typeof__((*(c))[0])
/* The handle as the core takes it; anything that is no handle is a compile-time error. */
#define WEFT_IMPL_CHAN(c) ((void)(WEFT_IMPL_ELEM(c) *)0, (void *)(c))
/*
 * The address of a copy of a value, of the element's type, that lives to the end of the block
 * enclosing the call. The call of a null function, in an operand that is not evaluated, has the
 * compiler check the value as it checks an argument: the braces alone would let 1 pass for a
 * struct pt.
 */
#define WEFT_IMPL_VALUE(c, ...)                                                                    \
    ((void)(__typeof__(((int (*)(WEFT_IMPL_ELEM(c)))0)(__VA_ARGS__)) *)0,                          \
     (const void *)&(WEFT_IMPL_BOX(c)){(__VA_ARGS__)})
#define WEFT_IMPL_BOX(c)                                                                           \
    struct {                                                                                       \
        WEFT_IMPL_ELEM(c) value;                                                                   \
    }
/* Where a value goes: checked to be a pointer to the element's type, or NULL. */
#define WEFT_IMPL_INTO(c, into) ((void *)(WEFT_IMPL_ELEM(c) *){(into)})
#else
/*
 * The handle in C++: one pointer, trivially copyable, equal to NULL or another handle, true when
 * it is not NULL. What a variable without initialiser holds is undefined, as in C.
 */
template <class T> class weft_channel {
    void *core_;

  public:
    using element = T;

    weft_channel() = default;
    constexpr weft_channel(std::nullptr_t) noexcept : core_(nullptr) {
    }
    constexpr explicit operator bool() const noexcept {
        return core_ != nullptr;
    }
    friend constexpr bool operator==(weft_channel a, weft_channel b) noexcept {
        return a.core_ == b.core_;
    }
    friend constexpr bool operator!=(weft_channel a, weft_channel b) noexcept {
        return a.core_ != b.core_;
    }

    constexpr void *weft_impl_core() const noexcept {
        return core_;
    }
    static constexpr weft_channel weft_impl_from(void *core) noexcept {
        weft_channel c(nullptr);
        c.core_ = core;
        return c;
    }
};

/* Keeps an argument out of template argument deduction: the handle alone decides. */
template <class T> struct weft_impl_same { using type = T; };
template <class T> using weft_impl_same_t = typename weft_impl_same<T>::type;

template <class T> constexpr void weft_impl_check_element() {
    static_assert(std::is_trivially_copyable_v<T>,
                  "weft_chan: an element must be trivially copyable: send a pointer");
}
#endif

/*
 * weft_chan(T) is the type of a handle of a channel with elements of type T.
 *
 * A handle is a pointer: it may be copied, compared, and be NULL. Any number of goroutines and
 * threads may use one channel at once.
 *
 * Example: weft_chan(int) c;  void worker(weft_chan(struct job) in, weft_chan(char *) out);
 * See:     weft_chan_make.
 * From:    Go, "Channel types".
 */
#ifndef __cplusplus
#define weft_chan(T) __typeof__(__typeof__(T)(*)[])
#else
#define weft_chan(...) weft_channel<__VA_ARGS__>
#endif

/*
 * weft_chan_make makes a channel that holds up to capacity elements; with 0, each send waits for
 * its receive.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: a handle with one reference, the caller's; or NULL with errno. A capacity below 0 or a
 *          size that overflows ends the program: "makechan: size out of range".
 * Errors:  ENOMEM.
 * Example: weft_chan(int) c = weft_chan_make(int, 16);
 * See:     weft_chan_unref.
 * From:    Go, "Making slices, maps and channels".
 *
 * weft_chan(T) weft_chan_make(T, size_t capacity);
 */
#ifndef __cplusplus
#define weft_chan_make(T, capacity) ((weft_chan(T))weft_impl_chan_make(sizeof(T), (capacity)))
#else
#define weft_chan_make(T, capacity) weft_impl_cxx_chan_make<T>(capacity)
template <class T> weft_channel<T> weft_impl_cxx_chan_make(size_t capacity) {
    weft_impl_check_element<T>();
    return weft_channel<T>::weft_impl_from(weft_impl_chan_make(sizeof(T), capacity));
}
#endif

/*
 * weft_chan_ref takes one more reference to a channel, for a user whose life may be longer than
 * that of the present holders.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: c. NULL gives NULL.
 * Example: weft_go(worker, weft_chan_ref(c));
 * See:     weft_chan_unref.
 *
 * weft_chan(T) weft_chan_ref(weft_chan(T) c);
 */
#ifndef __cplusplus
#define weft_chan_ref(c) ((WEFT_IMPL_ELEM(c)(*)[])weft_impl_chan_ref((void *)(c)))
#else
template <class T> weft_channel<T> weft_chan_ref(weft_channel<T> c) {
    return weft_channel<T>::weft_impl_from(weft_impl_chan_ref(c.weft_impl_core()));
}
#endif

/*
 * weft_chan_unref gives a reference back. The last one frees the channel and the elements still
 * in it; it needs no close. NULL is allowed and ignored.
 *
 * When somebody is parked on the channel at its last unref, the program ends: "free of channel
 * with waiters".
 *
 * Traits:  never parks; any thread; no memory.
 * See:     weft_chan_ref.
 *
 * void weft_chan_unref(weft_chan(T) c);
 */
#ifndef __cplusplus
#define weft_chan_unref(c) weft_impl_chan_unref(WEFT_IMPL_CHAN(c))
#else
template <class T> void weft_chan_unref(weft_channel<T> c) {
    weft_impl_chan_unref(c.weft_impl_core());
}
#endif

/*
 * weft_send sends a value: to the receiver that has waited longest, else into the buffer, else it
 * waits for one of the two. A send on NULL parks for ever.
 *
 * The value is evaluated once and converted to the element's type as an argument is. A compound
 * literal may be written as it is.
 *
 * Traits:  parks, cancellable; any thread; no memory of the caller's.
 * Returns: true when the value was handed over or buffered; false, with errno, when it was not.
 * Errors:  EPIPE      the channel is closed, or was closed during the wait.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the deadline of the goroutine's context has passed.
 * Order:   a send is before the return of the receive that got its value. On a channel without
 *          buffer the receive is before the return of the send, too.
 * Example: weft_send(c, (struct pt){1, 2});
 * See:     weft_try_send, weft_recv, weft_case_send.
 * From:    Go, "Send statements" (which panics where this fails with EPIPE).
 *
 * bool weft_send(weft_chan(T) c, T value);
 */
#ifndef __cplusplus
#define weft_send(c, ...) weft_impl_send((void *)(c), WEFT_IMPL_VALUE(c, __VA_ARGS__))
#else
template <class T> bool weft_send(weft_channel<T> c, const weft_impl_same_t<T> &value) {
    weft_impl_check_element<T>();
    return weft_impl_send(c.weft_impl_core(), &value);
}
#endif

/*
 * weft_recv receives a value into *into: the oldest in the buffer, else that of the sender that
 * has waited longest, else it waits. With an into of NULL the value is dropped. A receive from
 * NULL parks for ever.
 *
 * Traits:  parks, cancellable; any thread; no memory of the caller's.
 * Returns: true when a value was received; false, with errno and *into zeroed, when not.
 * Errors:  EPIPE      the channel is closed and no value is left in it.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the deadline of the goroutine's context has passed.
 * Order:   the send of the value, or the close, is before the return.
 * Example: while (weft_recv(in, &n)) sum += n;
 * See:     weft_try_recv, weft_send, weft_case_recv.
 * From:    Go, "Receive operator".
 *
 * bool weft_recv(weft_chan(T) c, T *into);
 */
#ifndef __cplusplus
#define weft_recv(c, into)                                                                         \
    weft_impl_recv((void *)(c), WEFT_IMPL_INTO(c, into), sizeof(WEFT_IMPL_ELEM(c)))
#else
template <class T> bool weft_recv(weft_channel<T> c, weft_impl_same_t<T> *into) {
    return weft_impl_recv(c.weft_impl_core(), const_cast<std::remove_cv_t<T> *>(into), sizeof(T));
}
#endif

/*
 * weft_try_send sends a value if that can be done at once; it changes nothing otherwise.
 *
 * Traits:  never parks; any thread; no memory of the caller's.
 * Returns: true when the value was handed over or buffered; false, with errno, when not.
 * Errors:  EAGAIN  the buffer is full, or no receiver waits; always on NULL.
 *          EPIPE   the channel is closed.
 * Order:   as weft_send; a failed one orders nothing.
 * See:     weft_send.
 * From:    Go, select with one send and a default.
 *
 * bool weft_try_send(weft_chan(T) c, T value);
 */
#ifndef __cplusplus
#define weft_try_send(c, ...) weft_impl_try_send((void *)(c), WEFT_IMPL_VALUE(c, __VA_ARGS__))
#else
template <class T> bool weft_try_send(weft_channel<T> c, const weft_impl_same_t<T> &value) {
    weft_impl_check_element<T>();
    return weft_impl_try_send(c.weft_impl_core(), &value);
}
#endif

/*
 * weft_try_recv receives a value into *into if one is there at once. An into of NULL drops it.
 *
 * Traits:  never parks; any thread; no memory of the caller's.
 * Returns: true when a value was received; false, with errno, when not.
 * Errors:  EAGAIN  the channel is open and empty, *into is as it was; always on NULL.
 *          EPIPE   the channel is closed and no value is left in it; *into is zeroed.
 * Order:   as weft_recv; one that failed with EAGAIN orders nothing.
 * See:     weft_recv.
 * From:    Go, select with one receive and a default.
 *
 * bool weft_try_recv(weft_chan(T) c, T *into);
 */
#ifndef __cplusplus
#define weft_try_recv(c, into) weft_impl_try_recv((void *)(c), WEFT_IMPL_INTO(c, into))
#else
template <class T> bool weft_try_recv(weft_channel<T> c, weft_impl_same_t<T> *into) {
    return weft_impl_try_recv(c.weft_impl_core(), const_cast<std::remove_cv_t<T> *>(into));
}
#endif

/*
 * weft_chan_close says that no more values come. Values in the buffer are still received, and
 * then every receive fails at once; sends fail from now on. All that are parked on the channel
 * wake. The channel must be freed all the same.
 *
 * Closing NULL or a closed channel ends the program: "close of nil channel", "close of closed
 * channel".
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   a close is before the return of a receive that failed because of it.
 * See:     weft_chan_unref.
 * From:    Go, "Close".
 *
 * void weft_chan_close(weft_chan(T) c);
 */
#ifndef __cplusplus
#define weft_chan_close(c) weft_impl_chan_close(WEFT_IMPL_CHAN(c))
#else
template <class T> void weft_chan_close(weft_channel<T> c) {
    weft_impl_chan_close(c.weft_impl_core());
}
#endif

/*
 * weft_chan_len returns how many values are in the buffer. Others may change it at any moment.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: the count; 0 for a channel without buffer and for NULL.
 * From:    Go, "Length and capacity".
 *
 * size_t weft_chan_len(weft_chan(T) c);
 */
#ifndef __cplusplus
#define weft_chan_len(c) weft_impl_chan_len(WEFT_IMPL_CHAN(c))
#else
template <class T> size_t weft_chan_len(weft_channel<T> c) {
    return weft_impl_chan_len(c.weft_impl_core());
}
#endif

/*
 * weft_chan_cap returns the capacity that the channel was made with.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: the capacity; 0 for NULL.
 * From:    Go, "Length and capacity".
 *
 * size_t weft_chan_cap(weft_chan(T) c);
 */
#ifndef __cplusplus
#define weft_chan_cap(c) weft_impl_chan_cap(WEFT_IMPL_CHAN(c))
#else
template <class T> size_t weft_chan_cap(weft_channel<T> c) {
    return weft_impl_chan_cap(c.weft_impl_core());
}
#endif

/*
 * weft_chan_set_name names a channel, for dumps and traces. The name is copied, 31 bytes of it.
 *
 * Traits:  never parks; any thread; no memory.
 *
 * void weft_chan_set_name(weft_chan(T) c, const char *name);
 */
#ifndef __cplusplus
#define weft_chan_set_name(c, name) weft_impl_chan_set_name(WEFT_IMPL_CHAN(c), (name))
#else
template <class T> void weft_chan_set_name(weft_channel<T> c, const char *name) {
    weft_impl_chan_set_name(c.weft_impl_core(), name);
}
#endif

#endif
