/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scheduler trace prints, taken in and read.
 *
 * Capture: trace_capture() puts a memory file in place of stderr, so a test can look at the lines
 * while the program that prints them still runs, and wait for a line instead of for a time span.
 * trace_release() puts the old stderr back, which a CHECK needs for its message to be seen; what
 * was captured can be read until trace_end().
 *
 * Reading: the parsers take one line without its newline and accept exactly the format of the
 * contract: no blank more, no field missing, no sign, no leading zero, nothing behind the end.
 * Tools cut these lines at fixed words, so a lenient parser would hide a break of the contract.
 *
 * A "group" is a SCHED line with the P, M and G lines that belong to it.  The last group of a text
 * may still be in the making and is never looked at.
 */
#ifndef WEFT_TEST_TRACE_H
#define WEFT_TEST_TRACE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <weft.h>

enum { TRACE_MAX_P = 1024, TRACE_NIL = -1, TRACE_PATIENCE_MS = 20000 };

/* SCHED line; the fields from gcwaiting on and needspinning are set when detail is. */
struct trace_sched {
    long ms, gomaxprocs, idleprocs, threads, spinning, needspinning, idlethreads, runqueue;
    bool detail;
    long nlocal; /* entries of the bracket */
    long local[TRACE_MAX_P];
    bool gcwaiting, sysmonwait;
    long nmidlelocked, stopwait;
};

struct trace_p {
    long id, status, schedtick, syscalltick, m, runqsize, gfreecnt, timerslen;
};

struct trace_m {
    long id, p, curg, mallocing, throwing, locks, dying, lockedg;
    bool spinning, blocked;
};

struct trace_g {
    long id, status, m, lockedm;
    char reason[64]; /* "" when the goroutine does not wait */
};

/* ---- words of a line ---- */

static inline bool trace_word(const char **at, const char *word) {
    size_t n = strlen(word);
    if (strncmp(*at, word, n) != 0)
        return false;
    *at += n;
    return true;
}

static inline bool trace_digits(const char **at, long *value) {
    const char *s = *at;
    if (*s < '0' || *s > '9' || (*s == '0' && s[1] >= '0' && s[1] <= '9'))
        return false;
    char *end;
    *value = strtol(s, &end, 10);
    *at = end;
    return true;
}

static inline bool trace_number(const char **at, const char *word, long *value) {
    return trace_word(at, word) && trace_digits(at, value);
}

static inline bool trace_id(const char **at, const char *word, long *value) {
    if (!trace_word(at, word))
        return false;
    if (!trace_word(at, "nil"))
        return trace_digits(at, value);
    *value = TRACE_NIL;
    return true;
}

static inline bool trace_truth(const char **at, const char *word, bool *value) {
    if (!trace_word(at, word))
        return false;
    *value = trace_word(at, "true");
    return *value || trace_word(at, "false");
}

/* ---- the four kinds of line ---- */

static inline bool trace_bracket(const char **at, struct trace_sched *s) {
    if (!trace_word(at, " ["))
        return false;
    for (s->nlocal = 0; s->nlocal < TRACE_MAX_P; s->nlocal++) {
        if (s->nlocal > 0 && !trace_word(at, " "))
            break;
        if (!trace_digits(at, &s->local[s->nlocal]))
            return false;
    }
    return trace_word(at, "]");
}

static inline bool trace_parse_sched(const char *line, bool detail, struct trace_sched *s) {
    const char *at = line;
    s->detail = detail;
    s->needspinning = 0;
    bool ok = trace_number(&at, "SCHED ", &s->ms) && trace_word(&at, "ms:") &&
              trace_number(&at, " gomaxprocs=", &s->gomaxprocs) &&
              trace_number(&at, " idleprocs=", &s->idleprocs) &&
              trace_number(&at, " threads=", &s->threads) &&
              trace_number(&at, " spinningthreads=", &s->spinning) &&
              (!detail || trace_number(&at, " needspinning=", &s->needspinning)) &&
              trace_number(&at, " idlethreads=", &s->idlethreads) &&
              trace_number(&at, " runqueue=", &s->runqueue);
    if (!detail)
        return ok && trace_bracket(&at, s) && *at == '\0';
    return ok && trace_truth(&at, " gcwaiting=", &s->gcwaiting) &&
           trace_number(&at, " nmidlelocked=", &s->nmidlelocked) &&
           trace_number(&at, " stopwait=", &s->stopwait) &&
           trace_truth(&at, " sysmonwait=", &s->sysmonwait) && *at == '\0';
}

static inline bool trace_parse_p(const char *line, struct trace_p *p) {
    const char *at = line;
    return trace_number(&at, "  P", &p->id) && trace_number(&at, ": status=", &p->status) &&
           trace_number(&at, " schedtick=", &p->schedtick) &&
           trace_number(&at, " syscalltick=", &p->syscalltick) && trace_id(&at, " m=", &p->m) &&
           trace_number(&at, " runqsize=", &p->runqsize) &&
           trace_number(&at, " gfreecnt=", &p->gfreecnt) &&
           trace_number(&at, " timerslen=", &p->timerslen) && *at == '\0';
}

static inline bool trace_parse_m(const char *line, struct trace_m *m) {
    const char *at = line;
    bool ok = trace_number(&at, "  M", &m->id) && trace_id(&at, ": p=", &m->p) &&
              trace_id(&at, " curg=", &m->curg) &&
              trace_number(&at, " mallocing=", &m->mallocing) &&
              trace_number(&at, " throwing=", &m->throwing) && trace_word(&at, " preemptoff=");
    while (ok && *at != ' ' && *at != '\0')
        at++; /* the reason why preemption is off, or nothing */
    return ok && trace_number(&at, " locks=", &m->locks) &&
           trace_number(&at, " dying=", &m->dying) &&
           trace_truth(&at, " spinning=", &m->spinning) &&
           trace_truth(&at, " blocked=", &m->blocked) && trace_id(&at, " lockedg=", &m->lockedg) &&
           *at == '\0';
}

static inline bool trace_parse_g(const char *line, struct trace_g *g) {
    const char *at = line;
    if (!trace_number(&at, "  G", &g->id) || !trace_number(&at, ": status=", &g->status) ||
        !trace_word(&at, "("))
        return false;
    /* A reason may hold brackets itself: "select (no cases)". The next field ends it. */
    const char *end = strstr(at, ") m=");
    if (end == NULL || (size_t)(end - at) >= sizeof g->reason)
        return false;
    memcpy(g->reason, at, (size_t)(end - at));
    g->reason[end - at] = '\0';
    at = end + 1;
    return trace_id(&at, " m=", &g->m) && trace_id(&at, " lockedm=", &g->lockedm) && *at == '\0';
}

/* ---- texts ---- */

/* Cuts the next line out of *text (which is changed); NULL when no whole line is left. */
static inline char *trace_next_line(char **text) {
    char *line = *text, *end = strchr(line, '\n');
    if (end == NULL)
        return NULL;
    *end = '\0';
    *text = end + 1;
    return line;
}

static inline bool trace_is_sched(const char *line) {
    return strncmp(line, "SCHED ", 6) == 0;
}

/* The start of group number `index` of the text, NULL when there is none. */
static inline const char *trace_group(const char *text, long index) {
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (trace_is_sched(line) && index-- == 0)
            return line;
        if (strchr(line, '\n') == NULL)
            break;
    }
    return NULL;
}

/* How many groups of the text are whole, that is, followed by another one. */
static inline long trace_whole_groups(const char *text) {
    long n = 0;
    while (trace_group(text, n) != NULL)
        n++;
    return n > 0 ? n - 1 : 0;
}

/* How many goroutines of group `index` wait with exactly this reason; -1 without such a group. */
static inline int trace_count_reason(const char *text, long index, const char *reason) {
    const char *at = trace_group(text, index);
    if (at == NULL || index >= trace_whole_groups(text))
        return -1;
    int n = 0;
    char line[512];
    for (at = strchr(at, '\n') + 1; *at == ' '; at = strchr(at, '\n') + 1) {
        size_t length = strcspn(at, "\n");
        struct trace_g g;
        if (length >= sizeof line)
            continue;
        memcpy(line, at, length);
        line[length] = '\0';
        if (trace_parse_g(line, &g) && g.status == 4 && strcmp(g.reason, reason) == 0)
            n++;
    }
    return n;
}

/* ---- capture ---- */

struct trace_capture {
    int memory, saved;
};

static inline struct trace_capture trace_capture(void) {
    struct trace_capture c = {memfd_create("stderr", MFD_CLOEXEC), dup(2)};
    if (c.memory < 0 || c.saved < 0 || dup2(c.memory, 2) < 0)
        abort();
    return c;
}

static inline void trace_release(struct trace_capture *c) {
    dup2(c->saved, 2);
    close(c->saved);
    c->saved = -1;
}

static inline void trace_end(struct trace_capture *c) {
    if (c->saved >= 0)
        trace_release(c);
    close(c->memory);
    c->memory = -1;
}

/* All that was written so far, to be freed. */
static inline char *trace_text(const struct trace_capture *c) {
    off_t size = lseek(c->memory, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    if (text == NULL || pread(c->memory, text, (size_t)size, 0) != size)
        abort();
    return text;
}

/* A millisecond in which the caller looks busy: a call that blocks could cost it its P. */
static inline void trace_spin(void) {
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - from.tv_sec) * 1000000000L + now.tv_nsec - from.tv_nsec < 1000000);
}

/*
 * Waits, without giving the P away, for a group that began after this call, and returns the text
 * up to and with it; *index is its number.  NULL when none came in a long time.
 */
static inline char *trace_await_group(const struct trace_capture *c, long *index) {
    char *text = trace_text(c);
    long before = trace_whole_groups(text) + 1; /* the one in the making began before us */
    for (int ms = 0; ms < TRACE_PATIENCE_MS; ms++) {
        free(text);
        text = trace_text(c);
        if (trace_whole_groups(text) > before) {
            *index = before;
            return text;
        }
        trace_spin();
    }
    free(text);
    return NULL;
}

/*
 * Waits until a group shows at least n goroutines that wait with this reason.  The caller sleeps
 * meanwhile, so the others run.  False when it did not happen in a long time.
 */
static inline bool trace_await_reason(const struct trace_capture *c, const char *reason, int n) {
    for (int ms = 0; ms < TRACE_PATIENCE_MS; ms += 5) {
        char *text = trace_text(c);
        bool seen = false;
        for (long i = 0, groups = trace_whole_groups(text); i < groups && !seen; i++)
            seen = trace_count_reason(text, i, reason) >= n;
        free(text);
        if (seen)
            return true;
        weft_sleep(5 * WEFT_MILLISECOND);
    }
    return false;
}

/* Runs fn(arg) in a goroutine and tells whether it is seen parked with the reason. */
static inline bool trace_sees(void (*fn)(void *), void *arg, const char *reason) {
    struct trace_capture c = trace_capture();
    weft_go(fn, arg);
    bool seen = trace_await_reason(&c, reason, 1);
    trace_end(&c);
    return seen;
}

#endif
