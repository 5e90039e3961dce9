/* SPDX-License-Identifier: Apache-2.0 */
/* The system's poller as the backend. */
#include "poll.h"

static struct os_poller poller;

static int open_system(void) {
    return os_poller_open(&poller);
}

static void close_system(void) {
    os_poller_close(&poller);
}

static int watch(int fd, uint64_t token) {
    return os_poller_watch(&poller, fd, token);
}

static int arm(int fd, uint64_t token, short events, bool known, bool *added) {
    return os_poller_arm(&poller, fd, token, events, known, added);
}

static void forget(int fd) {
    os_poller_forget(&poller, fd);
}

static int collect(struct os_event *events, int n) {
    return os_poller_collect(&poller, events, n);
}

static bool wait(int64_t deadline) {
    return os_poller_wait(&poller, deadline);
}

static void ring(void) {
    os_poller_ring(&poller);
}

static const struct wefti_poll_ops system_poll = {.open = open_system,
                                                  .close = close_system,
                                                  .watch = watch,
                                                  .arm = arm,
                                                  .forget = forget,
                                                  .collect = collect,
                                                  .wait = wait,
                                                  .ring = ring};

const struct wefti_poll_ops *wefti_poll = &system_poll;
uint32_t wefti_poll_open;
