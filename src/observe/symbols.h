/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for addresses of code: function, module, and the offset in it. For reports out of a running
 * program, so without the loader (dladdr takes a lock that a stopped goroutine may hold), and in
 * memory of the caller's.
 */
#ifndef WEFTI_OBSERVE_SYMBOLS_H
#define WEFTI_OBSERVE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../os/os.h"

#define WEFTI_CODE_MAPPINGS 512
#define WEFTI_CODE_NAMES 32768

/* Where code is mapped: 56 KB, for os_reserve. */
struct wefti_code {
    size_t n;
    int64_t read_at; /* os_nanotime; 0: never */
    struct os_mapping maps[WEFTI_CODE_MAPPINGS];
    char names[WEFTI_CODE_NAMES];
};

/* One line of a trace. The walk (frames.h) sets pc and kind; the rest is wefti_symbolize's. */
enum wefti_frame_kind {
    WEFTI_FRAME_AT,     /* pc is the next instruction */
    WEFTI_FRAME_RETURN, /* pc is where a call returns to, and so is it in the next two: … */
    WEFTI_FRAME_GUESS,  /* … it was found on the stack, and may be of a call that is over */
    WEFTI_FRAME_UNSURE, /* … and is dropped unless wefti_frames_settle finds proof */
};

#define WEFTI_FUNCTION_SIZE 128

struct wefti_frame {
    uintptr_t pc;
    enum wefti_frame_kind kind;
    uintptr_t start; /* of the function; 0: unknown */
    const char *module;
    uint64_t offset;                    /* in the module, as addr2line wants it */
    char function[WEFTI_FUNCTION_SIZE]; /* "": unknown */
};

/* Reads the mappings unless that was done in the last second. */
void wefti_code_read(struct wefti_code *code, int64_t now);
const struct os_mapping *wefti_code_find(const struct wefti_code *code, uintptr_t address);
/* Fills in what can be found out of n frames. */
void wefti_symbolize(const struct wefti_code *code, struct wefti_frame *frames, size_t n);

#endif
