/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h: a weftdoc to test, and a client that says to it what it likes, by plain sockets.
 *
 * Nothing here uses weft: the server is another process, the tests are TEST_PLAIN. Whatever goes
 * wrong fails the test; nothing waits longer than some seconds.
 */
#ifndef TESTS_WEFTDOC_CLIENT_H
#define TESTS_WEFTDOC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "weft_test.h"

struct served {
    pid_t pid;
    int port;
    int err;         /* its stderr, from behind the line that says where it serves */
    char folder[64]; /* what it serves: made by serve, removed by serve_end */
};

/*
 * Starts weftdoc on a free port, for a folder t with api.h, guide.md, long.h (some 20,000 lines), and
 * out.md, a symbolic link to a file outside. flags: NULL, or more of them, parted by spaces.
 */
struct served serve(const char *flags);
/* Sends the signal, waits for the end: the exit status, or 128 + signal. */
int serve_end(struct served *s, int signal);

/* A connection, on which some seconds without a byte are an error. */
int dial(const struct served *s);
void say(int fd, const char *text);
void say_bytes(int fd, const char *bytes, size_t n);

struct got {
    int status;   /* 0: the connection ended before a byte came */
    char *head;   /* with the empty line; ends with a NUL */
    char *body;   /* ends with a NUL */
    size_t len;   /* of the body, as Content-Length says */
    bool closing; /* "Connection: close" */
};

/* Reads one answer, whole. bodyless: the answer to a HEAD. */
struct got hear(int fd, bool bodyless);
void got_free(struct got *g);
/* The value of a header, or NULL; valid until the next call. */
const char *header(const struct got *g, const char *name);
/* Whether the connection ends, in an end of file or a reset, before another byte. */
bool hears_end(int fd);

/* One request on a connection of its own: the status. */
int ask(const struct served *s, const char *request);

double seconds_now(void);

#endif
