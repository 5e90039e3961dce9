/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal handlers of the program's in goroutines: what they may do, and what ends the program.
 * (Design rule 7. weft's own signal calls come with the network.)
 */
#include <signal.h>
#include <string.h>

#include "weft_test.h"

static weft_chan(int) letters;
static _Atomic int handled;

static void handle(int sig, void (*handler)(int), int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigaction(sig, &action, NULL);
}

#ifndef __SANITIZE_THREAD__ /* it calls handlers late, from its next interceptor */
static void waits(int sig) {
    (void)sig;
    weft_recv(letters, NULL);
}

TEST_DIES(a_handler_must_not_wait_on_the_alternate_stack, 2,
          "fatal error: a signal handler waits on its thread's alternate stack: handlers must not "
          "wait") {
    letters = weft_chan_make(int, 0);
    handle(SIGUSR1, waits, SA_ONSTACK);
    raise(SIGUSR1);
}
#endif

static void counts(int sig) {
    (void)sig;
    handled++;
}

static void raises(int n) {
    for (int i = 0; i < n; i++) {
        raise(SIGUSR1);
        weft_yield();
    }
}

/* The handler runs on the goroutine's stack, or the thread's alternate one; both come and go with
 * the goroutine. */
TEST(handlers_that_only_compute_may_run_anywhere) {
    for (int flags = 0; flags <= SA_ONSTACK; flags += SA_ONSTACK) {
        weft_wg wg = WEFT_WG_INIT;
        handled = 0;
        handle(SIGUSR1, counts, flags);
        for (int i = 0; i < 4; i++)
            weft_wg_go(&wg, raises, 50);
        weft_wg_wait(&wg);
        CHECK(handled > 0);
    }
}

static void posts(int sig) {
    (void)sig;
    weft_try_send(letters, 7);
}

/* Outside of weft calls a handler may use the forms that never wait. */
TEST(a_handler_may_try_while_user_code_runs) {
    int v = 0;
    letters = weft_chan_make(int, 1);
    handle(SIGUSR1, posts, 0);
    raise(SIGUSR1);
    CHECK(weft_recv(letters, &v));
    CHECK_EQ(v, 7);
    weft_chan_unref(letters);
}
