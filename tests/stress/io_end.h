/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a connection of io_stress.c, the client's or the server's: what it reads and writes in
 * each kind of session, and which errors it may see.
 */
#ifndef WEFT_STRESS_IO_END_H
#define WEFT_STRESS_IO_END_H

#include "stress.h"

#include "io_stream.h"

enum kind { TALK, PLAIN, DEADLINE, CANCEL, RESET, CLOSE, KINDS };

struct end {
    int fd;
    uint32_t kind;
    bool foreign; /* made by socket(2), closed by close(2) */
    uint64_t read_key, write_key;
    uint32_t to_read, to_write;
    struct stress_rand rand;
    weft_mutex m;
    weft_ctx *ctx; /* CANCEL: the one that the waiters run under now, guarded by m */
    _Atomic int working;
};

/* Whether the call is to be made again: its wait ended for a reason of ours. */
static bool again(const struct end *e, int error) {
    return (e->kind == DEADLINE && error == ETIMEDOUT) ||
           (e->kind == CANCEL && (error == ECANCELED || error == ETIMEDOUT));
}

/* Whether the other end may have broken off. */
static bool broken(const struct end *e, int error) {
    return e->kind == RESET && (error == ECONNRESET || error == EPIPE);
}

static weft_ctx *end_ctx(struct end *e) {
    weft_mutex_lock(&e->m);
    weft_ctx *ctx = weft_ctx_ref(e->ctx != NULL ? e->ctx : weft_ctx_background());
    weft_mutex_unlock(&e->m);
    return ctx;
}

static ssize_t read_once(int fd, void *buf, size_t n, struct stress_rand *r) {
    struct iovec iov[2] = {{buf, n / 3}, {(char *)buf + n / 3, n - n / 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    switch (stress_below(r, 8)) {
    case 0:
        return weft_readv(fd, iov, 2);
    case 1:
        return weft_recvfrom(fd, buf, n, 0, NULL, NULL);
    case 2:
        return weft_recvmsg(fd, &msg, 0);
    case 3:
        if (weft_poll(fd, POLLIN) < 0 && errno != ETIMEDOUT && errno != ECANCELED)
            STRESS_FAIL("poll: %s", strerror(errno));
        return weft_read(fd, buf, n);
    default:
        return weft_read(fd, buf, n);
    }
}

static ssize_t write_once(int fd, void *buf, size_t n, struct stress_rand *r) {
    struct iovec iov[2] = {{buf, n / 3}, {(char *)buf + n / 3, n - n / 3}};
    return stress_one_in(r, 4) ? weft_writev(fd, iov, 2) : weft_write(fd, buf, n);
}

/* Reads up to the end of file. */
static void end_read(struct end *e, struct stress_rand *r) {
    unsigned char *buf = malloc(PIECE);
    uint64_t at = 0;
    for (ssize_t n = 1; n != 0;) {
        weft_ctx *ctx = end_ctx(e);
        int error;
        {
            weft_scope_ctx(ctx);
            n = read_once(e->fd, buf, random_piece(r), r);
            error = errno;
        }
        weft_ctx_unref(ctx);
        if (n > 0) {
            check(buf, (size_t)n, e->read_key, at);
            at += (uint64_t)n;
            stress_rest(r);
        } else if (n < 0 && again(e, error)) {
            weft_sleep(20 * WEFT_MICROSECOND);
        } else if (n < 0 && broken(e, error)) {
            break;
        } else if (n < 0) {
            STRESS_FAIL("a read, kind %u: %s", e->kind, strerror(error));
        }
    }
    if (at > e->to_read || (at < e->to_read && e->kind != RESET))
        STRESS_FAIL("%" PRIu64 " of %u bytes came, kind %u", at, e->to_read, e->kind);
    free(buf);
}

/* Writes all and half-closes. */
static void end_write(struct end *e, struct stress_rand *r) {
    unsigned char *buf = malloc(PIECE);
    uint64_t at = 0;
    while (at < e->to_write) {
        size_t n = random_piece(r);
        if (n > e->to_write - at)
            n = (size_t)(e->to_write - at);
        fill(buf, n, e->write_key, at);
        weft_ctx *ctx = end_ctx(e);
        ssize_t put;
        int error;
        {
            weft_scope_ctx(ctx);
            put = write_once(e->fd, buf, n, r);
            error = errno;
        }
        weft_ctx_unref(ctx);
        if (put > 0) {
            at += (uint64_t)put;
            moved(1);
        }
        if (put == (ssize_t)n)
            stress_rest(r);
        else if (again(e, error))
            weft_sleep(20 * WEFT_MICROSECOND);
        else if (broken(e, error))
            break;
        else
            STRESS_FAIL("a write, kind %u: %zd of %zu: %s", e->kind, put, n, strerror(error));
    }
    if (weft_shutdown(e->fd, SHUT_WR) != 0 && e->kind != RESET)
        STRESS_FAIL("shutdown, kind %u: %s", e->kind, strerror(errno));
    free(buf);
}

static void end_writer(struct end *e, struct stress_rand *r) {
    end_write(e, r);
    atomic_fetch_sub(&e->working, 1);
}

/* ---- what disturbs the waiters ---- */

static void change_ctx(struct end *e, struct stress_rand *r) {
    weft_ctx *fresh = stress_one_in(r, 2)
                          ? weft_ctx_with_cancel(weft_ctx_background())
                          : weft_ctx_with_timeout(weft_ctx_background(),
                                                  stress_below(r, 2000) * WEFT_MICROSECOND);
    STRESS_CHECK(fresh != NULL);
    weft_mutex_lock(&e->m);
    weft_ctx *old = e->ctx;
    e->ctx = fresh;
    weft_mutex_unlock(&e->m);
    if (old != NULL)
        weft_ctx_cancel(old, 0);
    weft_ctx_unref(old);
}

static void change_deadlines(struct end *e, struct stress_rand *r) {
    static int (*const set[])(int, weft_time) = {weft_set_deadline, weft_set_read_deadline,
                                                 weft_set_write_deadline};
    const weft_time times[] = {0, 1, weft_now() + WEFT_HOUR,
                               weft_now() + stress_below(r, 3000) * WEFT_MICROSECOND};
    if (set[stress_below(r, 3)](e->fd, times[stress_below(r, 4)]) != 0)
        STRESS_FAIL("set a deadline: %s", strerror(errno));
}

static void end_disturb(struct end *e, struct stress_rand *r) {
    while (atomic_load(&e->working) > 0) {
        if (e->kind == CANCEL)
            change_ctx(e, r);
        else
            change_deadlines(e, r);
        weft_sleep(stress_below(r, 2000) * WEFT_MICROSECOND);
    }
}

/* Both directions at once. */
static void end_duplex(struct end *e) {
    weft_wg wg = WEFT_WG_INIT;
    struct stress_rand w = stress_split(&e->rand), d = stress_split(&e->rand);
    atomic_store(&e->working, 2);
    STRESS_CHECK(weft_wg_go(&wg, end_writer, e, &w) == 0);
    if (e->kind == DEADLINE || e->kind == CANCEL)
        STRESS_CHECK(weft_wg_go(&wg, end_disturb, e, &d) == 0);
    end_read(e, &e->rand);
    atomic_fetch_sub(&e->working, 1);
    weft_wg_wait(&wg);
    weft_ctx_unref(e->ctx);
}

/*
 * In turns: the client writes, the server reads it and writes. Each waits for the other all the
 * time, and a wake-up that is lost is the end of both. The sizes come from the client's key.
 */
static void end_talk(struct end *e, bool is_client) {
    struct stress_rand r = {e->read_key ^ e->write_key};
    unsigned char *buf = malloc(PIECE);
    uint64_t in = 0, out = 0;
    r.state += is_client ? e->write_key : e->read_key;
    for (int i = 2 * (1 + stress_below(&r, stress_scale(100))); i > 0; i--) {
        size_t n = random_piece(&r);
        if ((i & 1) == is_client) {
            for (size_t got = 0; got < n;) {
                ssize_t more = read_once(e->fd, buf, n - got, &e->rand);
                if (more <= 0)
                    STRESS_FAIL("a read, in turns: %zd, %s", more, strerror(errno));
                check(buf, (size_t)more, e->read_key, in);
                got += (size_t)more;
                in += (uint64_t)more;
            }
        } else {
            fill(buf, n, e->write_key, out);
            if (write_once(e->fd, buf, n, &e->rand) != (ssize_t)n)
                STRESS_FAIL("a write, in turns: %s", strerror(errno));
            out += n;
        }
    }
    free(buf);
}

/*
 * A piece out, a piece in, and in the middle of it the end: the close that follows is a reset. The
 * other end reads and writes at once, so nobody waits for ever.
 */
static void end_break_off(struct end *e, uint64_t breaks_at) {
    unsigned char *buf = malloc(PIECE);
    uint64_t in = 0, out = 0;
    while (in + out < breaks_at) {
        size_t n = random_piece(&e->rand);
        if (n > e->to_write - out)
            n = (size_t)(e->to_write - out);
        fill(buf, n, e->write_key, out);
        if (write_once(e->fd, buf, n, &e->rand) != (ssize_t)n)
            STRESS_FAIL("a write before the reset: %s", strerror(errno));
        out += n;
        ssize_t got = read_once(e->fd, buf, random_piece(&e->rand), &e->rand);
        if (got < 0)
            STRESS_FAIL("a read before the reset: %s", strerror(errno));
        if (got == 0)
            break;
        check(buf, (size_t)got, e->read_key, in);
        in += (uint64_t)got;
    }
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    STRESS_CHECK(setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
    free(buf);
}

static void end_close(struct end *e) {
    if ((e->foreign ? close(e->fd) : weft_close(e->fd)) != 0)
        STRESS_FAIL("close: %s", strerror(errno));
}

#endif
