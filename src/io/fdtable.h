/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of descriptors: what weft knows about each number. fd.c has the protocol, fdtable.c the
 * memory.
 */
#ifndef WEFTI_IO_FDTABLE_H
#define WEFTI_IO_FDTABLE_H

#include <sys/types.h>

#include "../rt/plock.h"
#include "../rt/rt.h"
#include "fd.h"

enum wefti_fd_kind {
    WEFTI_FD_FOREIGN, /* not weft's: nothing here is to be relied on but the queue of waiters */
    WEFTI_FD_POLLED,  /* weft's, O_NONBLOCK, watched by the poller all the time */
    WEFTI_FD_FILE,    /* weft's, not to be watched: a regular file or the like */
};

enum wefti_fd_state {
    WEFTI_FD_OPEN,
    WEFTI_FD_CLOSING, /* weft_close waits for the operations under way */
    WEFTI_FD_LEAVING, /* there are none: the kernel is closing it, or has and its number is free */
};

/* One direction of an own descriptor. */
struct wefti_fd_dir {
    uint32_t edges;          /* events seen (atomic) */
    bool busy;               /* an operation has its turn */
    bool dry;                /* a read has taken all there was when … (the turn's holder) */
    bool wary;               /* an end, an error or urgent data was seen: not only bytes come */
    uint32_t dry_edges;      /* … edges was this (the turn's holder) */
    struct wefti_waitq turn; /* those who wait for theirs */
    struct wefti_waitq io;   /* the one operation that waits for an event */
    int64_t deadline;        /* 0: none (atomic) */
};

/* All but what is atomic is guarded by lock. */
struct wefti_fd {
    uint32_t lock;            /* P-lock, rank WEFTI_RANK_FD */
    uint32_t gen;             /* in tokens: events for an older one are nobody's (atomic) */
    uint8_t kind;             /* enum wefti_fd_kind (atomic) */
    uint8_t state;            /* enum wefti_fd_state; own only */
    bool tcp;                 /* own: a TCP connection */
    bool known;               /* foreign: the poller has met this number (a hint) */
    uint32_t refs;            /* own: operations under way, and waits for a turn */
    struct sudog *closer;     /* waits for refs to be 0 */
    struct wefti_waitq polls; /* weft_poll, and all that wait for a foreign one; word[0]: events */
    struct wefti_fd_dir dir[2];
    dev_t device; /* foreign: the file that the deadlines are meant for */
    ino_t inode;
};

/* ---- fd.c, for the files beside it; with a P ---- */

/* Waits that were won, and are to be readied once the lock is free. */
struct wefti_fd_list {
    struct sudog *first, **end;
};
/* With the lock: wins the wait of a sudog that is on no queue any more, if nobody else has … */
bool wefti_fd_claim_one(struct m *mp, struct sudog *sg, enum wefti_wake wake,
                        struct wefti_fd_list *list);
/* … or all of q's, which is empty then. */
void wefti_fd_claim(struct m *mp, struct wefti_waitq *q, enum wefti_wake wake,
                    struct wefti_fd_list *list);
/* Readies them, without the lock. */
void wefti_fd_ready(struct m *mp, struct wefti_fd_list *list);
/* Publishes a wait and queues it; with the lock. */
struct sudog *wefti_fd_queue(struct m *mp, struct wefti_waitq *q, short events, bool cancellable);
/* Parks in it: 0, EBADF, ETIMEDOUT, ECANCELED; its sudog is off the queue then. *mpp: the M after. */
int wefti_fd_park(struct m **mpp, struct wefti_fd *d, struct wefti_waitq *q, int64_t deadline);
/* An operation has left; with the lock. True: it was the last, and the descriptor is to be closed. */
bool wefti_fd_unref(struct m *mp, struct wefti_fd *d, struct wefti_fd_list *list);
/* Has the kernel close it: nobody uses it any more. Outside of the runtime. 0 or an errno. */
int wefti_fd_leave(struct wefti_fd *d, int fd);

static inline uint64_t wefti_fd_token(const struct wefti_fd *d, int fd) {
    return (uint64_t)d->gen << 32 | (uint32_t)fd;
}

static inline void wefti_fd_lock(struct m *mp, struct wefti_fd *d) {
    wefti_plock(mp, &d->lock, WEFTI_RANK_FD);
}

static inline void wefti_fd_unlock(struct m *mp, struct wefti_fd *d) {
    wefti_punlock(mp, &d->lock, WEFTI_RANK_FD);
}

/* ---- fdtable.c ---- */

/* The record of a number; NULL: none was made yet. */
struct wefti_fd *wefti_fd_find(int fd);
/* The same, made if need be; NULL: out of memory. */
struct wefti_fd *wefti_fd_make(int fd);

#endif
