/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readiness of descriptors by epoll. Waiting and collecting are two calls: one who waits (ppoll on
 * the epoll descriptor, with a resolution of nanoseconds) takes no event away, so it needs no right
 * to deal with what it is woken by. epoll_pwait2 has that resolution too, but takes the events.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../os.h"

#define MOST 128

int os_poller_open(struct os_poller *poller) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0)
        return errno;
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell < 0) {
        int err = errno;
        close(set);
        return err;
    }
    *poller = (struct os_poller){.set = set, .bell = bell};
    return 0;
}

void os_poller_close(struct os_poller *poller) {
    close(poller->set);
    close(poller->bell);
}

static int control(const struct os_poller *poller, int op, int fd, uint32_t events,
                   uint64_t token) {
    int saved = errno, err = 0;
    struct epoll_event event = {.events = events, .data.u64 = token};
    if (epoll_ctl(poller->set, op, fd, &event) != 0)
        err = errno;
    errno = saved;
    return err;
}

int os_poller_watch(const struct os_poller *poller, int fd, uint64_t token) {
    const uint32_t events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    int err = control(poller, EPOLL_CTL_ADD, fd, events, token);
    return err == EEXIST ? control(poller, EPOLL_CTL_MOD, fd, events, token) : err;
}

int os_poller_arm(const struct os_poller *poller, int fd, uint64_t token, short events, bool known,
                  bool *added) {
    uint32_t once = (uint32_t)(unsigned short)events | EPOLLONESHOT;
    *added = !known;
    int err = control(poller, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, once, token);
    if (err == (known ? ENOENT : EEXIST)) {
        *added = known;
        err = control(poller, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, once, token);
    }
    return err;
}

void os_poller_forget(const struct os_poller *poller, int fd) {
    control(poller, EPOLL_CTL_DEL, fd, 0, 0);
}

int os_poller_collect(const struct os_poller *poller, struct os_event *events, int n) {
    struct epoll_event got[MOST];
    int count = epoll_wait(poller->set, got, n < MOST ? n : MOST, 0);
    for (int i = 0; i < count; i++)
        events[i] = (struct os_event){.token = got[i].data.u64, .ready = (short)got[i].events};
    return count > 0 ? count : 0;
}

static struct timespec *span_until(int64_t deadline, struct timespec *span) {
    if (deadline < 0)
        return NULL;
    int64_t left = deadline > 0 ? deadline - os_nanotime() : 0;
    left = left > 0 ? left : 0;
    *span = (struct timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    return span;
}

bool os_poller_wait(const struct os_poller *poller, int64_t deadline) {
    struct pollfd fds[2] = {{.fd = poller->set, .events = POLLIN},
                            {.fd = poller->bell, .events = POLLIN}};
    struct timespec span;
    if (syscall(SYS_ppoll, fds, 2, span_until(deadline, &span), NULL, 0) <= 0)
        return false;
    uint64_t count;
    if (deadline != 0 && fds[1].revents != 0 && read(poller->bell, &count, sizeof count) < 0)
        return fds[0].revents != 0; /* nothing in it: it was rung and answered before */
    return fds[0].revents != 0;
}

void os_poller_ring(const struct os_poller *poller) {
    int saved = errno;
    const uint64_t one = 1;
    if (write(poller->bell, &one, sizeof one) < 0)
        errno = saved; /* full: it rings already */
}
