/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parallel downloader: many files by HTTP, a few at a time, all or nothing.
 *
 *     download -j 4 -d /tmp/pictures http://127.0.0.1:8000/1.jpg http://127.0.0.1:8000/2.jpg ...
 *
 * A group with a limit starts a goroutine per file. The first that fails returns its error, which
 * cancels the group's context: the others are parked in a dial, a read or a write, or come to one,
 * and fail with ECANCELED. Each removes its unfinished file. Ctrl-C ends the context above.
 *
 * A file is FILE.part until it is complete. The request is of HTTP/1.0: an answer to that has no
 * chunks, and ends where its Content-Length or its connection does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <weft.h>

#define PATIENCE (20 * WEFT_SECOND) /* for the dial, and for each piece of data */

static const char *folder = ".";
static _Atomic long files, bytes; /* done so far */

struct url {
    const char *text;
    char host[256]; /* with a port */
    const char *path, *name;
};

static bool parse_url(const char *text, struct url *url) {
    if (strncasecmp(text, "http://", 7) != 0)
        return false;
    const char *host = text + 7, *path = strchr(host, '/');
    if (path == NULL || path == host || (size_t)(path - host) > sizeof url->host - 4)
        return false;
    *url = (struct url){.text = text, .path = path, .name = strrchr(path, '/') + 1};
    sprintf(url->host, "%.*s", (int)(path - host), host);
    const char *name_end = strrchr(url->host, ']'); /* [::1] has colons of its own */
    if (strchr(name_end != NULL ? name_end : url->host, ':') == NULL)
        strcat(url->host, ":80");
    return *url->name != '\0';
}

static int complain(const struct url *url, const char *what, int error) {
    if (error != ECANCELED) /* that one is not our failure */
        fprintf(stderr, "\rdownload: %s: %s\n", url->text, what);
    return error;
}

static int dial(const char *host) {
    weft_scope_timeout(PATIENCE);
    return weft_dial("tcp", host);
}

/* An answer as it comes in: the body's first bytes arrive with the head. */
struct answer {
    int connection, status;
    long length;    /* the body's, or -1 */
    size_t from, n; /* bytes n - from of the body wait at buf + from */
    char buf[16 * 1024 + 1];
};

/* More of it, behind the n bytes that are there. As weft_read; 0 also when there is no room. */
static ssize_t read_more(struct answer *a) {
    weft_set_read_deadline(a->connection, weft_now() + PATIENCE);
    ssize_t n = weft_read(a->connection, a->buf + a->n, sizeof a->buf - 1 - a->n);
    a->n += n > 0 ? (size_t)n : 0;
    a->buf[a->n] = '\0';
    return n;
}

static int read_head(struct answer *a) {
    char *end;
    while ((end = strstr(a->buf, "\r\n\r\n")) == NULL) {
        ssize_t n = read_more(a);
        if (n <= 0)
            return n < 0 ? errno : EPROTO;
    }
    const char *field = strcasestr(a->buf, "\r\nContent-Length:");
    a->length = field != NULL && field < end ? strtol(field + 17, NULL, 10) : -1;
    a->from = (size_t)(end - a->buf) + 4;
    return sscanf(a->buf, "HTTP/1.%*d %d", &a->status) == 1 ? 0 : EPROTO;
}

static int copy_body(struct answer *a, int out) {
    for (long got = 0;;) {
        size_t n = a->n - a->from;
        if (a->length >= 0 && (long)n > a->length - got)
            n = (size_t)(a->length - got); /* it says more than it announced */
        if (weft_write(out, a->buf + a->from, n) < (ssize_t)n)
            return errno;
        got += (long)n, bytes += (long)n;
        if (got == a->length)
            return 0;
        a->n = a->from = 0;
        ssize_t more = read_more(a);
        if (more <= 0)
            return more < 0 ? errno : a->length < 0 ? 0 : EPROTO;
    }
}

/* Fetches into the open file `out`. */
static int fetch_into(const struct url *url, int connection, int out) {
    struct answer a = {.connection = connection};
    int n =
        snprintf(a.buf, sizeof a.buf, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", url->path, url->host);
    if (n >= (int)sizeof a.buf)
        return complain(url, "too long", ENAMETOOLONG);
    weft_set_write_deadline(connection, weft_now() + PATIENCE);
    if (weft_write(connection, a.buf, (size_t)n) < n)
        return complain(url, strerror(errno), errno);
    a.buf[0] = '\0';
    int error = read_head(&a);
    if (error == 0 && a.status != 200) {
        snprintf(a.buf, sizeof a.buf, "the server answers %d", a.status);
        return complain(url, a.buf, EREMOTEIO);
    }
    if (error == 0)
        error = copy_body(&a, out);
    return error != 0 ? complain(url, strerror(error), error) : 0;
}

/* The group's function. */
static int download(const struct url *url) {
    char path[2048], part[2048 + 8];
    if (snprintf(path, sizeof path, "%s/%s", folder, url->name) >= (int)sizeof path)
        return complain(url, strerror(ENAMETOOLONG), ENAMETOOLONG);
    snprintf(part, sizeof part, "%s.part", path);
    int connection = dial(url->host);
    if (connection < 0)
        return complain(url, strerror(errno), errno);
    int error, out = weft_open(part, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (out < 0) {
        error = complain(url, strerror(errno), errno);
    } else {
        error = fetch_into(url, connection, out);
        if (weft_close(out) != 0 || (error == 0 && rename(part, path) != 0))
            error = complain(url, strerror(errno), errno);
        if (error != 0)
            unlink(part);
    }
    weft_close(connection);
    files += error == 0;
    return error;
}

/* Progress on stderr, four times a second, until `finished` is closed. */
static void show_progress(int of, weft_chan(char) finished, weft_time start) {
    weft_ticker *ticker = weft_ticker_new(WEFT_SECOND / 4);
    int which;
    do {
        which = weft_select(weft_case_recv(weft_ticker_chan(ticker), NULL),
                            weft_case_recv(finished, NULL));
        double seconds = (double)(weft_now() - start) / WEFT_SECOND;
        fprintf(stderr, "\r%ld of %d files, %.1f MB, %.1f MB/s ", (long)files, of,
                (double)bytes / 1e6, (double)bytes / 1e6 / seconds);
    } while (which == 0);
    fprintf(stderr, "\n");
    weft_ticker_unref(ticker);
}

static int download_all(struct url *urls, int n, int limit) {
    weft_chan(char) finished = weft_chan_make(char, 0);
    weft_wg progress = WEFT_WG_INIT;
    weft_wg_go(&progress, show_progress, n, finished, weft_now());
    int signals[] = {SIGINT, SIGTERM}, error;
    weft_ctx *until_signal = weft_signal_ctx(weft_ctx_current(), signals, 2);
    {
        weft_scope_ctx(until_signal);
        weft_group group = WEFT_GROUP_INIT;
        weft_group_set_limit(&group, limit);
        for (int i = 0; i < n && weft_ctx_err(weft_group_ctx(&group)) == 0; i++)
            weft_group_go(&group, download, &urls[i]);
        error = weft_group_wait(&group);
    }
    weft_ctx_unref(until_signal);
    weft_chan_close(finished);
    weft_wg_wait(&progress);
    weft_chan_unref(finished);
    return error;
}

static int app(int argc, char **argv) {
    int limit = 4, i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (strcmp(argv[i], "-j") == 0)
            limit = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "-d") == 0)
            folder = argv[i + 1];
        else
            break;
    }
    struct url *urls = calloc((size_t)argc, sizeof *urls);
    int n = 0;
    while (i < argc && parse_url(argv[i], &urls[n]))
        i++, n++;
    if (n == 0 || i < argc || limit < 1) {
        fprintf(stderr,
                "usage: download [-j CONNECTIONS] [-d FOLDER] http://HOST[:PORT]/FILE...\n");
        free(urls);
        return 2;
    }
    int error = download_all(urls, n, limit);
    free(urls);
    return error == 0 && files == n ? 0 : 1;
}

WEFT_MAIN(app)
