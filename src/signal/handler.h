/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals as the kernel gives them: taken from it one by one, counted, given back. handler.c has
 * the protocol. Every call but that of a fork's child is made with the registry's lock
 * (notify.c), or by whoever ends a run.
 */
#ifndef WEFTI_SIGNAL_HANDLER_H
#define WEFTI_SIGNAL_HANDLER_H

#include <stdbool.h>
#include <stdint.h>

#define WEFTI_SIGNALS 64 /* their numbers: 1 to this */

/* True for a signal that may be taken: not by those that the kernel or the preemption has. */
bool wefti_signal_may(int sig);

/* The bell, which rings when something was counted: made before the first signal is taken, closed
 * when all are given back. 0, or an errno. */
int wefti_bell_open(void);
void wefti_bell_close(void);
/* To be polled for input. */
int wefti_bell_fd(void);
void wefti_bell_ring(void);
/* Before the counts are looked at. */
void wefti_bell_quiet(void);

/* From here on sig is counted. Nothing, when it is already. */
void wefti_signal_take(int sig);
/* Its disposition is again what it was. None is counted any more when this returns. */
void wefti_signal_give_back(int sig);
/* How many came since the last look. */
uint32_t wefti_signal_count(int sig);

/* In a fork's child, whatever the parent's threads were doing: all given back, nothing counted. */
void wefti_signal_forget(void);

#endif
