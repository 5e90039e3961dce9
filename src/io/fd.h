/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on descriptors, as the calls that make them see it. fd.c holds the protocol.
 *
 * The shape of every call that reads, writes, accepts or connects:
 *
 *     struct wefti_op op;
 *     int err = wefti_op_begin(&op, fd, WEFTI_READ);
 *     if (err)
 *         return wefti_fail(err);
 *     for (;;) {
 *         try it, without blocking, outside of the runtime; EINTR is tried again
 *         if (it was not EAGAIN)
 *             break;
 *         if ((err = wefti_op_wait(&op)) != 0)
 *             break;
 *     }
 *     wefti_op_end(&op);
 *
 * All of these are called outside of the runtime (not between wefti_enter and wefti_leave), from
 * goroutines and from any other thread; where no runtime is up they work as plain POSIX calls do.
 */
#ifndef WEFTI_IO_FD_H
#define WEFTI_IO_FD_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <weft/base.h>

enum wefti_dir { WEFTI_READ, WEFTI_WRITE };

/* What weft made. */
enum wefti_made {
    WEFTI_MADE_FILE,   /* a regular file or the like: it can't be watched */
    WEFTI_MADE_POLLED, /* O_NONBLOCK, and to be watched */
    WEFTI_MADE_TCP,    /* the same, a TCP connection: see wefti_op_dry */
};

struct wefti_op {
    int fd;
    uint8_t dir;    /* enum wefti_dir */
    bool own;       /* weft made it; otherwise its flags are somebody else's and it may block */
    bool polled;    /* own: O_NONBLOCK and watched; otherwise a regular file or the like */
    bool tcp;       /* own: a TCP connection */
    bool dry;       /* there is nothing to read, as far as is known: wait first */
    bool late;      /* its turn came after its deadline */
    bool last;      /* it is the last to leave one that is being closed */
    uint32_t gen;   /* own: the descriptor's generation */
    uint32_t edges; /* the direction's count of events when the try began */
};

/*
 * An operation begins. An own descriptor is held open until wefti_op_end and its turn is waited
 * for: one operation in each direction at a time. 0; EBADF: closed, or being closed; ETIMEDOUT: its
 * deadline has passed; or what ended the wait for the turn (ECANCELED, ETIMEDOUT).
 */
int wefti_op_begin(struct wefti_op *op, int fd, enum wefti_dir dir);

/*
 * Parks until the descriptor may be ready in op's direction. 0: try again; EBADF: closed meanwhile;
 * ETIMEDOUT, ECANCELED: the descriptor's deadline, or the end of the goroutine's context; EPERM:
 * such a descriptor can't be waited for (a regular file, a directory).
 */
int wefti_op_wait(struct wefti_op *op);

void wefti_op_end(struct wefti_op *op);

/* A plain read gave less than there was room for: of a TCP connection that was all there is, and the
 * next read need not try before it waits. */
void wefti_op_dry(struct wefti_op *op);

/* fd was just made by weft. 0, or an errno; fd stays open in either case. */
int wefti_fd_adopt(int fd, enum wefti_made made);

/* Waits for events as poll(2) does, on any descriptor, any number of waiters: the events, or
 * -errno. */
int wefti_fd_poll(int fd, short events);

/* Sets errno, of the goroutine wherever it runs now, and returns -1. */
int wefti_fail(int err);

#endif
