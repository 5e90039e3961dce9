/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input and output under strain: a server and WEFT_STRESS_CLIENTS clients (1,000 unless set) in one
 * process, over loopback TCP and Unix sockets, beside UDP, files and descriptors that weft did not
 * make. Descriptors are closed and opened all the time, so numbers are reused at once.
 *
 * A session begins with a struct hello, which tells the server what to expect. Then a keyed
 * pseudo-random stream flows in each direction, in pieces of random size; every byte is checked.
 * Kinds of sessions:
 *
 *   TALK      one end writes while the other reads, in turns
 *   PLAIN     both ends read and write at once and half-close; all bytes must arrive
 *   DEADLINE  the same while deadlines are set, moved and run out under the waiters
 *   CANCEL    the same while the contexts of the waiters end
 *   RESET     one end breaks off with SO_LINGER 0; what the other got must be right so far
 *   CLOSE     a third goroutine closes the client's end while others wait on it: EBADF
 *
 * Invariants: no byte is lost, doubled or changed, whatever a wait ended with (a call that failed
 * with a time-out or was cancelled moved nothing, but for a write's count); an error is one that
 * the session may see; in the end no goroutine and no descriptor is left. Now and then RLIMIT_NOFILE
 * is lowered below what is open, so that accept, dial and open meet EMFILE.
 *
 * A number belongs to whoever holds it. A goroutine that makes a call on a number which another has
 * just closed would disturb a stranger; that is the caller's bug, here as with POSIX. So an end that
 * is closed is in one goroutine's hands, or (CLOSE) the others do nothing that could harm a
 * stranger: they wait, they peek, or are known to be inside of the call, because some of what it
 * writes has arrived.
 *
 * A watchdog goroutine dumps and aborts when nothing has moved for 20 seconds.
 */
#include "stress.h" /* first: it asks for the GNU extensions */

#include <netinet/in.h>

#include "io_end.h"
#include "io_side.h"

/* The poller's threads renew the registration of a stale number; see stale_number_begins(). */
#ifdef __SANITIZE_THREAD__
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "race:wefti_fd_event\n";
}
#endif

enum {
    LONG_WRITE = 4 << 20, /* more than a connection with small buffers takes without a reader */
    ACCEPTERS = 3         /* for each listener */
};

/* What the first bytes of a connection tell the server. Both ends are in one process. */
struct hello {
    uint64_t key;
    uint32_t kind;
    uint32_t to_server, to_client; /* bytes */
    int32_t breaks_at;             /* RESET: the server breaks off after so many bytes; or -1 */
    struct long_write *writing;    /* CLOSE: or NULL, then both are silent */
};

static _Atomic uint64_t sessions[KINDS], closed_under;
static char tcp_address[64], unix_address[64];

/* ---- CLOSE: a third goroutine closes the client's end ---- */

struct long_write {
    weft_sem begun;  /* released by the server: some of it has arrived */
    weft_sem closed; /* released by the client */
    int fd;
};

static unsigned char *long_text; /* LONG_WRITE bytes of stream 0 */

static void write_long(struct long_write *l) {
    ssize_t put = weft_write(l->fd, long_text, LONG_WRITE);
    int error = errno;
    if (put >= LONG_WRITE || error != EBADF)
        STRESS_FAIL("a write on what was closed: %zd, %s", put, strerror(error));
}

/* Waits that would do no harm to a stranger whose number it is by now. */
static void wait_in_vain(int fd, int how) {
    char byte;
    stale_number_begins();
    ssize_t n = how == 0   ? weft_poll(fd, POLLIN)
                : how == 1 ? weft_recvfrom(fd, &byte, 1, MSG_PEEK, NULL, NULL)
                           : weft_accept(fd);
    stale_number_ends();
    if (n < 0 && errno == EBADF)
        count(&closed_under, 1);
    if (n >= 0 && how == 2)
        STRESS_FAIL("accepted what nobody has dialled");
}

/* The descriptor is in others' hands while it is closed. A waiter that came too late may sit on a
 * stranger's number, which need not be closed; so the wait has an end in any case. */
static void close_under_waiters(int fd, bool listener, struct stress_rand *r) {
    weft_wg wg = WEFT_WG_INIT;
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    {
        weft_scope_ctx(ctx);
        for (int i = 1 + stress_below(r, 3); i > 0; i--)
            STRESS_CHECK(weft_wg_go(&wg, wait_in_vain, fd, listener ? 2 : i & 1) == 0);
    }
    weft_sleep(stress_below(r, 500) * WEFT_MICROSECOND);
    if (stress_one_in(r, 4))
        weft_set_deadline(fd, weft_now() + 100 * WEFT_MICROSECOND);
    STRESS_CHECK(weft_close(fd) == 0);
    weft_sleep(stress_below(r, 500) * WEFT_MICROSECOND);
    weft_ctx_cancel(ctx, 0);
    weft_wg_wait(&wg);
    weft_ctx_unref(ctx);
}

static void close_under_writer(int fd, struct long_write *l) {
    weft_wg wg = WEFT_WG_INIT;
    l->fd = fd;
    STRESS_CHECK(weft_wg_go(&wg, write_long, l) == 0);
    STRESS_CHECK(weft_sem_acquire(&l->begun, 1));
    STRESS_CHECK(weft_close(fd) == 0);
    weft_wg_wait(&wg);
    count(&closed_under, 1);
}

/* The server's side of it: reads to the end, whatever the end is. */
static void close_server(struct end *e, struct long_write *l) {
    unsigned char *buf = malloc(PIECE);
    uint64_t at = 0;
    ssize_t n;
    while ((n = weft_read(e->fd, buf, PIECE)) > 0) {
        STRESS_CHECK(l != NULL);
        check(buf, (size_t)n, 0, at);
        if (at == 0) {
            weft_sem_release(&l->begun, 1);
            STRESS_CHECK(weft_sem_acquire(&l->closed, 1)); /* the client's, after its close */
        }
        at += (uint64_t)n;
    }
    if (n < 0 && errno != ECONNRESET)
        STRESS_FAIL("a read of what was closed: %s", strerror(errno));
    free(buf);
}

/* ---- the server ---- */

static bool read_hello(int fd, struct hello *h) {
    for (size_t at = 0; at < sizeof *h;) {
        ssize_t n = weft_read(fd, (char *)h + at, sizeof *h - at);
        if (n <= 0 && at == 0 && (n == 0 || errno == ECONNRESET))
            return false; /* a client that broke off at once */
        if (n <= 0)
            STRESS_FAIL("a read of the hello: %zd, %s", n, strerror(errno));
        at += (size_t)n;
    }
    return true;
}

static void serve(int fd, uint64_t seed) {
    struct hello h;
    struct end e = {.fd = fd, .rand = {seed}};
    if (read_hello(fd, &h)) {
        e.kind = h.kind;
        e.read_key = h.key;
        e.write_key = ~h.key;
        e.to_read = h.to_server;
        e.to_write = h.to_client;
        if (e.kind == TALK)
            end_talk(&e, false);
        else if (e.kind == CLOSE)
            close_server(&e, h.writing);
        else if (e.kind == RESET && h.breaks_at >= 0)
            end_break_off(&e, (uint64_t)h.breaks_at);
        else
            end_duplex(&e);
    }
    end_close(&e);
}

/* Ends when the listener is closed. */
static void accept_all(int listener, uint64_t seed) {
    struct stress_rand r = {seed};
    weft_wg wg = WEFT_WG_INIT;
    int fd;
    while ((fd = weft_accept(listener)) >= 0) {
        moved(1);
        STRESS_CHECK(weft_wg_go(&wg, serve, fd, stress_next(&r)) == 0);
    }
    if (errno != EBADF)
        STRESS_FAIL("accept: %s", strerror(errno));
    weft_wg_wait(&wg);
}

/* ---- the clients ---- */

static int dial_foreign(void) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(tcp_address, ':') + 1)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && weft_connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        int error = errno;
        close(fd);
        weft_set_errno(error);
        return -1;
    }
    return fd;
}

static void client_dial(struct end *e) {
    for (;;) {
        e->foreign = e->kind != CLOSE && stress_one_in(&e->rand, 6);
        bool tcp = stress_one_in(&e->rand, 2);
        e->fd = e->foreign ? dial_foreign()
                : tcp      ? weft_dial("tcp", tcp_address)
                           : weft_dial("unix", unix_address);
        if (e->fd >= 0)
            return;
        /* No port is free for a moment; the backlog of a Unix socket is full */
        if (!no_fds() && errno != EADDRNOTAVAIL && errno != EAGAIN)
            STRESS_FAIL("dial: %s", strerror(errno));
        weft_sleep(WEFT_MILLISECOND);
    }
}

static void send_hello(int fd, const struct hello *h) {
    if (weft_write(fd, h, sizeof *h) != (ssize_t)sizeof *h)
        STRESS_FAIL("a write of the hello: %s", strerror(errno));
}

static void session_close(struct end *e, struct hello *h, struct long_write *l) {
    int small = 32 * 1024;
    if (stress_one_in(&e->rand, 2)) {
        send_hello(e->fd, h);
        close_under_waiters(e->fd, false, &e->rand);
        return;
    }
    h->writing = l;
    STRESS_CHECK(setsockopt(e->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    send_hello(e->fd, h);
    close_under_writer(e->fd, l);
    weft_sem_release(&l->closed, 1);
}

static void session_listen(struct stress_rand *r) {
    int fd = weft_listen("tcp", "127.0.0.1:0");
    if (fd >= 0)
        close_under_waiters(fd, true, r);
    else if (!no_fds())
        STRESS_FAIL("listen: %s", strerror(errno));
}

static void session(struct stress_rand *r, struct long_write *l) {
    struct end e = {.kind = (uint32_t)stress_below(r, KINDS), .rand = stress_split(r)};
    struct hello h = {.key = stress_next(r),
                      .kind = e.kind,
                      .to_server = random_size(r),
                      .to_client = random_size(r),
                      .breaks_at = -1};
    bool breaks = e.kind == RESET && stress_one_in(r, 2);
    if (e.kind == RESET && !breaks)
        h.breaks_at = stress_below(r, (int)h.to_client);
    e.read_key = ~h.key;
    e.write_key = h.key;
    e.to_read = h.to_client;
    e.to_write = h.to_server;
    count(&sessions[e.kind], 1);
    if (e.kind == CLOSE && stress_one_in(r, 8)) {
        session_listen(r);
        return;
    }
    client_dial(&e);
    if (e.kind == CLOSE) {
        session_close(&e, &h, l);
        return;
    }
    bool at_once = breaks && stress_one_in(r, 8); /* before the server knows anything */
    if (!at_once)
        send_hello(e.fd, &h);
    if (e.kind == TALK)
        end_talk(&e, true);
    else if (breaks)
        end_break_off(&e, at_once ? 0 : (uint64_t)stress_below(r, (int)h.to_server));
    else
        end_duplex(&e);
    end_close(&e);
}

struct client {
    struct stress_rand rand;
    struct long_write writing; /* the server may touch it a moment longer than the session lasts */
};

static void run_client(struct client *c) {
    do
        session(&c->rand, &c->writing);
    while (stress_more());
}

/* ---- the program ---- */

static void listen_on(const char *network, const char *address, char *real, size_t n, int *fd) {
    *fd = weft_listen(network, address);
    if (*fd < 0 || weft_local_addr(*fd, real, n) != 0)
        STRESS_FAIL("listen on %s: %s", address, strerror(errno));
}

static void run_all(int n, struct stress_rand *r) {
    struct client *clients = calloc((size_t)n, sizeof *clients);
    weft_wg server = WEFT_WG_INIT, running = WEFT_WG_INIT;
    int listeners[2];
    char path[64];
    snprintf(path, sizeof path, "@weft-io-stress-%d", (int)getpid());
    listen_on("tcp", "127.0.0.1:0", tcp_address, sizeof tcp_address, &listeners[0]);
    listen_on("unix", path, unix_address, sizeof unix_address, &listeners[1]);
    for (int i = 0; i < 2 * ACCEPTERS; i++)
        weft_wg_go(&server, accept_all, listeners[i & 1], stress_next(r));
    for (int i = 0; i < n; i++) {
        clients[i].rand = stress_split(r);
        STRESS_CHECK(weft_wg_go(&running, run_client, &clients[i]) == 0);
    }
    weft_wg_wait(&running);
    for (int i = 0; i < 2; i++)
        STRESS_CHECK(weft_close(listeners[i]) == 0);
    weft_wg_wait(&server);
    free(clients);
}

/* What the first use of each thing opens for good must not count as left over. */
static void warm_up(void) {
    char address[64];
    int listener = weft_listen("tcp", "127.0.0.1:0"), client, server;
    STRESS_CHECK(listener >= 0 && weft_local_addr(listener, address, sizeof address) == 0);
    STRESS_CHECK((client = weft_dial("tcp", address)) >= 0);
    STRESS_CHECK((server = weft_accept(listener)) >= 0);
    STRESS_CHECK(weft_set_read_deadline(server, weft_now() + WEFT_MILLISECOND) == 0);
    STRESS_CHECK(weft_read(server, address, 1) == -1 && errno == ETIMEDOUT);
    STRESS_CHECK(weft_close(client) == 0 && weft_close(server) == 0 && weft_close(listener) == 0);
}

static void check_left(int fds) {
    weft_time patience = weft_now() + 20 * WEFT_SECOND;
    while (weft_num_goroutine() > 1 || open_fds() > fds) {
        if (weft_now() > patience) {
            weft_dump(2);
            STRESS_FAIL("%d goroutines are left, and %d descriptors of %d",
                        weft_num_goroutine() - 1, open_fds(), fds);
        }
        weft_sleep(10 * WEFT_MILLISECOND);
    }
}

/* As many as were asked for, or as there are descriptors for: two for each client. */
static int number_of_clients(void) {
    int n = (int)stress_env("WEFT_STRESS_CLIENTS", STRESS_SANITIZED ? 100 : 1000);
    struct rlimit limit;
    STRESS_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    STRESS_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit.rlim_cur < 2 * (rlim_t)n + 200 ? (int)(limit.rlim_cur - 200) / 2 : n;
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    struct stress_rand r = stress_begin("io_stress");
    int n = number_of_clients();
    struct side side = {.until_end = NULL};
    warm_up();
    int fds = open_fds();
    long_text = malloc(LONG_WRITE);
    fill(long_text, LONG_WRITE, 0, 0);
    side_start(&side, &r);
    run_all(n, &r);
    side_stop(&side);
    watch_stop(&side);
    free(long_text);
    check_left(fds);
    uint64_t total = 0;
    for (int i = 0; i < KINDS; i++)
        total += sessions[i];
    return stress_passed("%d clients, %" PRIu64 " sessions (%" PRIu64 " reset, %" PRIu64
                         " closed under %" PRIu64 " waiters), %" PRIu64 " MB, %" PRIu64
                         " packets, %" PRIu64 " times out of descriptors, %" PRIu64
                         " foreign, %" PRIu64 " stolen",
                         n, total, sessions[RESET], sessions[CLOSE], closed_under,
                         bytes_checked >> 20, packets, without_fds, foreign_rounds, stolen_rounds);
}
WEFT_MAIN(app)
