/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/debug.h: looking inside a running program.
 */
#ifndef WEFT_DEBUG_H
#define WEFT_DEBUG_H

#include <weft/base.h>

WEFT_BEGIN_DECLS

/*
 * weft_set_fatal_hook has fn(text) called before a fatal error is reported and the process ends
 * with status 2; text is the message after "fatal error: ". One hook is kept; NULL removes it.
 *
 * fn runs on the thread that found the error, with the runtime in any state: it may write(2) or
 * _exit(2), and must not make a weft call.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Example: static void note(const char *text) { write(log_fd, text, strlen(text)); }
 */
WEFT_API void weft_set_fatal_hook(void (*fn)(const char *text));

/*
 * weft_dump writes a header line for each goroutine to fd: "goroutine 18 [chan receive, 5
 * minutes]:", with its name where it has one, and an empty line after each. It takes no lock of the
 * C library's and no memory, and goroutines go on running meanwhile.
 *
 * Traits:  blocks the thread for the writes; any thread, any time; no memory.
 * Example: weft_dump(2);
 * From:    Go, runtime.Stack.
 */
WEFT_API void weft_dump(int fd);

WEFT_END_DECLS

#endif
