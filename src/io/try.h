/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt to read or write, which doesn't block the goroutine's P, on any kind of descriptor.
 *
 * A descriptor that weft made is either O_NONBLOCK or a file. Of any other nothing is known: it may
 * block, its flags belong to all processes that share it and stay as they are. What kind it is, is
 * found out by trying, the likeliest first, and kept for the length of one call of the user's:
 *
 *   SOCKET   recvmsg and sendmsg with MSG_DONTWAIT. ENOTSOCK: look at it with fstat, go on below
 *   PLAIN    weft's own, O_NONBLOCK: the plain call
 *   NOWAIT   preadv2 and pwritev2 with RWF_NOWAIT, which pipes have. EOPNOTSUPP: go on below
 *   READY    FIFOs with a name, terminals, devices: the plain call in a bracket, once poll(2) or a
 *            wait says that it is ready. It blocks its thread when another took the data meanwhile, or when
 *            a terminal has less room than is to be written
 *   BLOCK    regular files, directories, disks, and what epoll refuses: the plain call in a bracket
 *
 * Results are counts, or errno values below zero; errno itself stays as it was. A goroutine that
 * leaves a bracket may be on another thread, so each result is taken before.
 *
 * No attempt raises SIGPIPE. sendmsg has a flag for it, and since Linux 6.18 pwritev2; without them
 * the signal is blocked around the write and taken away if the write raised it. A SIGPIPE that
 * another process sends in that moment goes with it. Rejected: ignoring the signal for the process,
 * which programs that exec others hand on.
 */
#ifndef WEFTI_IO_TRY_H
#define WEFTI_IO_TRY_H

#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "../sched/sched.h"
#include "fd.h"

enum wefti_way {
    WEFTI_WAY_SOCKET,
    WEFTI_WAY_PLAIN,
    WEFTI_WAY_NOWAIT,
    WEFTI_WAY_READY,
    WEFTI_WAY_BLOCK
};

struct wefti_try {
    struct wefti_op op;
    uint8_t way; /* enum wefti_way */
    bool ready;  /* READY: it was waited for since the last attempt */
    bool pipe;   /* a FIFO, which when it is ready has room for PIPE_BUF bytes */
};

/*
 * A foreign descriptor on which nothing ever waits takes no part in the scheduler; a goroutine that
 * does nothing else would outlast its time slice. So each call looks at the attention word, as every
 * entry does; that of a thread which is no goroutine, and inside a bracket, means something else.
 */
static inline void wefti_give_way(void) {
    const struct m *mp = arch_getm();
    if (unlikely(mp && load_relaxed(&mp->attn.word) && !load_relaxed(&mp->attn.is.foreign) &&
                 !load_relaxed(&mp->attn.is.bracket)))
        wefti_leave(wefti_enter_park());
}

/* Begins the operation: 0, or what wefti_op_begin says. */
int wefti_try_begin(struct wefti_try *t, int fd, enum wefti_dir dir);

/* One attempt: a count, which may be short, or -errno. -EAGAIN: call wefti_try_wait. */
ssize_t wefti_try_read(struct wefti_try *t, const struct iovec *iov, int n);
ssize_t wefti_try_write(struct wefti_try *t, const struct iovec *iov, int n);
/* On sockets alone, whatever t's way; flags besides those that keep it from blocking. */
ssize_t wefti_try_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t wefti_try_sendmsg(int fd, const struct msghdr *msg, int flags);

/* After -EAGAIN: 0 when there is a point in another attempt, else an errno. */
int wefti_try_wait(struct wefti_try *t);

static inline void wefti_try_end(struct wefti_try *t) {
    wefti_op_end(&t->op);
}

/* A part of a list of buffers: without its first `skip` bytes, at most `limit` bytes. Returns how
 * many of `part` are filled; short of the list where those don't suffice. */
enum { WEFTI_IOV_PART = 8 };
int wefti_iov_part(struct iovec part[WEFTI_IOV_PART], const struct iovec *iov, size_t n,
                   size_t skip, size_t limit);
/* The sum of the lengths, or -EINVAL where it overflows ssize_t. */
ssize_t wefti_iov_size(const struct iovec *iov, size_t n);

/* Between the two a write raises no SIGPIPE in this thread. No park, no end of a bracket between. */
struct wefti_sigpipe {
    sigset_t before;
    bool pending; /* before the write: it stays */
};
void wefti_sigpipe_block(struct wefti_sigpipe *s);
void wefti_sigpipe_restore(const struct wefti_sigpipe *s, bool raised);

/* The end of an attempt: what a system call returned as a count or -errno, with errno as before. */
static inline ssize_t wefti_result(ssize_t n, int before) {
    if (n >= 0)
        return n;
    ssize_t err = errno;
    weft_set_errno(before);
    return -err;
}

#endif
