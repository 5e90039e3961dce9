/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/base.h: what every other header of weft needs: the version, spans and points of time,
 * errno, and the markers of the binary interface.
 *
 * errno belongs to the goroutine. Compilers keep the address of the C library's errno in a
 * register across calls (it is declared const), and a goroutine that parked may go on, on another
 * thread, so `errno` is redefined here to an accessor that is not const. A program that wants the
 * C library's own macro defines WEFT_NO_ERRNO before it includes any header of weft; it must then
 * not read errno after a call that parks.
 *
 * Names that begin with weft_impl_ or WEFT_IMPL_ are what the public macros are made of. They may
 * change between releases; programs don't use them.
 */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#if __cplusplus < 201703L
#error "weft needs C++17 or later"
#endif
#define WEFT_BEGIN_DECLS extern "C" {
#define WEFT_END_DECLS }
#define WEFT_IMPL_INLINE inline
#define WEFT_IMPL_CAST(type, value) static_cast<type>(value)
#define WEFT_IMPL_ZERO                                                                             \
    {}
#else
#define WEFT_BEGIN_DECLS
#define WEFT_END_DECLS
/* Never emitted as a function, and without internal linkage: an extern inline function may use it.
 */
#define WEFT_IMPL_INLINE extern inline __attribute__((__gnu_inline__, __always_inline__))
#define WEFT_IMPL_CAST(type, value) ((type)(value))
#define WEFT_IMPL_ZERO                                                                             \
    { 0 }
#endif

/* Marks a function that the library exports. */
#define WEFT_API __attribute__((__visibility__("default")))

/* The version of these headers. weft_version() tells the one of the library. */
#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0

/*
 * weft_duration: a span of time in nanoseconds; may be negative. The largest is 292 years.
 * weft_time: a point in time, in nanoseconds on the clock of weft_now(), which is monotonic and
 * has no fixed origin. A deadline is a weft_time: `weft_now() + 5 * WEFT_SECOND`.
 */
typedef int64_t weft_duration;
typedef int64_t weft_time;

#define WEFT_NANOSECOND WEFT_IMPL_CAST(weft_duration, 1)
#define WEFT_MICROSECOND (1000 * WEFT_NANOSECOND)
#define WEFT_MILLISECOND (1000 * WEFT_MICROSECOND)
#define WEFT_SECOND (1000 * WEFT_MILLISECOND)
#define WEFT_MINUTE (60 * WEFT_SECOND)
#define WEFT_HOUR (60 * WEFT_MINUTE)

WEFT_BEGIN_DECLS

/* A context: see weft/ctx.h. */
typedef struct weft_ctx weft_ctx;

/*
 * weft_version returns the version of the library that the program runs with, as "0.1.0".
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: a static string.
 * See:     WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR, WEFT_VERSION_PATCH.
 */
WEFT_API const char *weft_version(void);

/*
 * weft_errno_location returns the address of the calling goroutine's errno, or of the thread's
 * where the caller is no goroutine. `errno` expands to it.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: an address that is good until the goroutine's next call that may park. Don't keep it.
 * See:     weft_set_errno, WEFT_NO_ERRNO.
 * From:    POSIX errno.
 */
WEFT_API int *weft_errno_location(void);

/*
 * weft_set_errno sets errno to value.
 *
 * In `errno = f()` the compiler may take errno's address before it calls f; when f parks, the
 * store then goes to the thread that the goroutine left. `weft_set_errno(f())` can't go wrong.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * See:     weft_errno_location.
 */
WEFT_API void weft_set_errno(int value);

WEFT_END_DECLS

#ifndef WEFT_NO_ERRNO
#undef errno
#define errno (*weft_errno_location())
#endif

#endif
