/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings of goroutines: a token with a count goes around and must come out where the count says.
 * Several tokens at once, rings of random length over channels of random capacity.
 */
#include "stress.h"

enum { RING_MOST = 500, RING_TOKENS = 8 };

struct ring_token {
    int id, left, hops;
};

struct ring {
    int members, tokens;
    weft_chan(struct ring_token) link[RING_MOST]; /* into member i */
    weft_chan(struct ring_token) out;
    _Atomic uint64_t passed;
    weft_wg wg;
};

static void ring_member(struct ring *r, int me) {
    struct ring_token t;
    while (weft_recv(r->link[me], &t)) {
        t.hops++;
        atomic_fetch_add(&r->passed, 1);
        if (t.left-- == 0)
            STRESS_CHECK(weft_send(r->out, t));
        else
            STRESS_CHECK(weft_send(r->link[(me + 1) % r->members], t));
    }
    STRESS_CHECK(errno == EPIPE);
}

static uint64_t ring_round(struct ring *r, struct stress_rand *rand) {
    int left[RING_TOKENS];
    uint64_t expected = 0;
    memset(r, 0, sizeof *r);
    r->members = RING_TOKENS + 1 + stress_below(rand, RING_MOST - RING_TOKENS);
    r->tokens = 1 + stress_below(rand, RING_TOKENS); /* fewer than members: it can't fill up */
    r->out = weft_chan_make(struct ring_token,
                            RING_TOKENS); /* main still sends while the first come out */
    for (int i = 0; i < r->members; i++)
        r->link[i] = weft_chan_make(struct ring_token, (size_t)stress_below(rand, 3));
    for (int i = 0; i < r->members; i++)
        weft_wg_go(&r->wg, ring_member, r, i);
    for (int i = 0; i < r->tokens; i++) {
        struct ring_token t = {i, stress_below(rand, stress_scale(2000)), 0};
        left[i] = t.left;
        expected += (uint64_t)t.left + 1;
        STRESS_CHECK(weft_send(r->link[stress_below(rand, r->members)], t));
    }
    for (int i = 0; i < r->tokens; i++) {
        struct ring_token t;
        STRESS_CHECK(weft_recv(r->out, &t));
        STRESS_CHECK(t.id >= 0 && t.id < r->tokens && left[t.id] >= 0);
        STRESS_CHECK(t.hops == left[t.id] + 1);
        left[t.id] = -1; /* each comes out once */
    }
    for (int i = 0; i < r->members; i++)
        weft_chan_close(r->link[i]);
    weft_wg_wait(&r->wg);
    STRESS_CHECK(atomic_load(&r->passed) == expected);
    for (int i = 0; i < r->members; i++)
        weft_chan_unref(r->link[i]);
    weft_chan_unref(r->out);
    return expected;
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    struct stress_rand rand = stress_begin("ring");
    struct ring *ring = malloc(sizeof *ring);
    uint64_t hops = 0;
    int rounds = 0;
    do {
        hops += ring_round(ring, &rand);
        rounds++;
    } while (stress_more());
    free(ring);
    return stress_passed("%d rings, %" PRIu64 " hops", rounds, hops);
}
WEFT_MAIN(app)
