/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the environment asks for. Read at the start of each run by the thread that starts it, before
 * there is any other; constant from then on.
 *
 *   - GODEBUG, WEFT_DEBUG: lists name=value,name=value,… The entries of WEFT_DEBUG come after those
 *     of GODEBUG, and the later entry for a name wins. Unknown names (Go has many) and entries
 *     without = are ignored.
 *   - GOMAXPROCS, WEFT_MAXPROCS: a positive whole number and nothing else; otherwise as if not
 *     there. WEFT_MAXPROCS wins.
 *   - WEFT_STACK: a size in bytes, or with k or m behind it.
 *
 * A bad value of a known name counts as none and is said once in the life of the process.
 */
#ifndef WEFTI_BASE_KNOBS_H
#define WEFTI_BASE_KNOBS_H

#include <stdint.h>

struct wefti_knobs {
    int64_t schedtrace;        /* milliseconds from line to line; 0: none */
    int64_t stall;             /* milliseconds that make a stall; 0: none are reported */
    int64_t scheddetail;       /* P, M and G lines too */
    int64_t asyncpreemptoff;   /* no preemption by signal */
    int64_t preemptsignal;     /* the signal that preempts; 0: not given */
    int64_t preemptslice;      /* microseconds of a time slice; 0: the usual. For tests */
    int64_t schedseed;         /* where the oracle starts … */
    int64_t seeded;            /* … and whether it was given */
    int64_t guardprotect;      /* stack guards by mprotect, as on older kernels */
    int64_t containermaxprocs; /* 0: cgroups have no say in GOMAXPROCS; else 1, the default */
    int64_t updatemaxprocs;    /* 0: GOMAXPROCS is settled at the start; else 1, the default */
    int64_t threadidle;        /* milliseconds until a spare thread ends; 0: the usual. For tests */
    int64_t retake;            /* 0: only the signal takes a blocked goroutine's P; else 1 */
    int64_t earlycut;          /* 0: a timer that is due waits for a slice's end; else 1 */
    int64_t wakepin;           /* 0: a thread that is given a P may wake anywhere; else 1 */
    int64_t maxprocs;          /* GOMAXPROCS; 0: not given */
    int64_t stack;             /* bytes; 0: not given */
};

extern struct wefti_knobs wefti_knobs;
void wefti_knobs_read(void);

#endif
