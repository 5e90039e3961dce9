/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on descriptors: turns, waits, events.
 *
 * Own and foreign. A descriptor that weft made (own) has a record that says so, is O_NONBLOCK and
 * stays registered with the poller, edge-triggered, until weft_close. Of any other (foreign)
 * nothing is known from one call to the next: a library may have closed it and its number may be
 * another file now. So a foreign one is registered anew at each wait, for one event; its record
 * holds only the queue of those who wait at the moment, and all waits there are level-triggered:
 * whoever is woken looks for himself.
 *
 * Own descriptors. In each direction one operation at a time has its turn, first come first served,
 * so that two writers' bytes don't mix and a handful of accepters don't wake for nothing. An
 * operation holds a reference; weft_close wakes everybody, waits for the references to go, and only
 * then lets the kernel close, so a number is not used again under a call that still means the file
 * it was (fdlife.c).
 *
 * No event is lost. The poller's events are counted in dir.edges, under the lock. An operation
 * takes down the count before it tries; after EAGAIN it queues its wait only if, under the lock, the
 * count is still the same. Data that came before the try was seen by it; what came after it raises
 * the count, before the wait (no wait) or after (the event finds the wait and wins it). An event
 * that does not win it, since a time-out or a cancellation did, has raised the count all the same:
 * the readiness is left for the next operation.
 *
 * A read that knows better. A plain read of a TCP connection that gives less than it asked for took
 * all there was. If no event has come since that read began, there is nothing, and the next read
 * waits at once, which spares a system call for each request of a server. Not so after an event
 * that told of an end, an error or urgent data (wary): these stand behind the bytes, and the event
 * that told of them may have been the last. An end that the poller has not told of yet will be an
 * event after that read.
 *
 * Foreign ones. The registration is made under the lock and before the wait is published, and the
 * event takes the lock, so it finds the waiter. If the poller did not know the number although
 * others wait for it, then their file is gone, and they are woken to find out. A token carries a
 * generation, new for each first waiter: the event of a file that was closed with a duplicate
 * kept is nobody's. The number may have become weft's own since an operation began: its file is
 * gone, EBADF.
 *
 * Deadlines. A wait with a deadline arms the goroutine's own timer, as a sleep does. Moving a
 * deadline wakes the waits of its direction: they try once more, see the new moment, and wait on.
 * A wait is queued only if, under the lock, the deadline is still the one that it goes by.
 *
 * Rejected: a timer in each record, armed by weft_set_deadline, as Go has: it would cost an entry in
 * a heap also where nobody ever waits, and the record's life would hang on timers that fire late.
 * Rejected: waking one waiter per event without turns: with edges, the second connection of a
 * burst would wait for the next edge.
 */
#define _GNU_SOURCE
#include "fd.h"

#include <poll.h>
#include <sys/stat.h>
#include <weft/go.h>
#include <weft/io.h>
#include <weft/time.h>

#include "../sched/netpoll.h"
#include "../sched/sched.h"
#include "fdtable.h"

#define READABLE (POLLIN | POLLRDNORM | POLLRDBAND)
#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)
#define READ_EVENTS (READABLE | POLLPRI | POLLRDHUP | POLLHUP | POLLERR)
#define WRITE_EVENTS (WRITABLE | POLLHUP | POLLERR)
#define ALWAYS (POLLHUP | POLLERR | POLLNVAL)

int wefti_fail(int err) {
    weft_set_errno(err);
    return -1;
}

/* ---- waits and wake-ups ---- */

bool wefti_fd_claim_one(struct m *mp, struct sudog *sg, enum wefti_wake wake,
                        struct wefti_fd_list *list) {
    sg->queued = false;
    if (!wefti_claim(mp, sg->g, sg->ticket))
        return false;
    sg->g->wake = (uint8_t)wake;
    sg->next = NULL;
    if (!list->end)
        list->end = &list->first;
    *list->end = sg;
    list->end = &sg->next;
    return true;
}

void wefti_fd_claim(struct m *mp, struct wefti_waitq *q, enum wefti_wake wake,
                    struct wefti_fd_list *list) {
    struct sudog *sg;
    while ((sg = wefti_waitq_pop(q)) != NULL)
        wefti_fd_claim_one(mp, sg, wake, list);
}

void wefti_fd_ready(struct m *mp, struct wefti_fd_list *list) {
    for (struct sudog *sg = list->first, *next; sg; sg = next) {
        next = sg->next; /* read first: readied, the sudog is its goroutine's */
        wefti_ready_tail(mp, sg->g);
    }
}

struct sudog *wefti_fd_queue(struct m *mp, struct wefti_waitq *q, short events, bool cancellable) {
    struct g *gp = mp->curg;
    struct sudog *sg = &gp->sudog;
    sg->g = gp;
    sg->object = q;
    sg->word[0] = (uint64_t)(unsigned short)events;
    sg->ticket = wefti_wait_begin(mp, gp, WEFTI_WAIT_IO, cancellable);
    wefti_waitq_push(q, sg);
    return sg;
}

static int outcome(struct g *gp) {
    switch ((enum wefti_wake)gp->wake) {
    case WEFTI_WAKE_OK:
        return 0;
    case WEFTI_WAKE_CLOSED:
        return EBADF;
    case WEFTI_WAKE_TIMEOUT:
        return ETIMEDOUT;
    case WEFTI_WAKE_CANCELED:
        break;
    }
    int err = wefti_ambient_err(gp);
    return err ? err : ECANCELED;
}

int wefti_fd_park(struct m **mpp, struct wefti_fd *d, struct wefti_waitq *q, int64_t deadline) {
    struct g *gp = (*mpp)->curg;
    struct m *mp = wefti_wait_until(*mpp, gp, deadline);
    *mpp = mp;
    if (gp->wake == WEFTI_WAKE_TIMEOUT || gp->wake == WEFTI_WAKE_CANCELED) {
        wefti_fd_lock(mp, d);
        if (gp->sudog.queued)
            wefti_waitq_remove(q, &gp->sudog);
        wefti_fd_unlock(mp, d);
    }
    return outcome(gp);
}

/* As above, for an event. */
static int park_for_event(struct m **mpp, struct wefti_fd *d, struct wefti_waitq *q,
                          int64_t deadline) {
    uint64_t run = wefti_netpoll_wait_begins(*mpp);
    int err = wefti_fd_park(mpp, d, q, deadline);
    if (!(*mpp)->outside) /* else its run is over, and the next may be about to begin its count */
        wefti_netpoll_wait_ends(run);
    return err;
}

static bool passed(int64_t deadline) {
    return deadline != 0 && deadline <= wefti_nanotime();
}

/* ---- events ---- */

/* Those of q that wait for one of these. */
static void claim_matching(struct m *mp, struct wefti_waitq *q, short ready,
                           struct wefti_fd_list *list) {
    struct wefti_waitq rest = {0};
    struct sudog *sg;
    while ((sg = wefti_waitq_pop(q)) != NULL) {
        if (ready & ((short)sg->word[0] | ALWAYS))
            wefti_fd_claim_one(mp, sg, WEFTI_WAKE_OK, list);
        else
            wefti_waitq_push(&rest, sg);
    }
    *q = rest;
}

static void own_event(struct m *mp, struct wefti_fd *d, enum wefti_dir dir, short ready,
                      struct wefti_fd_list *list) {
    d->dir[dir].wary |= (ready & (POLLRDHUP | POLLHUP | POLLERR | POLLPRI)) != 0;
    store_relaxed(&d->dir[dir].edges, d->dir[dir].edges + 1);
    wefti_fd_claim(mp, &d->dir[dir].io, WEFTI_WAKE_OK, list);
}

static short wanted(const struct wefti_fd *d) {
    short events = 0;
    for (const struct sudog *sg = d->polls.first; sg; sg = sg->next)
        events |= (short)sg->word[0];
    return events;
}

/* The registration was for one event; those who wait for another need a new one. */
static void arm_for_the_rest(struct m *mp, struct wefti_fd *d, int fd, struct wefti_fd_list *list) {
    bool added;
    if (d->polls.first && wefti_poll->arm(fd, wefti_fd_token(d, fd), wanted(d), true, &added) != 0)
        wefti_fd_claim(mp, &d->polls, WEFTI_WAKE_OK, list);
}

void wefti_fd_event(struct m *mp, uint64_t token, short ready) {
    int fd = (int)(uint32_t)token;
    struct wefti_fd *d = wefti_fd_find(fd);
    struct wefti_fd_list list = {0};
    wefti_fd_lock(mp, d);
    if (d->gen == (uint32_t)(token >> 32)) {
        if (d->kind == WEFTI_FD_POLLED && (ready & READ_EVENTS))
            own_event(mp, d, WEFTI_READ, ready, &list);
        if (d->kind == WEFTI_FD_POLLED && (ready & WRITE_EVENTS))
            own_event(mp, d, WEFTI_WRITE, ready, &list);
        claim_matching(mp, &d->polls, ready, &list);
        if (d->kind == WEFTI_FD_FOREIGN)
            arm_for_the_rest(mp, d, fd, &list);
    }
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
}

/* ---- an operation begins and ends ---- */

static bool meant_for(const struct wefti_fd *d, const struct stat *st) {
    return st->st_dev == d->device && st->st_ino == d->inode;
}

/* Of a foreign descriptor: deadlines hold for the file that they were set for, and for no other
 * that got its number. */
static int begin_foreign(struct wefti_op *op, struct wefti_fd *d) {
    struct stat st;
    if (likely(load_relaxed(&d->dir[op->dir].deadline) == 0) || fstat(op->fd, &st) != 0)
        return 0;
    struct m *mp = wefti_enter();
    wefti_fd_lock(mp, d);
    bool late = meant_for(d, &st) && passed(d->dir[op->dir].deadline);
    wefti_fd_unlock(mp, d);
    wefti_leave(mp);
    return late ? ETIMEDOUT : 0;
}

bool wefti_fd_unref(struct m *mp, struct wefti_fd *d, struct wefti_fd_list *list) {
    if (--d->refs > 0 || d->state != WEFTI_FD_CLOSING)
        return false;
    if (!d->closer) {
        d->state = WEFTI_FD_LEAVING;
        return true;
    }
    wefti_fd_claim_one(mp, d->closer, WEFTI_WAKE_OK, list);
    d->closer = NULL;
    return false;
}

/* With the lock, which it gives back: waits for the turn, holding the descriptor open. */
static int await_turn(struct m **mpp, struct wefti_fd *d, struct wefti_op *op) {
    struct wefti_waitq *q = &d->dir[op->dir].turn;
    struct wefti_fd_list list = {0};
    d->refs++;
    op->gen = d->gen;
    wefti_fd_queue(*mpp, q, 0, true);
    wefti_fd_unlock(*mpp, d);
    int err = wefti_fd_park(mpp, d, q, 0);
    if (err == 0)
        return 0;
    struct m *mp = *mpp;
    wefti_fd_lock(mp, d);
    bool last = d->gen == op->gen && wefti_fd_unref(mp, d, &list);
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    op->last = last;
    return err;
}

/* In the runtime. EAGAIN: the number is about to be free, or is free already: once more. */
static int begin_own(struct m **mpp, struct wefti_fd *d, struct wefti_op *op) {
    struct m *mp = *mpp;
    struct wefti_fd_dir *dir = &d->dir[op->dir];
    wefti_fd_lock(mp, d);
    int err = 0;
    if (d->kind == WEFTI_FD_FOREIGN || d->state == WEFTI_FD_LEAVING)
        err = EAGAIN;
    else if (d->state == WEFTI_FD_CLOSING)
        err = EBADF;
    else if (unlikely(dir->deadline != 0) && passed(dir->deadline))
        err = ETIMEDOUT;
    op->own = true;
    op->polled = d->kind == WEFTI_FD_POLLED;
    if (err == 0 && op->polled && dir->busy) {
        err = await_turn(mpp, d, op); /* it was handed over with the reference */
        if (err == 0 && passed(load_relaxed(&dir->deadline)))
            op->late = true;
        op->edges = load_relaxed(&dir->edges);
        return err;
    }
    if (err == 0) {
        d->refs++;
        dir->busy = op->polled;
        op->gen = d->gen;
        op->edges = dir->edges;
        op->tcp = d->tcp;
        op->dry = dir->dry && !dir->wary && dir->edges == dir->dry_edges;
        dir->dry = false;
    }
    wefti_fd_unlock(mp, d);
    return err;
}

void wefti_op_dry(struct wefti_op *op) {
    if (!op->tcp)
        return;
    struct wefti_fd_dir *dir = &wefti_fd_find(op->fd)->dir[op->dir];
    dir->dry = true;
    dir->dry_edges = op->edges;
}

int wefti_op_begin(struct wefti_op *op, int fd, enum wefti_dir dir) {
    for (;;) {
        *op = (struct wefti_op){.fd = fd, .dir = (uint8_t)dir};
        struct wefti_fd *d = fd >= 0 ? wefti_fd_find(fd) : NULL;
        if (!d)
            return fd >= 0 ? 0 : EBADF;
        if (load_relaxed(&d->kind) == WEFTI_FD_FOREIGN)
            return begin_foreign(op, d);
        struct m *mp = wefti_enter_park();
        int err = begin_own(&mp, d, op);
        wefti_leave(mp);
        if (op->last)
            wefti_fd_leave(d, fd);
        if (op->late) {
            wefti_op_end(op);
            return ETIMEDOUT;
        }
        if (err != EAGAIN)
            return err;
        weft_yield();
    }
}

/* The turn goes to the next; with the lock. */
static void pass_turn(struct m *mp, struct wefti_fd_dir *dir, struct wefti_fd_list *list) {
    struct sudog *sg;
    while ((sg = wefti_waitq_pop(&dir->turn)) != NULL)
        if (wefti_fd_claim_one(mp, sg, WEFTI_WAKE_OK, list))
            return;
    dir->busy = false;
}

void wefti_op_end(struct wefti_op *op) {
    if (!op->own)
        return;
    struct wefti_fd *d = wefti_fd_find(op->fd);
    struct wefti_fd_list list = {0};
    struct m *mp = wefti_enter_park(); /* not that it parks, but its callers are known to */
    wefti_fd_lock(mp, d);
    bool last = false;
    if (d->gen == op->gen) {
        if (op->polled)
            pass_turn(mp, &d->dir[op->dir], &list);
        last = wefti_fd_unref(mp, d, &list);
    }
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    wefti_leave(mp);
    if (last)
        wefti_fd_leave(d, op->fd);
}

/* ---- waiting ---- */

/* No runtime: as a plain program waits. */
static int wait_outside(int fd, short *events) {
    int saved = errno;
    struct pollfd p = {.fd = fd, .events = *events};
    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR)
            return errno;
    errno = saved;
    *events = p.revents;
    return p.revents & POLLNVAL ? EBADF : 0;
}

static int wait_own(struct m **mpp, struct wefti_fd *d, struct wefti_op *op) {
    struct m *mp = *mpp;
    struct wefti_fd_dir *dir = &d->dir[op->dir];
    wefti_fd_lock(mp, d);
    int err = 0;
    bool news = dir->edges != op->edges;
    if (d->gen != op->gen || d->state != WEFTI_FD_OPEN)
        err = EBADF;
    else if (unlikely(dir->deadline != 0) && passed(dir->deadline))
        err = ETIMEDOUT;
    if (err || news) {
        op->edges = dir->edges;
        wefti_fd_unlock(mp, d);
        return err;
    }
    int64_t deadline = dir->deadline;
    wefti_fd_queue(mp, &dir->io, 0, true);
    wefti_fd_unlock(mp, d);
    err = park_for_event(mpp, d, &dir->io, deadline);
    op->edges = load_relaxed(&dir->edges); /* an event after this load is after the next try */
    return err;
}

/* The registration for one more waiter; with the lock. Others whose file is gone go on the list. */
static int arm_foreign(struct m *mp, struct wefti_fd *d, int fd, short events,
                       struct wefti_fd_list *list) {
    bool others = d->polls.first != NULL, added;
    if (!others)
        store_relaxed(&d->gen, d->gen + 1);
    int err =
        wefti_poll->arm(fd, wefti_fd_token(d, fd), (short)(events | wanted(d)), d->known, &added);
    if (err)
        return err;
    d->known = true;
    if (others && added)
        wefti_fd_claim(mp, &d->polls, WEFTI_WAKE_OK, list);
    return 0;
}

/* The nearer deadline of the directions that the events belong to. */
static int64_t poll_deadline(const struct wefti_fd *d, short events) {
    int64_t nearest = 0;
    for (int i = 0; i < 2; i++) {
        int64_t t = load_relaxed(&d->dir[i].deadline);
        bool meant = events & (i == WEFTI_READ ? READ_EVENTS : WRITE_EVENTS);
        if (meant && t != 0 && (nearest == 0 || t < nearest))
            nearest = t;
    }
    return nearest;
}

/* It may have been set since the operation began. *seen: it, whichever file it was set for. */
static int64_t foreign_deadline(struct m *mp, struct wefti_fd *d, int fd, short events,
                                int64_t *seen) {
    struct stat st;
    *seen = poll_deadline(d, events);
    if (likely(*seen == 0) || fstat(fd, &st) != 0)
        return 0;
    wefti_fd_lock(mp, d);
    int64_t deadline = meant_for(d, &st) ? *seen : 0;
    wefti_fd_unlock(mp, d);
    return deadline;
}

static int wait_foreign(struct m **mpp, struct wefti_fd *d, int fd, short events) {
    struct m *mp = *mpp;
    struct wefti_fd_list list = {0};
    int64_t seen, deadline = foreign_deadline(mp, d, fd, events, &seen);
    if (passed(deadline))
        return ETIMEDOUT;
    wefti_fd_lock(mp, d);
    int err = d->kind == WEFTI_FD_FOREIGN ? 0 : EBADF;
    bool waits = err == 0 && poll_deadline(d, events) == seen;
    if (waits && (err = arm_foreign(mp, d, fd, events, &list)) == 0)
        wefti_fd_queue(mp, &d->polls, events, true);
    wefti_fd_unlock(mp, d);
    wefti_fd_ready(mp, &list);
    if (err || !waits)
        return err;
    err = park_for_event(mpp, d, &d->polls, deadline);
    if (err != ETIMEDOUT && err != ECANCELED)
        return err;
    mp = *mpp;
    wefti_fd_lock(mp, d);
    if (!d->polls.first && d->kind == WEFTI_FD_FOREIGN && !mp->outside && wefti_poll_is_open())
        wefti_poll->forget(fd);
    wefti_fd_unlock(mp, d);
    return err;
}

/* In the runtime: the record, with the poller open. */
static int prepare_foreign(int fd, struct wefti_fd **d) {
    *d = wefti_fd_make(fd);
    return *d ? wefti_netpoll_open() : ENOMEM;
}

int wefti_op_wait(struct wefti_op *op) {
    short events = op->dir == WEFTI_READ ? POLLIN | POLLRDHUP : POLLOUT;
    if (op->own && !op->polled)
        return EPERM;
    struct m *mp = wefti_enter_park();
    if (mp->outside) {
        wefti_leave(mp);
        return wait_outside(op->fd, &events);
    }
    struct wefti_fd *d = wefti_fd_find(op->fd);
    int err = 0;
    if (op->own) {
        err = wait_own(&mp, d, op);
    } else if ((err = prepare_foreign(op->fd, &d)) == 0) {
        err = wait_foreign(&mp, d, op->fd, events);
    }
    wefti_leave(mp);
    return err;
}

/* ---- poll ---- */

static uint32_t edges(const struct wefti_fd *d) {
    return load_relaxed(&d->dir[WEFTI_READ].edges) + load_relaxed(&d->dir[WEFTI_WRITE].edges);
}

/* What was seen of a descriptor before it was looked at. */
struct glance {
    bool own;
    uint32_t gen, edges;
};

/* What the poller tells of an own one when one of these has become true. */
static short told(short events) {
    if (events & READABLE)
        events |= POLLIN;
    if (events & WRITABLE)
        events |= POLLOUT;
    return events;
}

static int poll_own(struct m **mpp, struct wefti_fd *d, short events, const struct glance *before) {
    struct m *mp = *mpp;
    wefti_fd_lock(mp, d);
    int64_t deadline = poll_deadline(d, events);
    bool same = d->gen == before->gen && d->state == WEFTI_FD_OPEN;
    bool waits = same && edges(d) == before->edges && !passed(deadline);
    if (waits)
        wefti_fd_queue(mp, &d->polls, told(events), true);
    wefti_fd_unlock(mp, d);
    if (waits)
        return park_for_event(mpp, d, &d->polls, deadline);
    return !same ? EBADF : passed(deadline) ? ETIMEDOUT : 0;
}

static int poll_foreign(struct m **mpp, int fd, short events) {
    struct wefti_fd *d;
    int err = prepare_foreign(fd, &d);
    return err ? err : wait_foreign(mpp, d, fd, events);
}

/* Parks until something changed. */
static int wait_for_change(int fd, short events, const struct glance *before) {
    struct m *mp = wefti_enter_park();
    int err;
    if (mp->outside) {
        wefti_leave(mp);
        return wait_outside(fd, &(short){events});
    }
    if (before->own)
        err = poll_own(&mp, wefti_fd_find(fd), events, before);
    else
        err = poll_foreign(&mp, fd, events);
    wefti_leave(mp);
    return err;
}

/* An own descriptor's generation and count; EBADF: it is being closed; EAGAIN: as in begin_own. */
static int glance(int fd, short events, struct glance *now) {
    struct wefti_fd *d = wefti_fd_find(fd);
    *now = (struct glance){0};
    if (!d || load_relaxed(&d->kind) == WEFTI_FD_FOREIGN)
        return 0;
    struct m *mp = wefti_enter_park();
    wefti_fd_lock(mp, d);
    *now = (struct glance){d->kind != WEFTI_FD_FOREIGN, d->gen, edges(d)};
    int err = 0;
    if (now->own && d->state != WEFTI_FD_OPEN)
        err = d->state == WEFTI_FD_LEAVING ? EAGAIN : EBADF;
    else if (now->own && passed(poll_deadline(d, events)))
        err = ETIMEDOUT;
    wefti_fd_unlock(mp, d);
    wefti_leave(mp);
    return err;
}

int wefti_fd_poll(int fd, short events) {
    if (fd < 0)
        return -EBADF;
    for (;;) {
        struct glance before;
        int err = glance(fd, events, &before);
        if (err == EAGAIN) {
            weft_yield();
            continue;
        }
        if (err)
            return -err;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, 0);
        if (n > 0)
            return p.revents & POLLNVAL ? -EBADF : p.revents;
        if (n < 0 && errno != EINTR)
            return -errno;
        err = wait_for_change(fd, events, &before);
        if (err)
            return -err;
    }
}

int weft_poll(int fd, short events) {
    int saved = errno;
    int ready = wefti_fd_poll(fd, events);
    if (ready < 0)
        return wefti_fail(-ready);
    weft_set_errno(saved);
    return ready;
}
