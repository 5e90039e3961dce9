/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening and accepting; shutdown; a socket's addresses as text. Dialling is in dial.c.
 *
 * TCP options. What Go sets on each connection that it accepts, weft_listen sets on the listener:
 * Linux gives it on to the connections, and a server saves four system calls for each.
 *
 * Without a host a "tcp" or "udp" listener is one socket for IPv6 and IPv4, or one for IPv4 where
 * there is no IPv6. With a host it is of the host's family.
 *
 * Unix sockets' files. The file stays when the listener is closed, or its process dies; so that a
 * server can be started again, weft_listen takes away a socket's file that no socket is bound to
 * any more. It finds out by a connect of a kind of socket that is never accepted: ECONNREFUSED
 * means dead, and a living listener notices nothing. Files that are no sockets stay. Two servers
 * that start at the same time on one dead file are told apart by its inode number, but for a moment
 * between the look and the unlink.
 *
 * Accepting when descriptors or memory are short (EMFILE, ENFILE, ENOBUFS, ENOMEM): the connection
 * stays in the queue and the listener readable, so an accept loop that tried on would eat a CPU,
 * and one that gave up would end the server. So weft_accept waits, 5 ms at first and 1 s at most,
 * until it works. Rejected: failing, and leaving it to the program, as Go's net does: net/http and
 * everybody else then writes the same loop.
 */
#define _GNU_SOURCE
#include "net.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <weft/go.h>
#include <weft/io.h>
#include <weft/net.h>
#include <weft/time.h>

#include "../sched/state.h"

#define LARGEST_BACKLOG 65535 /* the system takes less when its own limit is lower */
#define KEEP_ALIVE_SECONDS 15
#define SHORTAGE_DELAY (5 * WEFT_MILLISECOND)
#define SHORTAGE_MOST WEFT_SECOND
#define PAUSE_SLICE (50 * WEFT_MILLISECOND)

/* ---- for dial.c, too ---- */

bool wefti_fd_blocks(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

void wefti_tune_tcp(int fd) {
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_ALIVE_SECONDS},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_ALIVE_SECONDS},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                   sizeof options[i].value);
}

/* 0, or why the caller's context ended. */
static int nap(weft_duration d) {
    if (load_acquire(&S.phase) == WEFTI_OFF) {
        struct timespec span = {(time_t)(d / WEFT_SECOND), (long)(d % WEFT_SECOND)};
        nanosleep(&span, NULL);
        return 0;
    }
    return weft_sleep(d) ? 0 : errno;
}

int wefti_op_pause(struct wefti_op *op, weft_duration d) {
    while (d > 0) {
        struct wefti_op before = *op;
        weft_duration slice = d < PAUSE_SLICE ? d : PAUSE_SLICE;
        wefti_op_end(op);
        int err = nap(slice);
        if (err || (err = wefti_op_begin(op, before.fd, before.dir)) != 0)
            return err;
        if (op->own != before.own || op->gen != before.gen) { /* the number is another file's now */
            wefti_op_end(op);
            return EBADF;
        }
        d -= slice;
    }
    return 0;
}

/* ---- listening ---- */

static int set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

static int listen_and_adopt(int s, int type, const struct weft_listen_opts *opts) {
    int backlog = opts->backlog > 0 ? opts->backlog : LARGEST_BACKLOG;
    if (type != SOCK_DGRAM && listen(s, backlog) != 0)
        return errno;
    return wefti_fd_adopt(s, WEFTI_MADE_POLLED);
}

static int set_inet_options(int s, const struct wefti_net *net, int family,
                            const struct weft_listen_opts *opts) {
    int err = 0;
    if (net->type == SOCK_STREAM) {
        wefti_tune_tcp(s);
        err = set(s, SOL_SOCKET, SO_REUSEADDR, 1);
    } else if (family == AF_INET) {
        set(s, SOL_SOCKET, SO_BROADCAST, 1);
    }
    if (!err && opts->reuseport)
        err = set(s, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!err && family == AF_INET6)
        err = set(s, IPPROTO_IPV6, IPV6_V6ONLY, net->family == AF_INET6);
    return err;
}

static int listen_inet(const struct wefti_net *net, const union wefti_inet *at,
                       const struct weft_listen_opts *opts, int *fd) {
    int family = at->sa.sa_family;
    int s = socket(family, net->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return errno;
    int err = set_inet_options(s, net, family, opts);
    if (!err && bind(s, &at->sa, wefti_inet_len(at)) != 0)
        err = errno;
    if (!err)
        err = listen_and_adopt(s, net->type, opts);
    if (err)
        close(s);
    else
        *fd = s;
    return err;
}

/* Several: the first that this machine has. */
static int listen_inets(const struct wefti_net *net, const struct wefti_inets *at,
                        const struct weft_listen_opts *opts, int *fd) {
    int err = EADDRNOTAVAIL;
    for (size_t i = 0; i < at->n && (err == EADDRNOTAVAIL || err == EAFNOSUPPORT); i++)
        err = listen_inet(net, &at->at[i], opts, fd);
    return err;
}

/* The file of a socket that nobody is bound to. */
static bool is_dead(const char *path, const struct wefti_unix *at) {
    struct stat before, now;
    if (lstat(path, &before) != 0 || !S_ISSOCK(before.st_mode))
        return false;
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return false;
    int err = connect(probe, (const struct sockaddr *)&at->un, at->len) == 0 ? 0 : errno;
    close(probe);
    return err == ECONNREFUSED && lstat(path, &now) == 0 && now.st_dev == before.st_dev &&
           now.st_ino == before.st_ino;
}

static int bind_unix(int s, const struct wefti_unix *at) {
    const struct sockaddr *sa = (const struct sockaddr *)&at->un;
    const char *path = at->un.sun_path;
    if (bind(s, sa, at->len) == 0)
        return 0;
    int err = errno;
    if (err != EADDRINUSE || *path == 0 || !is_dead(path, at) || unlink(path) != 0)
        return err;
    return bind(s, sa, at->len) == 0 ? 0 : errno;
}

/* The file gets no more than `mode` when it is made, and all of it, whatever the umask says, before
 * anybody can connect. */
static int listen_unix_at(int s, int type, const struct wefti_unix *at,
                          const struct weft_listen_opts *opts) {
    const char *path = *at->un.sun_path ? at->un.sun_path : NULL;
    if (path && opts->mode != 0 && fchmod(s, opts->mode) != 0)
        return errno;
    int err = bind_unix(s, at);
    if (err)
        return err;
    if (path && opts->mode != 0 && chmod(path, opts->mode) != 0)
        err = errno;
    if (!err)
        err = listen_and_adopt(s, type, opts);
    if (err && path)
        unlink(path);
    return err;
}

static int listen_unix(const struct wefti_net *net, const char *address,
                       const struct weft_listen_opts *opts, int *fd) {
    struct wefti_unix at;
    int err = wefti_unix_parse(address, &at);
    if (err)
        return err;
    int s = socket(AF_UNIX, net->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return errno;
    if ((err = listen_unix_at(s, net->type, &at, opts)) != 0)
        close(s);
    else
        *fd = s;
    return err;
}

static int listen_on(const struct weft_listen_opts *opts, const char *network, const char *address,
                     int *fd) {
    struct wefti_net net;
    struct wefti_inets at;
    int err = wefti_net_parse(network, &net);
    if (err || address == NULL || opts->backlog < 0 || (opts->mode & ~0777u) != 0)
        return EINVAL;
    if (net.family == AF_UNIX)
        return opts->reuseport ? EOPNOTSUPP : listen_unix(&net, address, opts, fd);
    err = wefti_resolve(&net, address, true, &at);
    return err ? err : listen_inets(&net, &at, opts, fd);
}

int weft_listen_with(const struct weft_listen_opts *opts, const char *network,
                     const char *address) {
    static const struct weft_listen_opts defaults;
    int saved = errno, fd = -1;
    int err = listen_on(opts ? opts : &defaults, network, address, &fd);
    if (err)
        return wefti_fail(err);
    weft_set_errno(saved);
    return fd;
}

int weft_listen(const char *network, const char *address) {
    return weft_listen_with(NULL, network, address);
}

/* ---- accepting ---- */

/* 0 with *conn, or an errno. A listener that may block is looked at first: it blocks the thread
 * only if another process takes the connection in between. */
static int try_accept(int fd, bool blocks, bool tune, int *conn) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    if (blocks && poll(&look, 1, 0) == 0)
        return EAGAIN;
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    peer.ss_family = AF_UNSPEC;
    int s = blocks ? weft_block(accept4(fd, (struct sockaddr *)&peer, &len, flags))
                   : accept4(fd, (struct sockaddr *)&peer, &len, flags);
    if (s < 0)
        return errno;
    bool tcp = peer.ss_family == AF_INET || peer.ss_family == AF_INET6;
    if (tune && tcp)
        wefti_tune_tcp(s);
    int err = wefti_fd_adopt(s, tcp ? WEFTI_MADE_TCP : WEFTI_MADE_POLLED);
    if (err)
        close(s);
    else
        *conn = s;
    return err;
}

/* The error is the connection's, which is gone; the next may do (accept(2) has the list). */
static bool is_passing(int err) {
    switch (err) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
        return true;
    default: /* not EOPNOTSUPP: it also says that the socket can't listen */
        return false;
    }
}

static bool is_shortage(int err) {
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* The operation has begun, and has ended afterwards. */
static int accept_with(struct wefti_op *op, int *conn) {
    bool blocks = !op->own && wefti_fd_blocks(op->fd);
    weft_duration delay = SHORTAGE_DELAY;
    for (;;) {
        int err = try_accept(op->fd, blocks, !op->own, conn);
        if (is_shortage(err)) {
            if ((err = wefti_op_pause(op, delay)) != 0)
                return err; /* has ended */
            delay = delay < SHORTAGE_MOST / 2 ? delay * 2 : SHORTAGE_MOST;
            continue;
        }
        if (is_passing(err))
            continue;
        if (err == EAGAIN && (err = wefti_op_wait(op)) == 0)
            continue;
        wefti_op_end(op);
        return err;
    }
}

int weft_accept(int fd) {
    int saved = errno, conn = -1;
    struct wefti_op op;
    int err = wefti_op_begin(&op, fd, WEFTI_READ);
    if (!err)
        err = accept_with(&op, &conn);
    if (err)
        return wefti_fail(err);
    weft_set_errno(saved);
    return conn;
}

/* ---- the rest ---- */

/* Takes no turn: it is there to reach those who are parked on the descriptor. */
int weft_shutdown(int fd, int how) {
    return shutdown(fd, how);
}

static int name_text(int fd, int (*name)(int, struct sockaddr *, socklen_t *), char *text,
                     size_t n) {
    union {
        struct sockaddr sa;
        struct sockaddr_storage room;
    } at;
    int saved = errno;
    socklen_t len = sizeof at;
    memset(&at, 0, sizeof at);
    int err = name(fd, &at.sa, &len) == 0 ? 0 : errno;
    if (!err)
        err = wefti_addr_text(&at.sa, len, text, n);
    if (err)
        return wefti_fail(err);
    weft_set_errno(saved);
    return 0;
}

int weft_local_addr(int fd, char *text, size_t n) {
    return name_text(fd, getsockname, text, n);
}

int weft_remote_addr(int fd, char *text, size_t n) {
    return name_text(fd, getpeername, text, n);
}
