/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that a program has at the height of things, and ten seconds after. */
#include "latency.h"

#include <unistd.h>

enum { HOGS = 100, CALLS = 500 };

static _Atomic bool stop;
static _Atomic int inside;
static int ends[2];
static weft_wg wg;

static void hog(void) {
    inside++;
    while (!stop)
        __asm__ volatile("");
}

static void reads_byte(bool bracket) {
    char byte;
    inside++;
    ssize_t n = bracket ? weft_block(read(ends[0], &byte, 1)) : read(ends[0], &byte, 1);
    CHECK(n == 1, "read");
}

static void await_inside(int n) {
    for (int waits = 0; inside < n; waits++) {
        CHECK(waits < 2000, "%d of %d came to work", inside, n);
        weft_sleep(10 * MS);
    }
    weft_sleep(500 * MS);
}

static void rows(const char *name, int peak) {
    weft_wg_wait(&wg);
    lat_row(peak, "%s_peak", name);
    weft_sleep(10000 * MS);
    lat_row(lat_thread_count(), "%s_10s_later", name);
}

static void run_hogs(void) {
    for (int i = 0; i < HOGS; i++)
        weft_wg_go(&wg, hog);
    await_inside(HOGS);
    int peak = lat_thread_count();
    stop = true;
    rows("threads_hogs100", peak);
}

static void run_calls(bool bracket, const char *name) {
    static const char bytes[CALLS];
    CHECK(pipe(ends) == 0, "pipe");
    for (int i = 0; i < CALLS; i++)
        weft_wg_go(&wg, reads_byte, bracket);
    await_inside(CALLS);
    int peak = lat_thread_count();
    CHECK(write(ends[1], bytes, CALLS) == CALLS, "write");
    rows(name, peak);
}

static void run_plain(void) {
    run_calls(false, "threads_calls500");
}

static void run_block(void) {
    run_calls(true, "threads_block500");
}

const struct lat_case lat_threads[] = {
    {.name = "threads_hogs100", .only_p = 2, .run = run_hogs},
    {.name = "threads_calls500", .only_p = 2, .run = run_plain},
    {.name = "threads_block500", .only_p = 2, .run = run_block},
    {0},
};
