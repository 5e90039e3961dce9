/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialling: weft_dial and weft_connect.
 *
 * One connect. It is begun on a socket that doesn't block; then the socket is watched until it is
 * writable and says how it went. Writable alone proves nothing: a wake-up may be spurious, and
 * SO_ERROR is 0 then too. A connect is through when SO_ERROR is 0 and there is a peer's name.
 *
 * Several addresses (a name has many, or "tcp" has both families). Those of the first one's family
 * are tried in turn. If none has answered within 300 ms, or all have failed, those of the other
 * family are tried at the same time, in a goroutine of their own (RFC 6555, "happy eyeballs"): a
 * machine that has an IPv6 address but no way out would hang for minutes otherwise. The first
 * connection wins, the other attempt is cancelled, and weft_dial waits for its end: nothing of a
 * dial goes on after it returned. Of failures the first is reported, as Go does, unless the
 * goroutine's context has ended.
 *
 * A context's deadline is shared out among the addresses still to be tried, with 2 s for each at
 * least, so that one dead address doesn't eat up all of it. The share is put on the descriptor as a
 * deadline for the time of the connect.
 *
 * Unix sockets. When the listener's queue is full, a connect that may not block fails with EAGAIN,
 * and no event tells when there is room again. So it is tried again after a while.
 *
 * Rejected: a connect in a bracket for those: nothing could end it.
 */
#include "net.h"

#include <string.h>
#include <unistd.h>
#include <weft/chan.h>
#include <weft/ctx.h>
#include <weft/go.h>
#include <weft/net.h>
#include <weft/select.h>
#include <weft/sync.h>
#include <weft/time.h>

#define FALLBACK_DELAY (300 * WEFT_MILLISECOND)
#define LEAST_SHARE (2 * WEFT_SECOND)
#define FULL_QUEUE_DELAY WEFT_MILLISECOND
#define FULL_QUEUE_MOST (50 * WEFT_MILLISECOND)

/* ---- one connect ---- */

/* 0, EINPROGRESS, EAGAIN, or how it failed. */
static int begin_connect(int fd, const struct sockaddr *to, socklen_t len, bool blocks) {
    int result = blocks ? weft_block(connect(fd, to, len)) : connect(fd, to, len);
    int err = result == 0 ? 0 : errno;
    /* Interrupted, it goes on by itself; it may also have been going on before. */
    return err == EINTR || err == EALREADY ? EINPROGRESS : err;
}

/* How the connect goes: 0, EINPROGRESS, or how it failed. */
static int connect_state(int fd) {
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        return errno;
    if (err == EINPROGRESS || err == EALREADY || err == EINTR)
        return EINPROGRESS;
    if (err != 0)
        return err == EISCONN ? 0 : err;
    struct sockaddr_storage peer;
    len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        return 0;
    return errno == ENOTCONN ? EINPROGRESS : errno;
}

/* Parks until a connect that was begun is through. */
static int await_connect(struct wefti_op *op) {
    for (;;) {
        int err = connect_state(op->fd);
        if (err != EINPROGRESS)
            return err;
        if ((err = wefti_op_wait(op)) != 0)
            return err;
    }
}

/* Sees an operation through that begin_connect left with err; ends it. */
static int finish_connect(struct wefti_op *op, const struct sockaddr *to, socklen_t len,
                          bool blocks, int err) {
    weft_duration delay = FULL_QUEUE_DELAY;
    while (err == EAGAIN && to->sa_family == AF_UNIX) {
        if ((err = wefti_op_pause(op, delay)) != 0)
            return err; /* has ended */
        delay = delay < FULL_QUEUE_MOST / 2 ? delay * 2 : FULL_QUEUE_MOST;
        err = begin_connect(op->fd, to, len, blocks);
    }
    if (err == EINPROGRESS)
        err = await_connect(op);
    wefti_op_end(op);
    return err;
}

int weft_connect(int fd, const struct sockaddr *addr, socklen_t len) {
    int saved = errno;
    struct wefti_op op;
    int err = wefti_op_begin(&op, fd, WEFTI_WRITE);
    if (err)
        return wefti_fail(err);
    bool blocks = !op.own && wefti_fd_blocks(fd);
    err = finish_connect(&op, addr, len, blocks, begin_connect(fd, addr, len, blocks));
    if (err)
        return wefti_fail(err);
    weft_set_errno(saved);
    return 0;
}

/* ---- one address ---- */

/* A connect on a descriptor of weft's, up to the deadline (0: none). */
static int connect_own(int fd, const struct sockaddr *to, socklen_t len, weft_time deadline,
                       int err) {
    struct wefti_op op;
    if (deadline != 0 && weft_set_write_deadline(fd, deadline) != 0)
        return errno;
    int begun = wefti_op_begin(&op, fd, WEFTI_WRITE);
    if (begun != 0)
        return begun;
    err = finish_connect(&op, to, len, false, err);
    if (err == 0 && deadline != 0 && weft_set_write_deadline(fd, 0) != 0)
        err = errno;
    return err;
}

/* The connect comes before the descriptor is watched: an unconnected socket counts as hung up, and
 * the poller would wake for nothing. */
static int dial_address(int family, int type, const struct sockaddr *to, socklen_t len,
                        weft_time deadline, int *fd) {
    int s = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return errno;
    int on = 1;
    if (family != AF_UNIX && type == SOCK_STREAM)
        wefti_tune_tcp(s);
    else if (family == AF_INET)
        setsockopt(s, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    int err = begin_connect(s, to, len, false);
    bool goes_on = err == EINPROGRESS || err == EAGAIN;
    bool tcp = family != AF_UNIX && type == SOCK_STREAM;
    int adopted =
        err == 0 || goes_on ? wefti_fd_adopt(s, tcp ? WEFTI_MADE_TCP : WEFTI_MADE_POLLED) : err;
    if (adopted != 0) {
        close(s);
        return adopted;
    }
    if (goes_on)
        err = connect_own(s, to, len, deadline, err);
    if (err != 0)
        weft_close(s);
    else
        *fd = s;
    return err;
}

/*
 * A TCP socket can connect to itself: when nobody listens on a local port that connects are made
 * from, and the system happens to take that very port for this end.
 */
static bool self_connected(int fd) {
    union wefti_inet here, there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    socklen_t a = sizeof here, b = sizeof there;
    return getsockname(fd, &here.sa, &a) == 0 && getpeername(fd, &there.sa, &b) == 0 && a == b &&
           memcmp(&here, &there, a) == 0;
}

static int dial_inet(const struct wefti_net *net, const union wefti_inet *to, weft_time deadline,
                     int *fd) {
    for (int tries = 0;; tries++) {
        int err =
            dial_address(to->sa.sa_family, net->type, &to->sa, wefti_inet_len(to), deadline, fd);
        if (net->type != SOCK_STREAM || tries == 2)
            return err;
        /* EADDRNOTAVAIL: the system took a port for this end that was in use. */
        bool again = err == 0 ? self_connected(*fd) : err == EADDRNOTAVAIL;
        if (!again)
            return err;
        if (err == 0)
            weft_close(*fd);
    }
}

static int dial_unix(const struct wefti_net *net, const char *address, int *fd) {
    struct wefti_unix to;
    int err = wefti_unix_parse(address, &to);
    if (err || to.len == offsetof(struct sockaddr_un, sun_path))
        return EINVAL;
    return dial_address(AF_UNIX, net->type, (const struct sockaddr *)&to.un, to.len, 0, fd);
}

/* ---- several addresses ---- */

/* When to give up on the first of n addresses; 0: never. False: there is no time left. */
static bool share_of(size_t n, weft_time *until) {
    weft_time end, now = weft_now();
    *until = 0;
    if (!weft_ctx_deadline(weft_ctx_current(), &end))
        return true;
    weft_duration left = end - now, share = left / (weft_duration)n;
    if (left <= 0)
        return false;
    if (share < LEAST_SHARE)
        share = LEAST_SHARE;
    if (n > 1 && share < left)
        *until = now + share;
    return true;
}

static int dial_in_turn(const struct wefti_net *net, const union wefti_inet *to, size_t n,
                        int *fd) {
    int first = 0;
    for (size_t i = 0; i < n; i++) {
        weft_time until;
        int err = share_of(n - i, &until) ? dial_inet(net, &to[i], until, fd) : ETIMEDOUT;
        if (err == 0)
            return 0;
        int ended = weft_ctx_err(weft_ctx_current());
        if (ended)
            return ended;
        if (first == 0)
            first = err;
    }
    return first;
}

/* One of the two families' attempts. */
struct racer {
    const struct wefti_net *net;
    const union wefti_inet *to;
    size_t n;
    int fd, err; /* its own until it says so on `done` */
    weft_chan(struct racer *) done;
    weft_wg *all;
};

static void run_racer(struct racer *r) {
    r->err = dial_in_turn(r->net, r->to, r->n, &r->fd);
    weft_try_send(r->done, r); /* there is room for both */
    weft_wg_done(r->all);
}

static void start_racer(struct racer *r, weft_ctx *ctx) {
    weft_wg_add(r->all, 1);
    if (weft_go_with((&(struct weft_attr){.name = "dial", .ctx = ctx}), run_racer, r) == 0)
        return;
    r->err = errno;
    weft_try_send(r->done, r);
    weft_wg_done(r->all);
}

/* Until one of the two is connected, both have failed, or the context has ended. */
static void race(struct racer racers[2], weft_ctx *ctx) {
    weft_chan(struct racer *) done = racers[0].done;
    struct racer *came = NULL;
    start_racer(&racers[0], ctx);
    int which = weft_select(weft_case_recv(done, &came), weft_case_after(FALLBACK_DELAY));
    if (which < 0 || (which == 0 && came->err == 0))
        return;
    start_racer(&racers[1], ctx);
    for (int running = which == 0 ? 1 : 2; running > 0; running--)
        if (!weft_recv(done, &came) || came->err == 0)
            return;
}

static int dial_both(const struct wefti_net *net, const struct wefti_inets *to, size_t first,
                     int *fd) {
    weft_wg all = WEFT_WG_INIT;
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
    weft_chan(struct racer *) done = weft_chan_make(struct racer *, 2);
    struct racer racers[2] = {
        {net, to->at, first, -1, ECANCELED, done, &all},
        {net, to->at + first, to->n - first, -1, ECANCELED, done, &all},
    };
    if (ctx && done) {
        race(racers, ctx);
        weft_ctx_cancel(ctx, 0);
        weft_wg_wait(&all);
    }
    bool enough = ctx && done;
    weft_ctx_unref(ctx);
    weft_chan_unref(done);
    if (!enough)
        return ENOMEM;
    /* Both may have got there. */
    *fd = racers[0].fd >= 0 ? racers[0].fd : racers[1].fd;
    if (racers[0].fd >= 0 && racers[1].fd >= 0)
        weft_close(racers[1].fd);
    if (*fd >= 0)
        return 0;
    int ended = weft_ctx_err(weft_ctx_current());
    return ended ? ended : racers[0].err;
}

/* The first one's family before the other, each in its order; how many of the first. */
static size_t part_families(struct wefti_inets *to) {
    struct wefti_inets sorted = {.n = 0};
    size_t first = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < to->n; i++)
            if ((to->at[i].sa.sa_family == to->at[0].sa.sa_family) == (pass == 0))
                sorted.at[sorted.n++] = to->at[i];
        if (pass == 0)
            first = sorted.n;
    }
    *to = sorted;
    return first;
}

int wefti_dial_inets(const struct wefti_net *net, struct wefti_inets *to, int *fd) {
    if (net->type != SOCK_STREAM || weft_id() == 0)
        return dial_in_turn(net, to->at, to->n, fd);
    size_t first = part_families(to);
    if (first == to->n)
        return dial_in_turn(net, to->at, to->n, fd);
    return dial_both(net, to, first, fd);
}

static int dial(const char *network, const char *address, int *fd) {
    struct wefti_net net;
    struct wefti_inets to;
    int err = wefti_net_parse(network, &net);
    if (err || address == NULL)
        return EINVAL;
    if (net.family == AF_UNIX)
        return dial_unix(&net, address, fd);
    err = wefti_resolve(&net, address, false, &to);
    return err ? err : wefti_dial_inets(&net, &to, fd);
}

int weft_dial(const char *network, const char *address) {
    int saved = errno, fd = -1;
    int err = dial(network, address, &fd);
    if (err)
        return wefti_fail(err);
    weft_set_errno(saved);
    return fd;
}
