/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption by signal: goroutines that compute without a weft call lose their P (P1, P2, P20, P21,
 * P34), and what they were doing does not notice. Durations are compared downwards only, but for
 * "others ran meanwhile". System calls are in preempt_calls.c, the signal itself in
 * preempt_signal.c.
 */
#include "hogs.h" /* first: it asks for the GNU extensions */

#include <pthread.h>
#include <sys/wait.h>

/* Waits by spinning, in plain memory, as a C program would. */
static void spin_until(atomic_int *word, int value) {
    while (*word != value)
        compute();
}

/* ---- P20, P21 ---- */

static atomic_int turn;

static __attribute__((noinline)) int next_turn(int mine, int n) {
    return (mine + 1) % n;
}

static void take_turns(int mine, int n, int rounds) {
    for (int i = 0; i < rounds; i++) {
        spin_until(&turn, mine);
        turn = next_turn(mine, n);
    }
}

static void ring(int n, int rounds) {
    weft_wg wg = WEFT_WG_INIT;
    turn = 0;
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_wg_go(&wg, take_turns, i, n, rounds), 0);
    weft_wg_wait(&wg);
}

TEST1(P20_two_that_wait_by_spinning) {
    ring(2, 5);
}

TEST1(P21_an_endless_loop_without_a_call) {
    start_hogs(1);
    weft_yield(); /* it gets the P, and main is back only by preemption */
    CHECK(counted[0] > 0);
    stop_hogs();
}

static void empty_loop(void) {
    for (;;)
        __asm__ volatile("");
}

static void main_comes_back(void) {
    weft_go(empty_loop);
    for (int i = 0; i < 5; i++)
        weft_yield();
    _exit(7);
}

TEST_PLAIN(P21_an_empty_loop) {
    struct test_output o = test_run_child(main_comes_back, "GOMAXPROCS=1");
    CHECK_EQ(o.status, 7);
    test_output_free(&o);
}

/* ---- P1, P2: spinners on as many Ps ---- */

TEST_ENV(P1_spinners_run_at_the_same_time, "GOMAXPROCS=4") {
    ring(4, 20);
}

static void pass_on(int n, int rounds, weft_wg *wg) {
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_wg_go(wg, take_turns, i, n, rounds), 0);
}

TEST_ENV(P2_spinners_started_by_another_goroutine, "GOMAXPROCS=2") {
    for (int i = 0; i < 5; i++) {
        weft_wg wg = WEFT_WG_INIT;
        turn = 0;
        weft_sleep(2 * WEFT_MILLISECOND); /* threads have just parked */
        CHECK_EQ(weft_wg_go(&wg, pass_on, 2, 20, &wg), 0);
        weft_wg_wait(&wg);
    }
}

/* ---- the first slice of a run ---- */

static atomic_bool other_ran;

static void run_other(void) {
    other_ran = true;
}

static int compute_until_cut(int argc, char **argv) {
    (void)argc, (void)argv;
    other_ran = false;
    weft_go(run_other);
    while (!other_ran)
        compute();
    return 0;
}

TEST_ENV(the_first_slice_is_a_whole_one, "GOMAXPROCS=1");
TEST_PLAIN(the_first_slice_is_a_whole_one) {
    for (int i = 0; i < 3; i++) { /* what the monitor remembers is of the run before */
        int64_t start = nanos();
        CHECK_EQ(weft_run(compute_until_cut, 0, NULL), 0);
        CHECK(nanos() - start >= 10 * WEFT_MILLISECOND);
    }
}

/* ---- fairness ---- */

static bool all_moved(int n) {
    for (int i = 0; i < n; i++)
        if (counted[i] == 0)
            return false;
    return true;
}

TEST_ENV(a_hundred_hogs_all_run, "GOMAXPROCS=2") {
    int n = FEW_FIBERS ? 20 : 100;
    start_hogs(n);
    EVENTUALLY(all_moved(n));
    stop_hogs();
}

TEST1(a_hundred_hogs_all_run_on_one_P) {
    int n = FEW_FIBERS ? 20 : 100;
    start_hogs(n);
    EVENTUALLY(all_moved(n));
    stop_hogs();
}

static atomic_bool enough;

static void hands_on(weft_chan(int) in, weft_chan(int) out) {
    for (int v; !enough && weft_recv(in, &v);)
        weft_send(out, v + 1);
}

/* Two that hand on to each other keep no captive waiting, nor do the captives keep them. */
TEST1(hogs_beside_goroutines_that_hand_on) {
    weft_chan(int) a = weft_chan_make(int, 0), b = weft_chan_make(int, 0);
    weft_go(hands_on, a, b);
    weft_go(hands_on, b, a);
    weft_send(a, 0);
    start_hogs(3);
    EVENTUALLY(all_moved(3));
    stop = enough = true;
    int v;
    EVENTUALLY(weft_num_goroutine() == 1 || (weft_try_recv(a, &v), weft_try_recv(b, &v),
                                             weft_try_send(a, 0), weft_try_send(b, 0), false));
    weft_chan_unref(a);
    weft_chan_unref(b);
}

/* ---- P34 ---- */

static void change_ps(void) {
    for (int i = 0; i < 10; i++) {
        CHECK(weft_gomaxprocs(1 + i % 4) >= 1);
        weft_sleep(WEFT_MILLISECOND);
    }
}

TEST_ENV(P34_a_stop_of_the_world_reaches_a_loop, "GOMAXPROCS=2") {
    start_hogs(1);
    change_ps();
    stop_hogs();
}

TEST_ENV(P34_many_loops, "GOMAXPROCS=4") {
    start_hogs(6);
    change_ps();
    EVENTUALLY(all_moved(6));
    stop_hogs();
}

/* ---- nothing is lost ---- */

/* The rounding of floating-point numbers, a state of the processor that each goroutine may set. */
static void set_rounding(unsigned mode) {
#ifdef __x86_64__
    __builtin_ia32_ldmxcsr(0x1f80 | mode << 13);
#endif
    (void)mode;
}

static unsigned rounding(unsigned mode) {
#ifdef __x86_64__
    mode = __builtin_ia32_stmxcsr() >> 13 & 3;
#endif
    return mode;
}

static void keeps_registers(int i) {
    double a = 1, b = 2, c = 3, d = 4;
    unsigned mode = (unsigned)i & 3;
    set_rounding(mode);
    errno = 100 + i;
    for (; !stop; compute()) {
        double t = a;
        a = b, b = c, c = d, d = t;
        CHECK(a + b + c + d == 10);
        CHECK_EQ(rounding(mode), mode);
        CHECK_EQ(errno, 100 + i);
    }
    set_rounding(0);
}

TEST_ENV(registers_and_errno_are_kept, "GOMAXPROCS=2") {
    for (int i = 0; i < 6; i++)
        weft_go(keeps_registers, i);
    weft_sleep(300 * WEFT_MILLISECOND);
    stop_hogs();
}

static void on_one_thread(void) {
    pthread_t self = pthread_self();
    int *address = __errno_location();
    for (; !stop; compute()) {
        CHECK(pthread_equal(self, pthread_self()));
        CHECK(address == __errno_location());
    }
}

TEST_ENV(the_thread_does_not_change, "GOMAXPROCS=2") {
    for (int i = 0; i < 6; i++)
        weft_go(on_one_thread);
    weft_sleep(200 * WEFT_MILLISECOND);
    stop_hogs();
}

/* ---- off ---- */

static atomic_int done;

static void hogs_once(int64_t span) {
    hog_for(span);
    done++;
}

TEST_ENV(asyncpreemptoff_leaves_a_loop_alone, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1") {
    weft_go(hogs_once, 200 * 1000000ll);
    weft_yield();
    CHECK_EQ(done, 1);
}

TEST1(a_loop_is_not_left_alone) {
    weft_go(hogs_once, 200 * 1000000ll * test_slowness());
    weft_yield();
    CHECK_EQ(done, 0);
    EVENTUALLY(done == 1);
}

/* ---- children ---- */

static __attribute__((noinline)) pid_t child_by(bool fork_it) {
    pid_t pid = fork_it ? fork() : vfork();
    if (pid == 0)
        _exit(3);
    return pid;
}

static void forks(void) {
    for (int i = 0; i < 20; i++) {
        pid_t pid = child_by(i % 2);
        int status;
        CHECK(pid > 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    }
    done++;
}

TEST_ENV(forks_beside_hogs, "GOMAXPROCS=2") {
    start_hogs(3);
    for (int i = 0; i < 2; i++)
        weft_go(forks);
    EVENTUALLY(done == 2);
    stop_hogs();
}

/* ---- the end of a run ---- */

static atomic_bool run_over, let_end;
static atomic_int begun;
static atomic_ulong after_run[3];

static void outlives(int i) {
    begun++;
    for (; !let_end; compute())
        if (run_over)
            after_run[i]++;
    weft_yield(); /* its thread ends here */
    FAIL("it came back");
}

static int app_with_hogs(int argc, char **argv) {
    (void)argc, (void)argv;
    weft_lock_os_thread(); /* weft_run's thread is needed for its return */
    for (int i = 0; i < 3; i++)
        weft_go(outlives, i);
    do /* until its thread has come up each but the first waits, and a run may end before it began */
        weft_sleep(60 * WEFT_MILLISECOND);
    while (begun < 3); /* two are captives now */
    return 5;
}

static int app_nothing(int argc, char **argv) {
    (void)argc, (void)argv;
    return 6;
}

TEST_ENV(weft_run_ends_while_hogs_compute, "GOMAXPROCS=1");
TEST_PLAIN(weft_run_ends_while_hogs_compute) {
    CHECK_EQ(weft_run(app_with_hogs, 0, NULL), 5);
    run_over = true;
    for (int i = 0; i < 4000 && !(after_run[0] && after_run[1] && after_run[2]); i++)
        usleep(10000);
    CHECK(after_run[0] && after_run[1] && after_run[2]); /* captives were let go */
    CHECK_EQ(weft_run(app_nothing, 0, NULL), 6);
    let_end = true;
    for (int i = 0; i < 4000 && test_count_threads() > 1 + (SANITIZED ? 1 : 0); i++)
        usleep(10000);
    CHECK(test_count_threads() <= 1 + (SANITIZED ? 1 : 0));
}

/* Captives are let go while others still look for work. */

static atomic_bool main_left;

static void until_main_left(void) {
    while (!main_left)
        compute();
}

static void yield_on(void) {
    for (;;)
        weft_yield();
}

static int app_with_captives(int argc, char **argv) {
    (void)argc, (void)argv;
    for (int i = 0; i < 6; i++)
        weft_go(until_main_left);
    for (int i = 0; i < 6; i++)
        weft_go(yield_on);
    weft_sleep(25 * WEFT_MILLISECOND);
    main_left = true;
    return 8;
}

TEST_ENV(runs_end_with_captives_in_the_queue, "GOMAXPROCS=3");
TEST_PLAIN(runs_end_with_captives_in_the_queue) {
    for (int i = 0; i < ROUNDS(20); i++) {
        main_left = false;
        CHECK_EQ(weft_run(app_with_captives, 0, NULL), 8);
    }
}

TEST1(weft_run_in_a_goroutine_is_busy) {
    CHECK_EQ(weft_run(app_nothing, 0, NULL), -1);
    CHECK_EQ(errno, EBUSY);
}
