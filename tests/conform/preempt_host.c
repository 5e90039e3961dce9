/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption among what a process may do with its threads: change its ids, which the C library
 * tells every thread by a signal; end one by force; forbid signals by a filter of system calls.
 */
#include "hogs.h" /* first: it asks for the GNU extensions */

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static atomic_int done;

/* ---- setuid and its kin: each waits until every thread has answered ---- */

static void sets_ids(int times) {
    for (int i = 0; i < times; i++) {
        CHECK_EQ(setgid(getgid()), 0);
        CHECK_EQ(setuid(getuid()), 0);
    }
    done++;
}

static void ids_beside_hogs(void) {
    start_hogs(6); /* most of them captives at any time */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(weft_go(sets_ids, 10), 0);
    EVENTUALLY(done == 2);
    stop_hogs();
}

TEST1(setuid_beside_hogs) {
    ids_beside_hogs();
}

TEST_ENV(setuid_beside_hogs_2, "GOMAXPROCS=2", "GODEBUG=preemptslice=1000") {
    ids_beside_hogs();
}

/* ---- a thread ended by force. It is unwound off its goroutine's stack, where the sanitizers still
 * believe it to be. ---- */

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define BY_FORCE                                                                                   \
    "fatal error: pthread_exit or pthread_cancel in a goroutine: its thread is not its own; "      \
    "return, or call weft_goexit"

static void exits_thread(void) {
    pthread_exit(NULL);
}

TEST_DIES(pthread_exit_in_a_goroutine, 2, BY_FORCE) {
    weft_go(exits_thread);
    weft_sleep(60 * WEFT_SECOND);
}

TEST_DIES(pthread_exit_in_the_main_goroutine, 2, BY_FORCE, "goroutine 1 [running") {
    pthread_exit(NULL);
}

static void is_cancelled(pthread_t *self) {
    *self = pthread_self();
    done = 1;
    for (;;)
        pause();
}

TEST_DIES(pthread_cancel_of_a_goroutine, 2, BY_FORCE) {
    pthread_t thread;
    weft_go(is_cancelled, &thread);
    EVENTUALLY(done == 1);
    pthread_cancel(thread);
    weft_sleep(60 * WEFT_SECOND);
}
#endif

/* ---- a filter that forbids tgkill ---- */

#ifdef __x86_64__
static void forbid_tgkill(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        _exit(9);
}

static void computes_then_yields(void) {
    while (!stop) {
        for (int k = 0; k < 50000000; k++)
            __asm__ volatile("" : "+r"(k));
        counted[0]++;
        weft_yield();
    }
    done++;
}

/* Goroutines give way at their calls, as they would without the signal. */
static void goes_on_without_signals(void) {
    forbid_tgkill();
    for (int i = 0; i < 3; i++)
        weft_go(computes_then_yields);
    while (counted[0] < 6)
        weft_yield();
    stop = true;
    while (done < 3)
        weft_yield();
    _exit(7);
}

TEST_PLAIN(a_filter_forbids_tgkill) {
    struct test_output o = test_run_child(goes_on_without_signals, "GOMAXPROCS=1");
    if (o.status == 9)
        test_skip("no filters here");
    CHECK_EQ(o.status, 7);
    const char *said = strstr(o.err, "weft: tgkill is forbidden (errno 1): goroutines are stopped "
                                     "at their weft calls only\n");
    CHECK(said != NULL);
    CHECK(strstr(strchr(said, '\n'), "tgkill") == NULL); /* once */
    test_output_free(&o);
}
#endif
