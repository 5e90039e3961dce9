/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller: which descriptors became ready. One for the process, opened when the first descriptor
 * is watched, closed at the end of the run.
 *
 * It knows descriptors and tokens, and neither goroutines nor the scheduler: whoever collects gets
 * tokens and passes them on. What a token means is io/fd.c's business.
 *
 * A backend is a table of functions; the system's (epoll) is the default, and a test may put a
 * scripted one in its place before a run begins. Contracts of the functions: os/os.h, os_poller_….
 * Any of them may be called by several threads at once but open and close.
 */
#ifndef WEFTI_POLL_POLL_H
#define WEFTI_POLL_POLL_H

#include "../base/atomic.h"
#include "../os/os.h"

struct wefti_poll_ops {
    int (*open)(void);
    void (*close)(void);
    int (*watch)(int fd, uint64_t token);
    int (*arm)(int fd, uint64_t token, short events, bool known, bool *added);
    void (*forget)(int fd);
    int (*collect)(struct os_event *events, int n);
    bool (*wait)(int64_t deadline);
    void (*ring)(void);
};

extern const struct wefti_poll_ops *wefti_poll;
extern uint32_t wefti_poll_open; /* atomic; changed by sched/netpoll.c alone */

static inline bool wefti_poll_is_open(void) {
    return load_acquire(&wefti_poll_open) != 0; /* pairs with the store after open */
}

#endif
