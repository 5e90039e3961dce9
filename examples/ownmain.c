/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose main() is its own: the runtime runs in the background, as one library of several.
 *
 * Between weft_start and weft_stop any thread may start goroutines, use channels, take locks and
 * sleep; a thread that is no goroutine waits as threads do. Here two pthreads and the main thread
 * share a channel pair with eight goroutines.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <weft.h>

enum { GOROUTINES = 8, NUMBERS = 1000 };

struct pair {
    weft_chan(int) in;
    weft_chan(int) out;
};

static void doubler(weft_chan(int) in, weft_chan(int) out) {
    int n;
    while (weft_recv(in, &n))
        weft_send(out, 2 * n);
}

/* A plain POSIX thread: it feeds half of the numbers, and blocks in weft_send like in write(2). */
static void *feed(void *arg) {
    struct pair *pair = arg;
    for (int n = 1; n <= NUMBERS / 2; n++)
        weft_send(pair->in, n);
    return NULL;
}

int main(void) {
    if (weft_start() != 0) {
        perror("weft_start");
        return 1;
    }
    struct pair pair = {weft_chan_make(int, 0), weft_chan_make(int, 16)};
    weft_wg doublers = WEFT_WG_INIT;
    for (int i = 0; i < GOROUTINES; i++)
        weft_wg_go(&doublers, doubler, pair.in, pair.out);

    pthread_t feeder[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&feeder[i], NULL, feed, &pair) != 0)
            return 1;

    int n, sum = 0;
    for (int i = 0; i < NUMBERS; i++)
        if (weft_recv(pair.out, &n))
            sum += n;
    printf("main thread: id %d, not a goroutine\n", (int)weft_id());
    printf("%d numbers from 2 threads, doubled by %d goroutines: %d\n", NUMBERS, GOROUTINES, sum);

    for (int i = 0; i < 2; i++)
        pthread_join(feeder[i], NULL);
    weft_chan_close(pair.in); /* the doublers' loops end */
    weft_wg_wait(&doublers);
    weft_chan_unref(pair.in);
    weft_chan_unref(pair.out);

    while (weft_stop() != 0 && errno == EBUSY) /* a goroutine is on its last instructions */
        weft_sleep(WEFT_MILLISECOND);
    printf("the runtime is gone, the program goes on\n");
    return 0;
}
