/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h: an answer as bytes.
 *
 * The head is put together in a buffer by copying; the body stays where it is. Both go out in one
 * system call as an iovec, which answer_make fills.
 */
#ifndef WEFTDOC_ANSWER_H
#define WEFTDOC_ANSWER_H

#include <sys/uio.h>
#include <time.h>

#include "request.h"
#include "site.h"

enum { ANSWER_PIECES = 4 };

/* The Date header, made anew when the second has changed; each connection has its own. */
struct date {
    time_t second;
    char text[40]; /* "Date: Tue, 24 Nov 2026 23:45:00 GMT\r\n" */
};

/* The reply to a request that the site is not asked about: a line of text. */
void answer_error(struct reply *reply, int status);

struct answer {
    struct iovec pieces[ANSWER_PIECES];
    int npieces;
    size_t len;  /* of all pieces */
    size_t body; /* of it */
    int status;  /* 304 in place of 200, maybe */
    char head[896];
};

/* Borrows the reply and what its fields point to. */
void answer_make(struct answer *a, const struct request *r, const struct reply *reply,
                 struct date *date);

#endif
