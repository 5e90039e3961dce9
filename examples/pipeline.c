/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline with a wide middle: one source, four workers, one sink.
 *
 *               +--> square --+
 *     count ----+--> square --+---> app
 *               +--> square --+
 *               +--> square --+
 *
 * A stage owns the end of its output: whoever sends last closes it, and the close runs down the
 * pipeline as the loops `while (weft_recv(...))` end one after the other.
 */
#include <stdio.h>
#include <weft.h>

enum { LAST = 10, WORKERS = 4 };

struct item { /* channels carry any type by value, structs too */
    int n;
    long square;
};

static void count(weft_chan(int) out) {
    for (int n = 1; n <= LAST; n++)
        weft_send(out, n);
    weft_chan_close(out);
}

static void square(weft_chan(int) in, weft_chan(struct item) out) {
    int n;
    while (weft_recv(in, &n))
        weft_send(out, (struct item){n, (long)n * n});
}

/* Four workers share `out`, so none of them may close it: this one does, after the last. */
static void square_all(weft_chan(int) in, weft_chan(struct item) out) {
    weft_wg workers = WEFT_WG_INIT;
    for (int i = 0; i < WORKERS; i++)
        weft_wg_go(&workers, square, in, out);
    weft_wg_wait(&workers);
    weft_chan_close(out);
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    weft_chan(int) numbers = weft_chan_make(int, 0);
    weft_chan(struct item) squares = weft_chan_make(struct item, 0);
    weft_wg stages = WEFT_WG_INIT;
    weft_wg_go(&stages, count, numbers);
    weft_wg_go(&stages, square_all, numbers, squares);

    struct item item;
    long found[LAST + 1] = {0}, sum = 0;
    while (weft_recv(squares, &item)) /* in any order: the workers race */
        found[item.n] = item.square;
    for (int n = 1; n <= LAST; n++) {
        printf("%2d squared is %3ld\n", n, found[n]);
        sum += found[n];
    }
    printf("and their sum is %ld\n", sum);

    weft_wg_wait(&stages); /* nobody uses the channels any more */
    weft_chan_unref(numbers);
    weft_chan_unref(squares);
    return 0;
}

WEFT_MAIN(app)
