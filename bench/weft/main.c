/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft-bench CASE P: runs one case under GOMAXPROCS=P and prints its rows,
 *
 *     weft<TAB>case<TAB>P<n><TAB>best<TAB>median
 *
 * Exit status: 0, 77 when there is no such case (at this P), 1 when a verification failed.
 * Without arguments it lists the cases.
 *
 * A case runs K times (environment; 5) after a warm-up, and stops early once it has used 20
 * seconds.
 */
#include "bench.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MAX_REPS = 32, NO_SUCH_CASE = 77 };

int bench_p;
static i64 scale = 1;
static const struct bench_case *const tables[] = {
    bench_switch, bench_spawn, bench_chans, bench_select, bench_locks, bench_time, bench_memory,
};

i64 bench_n(i64 full) {
    return full / scale;
}

i64 bench_cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * (i64)1000000000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * (i64)1000;
}

i64 bench_mem_bytes(void) {
    char line[256];
    i64 kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL, "no /proc/self/status");
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0 || strncmp(line, "VmPTE:", 6) == 0)
            kb += atol(line + 6);
    fclose(status);
    return kb * 1024;
}

static int by_value(const void *a, const void *b) {
    i64 x = *(const i64 *)a, y = *(const i64 *)b;
    return (x > y) - (x < y);
}

void bench_sort(i64 *values, size_t n) {
    qsort(values, n, sizeof *values, by_value);
}

double bench_percentile(const i64 *sorted, size_t n, double p) {
    double exact = p * (double)n;
    size_t rank = (size_t)exact;
    if ((double)rank < exact)
        rank++;
    return (double)sorted[rank > 0 ? rank - 1 : 0];
}

uint64_t bench_xorshift(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

void bench_await(const _Atomic i64 *counter, i64 want) {
    while (atomic_load(counter) < want)
        weft_yield();
}

_Noreturn void bench_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("VERIFY FAILED: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    _exit(1);
}

static int by_number(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_rows(const struct bench_case *c, double values[][MAX_REPS], int reps) {
    char names[256], *rest = NULL;
    snprintf(names, sizeof names, "%s", c->rows != NULL ? c->rows : c->name);
    int i = 0;
    for (char *name = strtok_r(names, " ", &rest); name != NULL;
         name = strtok_r(NULL, " ", &rest), i++) {
        qsort(values[i], (size_t)reps, sizeof values[i][0], by_number);
        printf("weft\t%s\tP%d\t%.2f\t%.2f\n", name, bench_p, values[i][0], values[i][reps / 2]);
    }
    fflush(stdout);
}

static int wanted_reps(const struct bench_case *c) {
    const char *k = getenv("K");
    int reps = k != NULL ? atoi(k) : 5;
    if (reps < 1 || reps > MAX_REPS)
        reps = 5;
    return c->max_reps > 0 && c->max_reps < reps ? c->max_reps : reps;
}

static void run_case(const struct bench_case *c) {
    static double values[BENCH_MAX_ROWS][MAX_REPS];
    double out[BENCH_MAX_ROWS] = {0};
    int wanted = wanted_reps(c), reps = 0;
    if (c->warm) {
        scale = 10;
        c->run(out);
        scale = 1;
    }
    weft_time start = weft_now();
    while (reps < wanted && weft_now() - start < 20 * WEFT_SECOND) {
        c->run(out);
        for (int i = 0; i < BENCH_MAX_ROWS; i++)
            values[i][reps] = out[i];
        reps++;
    }
    print_rows(c, values, reps);
}

static const struct bench_case *find(const char *name) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct bench_case *c = tables[t]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

static void list(void) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct bench_case *c = tables[t]; c->name != NULL; c++)
            puts(c->name);
}

static int app(int argc, char **argv) {
    (void)argc;
    const struct bench_case *c = find(argv[1]);
    if (c == NULL || (c->only_p != 0 && c->only_p != bench_p))
        return NO_SUCH_CASE;
    run_case(c);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        list();
        return 2;
    }
    bench_p = atoi(argv[2]);
    if (bench_p < 1) {
        fprintf(stderr, "weft-bench: not a number of Ps: %s\n", argv[2]);
        return 2;
    }
    char procs[16];
    snprintf(procs, sizeof procs, "%d", bench_p);
    setenv("WEFT_MAXPROCS", procs, 1); /* before the runtime starts, so that it starts with P Ps */
    int status = weft_run(app, argc, argv);
    fflush(stdout);
    _exit(status); /* some cases leave goroutines parked for ever */
}
