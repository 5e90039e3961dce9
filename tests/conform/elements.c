/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elements.c: channel elements of every size, by every way through a channel: the buffer, straight
 * to a parked receiver, from a parked sender, and the same through selects. Elements of up to 16
 * bytes travel by value and larger ones in boxes of the runtime; here nobody may tell. No group of
 * ids of its own: it widens C4, C5, C9, S7 and S15.
 */
#include "conform.h"

#include <stdatomic.h>

static _Atomic int failed;
static _Atomic int stage;

static void fill(unsigned char *bytes, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)(seed * 37 + i * 11 + 1);
}

static bool filled(const unsigned char *bytes, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != (unsigned char)(seed * 37 + i * 11 + 1))
            return false;
    return true;
}

static bool all_are(const unsigned char *bytes, size_t n, unsigned char want) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != want)
            return false;
    return true;
}

/* An element of N bytes between guards that no receive may touch. */
#define SIZE(N)                                                                                    \
    struct el##N {                                                                                 \
        unsigned char b[N];                                                                        \
    };                                                                                             \
    struct guarded##N {                                                                            \
        unsigned char before[16];                                                                  \
        struct el##N el;                                                                           \
        unsigned char after[16];                                                                   \
    };                                                                                             \
    static void check##N(const struct guarded##N *g, unsigned seed) {                              \
        CHECK(filled(g->el.b, N, seed));                                                           \
        CHECK(all_are(g->before, 16, 0xa5) && all_are(g->after, 16, 0xa5));                        \
    }                                                                                              \
    static void partner##N(weft_chan(struct el##N) c, weft_chan(struct el##N) back, int count) {   \
        struct el##N e;                                                                            \
        for (unsigned i = 0; i < (unsigned)count; i++) {                                           \
            if (!weft_recv(c, &e) || !filled(e.b, N, i))                                           \
                failed = N;                                                                        \
            fill(e.b, N, i + 1);                                                                   \
            if (i & 1 ? !weft_send(back, e)                                                        \
                      : weft_select(weft_case_send(back, e), weft_case_recv(c, &e)) != 0)          \
                failed = N;                                                                        \
        }                                                                                          \
    }                                                                                              \
    static void size##N(size_t cap) {                                                              \
        weft_chan(struct el##N) c = weft_chan_make(struct el##N, cap);                             \
        weft_chan(struct el##N) back = weft_chan_make(struct el##N, cap);                          \
        weft_wg wg = WEFT_WG_INIT;                                                                 \
        struct guarded##N g;                                                                       \
        struct el##N e;                                                                            \
        memset(&g, 0xa5, sizeof g);                                                                \
        weft_wg_go(&wg, partner##N, c, back, 12);                                                  \
        for (unsigned i = 0; i < 12; i++) {                                                        \
            fill(e.b, N, i);                                                                       \
            CHECK(i % 3 ? weft_send(c, e) : weft_select(weft_case_send(c, e)) == 0);               \
            if (i & 2)                                                                             \
                CHECK(weft_recv(back, &g.el));                                                     \
            else                                                                                   \
                CHECK_EQ(weft_select(weft_case_recv(back, &g.el)), 0);                             \
            check##N(&g, i + 1);                                                                   \
        }                                                                                          \
        weft_wg_wait(&wg);                                                                         \
        weft_chan_close(c);                                                                        \
        CHECK(!weft_recv(c, &g.el));                                                               \
        CHECK(all_are(g.el.b, N, 0));                                                              \
        CHECK(all_are(g.before, 16, 0xa5) && all_are(g.after, 16, 0xa5));                          \
        weft_chan_unref(c);                                                                        \
        weft_chan_unref(back);                                                                     \
    }

#define EIGHT(M, a, b, c, d, e, f, g, h) M(a) M(b) M(c) M(d) M(e) M(f) M(g) M(h)
#define ALL_SIZES(M)                                                                               \
    EIGHT(M, 1, 2, 3, 4, 5, 6, 7, 8)                                                               \
    EIGHT(M, 9, 10, 11, 12, 13, 14, 15, 16)                                                        \
    EIGHT(M, 17, 18, 19, 20, 21, 22, 23, 24)                                                       \
    EIGHT(M, 25, 26, 27, 28, 29, 30, 31, 32)                                                       \
    EIGHT(M, 33, 34, 35, 36, 37, 38, 39, 40)                                                       \
    EIGHT(M, 41, 42, 43, 44, 45, 46, 47, 48)                                                       \
    EIGHT(M, 49, 50, 51, 52, 53, 54, 55, 56)                                                       \
    EIGHT(M, 57, 58, 59, 60, 61, 62, 63, 64)

ALL_SIZES(SIZE)

#define RUN(N) size##N(cap);

TEST(elements_of_1_to_64_bytes) {
    for (size_t cap = 0; cap < 4; cap += 3) {
        ALL_SIZES(RUN)
    }
    CHECK_EQ(failed, 0);
}

TEST_ENV(elements_of_1_to_64_bytes_1, "GOMAXPROCS=1") {
    for (size_t cap = 0; cap < 4; cap += 3) {
        ALL_SIZES(RUN)
    }
    CHECK_EQ(failed, 0);
}

struct large {
    unsigned number;
    unsigned char bytes[1020];
};

static void send_large(weft_chan(struct large) c, weft_chan(struct large) other, int from, int to) {
    static const struct large zero;
    for (int i = from; i < to; i++) {
        struct large l = zero;
        l.number = (unsigned)i;
        fill(l.bytes, sizeof l.bytes, l.number);
        bool sent = i & 1 ? weft_send(c, l)
                          : weft_select(weft_case_recv(other, NULL), weft_case_send(c, l)) == 1;
        if (!sent)
            failed = 1;
        memset(&l, 0xee, sizeof l); /* the channel has its own copy */
    }
}

static void large_elements(size_t cap) {
    enum { EACH = 500 };
    weft_chan(struct large) c = weft_chan_make(struct large, cap);
    weft_chan(struct large) other = weft_chan_make(struct large, 0);
    weft_wg wg = WEFT_WG_INIT;
    static int seen[4 * EACH];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 4; i++)
        weft_wg_go(&wg, send_large, c, other, i * EACH, (i + 1) * EACH);
    for (int i = 0; i < 4 * EACH; i++) {
        struct large l;
        bool ok = true;
        if (i & 1)
            ok = weft_recv(c, &l);
        else
            CHECK_EQ(weft_select(weft_case_recv_ok(c, &l, &ok), weft_case_recv(other, NULL)), 0);
        CHECK(ok);
        CHECK(l.number < 4 * EACH);
        CHECK(filled(l.bytes, sizeof l.bytes, l.number));
        CHECK_EQ(seen[l.number]++, 0);
    }
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 0);
    weft_chan_unref(c);
    weft_chan_unref(other);
}

TEST(elements_of_1_KB) {
    large_elements(0);
    large_elements(1);
    large_elements(100);
}

TEST_ENV(elements_of_1_KB_8, "GOMAXPROCS=8") {
    large_elements(0);
    large_elements(7);
}

static void park_with_large(weft_chan(struct large) c, struct large *mine) {
    stage = 1;
    if (!weft_send(c, *mine))
        failed = errno;
    stage = 2;
}

TEST1(elements_of_a_sender_that_closes_away) {
    /* Boxes of values that nobody takes are given back: 20 MB if they were not. */
    static struct large l;
    size_t before = 0;
    for (int i = 0; i < ROUNDS(21000); i++) {
        weft_chan(struct large) c = weft_chan_make(struct large, 1);
        if (i == ROUNDS(1000))
            before = resident_bytes();
        CHECK(weft_send(c, l));
        stage = failed = 0;
        weft_go(park_with_large, c, &l);
        EVENTUALLY(stage == 1);
        weft_yield();
        weft_chan_close(c);
        EVENTUALLY(stage == 2);
        CHECK_EQ(failed, EPIPE);
        weft_chan_unref(c); /* with one value still in its buffer */
    }
    if (!SANITIZED)
        CHECK(resident_bytes() < before + (4u << 20));
}

TEST(elements_may_be_pointers_and_literals) {
    struct pair {
        short a;
        const char *text;
    } p = {0, NULL};
    weft_chan(struct pair) pairs = weft_chan_make(struct pair, 1);
    weft_chan(const char *) texts = weft_chan_make(const char *, 1);
    const char *text = NULL;
    CHECK(weft_send(pairs, (struct pair){7, "seven"}));
    CHECK(weft_recv(pairs, &p));
    CHECK_EQ(p.a, 7);
    CHECK_STR(p.text, "seven");
    CHECK(weft_send(texts, "eight"));
    CHECK(weft_recv(texts, &text));
    CHECK_STR(text, "eight");
    weft_chan(double) numbers = weft_chan_make(double, 1);
    double d = 0;
    CHECK(weft_send(numbers, 3)); /* converted to the element's type */
    CHECK(weft_recv(numbers, &d));
    CHECK(d == 3.0);
    weft_chan_unref(pairs);
    weft_chan_unref(texts);
    weft_chan_unref(numbers);
}
