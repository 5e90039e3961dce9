/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: read a head, answer it, and again.
 *
 * The code is what one would write if there were a thread for each client; it is a goroutine.
 *
 * Time. Every wait has an end: that of the descriptor's deadline. A head must be complete some
 * seconds after its first byte, however it trickles in: the deadline is a point in time, set once a
 * head, not a patience that each byte renews.
 *
 * Memory. Idle connections are the many, so an idle one has no more than its stack, of which two or
 * three pages are in use, and on it a buffer that is large enough for nearly every head. A larger
 * head, or requests that were sent in one go, get a buffer from malloc until they are answered. What
 * needs a large frame is kept out of line, off the stack of those who wait.
 *
 * Shutdown. The goroutine runs under a context that ends when the server is to stop. Calls that can
 * finish at once still do: whatever was received is read, and answered, now with "Connection:
 * close". A call that would have to wait fails with ECANCELED, which for the wait for a request,
 * or for the rest of one, is just right. The one wait that has to go on is that for a slow reader
 * in the middle of its answer: it is taken up again under the context of the drain.
 */
#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "request.h"

enum {
    SMALL = 1024,             /* of a head, on the stack */
    LINGER_BYTES = 256 * 1024 /* read, at most, of what a client sends behind its last answer */
};
#define LINGER_TIME WEFT_SECOND

struct conn {
    const struct http *http;
    int fd;
    bool linger;                       /* the client may not know that the end has come */
    weft_time read_until, write_until; /* the deadlines that are set */
    struct date date;
    size_t start, len, cap; /* buf[start..len) was received and not used yet */
    char *buf;              /* small, or cap bytes from malloc */
    char small[SMALL];
};

/* --- deadlines. One costs a timer, so that a nearly right one is left as it is. */

static bool is_right(weft_time have, weft_time want, weft_duration d) {
    return have <= want && have >= want - d / 64;
}

static void read_deadline(struct conn *c, weft_duration d) {
    weft_time t = weft_now() + d;
    if (!is_right(c->read_until, t, d)) {
        c->read_until = t;
        weft_set_read_deadline(c->fd, t);
    }
}

static void write_deadline(struct conn *c, weft_duration d) {
    weft_time t = weft_now() + d;
    if (!is_right(c->write_until, t, d)) {
        c->write_until = t;
        weft_set_write_deadline(c->fd, t);
    }
}

/* --- reading */

static void let_go_of_buffer(struct conn *c) {
    if (c->buf != c->small)
        free(c->buf);
    c->buf = c->small;
    c->cap = SMALL;
    c->start = c->len = 0;
}

/* Has room for at least one byte more; false when the head is as long as a head may be. */
static bool make_room(struct conn *c) {
    size_t held = c->len - c->start;
    if (c->start > 0) {
        memmove(c->buf, c->buf + c->start, held);
        c->start = 0;
        c->len = held;
    }
    if (held < c->cap)
        return true;
    if (c->cap == REQUEST_HEAD_MAX)
        return false;
    char *large = malloc(REQUEST_HEAD_MAX);
    if (!large)
        return false;
    memcpy(large, c->buf, held);
    c->buf = large;
    c->cap = REQUEST_HEAD_MAX;
    return true;
}

/* As weft_read. */
static ssize_t receive(struct conn *c) {
    ssize_t n = weft_read(c->fd, c->buf + c->len, c->cap - c->len);
    if (n > 0)
        c->len += (size_t)n;
    return n;
}

/* The rest of a head that didn't come in one piece. False: the connection is over. */
static bool receive_rest(struct conn *c, struct request *r) {
    if (!make_room(c)) {
        request_refuse(r, memchr(c->buf, '\n', c->len) ? 431 : 414);
        return true;
    }
    ssize_t n = receive(c);
    if (n < 0 && errno == ETIMEDOUT)
        request_refuse(r, 408);
    return n > 0 || r->status != 0;
}

/* False: the connection is over, and nobody waits for an answer. */
static bool read_head(struct conn *c, struct request *r) {
    if (c->start == c->len) {
        let_go_of_buffer(c);
        read_deadline(c, c->http->idle_timeout);
        if (receive(c) <= 0)
            return false;
    }
    for (size_t seen = 0;; seen = c->len - c->start) {
        int n = request_parse(c->buf + c->start, c->len - c->start, seen, r);
        if (n != 0) {
            c->start = n > 0 ? c->start + (size_t)n : c->len;
            return true;
        }
        if (seen == 0)
            read_deadline(c, c->http->head_timeout);
        if (!receive_rest(c, r))
            return false;
        if (r->status != 0)
            return true;
    }
}

/* False: the connection is over. */
__attribute__((noinline)) static bool skip_body(struct conn *c, struct request *r) {
    size_t held = c->len - c->start, left = r->body;
    if (held > left)
        held = left;
    c->start += held;
    left -= held;
    if (left > 0)
        read_deadline(c, c->http->head_timeout);
    while (left > 0) {
        char scrap[512]; /* the head is still needed, so it can't be read over */
        ssize_t n = weft_read(c->fd, scrap, left < sizeof scrap ? left : sizeof scrap);
        if (n < 0 && errno == ETIMEDOUT) {
            request_refuse(r, 408);
            return true;
        }
        if (n <= 0)
            return false;
        left -= (size_t)n;
    }
    return true;
}

/* --- answering */

/* Takes the first n bytes off the pieces. */
static void take_off(struct answer *a, size_t n) {
    int i = 0;
    for (; i < a->npieces && n >= a->pieces[i].iov_len; i++)
        n -= a->pieces[i].iov_len;
    a->npieces -= i;
    memmove(a->pieces, a->pieces + i, (size_t)a->npieces * sizeof *a->pieces);
    if (a->npieces > 0) {
        a->pieces[0].iov_base = (char *)a->pieces[0].iov_base + n;
        a->pieces[0].iov_len -= n;
    }
}

/* Whether all of it went out. */
static bool send_answer(struct conn *c, struct answer *a) {
    write_deadline(c, c->http->write_timeout);
    ssize_t n = weft_writev(c->fd, a->pieces, a->npieces);
    if (n == (ssize_t)a->len)
        return true;
    if (errno != ECANCELED)
        return false;
    size_t sent = n > 0 ? (size_t)n : 0;
    weft_scope_ctx(c->http->drain);
    take_off(a, sent);
    return weft_writev(c->fd, a->pieces, a->npieces) == (ssize_t)(a->len - sent);
}

/* What is printed of a text that a stranger chose: no escape sequence, no false line. */
static void tame(char *out, size_t room, const char *text) {
    size_t i = 0;
    for (; text && text[i] && i + 1 < room; i++)
        out[i] = text[i] >= ' ' && text[i] <= '~' && text[i] != '"' ? text[i] : '?';
    out[i] = '\0';
}

__attribute__((noinline)) static void log_answer(const struct conn *c, const struct request *r,
                                                 const struct answer *a, weft_duration took) {
    char who[80], path[400], query[200], line[800];
    if (weft_remote_addr(c->fd, who, sizeof who) != 0)
        strcpy(who, "-");
    tame(path, sizeof path, r->path ? r->path : "-");
    tame(query, sizeof query, r->query);
    int n = snprintf(line, sizeof line, "%s \"%.*s %s%s%s\" %d %zu %.3fms\n", who,
                     (int)(r->method_len < 32 ? r->method_len : 32), r->method ? r->method : "-",
                     path, r->query ? "?" : "", query, a->status, a->body,
                     (double)took / (double)WEFT_MILLISECOND);
    weft_write(2, line, (size_t)n);
}

/* When the server stops, the last request that has come is the connection's last. */
static bool is_last(struct conn *c) {
    if (weft_ctx_err(c->http->stop) == 0)
        return false;
    if (weft_ctx_err(c->http->drain) != 0)
        return true;
    if (c->start == c->len && c->len < c->cap)
        receive(c); /* what is there: it would wait for nothing now */
    return c->start == c->len;
}

/* Whether the connection goes on. */
__attribute__((noinline)) static bool answer(struct conn *c, struct request *r) {
    weft_time began = c->http->log ? weft_now() : 0;
    struct reply reply;
    if (r->status != 0)
        answer_error(&reply, r->status);
    else
        site_answer(c->http->site, r->path, r->query, &reply);
    c->linger = r->unread;
    if (!r->close && is_last(c))
        r->close = c->linger = true;
    struct answer a;
    answer_make(&a, r, &reply, &c->date);
    bool sent = send_answer(c, &a);
    if (c->http->log)
        log_answer(c, r, &a, weft_now() - began);
    reply_free(&reply);
    c->linger &= sent;
    return sent && !r->close;
}

/*
 * A close with bytes unread is a reset, which may overtake the answer. So the client hears that
 * nothing more will come, and what it was still sending is read, for a moment.
 */
static void linger(struct conn *c) {
    weft_scope_ctx(c->http->drain);
    if (weft_shutdown(c->fd, SHUT_WR) != 0)
        return;
    read_deadline(c, LINGER_TIME);
    for (size_t left = LINGER_BYTES; left >= SMALL;) {
        ssize_t n = weft_read(c->fd, c->small, SMALL);
        if (n <= 0)
            return;
        left -= (size_t)n;
    }
}

int http_serve(const struct http *http, int fd) {
    struct conn c; /* not zeroed: the buffer's pages are touched when bytes come */
    c.http = http;
    c.fd = fd;
    c.linger = false;
    c.read_until = c.write_until = 0;
    c.date.second = 0;
    c.buf = c.small;
    let_go_of_buffer(&c);

    struct request r;
    while (read_head(&c, &r) && (r.body == 0 || skip_body(&c, &r)) && answer(&c, &r))
        continue;
    if (c.linger)
        linger(&c);
    let_go_of_buffer(&c);
    weft_close(fd);
    return 0;
}

void http_turn_away(int fd) {
    struct request r = {.close = true};
    struct reply reply;
    struct answer a;
    struct date date = {0};
    answer_error(&reply, 503);
    answer_make(&a, &r, &reply, &date);
    weft_writev(fd, a.pieces, a.npieces); /* a fresh socket has room for it */
    weft_shutdown(fd, SHUT_WR);
    weft_close(fd);
}
