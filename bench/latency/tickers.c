/* SPDX-License-Identifier: Apache-2.0 */
/* A goroutine that wants to run each millisecond, beside four hogs: how late is it? */
#include "latency.h"

#include <stdlib.h>

enum { ROOM = 100000 };

static _Atomic bool over;
static i64 late[ROOM];
static size_t n;

static void hog(void) {
    for (;;)
        __asm__ volatile("");
}

static void start_hogs(void) {
    for (int i = 0; i < 4; i++)
        CHECK(weft_go(hog) == 0, "out of goroutines");
}

/* Late by the first tick that was due when it had begun to wait; those missed meanwhile aside. */
static void takes_ticks(weft_wg *wg) {
    weft_ticker *ticker = weft_ticker_new(MS);
    i64 start = lat_clock();
    while (!over && n < ROOM) {
        i64 due = start + ((lat_clock() - start) / MS + 1) * MS;
        CHECK(weft_recv(weft_ticker_chan(ticker), NULL), "the ticker's channel");
        late[n++] = lat_clock() - due;
    }
    weft_ticker_unref(ticker);
    weft_wg_done(wg);
}

static void sleeps(weft_wg *wg) {
    while (!over && n < ROOM) {
        i64 start = lat_clock();
        weft_sleep(MS);
        late[n++] = lat_clock() - start - MS;
    }
    weft_wg_done(wg);
}

static void run(void (*what)(weft_wg *), const char *prefix) {
    weft_wg wg = WEFT_WG_INIT;
    weft_wg_add(&wg, 1);
    start_hogs();
    CHECK(weft_go(what, &wg) == 0, "out of goroutines");
    weft_sleep(lat_window);
    over = true;
    weft_wg_wait(&wg);
    lat_row((double)n, "%s_n", prefix);
    lat_row_percentiles(prefix, late, n);
}

static void run_ticker(void) {
    run(takes_ticks, "ticker");
}

static void run_sleep(void) {
    run(sleeps, "sleep1ms");
}

const struct lat_case lat_tickers[] = {
    {.name = "ticker", .run = run_ticker},
    {.name = "sleep1ms", .run = run_sleep},
    {0},
};
