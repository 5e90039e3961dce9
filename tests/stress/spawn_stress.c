/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of goroutines that end in every way there is: return, weft_goexit at some depth, with
 * deferred calls, goroutine-local values, names and stacks of several sizes.
 *
 * A node writes a pattern over part of its stack and looks at it again after each time that others
 * may have run.  The round's account: every node that was started has begun, has run its deferred
 * calls in the reverse of their order, and had its local value destroyed, each once; and the count
 * of goroutines goes back to what it was.
 */
#include "stress.h"

enum { SPAWN_DEPTH = 7, SPAWN_NODES = 2000, SPAWN_DEFERS = 4 };

struct spawn_round {
    _Atomic int budget, started, begun, deferred, expected_defers, destroyed, values;
    weft_wg wg;
};

struct spawn_node {
    struct spawn_round *round;
    struct stress_rand rand;
    int depth, defers_left;
    bool in_wg;
    char name[32];
};

/* What one deferred call gets. */
struct spawn_defer {
    struct spawn_node *node;
    int place;
};

static weft_key spawn_key;
static _Atomic uint64_t spawn_total;
static _Atomic uint64_t spawn_last_id_seen;

static void spawn_destroy(void *value) {
    struct spawn_round *r = value;
    atomic_fetch_add(&r->destroyed, 1);
}

/* Registered first, so called last: nothing uses the node after it. */
static void spawn_end(void *arg) {
    struct spawn_node *n = arg;
    STRESS_CHECK(n->defers_left == 0);
    bool in_wg = n->in_wg;
    weft_wg *wg = &n->round->wg;
    free(n);
    if (!in_wg)
        weft_wg_done(wg);
}

static void spawn_deferred(void *arg) {
    struct spawn_defer *d = arg;
    STRESS_CHECK(d->place == --d->node->defers_left); /* the last first */
    if (d->place % 2 == 0)
        weft_yield();
    atomic_fetch_add(&d->node->round->deferred, 1);
    free(d);
}

static void spawn_register(struct spawn_node *n) {
    STRESS_CHECK(weft_defer(spawn_end, n) == 0);
    for (int i = stress_below(&n->rand, SPAWN_DEFERS); i > 0; i--) {
        struct spawn_defer *d = malloc(sizeof *d);
        *d = (struct spawn_defer){n, n->defers_left++};
        atomic_fetch_add(&n->round->expected_defers, 1);
        STRESS_CHECK(weft_defer(spawn_deferred, d) == 0);
    }
    STRESS_CHECK(weft_key_get(spawn_key) == NULL);
    if (stress_one_in(&n->rand, 2)) {
        atomic_fetch_add(&n->round->values, 1);
        STRESS_CHECK(weft_key_set(spawn_key, n->round) == 0);
    }
}

/* ---- a node ---- */

static void spawn_start(struct spawn_round *r, struct stress_rand *rand, int depth);

static void spawn_check_self(struct spawn_node *n, uint64_t id, const void *value) {
    STRESS_CHECK(weft_id() == id);
    STRESS_CHECK(strcmp(weft_name(), n->name) == 0);
    STRESS_CHECK(weft_key_get(spawn_key) == value);
}

/* Goes down the stack, leaves a pattern, runs children, and finds the pattern again. */
static void spawn_descend(struct spawn_node *n, int frames, uint64_t id, bool leave) {
    volatile unsigned char pattern[400];
    unsigned char mark = (unsigned char)(id * 31 + (unsigned)frames);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = mark;
    if (frames > 0)
        spawn_descend(n, frames - 1, id, leave);
    else
        for (int i = stress_below(&n->rand, 5); i > 0; i--) {
            spawn_start(n->round, &n->rand, n->depth + 1);
            stress_rest(&n->rand);
        }
    if (frames % 4 == 0)
        stress_rest(&n->rand);
    for (size_t i = 0; i < sizeof pattern; i++)
        if (pattern[i] != mark)
            STRESS_FAIL("goroutine %" PRIu64 ": its stack has changed", id);
    if (leave && frames == 0)
        weft_goexit();
}

static void spawn_run(struct spawn_node *n) {
    uint64_t id = weft_id();
    STRESS_CHECK(id > 1);
    atomic_fetch_add(&n->round->begun, 1);
    atomic_fetch_add_explicit(&spawn_total, 1, memory_order_relaxed);
    atomic_store_explicit(&spawn_last_id_seen, id, memory_order_relaxed);
    spawn_register(n);
    void *value = weft_key_get(spawn_key);
    if (stress_one_in(&n->rand, 3)) {
        snprintf(n->name, sizeof n->name, "node %d.%" PRIu64, n->depth, id);
        weft_set_name("node %d.%" PRIu64, n->depth, id);
    }
    spawn_check_self(n, id, value);
    spawn_descend(n, stress_below(&n->rand, 12), id, stress_one_in(&n->rand, 3));
    spawn_check_self(n, id, value);
}

static void spawn_start(struct spawn_round *r, struct stress_rand *rand, int depth) {
    static const size_t stacks[] = {0, 0, 0, 32 << 10, 128 << 10, 1 << 20};
    if (depth > SPAWN_DEPTH || atomic_fetch_sub(&r->budget, 1) <= 0)
        return;
    struct spawn_node *n = calloc(1, sizeof *n);
    STRESS_CHECK(n != NULL);
    *n = (struct spawn_node){.round = r, .rand = stress_split(rand), .depth = depth};
    n->in_wg = stress_one_in(rand, 2);
    atomic_fetch_add(&r->started, 1);
    if (n->in_wg) {
        STRESS_CHECK(weft_wg_go(&r->wg, spawn_run, n) == 0);
        return;
    }
    struct weft_attr attr = {.stack_size = stacks[stress_below(rand, 6)]};
    if (stress_one_in(rand, 2)) {
        snprintf(n->name, sizeof n->name, "born %d", depth);
        attr.name = n->name;
    }
    weft_wg_add(&r->wg, 1);
    STRESS_CHECK(weft_go_with(&attr, spawn_run, n) == 0);
}

/* ---- a round ---- */

static void spawn_account(struct spawn_round *r) {
    STRESS_CHECK(atomic_load(&r->begun) == atomic_load(&r->started));
    STRESS_CHECK(atomic_load(&r->deferred) == atomic_load(&r->expected_defers));
    /* Local values go after the deferred calls, so after the wait group's done. */
    while (atomic_load(&r->destroyed) < atomic_load(&r->values))
        weft_yield();
    STRESS_CHECK(atomic_load(&r->destroyed) == atomic_load(&r->values));
}

static void spawn_round(struct spawn_round *r, struct stress_rand *rand) {
    memset(r, 0, sizeof *r);
    atomic_store(&r->budget, stress_scale(SPAWN_NODES));
    for (int i = 1 + stress_below(rand, 8); i > 0; i--)
        spawn_start(r, rand, 0);
    weft_wg_wait(&r->wg);
    spawn_account(r);
}

static int spawn_rounds(struct stress_rand rand) {
    static struct spawn_round round;
    int rounds = 0;
    STRESS_CHECK(weft_key_create(&spawn_key, spawn_destroy) == 0);
    do {
        spawn_round(&round, &rand);
        rounds++;
    } while (stress_more());
    STRESS_CHECK(weft_key_delete(spawn_key) == 0);
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = spawn_rounds(stress_begin("spawn_stress"));
    while (weft_num_goroutine() != 1) /* they are gone, or about to */
        weft_yield();
    return stress_passed("%d rounds, %" PRIu64 " goroutines", rounds, atomic_load(&spawn_total));
}
WEFT_MAIN(app)
#endif
