/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for messages, dumps and traces: printf's work without a lock, a locale or memory.
 *
 * Known: %s %c %d %i %u %x %p %% with the lengths l, ll and z, a minimum width, 0 and - for it, and
 * a precision for %s; each number of a format may be *. Nothing else is; an unknown one is copied.
 * NULL prints as "(null)". Text that doesn't fit is cut. Safe in a signal handler.
 */
#ifndef WEFTI_BASE_FMT_H
#define WEFTI_BASE_FMT_H

#include <stdarg.h>
#include <stddef.h>

/* Both end the text with a NUL when size > 0, and return how many bytes are before it. */
__attribute__((format(printf, 3, 4))) size_t wefti_fmt(char *text, size_t size, const char *format,
                                                       ...);
__attribute__((format(printf, 3, 0))) size_t wefti_vfmt(char *text, size_t size, const char *format,
                                                        va_list args);

/* Lines on their way to a descriptor: a full buffer goes out in one write, cut between two lines.
 */
struct wefti_out {
    int fd;
    char *text;
    size_t n, size; /* size: no single line is longer */
};

__attribute__((format(printf, 2, 3))) void wefti_out(struct wefti_out *out, const char *format,
                                                     ...);
void wefti_out_flush(struct wefti_out *out);

#endif
