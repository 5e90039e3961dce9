/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which an M without work visits the Ps: from a random one on, by a random step that
 * is coprime to their number. So each is visited once in n steps, and thieves that start at the same
 * moment do not follow each other.
 */
#ifndef WEFTI_SCHED_ORDER_H
#define WEFTI_SCHED_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/rand.h"

static inline uint32_t wefti_gcd(uint32_t a, uint32_t b) {
    while (b != 0) {
        uint32_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

struct wefti_order {
    uint32_t n, step, at;
};

static inline struct wefti_order wefti_order_of(uint32_t n, struct wefti_rand *r) {
    struct wefti_order o = {.n = n};
    do
        o.step = 1 + wefti_rand_below(r, n);
    while (wefti_gcd(o.step, n) != 1);
    o.at = wefti_rand_below(r, n);
    return o;
}

static inline void wefti_order_next(struct wefti_order *o) {
    o->at = (o->at + o->step) % o->n;
}

#endif
