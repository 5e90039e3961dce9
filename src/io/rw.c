/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read and write: an attempt (try.h), a park for as long as it says EAGAIN, another attempt.
 *
 * A read ends with the first attempt that gives something. A write goes on until everything is
 * written, whatever the descriptor: in a message socket the first attempt writes all of the message
 * or nothing. The turn of the direction is kept throughout, so the bytes of two writes don't mix.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include <weft/io.h>

#include "try.h"

static ssize_t read_list(int fd, const struct iovec *iov, int n, size_t size) {
    struct wefti_try t;
    int err = wefti_try_begin(&t, fd, WEFTI_READ);
    if (err)
        return wefti_fail(err);
    ssize_t got = t.op.dry ? -EAGAIN : wefti_try_read(&t, iov, n);
    while (got == -EAGAIN) {
        err = wefti_try_wait(&t);
        got = err ? -err : wefti_try_read(&t, iov, n);
    }
    if (got > 0 && (size_t)got < size)
        wefti_op_dry(&t.op);
    wefti_try_end(&t);
    return got < 0 ? wefti_fail((int)-got) : got;
}

/* What is left of a list after `done` bytes; a part of it is enough. */
static ssize_t write_rest(struct wefti_try *t, const struct iovec *iov, int n, size_t done) {
    struct iovec part[WEFTI_IOV_PART];
    if (done == 0)
        return wefti_try_write(t, iov, n);
    return wefti_try_write(t, part, wefti_iov_part(part, iov, (size_t)n, done, SSIZE_MAX));
}

static ssize_t write_list(int fd, const struct iovec *iov, int n, size_t size) {
    struct wefti_try t;
    int err = wefti_try_begin(&t, fd, WEFTI_WRITE);
    if (err)
        return wefti_fail(err);
    size_t done = 0;
    do {
        ssize_t put = write_rest(&t, iov, n, done);
        if (put > 0)
            done += (size_t)put;
        else if (put == -EAGAIN)
            err = wefti_try_wait(&t);
        else if (put < 0 || size > 0)
            err = put < 0 ? (int)-put : EIO; /* a device that takes nothing and says nothing */
        else
            break;
    } while (err == 0 && done < size);
    wefti_try_end(&t);
    if (err)
        weft_set_errno(err);
    return err && done == 0 ? -1 : (ssize_t)done;
}

/* Nothing is to be done: 0 at once, on what is a descriptor. */
static ssize_t nothing(int fd) {
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

ssize_t weft_read(int fd, void *buf, size_t n) {
    struct iovec iov = {buf, n};
    return n == 0 ? nothing(fd) : read_list(fd, &iov, 1, n);
}

ssize_t weft_write(int fd, const void *buf, size_t n) {
    struct iovec iov = {(void *)(uintptr_t)buf, n}; /* 0 bytes may be a message */
    return n > SSIZE_MAX ? wefti_fail(EINVAL) : write_list(fd, &iov, 1, n);
}

/* The size of a list that a caller gave, or -EINVAL. */
static ssize_t list_size(const struct iovec *iov, int n) {
    return n < 0 || n > IOV_MAX ? -EINVAL : wefti_iov_size(iov, (size_t)n);
}

ssize_t weft_readv(int fd, const struct iovec *iov, int iovcnt) {
    ssize_t size = list_size(iov, iovcnt);
    if (size < 0)
        return wefti_fail((int)-size);
    return size == 0 ? nothing(fd) : read_list(fd, iov, iovcnt, (size_t)size);
}

ssize_t weft_writev(int fd, const struct iovec *iov, int iovcnt) {
    ssize_t size = list_size(iov, iovcnt);
    if (size < 0)
        return wefti_fail((int)-size);
    return size == 0 ? nothing(fd) : write_list(fd, iov, iovcnt, (size_t)size);
}
