/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c: listening, dialling and accepting: N5, N7, N8, N10, N14, N23, N25 to N27 of the behaviours
 * that weft shares with Go, and what the headers promise besides: addresses, Unix sockets, accepts
 * when descriptors are short. Names are in resolve.c.
 *
 * Everything is on the loopback, at ports and names that the system chooses. An address that gives
 * no answer is a listener whose queue is full: Linux drops what comes then.
 */
#include "conform.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#define ADDR 160

static const char *local(int fd) {
    static _Thread_local char text[4][ADDR];
    static _Thread_local unsigned turn;
    char *t = text[turn++ % 4];
    CHECK_EQ(weft_local_addr(fd, t, ADDR), 0);
    return t;
}

static const char *remote(int fd) {
    static _Thread_local char text[4][ADDR];
    static _Thread_local unsigned turn;
    char *t = text[turn++ % 4];
    CHECK_EQ(weft_remote_addr(fd, t, ADDR), 0);
    return t;
}

static int listen_on(const char *network, const char *address) {
    int fd = weft_listen(network, address);
    if (fd < 0)
        FAIL("weft_listen(\"%s\", \"%s\"): %s", network, address, strerror(errno));
    return fd;
}

static int dial_to(const char *network, const char *address) {
    int fd = weft_dial(network, address);
    if (fd < 0)
        FAIL("weft_dial(\"%s\", \"%s\"): %s", network, address, strerror(errno));
    return fd;
}

/* Two ends of a connection. */
struct pair {
    int client, server;
};

static struct pair connect_pair(const char *network, int listener) {
    struct pair p;
    p.client = dial_to(network, local(listener));
    p.server = weft_accept(listener);
    CHECK(p.server >= 0);
    return p;
}

static struct pair make_pair(void) {
    int l = listen_on("tcp", "127.0.0.1:0");
    struct pair p = connect_pair("tcp", l);
    CHECK_EQ(weft_close(l), 0);
    return p;
}

static void close_pair(struct pair p) {
    CHECK_EQ(weft_close(p.client), 0);
    CHECK_EQ(weft_close(p.server), 0);
}

/* What one end writes the other reads, both ways. */
static void check_talk(struct pair p) {
    char text[8] = "";
    CHECK_EQ(weft_write(p.client, "ping", 5), 5);
    CHECK_EQ(weft_read(p.server, text, sizeof text), 5);
    CHECK_STR(text, "ping");
    CHECK_EQ(weft_write(p.server, "pong", 5), 5);
    CHECK_EQ(weft_read(p.client, text, sizeof text), 5);
    CHECK_STR(text, "pong");
}

static bool have_ipv6(void) {
    int fd = weft_listen("tcp6", "[::1]:0");
    if (fd >= 0)
        weft_close(fd);
    return fd >= 0;
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof value;
    CHECK_EQ(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* A listener whose queue is full, and what fills it. */
struct full {
    int listener, filler;
    struct sockaddr_in at;
};

static struct full make_full(void) {
    struct full f;
    socklen_t len = sizeof f.at;
    f.listener = weft_listen_with(&(struct weft_listen_opts){.backlog = 1}, "tcp", "127.0.0.1:0");
    CHECK(f.listener >= 0);
    CHECK_EQ(listen(f.listener, 0), 0); /* weft's own backlog can't be 0: it is the default */
    CHECK_EQ(getsockname(f.listener, (struct sockaddr *)&f.at, &len), 0);
    f.filler = dial_to("tcp", local(f.listener));
    return f;
}

static void close_full(struct full f) {
    CHECK_EQ(weft_close(f.listener), 0);
    CHECK_EQ(weft_close(f.filler), 0);
}

static void cancel_in_a_while(weft_ctx *ctx) {
    quiet_for(30 * WEFT_MILLISECOND);
    weft_ctx_cancel(ctx, 0);
}

/* ---- connections ---- */

TEST(tcp_connection) {
    int l = listen_on("tcp", "127.0.0.1:0");
    errno = 77;
    struct pair p = connect_pair("tcp", l);
    CHECK_STR(remote(p.client), local(l));
    CHECK_STR(remote(p.server), local(p.client));
    CHECK_STR(local(p.server), local(l));
    CHECK_EQ(errno, 77); /* a successful call leaves it */
    check_talk(p);
    close_pair(p);
    CHECK_EQ(weft_close(l), 0);
}

TEST(connections_have_the_options_of_gos) {
    struct pair p = make_pair();
    int both[] = {p.client, p.server};
    for (int i = 0; i < 2; i++) {
        CHECK(option(both[i], IPPROTO_TCP, TCP_NODELAY) != 0);
        CHECK(option(both[i], SOL_SOCKET, SO_KEEPALIVE) != 0);
        CHECK_EQ(option(both[i], IPPROTO_TCP, TCP_KEEPIDLE), 15);
        CHECK_EQ(option(both[i], IPPROTO_TCP, TCP_KEEPINTVL), 15);
        CHECK((fcntl(both[i], F_GETFL) & O_NONBLOCK) != 0);
        CHECK((fcntl(both[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    close_pair(p);
}

static void reset(int fd) {
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    CHECK_EQ(weft_close(fd), 0);
}

TEST(N5_read_from_a_reset_connection) {
    struct pair p = make_pair();
    char c;
    reset(p.client);
    errno = 0;
    CHECK_EQ(weft_read(p.server, &c, 1), -1);
    CHECK_EQ(errno, ECONNRESET);
    CHECK_EQ(weft_close(p.server), 0);
}

struct reader {
    int fd;
    _Atomic int state; /* 1: about to read, 2: done */
    ssize_t n;
    int error;
};

static void read_one(struct reader *r) {
    char c;
    r->state = 1;
    errno = 0;
    r->n = weft_read(r->fd, &c, 1);
    r->error = errno;
    r->state = 2;
}

TEST1(N5_reset_under_a_parked_reader) {
    struct pair p = make_pair();
    static struct reader r;
    r.fd = p.server;
    weft_go(read_one, &r);
    settle();
    CHECK_EQ(r.state, 1);
    reset(p.client);
    EVENTUALLY(r.state == 2);
    CHECK_EQ(r.n, -1);
    CHECK_EQ(r.error, ECONNRESET);
    CHECK_EQ(weft_close(p.server), 0);
}

TEST1(N27_shutdown_wakes_the_reader) {
    struct pair p = make_pair();
    static struct reader r;
    char c;
    r.fd = p.server;
    weft_go(read_one, &r);
    settle();
    CHECK_EQ(r.state, 1);
    CHECK_EQ(weft_shutdown(p.server, SHUT_RD), 0);
    EVENTUALLY(r.state == 2);
    CHECK_EQ(r.n, 0);
    CHECK_EQ(weft_read(p.server, &c, 1), 0);
    close_pair(p);
}

TEST(half_closed_connection) {
    struct pair p = make_pair();
    char text[8];
    CHECK_EQ(weft_write(p.client, "all", 3), 3);
    CHECK_EQ(weft_shutdown(p.client, SHUT_WR), 0);
    CHECK_EQ(weft_read(p.server, text, sizeof text), 3);
    CHECK_EQ(weft_read(p.server, text, sizeof text), 0);
    CHECK_EQ(weft_write(p.server, "mine", 4), 4); /* the other way is open */
    CHECK_EQ(weft_read(p.client, text, sizeof text), 4);
    errno = 0;
    CHECK_EQ(weft_write(p.client, "x", 1), -1);
    CHECK_EQ(errno, EPIPE);
    close_pair(p);
}

TEST(shutdown_of_what_is_not_connected) {
    int l = listen_on("udp", "127.0.0.1:0");
    errno = 0;
    CHECK_EQ(weft_shutdown(l, SHUT_WR), -1);
    CHECK_EQ(errno, ENOTCONN);
    CHECK_EQ(weft_close(l), 0);
    CHECK_EQ(weft_shutdown(l, SHUT_WR), -1);
    CHECK_EQ(errno, EBADF);
}

/* ---- accepting ---- */

TEST(N7_aborted_connections_dont_end_the_loop) {
    int l = listen_on("tcp", "127.0.0.1:0");
    char c = 0;
    for (int i = 0; i < 10; i++)
        reset(dial_to("tcp", local(l)));
    int client = dial_to("tcp", local(l));
    CHECK_EQ(weft_write(client, "x", 1), 1);
    while (c != 'x') { /* Linux hands the aborted ones out, too */
        int server = weft_accept(l);
        CHECK(server >= 0);
        if (weft_read(server, &c, 1) != 1)
            CHECK_EQ(errno, ECONNRESET);
        CHECK_EQ(weft_close(server), 0);
    }
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(l), 0);
}

#define CONNECTIONS 64

static _Atomic int served[CONNECTIONS];

static void accept_many(int l, weft_wg *wg) {
    for (;;) {
        unsigned char which;
        int fd = weft_accept(l);
        if (fd < 0)
            break;
        CHECK_EQ(weft_read(fd, &which, 1), 1);
        CHECK_EQ(weft_write(fd, &which, 1), 1);
        served[which]++;
        CHECK_EQ(weft_close(fd), 0);
    }
    CHECK_EQ(errno, EBADF);
    weft_wg_done(wg);
}

static void call_once(const char *address, int which) {
    unsigned char byte = (unsigned char)which;
    int fd = dial_to("tcp", address);
    CHECK_EQ(weft_write(fd, &byte, 1), 1);
    byte = 255;
    CHECK_EQ(weft_read(fd, &byte, 1), 1);
    CHECK_EQ(byte, which);
    CHECK_EQ(weft_close(fd), 0);
}

static void share_a_listener(void) {
    static weft_wg accepters, clients;
    char address[ADDR];
    int l = listen_on("tcp", "127.0.0.1:0");
    strcpy(address, local(l));
    for (int i = 0; i < 8; i++) {
        weft_wg_add(&accepters, 1);
        weft_go(accept_many, l, &accepters);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        weft_wg_go(&clients, call_once, (const char *)address, i);
    weft_wg_wait(&clients);
    CHECK_EQ(weft_close(l), 0);
    weft_wg_wait(&accepters); /* N10: all of them fail */
    for (int i = 0; i < CONNECTIONS; i++)
        CHECK_EQ(served[i], 1);
}

TEST(N8_N10_accepters_share_a_listener) {
    share_a_listener();
}

TEST_ENV(N8_N10_accepters_share_a_listener_on_one_P, "GOMAXPROCS=1") {
    share_a_listener();
}

struct accepter {
    int l, fd, error;
    _Atomic int state; /* as a reader's */
};

static void accept_one(struct accepter *a) {
    a->state = 1;
    errno = 0;
    a->fd = weft_accept(a->l);
    a->error = errno;
    a->state = 2;
}

TEST1(N10_close_wakes_accepters) {
    static struct accepter a[4];
    int l = listen_on("tcp", "127.0.0.1:0");
    for (int i = 0; i < 4; i++) {
        a[i].l = l;
        weft_go(accept_one, &a[i]);
    }
    settle();
    CHECK_EQ(weft_close(l), 0);
    for (int i = 0; i < 4; i++) {
        EVENTUALLY(a[i].state == 2);
        CHECK_EQ(a[i].fd, -1);
        CHECK_EQ(a[i].error, EBADF);
    }
    CHECK_EQ(weft_accept(l), -1);
    CHECK_EQ(errno, EBADF);
}

TEST(N23_accept_times_out) {
    int l = listen_on("tcp", "127.0.0.1:0");
    weft_time end = weft_now() + 10 * WEFT_MILLISECOND;
    CHECK_EQ(weft_set_deadline(l, end), 0);
    errno = 0;
    CHECK_EQ(weft_accept(l), -1);
    CHECK_EQ(errno, ETIMEDOUT);
    CHECK(weft_now() >= end);
    CHECK_EQ(weft_close(l), 0);
}

TEST(N14_late_accept_takes_nothing) {
    int l = listen_on("tcp", "127.0.0.1:0");
    int client = dial_to("tcp", local(l));
    CHECK_EQ(weft_set_read_deadline(l, weft_now() - WEFT_SECOND), 0);
    errno = 0;
    CHECK_EQ(weft_accept(l), -1);
    CHECK_EQ(errno, ETIMEDOUT);
    CHECK_EQ(weft_set_read_deadline(l, 0), 0);
    int server = weft_accept(l);
    CHECK(server >= 0);
    CHECK_STR(remote(server), local(client));
    close_pair((struct pair){client, server});
    CHECK_EQ(weft_close(l), 0);
}

TEST(accept_is_cancelled) {
    int l = listen_on("tcp", "127.0.0.1:0");
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_go(cancel_in_a_while, ctx);
    weft_scope_ctx(ctx);
    errno = 0;
    CHECK_EQ(weft_accept(l), -1);
    CHECK_EQ(errno, ECANCELED);
    int client = dial_to("tcp", local(l)); /* what need not wait still goes */
    int server = weft_accept(l);
    CHECK(server >= 0);
    close_pair((struct pair){client, server});
    CHECK_EQ(weft_close(l), 0);
    weft_ctx_unref(ctx);
}

static void check_bad_accept(int fd, int error) {
    errno = 0;
    CHECK_EQ(weft_accept(fd), -1);
    CHECK_EQ(errno, error);
}

TEST(accept_of_what_is_no_listener) {
    struct pair p = make_pair();
    int udp = listen_on("udp", "127.0.0.1:0"), file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    check_bad_accept(p.client, EINVAL);
    check_bad_accept(udp, EOPNOTSUPP);
    check_bad_accept(file, ENOTSOCK);
    check_bad_accept(-1, EBADF);
    check_bad_accept(1000000, EBADF);
    close(file);
    CHECK_EQ(weft_close(udp), 0);
    close_pair(p);
}

/* A listener that weft did not make. */
static int foreign_listener(int flags, struct sockaddr_in *at) {
    socklen_t len = sizeof *at;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(l >= 0);
    CHECK_EQ(bind(l, (struct sockaddr *)at, sizeof *at), 0);
    CHECK_EQ(listen(l, 8), 0);
    CHECK_EQ(getsockname(l, (struct sockaddr *)at, &len), 0);
    return l;
}

static void accept_foreign(int flags) {
    static struct accepter a;
    struct sockaddr_in at;
    int l = foreign_listener(flags, &at), before = fcntl(l, F_GETFL);
    a.l = l;
    weft_go(accept_one, &a);
    settle();
    CHECK_EQ(a.state, 1);
    int client = dial_to("tcp", local(l));
    EVENTUALLY(a.state == 2);
    CHECK(a.fd >= 0);
    CHECK_EQ(option(a.fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
    CHECK(option(a.fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    check_talk((struct pair){client, a.fd});
    close_pair((struct pair){client, a.fd});
    client = dial_to("tcp", local(l)); /* is there before the accept */
    a.fd = weft_accept(l);
    CHECK(a.fd >= 0);
    close_pair((struct pair){client, a.fd});
    CHECK_EQ(fcntl(l, F_GETFL), before);
    close(l);
}

TEST1(accept_on_a_foreign_listener) {
    accept_foreign(0);
}

TEST1(accept_on_a_foreign_listener_that_doesnt_block) {
    accept_foreign(SOCK_NONBLOCK);
}

/* ---- accepting without descriptors ---- */

/* From here on no descriptor is to be had; what the limit was. */
static struct rlimit use_up_descriptors(void) {
    struct rlimit before, none;
    int lowest = dup(0);
    CHECK(lowest >= 0);
    close(lowest);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)lowest;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(dup(0), -1);
    return before;
}

TEST(accept_waits_for_a_descriptor) {
    static struct accepter a;
    a.l = listen_on("tcp", "127.0.0.1:0");
    int client = dial_to("tcp", local(a.l));
    struct rlimit before = use_up_descriptors();
    weft_go(accept_one, &a);
    quiet_for(30 * WEFT_MILLISECOND);
    CHECK_EQ(a.state, 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EVENTUALLY(a.state == 2);
    CHECK(a.fd >= 0);
    check_talk((struct pair){client, a.fd});
    close_pair((struct pair){client, a.fd});
    CHECK_EQ(weft_close(a.l), 0);
}

TEST(accept_without_descriptors_can_be_ended) {
    static struct accepter a;
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    a.l = listen_on("tcp", "127.0.0.1:0");
    int client = dial_to("tcp", local(a.l));
    struct rlimit before = use_up_descriptors();
    { /* by its context */
        weft_scope_ctx(ctx);
        weft_go(cancel_in_a_while, ctx);
        check_bad_accept(a.l, ECANCELED);
    }
    /* by its deadline */
    weft_time end = weft_now() + 20 * WEFT_MILLISECOND;
    CHECK_EQ(weft_set_deadline(a.l, end), 0);
    check_bad_accept(a.l, ETIMEDOUT);
    CHECK(weft_now() >= end);
    CHECK_EQ(weft_set_deadline(a.l, 0), 0);
    /* by a close */
    weft_go(accept_one, &a);
    EVENTUALLY(a.state == 1);
    quiet_for(10 * WEFT_MILLISECOND);
    CHECK_EQ(weft_close(a.l), 0);
    EVENTUALLY(a.state == 2);
    CHECK_EQ(a.error, EBADF);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(weft_close(client), 0);
    weft_ctx_unref(ctx);
}

/* ---- dialling ---- */

static void check_bad_dial(const char *network, const char *address, int error) {
    errno = 0;
    int fd = weft_dial(network, address);
    if (fd >= 0 || errno != error)
        FAIL("weft_dial(\"%s\", \"%s\") = %d, %s", network, address, fd, strerror(errno));
}

static void check_bad_listen(const char *network, const char *address, int error) {
    errno = 0;
    int fd = weft_listen(network, address);
    if (fd >= 0 || errno != error)
        FAIL("weft_listen(\"%s\", \"%s\") = %d, %s", network, address, fd, strerror(errno));
}

TEST(bad_addresses) {
    static const char *const bad[][2] = {
        {"tcp", ""},
        {"tcp", "127.0.0.1"},
        {"tcp", "::1:80"},
        {"tcp", "[::1:80"},
        {"tcp", "127.0.0.1:65536"},
        {"tcp", "127.0.0.1:-1"},
        {"tcp", "127.0.0.1:no-such-service"},
        {"tcp4", "[::1]:80"},
        {"udp6", "127.0.0.1:80"},
        {"tcp7", "127.0.0.1:80"},
        {"", "127.0.0.1:80"},
        {"unix", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_bad_dial(bad[i][0], bad[i][1], EINVAL);
        check_bad_listen(bad[i][0], bad[i][1], EINVAL);
    }
    check_bad_dial("tcp", NULL, EINVAL);
    check_bad_dial(NULL, "127.0.0.1:80", EINVAL);
    check_bad_listen(NULL, NULL, EINVAL);
    check_bad_dial("unix", "@", EINVAL);
    check_bad_dial("tcp", "[fe80::1%nosuchif]:80", ENODEV);
    CHECK_EQ(weft_listen_with(&(struct weft_listen_opts){.backlog = -1}, "tcp", ":0"), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(weft_listen_with(&(struct weft_listen_opts){.mode = 01777}, "unix", "@x"), -1);
    CHECK_EQ(errno, EINVAL);
}

TEST(dial_is_refused) {
    int l = listen_on("tcp", "127.0.0.1:0");
    char address[ADDR];
    strcpy(address, local(l));
    CHECK_EQ(weft_close(l), 0);
    check_bad_dial("tcp", address, ECONNREFUSED);
    check_bad_dial("unix", "@weft-nobody-is-here", ECONNREFUSED);
    check_bad_dial("unix", "/nonexistent/weft", ENOENT);
}

TEST(port_in_use) {
    int l = listen_on("tcp", "127.0.0.1:0");
    check_bad_listen("tcp", local(l), EADDRINUSE);
    struct pair p = connect_pair("tcp", l); /* a connection of the past is no hindrance */
    char address[ADDR];
    strcpy(address, local(l));
    CHECK_EQ(weft_close(l), 0);
    CHECK_EQ(weft_close(p.server), 0);
    l = listen_on("tcp", address);
    CHECK_EQ(weft_close(l), 0);
    CHECK_EQ(weft_close(p.client), 0);
    l = listen_on("udp", "127.0.0.1:0");
    check_bad_listen("udp", local(l), EADDRINUSE);
    CHECK_EQ(weft_close(l), 0);
}

TEST(several_listeners_share_a_port) {
    static const struct weft_listen_opts shared = {.reuseport = true};
    int a = weft_listen_with(&shared, "tcp", "127.0.0.1:0");
    CHECK(a >= 0);
    int b = weft_listen_with(&shared, "tcp", local(a));
    CHECK(b >= 0);
    CHECK_STR(local(a), local(b));
    check_bad_listen("tcp", local(a), EADDRINUSE);
    CHECK_EQ(weft_close(a), 0);
    CHECK_EQ(weft_close(b), 0);
}

TEST(N25_dial_ends_with_its_context) {
    struct full f = make_full();
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    {
        weft_time end = weft_now() + 50 * WEFT_MILLISECOND;
        weft_scope_timeout(50 * WEFT_MILLISECOND);
        check_bad_dial("tcp", local(f.listener), ETIMEDOUT);
        CHECK(weft_now() >= end);
    }
    {
        weft_scope_ctx(ctx);
        weft_go(cancel_in_a_while, ctx);
        check_bad_dial("tcp", local(f.listener), ECANCELED);
        check_bad_dial("tcp", local(f.listener), ECANCELED); /* ended before the call */
    }
    weft_ctx_unref(ctx);
    close_full(f);
}

/* A socket that weft did not make. */
static int foreign_socket(int flags) {
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    CHECK(s >= 0);
    return s;
}

TEST(N25_connect_ends_with_its_context) {
    struct full f = make_full();
    int s = foreign_socket(SOCK_NONBLOCK);
    weft_scope_timeout(50 * WEFT_MILLISECOND);
    errno = 0;
    CHECK_EQ(weft_connect(s, (struct sockaddr *)&f.at, sizeof f.at), -1);
    CHECK_EQ(errno, ETIMEDOUT);
    close(s);
    close_full(f);
}

static void connect_foreign(int flags) {
    struct sockaddr_in at;
    int l = foreign_listener(SOCK_NONBLOCK, &at), s = foreign_socket(flags);
    int before = fcntl(s, F_GETFL);
    errno = 77;
    CHECK_EQ(weft_connect(s, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_EQ(errno, 77);
    CHECK_STR(remote(s), local(l));
    CHECK_EQ(fcntl(s, F_GETFL), before);
    close(s);
    close(l);
    s = foreign_socket(flags);
    errno = 0;
    CHECK_EQ(weft_connect(s, (struct sockaddr *)&at, sizeof at), -1);
    CHECK_EQ(errno, ECONNREFUSED);
    close(s);
}

TEST(connect_of_a_foreign_socket) {
    connect_foreign(0);
}

TEST(connect_of_a_foreign_socket_that_doesnt_block) {
    connect_foreign(SOCK_NONBLOCK);
}

struct connector {
    int fd, result;
    struct sockaddr_in at;
    _Atomic int state;
};

static void connect_one(struct connector *c) {
    c->state = 1;
    c->result = weft_connect(c->fd, (struct sockaddr *)&c->at, sizeof c->at);
    c->state = 2;
}

TEST(N26_connect_is_through_when_there_is_a_peer) {
    static struct connector c;
    struct full f = make_full();
    c.fd = foreign_socket(SOCK_NONBLOCK);
    c.at = f.at;
    weft_go(connect_one, &c);
    EVENTUALLY(c.state == 1);
    for (int i = 0; i < 10; i++) { /* wakes it, each time for nothing */
        quiet_for(WEFT_MILLISECOND);
        CHECK_EQ(weft_set_write_deadline(c.fd, weft_now() + WEFT_HOUR), 0);
    }
    CHECK_EQ(c.state, 1);
    int first = weft_accept(f.listener); /* makes room; the next SYN, after 1 s, is answered */
    CHECK(first >= 0);
    EVENTUALLY(c.state == 2);
    CHECK_EQ(c.result, 0);
    CHECK_STR(remote(c.fd), local(f.listener));
    close(c.fd);
    CHECK_EQ(weft_close(first), 0);
    close_full(f);
}

/* N25: no thread waits in a connect. */
TEST1(N25_many_connects_wait_without_threads) {
    static struct connector c[50];
    struct full f = make_full();
    int threads = test_count_threads();
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    for (int i = 0; i < 50; i++) {
        c[i].fd = foreign_socket(SOCK_NONBLOCK);
        c[i].at = f.at;
        weft_go_with((&(struct weft_attr){.ctx = ctx}), connect_one, &c[i]);
    }
    settle();
    for (int i = 0; i < 50; i++)
        CHECK_EQ(c[i].state, 1);
    CHECK(test_count_threads() <= threads + 2); /* the poller's, a spare one */
    weft_ctx_cancel(ctx, 0);
    for (int i = 0; i < 50; i++) {
        EVENTUALLY(c[i].state == 2);
        CHECK_EQ(c[i].result, -1);
        close(c[i].fd);
    }
    weft_ctx_unref(ctx);
    close_full(f);
}

/* ---- families ---- */

TEST(dual_stack_listener) {
    if (!have_ipv6())
        test_skip("no IPv6");
    int l = listen_on("tcp", ":0");
    CHECK(strncmp(local(l), "[::]:", 5) == 0);
    char four[ADDR], six[ADDR], port[8];
    snprintf(port, sizeof port, "%s", strrchr(local(l), ':'));
    snprintf(four, sizeof four, "127.0.0.1%s", port);
    snprintf(six, sizeof six, "[::1]%s", port);
    int client = dial_to("tcp", four), server = weft_accept(l);
    CHECK_STR(remote(server), local(client));
    CHECK_STR(local(server), four); /* not [::ffff:127.0.0.1] */
    check_talk((struct pair){client, server});
    close_pair((struct pair){client, server});
    client = dial_to("tcp", six), server = weft_accept(l);
    CHECK_STR(remote(server), local(client));
    CHECK_STR(local(server), six);
    close_pair((struct pair){client, server});
    client = dial_to("tcp", port), server = weft_accept(l); /* no host: this machine */
    close_pair((struct pair){client, server});
    client = dial_to("tcp", local(l)), server = weft_accept(l); /* the address as it is told */
    close_pair((struct pair){client, server});
    CHECK_EQ(weft_close(l), 0);
}

TEST(listeners_of_one_family) {
    int four = listen_on("tcp4", ":0");
    CHECK(strncmp(local(four), "0.0.0.0:", 8) == 0);
    CHECK_EQ(weft_close(four), 0);
    four = listen_on("tcp", "0.0.0.0:0");
    CHECK(strncmp(local(four), "0.0.0.0:", 8) == 0);
    if (have_ipv6()) {
        char address[ADDR];
        snprintf(address, sizeof address, "[::]%s", strrchr(local(four), ':'));
        int six = listen_on("tcp6", address); /* the same port: it is IPv6 only */
        CHECK(option(six, IPPROTO_IPV6, IPV6_V6ONLY) != 0);
        CHECK_EQ(weft_close(six), 0);
    }
    CHECK_EQ(weft_close(four), 0);
}

TEST(ipv6_connection) {
    if (!have_ipv6())
        test_skip("no IPv6");
    int l = listen_on("tcp", "[::1]:0");
    CHECK(strncmp(local(l), "[::1]:", 6) == 0);
    struct pair p = connect_pair("tcp6", l);
    check_talk(p);
    close_pair(p);
    CHECK_EQ(weft_close(l), 0);
}

TEST(addresses_that_dont_fit) {
    struct pair p = make_pair();
    char text[ADDR];
    size_t full = strlen(local(p.server));
    for (size_t n = 0; n <= full; n++) {
        errno = 0;
        CHECK_EQ(weft_local_addr(p.server, text, n), -1);
        CHECK_EQ(errno, ERANGE);
    }
    CHECK_EQ(weft_local_addr(p.server, text, full + 1), 0);
    int l = listen_on("tcp", "127.0.0.1:0");
    errno = 0;
    CHECK_EQ(weft_remote_addr(l, text, sizeof text), -1);
    CHECK_EQ(errno, ENOTCONN);
    CHECK_EQ(weft_close(l), 0);
    errno = 0;
    CHECK_EQ(weft_local_addr(l, text, sizeof text), -1);
    CHECK_EQ(errno, EBADF);
    close_pair(p);
}

/* ---- UDP ---- */

static void exchange_datagrams(const char *network, const char *address) {
    char text[8] = "", from[ADDR];
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int server = listen_on(network, address), client = dial_to(network, local(server));
    CHECK_STR(remote(client), local(server));
    CHECK_EQ(weft_write(client, "ping", 5), 5);
    CHECK_EQ(weft_recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&peer, &len), 5);
    CHECK_STR(text, "ping");
    CHECK_EQ(weft_sendto(server, "pong", 5, 0, (struct sockaddr *)&peer, len), 5);
    CHECK_EQ(weft_read(client, text, sizeof text), 5);
    CHECK_STR(text, "pong");
    CHECK_EQ(weft_connect(server, (struct sockaddr *)&peer, len), 0); /* weft's own, too */
    CHECK_EQ(weft_remote_addr(server, from, sizeof from), 0);
    CHECK_STR(from, local(client));
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
}

TEST(udp_datagrams) {
    exchange_datagrams("udp", "127.0.0.1:0");
}

TEST(udp6_datagrams) {
    if (!have_ipv6())
        test_skip("no IPv6");
    exchange_datagrams("udp6", "[::1]:0");
}

/* ---- Unix sockets ---- */

/* A path for a socket, in a directory of its own. */
static char directory[] = "/tmp/weft-net-XXXXXX";

static const char *fresh_path(void) {
    static char path[sizeof directory + 8];
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/socket", directory);
    return path;
}

static void remove_path(const char *path) {
    unlink(path);
    CHECK_EQ(rmdir(directory), 0);
}

TEST(unix_connection) {
    const char *path = fresh_path();
    int l = listen_on("unix", path);
    CHECK_STR(local(l), path);
    struct pair p = connect_pair("unix", l);
    CHECK_STR(remote(p.client), path);
    CHECK_STR(remote(p.server), "");
    CHECK_STR(local(p.client), "");
    check_talk(p);
    close_pair(p);
    CHECK_EQ(weft_close(l), 0);
    remove_path(path);
}

TEST(abstract_connection) {
    int l = listen_on("unix", "@"); /* a name that the system chooses */
    CHECK(strlen(local(l)) > 1);
    CHECK_EQ(local(l)[0], '@');
    struct pair p = connect_pair("unix", l);
    CHECK_STR(remote(p.client), local(l));
    check_talk(p);
    close_pair(p);
    check_bad_listen("unix", local(l), EADDRINUSE);
    CHECK_EQ(weft_close(l), 0);
}

TEST(unixpacket_keeps_packets_apart) {
    char text[8];
    int l = listen_on("unixpacket", "@");
    struct pair p = connect_pair("unixpacket", l);
    CHECK_EQ(weft_write(p.client, "one", 3), 3);
    CHECK_EQ(weft_write(p.client, "three", 5), 5);
    CHECK_EQ(weft_read(p.server, text, sizeof text), 3);
    CHECK_EQ(weft_read(p.server, text, sizeof text), 5);
    close_pair(p);
    CHECK_EQ(weft_close(l), 0);
}

TEST(unixgram_datagrams) {
    char text[8] = "";
    const char *path = fresh_path();
    int server = listen_on("unixgram", path), client = dial_to("unixgram", path);
    CHECK_EQ(weft_write(client, "ping", 5), 5);
    CHECK_EQ(weft_read(server, text, sizeof text), 5);
    CHECK_STR(text, "ping");
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
    remove_path(path);
}

TEST(dead_socket_files_are_replaced) {
    static const char *const networks[] = {"unix", "unixpacket", "unixgram"};
    const char *path = fresh_path();
    for (int i = 0; i < 3; i++) {
        struct stat st;
        int l = listen_on(networks[i], path);
        for (int j = 0; j < 3; j++)
            check_bad_listen(networks[j], path, EADDRINUSE); /* it lives */
        if (i < 2) {                                         /* and has noticed nothing */
            CHECK_EQ(weft_set_deadline(l, weft_now() + WEFT_MILLISECOND), 0);
            check_bad_accept(l, ETIMEDOUT);
        }
        CHECK_EQ(weft_close(l), 0);
        CHECK_EQ(lstat(path, &st), 0);
        if (i < 2)
            check_bad_dial(networks[i], path, ECONNREFUSED); /* now it is dead */
    }
    remove_path(path);
}

TEST(other_files_are_not_replaced) {
    const char *path = fresh_path();
    struct stat st;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    check_bad_listen("unix", path, EADDRINUSE);
    CHECK_EQ(lstat(path, &st), 0);
    CHECK(S_ISREG(st.st_mode));
    remove_path(path);
}

TEST(mode_of_a_socket_file) {
    static const unsigned modes[] = {0600, 0666, 0707};
    const char *path = fresh_path();
    mode_t umask_before = umask(077);
    for (int i = 0; i < 3; i++) {
        struct stat st;
        int l = weft_listen_with(&(struct weft_listen_opts){.mode = modes[i]}, "unix", path);
        CHECK(l >= 0);
        CHECK_EQ(lstat(path, &st), 0);
        CHECK_EQ(st.st_mode & 0777, modes[i]);
        CHECK_EQ(weft_close(l), 0);
    }
    umask(umask_before);
    remove_path(path);
}

struct dialler {
    const char *address;
    int fd, error;
    _Atomic int state;
};

static void dial_one(struct dialler *d) {
    d->state = 1;
    errno = 0;
    d->fd = weft_dial("unix", d->address);
    d->error = errno;
    d->state = 2;
}

/* A Unix listener whose queue is full, where a connect can't be waited for by an event. */
TEST(dial_waits_for_room_in_the_queue) {
    static struct dialler d, late;
    int l = weft_listen_with(&(struct weft_listen_opts){.backlog = 1}, "unix", "@");
    int fillers[8], n = 0;
    char address[ADDR];
    CHECK(l >= 0);
    strcpy(address, local(l));
    struct sockaddr_un at;
    socklen_t len = sizeof at;
    CHECK_EQ(getsockname(l, (struct sockaddr *)&at, &len), 0);
    for (;;) {
        CHECK(n < 8);
        fillers[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fillers[n], (struct sockaddr *)&at, len) != 0)
            break;
        n++;
    }
    d.address = late.address = address;
    weft_go(dial_one, &d);
    quiet_for(20 * WEFT_MILLISECOND);
    CHECK_EQ(d.state, 1);
    { /* in the meantime another gives up */
        weft_scope_timeout(20 * WEFT_MILLISECOND);
        dial_one(&late);
        CHECK_EQ(late.error, ETIMEDOUT);
    }
    int server = weft_accept(l);
    CHECK(server >= 0);
    EVENTUALLY(d.state == 2);
    CHECK(d.fd >= 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(d.fd), 0);
    for (int i = 0; i <= n; i++)
        close(fillers[i]);
    CHECK_EQ(weft_close(l), 0);
}

/* ---- threads and programs without a runtime ---- */

static void talk_over(const char *network, const char *address) {
    int l = listen_on(network, address);
    struct pair p = connect_pair(network, l);
    check_talk(p);
    close_pair(p);
    CHECK_EQ(weft_close(l), 0);
}

TEST_PLAIN(outside_of_a_run) {
    talk_over("tcp", "127.0.0.1:0");
    talk_over("unix", "@");
    check_bad_dial("tcp", "nonsense", EINVAL);
}

static int accept_from_before(int argc, char **argv) {
    (void)argv;
    struct pair p = connect_pair("tcp", argc);
    check_talk(p);
    close_pair(p);
    return 0;
}

TEST_PLAIN(a_listener_of_before_the_run) {
    int l = listen_on("tcp", "127.0.0.1:0");
    CHECK_EQ(weft_run(accept_from_before, l, NULL), 0);
    CHECK_EQ(weft_run(accept_from_before, l, NULL), 0);
    CHECK_EQ(weft_close(l), 0);
}

static void *thread_talks(void *none) {
    talk_over("tcp", "127.0.0.1:0");
    talk_over("unix", "@");
    return none;
}

TEST(on_a_thread_of_the_programs) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, thread_talks, NULL), 0);
    CHECK_EQ(weft_block(pthread_join(thread, NULL)), 0);
}

static void *thread_accepts(void *listener) {
    int fd = weft_accept(*(int *)listener);
    CHECK(fd >= 0);
    char c;
    CHECK_EQ(weft_read(fd, &c, 1), 1);
    CHECK_EQ(c, 'x');
    CHECK_EQ(weft_close(fd), 0);
    return NULL;
}

TEST(a_thread_waits_in_accept) {
    pthread_t thread;
    int l = listen_on("tcp", "127.0.0.1:0");
    CHECK_EQ(pthread_create(&thread, NULL, thread_accepts, &l), 0);
    quiet_for(10 * WEFT_MILLISECOND);
    int client = dial_to("tcp", local(l));
    CHECK_EQ(weft_write(client, "x", 1), 1);
    CHECK_EQ(weft_block(pthread_join(thread, NULL)), 0);
    CHECK_EQ(weft_close(client), 0);
    CHECK_EQ(weft_close(l), 0);
}
