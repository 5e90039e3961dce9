/* SPDX-License-Identifier: Apache-2.0 */
/* One consumer that selects over four producers' channels. */
#include "bench.h"

enum { WAYS = 4 };

struct fan_in {
    weft_chan(i64) way[WAYS];
    i64 each, count[WAYS], sum[WAYS];
    weft_wg wg;
};

static void produce(weft_chan(i64) out, i64 each) {
    for (i64 i = 0; i < each; i++)
        weft_send(out, i);
}

static void consume(struct fan_in *f) {
    weft_chan(i64) c0 = f->way[0], c1 = f->way[1], c2 = f->way[2], c3 = f->way[3];
    i64 count[WAYS] = {0}, sum[WAYS] = {0}, v;
    for (i64 i = 0; i < WAYS * f->each; i++) {
        int which = weft_select(weft_case_recv(c0, &v), weft_case_recv(c1, &v),
                                weft_case_recv(c2, &v), weft_case_recv(c3, &v));
        count[which]++;
        sum[which] += v;
    }
    for (int w = 0; w < WAYS; w++)
        f->count[w] = count[w], f->sum[w] = sum[w];
}

static i64 fan_in(i64 each, size_t capacity) {
    struct fan_in f = {.each = each};
    for (int w = 0; w < WAYS; w++) {
        f.way[w] = weft_chan_make(i64, capacity);
        weft_wg_go(&f.wg, produce, f.way[w], each);
    }
    weft_wg_go(&f.wg, consume, &f);
    weft_wg_wait(&f.wg);
    for (int w = 0; w < WAYS; w++) {
        CHECK(f.count[w] == each && f.sum[w] == each * (each - 1) / 2, "way %d: %ld %ld", w,
              (long)f.count[w], (long)f.sum[w]);
        weft_chan_unref(f.way[w]);
    }
    return WAYS * each;
}

static i64 select4(void) {
    return fan_in(bench_n(125000), 0);
}
static i64 select4_128(void) {
    return fan_in(bench_n(250000), 128);
}
static void run_select4(double *out) {
    out[0] = bench_per_op(select4);
}
static void run_select4_128(double *out) {
    out[0] = bench_per_op(select4_128);
}

const struct bench_case bench_select[] = {
    {.name = "select4", .warm = true, .run = run_select4},
    {.name = "select4_128", .warm = true, .run = run_select4_128},
    {0},
};
