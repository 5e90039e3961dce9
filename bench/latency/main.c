/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft-latency CASE P: runs one case under GOMAXPROCS=P and prints its rows,
 *
 *     row<TAB>value
 *
 * Exit status: 0, 77 when there is no such case (at this P), 1 when a verification failed.
 * Without arguments it lists the cases. SECONDS (environment; 5) is how long a measurement takes.
 */
#include "latency.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NO_SUCH_CASE = 77 };

int lat_p;
i64 lat_window = 5000 * MS;
static const struct lat_case *const tables[] = {
    lat_hogs, lat_handoffs, lat_tickers, lat_calls, lat_threads,
};

/* ---- rows ---- */

void lat_row(double value, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\t%.3f\n", value);
}

static int by_value(const void *a, const void *b) {
    i64 x = *(const i64 *)a, y = *(const i64 *)b;
    return (x > y) - (x < y);
}

void lat_sort(i64 *values, size_t n) {
    qsort(values, n, sizeof *values, by_value);
}

i64 lat_percentile(const i64 *sorted, size_t n, double p) {
    double exact = p * (double)n;
    size_t rank = (size_t)exact;
    if ((double)rank < exact)
        rank++;
    return sorted[rank > 0 ? rank - 1 : 0];
}

void lat_row_percentiles(const char *prefix, i64 *values, size_t n) {
    CHECK(n > 0, "%s: nothing was measured", prefix);
    lat_sort(values, n);
    lat_row((double)lat_percentile(values, n, .5) / 1e3, "%s_p50_us", prefix);
    lat_row((double)lat_percentile(values, n, .99) / 1e3, "%s_p99_us", prefix);
    lat_row((double)values[n - 1] / 1e3, "%s_max_us", prefix);
}

_Noreturn void lat_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("VERIFY FAILED: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    _exit(1);
}

/* ---- the process ---- */

i64 lat_process_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (i64)t.tv_sec * 1000 * MS + t.tv_nsec;
}

int lat_thread_count(void) {
    char line[256];
    int n = 0;
    FILE *status = fopen("/proc/self/status", "re");
    CHECK(status != NULL, "no /proc/self/status");
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "Threads:", 8) == 0)
            n = atoi(line + 8);
    fclose(status);
    return n;
}

/* ---- the ping-pong ---- */

static void serves(struct lat_pair *pair) {
    i64 ball;
    for (i64 i = 0; !pair->stop; i++) {
        weft_send(pair->there, i);
        weft_recv(pair->back, &ball);
        CHECK(ball == i + 1, "ping-pong");
        atomic_store_explicit(&pair->rounds, i + 1, memory_order_relaxed);
    }
    weft_chan_close(pair->there);
}

static void returns(struct lat_pair *pair) {
    i64 ball;
    while (weft_recv(pair->there, &ball))
        weft_send(pair->back, ball + 1);
}

void lat_pair_start(struct lat_pair *pair) {
    *pair = (struct lat_pair){.there = weft_chan_make(i64, 0), .back = weft_chan_make(i64, 0)};
    weft_wg_go(&pair->players, serves, pair);
    weft_wg_go(&pair->players, returns, pair);
}

void lat_pair_stop(struct lat_pair *pair) {
    pair->stop = true;
    weft_wg_wait(&pair->players);
    weft_chan_unref(pair->there);
    weft_chan_unref(pair->back);
}

double lat_pair_alone(struct lat_pair *pair) {
    i64 start = lat_clock(), before = pair->rounds;
    weft_sleep(500 * MS);
    return (double)(pair->rounds - before) * 1e9 / (double)(lat_clock() - start);
}

/* ---- the program ---- */

static const struct lat_case *find(const char *name) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct lat_case *c = tables[t]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

static void list(void) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct lat_case *c = tables[t]; c->name != NULL; c++)
            puts(c->name);
}

static int app(int argc, char **argv) {
    (void)argc;
    const struct lat_case *c = find(argv[1]);
    if (c == NULL || (c->only_p != 0 && c->only_p != lat_p))
        _exit(NO_SUCH_CASE);
    c->run();
    fflush(stdout);
    _exit(0); /* most cases leave goroutines that compute for ever */
}

int main(int argc, char **argv) {
    if (argc < 3) {
        list();
        return 2;
    }
    lat_p = atoi(argv[2]);
    const char *seconds = getenv("SECONDS");
    if (seconds != NULL && atof(seconds) > 0)
        lat_window = (i64)(atof(seconds) * 1e9);
    if (lat_p < 1) {
        fprintf(stderr, "weft-latency: not a number of Ps: %s\n", argv[2]);
        return 2;
    }
    char procs[16];
    snprintf(procs, sizeof procs, "%d", lat_p);
    setenv("WEFT_MAXPROCS", procs, 1); /* before the runtime starts, so that it starts with P Ps */
    return weft_run(app, argc, argv);
}
