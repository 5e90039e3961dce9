/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller among the Ms and the protocol of a descriptor's events, with a poller that the test
 * writes the script of: orders that a real one shows only by chance.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "fake_poll.h"
#include "io/fd.h"
#include "sched/state.h"
#include "weft_test.h"

__attribute__((constructor)) static void use_fake(void) {
    fake_poll_use();
}

#define EVENTUALLY(cond)                                                                           \
    do {                                                                                           \
        weft_time end = weft_now() + 40 * WEFT_SECOND;                                             \
        while (!(cond)) {                                                                          \
            if (weft_now() > end)                                                                  \
                FAIL("never came true: %s", #cond);                                                \
            weft_yield();                                                                          \
        }                                                                                          \
    } while (0)

static int ends[2];

/* A pipe whose reading end is weft's own. */
static int own_pipe(void) {
    CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_EQ(wefti_fd_adopt(ends[0], WEFTI_MADE_POLLED), 0);
    return ends[0];
}

static void done_with_pipe(void) {
    CHECK_EQ(weft_close(ends[0]), 0);
    CHECK_EQ(close(ends[1]), 0);
}

static int begin(struct wefti_op *op) {
    return wefti_op_begin(op, ends[0], WEFTI_READ);
}

static void wait_once(weft_chan(int) results) {
    struct wefti_op op;
    CHECK_EQ(begin(&op), 0);
    int err = wefti_op_wait(&op);
    wefti_op_end(&op);
    weft_send(results, err);
}

static int result(weft_chan(int) results) {
    int err = -1;
    CHECK(weft_recv(results, &err));
    return err;
}

static uint32_t waiters(void) {
    return load_relaxed(&wefti_sched.netwaiters);
}

static void poll_for(int events, weft_chan(int) results) {
    weft_send(results, wefti_fd_poll(ends[0], (short)events));
}

/* Between the try and the wait the event is taken from the poller, on behalf of another waiter. */
TEST(event_before_the_wait_is_not_lost) {
    weft_chan(int) results = weft_chan_make(int, 1);
    own_pipe();
    struct wefti_op op;
    CHECK_EQ(begin(&op), 0);
    weft_go(poll_for, POLLPRI, results);
    EVENTUALLY(waiters() == 1);
    fake_event(ends[0], POLLIN);
    EVENTUALLY(!fake_has_events());
    CHECK_EQ(wefti_op_wait(&op), 0); /* no other event will come */
    wefti_op_end(&op);
    CHECK_EQ(weft_close(ends[0]), 0);
    CHECK_EQ(result(results), -EBADF);
    CHECK_EQ(waiters(), 0);
    CHECK_EQ(close(ends[1]), 0);
    weft_chan_unref(results);
}

TEST(event_after_the_wait) {
    weft_chan(int) results = weft_chan_make(int, 1);
    own_pipe();
    weft_go(wait_once, results);
    EVENTUALLY(waiters() == 1);
    fake_event(ends[0], POLLIN);
    CHECK_EQ(result(results), 0);
    CHECK_EQ(waiters(), 0);
    done_with_pipe();
    weft_chan_unref(results);
}

TEST(event_of_the_other_direction_wakes_nobody) {
    weft_chan(int) results = weft_chan_make(int, 1);
    own_pipe();
    weft_go(wait_once, results);
    EVENTUALLY(waiters() == 1);
    fake_event(ends[0], POLLOUT);
    EVENTUALLY(!fake_has_events());
    CHECK_EQ(waiters(), 1);
    fake_event(ends[0], POLLHUP);
    CHECK_EQ(result(results), 0);
    done_with_pipe();
    weft_chan_unref(results);
}

TEST(N29_event_of_an_older_generation_wakes_nobody) {
    weft_chan(int) results = weft_chan_make(int, 1);
    int fd = own_pipe();
    uint64_t old = fake.token[fd];
    done_with_pipe();
    CHECK_EQ(own_pipe(), fd); /* the number again */
    CHECK(fake.token[fd] != old);
    weft_go(wait_once, results);
    EVENTUALLY(waiters() == 1);
    fake_event_for(old, POLLIN);
    EVENTUALLY(!fake_has_events());
    CHECK_EQ(waiters(), 1);
    fake_event(fd, POLLIN);
    CHECK_EQ(result(results), 0);
    done_with_pipe();
    weft_chan_unref(results);
}

static void sleep_and_tell(weft_chan(int) results) {
    weft_sleep(WEFT_MILLISECOND);
    weft_send(results, 1);
}

/* The keeper waits for the descriptor alone when the timer is armed by a thread: it must be rung. */
static void *start_sleeper(void *results) {
    weft_go(sleep_and_tell, (weft_chan(int))results);
    return NULL;
}

TEST(N30_a_nearer_timer_ends_the_keepers_wait) {
    weft_chan(int) results = weft_chan_make(int, 1);
    weft_chan(int) slept = weft_chan_make(int, 1);
    own_pipe();
    weft_go(wait_once, results);
    EVENTUALLY(waiters() == 1);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, start_sleeper, slept), 0);
        CHECK_EQ(result(slept), 1);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    fake_event(ends[0], POLLIN);
    CHECK_EQ(result(results), 0);
    done_with_pipe();
    weft_chan_unref(results);
    weft_chan_unref(slept);
}

TEST(P31_neglected_events_are_found) {
    weft_chan(int) results = weft_chan_make(int, 1);
    own_pipe();
    weft_go(wait_once, results);
    EVENTUALLY(waiters() == 1);
    fake_event(ends[0], POLLIN);
    int err;
    while (!weft_try_recv(results, &err)) /* no park, no yield: only the monitor can help */
        continue;
    CHECK_EQ(err, 0);
    done_with_pipe();
    weft_chan_unref(results);
}

TEST(registration_errors_are_told) {
    CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    fake.watch_fails = ENOSPC;
    CHECK_EQ(wefti_fd_adopt(ends[0], WEFTI_MADE_POLLED), ENOSPC);
    struct wefti_op op;
    CHECK_EQ(begin(&op), 0);
    CHECK(!op.own); /* it was not taken over */
    fake.arm_fails = EPERM;
    CHECK_EQ(wefti_op_wait(&op), EPERM);
    wefti_op_end(&op);
    fake.watch_fails = fake.arm_fails = 0;
    CHECK_EQ(waiters(), 0);
    done_with_pipe();
}

TEST(no_poller_no_descriptor) {
    CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    fake.open_fails = EMFILE;
    CHECK_EQ(wefti_fd_adopt(ends[0], WEFTI_MADE_POLLED), EMFILE);
    fake.open_fails = 0;
    CHECK_EQ(wefti_fd_adopt(ends[0], WEFTI_MADE_POLLED), 0);
    done_with_pipe();
}

/* A foreign descriptor: one registration, for one event, for all who wait; those who are left get
 * a new one. */
TEST(foreign_waiters_share_a_registration) {
    weft_chan(int) results = weft_chan_make(int, 2);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    weft_go(poll_for, POLLIN, results);
    weft_go(poll_for, POLLPRI, results);
    EVENTUALLY(waiters() == 2);
    int armed = load_relaxed(&fake.armed);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    fake_event(ends[0], POLLIN);
    CHECK_EQ(result(results), POLLIN);
    EVENTUALLY(load_relaxed(&fake.armed) > armed); /* for the one who waits for something else */
    CHECK_EQ(waiters(), 1);
    CHECK_EQ(close(ends[1]), 0);
    fake_event(ends[0], POLLHUP);
    CHECK_EQ(result(results), POLLHUP);
    CHECK_EQ(close(ends[0]), 0);
    weft_chan_unref(results);
}

/* The number became another file behind weft's back: who waits for the old one is woken to see. */
TEST(foreign_number_that_changed_hands) {
    weft_chan(int) results = weft_chan_make(int, 2);
    int other[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    weft_go(poll_for, POLLIN, results);
    EVENTUALLY(waiters() == 1);
    CHECK_EQ(pipe2(other, O_CLOEXEC), 0);
    CHECK_EQ(write(other[1], "x", 1), 1);
    CHECK_EQ(dup2(other[0], ends[0]), ends[0]);
    fake_closed(ends[0]);
    weft_go(poll_for, POLLPRI, results);
    CHECK_EQ(result(results), POLLIN);
    CHECK_EQ(weft_close(ends[0]), 0);
    CHECK_EQ(result(results), -EBADF);
    CHECK_EQ(close(ends[1]) | close(other[0]) | close(other[1]), 0);
    weft_chan_unref(results);
}
