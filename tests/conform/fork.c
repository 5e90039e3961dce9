/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork.c: processes made from inside a run (rule 14): children that exec, children that call weft
 * without leave and die, children that become a runtime of their own by weft_after_fork, from
 * weft_run's thread, from another thread of the runtime, and from a thread of the program's.
 *
 * What a child finds out it says by its exit status; a failed check in it is a status of its own.
 */
#include "conform.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A joined thread may stay in /proc for a moment after its join. */
static int threads_left(void) {
    for (int i = 0; i < 2000 && test_count_threads() > 1; i++)
        usleep(1000);
    return test_count_threads();
}

extern char **environ;

#define FORKED "fatal error: weft called in the child of a fork"

/*
 * ThreadSanitizer starts no threads in the child of a program with threads, and there the locks of
 * AddressSanitizer's allocator may be held by threads that don't exist.
 */
#define NEEDS_THREADS_IN_CHILD()                                                                   \
    (SANITIZED ? test_skip("no threads in a child under a sanitizer") : (void)0)

/* A child that hangs ends, and so does one whose parent has failed. */
static pid_t fork_guarded(void) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60 * (unsigned)test_slowness());
    }
    CHECK(pid >= 0);
    return pid;
}

/* Exit status, or 128 + signal. */
static int status_of(pid_t pid) {
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool on_first_thread(void) {
    return syscall(SYS_gettid) == getpid();
}

/* ---- something to do that needs all of the runtime ---- */

static void add_up(weft_chan(int) in, weft_chan(long) out) {
    long sum = 0;
    int v;
    while (weft_recv(in, &v))
        sum += v;
    weft_send(out, sum);
}

static void count_under_lock(weft_mutex *m, int *n) {
    for (int i = 0; i < 100; i++) {
        weft_mutex_lock(m);
        (*n)++;
        weft_mutex_unlock(m);
        if (i % 10 == 0)
            weft_yield();
    }
}

static void work(void) {
    weft_chan(int) in = weft_chan_make(int, 4);
    weft_chan(long) out = weft_chan_make(long, 0);
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_wg wg = WEFT_WG_INIT;
    int n = 0;
    long sum, total = 0;
    for (int i = 0; i < 4; i++)
        CHECK_EQ(weft_go(add_up, in, out), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(weft_wg_go(&wg, count_under_lock, &m, &n), 0);
    for (int i = 1; i <= 200; i++)
        CHECK(weft_send(in, i));
    weft_chan_close(in);
    for (int i = 0; i < 4; i++) {
        CHECK(weft_recv(out, &sum));
        total += sum;
    }
    weft_wg_wait(&wg);
    CHECK_EQ(total, 20100);
    CHECK_EQ(n, 2000);
    CHECK(weft_sleep(WEFT_MILLISECOND));
    weft_ctx *ctx = weft_ctx_with_timeout(weft_ctx_current(), WEFT_MILLISECOND);
    CHECK(!weft_recv(weft_ctx_done(ctx), NULL));
    weft_ctx_unref(ctx);
    weft_chan_unref(in);
    weft_chan_unref(out);
}

/* ---- where to fork ---- */

static void elsewhere(void (*fn)(void));

static void not_first(void (*fn)(void)) {
    if (on_first_thread())
        elsewhere(fn);
    else
        fn();
}

/* On a goroutine that does not run on weft_run's thread: main, which does, keeps that. */
static void elsewhere(void (*fn)(void)) {
    weft_wg wg = WEFT_WG_INIT;
    bool first = on_first_thread();
    if (first)
        weft_lock_os_thread();
    if (first)
        weft_wg_go(&wg, fn);
    else /* it was preempted, and the first thread may run anybody */
        weft_wg_go(&wg, not_first, fn);
    weft_wg_wait(&wg);
    if (first)
        weft_unlock_os_thread();
}

/* ---- calls without leave ---- */

static void call_make(void) {
    weft_chan_make(int, 1);
}

static void nothing(void) {
}

static void call_go(void) {
    weft_go(nothing);
}

static void call_sleep(void) {
    weft_sleep(1);
}

static void call_block(void) {
    weft_block(getpid());
}

static int app_of_nothing(int argc, char **argv) {
    (void)argc, (void)argv;
    return 0;
}

static void call_run(void) {
    weft_run(app_of_nothing, 0, NULL);
}

static void call_start(void) {
    weft_start();
}

static void call_stop(void) {
    weft_stop();
}

static void (*const calls[])(void) = {call_make, call_go,    call_sleep, call_block,
                                      call_run,  call_start, call_stop};
enum { CALLS = sizeof calls / sizeof *calls };

/* The child's first line on stderr is the message, its status 2. */
static void dies_of(void (*call)(void)) {
    int ends[2];
    char text[sizeof FORKED] = "";
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = fork_guarded();
    if (pid == 0) {
        dup2(ends[1], 2);
        setenv("GOTRACEBACK", "none", 1);
        close(ends[0]);
        close(ends[1]);
        call();
        _exit(0);
    }
    close(ends[1]);
    CHECK_EQ(read(ends[0], text, sizeof text - 1), (ssize_t)sizeof text - 1);
    CHECK_STR(text, FORKED);
    CHECK_EQ(status_of(pid), 2);
    close(ends[0]);
}

static void all_die(void) {
    for (int i = 0; i < CALLS; i++)
        dies_of(calls[i]);
}

TEST(rule14_weft_calls_in_a_child_die) {
    all_die();
}

TEST_ENV(rule14_weft_calls_in_a_child_of_another_thread_die, "GOMAXPROCS=2") {
    elsewhere(all_die);
}

TEST_PLAIN(rule14_weft_calls_in_a_child_of_a_foreign_thread_die) {
    CHECK_EQ(weft_start(), 0);
    all_die(); /* before its first weft call */
    weft_yield();
    all_die();
    CHECK_EQ(weft_stop(), 0);
}

/* A goroutine whose function returns in the child comes back into weft. */
static void returns_in_the_child(void) {
    static _Atomic int parent;
    atomic_store(&parent, getpid());
    pid_t pid = fork_guarded();
    if (pid != 0)
        CHECK_EQ(status_of(pid), 2);
    else
        dup2(open("/dev/null", O_WRONLY), 2);
}

TEST(rule14_returning_in_a_child_dies) {
    elsewhere(returns_in_the_child);
}

static void harmless_calls(void) {
    weft_mutex m = WEFT_MUTEX_INIT;
    uint64_t id = weft_id();
    pid_t pid = fork_guarded();
    if (pid == 0) {
        weft_mutex_lock(&m); /* free: nothing of the runtime is touched */
        weft_mutex_unlock(&m);
        _exit(weft_id() == id && weft_now() > 0 ? 0 : 1);
    }
    CHECK_EQ(status_of(pid), 0);
}

TEST(rule14_calls_that_enter_nothing_go_on) {
    harmless_calls();
    elsewhere(harmless_calls);
}

/* ---- children that exec ---- */

static char *const true_argv[] = {(char *)"true", NULL};

__attribute__((noinline)) static pid_t vfork_true(void) {
    pid_t pid = vfork();
    if (pid == 0) {
        execv("/bin/true", true_argv);
        _exit(127);
    }
    return pid;
}

static void spawns(void) {
    pid_t pid;
    for (int i = 0; i < 5; i++) {
        if ((pid = fork_guarded()) == 0) {
            execv("/bin/true", true_argv);
            _exit(127);
        }
        CHECK_EQ(status_of(pid), 0);
        CHECK_EQ(status_of(vfork_true()), 0);
        CHECK_EQ(posix_spawn(&pid, "/bin/true", NULL, NULL, true_argv, environ), 0);
        CHECK_EQ(weft_block(status_of(pid)), 0);
        if ((pid = fork_guarded()) == 0)
            _exit(3);
        CHECK_EQ(status_of(pid), 3);
    }
    weft_yield();
}

static void many_spawn(void) {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 8; i++)
        weft_wg_go(&wg, spawns);
    weft_wg_wait(&wg);
}

TEST_ENV(rule14_children_that_exec_P1, "GOMAXPROCS=1") {
    many_spawn();
}

TEST_ENV(rule14_children_that_exec_P2, "GOMAXPROCS=2") {
    many_spawn();
}

TEST_ENV(rule14_children_that_exec_P8, "GOMAXPROCS=8") {
    many_spawn();
}

/* ---- weft_after_fork on weft_run's thread ---- */

static int becomes_main(int argc, char **argv) {
    (void)argv;
    pid_t pid = fork_guarded();
    if (pid > 0)
        return status_of(pid);
    CHECK_EQ(weft_after_fork(), 0);
    CHECK_EQ(weft_id(), 1);
    CHECK_EQ(weft_num_goroutine(), 1);
    work();
    CHECK_EQ(weft_num_goroutine(), 1);
    return argc;
}

static void run_returns_in_both(void) {
    pid_t here = getpid();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_run(becomes_main, 7, NULL), 7);
        if (getpid() != here)
            _exit(7);
    }
}

TEST_PLAIN(rule14_weft_run_returns_in_the_child_P1) {
    NEEDS_THREADS_IN_CHILD();
    setenv("GOMAXPROCS", "1", 1);
    run_returns_in_both();
}

TEST_PLAIN(rule14_weft_run_returns_in_the_child_P8) {
    NEEDS_THREADS_IN_CHILD();
    setenv("GOMAXPROCS", "8", 1);
    run_returns_in_both();
}

static int child_runs_again(int argc, char **argv) {
    (void)argc, (void)argv;
    pid_t pid = fork_guarded();
    if (pid > 0)
        return status_of(pid);
    CHECK_EQ(weft_after_fork(), 0);
    return 0;
}

/* A child's runtime ends as any other, and the next run finds all in order. */
TEST_PLAIN(rule14_runs_after_the_childs_first) {
    NEEDS_THREADS_IN_CHILD();
    pid_t here = getpid();
    CHECK_EQ(weft_run(child_runs_again, 0, NULL), 0);
    if (getpid() != here) {
        for (int i = 0; i < 20; i++)
            test_in_weft(work);
        CHECK_EQ(threads_left(), 1);
        _exit(0);
    }
}

/* ---- on another thread of the runtime ---- */

static void other_becomes_main(void) {
    CHECK(!on_first_thread());
    pid_t pid = fork_guarded();
    if (pid > 0) {
        CHECK_EQ(status_of(pid), 0);
        return;
    }
    CHECK_EQ(weft_after_fork(), 0);
    CHECK_EQ(weft_id(), 1);
    CHECK_EQ(weft_num_goroutine(), 1);
    work();
} /* the end of the process: 0 */

TEST_ENV(rule14_goroutine_elsewhere_becomes_main_P1, "GOMAXPROCS=1") {
    NEEDS_THREADS_IN_CHILD();
    for (int i = 0; i < 3; i++)
        elsewhere(other_becomes_main);
}

TEST_ENV(rule14_goroutine_elsewhere_becomes_main_P2, "GOMAXPROCS=2") {
    NEEDS_THREADS_IN_CHILD();
    for (int i = 0; i < 3; i++)
        elsewhere(other_becomes_main);
}

static void keep_thread(weft_chan(int) end) {
    weft_lock_os_thread();
    weft_recv(end, NULL);
}

static int main_elsewhere(int argc, char **argv) {
    (void)argc, (void)argv;
    weft_chan(int) end = weft_chan_make(int, 0);
    while (on_first_thread()) {
        weft_go(keep_thread, end);
        weft_yield();
    }
    pid_t pid = fork_guarded();
    if (pid > 0)
        return status_of(pid);
    CHECK_EQ(weft_after_fork(), 0);
    work();
    return 9; /* no frame of weft_run is below: the end of the process */
}

TEST_PLAIN(rule14_main_elsewhere_ends_the_process) {
    NEEDS_THREADS_IN_CHILD();
    pid_t here = getpid();
    CHECK_EQ(weft_run(main_elsewhere, 0, NULL), 9);
    CHECK_EQ(getpid(), here);
}

static void dies_asleep(void) {
    pid_t pid = fork_guarded();
    if (pid > 0) {
        CHECK_EQ(status_of(pid), 2);
        return;
    }
    dup2(open("/dev/null", O_WRONLY), 2);
    CHECK_EQ(weft_after_fork(), 0);
    weft_recv((weft_chan(int))NULL, NULL);
}

TEST(rule14_a_child_notices_its_deadlock) {
    NEEDS_THREADS_IN_CHILD();
    dies_asleep();
    elsewhere(dies_asleep);
}

/* ---- on a thread of the program's ---- */

static void background_again(void) {
    pid_t pid = fork_guarded();
    if (pid > 0) {
        CHECK_EQ(status_of(pid), 0);
        return;
    }
    CHECK_EQ(weft_after_fork(), 0);
    CHECK_EQ(weft_id(), 0);
    CHECK_EQ(weft_num_goroutine(), 0);
    work();
    EVENTUALLY(weft_num_goroutine() == 0);
    CHECK_EQ(weft_stop(), 0);
    CHECK_EQ(threads_left(), 1);
    test_in_weft(work);
    _exit(0);
}

TEST_PLAIN(rule14_background_runtime_again) {
    NEEDS_THREADS_IN_CHILD();
    CHECK_EQ(weft_start(), 0);
    background_again();
    work();
    background_again();
    CHECK_EQ(weft_stop(), 0);
}

/* ---- what is left of the goroutine ---- */

static _Atomic int deferred;
static weft_key key;

static void note_deferred(void *arg) {
    (void)arg;
    atomic_fetch_add(&deferred, 1);
}

static void scopes_and_defers(void) {
    int value = 0;
    CHECK_EQ(weft_defer(note_deferred, NULL), 0);
    CHECK_EQ(weft_key_set(key, &value), 0);
    weft_set_name("forker");
    weft_scope_timeout(WEFT_HOUR);
    {
        weft_scope_ctx(weft_ctx_current());
        pid_t pid = fork_guarded();
        if (pid > 0) {
            CHECK_EQ(status_of(pid), 5);
            return;
        }
        CHECK_EQ(weft_after_fork(), 0);
        CHECK(weft_ctx_current() == weft_ctx_background());
        weft_scope_timeout(WEFT_MILLISECOND);
        CHECK(!weft_sleep(WEFT_HOUR));
        CHECK_EQ(errno, ETIMEDOUT);
    }
    CHECK(weft_ctx_current() == weft_ctx_background());
    CHECK(weft_key_get(key) == &value);
    CHECK_STR(weft_name(), "forker");
    CHECK_EQ(weft_key_set(key, NULL), 0);
}

static void exits_by_deferred(void *arg) {
    (void)arg;
    exit(atomic_load(&deferred) == 1 && weft_ctx_current() == weft_ctx_background() ? 5 : 6);
}

static void scopes_defers_and_end(void) {
    pid_t here = getpid();
    weft_defer(note_deferred, NULL);
    atomic_store(&deferred, 0);
    scopes_and_defers();
    if (getpid() != here)
        weft_defer(exits_by_deferred, NULL); /* called before those of scopes_and_defers */
    if (getpid() != here)
        weft_defer(note_deferred, NULL); /* and this before that */
}

TEST(rule14_scopes_defers_and_keys_stay) {
    NEEDS_THREADS_IN_CHILD();
    CHECK_EQ(weft_key_create(&key, NULL), 0);
    elsewhere(scopes_defers_and_end);
}

static void forks_in_a_bracket(void) {
    pid_t pid = weft_block(fork_guarded());
    if (pid > 0) {
        CHECK_EQ(weft_block(status_of(pid)), 0);
        return;
    }
    CHECK_EQ(weft_after_fork(), 0);
    work();
    exit(0);
}

static void becomes_main_in_a_bracket(void) {
    pid_t pid;
    weft_block({
        pid = fork_guarded();
        if (pid == 0) {
            CHECK_EQ(weft_after_fork(), 0);
            work();
        }
    });
    if (pid > 0) {
        CHECK_EQ(weft_block(status_of(pid)), 0);
        return;
    }
    work();
    exit(0);
}

TEST(rule14_forks_inside_weft_block) {
    NEEDS_THREADS_IN_CHILD();
    elsewhere(forks_in_a_bracket);
    elsewhere(becomes_main_in_a_bracket);
    forks_in_a_bracket(); /* last: who was in a bracket may go on on another thread */
    becomes_main_in_a_bracket();
}

static void locked_in_the_child(void) {
    weft_lock_os_thread();
    pid_t pid = fork_guarded();
    if (pid > 0) {
        CHECK_EQ(status_of(pid), 0);
        weft_unlock_os_thread();
        return;
    }
    CHECK_EQ(weft_after_fork(), 0);
    work();
    CHECK(on_first_thread());
    weft_unlock_os_thread();
    work();
    exit(0);
}

TEST(rule14_a_lock_on_the_thread_stays) {
    NEEDS_THREADS_IN_CHILD();
    elsewhere(locked_in_the_child);
    locked_in_the_child();
}

/* ---- generations ---- */

static void generations(void) {
    int depth = 0;
    pid_t pid;
    while (depth < 4) {
        if ((pid = fork_guarded()) > 0) {
            CHECK_EQ(weft_block(status_of(pid)), 0);
            if (depth > 0)
                exit(0);
            return;
        }
        depth++;
        if (depth != 2) /* one that leaves it to its child */
            CHECK_EQ(weft_after_fork(), 0);
        if (depth != 2)
            work();
        else if ((pid = fork_guarded()) > 0)
            _exit(status_of(pid));
        else
            CHECK_EQ(weft_after_fork(), 0);
    }
    exit(0);
}

TEST(rule14_children_of_children) {
    NEEDS_THREADS_IN_CHILD();
    generations();
    elsewhere(generations);
}

/* ---- EPERM ---- */

TEST(rule14_not_in_a_child) {
    errno = 0;
    CHECK_EQ(weft_after_fork(), -1);
    CHECK_EQ(errno, EPERM);
}

TEST_PLAIN(rule14_not_without_a_run) {
    CHECK_EQ(weft_after_fork(), -1);
    CHECK_EQ(errno, EPERM);
}

TEST(rule14_not_twice) {
    NEEDS_THREADS_IN_CHILD();
    pid_t pid = fork_guarded();
    if (pid == 0) {
        CHECK_EQ(weft_after_fork(), 0);
        CHECK_EQ(weft_after_fork(), -1);
        _exit(errno == EPERM ? 0 : 1);
    }
    CHECK_EQ(status_of(pid), 0);
}

/* Before any run, or between two, a child needs no leave. */
TEST_PLAIN(rule14_child_of_a_program_without_a_run) {
    NEEDS_THREADS_IN_CHILD();
    NEEDS_THREADS_IN_CHILD();
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork_guarded();
        if (pid == 0) {
            test_in_weft(work);
            _exit(0);
        }
        CHECK_EQ(status_of(pid), 0);
        test_in_weft(work);
    }
}

/* ---- under load: others are anywhere in the runtime when it is copied ---- */

static _Atomic bool over;

static void churn(weft_chan(int) c) {
    struct big {
        char bytes[100];
    } big = {{0}};
    while (!atomic_load(&over)) {
        weft_chan(struct big) own = weft_chan_make(struct big, 3);
        weft_send(own, big);
        weft_go(nothing);
        weft_ctx *ctx = weft_ctx_with_timeout(weft_ctx_background(), WEFT_HOUR);
        weft_try_send(c, 1);
        weft_yield();
        weft_try_recv(c, NULL);
        weft_ctx_unref(ctx);
        weft_chan_unref(own);
    }
}

static void forks_under_load(void) {
    weft_chan(int) c = weft_chan_make(int, 2);
    for (int i = 0; i < 16; i++)
        weft_go(churn, c);
    for (int i = 0; i < ROUNDS(60); i++) {
        pid_t pid = fork_guarded();
        if (pid == 0) {
            CHECK_EQ(weft_after_fork(), 0);
            CHECK_EQ(weft_num_goroutine(), 1);
            work();
            _exit(0);
        }
        CHECK_EQ(status_of(pid), 0);
        weft_yield(); /* to other threads, too */
    }
    atomic_store(&over, true);
}

TEST_ENV(rule14_forks_under_load_P1, "GOMAXPROCS=1") {
    NEEDS_THREADS_IN_CHILD();
    forks_under_load();
}

TEST_ENV(rule14_forks_under_load_P2, "GOMAXPROCS=2") {
    NEEDS_THREADS_IN_CHILD();
    forks_under_load();
}

TEST_ENV(rule14_forks_under_load_P8, "GOMAXPROCS=8") {
    NEEDS_THREADS_IN_CHILD();
    forks_under_load();
}
