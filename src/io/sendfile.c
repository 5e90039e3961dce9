/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft_sendfile: from a file to a descriptor, until n bytes went or the file ends.
 *
 * The kernel's sendfile is used where it can neither block on `out` nor take bytes that it then
 * can't deliver: `in` is a file, which is read in a bracket, and `out` is O_NONBLOCK or a file.
 * Anything else, and what it refuses with EINVAL, is copied through a buffer. A copy from a file
 * reads at a position and moves that on by what was written, so a failing write loses nothing; from
 * a pipe or a socket, what was read and could not be written is lost.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/go.h>
#include <weft/io.h>

#include "try.h"

enum { COPY_BUFFER = 64 << 10 };

static bool is_file(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

static bool sends_directly(const struct wefti_op *op, int in) {
    if (!is_file(in))
        return false;
    if (op->own)
        return true;
    int flags = fcntl(op->fd, F_GETFL);
    return (flags >= 0 && flags & O_NONBLOCK) || is_file(op->fd);
}

/* A count or -errno; raises no SIGPIPE. */
static ssize_t send_once(int out, int in, off_t *offset, size_t n) {
    int before = errno;
    struct wefti_sigpipe s;
    ssize_t put;
    weft_block_enter();
    wefti_sigpipe_block(&s);
    do
        put = sendfile(out, in, offset, n);
    while (put < 0 && errno == EINTR);
    put = wefti_result(put, before);
    wefti_sigpipe_restore(&s, put == -EPIPE);
    weft_block_exit();
    return put;
}

/* Sends up to n bytes: 0 or an errno, EINVAL if the kernel can't; *done counts. */
static int send_directly(struct wefti_op *op, int in, off_t *offset, size_t n, size_t *done) {
    while (*done < n) {
        ssize_t put = send_once(op->fd, in, offset, n - *done);
        if (put == 0)
            break;
        if (put > 0) {
            *done += (size_t)put;
            continue;
        }
        int err = put == -EAGAIN ? wefti_op_wait(op) : (int)-put;
        if (err)
            return err;
    }
    return 0;
}

/* Copies up to n bytes; `at` is in's position, or -1 for what has none. 0 or an errno. */
static int copy(int out, int in, off_t at, size_t n, char *buffer, size_t *done) {
    while (*done < n) {
        size_t want = n - *done < COPY_BUFFER ? n - *done : COPY_BUFFER;
        ssize_t got =
            at < 0 ? weft_read(in, buffer, want) : weft_pread(in, buffer, want, at + (off_t)*done);
        if (got <= 0)
            return got == 0 ? 0 : errno;
        ssize_t put = weft_write(out, buffer, (size_t)got);
        if (put > 0)
            *done += (size_t)put;
        if (put != got)
            return errno;
    }
    return 0;
}

/* The rest of n bytes, by a buffer. in's position, or *offset, is where the first part left it. */
static int copy_rest(int out, int in, off_t *offset, size_t n, size_t *done) {
    off_t at = offset ? *offset : lseek(in, 0, SEEK_CUR);
    if (offset && at < 0)
        return EINVAL;
    char *buffer = malloc(COPY_BUFFER);
    if (!buffer)
        return ENOMEM;
    size_t copied = 0;
    int err = copy(out, in, at, n, buffer, &copied);
    free(buffer);
    if (offset)
        *offset = at + (off_t)copied;
    else if (at >= 0)
        lseek(in, at + (off_t)copied, SEEK_SET);
    *done += copied;
    return err;
}

ssize_t weft_sendfile(int out, int in, off_t *offset, size_t n) {
    struct wefti_op op;
    int before = errno;
    size_t done = 0;
    if (n > SSIZE_MAX)
        return wefti_fail(EINVAL);
    int err = wefti_op_begin(&op, out, WEFTI_WRITE);
    if (err)
        return wefti_fail(err);
    bool directly = sends_directly(&op, in);
    if (directly)
        err = send_directly(&op, in, offset, n, &done);
    wefti_op_end(&op);
    if (!directly || err == EINVAL || err == ENOSYS)
        err = copy_rest(out, in, offset, n - done, &done);
    weft_set_errno(err ? err : before);
    return err && done == 0 ? -1 : (ssize_t)done;
}
