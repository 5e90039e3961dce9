/* SPDX-License-Identifier: Apache-2.0 */
/* The preemption signal as a signal: handlers of the program's, other senders, other threads, masks. */
#include "hogs.h" /* first: it asks for the GNU extensions */

#include <pthread.h>
#include <signal.h>

/* ---- whose it is ---- */

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

/* ---- threads that block it ---- */

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
