/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke.c: a P offered to a thread that a debugger holds goes on to others, and the thread goes on
 * as well once it is let go.
 *
 * A child of the test is the debugger: it stops single threads of this process, which are asleep
 * for want of a P. With few Ps and a P that stays offered to such a thread the test hangs.
 */
#include "unannounced.h" /* first: it asks for the GNU extensions */

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define MOST 8

/* ---- the debugger ---- */

enum { STARTS, HOLDS, MAY_NOT, LETS_GO };

static struct held {
    atomic_int state;
    int n;
    pid_t tids[MOST];
} * held; /* shared with the child */
static pid_t debugger, debugged;

/* Until it stops because it was told to; its signals are passed on. */
static void await_stop(pid_t tid) {
    int status;
    while (waitpid(tid, &status, __WALL) == tid &&
           status >> 8 != (SIGTRAP | PTRACE_EVENT_STOP << 8))
        ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)(status >> 8 & 0xff));
}

static bool waits_for_a_futex(pid_t tid) {
    char path[64], text[32];
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)debugged, (int)tid);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0 && text[0] != '-' && atol(text) == SYS_futex;
}

static bool abandoned(void) {
    return held->state == LETS_GO || getppid() != debugged;
}

static void hold_one(pid_t tid) {
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
        held->state = MAY_NOT;
        _exit(0);
    }
    for (;;) {
        ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
        await_stop(tid);
        if (waits_for_a_futex(tid) || abandoned())
            return;
        ptrace(PTRACE_CONT, tid, NULL, NULL);
        usleep(1000);
    }
}

__attribute__((noreturn)) static void debug(void) {
    for (int i = 0; i < held->n; i++)
        hold_one(held->tids[i]);
    held->state = HOLDS;
    while (!abandoned())
        usleep(1000);
    _exit(0); /* which lets them go */
}

/* The threads in `held`, each once it sleeps for want of a P. */
static void begin_to_hold(void) {
    debugged = getpid();
    held->state = STARTS;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    debugger = fork();
    CHECK(debugger >= 0);
    if (debugger == 0)
        debug();
}

static bool they_are_held(void) {
    if (held->state == MAY_NOT)
        test_skip("ptrace is not permitted");
    return held->state == HOLDS;
}

static void let_go(void) {
    held->state = LETS_GO;
    CHECK_EQ(waitpid(debugger, NULL, 0), debugger);
}

static void prepare(int n, const long *tids) {
    held = mmap(NULL, sizeof *held, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(held != MAP_FAILED);
    held->n = n;
    for (int i = 0; i < n; i++)
        held->tids[i] = (pid_t)tids[i];
}

static void hold(long tid) {
    prepare(1, &tid);
    begin_to_hold();
    EVENTUALLY(they_are_held());
}

/* ---- goroutines and threads that wait on a channel ---- */

static weft_chan(int) asked;
static weft_chan(int) answered;
static atomic_long tid_of_it;

static void answer(void) {
    int v;
    while (weft_recv(asked, &v))
        CHECK(weft_send(answered, v + 1));
}

static void answer_locked(void) {
    weft_lock_os_thread();
    tid_of_it = thread_id();
    answer();
    weft_unlock_os_thread();
}

static void *answer_foreign(void *arg) {
    tid_of_it = thread_id();
    answer();
    return arg;
}

static atomic_int ran;

static void run(void) {
    ran++;
}

static void others_go_on(void) {
    int before = ran;
    for (int i = 0; i < 20; i++) {
        weft_go(run);
        weft_yield();
    }
    EVENTUALLY(ran == before + 20);
}

static void ask_while_held(void) {
    int v = 0;
    EVENTUALLY(tid_of_it != 0);
    hold(tid_of_it);
    CHECK(weft_send(asked, 1));
    others_go_on();
    CHECK_EQ(weft_chan_len(answered), 0);
    let_go();
    CHECK(weft_recv(answered, &v));
    CHECK_EQ(v, 2);
    for (int i = 0; i < 10; i++) {
        CHECK(weft_send(asked, i));
        CHECK(weft_recv(answered, &v));
        CHECK_EQ(v, i + 1);
    }
    weft_chan_close(asked);
}

static void make_channels(void) {
    asked = weft_chan_make(int, 1);
    answered = weft_chan_make(int, 1);
}

TEST1(a_locked_goroutine_whose_thread_is_held) {
    make_channels();
    weft_go(answer_locked);
    ask_while_held();
    EVENTUALLY(weft_num_goroutine() == 1);
}

TEST1(a_foreign_thread_that_is_held) {
    pthread_t thread;
    make_channels();
    CHECK_EQ(pthread_create(&thread, NULL, answer_foreign, NULL), 0);
    ask_while_held();
    pthread_join(thread, NULL);
}

/* ---- captives ---- */

static atomic_long tids[3];

static void hog_here(int i) {
    tids[i] = thread_id();
    hog(i);
}

static void start_hogs_here(int n) {
    for (int i = 0; i < n; i++)
        weft_go(hog_here, i);
    for (int i = 0; i < n; i++)
        EVENTUALLY(counted[i] > 0);
}

TEST1(a_captive_whose_thread_is_held) {
    start_hogs_here(2);
    hold(tids[0]);
    unsigned long still = counted[0], moves = counted[1];
    others_go_on();
    EVENTUALLY(counted[1] > moves);
    CHECK_EQ(counted[0], still);
    let_go();
    EVENTUALLY(counted[0] > still);
    stop_hogs();
}

TEST_ENV(the_world_stops_beside_a_held_captive, "GOMAXPROCS=2") {
    start_hogs_here(3);
    hold(tids[0]);
    unsigned long still = counted[0];
    for (int i = 0; i < 10; i++) {
        weft_gomaxprocs(1 + i % 2);
        others_go_on();
    }
    CHECK_EQ(counted[0], still);
    let_go();
    EVENTUALLY(counted[0] > still);
    stop_hogs();
}

TEST1(the_run_ends_beside_a_held_captive) {
    start_hogs_here(2);
    hold(tids[0]);
    others_go_on();
    let_go(); /* the run's end finds it anywhere on its way back */
    stop = true;
}

/* ---- idle threads ---- */

static atomic_int blocked;
static atomic_bool over;

static void block(int i) {
    tids[i] = thread_id();
    weft_block_enter();
    blocked++;
    while (!over)
        usleep(1000);
    weft_block_exit();
}

/* Without the signal, and main never makes a call: another P has to run what main starts, and all its
 * idle threads are held. */
TEST_ENV(idle_threads_that_are_held, "GOMAXPROCS=2", "GODEBUG=asyncpreemptoff=1") {
    weft_lock_os_thread();
    for (int i = 0; i < 3; i++)
        weft_go(block, i);
    EVENTUALLY(blocked == 3);
    over = true;
    EVENTUALLY(weft_num_goroutine() == 1);
    prepare(3, (long[]){tids[0], tids[1], tids[2]});
    begin_to_hold();
    while (!they_are_held())
        hog_for(1 * WEFT_MILLISECOND);
    weft_go(run);
    while (ran == 0)
        hog_for(1 * WEFT_MILLISECOND);
    let_go();
    others_go_on();
    weft_unlock_os_thread();
}
