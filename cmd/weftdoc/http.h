/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h: one connection of HTTP/1.1, from its first byte to its close.
 */
#ifndef WEFTDOC_HTTP_H
#define WEFTDOC_HTTP_H

#include <stdbool.h>
#include <weft.h>

#include "site.h"

/* What all connections share; constant while they run. */
struct http {
    const struct site *site;
    weft_ctx *stop;  /* ends when the server is to stop: answer what was asked, wait for no more */
    weft_ctx *drain; /* ends some seconds later: give up what is under way */
    weft_duration head_timeout;  /* from a request's first byte to the end of its head; its body */
    weft_duration idle_timeout;  /* between requests */
    weft_duration write_timeout; /* for an answer */
    bool log;                    /* a line a request on stderr */
};

/*
 * Serves the connection fd until it is over, and closes it. To be called by a goroutine that runs
 * under http->stop. Returns 0.
 */
int http_serve(const struct http *http, int fd);

/* Tells a client that there is no room for it, without ever waiting, and closes fd. */
void http_turn_away(int fd);

#endif
