/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 forward proxy: plain requests and CONNECT tunnels, with a time-out on every wait.
 *
 *     proxy -t 5 127.0.0.1:8080    then: curl -x http://127.0.0.1:8080 http://example.org/
 *
 *     client --> pump --> server        each pump is a goroutine
 *     client <-- pump <-- server
 *
 * Time-outs. The dial runs in a scope: whatever waits in there, the resolver included, has -t
 * seconds together. Afterwards both connections have a deadline that each piece of data moves, in
 * whichever direction it goes: only when nothing moves at all for -t seconds do the pumps fail.
 *
 * Half-close. An end of file is passed on with weft_shutdown, and the other direction goes on: a
 * client that has sent all may still read its answer. The exchange is over when both directions
 * are, or when one failed: the group then cancels the other.
 *
 * A plain request is sent on with "Connection: close", so its answer ends with its connection.
 *
 * Ctrl-C ends the context of accept; the exchanges under way go on until they are over or nothing
 * moves for -t seconds. A second Ctrl-C kills.
 */
#define _GNU_SOURCE /* mempcpy */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <weft.h>

enum { HEAD_MAX = 16 * 1024 };

static weft_duration patience = 30 * WEFT_SECOND;

struct exchange {
    int client, server;
    bool tunnel;           /* CONNECT */
    _Atomic bool answered; /* something has gone to the client */
    char host[256];        /* with a port */
    size_t n, head;        /* bytes read so far; those of them up to the empty line */
    char text[HEAD_MAX + 1], sent_on[HEAD_MAX + 64];
};

static void say(int fd, const char *text) {
    weft_set_write_deadline(fd, weft_now() + patience);
    weft_write(fd, text, strlen(text));
}

static void refuse(struct exchange *x, const char *status) {
    char text[128];
    snprintf(text, sizeof text, "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
             status);
    say(x->client, text);
}

/* ---- the two directions ---- */

static void moved(struct exchange *x) {
    weft_time deadline = weft_now() + patience;
    weft_set_deadline(x->client, deadline);
    weft_set_deadline(x->server, deadline);
}

static int pump(struct exchange *x, int from, int to) {
    char buf[16 * 1024];
    ssize_t n;
    while ((n = weft_read(from, buf, sizeof buf)) > 0) {
        moved(x);
        if (to == x->client)
            x->answered = true;
        if (weft_write(to, buf, (size_t)n) < n)
            return errno;
    }
    if (n < 0)
        return errno;
    weft_shutdown(to, SHUT_WR);
    /* The answer to a plain request is complete: it ends the other direction too. */
    return to == x->client && !x->tunnel ? ESHUTDOWN : 0;
}

static void pump_both(struct exchange *x) {
    weft_group both = WEFT_GROUP_INIT;
    moved(x);
    weft_group_go(&both, pump, x, x->client, x->server);
    weft_group_go(&both, pump, x, x->server, x->client);
    int error = weft_group_wait(&both);
    if (!x->answered && !x->tunnel)
        refuse(x, error == ETIMEDOUT ? "504 Gateway Timeout" : "502 Bad Gateway");
}

/* ---- the head of the request ---- */

/* NULL, or what to refuse it with; "" when there is nobody to tell. */
static const char *read_head(struct exchange *x) {
    weft_set_read_deadline(x->client, weft_now() + patience); /* for all of it */
    while (x->head == 0) {
        if (x->n == HEAD_MAX)
            return "431 Request Header Fields Too Large";
        ssize_t n = weft_read(x->client, x->text + x->n, HEAD_MAX - x->n);
        if (n <= 0)
            return n < 0 && errno == ETIMEDOUT ? "408 Request Timeout" : "";
        x->n += (size_t)n;
        x->text[x->n] = '\0';
        const char *end = strstr(x->text, "\r\n\r\n");
        if (end != NULL)
            x->head = (size_t)(end - x->text) + 4;
    }
    return NULL;
}

static bool is_for_proxies(const char *line) {
    return strncasecmp(line, "Connection:", 11) == 0 || strncasecmp(line, "Keep-Alive:", 11) == 0 ||
           strncasecmp(line, "Proxy-", 6) == 0;
}

/* Takes the head apart. For a plain request, sent_on is the head that the server gets. */
static bool parse_head(struct exchange *x) {
    char *line = strstr(x->text, "\r\n"), *rest, *out = x->sent_on;
    *line = '\0';
    line += 2;
    const char *method = strtok_r(x->text, " ", &rest), *target = strtok_r(NULL, " ", &rest);
    const char *version = strtok_r(NULL, " ", &rest);
    if (version == NULL || strncmp(version, "HTTP/1.", 7) != 0)
        return false;
    x->tunnel = strcmp(method, "CONNECT") == 0;
    if (!x->tunnel) {
        if (strncasecmp(target, "http://", 7) != 0)
            return false;
        target += 7;
    }
    size_t host = strcspn(target, "/?#");
    if (host == 0 || host > sizeof x->host - 4)
        return false;
    sprintf(x->host, "%.*s", (int)host, target);
    const char *name_end = strrchr(x->host, ']'); /* [::1] has colons of its own */
    if (strchr(name_end != NULL ? name_end : x->host, ':') == NULL)
        strcat(x->host, ":80");
    target += host;
    out += sprintf(out, "%s %s%s HTTP/1.1\r\nConnection: close\r\n", method,
                   *target == '/' ? "" : "/", target);
    for (char *next; strncmp(line, "\r\n", 2) != 0; line = next) {
        next = strstr(line, "\r\n") + 2;
        if (!is_for_proxies(line))
            out = mempcpy(out, line, (size_t)(next - line));
    }
    strcpy(out, "\r\n");
    return true;
}

/* ---- a connection ---- */

static int dial(const char *host) {
    weft_scope_timeout(patience);
    return weft_dial("tcp", host);
}

static void serve_request(struct exchange *x) {
    const char *refusal = read_head(x);
    if (refusal != NULL || !parse_head(x)) {
        if (refusal == NULL || *refusal != '\0')
            refuse(x, refusal != NULL ? refusal : "400 Bad Request");
        return;
    }
    if ((x->server = dial(x->host)) < 0) {
        refuse(x, errno == ETIMEDOUT ? "504 Gateway Timeout" : "502 Bad Gateway");
        return;
    }
    moved(x);
    if (x->tunnel)
        say(x->client, "HTTP/1.1 200 Connection established\r\n\r\n");
    else
        weft_write(x->server, x->sent_on, strlen(x->sent_on));
    weft_write(x->server, x->text + x->head, x->n - x->head); /* what came behind the head */
    pump_both(x);
    weft_close(x->server);
}

static void serve(int client) {
    struct exchange *x = calloc(1, sizeof *x);
    if (x != NULL) {
        x->client = client;
        serve_request(x);
        /* A close with data unread would reset the connection, and the answer with it. */
        weft_shutdown(client, SHUT_WR);
        weft_set_read_deadline(client, weft_now() + WEFT_SECOND);
        while (weft_read(client, x->text, HEAD_MAX) > 0)
            continue;
    }
    weft_close(client);
    free(x);
}

static int accept_until(weft_ctx *end, int listener) {
    weft_scope_ctx(end);
    return weft_accept(listener);
}

static int run(const char *address) {
    char text[256];
    int client, listener = weft_listen("tcp", address);
    if (listener < 0 || weft_local_addr(listener, text, sizeof text) != 0) {
        fprintf(stderr, "proxy: %s: %s\n", address, strerror(errno));
        return 1;
    }
    printf("listening on %s\n", text);
    fflush(stdout);
    int signals[] = {SIGINT, SIGTERM};
    weft_ctx *until_signal = weft_signal_ctx(weft_ctx_current(), signals, 2);
    weft_wg serving = WEFT_WG_INIT;
    while ((client = accept_until(until_signal, listener)) >= 0)
        if (weft_wg_go(&serving, serve, client) != 0)
            weft_close(client);
    if (errno != ECANCELED)
        perror("proxy: accept");
    weft_ctx_unref(until_signal);
    weft_close(listener);
    weft_wg_wait(&serving);
    return 0;
}

static int app(int argc, char **argv) {
    int i = 1;
    if (argc > 2 && strcmp(argv[1], "-t") == 0) {
        patience = (weft_duration)(strtod(argv[2], NULL) * (double)WEFT_SECOND);
        i = 3;
    }
    if (argc > i + 1 || (argc == i + 1 && argv[i][0] == '-') || patience <= 0) {
        fprintf(stderr, "usage: proxy [-t SECONDS] [HOST:PORT]     (30 127.0.0.1:8080)\n");
        return 2;
    }
    return run(argc > i ? argv[i] : "127.0.0.1:8080");
}

WEFT_MAIN(app)
