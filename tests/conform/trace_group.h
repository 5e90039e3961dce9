/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler trace, group by group: a SCHED line and the P, M and G lines that follow it, parsed
 * strictly (trace.h) and held to what is true at every moment.
 *
 * run_caught() runs a body in a weft_run whose stderr is caught from the first line on, so the body
 * can look at the trace while it makes the load.  A check that fails meanwhile puts the old stderr
 * back first, or its message would be caught too.
 */
#ifndef WEFT_TEST_TRACE_GROUP_H
#define WEFT_TEST_TRACE_GROUP_H

#include "trace.h"
#include "weft_test.h"

static struct trace_capture caught = {-1, -1};

static inline bool uncover(void) {
    if (caught.saved >= 0)
        trace_release(&caught);
    return true;
}

#undef CHECK
#define CHECK(cond)                                                                                \
    ((cond) ? (void)0 : (uncover() ? test_failed(__FILE__, __LINE__, "CHECK(%s)", #cond) : (void)0))
#undef CHECK_EQ
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long check_a = (long long)(a), check_b = (long long)(b);                              \
        if (check_a != check_b)                                                                    \
            uncover();                                                                             \
        test_check_eq(__FILE__, __LINE__, #a, #b, check_a, check_b);                               \
    } while (0)
#undef FAIL
#define FAIL(...) (uncover() ? test_failed(__FILE__, __LINE__, __VA_ARGS__) : (void)0)

/* ---- groups, parsed ---- */

enum { RING = 256 }; /* slots of a P's queue */
enum { MAX_P = 16, MAX_M = 256, MAX_G = 1024 };

struct group {
    struct trace_sched s;
    int np, nm, ng;
    struct trace_p p[MAX_P];
    struct trace_m m[MAX_M];
    struct trace_g g[MAX_G];
};

static inline void check_bounds(const struct trace_sched *s) {
    CHECK(s->gomaxprocs >= 1);
    CHECK(s->idleprocs <= s->gomaxprocs);
    CHECK(s->spinning <= s->gomaxprocs);
    CHECK(s->idlethreads + s->spinning <= s->threads);
    CHECK(s->threads >= 2); /* main's and the monitor's */
    CHECK(s->needspinning <= 1);
    if (s->detail)
        return;
    CHECK_EQ(s->nlocal, s->gomaxprocs);
    for (long i = 0; i < s->nlocal; i++)
        CHECK(s->local[i] <= RING);
}

static inline void parse_detail_line(const char *line, struct group *g) {
    bool ok = false;
    /* The order is P lines, M lines, G lines: a P behind an M does not parse. */
    if (strncmp(line, "  P", 3) == 0 && g->nm == 0 && g->np < MAX_P)
        ok = trace_parse_p(line, &g->p[g->np++]);
    else if (strncmp(line, "  M", 3) == 0 && g->ng == 0 && g->nm < MAX_M)
        ok = trace_parse_m(line, &g->m[g->nm++]);
    else if (strncmp(line, "  G", 3) == 0 && g->ng < MAX_G)
        ok = trace_parse_g(line, &g->g[g->ng++]);
    if (!ok)
        FAIL("a line that does not parse: \"%s\"", line);
}

/* Parses group `index`, which must be whole. */
static inline void parse_group(const char *text, long index, bool detail, struct group *g) {
    const char *from = trace_group(text, index), *to = trace_group(text, index + 1);
    CHECK(from != NULL && to != NULL);
    char *copy = strndup(from, (size_t)(to - from)), *rest = copy;
    memset(g, 0, sizeof *g);
    char *line = trace_next_line(&rest);
    if (!trace_parse_sched(line, detail, &g->s))
        FAIL("a SCHED line that does not parse: \"%s\"", line);
    check_bounds(&g->s);
    while ((line = trace_next_line(&rest)) != NULL)
        parse_detail_line(line, g);
    CHECK_STR(rest, "");
    free(copy);
}

static inline void check_detail(const struct group *g) {
    CHECK_EQ(g->np, g->s.gomaxprocs);
    CHECK_EQ(g->nm, g->s.threads);
    CHECK(g->ng >= 1);
    for (int i = 0; i < g->np; i++) {
        CHECK_EQ(g->p[i].id, i);
        CHECK(g->p[i].status <= 4);
        CHECK(g->p[i].runqsize <= RING);
    }
    for (int i = 1; i < g->nm; i++)
        CHECK(g->m[i].id < g->m[i - 1].id); /* the newest first */
    for (int i = 0; i < g->ng; i++) {
        long status = g->g[i].status;
        CHECK(status <= 4 || status == 6 || status == 8 || status == 9);
    }
}

static inline const struct trace_m *find_m(const struct group *g, long id) {
    for (int i = 0; i < g->nm; i++)
        if (g->m[i].id == id)
            return &g->m[i];
    return NULL;
}

static inline const struct trace_g *find_g(const struct group *g, long id) {
    for (int i = 0; i < g->ng; i++)
        if (g->g[i].id == id)
            return &g->g[i];
    return NULL;
}

/* Sleeps until n groups are whole; the text, to be freed. */
static inline char *await_groups(const struct trace_capture *c, long n) {
    char *text = trace_text(c);
    for (int ms = 0; ms < TRACE_PATIENCE_MS && trace_whole_groups(text) < n; ms += 5) {
        weft_sleep(5 * WEFT_MILLISECOND);
        free(text);
        text = trace_text(c);
    }
    return text;
}

/* ---- a run whose whole trace is caught ---- */

/* Runs body in a weft_run from whose very first line on stderr is caught; the text. */
static inline char *run_caught(void (*body)(void)) {
    caught = trace_capture();
    test_in_weft(body);
    char *text = trace_text(&caught);
    trace_end(&caught);
    return text;
}

#endif
