/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs beside the sessions of io_stress.c: UDP, files, descriptors that weft did not make, a
 * limit on descriptors that comes and goes, and the watchdog. Each part runs until `side_end`.
 */
#ifndef WEFT_STRESS_IO_SIDE_H
#define WEFT_STRESS_IO_SIDE_H

#include "stress.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "io_stream.h"

enum { UDP_PAIRS = 4, FOREIGN_PAIRS = 8, STOLEN = 4, FILES = 2 };

static _Atomic bool side_end;
static _Atomic uint64_t squeezes, foreign_rounds, stolen_rounds;

/* ---- UDP: packets may be lost; those that come are right ---- */

struct packet {
    uint64_t key;
    uint32_t n; /* bytes of the stream behind the head */
    unsigned char data[8 * 1024];
};

enum { PACKET_HEAD = offsetof(struct packet, data) };

static void check_packet(const struct packet *p, ssize_t n) {
    if (n < PACKET_HEAD || n != PACKET_HEAD + (ssize_t)p->n)
        STRESS_FAIL("a packet of %zd bytes", n);
    check(p->data, p->n, p->key, 0);
    count(&packets, 1);
}

/* Ends when its context does. */
static void udp_serve(int fd) {
    struct packet *p = malloc(sizeof *p);
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    ssize_t n;
    while ((n = weft_recvfrom(fd, p, sizeof *p, 0, (struct sockaddr *)&from, &len)) >= 0) {
        check_packet(p, n);
        if (weft_sendto(fd, p, (size_t)n, 0, (struct sockaddr *)&from, len) != n)
            break;
        len = sizeof from;
    }
    if (errno != ECANCELED)
        STRESS_FAIL("UDP server: %s", strerror(errno));
    free(p);
}

static void udp_talk(int fd, struct packet *p, struct stress_rand *r) {
    for (int i = stress_below(r, 50); i > 0; i--) {
        p->key = stress_next(r);
        p->n = (uint32_t)stress_below(r, sizeof p->data + 1);
        fill(p->data, p->n, p->key, 0);
        ssize_t n = PACKET_HEAD + (ssize_t)p->n;
        if (weft_write(fd, p, (size_t)n) != n)
            STRESS_FAIL("a packet sent: %s", strerror(errno));
        STRESS_CHECK(weft_set_read_deadline(fd, weft_now() + 50 * WEFT_MILLISECOND) == 0);
        n = weft_read(fd, p, sizeof *p);
        if (n >= 0)
            check_packet(p, n);
        else if (errno != ETIMEDOUT)
            STRESS_FAIL("a packet received: %s", strerror(errno));
    }
}

static void udp_pair(struct stress_rand *r) {
    char address[64];
    int server = weft_listen("udp", "127.0.0.1:0");
    if (server < 0 || weft_local_addr(server, address, sizeof address) != 0)
        STRESS_FAIL("listen udp: %s", strerror(errno));
    weft_wg wg = WEFT_WG_INIT;
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    {
        weft_scope_ctx(ctx);
        weft_wg_go(&wg, udp_serve, server);
    }
    struct packet *p = malloc(sizeof *p);
    while (!atomic_load(&side_end)) {
        int fd = weft_dial("udp", address);
        if (fd < 0) {
            if (!no_fds())
                STRESS_FAIL("dial udp: %s", strerror(errno));
            continue;
        }
        udp_talk(fd, p, r);
        STRESS_CHECK(weft_close(fd) == 0);
        weft_sleep(stress_below(r, 1000) * WEFT_MICROSECOND);
    }
    free(p);
    weft_ctx_cancel(ctx, 0);
    weft_wg_wait(&wg);
    weft_ctx_unref(ctx);
    STRESS_CHECK(weft_close(server) == 0);
}

/* ---- descriptors that weft did not make: blocking pipes and socket pairs ---- */

struct foreign {
    int fds[2];
    uint64_t key;
    uint32_t n;
    struct stress_rand rand;
};

static void foreign_write(struct foreign *f) {
    unsigned char *buf = malloc(PIECE);
    for (uint64_t at = 0; at < f->n;) {
        size_t n = (size_t)stress_below(&f->rand, PIECE) + 1;
        if (n > f->n - at)
            n = (size_t)(f->n - at);
        fill(buf, n, f->key, at);
        if (weft_write(f->fds[1], buf, n) != (ssize_t)n)
            STRESS_FAIL("a write to a foreign descriptor: %s", strerror(errno));
        at += n;
        stress_rest(&f->rand);
    }
    STRESS_CHECK(close(f->fds[1]) == 0);
    free(buf);
}

/* By weft_read, after weft_poll or not, or by the program's own read(2), which must block. */
static void foreign_read(struct foreign *f, struct stress_rand *r) {
    unsigned char *buf = malloc(PIECE);
    uint64_t at = 0;
    for (ssize_t n = 1; n != 0; at += (uint64_t)n) {
        size_t want = (size_t)stress_below(r, PIECE) + 1;
        int how = stress_below(r, 8);
        if (how == 1 && weft_poll(f->fds[0], POLLIN) < 0)
            STRESS_FAIL("poll of a foreign descriptor: %s", strerror(errno));
        n = how == 0 ? weft_block(read(f->fds[0], buf, want)) : weft_read(f->fds[0], buf, want);
        if (n < 0)
            STRESS_FAIL("a read of a foreign descriptor, way %d: %s", how, strerror(errno));
        check(buf, (size_t)n, f->key, at);
    }
    if (at != f->n)
        STRESS_FAIL("%" PRIu64 " of %u bytes came through a foreign descriptor", at, f->n);
    free(buf);
}

static void foreign_pair(struct stress_rand *r) {
    while (!atomic_load(&side_end)) {
        struct foreign f = {.key = stress_next(r), .n = (uint32_t)stress_below(r, 1 << 17)};
        f.rand = stress_split(r);
        bool is_pipe = stress_one_in(r, 2);
        if ((is_pipe ? pipe2(f.fds, O_CLOEXEC)
                     : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f.fds)) != 0) {
            if (!no_fds())
                STRESS_FAIL("a foreign pair: %s", strerror(errno));
            continue;
        }
        int flags = fcntl(f.fds[0], F_GETFL);
        weft_wg wg = WEFT_WG_INIT;
        weft_wg_go(&wg, foreign_write, &f);
        foreign_read(&f, r);
        weft_wg_wait(&wg);
        STRESS_CHECK(fcntl(f.fds[0], F_GETFL) == flags);
        if (stress_one_in(r, 2)) /* a deadline that must not hit whoever gets the number */
            (void)weft_set_deadline(f.fds[0], 1);
        STRESS_CHECK(close(f.fds[0]) == 0);
        count(&foreign_rounds, 1);
        moved(1);
    }
}

/* ---- a library closes what goroutines wait for ---- */

static void stolen_wait(int fd) {
    stale_number_begins();
    (void)weft_poll(fd, POLLIN);
    stale_number_ends();
}

static void stolen(struct stress_rand *r) {
    while (!atomic_load(&side_end)) {
        int fds[2], kept = -1;
        if (pipe2(fds, O_CLOEXEC) != 0) {
            if (!no_fds())
                STRESS_FAIL("pipe: %s", strerror(errno));
            continue;
        }
        weft_wg wg = WEFT_WG_INIT;
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
        {
            weft_scope_ctx(ctx);
            weft_wg_go(&wg, stolen_wait, fds[0]);
            weft_wg_go(&wg, stolen_wait, fds[0]);
        }
        weft_sleep(stress_below(r, 500) * WEFT_MICROSECOND);
        if (stress_one_in(r, 2))
            kept = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        STRESS_CHECK(close(fds[0]) == 0);
        weft_sleep(stress_below(r, 500) * WEFT_MICROSECOND);
        if (stress_one_in(r, 2))
            (void)weft_write(fds[1], "x", 1); /* an event of the old file, or EPIPE */
        weft_ctx_cancel(ctx, 0);
        weft_wg_wait(&wg);
        weft_ctx_unref(ctx);
        close(fds[1]);
        if (kept >= 0)
            close(kept);
        count(&stolen_rounds, 1);
        moved(1);
    }
}

/* ---- files ---- */

static void files(struct stress_rand *r) {
    unsigned char *buf = malloc(PIECE);
    while (!atomic_load(&side_end)) {
        int fd = weft_open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0) {
            if (!no_fds())
                STRESS_FAIL("open: %s", strerror(errno));
            continue;
        }
        uint64_t key = stress_next(r);
        for (int i = stress_below(r, 20); i > 0; i--) {
            size_t n = (size_t)stress_below(r, PIECE) + 1;
            off_t at = stress_below(r, 1 << 20);
            fill(buf, n, key, (uint64_t)at);
            STRESS_CHECK(weft_pwrite(fd, buf, n, at) == (ssize_t)n);
            memset(buf, 0, n);
            STRESS_CHECK(weft_pread(fd, buf, n, at) == (ssize_t)n);
            check(buf, n, key, (uint64_t)at);
            weft_yield(); /* it never parks, and is not what this is about */
        }
        STRESS_CHECK(weft_close(fd) == 0);
        weft_sleep(stress_below(r, 2000) * WEFT_MICROSECOND);
    }
    free(buf);
}

/* ---- the limit ---- */

static void squeeze(struct stress_rand *r) {
    struct rlimit usual, tight;
    STRESS_CHECK(getrlimit(RLIMIT_NOFILE, &usual) == 0);
    while (!atomic_load(&side_end)) {
        weft_sleep(stress_below(r, 400) * WEFT_MILLISECOND);
        tight = (struct rlimit){16, usual.rlim_max}; /* what is open stays open */
        STRESS_CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
        weft_sleep(stress_below(r, 10) * WEFT_MILLISECOND);
        STRESS_CHECK(setrlimit(RLIMIT_NOFILE, &usual) == 0);
        count(&squeezes, 1);
    }
}

/* ---- the watchdog ---- */

static void watch(void) {
    uint64_t seen = 0;
    for (int still = 0; weft_sleep(WEFT_SECOND);) {
        uint64_t now = atomic_load(&progress);
        still = now == seen ? still + 1 : 0;
        seen = now;
        if (still < (STRESS_SANITIZED ? 100 : 20))
            continue;
        weft_dump(2);
        STRESS_FAIL("nothing has moved for %d seconds", still);
    }
}

/* ---- all of it ---- */

static int open_fds(void) {
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    STRESS_CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 3; /* ".", ".." and the one that counts */
}

struct side {
    struct stress_rand rand[UDP_PAIRS + FOREIGN_PAIRS + STOLEN + FILES + 1];
    weft_wg wg, watching;
    weft_ctx *until_end; /* the watchdog's */
};

static void side_start(struct side *s, struct stress_rand *r) {
    struct stress_rand *own = s->rand;
    for (size_t i = 0; i < sizeof s->rand / sizeof *s->rand; i++)
        s->rand[i] = stress_split(r);
    for (int i = 0; i < UDP_PAIRS; i++)
        weft_wg_go(&s->wg, udp_pair, own++);
    for (int i = 0; i < FOREIGN_PAIRS; i++)
        weft_wg_go(&s->wg, foreign_pair, own++);
    for (int i = 0; i < STOLEN; i++)
        weft_wg_go(&s->wg, stolen, own++);
    for (int i = 0; i < FILES; i++)
        weft_wg_go(&s->wg, files, own++);
    weft_wg_go(&s->wg, squeeze, own);
    s->until_end = weft_ctx_with_cancel(weft_ctx_background());
    weft_scope_ctx(s->until_end);
    weft_wg_go(&s->watching, watch);
}

static void side_stop(struct side *s) {
    atomic_store(&side_end, true);
    weft_wg_wait(&s->wg);
}

static void watch_stop(struct side *s) {
    weft_ctx_cancel(s->until_end, 0);
    weft_wg_wait(&s->watching);
    weft_ctx_unref(s->until_end);
}

#endif
