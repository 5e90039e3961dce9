/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: the recv and send families, with addresses, flags and control data. One system call
 * that went through is the whole operation, but for MSG_WAITALL, which reads a stream until the
 * buffers are full. It is without effect together with MSG_PEEK, MSG_TRUNC or a buffer for control
 * data, which belongs to one part of the stream.
 *
 * With MSG_DONTWAIT, and where the system never waits (MSG_OOB, MSG_ERRQUEUE), there is one attempt,
 * which waits for no turn either.
 */
#define _GNU_SOURCE
#include <limits.h>

#include <weft/io.h>
#include <weft/time.h>

#include "try.h"

static bool is_stream(int fd) {
    int type = 0, before = errno;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
        weft_set_errno(before);
    return type == SOCK_STREAM;
}

static ssize_t msg_size(const struct msghdr *msg) {
    if (msg->msg_iovlen > IOV_MAX)
        return -EMSGSIZE;
    return wefti_iov_size(msg->msg_iov, msg->msg_iovlen);
}

/* ---- receive ---- */

/* One attempt or more, until there is something: a count or -errno. */
static ssize_t receive_some(struct wefti_op *op, struct msghdr *msg, int flags) {
    ssize_t got;
    while ((got = wefti_try_recvmsg(op->fd, msg, flags)) == -EAGAIN) {
        int err = wefti_op_wait(op);
        if (err)
            return -err;
    }
    return got;
}

/* MSG_WAITALL: the rest of `size` bytes, up to the end of the file or an error, which the next call
 * will meet. */
static ssize_t receive_rest(struct wefti_op *op, const struct msghdr *msg, int flags, ssize_t got,
                            ssize_t size) {
    struct iovec part[WEFTI_IOV_PART];
    while (got < size) {
        struct msghdr rest = {.msg_iov = part};
        rest.msg_iovlen =
            (size_t)wefti_iov_part(part, msg->msg_iov, msg->msg_iovlen, (size_t)got, (size_t)size);
        ssize_t more = receive_some(op, &rest, flags);
        if (more <= 0)
            break;
        got += more;
    }
    return got;
}

static ssize_t receive(int fd, struct msghdr *msg, int flags) {
    wefti_give_way();
    if (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) {
        ssize_t got = wefti_try_recvmsg(fd, msg, flags);
        return got < 0 ? wefti_fail((int)-got) : got;
    }
    ssize_t size = msg_size(msg);
    if (size < 0)
        return wefti_fail((int)-size);
    struct wefti_op op;
    int err = wefti_op_begin(&op, fd, WEFTI_READ);
    if (err)
        return wefti_fail(err);
    bool fill = (flags & (MSG_WAITALL | MSG_PEEK | MSG_TRUNC)) == MSG_WAITALL && !msg->msg_control;
    ssize_t got = receive_some(&op, msg, flags);
    if (got > 0 && got < size && fill && is_stream(fd))
        got = receive_rest(&op, msg, flags, got, size);
    wefti_op_end(&op);
    return got < 0 ? wefti_fail((int)-got) : got;
}

ssize_t weft_recvmsg(int fd, struct msghdr *msg, int flags) {
    return receive(fd, msg, flags);
}

ssize_t weft_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
                      socklen_t *fromlen) {
    if (n > SSIZE_MAX)
        return wefti_fail(EINVAL);
    if (from && !fromlen)
        return wefti_fail(EFAULT);
    struct iovec iov = {buf, n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (from) {
        msg.msg_name = from;
        msg.msg_namelen = *fromlen;
    }
    ssize_t got = receive(fd, &msg, flags);
    if (got >= 0 && from)
        *fromlen = msg.msg_namelen;
    return got;
}

/* ---- send ---- */

enum { PAUSE_MAX = 16 };

/*
 * Waits until another attempt makes sense. A datagram to a named Unix socket waits for room in that
 * socket's queue, and nothing tells of it: the sender's own socket is ready all the time. So try
 * now and then, out of turn. *held: the operation goes on; false when it could not begin again.
 */
static int wait_to_send(struct wefti_op *op, const struct msghdr *msg, int *pause, bool *held) {
    const struct sockaddr *to = msg->msg_name;
    if (!to || msg->msg_namelen < sizeof to->sa_family || to->sa_family != AF_UNIX)
        return wefti_op_wait(op);
    int fd = op->fd;
    wefti_op_end(op);
    *held = false;
    if (!weft_sleep(*pause * WEFT_MILLISECOND))
        return errno;
    if (*pause < PAUSE_MAX)
        *pause *= 2;
    int err = wefti_op_begin(op, fd, WEFTI_WRITE);
    *held = err == 0;
    return err;
}

ssize_t weft_sendmsg(int fd, const struct msghdr *msg, int flags) {
    struct wefti_op op;
    ssize_t put;
    int pause = 1;
    wefti_give_way();
    if (flags & MSG_DONTWAIT) {
        put = wefti_try_sendmsg(fd, msg, flags);
        return put < 0 ? wefti_fail((int)-put) : put;
    }
    int err = wefti_op_begin(&op, fd, WEFTI_WRITE);
    if (err)
        return wefti_fail(err);
    bool held = true;
    while ((put = wefti_try_sendmsg(fd, msg, flags)) == -EAGAIN)
        if ((err = wait_to_send(&op, msg, &pause, &held)) != 0) {
            put = -err;
            break;
        }
    if (held)
        wefti_op_end(&op);
    return put < 0 ? wefti_fail((int)-put) : put;
}

ssize_t weft_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
                    socklen_t tolen) {
    if (n > SSIZE_MAX)
        return wefti_fail(EINVAL);
    struct iovec iov = {(void *)(uintptr_t)buf, n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (to) {
        msg.msg_name = (void *)(uintptr_t)to;
        msg.msg_namelen = tolen;
    }
    return weft_sendmsg(fd, &msg, flags);
}
