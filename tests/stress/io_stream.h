/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of io_stress.c share: keyed pseudo-random streams, which both ends of a connection
 * know without telling each other, and counts of what has moved.
 */
#ifndef WEFT_STRESS_IO_STREAM_H
#define WEFT_STRESS_IO_STREAM_H

#include "stress.h"

enum { PIECE = 16 * 1024 };

static _Atomic uint64_t progress; /* bytes, packets, rounds: what the watchdog looks at */
static _Atomic uint64_t bytes_checked, packets, without_fds;

static void moved(uint64_t n) {
    atomic_fetch_add_explicit(&progress, n, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Whether a call that makes a descriptor failed for the limit that the squeezer lowers. */
static bool no_fds(void) {
    if (errno != EMFILE && errno != ENFILE)
        return false;
    count(&without_fds, 1);
    weft_sleep(WEFT_MILLISECOND);
    return true;
}

/* ---- the streams ---- */

/* Byte i of the stream of a key. (ThreadSanitizer would see each byte of a private buffer.) */
__attribute__((no_sanitize("thread"))) static void fill(unsigned char *buf, size_t n, uint64_t key,
                                                        uint64_t at) {
    for (size_t i = 0; i < n;) {
        struct stress_rand r = {key ^ ((at + i) >> 3) * 0xd1342543de82ef95u};
        uint64_t word = stress_next(&r) >> 8 * ((at + i) & 7);
        do {
            buf[i++] = (unsigned char)word;
            word >>= 8;
        } while (i < n && ((at + i) & 7) != 0);
    }
}

static void check(const unsigned char *buf, size_t n, uint64_t key, uint64_t at) {
    unsigned char want[512];
    for (size_t done = 0; done < n;) {
        size_t part = n - done < sizeof want ? n - done : sizeof want;
        fill(want, part, key, at + done);
        bool same = memcmp(buf + done, want, part) == 0;
        for (size_t i = 0; i < part && !same; i++)
            if (buf[done + i] != want[i])
                STRESS_FAIL("byte %" PRIu64 " of stream %" PRIx64 " is %02x, not %02x",
                            at + done + i, key, buf[done + i], want[i]);
        done += part;
    }
    moved(n);
    atomic_fetch_add_explicit(&bytes_checked, n, memory_order_relaxed);
}

/* 1 B to 1 MB, each power of two as likely as the next; under a sanitizer to 128 KB. */
static uint32_t random_size(struct stress_rand *r) {
    int bits = stress_below(r, STRESS_SANITIZED ? 18 : 21);
    return (uint32_t)stress_below(r, 1 << bits) + 1;
}

static size_t random_piece(struct stress_rand *r) {
    return (size_t)stress_below(r, stress_one_in(r, 3) ? 100 : PIECE) + 1;
}

/*
 * ThreadSanitizer keeps account of descriptors as it does of memory. A wait that may have lost its
 * number to a stranger is the point of some parts, and no news: it is not told of what they do
 * between these two.
 */
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);

static void stale_number_begins(void) {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
}

static void stale_number_ends(void) {
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
static void stale_number_begins(void) {
}

static void stale_number_ends(void) {
}
#endif

#endif
