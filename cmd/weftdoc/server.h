/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h: the listener, its connections, and how they end.
 */
#ifndef WEFTDOC_SERVER_H
#define WEFTDOC_SERVER_H

#include <stdbool.h>
#include <weft.h>

#include "site.h"

struct server_options {
    int connections; /* at most at a time; those over it are told so and closed */
    weft_duration head_timeout, idle_timeout, write_timeout; /* http.h says of what */
    weft_duration drain_timeout; /* for what is under way when the server is to stop */
    bool log;                    /* a line a request on stderr */
};

extern const struct server_options server_defaults;

/*
 * Serves the site to whoever connects to the listener, until `stop` ends. Then it closes the
 * listener and the idle connections, finishes the answers under way, and returns 0. Errno when it
 * can't begin, or can't go on.
 */
int server_run(int listener, const struct site *site, const struct server_options *options,
               weft_ctx *stop);

#endif
