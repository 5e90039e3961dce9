/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a P is with nobody when it passes from one hog to the next, and how long slices are.
 *
 * Each hog looks at the clock all the time and notes where it was off its CPU for long: that is the
 * end of one slice of its and the beginning of another. With P Ps busy all the time, the k-th end of
 * all, in the order of time, is followed by the (k + P)-th beginning.
 */
#include "latency.h"

#include <stdio.h>
#include <stdlib.h>

enum { MANY = 100, SLICES = 4096 };

static struct hog {
    _Atomic int n; /* slices that are over */
    _Atomic i64 last;
    i64 begins[SLICES], ends[SLICES];
} hogs[MANY];

static i64 off; /* off its CPU for that long: another one had its P */

static void hog(struct hog *h) {
    i64 last = lat_clock();
    h->begins[0] = last;
    for (;;) {
        i64 now = lat_clock();
        int n = h->n;
        if (now - last >= off && n < SLICES - 1) {
            h->ends[n] = last;
            h->begins[n + 1] = now;
            h->n = n + 1;
        }
        atomic_store_explicit(&h->last, now, memory_order_relaxed);
        last = now;
    }
}

/* Slices of all: their beginnings, ends and lengths; the last of each hog's may be unfinished. */
static size_t gather(int hogs_n, i64 *begins, i64 *ends, i64 *lengths, size_t *nlengths) {
    size_t n = 0, whole = 0;
    for (int i = 0; i < hogs_n; i++) {
        struct hog *h = &hogs[i];
        i64 last = h->last;
        if (last == 0)
            continue;
        int over = h->n;
        for (int k = 0; k <= over; k++, n++) {
            begins[n] = h->begins[k];
            ends[n] = k < over ? h->ends[k] : last;
            if (k < over)
                lengths[whole++] = ends[n] - begins[n];
        }
    }
    *nlengths = whole;
    return n;
}

static void run(int n) {
    off = (n / lat_p - 1) * LAT_SLICE / 2;
    size_t room = (size_t)n * SLICES, nlengths;
    i64 *begins = calloc(room, sizeof *begins), *ends = calloc(room, sizeof *ends);
    i64 *lengths = calloc(room, sizeof *lengths);
    CHECK(begins && ends && lengths, "out of memory");
    for (int i = 0; i < n; i++)
        CHECK(weft_go(hog, &hogs[i]) == 0, "out of goroutines");
    weft_sleep(lat_window);
    size_t total = gather(n, begins, ends, lengths, &nlengths), passed = 0;
    lat_sort(begins, total);
    lat_sort(ends, total);
    for (size_t k = 0; k + (size_t)lat_p < total; k++)
        ends[passed++] = begins[k + (size_t)lat_p] - ends[k];
    char prefix[32];
    snprintf(prefix, sizeof prefix, "handoff%d", n);
    lat_row_percentiles(prefix, ends, passed);
    snprintf(prefix, sizeof prefix, "slice%d", n);
    lat_row_percentiles(prefix, lengths, nlengths);
}

static void run_four(void) {
    run(4);
}

static void run_hundred(void) {
    run(100);
}

const struct lat_case lat_handoffs[] = {
    {.name = "handoff4", .run = run_four},
    {.name = "handoff100", .run = run_hundred},
    {0},
};
