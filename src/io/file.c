/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: what blocks in the kernel without ever saying EAGAIN goes through the brackets, so that it
 * costs a thread and no P.
 *
 * Files have no turns (fd.c), only references that hold them open: several calls at a time, pread
 * and pwrite above all, are the kernel's to order. What open gives is looked at: if epoll takes it,
 * it is made O_NONBLOCK, being weft's own, and watched.
 *
 * A bracket is not cancellable: nothing gets a thread out of the kernel but a signal.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/go.h>
#include <weft/io.h>

#include "try.h"

/* ---- at a position ---- */

/* A count or -errno. */
static ssize_t read_at(int fd, void *buf, size_t n, off_t offset) {
    int before = errno;
    ssize_t got;
    weft_block_enter();
    do
        got = pread(fd, buf, n, offset);
    while (got < 0 && errno == EINTR);
    got = wefti_result(got, before);
    weft_block_exit();
    return got;
}

ssize_t weft_pread(int fd, void *buf, size_t n, off_t offset) {
    struct wefti_op op;
    int err = wefti_op_begin(&op, fd, WEFTI_READ);
    if (err)
        return wefti_fail(err);
    ssize_t got = read_at(fd, buf, n, offset);
    wefti_op_end(&op);
    return got < 0 ? wefti_fail((int)-got) : got;
}

/* All n bytes: 0, or an errno; *done counts. */
static int write_at(int fd, const char *buf, size_t n, off_t offset, size_t *done) {
    int before = errno;
    ssize_t put;
    weft_block_enter();
    do {
        put = pwrite(fd, buf + *done, n - *done, offset + (off_t)*done);
        if (put > 0)
            *done += (size_t)put;
    } while (put < 0 ? errno == EINTR : put > 0 && *done < n);
    put = wefti_result(put, before);
    weft_block_exit();
    if (put < 0)
        return (int)-put;
    return *done < n ? EIO : 0;
}

ssize_t weft_pwrite(int fd, const void *buf, size_t n, off_t offset) {
    struct wefti_op op;
    size_t done = 0;
    if (n > SSIZE_MAX)
        return wefti_fail(EINVAL);
    int err = wefti_op_begin(&op, fd, WEFTI_WRITE);
    if (err)
        return wefti_fail(err);
    err = write_at(fd, buf, n, offset, &done);
    wefti_op_end(&op);
    if (err)
        weft_set_errno(err);
    return err && done == 0 ? -1 : (ssize_t)done;
}

int weft_fsync(int fd) {
    struct wefti_op op;
    int err = wefti_op_begin(&op, fd, WEFTI_WRITE);
    if (err)
        return wefti_fail(err);
    int before = errno, done;
    weft_block_enter();
    do
        done = fsync(fd);
    while (done < 0 && errno == EINTR);
    done = (int)wefti_result(done, before);
    weft_block_exit();
    wefti_op_end(&op);
    return done < 0 ? wefti_fail(-done) : 0;
}

/* ---- open ---- */

/* True for what epoll may take: pipes and character devices. */
static bool may_be_polled(int fd, int flags) {
    struct stat st;
    if (flags & O_PATH || fstat(fd, &st) != 0)
        return false;
    return S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode) || S_ISSOCK(st.st_mode);
}

/* O_NONBLOCK stays on only where epoll takes fd, or where the caller asked for it. */
static int adopt_polled(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return EPERM;
    int err = wefti_fd_adopt(fd, WEFTI_MADE_POLLED);
    if (err == EPERM)
        fcntl(fd, F_SETFL, flags);
    return err;
}

static int adopt(int fd, int flags) {
    int before = errno;
    int err = may_be_polled(fd, flags) ? adopt_polled(fd) : EPERM;
    if (err == EPERM)
        err = wefti_fd_adopt(fd, WEFTI_MADE_FILE);
    weft_set_errno(before);
    return err;
}

int weft_open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {
        va_list ap;
        va_start(ap, flags);
        mode = (mode_t)va_arg(ap, int);
        va_end(ap);
    }
    int before = errno, fd;
    weft_block_enter();
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    fd = (int)wefti_result(fd, before);
    weft_block_exit();
    if (fd < 0)
        return wefti_fail(-fd);
    int err = adopt(fd, flags);
    if (err == 0)
        return fd;
    close(fd);
    return wefti_fail(err);
}
