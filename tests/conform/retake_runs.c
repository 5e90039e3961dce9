/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retake_runs.c: what goes on around goroutines that sleep in the kernel without a bracket: their
 * threads afterwards, the number of Ps, timers and the network, the deadlock report, the trace, the
 * end of a run, forks; and what is done where the kernel does not tell.
 */
#include "unannounced.h" /* first: it asks for the GNU extensions */

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <weft/io.h>

static atomic_int done;

static void reads_one(void) {
    read_byte();
    done++;
}

static void start_readers(int n) {
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_go(reads_one), 0);
}

/* ---- many ---- */

/* As in spares.c: GOMAXPROCS 2, two spares, keeper, monitor, spawner, one on its way out. */
enum { HANDFUL = 8 };

static void await_handful(void) {
    weft_time end = weft_now() + EVENTUALLY_LIMIT;
    while (test_count_threads() - (SANITIZED ? 1 : 0) > HANDFUL) {
        if (weft_now() > end)
            FAIL("%d threads are left", test_count_threads());
        weft_sleep(10 * WEFT_MILLISECOND);
    }
}

static weft_mutex lock = WEFT_MUTEX_INIT;
static long count; /* under lock */

static void reads_and_counts(int times) {
    for (int i = 0; i < times; i++) {
        read_byte();
        weft_mutex_lock(&lock);
        count++;
        weft_mutex_unlock(&lock);
    }
    done++;
}

static void many_sleep(void) {
    enum { TIMES = 3 };
    int n = SANITIZED ? 60 : 400;
    open_ends();
    for (int i = 0; i < n; i++)
        CHECK_EQ(weft_go(reads_and_counts, TIMES), 0);
    EVENTUALLY(inside == n);
    CHECK(test_count_threads() > n);
    write_bytes(n * TIMES);
    EVENTUALLY(done == n);
    CHECK_EQ(count, n * TIMES);
    CHECK_EQ(inside, 0);
    await_handful();
    close_ends();
}

TEST_ENV(many_at_once, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1,threadidle=50") {
    many_sleep();
}

TEST_ENV(many_at_once_on_2, "GOMAXPROCS=2", "GODEBUG=threadidle=50") {
    many_sleep();
}

/* ---- the number of Ps ---- */

static void change_ps_beside_sleepers(void) {
    open_ends();
    start_readers(6);
    EVENTUALLY(inside == 6);
    for (int i = 0; i < 40; i++) {
        CHECK(weft_gomaxprocs(1 + i % 4) >= 1);
        CHECK_EQ(weft_gomaxprocs(0), 1 + i % 4);
        if (i % 5 == 0) { /* one comes back, another goes */
            write_bytes(1);
            start_readers(1);
        }
        weft_sleep(i % 3 * WEFT_MILLISECOND);
    }
    write_bytes(6);
    EVENTUALLY(done == 14);
    close_ends();
}

TEST_ENV(P34_a_stop_of_the_world_beside_sleepers, WITHOUT_SIGNAL) {
    change_ps_beside_sleepers();
}

TEST_ENV(P34_a_stop_of_the_world_beside_sleepers_on_4, "GOMAXPROCS=4") {
    change_ps_beside_sleepers();
}

/* All Ps are with sleepers when the stop begins, since nothing else is runnable. */
static void changes_ps_from_outside(void) {
    for (int i = 0; i < 20; i++) {
        weft_gomaxprocs(1 + i % 3);
        usleep(500);
    }
}

static void *outside_thread(void *arg) {
    changes_ps_from_outside();
    write_bytes(4);
    return arg;
}

TEST_ENV(P34_a_thread_of_the_programs_stops_the_world, "GOMAXPROCS=2",
         "GODEBUG=asyncpreemptoff=1") {
    pthread_t thread;
    open_ends();
    start_readers(4);
    CHECK_EQ(pthread_create(&thread, NULL, outside_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0); /* asleep, too */
    EVENTUALLY(done == 4);
    close_ends();
}

/* ---- timers and descriptors, with every P in the hands of a sleeper ---- */

static void main_waits(void (*wait)(void), int sleepers) {
    open_ends();
    start_readers(sleepers);
    wait();
    write_bytes(sleepers);
    EVENTUALLY(done == sleepers);
    close_ends();
}

static void for_a_timer(void) {
    for (int i = 0; i < 5; i++)
        CHECK(weft_sleep(2 * WEFT_MILLISECOND));
}

static int pair[2];

static void *answers_late(void *arg) {
    char c;
    for (int i = 0; i < 5; i++) {
        usleep(3000);
        CHECK_EQ(write(pair[1], "a", 1), 1);
        CHECK_EQ(read(pair[1], &c, 1), 1);
    }
    return arg;
}

static void for_a_descriptor(void) {
    pthread_t thread;
    char c;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    CHECK_EQ(pthread_create(&thread, NULL, answers_late, NULL), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weft_read(pair[0], &c, 1), 1);
        CHECK_EQ(weft_write(pair[0], "b", 1), 1);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close(pair[0]);
    close(pair[1]);
}

TEST_ENV(P22_a_timer_beside_sleepers, WITHOUT_SIGNAL) {
    main_waits(for_a_timer, 1);
}

TEST_ENV(P22_a_timer_beside_sleepers_on_2, "GOMAXPROCS=2", "GODEBUG=asyncpreemptoff=1") {
    main_waits(for_a_timer, 2);
}

TEST_ENV(P22_a_descriptor_beside_sleepers, WITHOUT_SIGNAL) {
    main_waits(for_a_descriptor, 1);
}

TEST_ENV(P22_a_descriptor_beside_sleepers_on_2, "GOMAXPROCS=2", "GODEBUG=asyncpreemptoff=1") {
    main_waits(for_a_descriptor, 2);
}

/* ---- the deadlock report ---- */

#define ASLEEP "fatal error: all goroutines are asleep - deadlock!"

static void sleeps_and_parks(void) {
    usleep(150000);
    CHECK_EQ(write(1, "back\n", 5), 5);
    weft_recv((weft_chan(int))NULL, NULL);
}

static void sleeps_and_ends(void) {
    usleep(150000);
    CHECK_EQ(write(1, "back\n", 5), 5);
}

static void others_park(void) {
    weft_go(sleeps_and_parks);
    weft_go(sleeps_and_ends);
    weft_yield();
    weft_recv((weft_chan(int))NULL, NULL);
}

static void reported_when_all_are_back(const char *env) {
    struct test_output o = test_run_child(others_park, env);
    CHECK_EQ(o.status, 2);
    CHECK_STR(o.out, "back\nback\n");
    CHECK(strncmp(o.err, ASLEEP, strlen(ASLEEP)) == 0);
    test_output_free(&o);
}

TEST_PLAIN(no_deadlock_while_one_sleeps) {
    reported_when_all_are_back("GOMAXPROCS=1 GODEBUG=asyncpreemptoff=1");
    reported_when_all_are_back("GOMAXPROCS=2 GODEBUG=asyncpreemptoff=1");
    reported_when_all_are_back("GOMAXPROCS=1");
    reported_when_all_are_back("GOMAXPROCS=1 GODEBUG=threadidle=10");
}

/* ---- the trace ---- */

/* In one whole group: a goroutine in a system call on an M without a P, and every P elsewhere. */
static bool shows_sleeper(const char *text, long index) {
    const char *at = trace_group(text, index);
    struct trace_g g, in_call = {.id = -1};
    struct trace_m m, of_call = {.id = -1};
    struct trace_p p;
    if (!at || index >= trace_whole_groups(text))
        return false;
    for (int pass = 0; pass < 2; pass++) {
        const char *line = strchr(at, '\n') + 1;
        for (; *line == ' '; line = strchr(line, '\n') + 1) {
            char copy[512];
            size_t n = strcspn(line, "\n");
            CHECK(n < sizeof copy);
            memcpy(copy, line, n);
            copy[n] = 0;
            if (pass == 0 && trace_parse_g(copy, &g) && g.status == 3)
                in_call = g;
            if (pass == 1 && trace_parse_m(copy, &m) && m.curg == in_call.id)
                of_call = m;
            if (pass == 1 && trace_parse_p(copy, &p) && in_call.id >= 0 && p.m == in_call.m)
                return false;
        }
    }
    return in_call.id > 0 && of_call.id == in_call.m && of_call.p == TRACE_NIL;
}

static bool trace_shows_sleeper(const struct trace_capture *c) {
    char *text = trace_text(c);
    bool seen = false;
    for (long i = 0, n = trace_whole_groups(text); i < n && !seen; i++)
        seen = shows_sleeper(text, i);
    free(text);
    return seen;
}

TEST_ENV(the_trace_shows_it_in_a_system_call, "GOMAXPROCS=1",
         "GODEBUG=asyncpreemptoff=1,schedtrace=5,scheddetail=1") {
    struct trace_capture c = trace_capture();
    bool seen = false;
    open_ends();
    start_readers(1);
    for (int i = 0; i < 2000 && !seen; i++) {
        weft_sleep(5 * WEFT_MILLISECOND);
        seen = trace_shows_sleeper(&c);
    }
    trace_end(&c);
    CHECK(seen);
    write_bytes(1);
    EVENTUALLY(done == 1);
    close_ends();
}

/* ---- the end of a run ---- */

static atomic_bool came_back;

static void outlives(void) {
    read_byte();
    came_back = true;
    weft_yield(); /* its thread ends here */
    FAIL("it went on after the end of its run");
}

static int app_left(int argc, char **argv) {
    (void)argv;
    weft_lock_os_thread(); /* weft_run's thread is needed for its return */
    for (int i = 0; i < argc; i++) {
        CHECK_EQ(weft_go(outlives), 0);
        EVENTUALLY(inside == i + 1);
    }
    weft_yield();
    return 5;
}

static void receives_values(weft_chan(int) c, int n) {
    int v;
    for (int i = 0; i < n; i++)
        CHECK(weft_recv(c, &v) && v == i);
}

/* Those set aside return while another run is at work, and has sleepers of its own. */
static int app_again(int argc, char **argv) {
    (void)argv;
    weft_wg wg = WEFT_WG_INIT;
    weft_chan(int) c = weft_chan_make(int, 0);
    weft_wg_go(&wg, receives_values, c, 300);
    for (int i = 0; i < 300; i++) {
        if (i == 100)
            write_bytes(argc);
        if (i % 10 == 0)
            usleep(1000);
        CHECK(weft_send(c, i));
    }
    weft_wg_wait(&wg);
    EVENTUALLY(inside == 0 && came_back);
    weft_chan_unref(c);
    return 6;
}

static void runs_over_sleepers(void) {
    enum { LEFT = 3 };
    open_ends();
    CHECK_EQ(weft_run(app_left, LEFT, NULL), 5);
    CHECK(!came_back);
    CHECK_EQ(weft_run(app_again, LEFT, NULL), 6);
    for (int i = 0; i < 4000 && test_count_threads() > 1 + (SANITIZED ? 1 : 0); i++)
        usleep(10000);
    CHECK(test_count_threads() <= 1 + (SANITIZED ? 1 : 0));
    came_back = false;
    CHECK_EQ(weft_run(app_left, LEFT, NULL), 5); /* records of those that came back, used again */
    CHECK_EQ(weft_run(app_again, LEFT, NULL), 6);
    close_ends();
}

static int count_in(const char *text, const char *what) {
    int n = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void runs_end(const char *env) {
    struct test_output o = test_run_child_plain(runs_over_sleepers, env);
    CHECK_EQ(o.status, 0);
    CHECK_EQ(count_in(o.err, "it is set aside"), 6);
    test_output_free(&o);
}

TEST_PLAIN(a_run_ends_while_goroutines_sleep) {
    runs_end("GOMAXPROCS=1 GODEBUG=asyncpreemptoff=1");
    runs_end("GOMAXPROCS=2");
}

/* ---- forks ---- */

/* ThreadSanitizer starts no threads in the child of a program with threads, and there the locks of
 * AddressSanitizer's allocator may be held by threads that don't exist. */
static void needs_threads_in_child(void) {
    if (SANITIZED)
        test_skip("no threads in a child under a sanitizer");
}

static void counts(int *n) {
    weft_mutex_lock(&lock);
    ++*n;
    weft_mutex_unlock(&lock);
    usleep(1000);
}

/* In the child: a runtime that can do all, sleepers included. */
static void lives_in_child(void) {
    weft_wg wg = WEFT_WG_INIT;
    int n = 0;
    alarm(60);
    CHECK_EQ(weft_after_fork(), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(weft_wg_go(&wg, counts, &n), 0);
    weft_wg_wait(&wg);
    CHECK_EQ(n, 8);
    CHECK(weft_sleep(WEFT_MILLISECOND));
    _exit(9);
}

static void forks_and_waits(void) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        lives_in_child();
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid); /* asleep without a bracket, as all here */
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

/* It comes back from its call without a P, and forks before it makes a weft call. */
static void reads_and_forks(void) {
    read_byte();
    forks_and_waits();
    done++;
}

extern char **environ;

static void reads_and_spawns(void) {
    static char *const argv[] = {(char *)"true", NULL};
    int status = 0;
    pid_t pid;
    read_byte();
    CHECK_EQ(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    done++;
}

static void fork_beside_sleepers(void) {
    needs_threads_in_child();
    open_ends();
    start_readers(4);
    EVENTUALLY(inside == 4);
    forks_and_waits();
    write_bytes(4);
    EVENTUALLY(done == 4);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(weft_go(reads_and_forks), 0);
    EVENTUALLY(inside == 3);
    write_bytes(3);
    hog_for(5 * WEFT_MILLISECOND); /* they have no P when they fork */
    EVENTUALLY(done == 7);
    close_ends();
}

TEST_ENV(rule14_forks_beside_sleepers, WITHOUT_SIGNAL) {
    fork_beside_sleepers();
}

TEST_ENV(rule14_forks_beside_sleepers_on_2, "GOMAXPROCS=2") {
    fork_beside_sleepers();
}

TEST_ENV(rule14_children_that_exec_beside_sleepers, WITHOUT_SIGNAL) {
    open_ends();
    for (int i = 0; i < 4; i++)
        CHECK_EQ(weft_go(reads_and_spawns), 0);
    EVENTUALLY(inside == 4);
    write_bytes(4);
    EVENTUALLY(done == 4);
    close_ends();
}

/* ---- where it is not to be had ---- */

static void one_sleeps(void) {
    open_ends();
    start_readers(2);
    EVENTUALLY(inside == 2);
    weft_yield();
    CHECK_EQ(done, 0);
    write_bytes(2);
    EVENTUALLY(done == 2);
    close_ends();
}

TEST_ENV(retake_off_leaves_it_to_the_signal, "GOMAXPROCS=1", "GODEBUG=retake=0") {
    one_sleeps();
}

static void naps(void) {
    usleep(100000);
    done++;
}

TEST_ENV(both_off_leave_it_alone, "GOMAXPROCS=1", "GODEBUG=retake=0,asyncpreemptoff=1") {
    weft_go(naps);
    weft_yield();
    CHECK_EQ(done, 1);
}

/* With a seed nothing may depend on time. */
TEST_ENV(a_seed_leaves_it_alone, "GOMAXPROCS=1", "GODEBUG=schedseed=3") {
    weft_go(naps);
    weft_yield();
    CHECK_EQ(done, 1);
}

/* No descriptor to be had: no look at /proc. */
TEST_ENV(without_a_descriptor_it_is_the_signal, "GOMAXPROCS=1") {
    struct rlimit limit, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    open_ends();
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    start_readers(2);
    EVENTUALLY(inside == 2);
    weft_yield();
    CHECK_EQ(done, 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    write_bytes(2);
    EVENTUALLY(done == 2);
    close_ends();
}

/* A process that may not look into its own /proc/self/task/TID/syscall: neither root nor dumpable. */

static int app_undumpable(int argc, char **argv) {
    (void)argc, (void)argv;
    CHECK(access("/proc/self/syscall", R_OK) != 0);
    one_sleeps();
    return 7;
}

static void runs_undumpable(void) {
    if (geteuid() == 0)
        CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    if (access("/proc/self/syscall", R_OK) == 0)
        _exit(77); /* it may all the same */
    alarm(60 * (unsigned)test_slowness());
    _exit(weft_run(app_undumpable, 0, NULL));
}

TEST_ENV(a_process_that_may_not_look, WITHOUT_SIGNAL);
TEST_PLAIN(a_process_that_may_not_look) {
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        runs_undumpable();
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        test_skip("nothing keeps a process from looking here");
    CHECK_EQ(WEXITSTATUS(status), 7);
}
