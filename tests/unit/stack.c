/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack reserve: classes, promises, slots that are apart and guarded, caches, and what happens
 * when guards by mprotect have used up the process's mappings.
 *
 * How the guards are made is chosen once per process; what must be seen in both ways runs in a
 * child of its own for each. The kernel tells whether a byte may be read without a fault here:
 * write() from it fails with EFAULT.
 */
#define _GNU_SOURCE
#define WEFT_NO_ERRNO 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "stack/stack.h"
#include "weft_test.h"

#define KB ((size_t)1024)
#define MB (KB * 1024)
#define GB (MB * 1024)

static struct p p, q;

static struct g bound_g(struct p *pp, unsigned class) {
    struct g gp = {.stack_class = (uint8_t) class};
    CHECK(wefti_stack_promise(pp, class));
    CHECK(wefti_stack_bind(pp, &gp));
    CHECK(gp.stack.slab);
    CHECK_EQ(wefti_stack_size(&gp), WEFTI_STACK_MIN << class);
    CHECK_EQ(wefti_stack_top(&gp), gp.stack.lo + (WEFTI_STACK_MIN << class));
    return gp;
}

static void let_go(struct p *pp, struct g *gp) {
    wefti_stack_unpromise(pp, gp->stack_class);
    wefti_stack_unbind(pp, gp);
    CHECK(!gp->stack.slab);
}

static bool readable(const char *at) {
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    ssize_t n = write(ends[1], at, 1);
    CHECK(n == 1 || errno == EFAULT);
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(close(ends[1]), 0);
    return n == 1;
}

static void check_guarded(const struct g *gp) {
    const char *lo = gp->stack.lo;
    CHECK(!readable(lo));
    CHECK(!readable(lo + WEFTI_STACK_GUARD - 1));
    CHECK(readable(lo + WEFTI_STACK_GUARD));
    CHECK(readable(wefti_stack_top(gp) - 1));
    CHECK(wefti_stack_in_guard(gp, lo + 1));
    CHECK(!wefti_stack_in_guard(gp, lo + WEFTI_STACK_GUARD));
}

/* ---- classes ---- */

TEST_PLAIN(classes) {
    CHECK_EQ(wefti_stack_class(0), 0);
    CHECK_EQ(wefti_stack_class(1), 0);
    for (int c = 0; c < WEFTI_STACK_CLASSES; c++) {
        CHECK_EQ(wefti_stack_class(WEFTI_STACK_MIN << c), c);
        CHECK_EQ(wefti_stack_class((WEFTI_STACK_MIN << c) + 1),
                 c + 1 < WEFTI_STACK_CLASSES ? c + 1 : -1);
    }
    CHECK_EQ(wefti_stack_class(GB), WEFTI_STACK_CLASSES - 1);
    CHECK_EQ(wefti_stack_class(SIZE_MAX), -1);
    wefti_stack_set_default(100 * KB);
    CHECK_EQ(wefti_stack_default, 1);
    CHECK_EQ(wefti_stack_class(0), 1);
    CHECK_EQ(wefti_stack_class(1), 0);
    wefti_stack_set_default(2 * GB); /* more than there is: the smallest */
    CHECK_EQ(wefti_stack_default, 0);
    wefti_stack_set_default(0);
    CHECK_EQ(wefti_stack_default, 0);
}

TEST_PLAIN(stacks_of_all_classes) {
    wefti_stack_init(false);
    static struct g gs[WEFTI_STACK_CLASSES][2];
    for (unsigned c = 0; c < WEFTI_STACK_CLASSES; c++)
        for (int i = 0; i < 2; i++) {
            gs[c][i] = bound_g(&p, c);
            check_guarded(&gs[c][i]);
            memset(wefti_stack_top(&gs[c][i]) - 100, 1, 100);
        }
    for (unsigned c = 0; c < WEFTI_STACK_CLASSES; c++) {
        CHECK(gs[c][0].stack.lo != gs[c][1].stack.lo);
        for (int i = 0; i < 2; i++)
            let_go(&p, &gs[c][i]);
    }
}

/* ---- promises ---- */

TEST_PLAIN(promises_come_in_batches) {
    wefti_stack_init(false);
    CHECK(wefti_stack_promise(&p, 0));
    int64_t batch = p.promises + 1;
    CHECK(batch > 1);
    for (int64_t i = 1; i < batch; i++)
        CHECK(wefti_stack_promise(&p, 0));
    CHECK_EQ(p.promises, 0);
    for (int i = 0; i < 3 * WEFTI_STACK_PROMISES; i++)
        CHECK(wefti_stack_promise(&p, 0));
    for (int i = 0; i < 3 * WEFTI_STACK_PROMISES + (int)batch; i++) {
        wefti_stack_unpromise(&p, 0);
        CHECK(p.promises <= WEFTI_STACK_PROMISES);
    }
    CHECK(wefti_stack_promise(&p, 3)); /* other classes keep none at the P */
    int64_t before = p.promises;
    wefti_stack_unpromise(&p, 3);
    CHECK_EQ(p.promises, before);
    wefti_stack_flush(&p);
    CHECK_EQ(p.promises, 0);
}

/* Promises given back are there again: what is asked of the system does not grow. */
static void promise_and_return(unsigned class, int n) {
    for (int i = 0; i < n; i++)
        CHECK(wefti_stack_promise(&p, class));
    for (int i = 0; i < n; i++)
        wefti_stack_unpromise(i % 2 ? &q : &p, class);
    wefti_stack_flush(&p);
    wefti_stack_flush(&q);
}

TEST_PLAIN(no_promise_is_lost) {
    wefti_stack_init(false);
    static const struct {
        unsigned class;
        int n;
    } t[] = {{0, 5000}, {3, 500}, {9, 20}, {14, 3}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        promise_and_return(t[i].class, t[i].n);
    os_fail_after = 1000000; /* counts */
    for (int round = 0; round < 50; round++)
        for (size_t i = 0; i < sizeof t / sizeof *t; i++)
            promise_and_return(t[i].class, t[i].n);
    CHECK_EQ(os_fail_after, 1000000);
}

TEST_PLAIN(a_promise_that_cannot_be_kept) {
    wefti_stack_init(false);
    const unsigned largest = WEFTI_STACK_CLASSES - 1;
    struct g first = bound_g(&p, largest);
    os_fail_after = 1;
    CHECK(!wefti_stack_promise(&p, largest));
    CHECK_EQ(os_fail_after, 0);
    CHECK(wefti_stack_promise(&p, largest)); /* the failed one counts for nothing */
    wefti_stack_unpromise(&p, largest);
    os_fail_after = 1;
    CHECK(wefti_stack_promise(&p, largest)); /* its slot is there: the system is not asked */
    CHECK_EQ(os_fail_after, 1);
    os_fail_after = 0;
    let_go(&p, &first);
}

/* What is promised can be had, whatever the system says then. */
TEST_PLAIN(promised_stacks_can_be_bound) {
    wefti_stack_init(false);
    static struct g gs[2000];
    for (int i = 0; i < 2000; i++) {
        gs[i].stack_class = i % 10 == 0;
        CHECK(wefti_stack_promise(&p, gs[i].stack_class));
    }
    os_fail_after = 1;
    for (int i = 0; i < 2000; i++)
        CHECK(wefti_stack_bind(&p, &gs[i]));
    CHECK_EQ(os_fail_after, 1);
    os_fail_after = 0;
    for (int i = 0; i < 2000; i++)
        let_go(&p, &gs[i]);
    CHECK(p.nstacks <= WEFTI_STACK_CACHE);
    wefti_stack_flush(&p);
    CHECK_EQ(p.nstacks, 0);
}

/* ---- slots ---- */

static int by_address(const void *a, const void *b) {
    const char *x = ((const struct g *)a)->stack.lo, *y = ((const struct g *)b)->stack.lo;
    return x < y ? -1 : x > y;
}

static void slots_apart_and_guarded(void) {
    enum { N = 300 };
    static struct g gs[N];
    for (int i = 0; i < N; i++) {
        gs[i] = bound_g(i % 3 ? &p : &q, i % 7 == 0 ? 2 : 0);
        CHECK(!(gs[i].special & WEFTI_SPECIAL_UNGUARDED));
        CHECK(gs[i].stack.slab->guarded);
        CHECK(!wefti_stack_overflowed(&gs[i], gs[i].stack.lo));
        check_guarded(&gs[i]);
    }
    qsort(gs, N, sizeof *gs, by_address);
    for (int i = 0; i + 1 < N; i++)
        CHECK(wefti_stack_top(&gs[i]) <= gs[i + 1].stack.lo);
    for (int i = 0; i < N; i++) { /* each can be written to its end */
        char *usable = gs[i].stack.lo + WEFTI_STACK_GUARD;
        memset(usable, i, (size_t)(wefti_stack_top(&gs[i]) - usable));
    }
    for (int i = 0; i < N; i++) {
        CHECK_EQ((unsigned char)gs[i].stack.lo[WEFTI_STACK_GUARD], i & 255);
        CHECK_EQ((unsigned char)wefti_stack_top(&gs[i])[-1], i & 255);
        let_go(&p, &gs[i]);
    }
}

static void slots_by_install(void) {
    wefti_stack_init(false);
    slots_apart_and_guarded();
}

static void slots_by_protect(void) {
    wefti_stack_init(true);
    slots_apart_and_guarded();
}

static void check_child(void (*body)(void), int status) {
    struct test_output o = test_run_child_plain(body, NULL);
    if (o.status != status)
        FAIL("status %d, not %d; stderr:\n%s", o.status, status, o.err);
    test_output_free(&o);
}

TEST_PLAIN(slots_in_both_ways) {
    check_child(slots_by_install, 0);
    check_child(slots_by_protect, 0);
}

static void write_below(bool protect) {
    wefti_stack_init(protect);
    bound_g(&p, 0);
    struct g gp = bound_g(&p, 0);
    volatile char *at = gp.stack.lo + WEFTI_STACK_GUARD;
    *at = 1;
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make something else of it */
    at[-1] = 1;
}

static void write_below_install(void) {
    write_below(false);
}

static void write_below_protect(void) {
    write_below(true);
}

TEST_PLAIN(a_write_into_the_guard_dies) {
    check_child(write_below_install, 128 + SIGSEGV);
    check_child(write_below_protect, 128 + SIGSEGV);
}

TEST_PLAIN(free_stacks_are_reused_hot) {
    wefti_stack_init(false);
    struct g a = bound_g(&p, 0), b = bound_g(&p, 0);
    char *lo_a = a.stack.lo, *lo_b = b.stack.lo;
    let_go(&p, &a);
    let_go(&p, &b);
    a = bound_g(&p, 0);
    CHECK_EQ(a.stack.lo, lo_b); /* the last one freed */
    b = bound_g(&p, 0);
    CHECK_EQ(b.stack.lo, lo_a);
    let_go(&p, &a);
    let_go(&p, &b);
    CHECK(p.nstacks > 0);
    wefti_stack_flush(&p);
    CHECK_EQ(p.nstacks, 0);
    a = bound_g(&q, 0); /* another P gets what was flushed */
    CHECK(a.stack.slab->start <= lo_a && lo_a < a.stack.slab->start + 2 * MB);
}

TEST_PLAIN(full_cache_keeps_the_newest) {
    wefti_stack_init(false);
    enum { N = WEFTI_STACK_CACHE + 1 };
    static struct g gs[N];
    static char *lo[N];
    for (int i = 0; i < N; i++) {
        gs[i] = bound_g(&p, 0);
        lo[i] = gs[i].stack.lo;
    }
    wefti_stack_flush(&p);
    for (int i = 0; i < N; i++)
        let_go(&p, &gs[i]);
    CHECK_EQ(p.nstacks, WEFTI_STACK_CACHE / 2 + 1); /* half of a full one went */
    for (int i = N - 1; i >= WEFTI_STACK_CACHE / 2; i--)
        CHECK_EQ(bound_g(&p, 0).stack.lo, lo[i]);
}

/* ---- more slots than guards ---- */

TEST_PLAIN(unguarded_past_the_budget) {
    long most = os_max_mappings();
    if (most > 300000)
        test_skip("%ld mappings are allowed: too many to use up", most);
    int n = (int)(most / 4) + 200; /* half of them are for guards, two a guard */
    struct g *gs = calloc((size_t)n, sizeof *gs);
    CHECK(gs);
    wefti_stack_init(true);
    int unguarded = 0;
    for (int i = 0; i < n; i++) {
        struct g *gp = &gs[i];
        *gp = bound_g(&p, 0);
        bool flagged = gp->special & WEFTI_SPECIAL_UNGUARDED;
        CHECK_EQ(flagged, !gp->stack.slab->guarded);
        CHECK_EQ(wefti_stack_overflowed(gp, gp->stack.lo + WEFTI_STACK_GUARD - 8), flagged);
        CHECK(!wefti_stack_overflowed(gp, gp->stack.lo + WEFTI_STACK_GUARD));
        /* the lowest slot of each slab has one in any case */
        CHECK_EQ(readable(gp->stack.lo), flagged && gp->stack.lo != gp->stack.slab->start);
        unguarded += flagged;
    }
    CHECK(unguarded >= 100 && unguarded < n / 2);
    for (int i = 0; i < n; i++)
        let_go(&p, &gs[i]);
    wefti_stack_flush(&p);
    struct g gp = {.special = WEFTI_SPECIAL_FRESH}; /* other flags stay */
    CHECK(wefti_stack_promise(&p, 0) && wefti_stack_bind(&p, &gp));
    CHECK(gp.special & WEFTI_SPECIAL_FRESH);
    free(gs);
}

/* ---- a fork's child ---- */

TEST_PLAIN(after_a_fork_others_are_forgotten) {
    wefti_stack_init(false);
    struct g mine = bound_g(&p, 0), other = bound_g(&p, 0);
    p = (struct p){0};
    wefti_stack_after_fork(&mine);
    for (int i = 0; i < 200; i++) {
        struct g gp = bound_g(&q, 0);
        CHECK(gp.stack.lo != mine.stack.lo);
        CHECK(gp.stack.lo != other.stack.lo);
    }
    let_go(&q, &mine);
}

/* ---- threads ---- */

enum { THREADS = 3, HAND = 100 };

static struct p ps[THREADS];

static void *binder(void *arg) {
    struct p *pp = arg;
    static struct g all[THREADS][HAND];
    struct g *gs = all[pp - ps];
    for (int round = 0; round < 100 / test_slowness(); round++) {
        for (int i = 0; i < HAND; i++) {
            gs[i] = bound_g(pp, i % 8 == 0);
            *(struct g **)(void *)(wefti_stack_top(&gs[i]) - 16) = &gs[i];
        }
        for (int i = 0; i < HAND; i++) { /* nobody else has it */
            CHECK_EQ(*(struct g **)(void *)(wefti_stack_top(&gs[i]) - 16), &gs[i]);
            let_go(pp, &gs[i]);
        }
        if (round % 8 == 0)
            wefti_stack_flush(pp);
    }
    wefti_stack_flush(pp);
    return NULL;
}

TEST_PLAIN(threads) {
    wefti_stack_init(false);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, binder, &ps[i]), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}
