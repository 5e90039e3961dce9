/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repair of interrupted system calls: a call that would fail with EINTR is made again, unless a
 * signal that the program handles is pending, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "weft_test.h"

static int raised;                 /* by the handler, where it is blocked; 0: none */
static volatile sig_atomic_t came; /* the handler ran */
static volatile sig_atomic_t found, handled;

static void on_signal(int sig, siginfo_t *info, void *context) {
    (void)info;
    if (raised)
        raise(raised);
    bool in_call = os_in_system_call(sig, context);
    if (!came)
        found = in_call;
    came = 1;
}

static void count(int sig) {
    (void)sig;
    handled++;
}

static void *sends(void *arg) {
    while (!came) {
        usleep(20000);
        pthread_kill(*(pthread_t *)arg, SIGURG);
    }
    return NULL;
}

/* What a poll says that the signal interrupts once, with `other` pending. */
static int poll_with(int other) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    pthread_t self = pthread_self(), sender;
    action.sa_sigaction = on_signal;
    sigfillset(&action.sa_mask);
    CHECK_EQ(sigaction(SIGURG, &action, NULL), 0);
    raised = other;
    came = 0;
    CHECK_EQ(pthread_create(&sender, NULL, sends, &self), 0);
    int r;
    do
        r = poll(NULL, 0, 300);
    while (!came);
    pthread_join(sender, NULL);
    return r;
}

#ifdef __SANITIZE_THREAD__ /* it runs handlers later, with contexts of its own making */
#define NEEDS_REPAIR test_skip("handlers are put off")
#elif defined(__x86_64__)
#define NEEDS_REPAIR ((void)0)
#else
#define NEEDS_REPAIR test_skip("nothing is repaired here")
#endif

/* The signal may come before or after the poll: then once more. */
static void is_repaired_with(int other) {
    do
        CHECK_EQ(poll_with(other), 0);
    while (!found);
}

TEST_PLAIN(a_call_is_made_again) {
    NEEDS_REPAIR;
    is_repaired_with(0);
}

TEST_PLAIN(an_ignored_signal_interrupts_nothing) {
    NEEDS_REPAIR;
    is_repaired_with(SIGCHLD); /* by default */
    signal(SIGUSR1, SIG_IGN);
    is_repaired_with(SIGUSR1);
}

TEST_PLAIN(a_handled_signal_keeps_its_EINTR) {
    NEEDS_REPAIR;
    struct sigaction action = {.sa_handler = count};
    int r;
    CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
    while ((r = poll_with(SIGUSR2)) == 0)
        continue;
    CHECK_EQ(r, -1);
    CHECK(handled > 0);
}
