/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduler: what a program sees of the order of goroutines, of threads and of the number of Ps.
 * P2, P3, P4, P7, P11, P12, P19 and P24 of the behaviours that weft shares with Go.  Orders hold
 * for one P.
 */
#include "conform.h"

#include <stdatomic.h>
#include <sys/syscall.h>

/*
 * Every 61st pick, and the first one after a long time without, looks at the global queue first and
 * may let one goroutine go out of turn.  An order is therefore given a few attempts, each of far
 * fewer than 61 picks; a scheduler with another order fails them all.
 */
static bool in_some_attempt(bool (*attempt)(void)) {
    for (int i = 0; i < 6; i++)
        if (attempt())
            return true;
    return false;
}

static void count_up(int *count) {
    ++*count;
}

static bool three_run_in_one_yield(void) {
    static int count;
    count = 0;
    for (int i = 0; i < 3; i++)
        weft_go(count_up, &count);
    bool none = count == 0; /* a start is no yield */
    weft_yield();
    bool all = count == 3;
    while (count < 3)
        weft_yield();
    return none && all;
}

TEST_ENV(P3_one_yield_lets_three_run, "GOMAXPROCS=1") {
    CHECK(in_some_attempt(three_run_in_one_yield));
}

static void run_after_main(int *count, int *at) {
    weft_yield(); /* behind main's own yield in the queue */
    *at = ++*count;
}

static bool main_is_first(void) {
    static int count, at;
    count = at = 0;
    weft_go(run_after_main, &count, &at);
    weft_yield();
    int mine = ++count;
    weft_yield();
    bool in_order = mine == 1 && at == 2;
    while (at == 0)
        weft_yield();
    return in_order;
}

TEST_ENV(P3_yield_goes_to_the_tail, "GOMAXPROCS=1") {
    CHECK(in_some_attempt(main_is_first));
}

enum { TURNS = 12 };

struct turns {
    weft_wg wg;
    int log[3 * TURNS], used;
};

static void take_turns(struct turns *t, int me) {
    for (int i = 0; i < TURNS; i++) {
        t->log[t->used++] = me;
        weft_yield();
    }
}

static bool turns_are_strict(void) {
    static struct turns t;
    t.used = 0;
    for (int i = 0; i < 3; i++)
        weft_wg_go(&t.wg, take_turns, &t, i);
    weft_wg_wait(&t.wg);
    CHECK_EQ(t.used, 3 * TURNS);
    bool strict = t.log[0] != t.log[1] && t.log[1] != t.log[2] && t.log[0] != t.log[2];
    for (int i = 3; i < t.used; i++)
        strict = strict && t.log[i] == t.log[i - 3];
    return strict;
}

TEST_ENV(P4_yielders_take_turns, "GOMAXPROCS=1") {
    CHECK(in_some_attempt(turns_are_strict));
}

/* ---- locked to the thread ---- */

static long thread_id(void) {
    return syscall(SYS_gettid);
}

static long locked_thread;
static _Atomic int stop, strangers;

static void look_for_the_thread(void) {
    while (!atomic_load(&stop)) {
        if (thread_id() == locked_thread)
            atomic_fetch_add(&strangers, 1);
        weft_yield();
    }
}

static void stay_on_thread(int rounds) {
    for (int i = 0; i < rounds; i++) {
        if (i % 8 == 0)
            weft_sleep(50 * WEFT_MICROSECOND);
        else
            weft_yield();
        CHECK_EQ(thread_id(), locked_thread);
    }
}

static void nest_locks(void) {
    static weft_wg wg;
    weft_unlock_os_thread(); /* without a lock it does nothing: the locks below still count */
    weft_unlock_os_thread();
    for (int i = 0; i < 3; i++)
        weft_lock_os_thread();
    locked_thread = thread_id();
    for (int i = 0; i < 8; i++)
        weft_wg_go(&wg, look_for_the_thread);
    for (int held = 3; held > 0; held--) {
        stay_on_thread(200);
        CHECK_EQ(atomic_load(&strangers), 0);
        if (held > 1)
            weft_unlock_os_thread();
    }
    atomic_store(&stop, 1);
    weft_wg_wait(&wg);
    CHECK_EQ(atomic_load(&strangers), 0);
    weft_unlock_os_thread();
    weft_unlock_os_thread(); /* one too many */
}

TEST_ENV(P7_thread_locks_nest, "GOMAXPROCS=2") {
    nest_locks();
}

TEST_ENV(P7_thread_locks_nest_on_one_P, "GOMAXPROCS=1") {
    nest_locks();
}

static void note_thread(long *where) {
    *where = thread_id();
}

/* With one P, nobody but the locked thread is there to run others once the last lock is gone. */
TEST_ENV(P7_the_last_unlock_frees_the_thread, "GOMAXPROCS=1") {
    weft_lock_os_thread();
    weft_lock_os_thread();
    long mine = thread_id(), other = 0;
    weft_go(note_thread, &other);
    while (other == 0)
        weft_yield();
    CHECK(other != mine);
    weft_unlock_os_thread();
    other = 0;
    weft_go(note_thread, &other);
    while (other == 0)
        weft_yield();
    CHECK(other != mine);
    weft_unlock_os_thread();
    mine = thread_id();
    other = 0;
    weft_go(note_thread, &other);
    weft_yield();
    CHECK_EQ(other, mine);
}

/* ---- the number of Ps ---- */

TEST_ENV(P11_gomaxprocs_returns_the_old_number, "GOMAXPROCS=3") {
    CHECK_EQ(weft_gomaxprocs(0), 3);
    CHECK_EQ(weft_gomaxprocs(-5), 3);
    CHECK_EQ(weft_gomaxprocs(7), 3);
    CHECK_EQ(weft_gomaxprocs(0), 7);
    CHECK_EQ(weft_gomaxprocs(1), 7);
    CHECK_EQ(weft_gomaxprocs(1), 1);
    CHECK_EQ(weft_gomaxprocs(0), 1);
}

static void print_procs(void) {
    char text[32];
    int n = snprintf(text, sizeof text, "%d", weft_gomaxprocs(0));
    CHECK_EQ(write(1, text, (size_t)n), n);
}

static int procs_under(const char *env) {
    struct test_output r = test_run_child(print_procs, env);
    if (r.status != 0)
        FAIL("under \"%s\" the status is %d: %s", env, r.status, r.err);
    int n = atoi(r.out);
    test_output_free(&r);
    return n;
}

TEST_PLAIN(P12_GOMAXPROCS_in_the_environment) {
    unsetenv("GOMAXPROCS");
    unsetenv("WEFT_MAXPROCS");
    int otherwise = procs_under(NULL);
    CHECK(otherwise >= 1);
    CHECK_EQ(procs_under("GOMAXPROCS=3"), 3);
    CHECK_EQ(procs_under("GOMAXPROCS=17"), 17);
    CHECK_EQ(procs_under("GOMAXPROCS=1"), 1);
    static const char *const ignored[] = {
        "GOMAXPROCS=31x",  "GOMAXPROCS=0",
        "GOMAXPROCS=-31",  "GOMAXPROCS=\t31",
        "GOMAXPROCS=31\t", "GOMAXPROCS=31.0",
        "GOMAXPROCS=",     "GOMAXPROCS=x31",
        "GOMAXPROCS=0x1f", "GOMAXPROCS=99999999999999999999",
    };
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        CHECK_EQ(procs_under(ignored[i]), otherwise);
}

TEST_PLAIN(P12_a_blank_before_the_number) {
    unsetenv("GOMAXPROCS");
    unsetenv("WEFT_MAXPROCS");
    int otherwise = procs_under(NULL);
    setenv("GOMAXPROCS", " 31", 1); /* by hand: the harness parts variables at blanks */
    CHECK_EQ(procs_under(NULL), otherwise);
}

TEST_PLAIN(P12_WEFT_MAXPROCS_stands_above) {
    CHECK_EQ(procs_under("GOMAXPROCS=3 WEFT_MAXPROCS=5"), 5);
}

static void count_and_yield(_Atomic int *count) {
    weft_yield();
    atomic_fetch_add(count, 1);
}

TEST_ENV(P19_1024_Ps, "GOMAXPROCS=1024") {
    static weft_wg wg;
    static _Atomic int ran;
    CHECK_EQ(weft_gomaxprocs(0), 1024);
    for (int i = 0; i < 2000; i++)
        weft_wg_go(&wg, count_and_yield, &ran);
    weft_wg_wait(&wg);
    CHECK_EQ(atomic_load(&ran), 2000);
}

/* ---- P2 with a listener ---- */

static _Atomic int token;

static void spins_in_turn(int mine, int rounds, weft_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        while (token != mine)
            for (int k = 0; k < 1000; k++) /* without an access to memory: see preempt.c */
                __asm__ volatile("" : "+r"(k));
        token = 1 - mine;
    }
    weft_wg_done(wg);
}

static void accepts(int fd) {
    int connection = weft_accept(fd);
    if (connection >= 0)
        weft_close(connection);
}

TEST_ENV(P2_spinners_while_somebody_listens, "GOMAXPROCS=2") {
    int fd = weft_listen("tcp", "127.0.0.1:0");
    CHECK(fd >= 0);
    weft_go(accepts, fd);
    for (int i = 0; i < 5; i++) {
        weft_wg wg = WEFT_WG_INIT;
        weft_sleep(2 * WEFT_MILLISECOND); /* threads have just parked */
        weft_wg_add(&wg, 2);
        token = 0;
        for (int k = 0; k < 2; k++)
            CHECK_EQ(weft_go(spins_in_turn, k, 20, &wg), 0);
        weft_wg_wait(&wg);
    }
    weft_close(fd);
    EVENTUALLY(weft_num_goroutine() == 1);
}

/* ---- P24 ---- */

static int to_caller[2];
static _Atomic int in_call, back;
static char order[8];
static int in_order;

static void notes(int letter) {
    order[in_order++] = (char)letter;
}

static void comes_back(void) {
    char byte;
    weft_block_enter();
    in_call = 1;
    ssize_t n = read(to_caller[0], &byte, 1);
    back = 1;
    weft_block_exit(); /* the only P is main's */
    CHECK_EQ(n, 1);
    notes('a');
}

/* Those of the P's own queue come first, though they were started when it was back already. */
static bool is_last(void) {
    weft_go(comes_back);
    EVENTUALLY(in_call == 1);
    weft_yield(); /* a slice of main's own begins */
    CHECK_EQ(write(to_caller[1], "x", 1), 1);
    weft_time start = weft_now();
    while (back == 0 || weft_now() - start < 3 * WEFT_MILLISECOND)
        continue; /* it queues, or tries to, meanwhile */
    for (int i = 0; i < 3; i++)
        weft_go(notes, 'b');
    EVENTUALLY(in_order == 4);
    bool last = strcmp(order, "bbba") == 0;
    memset(order, 0, sizeof order);
    in_order = 0;
    in_call = 0;
    back = 0;
    return last;
}

TEST_ENV(P24_back_from_a_call_to_the_global_queue, "GOMAXPROCS=1") {
    CHECK_EQ(pipe(to_caller), 0);
    int tries = 0;
    while (!is_last()) /* a slice that ended in between, or a look at the global queue, is chance */
        CHECK(++tries < 50);
    close(to_caller[0]);
    close(to_caller[1]);
}
