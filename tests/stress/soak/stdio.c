/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several goroutines print to one FILE, which is a pipe, so they block in it, too, under its lock.
 * One reads the other end and finds every line whole, and each printer's lines in their order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "soak.h"

enum { PRINTERS = 8 };

struct file {
    FILE *out;
    int in;
    long next[PRINTERS]; /* the reader's */
};

void *soak_file_make(void) {
    struct file *f = calloc(1, sizeof *f);
    int ends[2];
    SOAK_CHECK(f != NULL && pipe2(ends, O_CLOEXEC) == 0);
    f->in = ends[0];
    f->out = fdopen(ends[1], "w");
    SOAK_CHECK(f->out != NULL);
    return f;
}

void soak_file_close(void *shared) {
    struct file *f = shared;
    SOAK_CHECK(!ferror(f->out));
    SOAK_CHECK(fclose(f->out) == 0);
}

void soak_file_end(void *shared) {
    struct file *f = shared;
    close(f->in);
    free(f);
}

void soak_prints(struct soak_worker *w) {
    struct file *f = w->shared;
    do {
        for (int i = 0; i < 50; i++, w->done++)
            SOAK_CHECK(fprintf(f->out, "printer %d writes line %ld, %s %08" PRIx64 "\n", w->me,
                               w->done, "and its word is", (uint64_t)w->done * 2654435761u) > 0);
        soak_rest(w);
    } while (soak_more());
}

static void check_line(struct file *f, const char *line) {
    int me = -1;
    long n = -1;
    uint64_t word = 0;
    if (sscanf(line, "printer %d writes line %ld, and its word is %" SCNx64, &me, &n, &word) != 3 ||
        me < 0 || me >= PRINTERS || n != f->next[me] || word != (uint64_t)n * 2654435761u)
        soak_fail(__FILE__, __LINE__, "line %ld of printer %d is \"%s\"",
                  me >= 0 && me < PRINTERS ? f->next[me] : -1, me, line);
    f->next[me]++;
}

void soak_reads_lines(struct soak_worker *w) {
    struct file *f = w->shared;
    char buffer[4096];
    size_t have = 0;
    for (;;) {
        ssize_t n = read(f->in, buffer + have, sizeof buffer - 1 - have);
        SOAK_CHECK(n >= 0);
        if (n == 0)
            break;
        have += (size_t)n;
        char *at = buffer, *end;
        while ((end = memchr(at, '\n', have - (size_t)(at - buffer))) != NULL) {
            *end = '\0';
            check_line(f, at);
            at = end + 1;
            w->done++;
        }
        have -= (size_t)(at - buffer);
        memmove(buffer, at, have);
        SOAK_CHECK(have < 200);
        soak_rest(w);
    }
    SOAK_CHECK(have == 0);
}
