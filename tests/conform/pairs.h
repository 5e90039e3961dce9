/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pairs.h: connected descriptors of weft's own, and a reader that parks, for the tests of closing
 * and of deadlines.
 */
#ifndef WEFT_TESTS_PAIRS_H
#define WEFT_TESTS_PAIRS_H

#include "conform.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum pair_kind { TCP, UNIX, PAIR_KINDS };

struct pair {
    int a, b;
};

static inline int listen_for(enum pair_kind kind, char *address, size_t n) {
    static _Atomic int serial;
    char name[64] = "127.0.0.1:0";
    if (kind == UNIX)
        snprintf(name, sizeof name, "@weft-test-%d-%d", (int)getpid(), ++serial);
    int fd = weft_listen(kind == TCP ? "tcp" : "unix", name);
    CHECK(fd >= 0);
    CHECK_EQ(weft_local_addr(fd, address, n), 0);
    return fd;
}

static inline int dial_to(enum pair_kind kind, const char *address) {
    int fd = weft_dial(kind == TCP ? "tcp" : "unix", address);
    CHECK(fd >= 0);
    return fd;
}

/* `a` dialled, `b` accepted. */
static inline struct pair open_pair(enum pair_kind kind) {
    char address[128];
    int listener = listen_for(kind, address, sizeof address);
    struct pair p = {.a = dial_to(kind, address)};
    p.b = weft_accept(listener);
    CHECK(p.b >= 0);
    CHECK_EQ(weft_close(listener), 0);
    return p;
}

static inline void close_pair(struct pair p) {
    CHECK_EQ(weft_close(p.a), 0);
    CHECK_EQ(weft_close(p.b), 0);
}

/* Two UDP sockets; what `a` writes `b` reads. */
static inline struct pair open_udp(void) {
    char address[128];
    struct pair p = {.b = weft_listen("udp", "127.0.0.1:0")};
    CHECK(p.b >= 0 && weft_local_addr(p.b, address, sizeof address) == 0);
    p.a = weft_dial("udp", address);
    CHECK(p.a >= 0);
    return p;
}

/* Writes until there is no room, and stays none: a connection may make some by itself. */
static inline void fill_up(int fd) {
    static const char zeros[64 * 1024];
    for (int full = 0; full < 10; full++) {
        while (send(fd, zeros, sizeof zeros, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            full = 0;
        CHECK_EQ(errno, EAGAIN);
        weft_sleep(2 * WEFT_MILLISECOND);
    }
}

/* Reads what the other side has written, and never waits: a read that waits may have read the last
 * of it. */
static inline void drain(int fd) {
    static char buf[64 * 1024];
    if (recv(fd, buf, sizeof buf, MSG_DONTWAIT) <= 0)
        CHECK_EQ(errno, EAGAIN);
    weft_yield();
}

/* A call made by a goroutine of its own, and what came of it. */
struct call {
    int fd;
    ssize_t (*make)(int fd);
    _Atomic bool begun, done;
    ssize_t result;
    int error, ctx_error;
    weft_time at; /* when it returned */
};

static inline void call_body(struct call *c) {
    c->begun = true;
    ssize_t result = c->make(c->fd);
    c->error = result < 0 ? errno : 0;
    c->ctx_error = weft_ctx_err(weft_ctx_current());
    c->result = result;
    c->at = weft_now();
    c->done = true;
}

/* Parked soon, though there is no telling when: see settle() for that. */
static inline void call_start(struct call *c, int fd, ssize_t (*make)(int fd)) {
    c->fd = fd;
    c->make = make;
    c->begun = c->done = false;
    CHECK_EQ(weft_go(call_body, c), 0);
    EVENTUALLY(c->begun);
}

static inline void call_ends(struct call *c, ssize_t result, int error) {
    EVENTUALLY(c->done);
    if (c->result != result || c->error != error)
        FAIL("it returned %zd, %s; not %zd, %s", c->result, strerror(c->error), result,
             strerror(error));
}

static inline ssize_t call_read(int fd) {
    char byte;
    return weft_read(fd, &byte, 1);
}

static inline ssize_t call_write(int fd) {
    static const char zeros[16 * 1024 * 1024];
    ssize_t n = weft_write(fd, zeros, sizeof zeros);
    return n > 0 && n < (ssize_t)sizeof zeros ? -1 : n; /* some of it may have gone */
}

static inline ssize_t call_accept(int fd) {
    return weft_accept(fd);
}

static inline ssize_t call_poll_in(int fd) {
    return weft_poll(fd, POLLIN);
}

static inline ssize_t call_poll_out(int fd) {
    return weft_poll(fd, POLLOUT);
}

#endif
