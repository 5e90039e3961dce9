/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of goroutines known as skynet: each node starts ten and sends the sum of what they send;
 * the leaves send their numbers.  Starting, one wake-up a channel and ending, nothing else.
 */
#include "stress.h"

enum { SKYNET_LEAVES = 10000, SKYNET_WAYS = 10 };

static void skynet(weft_chan(long) to, long first, long size) {
    if (size == 1) {
        weft_send(to, first);
        return;
    }
    weft_chan(long) from = weft_chan_make(long, 0);
    long part = size / SKYNET_WAYS, sum = 0, got = 0;
    for (int i = 0; i < SKYNET_WAYS; i++)
        STRESS_CHECK(weft_go(skynet, from, first + i * part, part) == 0);
    for (int i = 0; i < SKYNET_WAYS; i++) {
        STRESS_CHECK(weft_recv(from, &got));
        sum += got;
    }
    weft_chan_unref(from); /* each child's send has been taken: nobody waits here any more */
    weft_send(to, sum);
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    struct stress_rand rand = stress_begin("skynet");
    weft_chan(long) result = weft_chan_make(long, 0);
    long rounds = 0, expected = (long)SKYNET_LEAVES * (SKYNET_LEAVES - 1) / 2;
    do {
        long sum = 0, first = stress_below(&rand, 1000);
        STRESS_CHECK(weft_go(skynet, result, first, (long)SKYNET_LEAVES) == 0);
        STRESS_CHECK(weft_recv(result, &sum));
        if (sum != expected + first * SKYNET_LEAVES)
            STRESS_FAIL("the sum is %ld", sum);
        rounds++;
    } while (stress_more());
    weft_chan_unref(result);
    while (weft_num_goroutine() != 1)
        weft_yield();
    return stress_passed("%ld trees of %d leaves", rounds, SKYNET_LEAVES);
}
WEFT_MAIN(app)
