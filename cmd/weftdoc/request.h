/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h: the head of an HTTP/1.x request, taken apart and judged.
 *
 * picohttpparser splits the text; what the text means is decided here, on the strict side of
 * RFC 9112. Whatever two parties could read in two ways (two lengths, a length and a coding, a
 * folded line, two Hosts) is refused, and the connection with it: that is what request smuggling
 * lives on. Pure functions: bytes in, a struct out, no descriptor anywhere.
 */
#ifndef WEFTDOC_REQUEST_H
#define WEFTDOC_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

enum {
    REQUEST_HEAD_MAX = 16 * 1024,  /* a longer head is answered with 431 */
    REQUEST_TARGET_MAX = 8 * 1024, /* a longer target with 414 */
    REQUEST_HEADERS_MAX = 100,     /* more headers with 431 */
    REQUEST_BODY_MAX = 64 * 1024,  /* a longer body with 413 */
};

/* What points into the buffer is good as long as that is left alone. */
struct request {
    int status;        /* 0, or the error it is to be answered with */
    const char *path;  /* raw, ends with a NUL, begins with a slash */
    const char *query; /* raw, ends with a NUL; NULL without a question mark */
    size_t body;       /* bytes that follow the head and are to be skipped */
    bool head;         /* HEAD: the answer goes without its body */
    bool http10;
    bool close;                /* the connection ends with the answer */
    bool unread;               /* more of this request may come, and won't be read */
    const char *if_none_match; /* NULL without one; ends where its length says */
    size_t if_none_match_len;
    const char *method; /* for the log; NULL when the head could not be read */
    size_t method_len;
};

/*
 * Takes apart the head that buf[0..len) begins with, of which the first `seen` bytes were too few
 * before. Puts NULs behind path and query.
 *
 * Returns the length of the head, with r->status 0 or an error that leaves the connection usable
 * unless r->close says otherwise; 0 when there is not all of it; -1 when it is no head that one can
 * go on behind, and r was refused.
 */
int request_parse(char *buf, size_t len, size_t seen, struct request *r);

/* Makes r one that can't be read any further, to be answered with that status. */
void request_refuse(struct request *r, int status);

/* Whether the list of If-None-Match has the tag (quotes included), or is "*". */
bool request_has_tag(const struct request *r, const char *tag);

#endif
