/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle: every choice that the runtime makes by chance asks it here.
 *
 * Under GODEBUG=schedseed=N the generators start from N and wefti_sched.seeded is set; with one P
 * the order of questions is then the program's own, so a run repeats. Each M has a generator of its
 * own; with one P there is one generator for the whole run (it moves with the P: sched/proc.c), or
 * the M that happens to ask would matter.
 */
#ifndef WEFTI_BASE_RAND_H
#define WEFTI_BASE_RAND_H

#include <stdint.h>

struct wefti_rand {
    uint64_t state;
};

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014) */
static inline uint64_t wefti_rand64(struct wefti_rand *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Below n, n > 0; the bias is below n / 2^32. */
static inline uint32_t wefti_rand_below(struct wefti_rand *r, uint32_t n) {
    return (uint32_t)(((wefti_rand64(r) >> 32) * n) >> 32);
}

#endif
