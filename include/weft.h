/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft.h: goroutines, channels and select for C and C++; includes all of the headers below but
 * weft/short.h. Each of them may be included by itself.
 *
 *   weft/base.h    version, spans and points of time, errno
 *   weft/go.h      running the scheduler, goroutines
 *   weft/chan.h    typed channels
 *   weft/select.h  waiting for the first of several
 *   weft/sync.h    mutex, rwmutex, wg, once, cond, sem
 *   weft/group.h   goroutines that fail and end together
 *   weft/ctx.h     cancellation, deadlines, values
 *   weft/time.h    clock, sleep, timers, tickers
 *   weft/io.h      reading, writing and waiting on descriptors; deadlines; files
 *   weft/net.h     listening, dialling, accepting; addresses; names
 *   weft/signal.h  signals as values, and as the end of a context
 *   weft/debug.h   looking inside
 *   weft/short.h   short names, on request
 *
 * These headers are the reference. Above each call stands a comment of this layout; a field that
 * has nothing to say is left out:
 *
 *   what the call does, in a sentence, and what else is to be known
 *   Traits:   four facts, in this order:
 *             - "parks": it may put the goroutine aside until something happens, while its thread
 *               runs others (the dump's words for the wait in brackets); a thread that is no
 *               goroutine blocks instead. Only a call that parks or yields may go on, on another
 *               thread. Or "never parks", "blocks the thread".
 *             - "cancellable": the end of the goroutine's context ends the wait; or not.
 *             - who may call it. "any thread": goroutines, and other threads while a runtime is
 *               running. "any time": without a runtime, too. "goroutines": nobody else.
 *             - "allocates": it takes memory and fails when there is none; or "no memory".
 *   Returns:  the result, and who owns it
 *   Errors:   values of errno when the call failed; a successful call leaves errno as it was
 *   Order:    what is before what, in the sense of happens-before
 *   Example:  in C
 *   See:      calls that belong to it
 *   From:     where the behaviour is described
 *
 * A macro's prototype, as if it were a function, is the comment's last line. Arguments are
 * borrowed, durations and moments are nanoseconds. Misuse ends the program: a message that begins
 * with "fatal error: " and has the text quoted here, a dump of the goroutines, exit status 2. No
 * call may be made from a signal handler.
 */
#ifndef WEFT_H
#define WEFT_H

#include <weft/base.h>
#include <weft/chan.h>
#include <weft/ctx.h>
#include <weft/debug.h>
#include <weft/go.h>
#include <weft/group.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/select.h>
#include <weft/signal.h>
#include <weft/sync.h>
#include <weft/time.h>

#endif
