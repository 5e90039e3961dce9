/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a program that did what cannot be gone on from.
 *
 * wefti_fatal writes "fatal error: TEXT", an empty line and the dump of all goroutines with
 * write(2), and ends the process with status 2 by _exit: no atexit handler runs, for a goroutine
 * stopped anywhere may hold a lock it needs.
 */
#ifndef WEFTI_BASE_THROW_H
#define WEFTI_BASE_THROW_H

__attribute__((noreturn, format(printf, 1, 2), cold)) void wefti_fatal(const char *format, ...);
/* A line of its own on stderr, "weft: TEXT", and on goes the program. */
__attribute__((format(printf, 1, 2), cold)) void wefti_warn(const char *format, ...);

/* In a fork's child: whoever was reporting is not here. */
void wefti_fatal_after_fork(void);

#ifdef WEFTI_DEBUG
#define wefti_assert(x)                                                                            \
    ((x) ? (void)0 : wefti_fatal("assertion failed: %s (%s:%d)", #x, __FILE__, __LINE__))
#else
#define wefti_assert(x) ((void)0)
#endif

#endif
