/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an answer: see answer.h.
 *
 * No printf here: this is run for every request, and copying a dozen constants takes a tenth of the
 * time. All that goes into the head has a known bound, but for a redirect's Location, which is a
 * piece of its own.
 */
#include "answer.h"

#include <assert.h>
#include <string.h>

#define SAFETY                                                                                     \
    "Content-Security-Policy: " SITE_CSP "\r\n"                                                    \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"

/* Both parts are constants, so the length is known to the compiler. */
#define ADD(out, text) add((out), (text), sizeof(text) - 1)

static char *add(char *out, const char *text, size_t len) {
    memcpy(out, text, len);
    return out + len;
}

static char *add_text(char *out, const char *text) {
    return add(out, text, strlen(text));
}

static char *add_number(char *out, size_t n) {
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return add(out, digits + i, sizeof digits - i);
}

static char *add_date(char *out, struct date *date) {
    time_t now = time(NULL);
    if (now != date->second) {
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(date->text, sizeof date->text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        date->second = now;
    }
    return add_text(out, date->text);
}

static const char *status_line(int status) {
    switch (status) {
    case 200:
        return "HTTP/1.1 200 OK\r\n";
    case 301:
        return "HTTP/1.1 301 Moved Permanently\r\n";
    case 304:
        return "HTTP/1.1 304 Not Modified\r\n";
    case 400:
        return "HTTP/1.1 400 Bad Request\r\n";
    case 404:
        return "HTTP/1.1 404 Not Found\r\n";
    case 405:
        return "HTTP/1.1 405 Method Not Allowed\r\n";
    case 408:
        return "HTTP/1.1 408 Request Timeout\r\n";
    case 411:
        return "HTTP/1.1 411 Length Required\r\n";
    case 413:
        return "HTTP/1.1 413 Content Too Large\r\n";
    case 414:
        return "HTTP/1.1 414 URI Too Long\r\n";
    case 417:
        return "HTTP/1.1 417 Expectation Failed\r\n";
    case 431:
        return "HTTP/1.1 431 Request Header Fields Too Large\r\n";
    case 501:
        return "HTTP/1.1 501 Not Implemented\r\n";
    case 503:
        return "HTTP/1.1 503 Service Unavailable\r\n";
    case 505:
        return "HTTP/1.1 505 HTTP Version Not Supported\r\n";
    default:
        return "HTTP/1.1 500 Internal Server Error\r\n";
    }
}

void answer_error(struct reply *reply, int status) {
    const char *text = status_line(status) + strlen("HTTP/1.1 "); /* "404 Not Found\r\n" */
    *reply = (struct reply){.status = status,
                            .content_type = "text/plain; charset=utf-8",
                            .body = (char *)(size_t)text, /* not owned, so never written */
                            .len = strlen(text)};
}

static void add_piece(struct answer *a, const char *text, size_t len) {
    a->pieces[a->npieces++] = (struct iovec){(void *)(size_t)text, len};
    a->len += len;
}

void answer_make(struct answer *a, const struct request *r, const struct reply *reply,
                 struct date *date) {
    bool tagged = reply->etag[0] != '\0';
    bool same = reply->status == 200 && tagged && request_has_tag(r, reply->etag);
    a->status = same ? 304 : reply->status;
    a->body = same || r->head ? 0 : reply->len;
    a->npieces = 0;
    a->len = 0;

    char *out = add_text(a->head, status_line(a->status));
    out = add_date(out, date);
    if (!same) { /* what is not sent again has kept its type and length */
        out = ADD(out, "Content-Type: ");
        out = add(out, reply->content_type, strnlen(reply->content_type, 100));
        out = ADD(out, "\r\nContent-Length: ");
        out = add_number(out, reply->len);
        out = ADD(out, "\r\n");
    }
    if (tagged) {
        out = ADD(out, "ETag: ");
        out = add_text(out, reply->etag);
        out = ADD(out, "\r\nCache-Control: no-cache\r\n");
    }
    if (a->status == 405)
        out = ADD(out, "Allow: GET, HEAD\r\n");
    out = ADD(out, SAFETY);
    if (r->close)
        out = ADD(out, "Connection: close\r\n");
    else if (r->http10)
        out = ADD(out, "Connection: keep-alive\r\n");
    out = reply->location ? ADD(out, "Location: ") : ADD(out, "\r\n");
    assert(out <= a->head + sizeof a->head);

    add_piece(a, a->head, (size_t)(out - a->head));
    if (reply->location) {
        add_piece(a, reply->location, strlen(reply->location));
        add_piece(a, "\r\n\r\n", 4);
    }
    if (a->body > 0)
        add_piece(a, reply->body, a->body);
}
