/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of a goroutine's stack, seen from another thread or by itself: addresses found by frame
 * pointers, and where there are none by a scan. Reads memory by the system only, so a stack that
 * changes, or is gone, gives a poor trace and no fault. The caller sees to it that the stack is at
 * rest, or says that the trace may be wrong.
 */
#ifndef WEFTI_OBSERVE_FRAMES_H
#define WEFTI_OBSERVE_FRAMES_H

#include "../base/fmt.h"
#include "symbols.h"

/* From `at` (fp 0: not known) on a stack that ends at hi; at least one when at->pc is code. */
size_t wefti_frames(const struct wefti_code *code, const struct os_regs *at, uintptr_t hi,
                    struct wefti_frame *frames, size_t n);
/* After wefti_symbolize: guesses that are proved become certain, the runtime's outermost frames and
 * those not wanted go; how many are left. */
size_t wefti_frames_settle(struct wefti_frame *frames, size_t n);
/* A line each: "\tFUNCTION+0xN (MODULE+0xN)", " ?" behind a guess. */
void wefti_frames_print(struct wefti_out *out, const struct wefti_frame *frames, size_t n);

#endif
