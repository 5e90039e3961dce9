/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Own descriptors' beginning and end, and deadlines.
 *
 * Closing, in steps. CLOSING: no operation begins any more, all waits are ended with EBADF. When
 * the last operation has left: LEAVING, and the kernel is asked to close. From some moment in that
 * call on the number is free, and the next open, accept or socket of anybody may get it. If weft
 * adopts it, the record begins a new generation at once, and the closer finds that and leaves it
 * alone. Otherwise the closer makes the record a foreign one's afterwards; an operation that meets
 * LEAVING yields until then, for it can't tell which of the two its number means.
 *
 * weft_close waits for the operations to leave, so that a listener's address is free when it
 * returns. Not so for files: they may be in a call that blocks, and the last to leave closes.
 */
#include <sys/stat.h>
#include <unistd.h>
#include <weft/go.h>
#include <weft/io.h>

#include "../sched/netpoll.h"
#include "../sched/sched.h"
#include "fdtable.h"

/* Everybody who waits, in whatever way; with the lock. */
static void claim_everybody(struct m *mp, struct wefti_fd *d, struct wefti_fd_list *list) {
    for (int i = 0; i < 2; i++) {
        wefti_fd_claim(mp, &d->dir[i].io, WEFTI_WAKE_CLOSED, list);
        wefti_fd_claim(mp, &d->dir[i].turn, WEFTI_WAKE_CLOSED, list);
    }
    wefti_fd_claim(mp, &d->polls, WEFTI_WAKE_CLOSED, list);
}

/* A new generation: whatever was known is void. With the lock. */
static void renew(struct wefti_fd *d, enum wefti_fd_kind kind) {
    store_relaxed(&d->gen, d->gen + 1);
    store_relaxed(&d->kind, (uint8_t)kind);
    d->state = WEFTI_FD_OPEN;
    d->known = kind == WEFTI_FD_POLLED;
    d->refs = 0;
    for (int i = 0; i < 2; i++) {
        d->dir[i].busy = false;
        store_relaxed(&d->dir[i].deadline, 0);
    }
}

/* ---- adopting ---- */

static int adopt(struct m *mp, struct wefti_fd *d, int fd, bool polled) {
    struct wefti_fd_list list = {0};
    int err = 0;
    wefti_fd_lock(mp, d);
    claim_everybody(mp, d, &list); /* of a file that was closed behind weft's back */
    if (d->closer) {
        struct wefti_waitq one = {0};
        wefti_waitq_push(&one, d->closer);
        d->closer = NULL;
        wefti_fd_claim(mp, &one, WEFTI_WAKE_OK, &list);
    }
    renew(d, polled ? WEFTI_FD_POLLED : WEFTI_FD_FILE);
    if (polled && (err = wefti_poll->watch(fd, wefti_fd_token(d, fd))) != 0)
        renew(d, WEFTI_FD_FOREIGN);
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    return err;
}

int wefti_fd_adopt(int fd, bool polled) {
    struct m *mp = wefti_enter();
    int err = 0;
    if (!mp->outside) {
        struct wefti_fd *d = wefti_fd_make(fd);
        err = !d ? ENOMEM : polled ? wefti_netpoll_open() : 0;
        if (err == 0)
            err = adopt(mp, d, fd, polled);
    }
    wefti_leave(mp);
    return err;
}

/* ---- closing ---- */

/* On Linux the number is free whatever close says. */
static int close_number(int fd) {
    int saved = errno;
    weft_block_enter();
    int err = close(fd) == 0 ? 0 : errno;
    weft_block_exit();
    weft_set_errno(saved);
    return err == EINTR ? 0 : err;
}

int wefti_fd_leave(struct wefti_fd *d, int fd) {
    uint32_t gen = load_relaxed(&d->gen);
    if (load_relaxed(&d->kind) == WEFTI_FD_POLLED)
        wefti_poll->forget(fd); /* a duplicate may keep the file */
    int err = close_number(fd);
    struct m *mp = wefti_enter_park();
    wefti_fd_lock(mp, d);
    if (d->gen == gen && d->state == WEFTI_FD_LEAVING)
        renew(d, WEFTI_FD_FOREIGN);
    wefti_fd_unlock(mp, d);
    wefti_leave(mp);
    return err;
}

/* What weft_close still has to do. */
enum rest { NOTHING, KERNEL, FOREIGN, ONCE_MORE };

/* All operations have left, unless the number has been adopted again meanwhile. */
static bool last_out(struct m *mp, struct wefti_fd *d, uint32_t gen) {
    wefti_fd_lock(mp, d);
    bool mine = d->gen == gen && d->state == WEFTI_FD_CLOSING;
    if (mine)
        d->state = WEFTI_FD_LEAVING;
    wefti_fd_unlock(mp, d);
    return mine;
}

/* With the lock, which it gives back. */
static enum rest close_own(struct m **mpp, struct wefti_fd *d, int *err) {
    struct m *mp = *mpp;
    struct wefti_fd_list list = {0};
    uint32_t gen = d->gen;
    *err = d->state == WEFTI_FD_CLOSING ? EBADF : 0;
    if (d->state != WEFTI_FD_OPEN) {
        enum rest rest = d->state == WEFTI_FD_LEAVING ? ONCE_MORE : NOTHING;
        wefti_fd_unlock(mp, d);
        return rest;
    }
    d->state = WEFTI_FD_CLOSING;
    claim_everybody(mp, d, &list);
    bool wait = d->refs > 0 && d->kind == WEFTI_FD_POLLED, closes = d->refs == 0;
    struct wefti_waitq alone = {0};
    if (wait)
        d->closer = wefti_fd_queue(mp, &alone, 0, false);
    else if (closes)
        d->state = WEFTI_FD_LEAVING;
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    if (!wait)
        return closes ? KERNEL : NOTHING;
    wefti_fd_park(mpp, d, &alone, 0);
    return last_out(*mpp, d, gen) ? KERNEL : NOTHING;
}

static void close_foreign(struct m *mp, struct wefti_fd *d, int fd) {
    struct wefti_fd_list list = {0};
    claim_everybody(mp, d, &list);
    renew(d, WEFTI_FD_FOREIGN);
    wefti_fd_unlock(mp, d);
    if (list.first)
        wefti_poll->forget(fd);
    wefti_fd_ready(mp, &list);
}

static enum rest begin_close(struct wefti_fd *d, int fd, int *err) {
    struct m *mp = wefti_enter_park();
    enum rest rest = FOREIGN;
    wefti_fd_lock(mp, d);
    if (d->kind == WEFTI_FD_FOREIGN)
        close_foreign(mp, d, fd);
    else
        rest = close_own(&mp, d, err);
    wefti_leave(mp);
    return rest;
}

int weft_close(int fd) {
    struct wefti_fd *d;
    int err = 0;
    enum rest rest = FOREIGN;
    if (fd < 0)
        return wefti_fail(EBADF);
    while ((d = wefti_fd_find(fd)) != NULL && (rest = begin_close(d, fd, &err)) == ONCE_MORE)
        weft_yield();
    if (rest == KERNEL)
        err = wefti_fd_leave(d, fd);
    else if (rest == FOREIGN)
        err = close_number(fd);
    return err ? wefti_fail(err) : 0;
}

/* ---- deadlines ---- */

static int set_own(struct wefti_fd *d, unsigned dirs, int64_t t, struct m *mp,
                   struct wefti_fd_list *list) {
    if (d->state != WEFTI_FD_OPEN)
        return EBADF;
    if (d->kind == WEFTI_FD_FILE)
        return EOPNOTSUPP;
    for (unsigned i = 0; i < 2; i++) {
        if (!(dirs & 1u << i))
            continue;
        store_relaxed(&d->dir[i].deadline, t);
        wefti_fd_claim(mp, &d->dir[i].io, WEFTI_WAKE_OK, list);
    }
    return 0;
}

static void set_foreign(struct wefti_fd *d, unsigned dirs, int64_t t, const struct stat *st) {
    bool same = d->device == st->st_dev && d->inode == st->st_ino;
    d->device = st->st_dev;
    d->inode = st->st_ino;
    for (unsigned i = 0; i < 2; i++)
        if (dirs & 1u << i)
            store_relaxed(&d->dir[i].deadline, t);
        else if (!same)
            store_relaxed(&d->dir[i].deadline, 0); /* it was another file's */
}

static int set(int fd, unsigned dirs, int64_t t, const struct stat *st) {
    struct wefti_fd_list list = {0};
    struct m *mp = wefti_enter();
    struct wefti_fd *d = wefti_fd_make(fd);
    int err = d ? 0 : ENOMEM;
    if (mp->outside)
        err = EOPNOTSUPP;
    if (!err) {
        wefti_fd_lock(mp, d);
        if (d->kind != WEFTI_FD_FOREIGN)
            err = set_own(d, dirs, t, mp, &list);
        else
            set_foreign(d, dirs, t, st);
        wefti_fd_claim(mp, &d->polls, WEFTI_WAKE_OK, &list); /* they look again */
        wefti_fd_unlock(mp, d);
        wefti_fd_ready(mp, &list);
    }
    wefti_leave(mp);
    return err;
}

static int set_deadline(int fd, unsigned dirs, weft_time t) {
    int saved = errno;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return wefti_fail(EBADF);
    int err = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode)
                  ? EOPNOTSUPP
                  : set(fd, dirs, t < 0 ? 1 : t, &st);
    if (err)
        return wefti_fail(err);
    errno = saved;
    return 0;
}

int weft_set_deadline(int fd, weft_time t) {
    return set_deadline(fd, 1u << WEFTI_READ | 1u << WEFTI_WRITE, t);
}

int weft_set_read_deadline(int fd, weft_time t) {
    return set_deadline(fd, 1u << WEFTI_READ, t);
}

int weft_set_write_deadline(int fd, weft_time t) {
    return set_deadline(fd, 1u << WEFTI_WRITE, t);
}
