/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the soak share.  A part is a function that a goroutine runs: it does one thing
 * of the C library's over and over until soak_more says no, checks all that it gets, and makes a weft
 * call now and then (soak_rest), at which it may come back on another thread.
 */
#ifndef WEFT_SOAK_H
#define WEFT_SOAK_H

#include <stdbool.h>
#include <stdint.h>

#include <weft.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SOAK_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOAK_SANITIZED 1
#endif
#endif
#ifndef SOAK_SANITIZED
#define SOAK_SANITIZED 0
#endif

/* One goroutine of a part. */
struct soak_worker {
    uint64_t random; /* its own state */
    void *shared;    /* of those of its group, which work together */
    int me;          /* its number in the group */
    long done;       /* how often it did its thing */
};

bool soak_more(void); /* no weft call */
uint32_t soak_below(struct soak_worker *w, uint32_t n);
void soak_compute(uint32_t steps); /* touches no memory */
/* Mostly nothing, else a weft call of some kind. */
void soak_rest(struct soak_worker *w);

__attribute__((noreturn, format(printf, 3, 4))) void soak_fail(const char *file, int line,
                                                               const char *format, ...);
#define SOAK_CHECK(condition)                                                                      \
    ((condition) ? (void)0                                                                         \
                 : soak_fail(__FILE__, __LINE__, "not so: %s (errno %d)", #condition, errno))

/* A group's shared things: made before its goroutines start, and looked at when all have ended. */
void *soak_file_make(void);
void soak_file_close(void *shared); /* all but its reader have ended */
void soak_file_end(void *shared);
void *soak_queue_make(void);
void *soak_mutex_make(void);
void *soak_pipes_make(void);
void *soak_flock_make(void);
void soak_queue_end(void *shared);
void soak_mutex_end(void *shared);
void soak_pipes_end(void *shared);
void soak_flock_end(void *shared);

/* memory.c */
void soak_allocates(struct soak_worker *w);
void soak_sorts(struct soak_worker *w);
void soak_copies(struct soak_worker *w);

/* stdio.c */
void soak_prints(struct soak_worker *w);
void soak_reads_lines(struct soak_worker *w);

/* waits.c: calls that block, unannounced */
void soak_produces_and_consumes(struct soak_worker *w);
void soak_locks(struct soak_worker *w);
void soak_naps(struct soak_worker *w);
void soak_passes_bytes(struct soak_worker *w);
void soak_locks_file(struct soak_worker *w);

/* process.c */
void soak_spawns(struct soak_worker *w);
void soak_vforks(struct soak_worker *w);
void soak_makes_threads(struct soak_worker *w);
void soak_loads(struct soak_worker *w);
void soak_looks_up(struct soak_worker *w);

/* throws.cc */
void soak_throws(struct soak_worker *w);

#ifdef __cplusplus
}
#endif

#endif
