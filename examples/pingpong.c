/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two players and a ball: one goroutine on each side of two unbuffered channels.
 *
 * Each hit parks one player and readies the other, with the ball handed over directly: the smallest
 * thing that a scheduler does. stdout has the first hits, stderr what a round trip took.
 * Usage: pingpong [round trips]
 */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

enum { SHOWN = 3 };

static void player(weft_chan(long) in, weft_chan(long) out) {
    long hits;
    while (weft_recv(in, &hits)) {
        if (hits <= 2 * SHOWN)
            printf("pong %ld\n", hits);
        weft_send(out, hits + 1);
    }
    weft_chan_close(out); /* says goodbye in turn */
}

static int app(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 200000;
    weft_chan(long) there = weft_chan_make(long, 0);
    weft_chan(long) back = weft_chan_make(long, 0);
    weft_go(player, there, back);

    long hits = 0;
    weft_time start = weft_now();
    for (long i = 0; i < rounds; i++) {
        hits++;
        if (hits <= 2 * SHOWN)
            printf("ping %ld\n", hits);
        weft_send(there, hits);
        weft_recv(back, &hits);
    }
    weft_time spent = weft_now() - start;

    weft_chan_close(there);
    weft_recv(back, NULL); /* false at once when the player has closed it */
    printf("%ld hits\n", hits);
    fprintf(stderr, "%.1f ns a round trip\n", rounds > 0 ? (double)spent / (double)rounds : 0.0);
    return 0;
}

WEFT_MAIN(app)
