/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A poller that a test writes the script of: what is registered is noted, events come when the test
 * says so, registrations fail when the test says so. It takes the place of the system's before a run
 * begins (fake_poll_use), so every run of the program has it.
 *
 * Any thread may add events; waiting is on a futex, so a ring or an event before the wait ends it.
 */
#ifndef WEFT_TESTS_FAKE_POLL_H
#define WEFT_TESTS_FAKE_POLL_H

#include <errno.h>
#include <pthread.h>

#include "poll/poll.h"

enum { FAKE_FDS = 1024, FAKE_EVENTS = 4096 };

static struct {
    pthread_mutex_t lock;
    uint32_t changes; /* futex: counts events and rings */
    struct os_event events[FAKE_EVENTS];
    int first, n;
    uint64_t token[FAKE_FDS]; /* of the last registration */
    bool in_set[FAKE_FDS];
    int watched, armed, forgotten, collected, waits, rings; /* calls; armed is read by tests */
    int open_fails, watch_fails, arm_fails;                 /* an errno */
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void fake_changed(void) {
    add_seqcst(&fake.changes, 1);
    os_futex_wake(&fake.changes, 1);
}

/* An event for whatever fd was registered for last, or for an older token. */
static inline void fake_event_for(uint64_t token, short ready) {
    pthread_mutex_lock(&fake.lock);
    fake.events[(fake.first + fake.n++) % FAKE_EVENTS] = (struct os_event){token, ready};
    pthread_mutex_unlock(&fake.lock);
    fake_changed();
}

static inline void fake_event(int fd, short ready) {
    pthread_mutex_lock(&fake.lock);
    uint64_t token = fake.token[fd];
    pthread_mutex_unlock(&fake.lock);
    fake_event_for(token, ready);
}

/* As the kernel forgets a closed file. */
static inline void fake_closed(int fd) {
    pthread_mutex_lock(&fake.lock);
    fake.in_set[fd] = false;
    pthread_mutex_unlock(&fake.lock);
}

static inline int fake_open(void) {
    return fake.open_fails;
}

static inline void fake_close(void) {
}

static inline int fake_watch(int fd, uint64_t token) {
    pthread_mutex_lock(&fake.lock);
    fake.watched++;
    fake.token[fd] = token;
    fake.in_set[fd] = true;
    int err = fake.watch_fails;
    pthread_mutex_unlock(&fake.lock);
    return err;
}

static inline int fake_arm(int fd, uint64_t token, short events, bool known, bool *added) {
    (void)events, (void)known;
    pthread_mutex_lock(&fake.lock);
    add_relaxed(&fake.armed, 1);
    fake.token[fd] = token;
    *added = !fake.in_set[fd];
    fake.in_set[fd] = true;
    int err = fake.arm_fails;
    pthread_mutex_unlock(&fake.lock);
    return err;
}

static inline void fake_forget(int fd) {
    pthread_mutex_lock(&fake.lock);
    fake.forgotten++;
    fake.in_set[fd] = false;
    pthread_mutex_unlock(&fake.lock);
}

static inline int fake_collect(struct os_event *events, int n) {
    int count = 0;
    pthread_mutex_lock(&fake.lock);
    for (; count < n && fake.n > 0; count++, fake.n--) {
        events[count] = fake.events[fake.first];
        fake.first = (fake.first + 1) % FAKE_EVENTS;
    }
    fake.collected++;
    pthread_mutex_unlock(&fake.lock);
    return count;
}

static inline bool fake_has_events(void) {
    pthread_mutex_lock(&fake.lock);
    bool has = fake.n > 0;
    pthread_mutex_unlock(&fake.lock);
    return has;
}

static inline bool fake_wait(int64_t deadline) {
    static uint32_t answered; /* rings that ended a wait; the one keeper's */
    uint32_t seen = load_seqcst(&fake.changes);
    if (deadline == 0 || fake_has_events())
        return fake_has_events();
    add_relaxed(&fake.waits, 1);
    if (seen == answered)
        os_futex_wait(&fake.changes, seen, deadline);
    answered = load_seqcst(&fake.changes);
    return fake_has_events();
}

static inline void fake_ring(void) {
    add_relaxed(&fake.rings, 1);
    fake_changed();
}

static const struct wefti_poll_ops fake_poll = {.open = fake_open,
                                                .close = fake_close,
                                                .watch = fake_watch,
                                                .arm = fake_arm,
                                                .forget = fake_forget,
                                                .collect = fake_collect,
                                                .wait = fake_wait,
                                                .ring = fake_ring};

static inline void fake_poll_use(void) {
    wefti_poll = &fake_poll;
}

#endif
