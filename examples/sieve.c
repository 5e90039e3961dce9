/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prime sieve: one goroutine for each prime found so far, in a chain of channels.
 *
 *     generate --2 3 4 5 6 7--> filter 2 --3 5 7--> filter 3 --5 7--> ...
 *
 * The head of the chain is always the next prime. Usage: sieve [how many primes]
 */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

/* 2, 3, 4, ... for ever: each send waits until the first filter takes the number. */
static void generate(weft_chan(int) out) {
    for (int n = 2; weft_send(out, n); n++)
        continue;
}

/* Passes on what the prime does not divide. */
static void filter(weft_chan(int) in, weft_chan(int) out, int prime) {
    int n;
    while (weft_recv(in, &n))
        if (n % prime != 0)
            weft_send(out, n);
}

static int app(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 25;
    weft_chan(int) head = weft_chan_make(int, 0);
    weft_go(generate, head);
    for (int i = 0; i < count; i++) {
        int prime;
        weft_recv(head, &prime);
        printf("%d\n", prime);
        weft_chan(int) next = weft_chan_make(int, 0);
        weft_go(filter, head, next, prime);
        head = next;
    }
    return 0; /* ends the program, and with it every goroutine of the chain */
}

WEFT_MAIN(app)
