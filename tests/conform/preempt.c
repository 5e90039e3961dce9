/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption by signal: goroutines that compute or block without a weft call lose their P (P1, P2,
 * P20, P21, P22, P34), and what they were doing does not notice.
 *
 * A hog looks at a flag and makes no call at all. Durations are compared downwards only, but for
 * "others ran meanwhile".
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>

#include "conform.h"

static atomic_bool stop;
static atomic_ulong counted[128];

/* Without an access to memory, which ThreadSanitizer would be in, and not to be interrupted. */
static void compute(void) {
    for (int i = 0; i < 1000; i++)
        __asm__ volatile("" : "+r"(i));
}

static void hog(int i) {
    for (; !stop; compute())
        counted[i]++;
}

static void start_hogs(int n) {
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_go(hog, i), 0);
}

static void stop_hogs(void) {
    stop = true;
    EVENTUALLY(weft_num_goroutine() == 1);
    stop = false;
}

static int64_t nanos(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

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

/* ---- P22 without brackets: system calls ---- */

static atomic_int done;

static void beside(atomic_long *n) {
    while (!stop) {
        (*n)++;
        weft_yield();
    }
}

static void naps(void) {
    struct timespec span = {0, 100 * 1000000}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    errno = 0;
    CHECK_EQ(nanosleep(&span, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    int64_t took = (after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec;
    CHECK(took >= 100 * 1000000);
    done++;
}

TEST1(P22_an_unannounced_sleep_holds_no_P) {
    static atomic_long n;
    weft_go(beside, &n);
    for (int i = 0; i < 8; i++)
        weft_go(naps);
    EVENTUALLY(done == 8);
    CHECK(n > 50); /* eight slices, were it not for preemption */
    stop_hogs();
}

static int ends[2];

static void open_ends(void) {
    CHECK_EQ(pipe(ends), 0);
}

static void close_ends(void) {
    close(ends[0]);
    close(ends[1]);
}

static void reads_late_byte(void) {
    char c = 0;
    CHECK_EQ(read(ends[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    done++;
}

TEST1(P22_an_unannounced_read_holds_no_P) {
    static atomic_long n;
    open_ends();
    weft_go(beside, &n);
    for (int i = 0; i < 4; i++)
        weft_go(reads_late_byte);
    weft_sleep(50 * WEFT_MILLISECOND);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(write(ends[1], "x", 1), 1);
    EVENTUALLY(done == 4);
    stop_hogs();
    close_ends();
}

/* Each of these fails with EINTR when a signal comes, whatever SA_RESTART says. */

#define SPAN_MS 60

static void call_poll(void) {
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    CHECK_EQ(poll(&fd, 1, SPAN_MS), 0);
}

static void call_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    struct timeval span = {0, SPAN_MS * 1000};
    CHECK_EQ(select(ends[0] + 1, &set, NULL, NULL, &span), 0);
}

static void call_ppoll(void) {
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    struct timespec span = {0, SPAN_MS * 1000000};
    CHECK_EQ(ppoll(&fd, 1, &span, NULL), 0);
}

static void call_epoll(void) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &e), 0);
    CHECK_EQ(epoll_wait(ep, &e, 1, SPAN_MS), 0);
    close(ep);
}

static void call_usleep(void) {
    CHECK_EQ(usleep(SPAN_MS * 1000), 0);
}

static void call_clock_nanosleep(void) {
    struct timespec span = {0, SPAN_MS * 1000000};
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL), 0);
}

static void call_sem_timedwait(void) {
    sem_t sem;
    struct timespec until;
    sem_init(&sem, 0, 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SPAN_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    CHECK_EQ(sem_timedwait(&sem, &until), -1);
    CHECK_EQ(errno, ETIMEDOUT);
}

static void call_cond_timedwait(void) {
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t c = PTHREAD_COND_INITIALIZER;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SPAN_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&m);
    CHECK_EQ(pthread_cond_timedwait(&c, &m, &until), ETIMEDOUT);
    pthread_mutex_unlock(&m);
}

static void runs_call(void (*call)(void)) {
    for (int i = 0; i < 3; i++) {
        int64_t before = nanos();
        call();
        CHECK(nanos() - before >= (SPAN_MS - 1) * 1000000ll);
    }
    done++;
}

TEST1(interrupted_system_calls_are_made_again) {
    static void (*const calls[])(void) = {
        call_poll,   call_select,          call_ppoll,         call_epoll,
        call_usleep, call_clock_nanosleep, call_sem_timedwait, call_cond_timedwait,
    };
    const int n = sizeof calls / sizeof *calls;
    open_ends();
    start_hogs(2);
    for (int i = 0; i < n; i++)
        weft_go(runs_call, calls[i]);
    EVENTUALLY(done == n);
    stop_hogs();
    close_ends();
}

static void nothing(int sig) {
    (void)sig;
}

/* The program's own signals still interrupt. */
static void is_interrupted(pthread_t *self) {
    *self = pthread_self();
    done = 1;
    int r = usleep(30 * 1000000), err = errno;
    CHECK_EQ(r, -1);
    CHECK_EQ(err, EINTR);
    done = 2;
}

TEST1(the_programs_own_signal_interrupts) {
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_ONSTACK};
    pthread_t thread;
    sigaction(SIGUSR2, &action, NULL);
    start_hogs(2);
    weft_go(is_interrupted, &thread);
    EVENTUALLY(done == 1);
    weft_sleep(50 * WEFT_MILLISECOND);
    while (done != 2) {
        pthread_kill(thread, SIGUSR2);
        weft_sleep(5 * WEFT_MILLISECOND);
    }
    stop_hogs();
}

/* A goroutine that comes back from a call and computes on shares its P as all do. */
static void naps_then_computes(int i) {
    usleep(30000);
    hog(i);
}

TEST1(one_that_computes_after_a_system_call) {
    start_hogs(2);
    weft_go(naps_then_computes, 2);
    EVENTUALLY(counted[2] > 0);
    weft_sleep(100 * WEFT_MILLISECOND);
    stop_hogs();
}

/* ---- locks of pthreads' ---- */

static pthread_mutex_t section = PTHREAD_MUTEX_INITIALIZER;
static int inside, sections;

static void holds_long(int times) {
    for (int i = 0; i < times; i++) {
        pthread_mutex_lock(&section);
        CHECK_EQ(inside++, 0);
        for (int64_t end = nanos() + 30000000; nanos() < end;)
            compute();
        CHECK_EQ(--inside, 0);
        sections++;
        pthread_mutex_unlock(&section);
    }
    done++;
}

static void mutex_held_over_slices(void) {
    static atomic_long n;
    for (int i = 0; i < 4; i++)
        weft_go(holds_long, 4);
    weft_go(beside, &n);
    EVENTUALLY(done == 4);
    CHECK_EQ(sections, 16);
    CHECK(n > 16);
    stop_hogs();
}

TEST1(a_mutex_held_by_one_that_is_preempted) {
    mutex_held_over_slices();
}

TEST_ENV(a_mutex_held_by_one_that_is_preempted_2, "GOMAXPROCS=2") {
    mutex_held_over_slices();
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

/* ---- signals ---- */

static atomic_int got, with_thread;

static void older(int sig, siginfo_t *info, void *context) {
    (void)context;
    CHECK_EQ(sig, SIGURG);
    if (info->si_code == SI_TKILL)
        with_thread++;
    got++;
}

static struct sigaction old_action(void) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    action.sa_sigaction = older;
    sigemptyset(&action.sa_mask);
    return action;
}

static int app_with_older_handler(int argc, char **argv) {
    (void)argc, (void)argv;
    start_hogs(4);
    weft_sleep(100 * WEFT_MILLISECOND);
    CHECK_EQ(got, 0); /* weft's own are not passed on */
    for (int i = 1; i <= 5; i++) {
        CHECK_EQ(kill(getpid(), SIGURG), 0);
        EVENTUALLY(got == i);
    }
    stop_hogs();
    return 0;
}

TEST_PLAIN(an_older_handler_gets_what_is_not_wefts) {
    struct sigaction action = old_action(), after;
    CHECK_EQ(sigaction(SIGURG, &action, NULL), 0);
    CHECK_EQ(weft_run(app_with_older_handler, 0, NULL), 0);
    CHECK_EQ(sigaction(SIGURG, NULL, &after), 0);
    CHECK(after.sa_sigaction == older);
}

static atomic_bool threads_stop;

static void *foreign_thread(void *arg) {
    weft_chan(int) c = arg;
    while (!threads_stop) {
        int v;
        weft_try_recv(c, &v);
        compute();
    }
    return NULL;
}

static int app_with_threads(int argc, char **argv) {
    (void)argc, (void)argv;
    pthread_t threads[3];
    weft_chan(int) c = weft_chan_make(int, 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, foreign_thread, c), 0);
    start_hogs(4);
    weft_sleep(300 * WEFT_MILLISECOND);
    threads_stop = true;
    stop_hogs();
    for (int i = 0; i < 3; i++)
        weft_block(pthread_join(threads[i], NULL));
    weft_chan_unref(c);
    return 0;
}

TEST_PLAIN(threads_of_the_programs_are_not_signalled) {
    struct sigaction action = old_action();
    CHECK_EQ(sigaction(SIGURG, &action, NULL), 0);
    CHECK_EQ(weft_run(app_with_threads, 0, NULL), 0);
    CHECK_EQ(got, 0);
}

TEST1(weft_signal_notify_is_not_given_it) {
    weft_chan(int) c = weft_chan_make(int, 1);
    const int urg = SIGURG;
    CHECK_EQ(weft_signal_notify(c, &urg, 1), -1);
    CHECK_EQ(errno, EINVAL);
    weft_chan_unref(c);
}

TEST_ENV(the_signal_can_be_chosen, "GOMAXPROCS=1", "GODEBUG=preemptsignal=10") {
    weft_chan(int) c = weft_chan_make(int, 1);
    const int urg = SIGURG;
    CHECK_EQ(weft_signal_notify(c, &urg, 1), 0);
    start_hogs(2);
    weft_yield();
    CHECK(counted[0] > 0);
    raise(SIGURG);
    int v = 0;
    CHECK(weft_recv(c, &v) && v == SIGURG);
    weft_signal_stop(c);
    stop_hogs();
    weft_chan_unref(c);
}

static void hog_for(int64_t span) {
    for (int64_t end = nanos() + span; nanos() < end;)
        compute();
    done++;
}

static bool hears(void) {
    sigset_t blocked;
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    return !sigismember(&blocked, SIGURG);
}

static void is_deaf(atomic_long *n) {
    sigset_t all;
    weft_lock_os_thread(); /* nobody else gets to that thread, and would never lose its P */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (!hears()) {
        hog_for(20 * WEFT_MILLISECOND);
        weft_yield(); /* finds the signal unanswered */
    }
    for (long before = *n; *n == before; compute()) /* it loses its P, or this has no end */
        ;
    weft_unlock_os_thread();
}

TEST1(a_thread_that_was_made_deaf_hears_again) {
    static atomic_long n;
    weft_go(beside, &n);
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 3; i++)
        weft_wg_go(&wg, is_deaf, &n);
    weft_wg_wait(&wg);
    stop = true;
    EVENTUALLY(weft_num_goroutine() == 1);
}

static int app_of_blocked(int argc, char **argv) {
    (void)argc, (void)argv;
    start_hogs(2);
    weft_yield();
    CHECK(counted[0] > 0);
    stop_hogs();
    return 0;
}

TEST_ENV(a_mask_of_before_does_not_stop_it, "GOMAXPROCS=1");
TEST_PLAIN(a_mask_of_before_does_not_stop_it) {
    sigset_t all, after;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    CHECK_EQ(weft_run(app_of_blocked, 0, NULL), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    CHECK(sigismember(&after, SIGURG));
}

/* ---- off ---- */

TEST_ENV(asyncpreemptoff_leaves_a_loop_alone, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1") {
    weft_go(hog_for, 200 * 1000000ll);
    weft_yield();
    CHECK_EQ(done, 1);
}

TEST1(a_loop_is_not_left_alone) {
    weft_go(hog_for, 200 * 1000000ll * test_slowness());
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

/* The signal waits at a thread that blocks it, until after weft's handler is gone. */
static int app_that_blocks_it(int argc, char **argv) {
    (void)argc, (void)argv;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    weft_go(compute);
    hog_for(15 * WEFT_MILLISECOND); /* it is sent meanwhile */
    return 4;
}

TEST_ENV(a_signal_that_comes_late_ends_nothing, "GOMAXPROCS=1", "GODEBUG=preemptsignal=10");
TEST_PLAIN(a_signal_that_comes_late_ends_nothing) {
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_run(app_that_blocks_it, 0, NULL), 4);
}

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
