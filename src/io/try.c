/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts: the ways of try.h, and quiet writes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <weft/go.h>

#include "try.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100
#endif

/* ---- lists of buffers ---- */

int wefti_iov_part(struct iovec part[WEFTI_IOV_PART], const struct iovec *iov, size_t n,
                   size_t skip, size_t limit) {
    int used = 0;
    for (size_t i = 0; i < n && used < WEFTI_IOV_PART && limit > 0; i++) {
        size_t len = iov[i].iov_len;
        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= skip;
        if (len > limit)
            len = limit;
        part[used++] = (struct iovec){(char *)iov[i].iov_base + skip, len};
        limit -= len;
        skip = 0;
    }
    return used;
}

ssize_t wefti_iov_size(const struct iovec *iov, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (iov[i].iov_len > SSIZE_MAX - sum)
            return -EINVAL;
        sum += iov[i].iov_len;
    }
    return (ssize_t)sum;
}

/* ---- no SIGPIPE ---- */

void wefti_sigpipe_block(struct wefti_sigpipe *s) {
    sigset_t pipe, now;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigemptyset(&now);
    pthread_sigmask(SIG_BLOCK, &pipe, &s->before);
    sigpending(&now);
    s->pending = sigismember(&now, SIGPIPE);
}

void wefti_sigpipe_restore(const struct wefti_sigpipe *s, bool raised) {
    if (raised && !s->pending) {
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0, 0}) < 0 && errno == EINTR)
            continue;
    }
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}

static ssize_t write_flags(int fd, const struct iovec *iov, int n, int flags) {
    int before = errno;
    ssize_t put;
    do {
        if (flags)
            put = pwritev2(fd, iov, n, -1, flags);
        else
            put = n == 1 ? write(fd, iov->iov_base, iov->iov_len) : writev(fd, iov, n);
    } while (put < 0 && errno == EINTR);
    return wefti_result(put, before);
}

static ssize_t write_masked(int fd, const struct iovec *iov, int n, int flags) {
    struct wefti_sigpipe s;
    int before = errno;
    wefti_sigpipe_block(&s);
    ssize_t put = write_flags(fd, iov, n, flags);
    wefti_sigpipe_restore(&s, put == -EPIPE);
    weft_set_errno(before);
    return put;
}

static bool unsupported(ssize_t result) {
    return result == -EOPNOTSUPP || result == -ENOSYS;
}

/*
 * The kernel says EOPNOTSUPP when it doesn't know RWF_NOSIGNAL, but also of devices that were
 * written for write(2) alone. A pipe takes the flag if the kernel does.
 */
static ssize_t write_quietly(const struct wefti_try *t, const struct iovec *iov, int n, int flags) {
    static _Atomic bool no_flag;
    int fd = t->op.fd;
    if (!atomic_load_explicit(&no_flag, memory_order_relaxed)) {
        ssize_t put = write_flags(fd, iov, n, flags | RWF_NOSIGNAL);
        if (!unsupported(put))
            return put;
    }
    ssize_t put = write_masked(fd, iov, n, flags);
    if (t->pipe && !unsupported(put))
        atomic_store_explicit(&no_flag, true, memory_order_relaxed);
    return put;
}

/* ---- plain calls ---- */

static ssize_t read_flags(int fd, const struct iovec *iov, int n, int flags) {
    int before = errno;
    ssize_t got;
    do {
        if (flags)
            got = preadv2(fd, iov, n, -1, flags);
        else
            got = n == 1 ? read(fd, iov->iov_base, iov->iov_len) : readv(fd, iov, n);
    } while (got < 0 && errno == EINTR);
    return wefti_result(got, before);
}

static ssize_t read_in_bracket(int fd, const struct iovec *iov, int n) {
    weft_block_enter();
    ssize_t got = read_flags(fd, iov, n, 0);
    weft_block_exit();
    return got;
}

/* A file raises no SIGPIPE; what else is written in a bracket may. */
static ssize_t write_in_bracket(const struct wefti_try *t, const struct iovec *iov, int n) {
    weft_block_enter();
    ssize_t put =
        t->way == WEFTI_WAY_BLOCK ? write_flags(t->op.fd, iov, n, 0) : write_quietly(t, iov, n, 0);
    weft_block_exit();
    return put;
}

ssize_t wefti_try_recvmsg(int fd, struct msghdr *msg, int flags) {
    int before = errno;
    ssize_t got;
    do
        got = recvmsg(fd, msg, flags | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return wefti_result(got, before);
}

ssize_t wefti_try_sendmsg(int fd, const struct msghdr *msg, int flags) {
    int before = errno;
    ssize_t put;
    do
        put = sendmsg(fd, msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    return wefti_result(put, before);
}

static ssize_t send_list(int fd, const struct iovec *iov, int n) {
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
    if (n != 1)
        return wefti_try_sendmsg(fd, &msg, 0);
    int before = errno;
    ssize_t put;
    do
        put = send(fd, iov->iov_base, iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    return wefti_result(put, before);
}

static ssize_t receive_list(int fd, const struct iovec *iov, int n) {
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
    return wefti_try_recvmsg(fd, &msg, 0);
}

/* ---- ways ---- */

int wefti_try_begin(struct wefti_try *t, int fd, enum wefti_dir dir) {
    int err = wefti_op_begin(&t->op, fd, dir);
    if (err)
        return err;
    t->ready = t->pipe = false;
    if (!t->op.own) {
        wefti_give_way();
        t->way = WEFTI_WAY_SOCKET;
    } else if (!t->op.polled) {
        t->way = WEFTI_WAY_BLOCK;
    } else { /* a socket's read needs no flags, its write does */
        t->way = dir == WEFTI_READ ? WEFTI_WAY_PLAIN : WEFTI_WAY_SOCKET;
    }
    return 0;
}

/* It is no socket. */
static void look_closer(struct wefti_try *t) {
    int before = errno;
    struct stat st;
    mode_t kind = fstat(t->op.fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
    weft_set_errno(before);
    t->pipe = kind == S_IFIFO;
    if (t->op.own)
        t->way = WEFTI_WAY_PLAIN;
    else if (kind == S_IFREG || kind == S_IFDIR || kind == S_IFBLK)
        t->way = WEFTI_WAY_BLOCK;
    else
        t->way = WEFTI_WAY_NOWAIT;
}

/* True when the attempt that gave `result` was made in a way that doesn't fit. */
static bool other_way(struct wefti_try *t, ssize_t result) {
    if (t->way == WEFTI_WAY_SOCKET && result == -ENOTSOCK)
        look_closer(t);
    else if (t->way == WEFTI_WAY_NOWAIT && unsupported(result))
        t->way = WEFTI_WAY_READY;
    else
        return false;
    return true;
}

/* True when it was waited for, or there was no need to: such a look is the attempt that fails. */
static bool take_ready(struct wefti_try *t) {
    bool waited = t->ready;
    t->ready = false;
    if (waited)
        return true;
    int before = errno;
    struct pollfd p = {.fd = t->op.fd, .events = t->op.dir == WEFTI_READ ? POLLIN : POLLOUT};
    bool ready = poll(&p, 1, 0) > 0;
    weft_set_errno(before);
    return ready;
}

ssize_t wefti_try_read(struct wefti_try *t, const struct iovec *iov, int n) {
    int fd = t->op.fd;
    ssize_t got = -EAGAIN;
    do {
        switch ((enum wefti_way)t->way) {
        case WEFTI_WAY_SOCKET:
            got = receive_list(fd, iov, n);
            break;
        case WEFTI_WAY_PLAIN:
            got = read_flags(fd, iov, n, 0);
            break;
        case WEFTI_WAY_NOWAIT:
            got = read_flags(fd, iov, n, RWF_NOWAIT);
            break;
        case WEFTI_WAY_READY:
            got = take_ready(t) ? read_in_bracket(fd, iov, n) : -EAGAIN;
            break;
        case WEFTI_WAY_BLOCK:
            got = read_in_bracket(fd, iov, n);
            break;
        }
    } while (other_way(t, got));
    return got;
}

/* In a bracket a pipe gets no more than it has room for. Others may tell their writes apart. */
static ssize_t write_when_ready(struct wefti_try *t, const struct iovec *iov, int n) {
    struct iovec part[WEFTI_IOV_PART];
    if (!take_ready(t))
        return -EAGAIN;
    if (t->pipe) {
        n = wefti_iov_part(part, iov, (size_t)n, 0, PIPE_BUF);
        iov = part;
    }
    return write_in_bracket(t, iov, n);
}

ssize_t wefti_try_write(struct wefti_try *t, const struct iovec *iov, int n) {
    ssize_t put = -EAGAIN;
    do {
        switch ((enum wefti_way)t->way) {
        case WEFTI_WAY_SOCKET:
            put = send_list(t->op.fd, iov, n);
            break;
        case WEFTI_WAY_PLAIN:
            put = write_quietly(t, iov, n, 0);
            break;
        case WEFTI_WAY_NOWAIT:
            put = write_quietly(t, iov, n, RWF_NOWAIT);
            break;
        case WEFTI_WAY_READY:
            put = write_when_ready(t, iov, n);
            break;
        case WEFTI_WAY_BLOCK:
            put = write_in_bracket(t, iov, n);
            break;
        }
    } while (other_way(t, put));
    return put;
}

int wefti_try_wait(struct wefti_try *t) {
    if (t->way == WEFTI_WAY_BLOCK)
        return EAGAIN; /* the file's own: nothing to wait for */
    int err = wefti_op_wait(&t->op);
    if (err == EPERM) {
        t->way = WEFTI_WAY_BLOCK;
        err = 0;
    }
    t->ready = err == 0;
    return err;
}
