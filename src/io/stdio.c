/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft_fdopen: a FILE over weft_read, weft_write and weft_close.
 *
 * The C library's streams lock themselves for a thread. A goroutine that parks inside of one may
 * leave it on another thread, so locking is left to the callers: one goroutine at a time, which
 * goroutines that share a stream see to by a weft_mutex. fflush(NULL) and exit() write out all
 * streams of the process and hold a lock of the library's meanwhile.
 *
 * fileno() of such a stream fails, as it has no descriptor that the C library knows of.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <stdio_ext.h>
#include <unistd.h>

#include <weft/io.h>

#include "fd.h"

/* The library's cookie is no pointer: it holds all that there is to know. */
static void *make_cookie(int fd, bool append) {
    return (void *)((uintptr_t)fd << 1 | append);
}

static int fd_of(const void *cookie) {
    return (int)((uintptr_t)cookie >> 1);
}

static bool appends(const void *cookie) {
    return (uintptr_t)cookie & 1;
}

static ssize_t stream_read(void *cookie, char *buf, size_t n) {
    return weft_read(fd_of(cookie), buf, n);
}

/* The C library wants the count that was written, 0 for none. */
static ssize_t stream_write(void *cookie, const char *buf, size_t n) {
    if (appends(cookie)) {
        int before = errno;
        if (lseek(fd_of(cookie), 0, SEEK_END) < 0)
            weft_set_errno(before); /* no file */
    }
    ssize_t put = weft_write(fd_of(cookie), buf, n);
    return put < 0 ? 0 : put;
}

static int stream_seek(void *cookie, off64_t *offset, int whence) {
    off64_t at = lseek64(fd_of(cookie), *offset, whence);
    if (at < 0)
        return -1;
    *offset = at;
    return 0;
}

static int stream_close(void *cookie) {
    return weft_close(fd_of(cookie));
}

/* What the descriptor must allow: O_RDONLY, O_WRONLY, O_RDWR, or -1 for a mode that is none. */
static int access_of(const char *mode) {
    if (!mode || !*mode || !strchr("rwa", *mode))
        return -1;
    if (strchr(mode, '+'))
        return O_RDWR;
    return *mode == 'r' ? O_RDONLY : O_WRONLY;
}

static int check_mode(int fd, int access) {
    int before = errno, flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        int err = errno;
        weft_set_errno(before);
        return err;
    }
    int has = flags & O_ACCMODE;
    return access >= 0 && (has == O_RDWR || has == access) ? 0 : EINVAL;
}

/* A terminal's output goes out by lines. */
static void set_buffering(FILE *f, int fd) {
    int before = errno;
    if (isatty(fd))
        setvbuf(f, NULL, _IOLBF, BUFSIZ);
    weft_set_errno(before);
}

FILE *weft_fdopen(int fd, const char *mode) {
    static const cookie_io_functions_t calls = {stream_read, stream_write, stream_seek,
                                                stream_close};
    int access = access_of(mode);
    int err = check_mode(fd, access);
    if (err) {
        weft_set_errno(err);
        return NULL;
    }
    char plain[3] = {mode[0], access == O_RDWR ? '+' : '\0', '\0'};
    FILE *f = fopencookie(make_cookie(fd, mode[0] == 'a'), plain, calls);
    if (!f)
        return NULL;
    __fsetlocking(f, FSETLOCKING_BYCALLER);
    set_buffering(f, fd);
    return f;
}
