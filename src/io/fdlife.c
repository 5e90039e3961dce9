/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Own descriptors' beginning and end, and deadlines.
 *
 * Closing, in steps. CLOSING: no operation begins any more, all waits are ended with EBADF. When
 * the last operation has left: LEAVING, and the kernel is asked to close. From some moment in that
 * call on the number is free, and the next open, accept or socket of anybody may get it. If weft
 * adopts it, the record begins a new generation at once, and the closer finds that and leaves it
 * alone. Otherwise the closer makes the record a foreign one's afterwards; an operation that meets
 * LEAVING yields until then, for it can't tell which of the two its number means. A deadline need
 * not know: it is put down as a foreign one's, for the file that the number is at the moment.
 *
 * weft_close waits for the operations to leave, so that a listener's address is free when it
 * returns. Not so for files: they may be in a call that blocks, and the last to leave closes.
 *
 * A foreign one goes through no such states. All who wait are woken before the kernel closes it,
 * and once more after it: who came in between is registered for a file that is gone, and no event
 * will come.
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

/* A new generation: whatever was known is void, but for deadlines. With the lock. */
static void renew(struct wefti_fd *d, enum wefti_fd_kind kind) {
    store_relaxed(&d->gen, d->gen + 1);
    store_relaxed(&d->kind, (uint8_t)kind);
    d->state = WEFTI_FD_OPEN;
    d->known = kind == WEFTI_FD_POLLED;
    d->refs = 0;
    for (int i = 0; i < 2; i++)
        d->dir[i].busy = d->dir[i].dry = d->dir[i].wary = false;
}

static void no_deadlines(struct wefti_fd *d) {
    for (int i = 0; i < 2; i++)
        store_relaxed(&d->dir[i].deadline, 0);
}

/* ---- adopting ---- */

static int adopt(struct m *mp, struct wefti_fd *d, int fd, enum wefti_made made) {
    struct wefti_fd_list list = {0};
    int err = 0;
    wefti_fd_lock(mp, d);
    claim_everybody(mp, d, &list); /* of a file that was closed behind weft's back */
    if (d->closer)
        wefti_fd_claim_one(mp, d->closer, WEFTI_WAKE_OK, &list);
    d->closer = NULL;
    renew(d, made == WEFTI_MADE_FILE ? WEFTI_FD_FILE : WEFTI_FD_POLLED);
    no_deadlines(d);
    d->tcp = made == WEFTI_MADE_TCP;
    if (made != WEFTI_MADE_FILE && (err = wefti_poll->watch(fd, wefti_fd_token(d, fd))) != 0)
        renew(d, WEFTI_FD_FOREIGN);
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    return err;
}

int wefti_fd_adopt(int fd, enum wefti_made made) {
    struct m *mp = wefti_enter();
    int err = 0;
    if (!mp->outside) {
        struct wefti_fd *d = wefti_fd_make(fd);
        err = !d ? ENOMEM : made != WEFTI_MADE_FILE ? wefti_netpoll_open() : 0;
        if (err == 0)
            err = adopt(mp, d, fd, made);
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

/* All operations have left. With the lock, and not once the runtime has been left: between a
 * thread's calls the run may end, and the poller with it. */
static void begin_leaving(struct wefti_fd *d, int fd) {
    d->state = WEFTI_FD_LEAVING;
    no_deadlines(d);
    if (d->kind == WEFTI_FD_POLLED)
        wefti_poll->forget(fd); /* a duplicate may keep the file */
}

/* All operations have left, unless the number has been adopted again meanwhile. Or the run ended
 * under a thread's wait, and no descriptor is weft's any more. */
static enum rest last_out(struct m *mp, struct wefti_fd *d, int fd, uint32_t gen, uint64_t run) {
    enum rest rest = NOTHING;
    wefti_fd_lock(mp, d);
    if (mp->outside || mp->run != run) {
        rest = FOREIGN;
    } else if (d->gen == gen && d->state == WEFTI_FD_CLOSING) {
        begin_leaving(d, fd);
        rest = KERNEL;
    }
    wefti_fd_unlock(mp, d);
    return rest;
}

/* With the lock, which it gives back. */
static enum rest close_own(struct m **mpp, struct wefti_fd *d, int fd, int *err) {
    struct m *mp = *mpp;
    struct wefti_fd_list list = {0};
    uint32_t gen = d->gen;
    uint64_t run = mp->run; /* a thread's */
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
    if (wait) /* a thread's wait ends with the run, which is the only thing to cancel it */
        d->closer = wefti_fd_queue(mp, &alone, 0, mp->curg->foreign);
    else if (closes)
        begin_leaving(d, fd);
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    if (!wait)
        return closes ? KERNEL : NOTHING;
    wefti_fd_park(mpp, d, &alone, 0);
    return last_out(*mpp, d, fd, gen, run);
}

static void close_foreign(struct m *mp, struct wefti_fd *d, int fd) {
    struct wefti_fd_list list = {0};
    claim_everybody(mp, d, &list);
    renew(d, WEFTI_FD_FOREIGN);
    no_deadlines(d);
    if (list.first)
        wefti_poll->forget(fd);
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
}

/* The number is gone, or another file's by now: who waits for it looks again. */
static void wake_latecomers(int fd) {
    struct wefti_fd *d = wefti_fd_find(fd);
    if (!d)
        return;
    struct wefti_fd_list list = {0};
    struct m *mp = wefti_enter_park();
    wefti_fd_lock(mp, d);
    wefti_fd_claim(mp, &d->polls, WEFTI_WAKE_OK, &list);
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    wefti_leave(mp);
}

static enum rest begin_close(struct wefti_fd *d, int fd, int *err) {
    struct m *mp = wefti_enter_park();
    enum rest rest = FOREIGN;
    wefti_fd_lock(mp, d);
    if (d->kind == WEFTI_FD_FOREIGN)
        close_foreign(mp, d, fd);
    else if (!mp->outside)
        rest = close_own(&mp, d, fd, err);
    else /* by an exit handler, after the end of main: its operations go no further */
        wefti_fd_unlock(mp, d);
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
    if (rest == KERNEL) {
        err = wefti_fd_leave(d, fd);
    } else if (rest == FOREIGN) {
        err = close_number(fd);
        wake_latecomers(fd);
    }
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
        if (d->kind != WEFTI_FD_FOREIGN && d->state != WEFTI_FD_LEAVING)
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
