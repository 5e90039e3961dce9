/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that are none, that two parties could read in two ways, and that want too much.
 */
#include "client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define H "Host: x\r\n"
#define GET "GET / HTTP/1.1\r\n" H "\r\n"

static const struct refusal {
    const char *request;
    int status;
    bool closing;
} refusals[] = {
    /* no request */
    {"\x16\x03\x01\x02\x01\x01\r\n\r\n", 400, true}, /* a TLS client */
    {"GET /\r\n\r\n", 400, true},
    {"GET  HTTP/1.1\r\n" H "\r\n", 400, true},
    {" / HTTP/1.1\r\n" H "\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H "No colon\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H "Space : x\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H "A: a\x01\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H "A: a\rb\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H "A: a\r\n folded\r\n\r\n", 400, true},
    {"GET no-slash HTTP/1.1\r\n" H "\r\n", 400, false},
    {"GET ../etc/passwd HTTP/1.1\r\n" H "\r\n", 400, false},
    /* which host? */
    {"GET / HTTP/1.1\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400, true},
    {"GET / HTTP/1.0\r\n" H H "\r\n", 400, true},
    /* where does it end? */
    {"GET / HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET,
     400, true},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd" GET, 400, true},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 4, 4\r\n\r\nabcd" GET, 400, true},
    {"GET / HTTP/1.1\r\n" H "Content-Length: +4\r\n\r\nabcd" GET, 400, true},
    {"GET / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n" GET, 400, true},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 0x4\r\n\r\nabcd" GET, 400, true},
    {"GET / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n" GET, 400, true},
    {"GET / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET, 411, true},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n" GET, 501, true},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" GET,
     501, true},
    /* what does it want? */
    {"POST / HTTP/1.1\r\n" H "\r\n", 405, false},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nabcd" GET, 405, true},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 405, false},
    {"CONNECT x:80 HTTP/1.1\r\n" H "\r\n", 405, false},
    {"BREW / HTTP/1.1\r\n" H "\r\n", 501, false},
    {"get / HTTP/1.1\r\n" H "\r\n", 501, false},
    {"GET / HTTP/2.0\r\n" H "\r\n", 505, true},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, true},
    {"GET / HTTP/0.9\r\n\r\n", 505, true},
    {"GET / HTTP/x\r\n\r\n", 400, true},
    /* too much of it */
    {"GET / HTTP/1.1\r\n" H "Content-Length: 65537\r\n\r\n", 413, true},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999999999\r\n\r\n", 413, true},
};

/* The answer, then the next request's or the end; and never an answer to what followed an end. */
static void check_refusal(const struct served *s, const struct refusal *r) {
    int fd = dial(s);
    say(fd, r->request);
    struct got g = hear(fd, false);
    if (g.status != r->status || g.closing != r->closing)
        FAIL("status %d, closing %d, not %d and %d: %s", g.status, g.closing, r->status, r->closing,
             r->request);
    got_free(&g);
    if (r->closing) {
        CHECK(hears_end(fd));
    } else {
        say(fd, GET);
        g = hear(fd, false);
        CHECK_EQ(g.status, 200);
        got_free(&g);
    }
    close(fd);
}

TEST_PLAIN(what_is_no_request_is_refused) {
    struct served s = serve(NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        check_refusal(&s, &refusals[i]);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(a_nul_in_the_head_is_refused) {
    static const char in_path[] = "GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char in_value[] = "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n";
    struct served s = serve(NULL);
    for (int i = 0; i < 2; i++) {
        int fd = dial(&s);
        say_bytes(fd, i ? in_path : in_value, (i ? sizeof in_path : sizeof in_value) - 1);
        struct got g = hear(fd, false);
        CHECK_EQ(g.status, 400);
        got_free(&g);
        close(fd);
    }
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

/* A request with n bytes of target, and headers of so many bytes each. */
static int ask_large(const struct served *s, size_t target, int headers, size_t header_len) {
    size_t cap = target + (size_t)headers * (header_len + 16) + 128, at = 0;
    char *text = malloc(cap);
    at += (size_t)sprintf(text, "GET /");
    memset(text + at, 'a', target - 1);
    at += target - 1;
    at += (size_t)sprintf(text + at, " HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < headers; i++) {
        at += (size_t)sprintf(text + at, "A%d: ", i);
        memset(text + at, 'b', header_len);
        at += header_len;
        at += (size_t)sprintf(text + at, "\r\n");
    }
    at += (size_t)sprintf(text + at, "\r\n");
    int fd = dial(s);
    say_bytes(fd, text, at);
    struct got g = hear(fd, false);
    int status = g.status;
    got_free(&g);
    close(fd);
    free(text);
    return status;
}

TEST_PLAIN(heads_have_a_limit) {
    struct served s = serve(NULL);
    CHECK_EQ(ask_large(&s, 1, 99, 10), 200);
    CHECK_EQ(ask_large(&s, 1, 100, 10), 431); /* with Host it is one too many */
    CHECK_EQ(ask_large(&s, 1, 2, 8000), 200);
    CHECK_EQ(ask_large(&s, 1, 2, 9000), 431);
    CHECK_EQ(ask_large(&s, 1, 50, 9000), 431); /* long after the limit, and still heard */
    CHECK_EQ(ask_large(&s, 8192, 0, 0), 404);
    CHECK_EQ(ask_large(&s, 8193, 0, 0), 414);
    CHECK_EQ(ask_large(&s, 100000, 0, 0), 414);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

/* What lies outside of the folders, in every spelling. */
TEST_PLAIN(no_path_leads_out) {
    static const char *const paths[] = {
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/..%5c..%5cetc%5cpasswd",
        "/..\\..\\etc\\passwd",
        "/%252e%252e/%252e%252e/etc/passwd",
        "/%c0%ae%c0%ae/etc/passwd",
        "//etc/passwd",
        "/./../etc/passwd",
        "/etc/passwd%00.md",
        "/out.md",
        "/src/t/out.md",
        "/t/out.md",
        "/t/guide.md/../out.md",
        "/t/../../etc/passwd",
        "/src/t/../../../etc/passwd",
        "/static/../../etc/passwd",
        "/%",
        "/%2",
        "/%zz",
        "/%00",
        "/.%00./etc/passwd",
        "/search?q=../../etc/passwd",
        "/search?q=%00",
        "/search?q=%",
        "/?%2e%2e",
        "/?",
    };
    struct served s = serve(NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[256];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" H "\r\n", paths[i]);
        int fd = dial(&s);
        say(fd, request);
        struct got g = hear(fd, false);
        if (g.status < 200 || g.status >= 500)
            FAIL("%s: status %d", paths[i], g.status);
        if (strstr(g.body, "root:"))
            FAIL("%s leads out", paths[i]);
        got_free(&g);
        close(fd);
    }
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(too_many_connections_are_turned_away) {
    enum { ROOM = 5 };
    struct served s = serve("-connections=5");
    int fds[ROOM];
    for (int i = 0; i < ROOM; i++) {
        fds[i] = dial(&s);
        say(fds[i], GET);
        struct got g = hear(fds[i], false);
        CHECK_EQ(g.status, 200);
        got_free(&g);
    }
    int fd = dial(&s);
    struct got g = hear(fd, false);
    CHECK_EQ(g.status, 503);
    CHECK(g.closing && hears_end(fd));
    got_free(&g);
    close(fd);
    close(fds[0]); /* room again */
    int status = 503;
    for (int i = 0; i < 100 && status == 503; i++) {
        usleep(5000);
        status = ask(&s, GET);
    }
    CHECK_EQ(status, 200);
    for (int i = 1; i < ROOM; i++)
        close(fds[i]);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}
