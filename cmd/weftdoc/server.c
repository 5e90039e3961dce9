/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A goroutine for each connection, all of them in one group.
 *
 *     background                  nothing ends it
 *      +- drain                   ended some seconds after `stop`
 *      +- stop                    ended by a signal; the accept loop runs under it
 *          +- the group's         each connection runs under it
 *
 * That is the whole shutdown: weft_accept fails once it would have to wait, and so does every
 * connection's wait for a next request. Who is in the middle of an answer finishes it under
 * `drain`. What clients had connected, or sent, before the signal is still served, for a call that
 * can finish at once does: the listener's backlog too.
 */
#include "server.h"

#include <errno.h>
#include <sys/resource.h>

#include "http.h"

const struct server_options server_defaults = {
    .connections = 20000,
    .head_timeout = 10 * WEFT_SECOND,
    .idle_timeout = WEFT_MINUTE,
    .write_timeout = 30 * WEFT_SECOND,
    .drain_timeout = 5 * WEFT_SECOND,
};

/* The connections there may be: as many as wanted, if the process may have so many descriptors. */
static int connections_limit(int wanted) {
    enum { OTHERS = 32 }; /* the listener, stdio, the runtime's own */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return wanted;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max >= (rlim_t)wanted + OTHERS)
        return wanted;
    return files.rlim_max > 2 * OTHERS ? (int)files.rlim_max - OTHERS : OTHERS;
}

/* Accepts until the context ends and nobody is waiting at the door any more. 0, or an errno. */
static int accept_all(int listener, const struct http *http, weft_group *connections) {
    enum { LATE_MAX = 4096 }; /* so that a crowd can't keep a server from stopping */
    for (int late = 0; late < LATE_MAX; late += weft_ctx_err(http->stop) != 0) {
        int fd = weft_accept(listener);
        if (fd < 0)
            return weft_ctx_err(http->stop) != 0 ? 0 : errno;
        if (!weft_group_try_go(connections, http_serve, http, fd))
            http_turn_away(fd);
    }
    return 0;
}

static void tell_when_ended(weft_group *connections, weft_chan(char) ended) {
    weft_group_wait(connections);
    weft_chan_close(ended);
    weft_chan_unref(ended);
}

/* Waits for the connections to end; after some seconds, no more for slow readers. */
static void finish(weft_group *connections, const struct http *http, weft_duration patience) {
    weft_chan(char) ended = weft_chan_make(char, 0);
    weft_go(tell_when_ended, connections, weft_chan_ref(ended));
    if (weft_select(weft_case_recv(ended, NULL), weft_case_after(patience)) != 0) {
        weft_ctx_cancel(http->drain, 0);
        weft_recv(ended, NULL);
    }
    weft_chan_unref(ended);
}

static int accept_under_stop(int listener, const struct http *http, weft_group *connections) {
    weft_scope_ctx(http->stop);
    weft_group_ctx(connections); /* made here, below `stop` */
    return accept_all(listener, http, connections);
}

int server_run(int listener, const struct site *site, const struct server_options *options,
               weft_ctx *stop) {
    struct http http = {.site = site,
                        .stop = stop,
                        .drain = weft_ctx_with_cancel(weft_ctx_background()),
                        .head_timeout = options->head_timeout,
                        .idle_timeout = options->idle_timeout,
                        .write_timeout = options->write_timeout,
                        .log = options->log};
    if (!http.drain)
        return errno;
    weft_group connections = WEFT_GROUP_INIT;
    weft_group_set_limit(&connections, connections_limit(options->connections));
    int error = accept_under_stop(listener, &http, &connections);
    weft_close(listener);
    weft_ctx_cancel(stop, 0); /* if it was an error that ended the accepting */
    finish(&connections, &http, options->drain_timeout);
    weft_ctx_unref(http.drain);
    return error;
}
