/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_thread_state: where another thread of this process is.
 */
#define _GNU_SOURCE
#define WEFT_NO_ERRNO 1
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "weft_test.h"

static atomic_uint tid;
static atomic_bool stop;
static void *lo, *hi; /* the other thread's stack */
static int ends[2];
static uint32_t word; /* atomic */
static char byte;

static pthread_t start(void *(*fn)(void *)) {
    pthread_t thread;
    tid = 0;
    CHECK_EQ(pthread_create(&thread, NULL, fn, NULL), 0);
    while (tid == 0)
        usleep(1000);
    return thread;
}

static void here(void) {
    os_thread_stack(&lo, &hi);
    tid = os_gettid();
}

/* Until it is asleep in this call; a state in between is no error. */
static struct os_call await_call(int number) {
    struct os_call call = {0};
    for (int i = 0; i < 30000; i++) {
        errno = 42;
        enum os_task state = os_thread_state(tid, &call);
        CHECK_EQ(errno, 42);
        CHECK(state == OS_TASK_BLOCKED || state == OS_TASK_RUNS);
        CHECK(state == OS_TASK_BLOCKED || call.number == -1);
        if (state == OS_TASK_BLOCKED && call.number == number) {
            CHECK(call.sp >= (uintptr_t)lo && call.sp < (uintptr_t)hi);
            CHECK(call.pc != 0);
            return call;
        }
        usleep(1000);
    }
    FAIL("never asleep in call %d", number);
}

static void *reads(void *arg) {
    here();
    return read(ends[0], &byte, 1) == 1 ? arg : NULL;
}

TEST_PLAIN(in_read) {
    CHECK_EQ(pipe(ends), 0);
    pthread_t thread = start(reads);
    struct os_call call = await_call(SYS_read);
    CHECK_EQ(call.args[0], ends[0]);
    CHECK_EQ(call.args[1], (uintptr_t)&byte);
    CHECK_EQ(call.args[2], 1);
    CHECK_EQ(os_thread_state(tid, NULL), OS_TASK_BLOCKED);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    pthread_join(thread, NULL);
    close(ends[0]);
    close(ends[1]);
}

static void *waits_for_word(void *arg) {
    here();
    while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE))
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return arg;
}

TEST_PLAIN(in_futex) {
    pthread_t thread = start(waits_for_word);
    struct os_call call = await_call(SYS_futex);
    CHECK_EQ(call.args[0], (uintptr_t)&word);
    CHECK_EQ(call.args[1], FUTEX_WAIT_PRIVATE);
    CHECK_EQ(call.args[2], 0);
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    pthread_join(thread, NULL);
}

static struct timespec span = {.tv_nsec = 100000000};

static void *naps(void *arg) {
    here();
    while (!stop)
        syscall(SYS_nanosleep, &span, NULL);
    return arg;
}

TEST_PLAIN(in_nanosleep) {
    pthread_t thread = start(naps);
    struct os_call call = await_call(SYS_nanosleep);
    CHECK_EQ(call.args[0], (uintptr_t)&span);
    CHECK_EQ(call.args[1], 0);
    stop = true;
    pthread_join(thread, NULL);
}

/* All six arguments, those with the topmost bit and those of zero. */

static void *calls_with_six(void *arg) {
    here();
    while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE))
        syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, ~0ul << 60, 0x89abcdeful);
    return arg;
}

TEST_PLAIN(arguments) {
    pthread_t thread = start(calls_with_six);
    struct os_call call = await_call(SYS_futex);
    CHECK_EQ(call.args[0], (uintptr_t)&word);
    CHECK_EQ(call.args[1], FUTEX_WAIT_BITSET_PRIVATE);
    CHECK_EQ(call.args[2], 0);
    CHECK_EQ(call.args[3], 0);
    CHECK_EQ(call.args[4], ~0ul << 60);
    CHECK_EQ(call.args[5], 0x89abcdef);
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    pthread_join(thread, NULL);
}

static void *computes(void *arg) {
    here();
    while (!stop)
        for (int i = 0; i < 1000; i++)
            __asm__ volatile("" : "+r"(i));
    return arg;
}

/* Whether it has a CPU or waits for one. */
TEST_PLAIN(computing) {
    pthread_t threads[4];
    uint32_t tids[4];
    for (int i = 0; i < 4; i++) { /* on fewer CPUs, maybe */
        threads[i] = start(computes);
        tids[i] = tid;
    }
    for (int round = 0; round < 200; round++) {
        struct os_call call = {.number = 7, .sp = 1, .pc = 1};
        CHECK_EQ(os_thread_state(tids[round % 4], &call), OS_TASK_RUNS);
        CHECK_EQ(call.number, -1);
        CHECK_EQ(call.pc, 0);
        usleep(100);
    }
    stop = true;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void *ends_at_once(void *arg) {
    here();
    return arg;
}

static bool is_gone(uint32_t thread) {
    for (int i = 0; i < 20000; i++) { /* a joined thread may stay in /proc for a moment */
        errno = 42;
        enum os_task state = os_thread_state(thread, NULL);
        CHECK_EQ(errno, 42);
        if (state == OS_TASK_UNKNOWN)
            return true;
        usleep(1000);
    }
    return false;
}

TEST_PLAIN(no_such_thread) {
    pthread_t thread = start(ends_at_once);
    pthread_join(thread, NULL);
    CHECK(is_gone(tid));
    CHECK(is_gone(0));
    CHECK(is_gone(UINT32_MAX));
    CHECK(is_gone((uint32_t)getppid())); /* it exists, but not in this process */
}

TEST_PLAIN(without_a_descriptor) {
    struct rlimit limit, none;
    pthread_t thread = start(computes);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(os_thread_state(tid, NULL), OS_TASK_UNKNOWN);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(os_thread_state(tid, NULL), OS_TASK_RUNS);
    stop = true;
    pthread_join(thread, NULL);
}

/* Neither root nor dumpable: by wchan, which knows no numbers. */

static bool await_blocked(void) {
    for (int i = 0; i < 30000; i++) {
        struct os_call call = {.number = 5};
        enum os_task state = os_thread_state(tid, &call);
        if (state == OS_TASK_BLOCKED && call.number == -1 && call.pc == 0)
            return true;
        usleep(1000);
    }
    return false;
}

static void looks_undumpable(void) {
    if (geteuid() == 0)
        CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    if (access("/proc/self/syscall", R_OK) == 0)
        _exit(77); /* it may all the same */
    CHECK_EQ(pipe(ends), 0);
    pthread_t thread = start(reads);
    CHECK(await_blocked());
    CHECK_EQ(write(ends[1], "x", 1), 1);
    pthread_join(thread, NULL);
    CHECK(is_gone(tid));
    thread = start(computes);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(os_thread_state(tid, NULL), OS_TASK_RUNS);
        usleep(100);
    }
    stop = true;
    pthread_join(thread, NULL);
    _exit(0);
}

TEST_PLAIN(not_dumpable) {
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        looks_undumpable();
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        test_skip("nothing keeps a process from looking here");
    CHECK_EQ(WEXITSTATUS(status), 0);
}
