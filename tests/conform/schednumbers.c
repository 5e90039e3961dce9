/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of the scheduler trace at moments that the test made quiet: nobody runs, or main
 * alone, busy without a weft call.  There they are known and must be exact: against what the
 * program did, against each other and against /proc/self/task.  Group F of the behaviours that weft
 * shares with Go; values of GODEBUG, stamps and the trace under load are in schedtrace.c.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft.h>

#include "trace_group.h"

enum { PERIOD = 10 };
#define TRACE "GODEBUG=schedtrace=10"
#define DETAIL "GODEBUG=schedtrace=10,scheddetail=1"
#define QUIET ",asyncpreemptoff=1" /* main may keep its P for as long as it likes */

static void park_for_ever(void) {
    weft_recv((weft_chan(int))NULL, NULL);
}

/* ---- exact numbers at a quiet moment ---- */

/* The next group while main stays on its P; parsed. */
static void snapshot(bool detail, struct group *g) {
    long index = 0;
    char *text = trace_await_group(&caught, &index);
    if (text == NULL)
        trace_end(&caught);
    CHECK(text != NULL);
    parse_group(text, index, detail, g);
    if (detail)
        check_detail(g);
    free(text);
}

/* Looks at groups until fits() likes one; the others show a thread that still winds down. */
static bool snapshot_until(bool detail, bool (*fits)(const struct group *), struct group *g) {
    for (int i = 0; i < 200; i++) {
        snapshot(detail, g);
        if (fits(g))
            return true;
    }
    return false;
}

static struct group seen;

static void change_procs(void) {
    for (int n = 5; n >= 1; n -= 2) {
        weft_gomaxprocs(n);
        snapshot(false, &seen);
        CHECK_EQ(seen.s.gomaxprocs, n);
        CHECK_EQ(seen.s.nlocal, n);
    }
}

TEST_ENV(F7_F14_follow_gomaxprocs, TRACE QUIET);
TEST_PLAIN(F7_F14_follow_gomaxprocs) {
    free(run_caught(change_procs));
}

static bool main_runs_alone(const struct group *g) {
    return g->s.idleprocs == g->s.gomaxprocs - 1 && g->s.spinning == 0;
}

static void watch_main_alone(void) {
    CHECK(snapshot_until(false, main_runs_alone, &seen));
    CHECK_EQ(seen.s.runqueue, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(seen.s.local[i], 0);
    /* The one that runs main and the monitor are not idle. */
    CHECK(seen.s.idlethreads <= seen.s.threads - 2);
}

TEST_ENV(F8_F10_F12_main_alone, "GOMAXPROCS=3", TRACE QUIET);
TEST_PLAIN(F8_F10_F12_main_alone) {
    free(run_caught(watch_main_alone));
}

/* Main sleeps: every P of the groups in the middle of the sleep is idle. */
static void sleep_through_groups(void) {
    bool all_idle = false;
    for (int i = 0; i < 100 && !all_idle; i++) {
        weft_sleep(3 * PERIOD * WEFT_MILLISECOND);
        char *text = trace_text(&caught);
        for (long k = 0, n = trace_whole_groups(text); k < n; k++) {
            parse_group(text, k, false, &seen);
            all_idle = all_idle || (seen.s.idleprocs == 3 && seen.s.spinning == 0);
        }
        free(text);
    }
    CHECK(all_idle);
}

TEST_ENV(F8_all_idle_while_main_sleeps, "GOMAXPROCS=3", TRACE);
TEST_PLAIN(F8_all_idle_while_main_sleeps) {
    free(run_caught(sleep_through_groups));
}

/*
 * Starts n goroutines and looks, while they wait for the one P.  The yield before uses up a request
 * to give way that is out; should a new one come in between, and some run, that is seen and it is
 * done again.
 */
static void queue_up(int n, bool detail) {
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 8; k++)
            weft_yield(); /* drains what is queued, too */
        for (int k = 0; k < n; k++)
            weft_go(weft_yield);
        snapshot(detail, &seen);
        long local = detail ? seen.p[0].runqsize : seen.s.local[0];
        if (seen.s.runqueue + local == n - 1)
            return;
    }
    FAIL("of %d goroutines never %d were queued", n, n - 1);
}

/* The last one started sits in runnext, the rest in the ring and, past it, in the global queue. */
static void fill_queues(void) {
    snapshot(false, &seen);
    CHECK_EQ(seen.s.runqueue + seen.s.local[0], 0);
    queue_up(50, false);
    CHECK_EQ(seen.s.runqueue, 0);
    CHECK_EQ(seen.s.local[0], 49);
    queue_up(RING + 1, false); /* a full ring */
    CHECK_EQ(seen.s.runqueue, 0);
    CHECK_EQ(seen.s.local[0], RING);
    queue_up(300, false);
    CHECK_EQ(seen.s.runqueue, RING / 2 + 1); /* the older half and the one that found it full */
    CHECK_EQ(seen.s.local[0], 299 - RING / 2 - 1);
}

TEST_ENV(F13_F14_P26_queue_lengths, "GOMAXPROCS=1", TRACE QUIET);
TEST_PLAIN(F13_F14_P26_queue_lengths) {
#ifdef __SANITIZE_THREAD__
    test_skip("making 300 goroutines takes longer than a time slice under ThreadSanitizer");
#endif
    free(run_caught(fill_queues));
}

/* ---- what the global queue hands out ---- */

enum { BATCH_MOST = 128, STARTED_MOST = 1024 };

static bool started_local[STARTED_MOST]; /* it is in main's own queue, not in the global one */
static int nlocal, nglobal, local_ran;
static struct group batch;
static bool batch_seen;

/* Where n goroutines end up that main starts in a row: ring, front, and the halves that overflow. */
static void foresee(int n) {
    int ring[RING], len = 0;
    memset(started_local, 0, sizeof started_local);
    for (int i = 0; i < n - 1; i++) { /* the last one stays in front */
        if (len < RING) {
            ring[len++] = i;
            continue;
        }
        len = RING / 2;
        memmove(ring, ring + RING / 2, (RING / 2) * sizeof *ring);
    }
    for (int i = 0; i < len; i++)
        started_local[ring[i]] = true;
    started_local[n - 1] = true;
    nlocal = len + 1;
    nglobal = n - nlocal;
    local_ran = 0;
    batch_seen = false;
}

static long queued_locally(const struct group *g) {
    long sum = 0;
    for (long i = 0; i < g->s.nlocal; i++)
        sum += g->s.local[i];
    return sum;
}

/* The first one of a batch sees what came with it, and what is left. */
static void watch_batch(int i) {
    if (started_local[i])
        local_ran++;
    else if (local_ran == nlocal && !batch_seen) {
        snapshot(false, &batch);
        batch_seen = queued_locally(&batch) > 0; /* else it was picked alone, out of turn */
    }
}

static void check_batch(int n, int procs) {
    weft_wg wg = WEFT_WG_INIT;
    for (int attempt = 0; attempt < 50; attempt++) {
        for (int k = 0; k < 8; k++)
            weft_yield(); /* a slice of its own */
        foresee(n);
        for (int i = 0; i < n; i++)
            weft_wg_go(&wg, watch_batch, i);
        snapshot(false, &seen);
        bool queued = seen.s.runqueue == nglobal && queued_locally(&seen) == nlocal - 1;
        weft_wg_wait(&wg);
        if (!queued || !batch_seen)
            continue;
        long took = queued_locally(&batch) + 1, size = took + batch.s.runqueue;
        long share = size / procs + 1;
        share = share < size ? share : size;
        CHECK_EQ(took, share < BATCH_MOST ? share : BATCH_MOST);
        return;
    }
    FAIL("of %d goroutines no batch was seen", n);
}

static void take_batches(void) {
    check_batch(300, 1); /* all of the 127 that are left or 128 of them */
    check_batch(700, 1); /* a full batch */
}

TEST_ENV(P27_a_batch_on_one_P, "GOMAXPROCS=1", TRACE QUIET);
TEST_PLAIN(P27_a_batch_on_one_P) {
#ifdef __SANITIZE_THREAD__
    test_skip("making 300 goroutines takes longer than a time slice under ThreadSanitizer");
#endif
    free(run_caught(take_batches));
}

static _Atomic int holding;
static _Atomic bool let_go;

static void hold_a_P(void) {
    holding++;
    while (!let_go)
        continue;
}

static void take_shares(void) {
    for (int i = 0; i < 3; i++)
        weft_go(hold_a_P);
    while (holding < 3)
        weft_yield();
    check_batch(400, 4); /* a quarter and one */
    let_go = true;
}

TEST_ENV(P27_a_share_on_four_Ps, "GOMAXPROCS=4", TRACE QUIET);
TEST_PLAIN(P27_a_share_on_four_Ps) {
#ifdef __SANITIZE_THREAD__
    test_skip("making 400 goroutines takes longer than a time slice under ThreadSanitizer");
#endif
    free(run_caught(take_shares));
}

/* ---- threads against /proc ---- */

static int other_threads; /* a sanitizer's own */

/*
 * The threads of a group that began and ended while /proc showed one and the same number.  A thread
 * on its way in or out is in one count and not yet in the other, hence the several looks.
 */
static void compare_threads(void) {
    int agreed = 0;
    for (int i = 0; i < 300 && agreed < 3; i++) {
        char *text = trace_text(&caught);
        long groups = trace_whole_groups(text);
        free(text);
        int before = test_count_threads() - other_threads;
        text = await_groups(&caught, groups + 2);
        int after = test_count_threads() - other_threads;
        CHECK(trace_whole_groups(text) >= groups + 2);
        parse_group(text, groups + 1, false, &seen);
        agreed += before == after && before == seen.s.threads;
        free(text);
    }
    CHECK_EQ(agreed, 3);
}

static int ends[2];
static _Atomic int inside;

static void block_in_read(void) {
    char byte;
    atomic_fetch_add(&inside, 1);
    weft_block(read(ends[0], &byte, 1));
}

static void count_threads(void) {
    enum { BLOCKED = 6 };
    static weft_wg wg;
    compare_threads();
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < BLOCKED; i++)
        weft_wg_go(&wg, block_in_read);
    while (atomic_load(&inside) < BLOCKED)
        weft_sleep(WEFT_MILLISECOND);
    compare_threads();
    CHECK(seen.s.threads >= BLOCKED + 2); /* each keeps its thread; main's and the monitor's */
    CHECK_EQ(write(ends[1], "123456", BLOCKED), BLOCKED);
    weft_wg_wait(&wg);
    close(ends[0]);
    close(ends[1]);
}

TEST_ENV(F9_threads_are_those_of_proc, "GOMAXPROCS=2", TRACE);
TEST_PLAIN(F9_threads_are_those_of_proc) {
    other_threads = test_count_threads() - 1;
    free(run_caught(count_threads));
}

/* ---- detail at a quiet moment ---- */

static void check_main_running(const struct group *g) {
    const struct trace_g *g1 = find_g(g, 1);
    CHECK(g1 != NULL);
    CHECK_EQ(g1->status, 2);
    CHECK_STR(g1->reason, "");
    const struct trace_m *m = find_m(g, g1->m);
    CHECK(m != NULL);
    CHECK_EQ(m->curg, 1);
    CHECK(!m->spinning);
    CHECK(m->p >= 0 && m->p < g->np);
    CHECK_EQ(g->p[m->p].status, 1);
    CHECK_EQ(g->p[m->p].m, m->id);
}

static bool main_runs_alone_in_detail(const struct group *g) {
    return main_runs_alone(g) && !g->s.gcwaiting && g->s.stopwait == 0;
}

static void look_at_details(void) {
    weft_go(park_for_ever);
    weft_yield();
    CHECK(snapshot_until(true, main_runs_alone_in_detail, &seen));
    check_main_running(&seen);
    int idle = 0, parked = 0;
    for (int i = 0; i < seen.np; i++) {
        idle += seen.p[i].status == 0;
        CHECK(seen.p[i].status == 0 || seen.p[i].status == 1);
        CHECK_EQ(seen.p[i].m == TRACE_NIL, seen.p[i].status == 0);
    }
    CHECK_EQ(idle, seen.s.idleprocs);
    int blocked = 0;
    for (int i = 0; i < seen.nm; i++) {
        blocked += seen.m[i].blocked;
        CHECK_EQ(seen.m[i].lockedg, TRACE_NIL);
        CHECK_EQ(seen.m[i].throwing + seen.m[i].dying, 0);
    }
    CHECK(blocked >= seen.s.idlethreads);
    for (int i = 0; i < seen.ng; i++) {
        CHECK_EQ(seen.g[i].lockedm, TRACE_NIL);
        CHECK_EQ(seen.g[i].reason[0] != '\0', seen.g[i].status == 4);
        parked += strcmp(seen.g[i].reason, "chan receive (nil chan)") == 0;
    }
    CHECK_EQ(parked, 1);
}

TEST_ENV(F17_F18_F19_F20_F22_main_alone, "GOMAXPROCS=3", DETAIL QUIET);
TEST_PLAIN(F17_F18_F19_F20_F22_main_alone) {
    free(run_caught(look_at_details));
}

/* One P, so that ticks and timers can only be its own. */
static void count_ticks(void) {
    enum { YIELDS = 200, TIMERS = 7 };
    snapshot(true, &seen);
    long before = seen.p[0].schedtick;
    for (int i = 0; i < TIMERS; i++)
        weft_go(weft_sleep, WEFT_HOUR);
    for (int i = 0; i < YIELDS; i++)
        weft_yield();
    snapshot(true, &seen);
    CHECK(seen.p[0].schedtick >= before + YIELDS);
    CHECK_EQ(seen.p[0].timerslen, TIMERS);
    CHECK_EQ(seen.p[0].runqsize, 0);
    queue_up(20, true);
    CHECK_EQ(seen.p[0].runqsize, 19); /* and one in runnext */
    int runnable = 0, asleep = 0;
    for (int i = 0; i < seen.ng; i++) {
        runnable += seen.g[i].status == 1;
        asleep += seen.g[i].status == 4 && strcmp(seen.g[i].reason, "sleep") == 0;
    }
    CHECK_EQ(runnable, 20);
    CHECK_EQ(asleep, TIMERS);
}

TEST_ENV(F15_F17_F20_F21_ticks_timers_queues, "GOMAXPROCS=1", DETAIL QUIET);
TEST_PLAIN(F15_F17_F20_F21_ticks_timers_queues) {
    free(run_caught(count_ticks));
}

static void lock_and_look(void) {
    weft_lock_os_thread();
    weft_lock_os_thread();
    weft_unlock_os_thread();
    snapshot(true, &seen);
    check_main_running(&seen);
    const struct trace_g *g1 = find_g(&seen, 1);
    CHECK_EQ(g1->lockedm, g1->m);
    CHECK_EQ(find_m(&seen, g1->m)->lockedg, 1);
    weft_unlock_os_thread(); /* the matching one */
    snapshot(true, &seen);
    g1 = find_g(&seen, 1);
    CHECK_EQ(g1->lockedm, TRACE_NIL);
    CHECK_EQ(find_m(&seen, g1->m)->lockedg, TRACE_NIL);
}

TEST_ENV(F19_F20_P7_locked_to_thread, DETAIL QUIET);
TEST_PLAIN(F19_F20_P7_locked_to_thread) {
    free(run_caught(lock_and_look));
}

/* A goroutine in a bracket is in status 3, on an M that is not idle and not spinning. */
static void look_at_system_call(void) {
    CHECK_EQ(pipe(ends), 0);
    weft_wg wg = WEFT_WG_INIT;
    weft_wg_go(&wg, block_in_read);
    while (atomic_load(&inside) == 0)
        weft_sleep(WEFT_MILLISECOND);
    bool found = false;
    for (int i = 0; i < 200 && !found; i++) {
        snapshot(true, &seen);
        for (int k = 0; k < seen.ng; k++) {
            const struct trace_m *m = find_m(&seen, seen.g[k].m);
            found = found || (seen.g[k].status == 3 && m != NULL && m->curg == seen.g[k].id &&
                              !m->spinning && seen.g[k].reason[0] == '\0');
        }
    }
    CHECK(found);
    CHECK_EQ(write(ends[1], "1", 1), 1);
    weft_wg_wait(&wg);
    close(ends[0]);
    close(ends[1]);
}

TEST_ENV(F18_F21_system_call, "GOMAXPROCS=2", DETAIL QUIET);
TEST_PLAIN(F18_F21_system_call) {
    free(run_caught(look_at_system_call));
}

static bool one_in_the_global_queue(const struct group *g) {
    return g->s.runqueue == 1 && g->s.local[0] == 0;
}

/* Main has the one P and keeps it when the call of another goroutine comes back. */
static void come_back_without_P(void) {
    CHECK_EQ(pipe(ends), 0);
    weft_wg wg = WEFT_WG_INIT;
    weft_wg_go(&wg, block_in_read);
    while (atomic_load(&inside) == 0)
        weft_yield();
    snapshot(false, &seen);
    CHECK_EQ(seen.s.runqueue + seen.s.local[0], 0);
    CHECK_EQ(write(ends[1], "1", 1), 1);
    CHECK(snapshot_until(false, one_in_the_global_queue, &seen));
    weft_wg_wait(&wg);
    close(ends[0]);
    close(ends[1]);
}

TEST_ENV(F12_P24_back_from_a_call_without_P, "GOMAXPROCS=1", TRACE QUIET);
TEST_PLAIN(F12_P24_back_from_a_call_without_P) {
    free(run_caught(come_back_without_P));
}
