/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.c: signals as values on channels and as the end of contexts.
 *
 * A signal that a thread sends to itself has been handled when raise returns, so what comes of it
 * can be counted exactly. What is sent to the process arrives on some thread, soon.
 */
#include "conform.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Defines a test at GOMAXPROCS 1, 2 and 8 out of a function. */
#define AT_PROCS(name)                                                                             \
    TEST_ENV(name##_P1, "GOMAXPROCS=1") {                                                          \
        name();                                                                                    \
    }                                                                                              \
    TEST_ENV(name##_P2, "GOMAXPROCS=2") {                                                          \
        name();                                                                                    \
    }                                                                                              \
    TEST_ENV(name##_P8, "GOMAXPROCS=8") {                                                          \
        name();                                                                                    \
    }

#define NOTIFY(c, ...)                                                                             \
    CHECK_EQ(                                                                                      \
        weft_signal_notify(c, ((int[]){__VA_ARGS__}), sizeof((int[]){__VA_ARGS__}) / sizeof(int)), \
        0)

static int next(weft_chan(int) c) {
    int sig = 0;
    CHECK(weft_recv(c, &sig));
    return sig;
}

static void stop_and_drop(weft_chan(int) c) {
    weft_signal_stop(c);
    weft_chan_unref(c);
}

/* As the kernel has it. */
static struct sigaction disposition(int sig) {
    struct sigaction action;
    CHECK_EQ(sigaction(sig, NULL, &action), 0);
    return action;
}

static void set_handler(int sig, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK_EQ(sigaction(sig, &action, NULL), 0);
}

static bool is_default(int sig) {
    return disposition(sig).sa_handler == SIG_DFL;
}

/* A child that hangs ends, and so does one whose parent has failed. */
static pid_t fork_guarded(void) {
    pid_t pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHECK(pid >= 0);
    return pid;
}

/* Exit status, or 128 + signal. */
static int status_of(pid_t pid) {
    int status;
    CHECK_EQ(weft_block(waitpid(pid, &status, 0)), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- notices ---- */

static void sent_to_the_process(void) {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1, SIGHUP);
    for (int i = 0; i < ROUNDS(200); i++) {
        int sig = i % 2 ? SIGUSR1 : SIGHUP;
        CHECK_EQ(kill(getpid(), sig), 0);
        CHECK_EQ(next(c), sig);
    }
    stop_and_drop(c);
}
AT_PROCS(sent_to_the_process)

static _Atomic bool thread_may_go;

static void *waits_to_go(void *arg) {
    while (!thread_may_go)
        usleep(1000);
    return arg;
}

static void *calls_weft_and_waits(void *arg) {
    weft_try_send((weft_chan(int))arg, 1);
    return waits_to_go(arg);
}

static void sent_to_threads(void) {
    weft_chan(int) c = weft_chan_make(int, 1), other = weft_chan_make(int, 1);
    pthread_t threads[2];
    thread_may_go = false;
    CHECK_EQ(pthread_create(&threads[0], NULL, waits_to_go, NULL), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, calls_weft_and_waits, other), 0);
    CHECK(weft_recv(other, NULL));
    NOTIFY(c, SIGUSR2);
    for (int i = 0; i < ROUNDS(100); i++) {
        CHECK_EQ(pthread_kill(threads[i % 2], SIGUSR2), 0);
        CHECK_EQ(next(c), SIGUSR2);
    }
    stop_and_drop(c);
    thread_may_go = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    weft_chan_unref(other);
}
AT_PROCS(sent_to_threads)

static void raises(int sig, int times) {
    for (int i = 0; i < times; i++) {
        CHECK_EQ(raise(sig), 0);
        if (i % 16 == 0)
            weft_yield();
    }
}

enum { RAISERS = 8, RAISES = 100 };

/* Each that was handled is a notice: none is merged with another one, none comes twice. */
static void raised_in_goroutines(void) {
    weft_chan(int) c = weft_chan_make(int, RAISERS *RAISES + 10);
    weft_wg wg = WEFT_WG_INIT;
    NOTIFY(c, SIGUSR1);
    for (int i = 0; i < RAISERS; i++)
        weft_wg_go(&wg, raises, SIGUSR1, RAISES);
    weft_wg_wait(&wg);
    for (int i = 0; i < RAISERS * RAISES; i++)
        CHECK_EQ(next(c), SIGUSR1);
    quiet_for(10 * WEFT_MILLISECOND);
    CHECK_EQ(weft_chan_len(c), 0);
    stop_and_drop(c);
}
AT_PROCS(raised_in_goroutines)

enum { STORMERS = 3, STORM = 3000 };

static void *queues_many(void *arg) {
    for (int i = 0; i < STORM; i++)
        while (sigqueue(getpid(), SIGRTMIN + 1, (union sigval){0}) != 0)
            usleep(100); /* the kernel's queue is full */
    return arg;
}

static void each_of_a_storm_of_realtime_signals(void) {
    weft_chan(int) c = weft_chan_make(int, STORMERS *STORM + 10);
    pthread_t threads[STORMERS];
    NOTIFY(c, SIGRTMIN + 1);
    for (int i = 0; i < STORMERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, queues_many, NULL), 0);
    for (int i = 0; i < STORMERS * STORM; i++)
        CHECK_EQ(next(c), SIGRTMIN + 1);
    for (int i = 0; i < STORMERS; i++)
        pthread_join(threads[i], NULL);
    quiet_for(10 * WEFT_MILLISECOND);
    CHECK_EQ(weft_chan_len(c), 0);
    stop_and_drop(c);
}
AT_PROCS(each_of_a_storm_of_realtime_signals)

static _Atomic bool storm_over;

static void *storms(void *arg) {
    for (int i = 0; !storm_over; i++) {
        kill(getpid(), i % 2 ? SIGUSR1 : SIGUSR2);
        if (i % 64 == 0)
            usleep(100);
    }
    return arg;
}

static void bounce(weft_chan(int) in, weft_chan(int) out) {
    int v;
    while (weft_recv(in, &v))
        weft_send(out, v + 1);
    weft_chan_close(out);
}

/* Handlers interrupt the runtime wherever it is, while registrations come and go. */
static void a_storm_breaks_nothing(void) {
    weft_chan(int) there = weft_chan_make(int, 0), back = weft_chan_make(int, 0);
    weft_chan(int) steady = weft_chan_make(int, 4);
    pthread_t thread;
    set_handler(SIGUSR1, SIG_IGN); /* for what is still on its way at the end */
    set_handler(SIGUSR2, SIG_IGN);
    NOTIFY(steady, SIGUSR1, SIGUSR2);
    storm_over = false;
    CHECK_EQ(pthread_create(&thread, NULL, storms, NULL), 0);
    weft_go(bounce, there, back);
    for (int i = 0; i < ROUNDS(2000); i++) {
        weft_chan(int) c = weft_chan_make(int, 1);
        NOTIFY(c, SIGUSR1);
        int v = i;
        CHECK(weft_send(there, v));
        CHECK(weft_recv(back, &v));
        CHECK_EQ(v, i + 1);
        weft_try_recv(steady, NULL);
        weft_signal_stop(c);
        size_t len = weft_chan_len(c);
        if (i % 64 == 0)
            weft_sleep(100 * WEFT_MICROSECOND);
        CHECK_EQ(weft_chan_len(c), len);
        weft_chan_unref(c);
    }
    while (next(steady) != SIGUSR1)
        continue;
    while (next(steady) != SIGUSR2)
        continue;
    storm_over = true;
    pthread_join(thread, NULL);
    stop_and_drop(steady);
    weft_chan_close(there);
    CHECK(!weft_recv(back, NULL));
}
AT_PROCS(a_storm_breaks_nothing)

TEST(errno_is_kept) {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1);
    errno = 77;
    pthread_kill(pthread_self(), SIGUSR1);
    CHECK_EQ(errno, 77);
    CHECK_EQ(next(c), SIGUSR1);
    stop_and_drop(c);
}

TEST(a_blocking_call_is_restarted) {
    int ends[2];
    char byte = 0;
    weft_chan(int) c = weft_chan_make(int, 1);
    CHECK_EQ(pipe(ends), 0);
    NOTIFY(c, SIGUSR1);
    pid_t child = fork_guarded();
    if (child == 0) {
        for (int i = 0; i < 20; i++) {
            usleep(2000);
            kill(getppid(), SIGUSR1);
        }
        _exit(write(ends[1], "x", 1) != 1);
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1); /* on this very thread */
    CHECK_EQ(byte, 'x');
    CHECK_EQ(next(c), SIGUSR1);
    CHECK_EQ(status_of(child), 0);
    stop_and_drop(c);
    close(ends[0]);
    close(ends[1]);
}

/* ---- who gets what ---- */

TEST(several_registrations_add_up) {
    weft_chan(int) c = weft_chan_make(int, 4);
    NOTIFY(c, SIGUSR1);
    NOTIFY(c, SIGUSR2, SIGUSR2, SIGUSR1);
    raise(SIGUSR2);
    CHECK_EQ(next(c), SIGUSR2);
    raise(SIGUSR1);
    CHECK_EQ(next(c), SIGUSR1);
    weft_signal_stop(c); /* all of them */
    CHECK(is_default(SIGUSR1) && is_default(SIGUSR2));
    weft_signal_stop(c); /* nothing more to do */
    weft_signal_stop(NULL);
    CHECK_EQ(weft_chan_len(c), 0);
    weft_chan_unref(c);
}

TEST(each_channel_gets_what_it_asked_for) {
    weft_chan(int) a = weft_chan_make(int, 4), b = weft_chan_make(int, 4);
    NOTIFY(a, SIGUSR1);
    NOTIFY(b, SIGUSR1, SIGUSR2);
    raise(SIGUSR1);
    CHECK_EQ(next(a), SIGUSR1);
    CHECK_EQ(next(b), SIGUSR1);
    raise(SIGUSR2);
    CHECK_EQ(next(b), SIGUSR2);
    CHECK_EQ(weft_chan_len(a), 0);
    weft_signal_stop(b);
    CHECK(is_default(SIGUSR2));
    CHECK(!is_default(SIGUSR1));
    raise(SIGUSR1);
    CHECK_EQ(next(a), SIGUSR1);
    CHECK_EQ(weft_chan_len(b), 0);
    weft_chan_unref(b);
    stop_and_drop(a);
}

/* Not what came before it was registered, all that came before it was stopped. */
static void exactly_while_registered(void) {
    weft_chan(int) first = weft_chan_make(int, 200);
    NOTIFY(first, SIGUSR1);
    for (int i = 0; i < 100; i++) {
        weft_chan(int) c = weft_chan_make(int, 2);
        raise(SIGUSR1);
        NOTIFY(c, SIGUSR1);
        raise(SIGUSR1);
        weft_signal_stop(c);
        CHECK_EQ(weft_chan_len(c), 1);
        weft_chan_unref(c);
    }
    weft_signal_stop(first);
    CHECK_EQ(weft_chan_len(first), 200);
    weft_chan_unref(first);
}
AT_PROCS(exactly_while_registered)

TEST(a_full_channel_misses) {
    weft_chan(int) full = weft_chan_make(int, 1), none = weft_chan_make(int, 0);
    weft_chan(int) large = weft_chan_make(int, 10), closed = weft_chan_make(int, 10);
    weft_chan_close(closed);
    NOTIFY(full, SIGUSR1);
    NOTIFY(none, SIGUSR1);
    NOTIFY(closed, SIGUSR1);
    NOTIFY(large, SIGUSR1);
    for (int i = 0; i < 5; i++) {
        raise(SIGUSR1);
        CHECK_EQ(next(large), SIGUSR1);
    }
    CHECK_EQ(weft_chan_len(full), 1);
    CHECK(!weft_try_recv(none, NULL));
    CHECK(!weft_recv(closed, NULL));
    stop_and_drop(full);
    stop_and_drop(none);
    stop_and_drop(closed);
    stop_and_drop(large);
}

TEST(a_registration_holds_the_channel) {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1);
    weft_chan(int) again = weft_chan_ref(c);
    weft_chan_unref(c);
    weft_chan_unref(again);
    raise(SIGUSR1);
    CHECK_EQ(next(c), SIGUSR1);
    weft_signal_stop(c);
}

TEST(what_cannot_be_asked_for) {
    const int bad[] = {0,      -1,     65,     SIGKILL, SIGSTOP,      SIGSEGV,
                       SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGRTMIN - 1, 1 << 20};
    weft_chan(int) c = weft_chan_make(int, 1);
    int fds = test_count_fds();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        errno = 0;
        CHECK_EQ(weft_signal_notify(c, ((int[]){SIGUSR1, bad[i]}), 2), -1);
        CHECK_EQ(errno, EINVAL);
        errno = 0;
        CHECK(weft_signal_ctx(weft_ctx_background(), &bad[i], 1) == NULL);
        CHECK_EQ(errno, EINVAL);
    }
    CHECK(is_default(SIGUSR1)); /* nothing has changed */
    CHECK_EQ(test_count_fds(), fds);
    weft_chan_unref(c);
}

TEST(an_empty_list_is_all_signals) {
    const int some[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH, SIGRTMIN, SIGRTMAX};
    struct sigaction watchdog = disposition(SIGALRM);
    weft_chan(int) c = weft_chan_make(int, 4);
    CHECK_EQ(weft_signal_notify(c, NULL, 0), 0);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        raise(some[i]);
        CHECK_EQ(next(c), some[i]);
    }
    CHECK(disposition(SIGSEGV).sa_sigaction != disposition(SIGHUP).sa_sigaction);
    stop_and_drop(c);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        CHECK(is_default(some[i]));
    CHECK(disposition(SIGALRM).sa_handler == watchdog.sa_handler);
}

/* ---- dispositions ---- */

static _Atomic int handled;

static void handle(int sig) {
    (void)sig;
    handled++;
}

static void handle_info(int sig, siginfo_t *info, void *context) {
    (void)context;
    CHECK_EQ(info->si_signo, sig);
    handled++;
}

static void check_same(const struct sigaction *a, const struct sigaction *b) {
    CHECK(a->sa_handler == b->sa_handler);
    CHECK_EQ(a->sa_flags, b->sa_flags);
    for (int sig = 1; sig < SIGRTMAX; sig++)
        CHECK_EQ(sigismember(&a->sa_mask, sig), sigismember(&b->sa_mask, sig));
}

static void check_restored(int sig, const struct sigaction *action) {
    weft_chan(int) c = weft_chan_make(int, 1), d = weft_chan_make(int, 1);
    CHECK_EQ(sigaction(sig, action, NULL), 0);
    struct sigaction before = disposition(sig);
    for (int i = 0; i < 3; i++) {
        NOTIFY(c, sig);
        NOTIFY(d, sig);
        raise(sig);
        CHECK_EQ(next(c), sig);
        weft_signal_stop(c);
        CHECK(disposition(sig).sa_handler != before.sa_handler);
        weft_signal_stop(d);
        struct sigaction after = disposition(sig);
        check_same(&before, &after);
    }
    weft_chan_unref(c);
    weft_chan_unref(d);
}

TEST(stop_restores_what_was) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    check_restored(SIGUSR1, &action);
    action.sa_handler = SIG_IGN;
    check_restored(SIGUSR1, &action);
    CHECK_EQ(raise(SIGUSR1), 0); /* ignored */
    action.sa_handler = handle;
    sigaddset(&action.sa_mask, SIGHUP);
    action.sa_flags = SA_RESTART | SA_NODEFER;
    check_restored(SIGUSR1, &action);
    action.sa_sigaction = handle_info;
    sigaddset(&action.sa_mask, SIGUSR2);
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    check_restored(SIGUSR1, &action);
    CHECK_EQ(handled, 0);
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
}

TEST(what_the_program_changed_meanwhile_stays) {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1);
    set_handler(SIGUSR1, handle);
    weft_signal_stop(c);
    CHECK(disposition(SIGUSR1).sa_handler == handle);
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
    CHECK_EQ(weft_chan_len(c), 0);
    weft_chan_unref(c);
}

enum { SENDERS = 3, SENDS = 5000 };

static _Atomic int senders_left;

static void *sends_itself(void *arg) {
    for (int i = 0; i < SENDS; i++)
        raise(SIGUSR1);
    senders_left--;
    return arg;
}

/* Every signal is a notice or goes to the handler from before, whatever the moment it comes at. */
static void none_is_lost_in_between(void) {
    weft_chan(int) c = weft_chan_make(int, SENDERS *SENDS + 10);
    pthread_t threads[SENDERS];
    set_handler(SIGUSR1, handle);
    handled = 0;
    senders_left = SENDERS;
    for (int i = 0; i < SENDERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, sends_itself, NULL), 0);
    while (senders_left > 0) {
        NOTIFY(c, SIGUSR1);
        weft_yield();
        weft_signal_stop(c);
        weft_yield();
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(handled + (long)weft_chan_len(c), SENDERS * SENDS);
    weft_chan_unref(c);
}
AT_PROCS(none_is_lost_in_between)

static struct sigaction below;

static void hands_on(int sig, siginfo_t *info, void *context) {
    handled += 100;
    below.sa_sigaction(sig, info, context);
}

/* A handler of the program's above weft's that calls what was there before it. */
TEST(weft_hands_on_what_it_does_not_want) {
    weft_chan(int) c = weft_chan_make(int, 1);
    struct sigaction action;
    set_handler(SIGUSR1, handle);
    NOTIFY(c, SIGUSR1);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = hands_on;
    action.sa_flags = SA_SIGINFO;
    CHECK_EQ(sigaction(SIGUSR1, &action, &below), 0);
    raise(SIGUSR1);
    CHECK_EQ(next(c), SIGUSR1);
    CHECK_EQ(handled, 100);
    weft_signal_stop(c);
    raise(SIGUSR1);
    CHECK_EQ(handled, 201);
    CHECK_EQ(weft_chan_len(c), 0);
    weft_chan_unref(c);
}

static void dies_after_stop(void) {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGINT);
    raise(SIGINT);
    CHECK_EQ(next(c), SIGINT);
    weft_signal_stop(c);
    raise(SIGINT);
    _exit(9);
}

TEST_PLAIN(the_default_comes_back) {
    struct test_output r = test_run_child(dies_after_stop, NULL);
    CHECK_EQ(r.status, 128 + SIGINT);
    CHECK_STR(r.err, "");
    test_output_free(&r);
}

/* ---- contexts ---- */

static void shuts_down(void) {
    weft_ctx *ctx = weft_signal_ctx(weft_ctx_current(), (int[]){SIGTERM, SIGINT}, 2);
    CHECK(ctx != NULL);
    CHECK_EQ(weft_ctx_err(ctx), 0);
    {
        weft_scope_ctx(ctx);
        kill(getpid(), SIGTERM);
        CHECK(!weft_recv((weft_chan(int))NULL, NULL)); /* the work of a server */
        CHECK_EQ(errno, ECANCELED);
    }
    CHECK_EQ(weft_ctx_err(ctx), ECANCELED);
    CHECK_EQ(weft_ctx_cause(ctx), SIGTERM);
    for (int i = 0; i < 10; i++) /* a second one doesn't kill it */
        raise(i % 2 ? SIGTERM : SIGINT);
    weft_yield();
    CHECK_EQ(weft_ctx_cause(ctx), SIGTERM);
    weft_ctx_cancel(ctx, 0);
    CHECK(is_default(SIGTERM));
    weft_ctx_unref(ctx);
}

TEST_PLAIN(a_context_ends_by_SIGTERM) {
    for (int procs = 1; procs <= 8; procs *= 2) {
        char env[32];
        snprintf(env, sizeof env, "GOMAXPROCS=%d", procs);
        struct test_output r = test_run_child(shuts_down, env);
        CHECK_STR(r.err, "");
        CHECK_EQ(r.status, 0);
        test_output_free(&r);
    }
}

static void second_one_kills(void) {
    weft_ctx *ctx = weft_signal_ctx(weft_ctx_current(), (int[]){SIGINT}, 1);
    raise(SIGINT);
    weft_recv(weft_ctx_done(ctx), NULL);
    weft_ctx_cancel(ctx, 0);
    CHECK_EQ(weft_ctx_cause(ctx), SIGINT);
    raise(SIGINT);
    _exit(9);
}

TEST_PLAIN(cancel_gives_signals_back_after_the_end_too) {
    struct test_output r = test_run_child(second_one_kills, NULL);
    CHECK_EQ(r.status, 128 + SIGINT);
    CHECK_STR(r.err, "");
    test_output_free(&r);
}

TEST(a_context_that_is_given_up_gives_its_signals_back) {
    weft_ctx *ctx = weft_signal_ctx(weft_ctx_current(), (int[]){SIGUSR1}, 1);
    CHECK(!is_default(SIGUSR1));
    weft_ctx_unref(ctx);
    CHECK(is_default(SIGUSR1));

    ctx = weft_signal_ctx(weft_ctx_current(), (int[]){SIGUSR1}, 1);
    weft_ctx *child = weft_ctx_with_cancel(ctx); /* holds it */
    weft_ctx_unref(ctx);
    CHECK(!is_default(SIGUSR1));
    weft_ctx_unref(child);
    CHECK(is_default(SIGUSR1));

    ctx = weft_signal_ctx(weft_ctx_current(), (int[]){SIGUSR1}, 1);
    weft_ctx_cancel(ctx, 42);
    CHECK(is_default(SIGUSR1));
    CHECK_EQ(weft_ctx_cause(ctx), 42);
    weft_ctx_cancel(ctx, 43);
    weft_ctx_unref(ctx);
}

TEST(a_context_ends_with_its_parent) {
    weft_ctx *parent = weft_ctx_with_cancel(weft_ctx_current());
    weft_ctx *ctx = weft_signal_ctx(parent, (int[]){SIGUSR1}, 1);
    weft_ctx_cancel(parent, 42);
    CHECK_EQ(weft_ctx_err(ctx), ECANCELED);
    CHECK_EQ(weft_ctx_cause(ctx), 42);
    raise(SIGUSR1); /* still taken */
    weft_ctx_unref(ctx);
    CHECK(is_default(SIGUSR1));
    ctx = weft_signal_ctx(parent, (int[]){SIGUSR1}, 1); /* born ended */
    CHECK_EQ(weft_ctx_err(ctx), ECANCELED);
    raise(SIGUSR1);
    weft_ctx_unref(ctx);
    weft_ctx_unref(parent);
    CHECK(is_default(SIGUSR1));
}

static void waits_for_end(weft_ctx *ctx, _Atomic int *ended) {
    weft_scope_ctx(ctx);
    weft_ctx_unref(ctx);
    weft_sleep(WEFT_HOUR);
    (*ended)++;
}

static void one_signal_ends_many_contexts(void) {
    enum { MANY = 50 };
    static _Atomic int ended;
    weft_chan(int) c = weft_chan_make(int, 1);
    weft_wg wg = WEFT_WG_INIT;
    NOTIFY(c, SIGUSR1);
    for (int i = 0; i < MANY; i++) /* the last reference goes while it is being ended */
        weft_wg_go(&wg, waits_for_end,
                   weft_signal_ctx(weft_ctx_current(), (int[]){SIGUSR1, SIGUSR2}, 2), &ended);
    raise(SIGUSR1);
    weft_wg_wait(&wg);
    CHECK_EQ(ended, MANY);
    CHECK_EQ(next(c), SIGUSR1);
    EVENTUALLY(is_default(SIGUSR2));
    CHECK(!is_default(SIGUSR1));
    stop_and_drop(c);
    CHECK(is_default(SIGUSR1));
}
AT_PROCS(one_signal_ends_many_contexts)

/* ---- the dispatcher ---- */

TEST(the_dispatcher_is_not_counted_nor_shown) {
    weft_chan(int) c = weft_chan_make(int, 1);
    int ends[2];
    char text[4096];
    CHECK_EQ(weft_num_goroutine(), 1);
    CHECK_EQ(weft_close(weft_listen("tcp", "127.0.0.1:0")), 0); /* has the poller's descriptors */
    NOTIFY(c, SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(next(c), SIGUSR1);
    CHECK_EQ(weft_num_goroutine(), 1);
    CHECK_EQ(pipe(ends), 0);
    weft_dump(ends[1]);
    ssize_t n = read(ends[0], text, sizeof text - 1);
    CHECK(n > 0);
    text[n] = '\0';
    CHECK(strstr(text, "IO wait") == NULL);
    CHECK(strstr(text, "signal") == NULL);
    int fds = test_count_fds();
    stop_and_drop(c);
    EVENTUALLY(test_count_fds() < fds); /* it has ended */
    CHECK_EQ(weft_num_goroutine(), 1);
    close(ends[0]);
    close(ends[1]);
}

TEST(no_deadlock_while_a_signal_may_come) {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1);
    pid_t child = fork_guarded();
    if (child == 0) {
        usleep(100000);
        _exit(kill(getppid(), SIGUSR1) != 0);
    }
    CHECK_EQ(next(c), SIGUSR1);
    CHECK_EQ(status_of(child), 0);
    stop_and_drop(c);
}

TEST_DIES(a_deadlock_is_one_after_stop, 2, "fatal error: all goroutines are asleep - deadlock!",
          "goroutine 1 [chan receive]:") {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1);
    weft_signal_stop(c);
    weft_recv(c, NULL);
}

TEST_DIES(a_channel_of_NULL, 2, "fatal error: os/signal: Notify using nil channel") {
    NOTIFY((weft_chan(int))NULL, SIGUSR1);
}

TEST_PLAIN_DIES(no_signals_without_a_runtime, 2,
                "fatal error: signals can't be asked for: no runtime is running (weft_run or "
                "weft_start first)") {
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1);
}

/* ---- runs ---- */

static weft_chan(int) left_over;
static weft_ctx *left_ctx;

static int leaves_registered(int argc, char **argv) {
    (void)argv;
    left_over = weft_chan_make(int, 1);
    NOTIFY(left_over, SIGUSR1, SIGRTMIN);
    if (argc % 2) {
        raise(SIGUSR1); /* may never be looked at */
    } else {
        left_ctx = weft_signal_ctx(weft_ctx_background(), (int[]){SIGUSR2}, 1);
        raise(SIGUSR2);
    }
    return 0;
}

static void many_runs(void) {
    set_handler(SIGRTMIN, handle);
    weft_signal_stop(left_over); /* no run: nothing to do */
    int fds = test_count_fds();
    for (int i = 0; i < ROUNDS(1000); i++) {
        CHECK_EQ(weft_run(leaves_registered, i, NULL), 0);
        CHECK(is_default(SIGUSR1) && is_default(SIGUSR2));
        CHECK(disposition(SIGRTMIN).sa_handler == handle);
        weft_signal_stop(left_over);
        weft_chan_unref(left_over);
        weft_ctx_unref(left_ctx);
        left_ctx = NULL;
    }
    CHECK_EQ(test_count_fds(), fds);
}

TEST_PLAIN(many_runs_leave_nothing) {
    many_runs();
}

static int receives_one(int argc, char **argv) {
    (void)argc, (void)argv;
    weft_chan(int) c = weft_chan_make(int, 1);
    NOTIFY(c, SIGUSR1);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(next(c), SIGUSR1);
    stop_and_drop(c);
    return 0;
}

TEST_PLAIN(many_runs_receive) {
    int fds = test_count_fds();
    for (int i = 0; i < ROUNDS(1000); i++)
        CHECK_EQ(weft_run(receives_one, 0, NULL), 0);
    CHECK_EQ(test_count_fds(), fds);
}

TEST_PLAIN(in_a_program_with_a_main_of_its_own) {
    CHECK_EQ(weft_start(), 0);
    weft_chan(int) c = weft_chan_make(int, 1);
    for (int i = 0; i < ROUNDS(100); i++) {
        NOTIFY(c, SIGUSR1, SIGUSR2);
        kill(getpid(), SIGUSR1);
        CHECK_EQ(next(c), SIGUSR1);
        if (i % 2)
            weft_signal_stop(c);
    }
    weft_ctx *ctx = weft_signal_ctx(weft_ctx_background(), (int[]){SIGHUP}, 1);
    raise(SIGHUP);
    CHECK(!weft_recv(weft_ctx_done(ctx), NULL));
    weft_ctx_unref(ctx);
    NOTIFY(c, SIGUSR2);
    CHECK_EQ(weft_num_goroutine(), 0);
    CHECK_EQ(weft_stop(), 0); /* not EBUSY */
    CHECK(is_default(SIGUSR1) && is_default(SIGUSR2) && is_default(SIGHUP));
    weft_chan_unref(c);
}

/* ---- children ---- */

TEST(a_child_has_the_dispositions_from_before) {
    weft_chan(int) c = weft_chan_make(int, 4);
    set_handler(SIGUSR2, SIG_IGN);
    NOTIFY(c, SIGUSR1, SIGUSR2);
    pid_t child = fork_guarded();
    if (child == 0) {
        if (disposition(SIGUSR2).sa_handler != SIG_IGN)
            _exit(1);
        raise(SIGUSR2);
        raise(SIGUSR1);
        _exit(2);
    }
    CHECK_EQ(status_of(child), 128 + SIGUSR1);
    child = vfork();
    if (child == 0) {
        kill(getpid(), SIGUSR2);
        kill(getpid(), SIGUSR1);
        _exit(3);
    }
    CHECK_EQ(status_of(child), 128 + SIGUSR1);
    quiet_for(5 * WEFT_MILLISECOND);
    CHECK_EQ(weft_chan_len(c), 0);
    raise(SIGUSR2); /* nothing has changed here */
    CHECK_EQ(next(c), SIGUSR2);
    stop_and_drop(c);
    CHECK(disposition(SIGUSR2).sa_handler == SIG_IGN);
}

TEST(a_child_made_a_runtime_starts_with_nothing) {
    if (SANITIZED)
        test_skip("no threads in a child under a sanitizer");
    weft_chan(int) c = weft_chan_make(int, 4);
    NOTIFY(c, SIGUSR1);
    pid_t child = fork_guarded();
    if (child == 0) {
        alarm(60);
        CHECK_EQ(weft_after_fork(), 0);
        CHECK(is_default(SIGUSR1));
        weft_chan(int) own = weft_chan_make(int, 4);
        NOTIFY(own, SIGUSR1, SIGUSR2);
        for (int i = 0; i < 20; i++) {
            kill(getpid(), i % 2 ? SIGUSR1 : SIGUSR2);
            CHECK_EQ(next(own), i % 2 ? SIGUSR1 : SIGUSR2);
        }
        stop_and_drop(own);
        CHECK(is_default(SIGUSR1));
        _exit(0);
    }
    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR1);
        CHECK_EQ(next(c), SIGUSR1);
    }
    CHECK_EQ(status_of(child), 0);
    CHECK_EQ(weft_chan_len(c), 0);
    stop_and_drop(c);
}
