/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker pool that stops as one: a group of goroutines under a common context.
 *
 * The first member that returns an error cancels the group's context. Every other member is parked
 * in a send or a receive at that moment or comes to one soon: the call fails with ECANCELED and the
 * member goes home. Nobody passes a context around; a goroutine always runs under one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { JOBS = 100, WORKERS = 4 };

static int hand_out(weft_chan(int) jobs) {
    for (int job = 1; job <= JOBS; job++)
        if (!weft_send(jobs, job))
            return errno; /* ECANCELED: somebody failed */
    weft_chan_close(jobs);
    return 0;
}

/* Adds up the jobs it gets, one millisecond each; job number `poison` fails. */
static int work(weft_chan(int) jobs, weft_chan(long) results, int poison) {
    int job;
    long sum = 0;
    while (weft_recv(jobs, &job)) {
        if (job == poison)
            return EINVAL;
        if (!weft_sleep(WEFT_MILLISECOND))
            return errno;
        sum += job;
    }
    if (errno != EPIPE) /* EPIPE: closed and drained, the ordinary end */
        return errno;
    return weft_send(results, sum) ? 0 : errno;
}

static void run(const char *title, int poison) {
    weft_chan(int) jobs = weft_chan_make(int, 0);
    weft_chan(long) results = weft_chan_make(long, WORKERS);
    weft_group pool = WEFT_GROUP_INIT;
    weft_group_go(&pool, hand_out, jobs);
    for (int i = 0; i < WORKERS; i++)
        weft_group_go(&pool, work, jobs, results, poison);

    int error = weft_group_wait(&pool); /* until all have ended: 0, or the first error */
    if (error != 0) {
        printf("%s: %s, and the rest of the pool went home\n", title, strerror(error));
    } else {
        long sum = 0, part;
        while (weft_try_recv(results, &part))
            sum += part;
        printf("%s: %d jobs done, their sum is %ld\n", title, JOBS, sum);
    }
    weft_chan_unref(jobs);
    weft_chan_unref(results);
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    run("a good day", 0);
    run("a bad day", 42);
    return 0;
}

WEFT_MAIN(app)
