/* SPDX-License-Identifier: Apache-2.0 */
/*
 * goroutines.c: group G of the behaviours, the life of a goroutine: start, arguments, ids, counts,
 * the end by return and by weft_goexit, stacks. What ends a whole run (G11, G14, G15) and dumps
 * (G6, G9) are in runs.c; names, deferred calls in detail, keys, errno and rounding in locals.c.
 */
#include "conform.h"

#include <stdatomic.h>

static _Atomic int stage;
static _Atomic int failed;
static _Atomic long count;

static void wait_for(weft_chan(int) c) {
    stage = 1;
    weft_recv(c, NULL);
    stage = 2;
}

TEST(G1_go_does_not_wait) {
    weft_chan(int) c = weft_chan_make(int, 0);
    CHECK_EQ(weft_go(wait_for, c), 0);
    CHECK(stage < 2); /* it can't be done: its value has not been sent */
    CHECK(weft_send(c, 1));
    EVENTUALLY(stage == 2);
    weft_chan_unref(c);
}

static void tell(weft_chan(int) out, int v) {
    weft_send(out, v);
}

TEST1(G2_arguments_are_evaluated_first) {
    weft_chan(int) out = weft_chan_make(int, 10);
    int n = 0, v = -1;
    for (int i = 0; i < 10; i++)
        weft_go(tell, out, n++);
    CHECK_EQ(n, 10); /* each was evaluated once, here, before anyone ran */
    n = 99;
    long sum = 0;
    for (int i = 0; i < 10; i++) {
        CHECK(weft_recv(out, &v));
        CHECK(v >= 0 && v < 10);
        sum += 1 << v;
    }
    CHECK_EQ(sum, (1 << 10) - 1);
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(out);
}

enum colour { RED = -7, GREEN = 1000000 };

static void six(int a, unsigned b, long c, uint64_t d, const char *e, enum colour f) {
    bool same = a == -1 && b == 0xfffffff0u && c == INT64_MIN && d == UINT64_MAX - 1 &&
                strcmp(e, "sixth") == 0 && f == RED;
    stage = same ? 1 : 2;
}

static void none(void) {
    stage = 1;
}

TEST(G2_words_of_all_widths) {
    CHECK_EQ(weft_go(six, -1, 0xfffffff0u, INT64_MIN, UINT64_MAX - 1, "sixth", RED), 0);
    EVENTUALLY(stage != 0);
    CHECK_EQ(stage, 1);
    stage = 0;
    CHECK_EQ(weft_go(none), 0);
    EVENTUALLY(stage == 1);
}

static int gives_int(int v) {
    count++;
    return v;
}

static const char *gives_pointer(void) {
    count++;
    return "thrown away";
}

static uint64_t gives_long(void) {
    count++;
    return UINT64_MAX;
}

TEST(G3_the_value_of_fn_is_thrown_away) {
    CHECK_EQ(weft_go(gives_int, 42), 0);
    CHECK_EQ(weft_go(gives_pointer), 0);
    CHECK_EQ(weft_go(gives_long), 0);
    EVENTUALLY(count == 3);
    EVENTUALLY(weft_num_goroutine() == 1);
}

TEST(G4_G5_the_count_goes_back) {
    weft_chan(int) c = weft_chan_make(int, 0);
    CHECK_EQ(weft_num_goroutine(), 1);
    weft_timer *t = weft_timer_new(WEFT_HOUR);
    weft_ticker *k = weft_ticker_new(WEFT_MILLISECOND);
    CHECK_EQ(weft_num_goroutine(), 1);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_go(wait_for, c), 0);
        CHECK_EQ(weft_num_goroutine(), 2 + i);
    }
    weft_chan_close(c);
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK(weft_timer_stop(t));
    weft_ticker_stop(k);
    weft_timer_unref(t);
    weft_ticker_unref(k);
    weft_chan_unref(c);
}

TEST(G5_no_goroutine_but_main) {
    CHECK_EQ(weft_num_goroutine(), 1);
    weft_sleep(30 * WEFT_MILLISECOND); /* the monitor and pollers never count */
    CHECK_EQ(weft_num_goroutine(), 1);
}

TEST(G7_main_has_id_1) {
    CHECK_EQ(weft_id(), 1);
    weft_yield();
    CHECK_EQ(weft_id(), 1);
}

static uint64_t ids[3000];
static _Atomic int ids_n;

static void note_id(void) {
    ids[ids_n++] = weft_id();
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

TEST(G8_ids_are_never_given_twice) {
    weft_wg wg = WEFT_WG_INIT;
    for (int round = 0; round < 30; round++) { /* recycles the Gs of the round before */
        for (int i = 0; i < 100; i++)
            CHECK_EQ(weft_wg_go(&wg, note_id), 0);
        weft_wg_wait(&wg);
    }
    CHECK_EQ(ids_n, 3000);
    qsort(ids, 3000, sizeof *ids, by_number);
    CHECK(ids[0] > 1);
    for (int i = 1; i < 3000; i++)
        CHECK(ids[i] != ids[i - 1]);
}

TEST_DIES(G10_go_of_null, 2, "fatal error: go of nil func value") {
    void (*nothing)(void) = NULL;
    weft_go(nothing);
}

static void (*volatile leave)(void) = weft_goexit; /* hides that it never returns */

static void deep_exit(int depth) {
    volatile char page[256];
    page[0] = (char)depth;
    if (depth > 0)
        deep_exit(depth - 1);
    else
        leave();
    failed = page[0] + 1; /* never comes back */
}

static void exits_deep(void) {
    count++;
    deep_exit(50);
    failed = 1;
}

TEST(G12_goexit_ends_the_caller_only) {
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_go(wait_for, c);
    for (int i = 0; i < 100; i++)
        weft_go(exits_deep);
    EVENTUALLY(count == 100);
    EVENTUALLY(weft_num_goroutine() == 2);
    CHECK_EQ(failed, 0);
    CHECK(weft_send(c, 1));
    EVENTUALLY(stage == 2);
    weft_chan_unref(c);
}

static weft_chan(int) clean_up_chan;

static void clean_up(void *arg) {
    weft_send(clean_up_chan, (int)(intptr_t)arg);
}

static void leaves(int by_goexit) {
    for (intptr_t i = 1; i <= 3; i++)
        if (weft_defer(clean_up, (void *)i) != 0)
            failed = 1;
    if (by_goexit)
        deep_exit(10);
}

TEST(G13_clean_up_runs_last_first) {
    clean_up_chan = weft_chan_make(int, 0); /* unbuffered: the deferred calls park */
    for (int by_goexit = 0; by_goexit < 2; by_goexit++) {
        weft_go(leaves, by_goexit);
        for (int i = 3; i >= 1; i--) {
            int v = 0;
            CHECK(weft_recv(clean_up_chan, &v));
            CHECK_EQ(v, i);
        }
    }
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(failed, 0);
    weft_chan_unref(clean_up_chan);
}

static void daisy(weft_chan(int) left, weft_chan(int) right) {
    int v = 0;
    weft_recv(right, &v);
    weft_send(left, v + 1);
}

TEST(G16_daisy_chain) {
    enum { N = FEW_FIBERS ? 3000 : 10000 };
    static weft_chan(int) link[N + 1];
    link[0] = weft_chan_make(int, 0);
    for (int i = 0; i < N; i++) {
        link[i + 1] = weft_chan_make(int, 0);
        CHECK_EQ(weft_go(daisy, link[i], link[i + 1]), 0);
    }
    CHECK_EQ(weft_go(tell, link[N], 0), 0);
    int v = 0;
    CHECK(weft_recv(link[0], &v));
    CHECK_EQ(v, N);
    EVENTUALLY(weft_num_goroutine() == 1);
    for (int i = 0; i <= N; i++)
        weft_chan_unref(link[i]);
}

static void perpetual(weft_chan(int) done, int left) {
    if (left == 0)
        weft_send(done, 1);
    else if (weft_go(perpetual, done, left - 1) != 0)
        failed = 1;
}

TEST(G17_successors_for_ever_in_bounded_memory) {
    weft_chan(int) done = weft_chan_make(int, 0);
    weft_go(perpetual, done, 10000);
    CHECK(weft_recv(done, NULL));
    size_t before = resident_bytes();
    weft_go(perpetual, done, SANITIZED ? 20000 : 1000000);
    CHECK(weft_recv(done, NULL));
    CHECK_EQ(failed, 0);
    /* 16 bytes kept for each of the million would be twice that. */
    if (!SANITIZED)
        CHECK(resident_bytes() < before + (8u << 20));
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_chan_unref(done);
}

static void keeps_its_stack(weft_chan(int) wake, int seed) {
    volatile unsigned char mine[8192];
    for (size_t i = 0; i < sizeof mine; i++)
        mine[i] = (unsigned char)(i * 31 + (size_t)seed);
    count++;
    weft_recv(wake, NULL);
    for (size_t i = 0; i < sizeof mine; i++)
        if (mine[i] != (unsigned char)(i * 31 + (size_t)seed))
            failed = 1;
}

static void dirties_stack(size_t bytes) {
    volatile unsigned char frame[1024];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = 0xee;
    if (bytes > sizeof frame)
        dirties_stack(bytes - sizeof frame);
    if (frame[sizeof frame - 1] != 0xee)
        failed = 1;
}

TEST(G18_a_parked_stack_keeps_its_contents) {
    weft_chan(int) wake = weft_chan_make(int, 0);
    weft_wg parked = WEFT_WG_INIT, others = WEFT_WG_INIT;
    for (int i = 0; i < 50; i++)
        weft_wg_go(&parked, keeps_its_stack, wake, i);
    EVENTUALLY(count == 50);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 50; i++)
            weft_wg_go(&others, dirties_stack, (size_t)32768);
        weft_wg_wait(&others);
    }
    weft_chan_close(wake);
    weft_wg_wait(&parked);
    CHECK_EQ(failed, 0);
    weft_chan_unref(wake);
}

static void deep_and_together(weft_chan(int) start, weft_wg *wg) {
    dirties_stack(128 << 10);
    count++;
    weft_recv(start, NULL); /* keep all 32 stacks in use at once */
    weft_wg_done(wg);
}

TEST(G19_stacks_are_reused) {
    const struct weft_attr attr = {.stack_size = 512 << 10};
    size_t before = resident_bytes();
    for (int batch = 0; batch < 256; batch++) {
        weft_chan(int) start = weft_chan_make(int, 0);
        weft_wg wg = WEFT_WG_INIT;
        weft_wg_add(&wg, 32);
        count = 0;
        for (int i = 0; i < 32; i++)
            CHECK_EQ(weft_go_with(&attr, deep_and_together, start, &wg), 0);
        EVENTUALLY(count == 32);
        weft_chan_close(start);
        weft_wg_wait(&wg);
        EVENTUALLY(weft_num_goroutine() == 1);
        weft_chan_unref(start);
    }
    CHECK_EQ(failed, 0);
    /* Eight batches at once: 8 x 32 x 128 KiB = 32 MiB. All 256 apart would be 1 GiB. */
    if (!SANITIZED)
        CHECK(resident_bytes() < before + (32u << 20));
}

static void park_and_count(weft_chan(int) c) {
    int v;
    if (weft_recv(c, &v))
        count += v;
}

/*
 * A million parked goroutines take some 4.2 GB of stacks at one page each. On a machine (or under a
 * sanitizer) that has not got twice as much the number is smaller, and the test says so.
 */
static long affordable(void) {
    long n = 1000000, kilobytes = 0;
    char line[256];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %ld", &kilobytes) == 1)
            break;
    if (f != NULL)
        fclose(f);
    if (SANITIZED)
        n = FEW_FIBERS ? 5000 : 20000;
    else if (kilobytes / 9 < n)
        n = kilobytes / 9;
    if (n < 1000000)
        fprintf(stderr, "G_million_parked: only %ld goroutines here\n", n);
    return n;
}

static void park_a_million(void) {
    weft_chan(int) c = weft_chan_make(int, 0);
    const long n = affordable();
    CHECK(n > 0);
    for (long i = 0; i < n; i++) {
        CHECK_EQ(weft_go(park_and_count, c), 0);
        if (i % 1000 == 999)
            weft_yield(); /* they park as they come: one page each, not one runnable queue */
    }
    CHECK_EQ(weft_num_goroutine(), n + 1);
    for (long i = 0; i < n; i++)
        CHECK(weft_send(c, 1));
    EVENTUALLY(weft_num_goroutine() == 1);
    CHECK_EQ(count, n);
    weft_chan_unref(c);
}

TEST(G_million_parked) {
    park_a_million();
}

/* More than there are mappings for guards: most stacks have none then. */
TEST_ENV(G_million_parked_guarded_by_mappings, "GODEBUG=guardprotect=1") {
    park_a_million();
}
