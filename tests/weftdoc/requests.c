/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as they should be, and the answers to them.
 */
#include "client.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

TEST_PLAIN(a_page_and_its_headers) {
    struct served s = serve(NULL);
    int fd = dial(&s);
    say(fd, GET("/"));
    struct got g = hear(fd, false);
    CHECK_EQ(g.status, 200);
    CHECK(g.len > 0 && !g.closing);
    CHECK_STR(header(&g, "Content-Type"), "text/html; charset=utf-8");
    CHECK_STR(header(&g, "X-Content-Type-Options"), "nosniff");
    CHECK_STR(header(&g, "Referrer-Policy"), "no-referrer");
    CHECK(strstr(header(&g, "Content-Security-Policy"), "default-src 'none'") != NULL);
    CHECK_EQ(strlen(header(&g, "Date")), strlen("Tue, 24 Nov 2026 23:45:00 GMT"));
    CHECK(header(&g, "ETag") != NULL);
    got_free(&g);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(head_is_get_without_the_body) {
    struct served s = serve(NULL);
    int fd = dial(&s);
    say(fd, GET("/"));
    struct got get = hear(fd, false);
    say(fd, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" GET("/"));
    struct got head = hear(fd, true), after = hear(fd, false); /* no body stands between the two */
    CHECK_EQ(head.status, 200);
    CHECK_EQ(head.len, get.len);
    CHECK_EQ(after.status, 200);
    CHECK_STR(after.body, get.body);
    got_free(&get), got_free(&head), got_free(&after);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

static void check_tag(int fd, const char *tags, int status) {
    char request[512];
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n",
             tags);
    say(fd, request);
    struct got g = hear(fd, false);
    if (g.status != status)
        FAIL("If-None-Match: %s gives %d, not %d", tags, g.status, status);
    CHECK(header(&g, "ETag") != NULL);
    got_free(&g);
}

TEST_PLAIN(what_the_client_has_is_not_sent_again) {
    struct served s = serve(NULL);
    int fd = dial(&s);
    say(fd, GET("/"));
    struct got g = hear(fd, false);
    char tag[64], weak[80], list[160];
    snprintf(tag, sizeof tag, "%s", header(&g, "ETag"));
    snprintf(weak, sizeof weak, "W/%s", tag);
    snprintf(list, sizeof list, "\"one\", W/\"two\",%s", tag);
    got_free(&g);
    check_tag(fd, tag, 304);
    check_tag(fd, weak, 304);
    check_tag(fd, list, 304);
    check_tag(fd, "*", 304);
    check_tag(fd, "\"other\"", 200);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(requests_sent_in_one_go_are_answered_in_order) {
    enum { N = 200 };
    struct served s = serve(NULL);
    int fd = dial(&s);
    for (int i = 0; i < N; i++)
        say(fd, i % 2 ? GET("/") : GET("/no-such-page"));
    for (int i = 0; i < N; i++) {
        struct got g = hear(fd, false);
        CHECK_EQ(g.status, i % 2 ? 200 : 404);
        got_free(&g);
    }
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(a_head_may_come_byte_by_byte) {
    struct served s = serve(NULL);
    int fd = dial(&s);
    const char *request = "\r\n" GET("/"); /* one empty line before it is allowed */
    for (const char *p = request; *p; p++) {
        say_bytes(fd, p, 1);
        usleep(200);
    }
    struct got g = hear(fd, false);
    CHECK_EQ(g.status, 200);
    got_free(&g);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(when_the_connection_ends) {
    static const struct {
        const char *request;
        bool closing;
        const char *connection;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, NULL},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true, "close"},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: te, Close\r\n\r\n", true, "close"},
        {"GET / HTTP/1.0\r\n\r\n", true, "close"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, "keep-alive"},
        {"HEAD / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false, "keep-alive"},
    };
    struct served s = serve(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = dial(&s);
        say(fd, cases[i].request);
        struct got g = hear(fd, cases[i].request[0] == 'H');
        CHECK_EQ(g.status, 200);
        CHECK_STR(header(&g, "Connection"), cases[i].connection);
        got_free(&g);
        if (cases[i].closing) {
            CHECK(hears_end(fd));
        } else {
            say(fd, GET("/"));
            g = hear(fd, false);
            CHECK_EQ(g.status, 200);
            got_free(&g);
        }
        close(fd);
    }
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(a_client_that_shuts_its_side_is_answered) {
    struct served s = serve(NULL);
    int fd = dial(&s);
    say(fd, GET("/") GET("/"));
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    for (int i = 0; i < 2; i++) {
        struct got g = hear(fd, false);
        CHECK_EQ(g.status, 200);
        got_free(&g);
    }
    CHECK(hears_end(fd));
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(bodies_are_skipped) {
    struct served s = serve(NULL);
    int fd = dial(&s);
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" GET("/"));
    for (int i = 0; i < 2; i++) {
        struct got g = hear(fd, false);
        CHECK_EQ(g.status, 200);
        got_free(&g);
    }
    static char large[60000]; /* in pieces, so that the server has to wait for it */
    memset(large, 'G', sizeof large);
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    for (size_t at = 0; at < sizeof large; at += 6000) {
        say_bytes(fd, large + at, 6000);
        usleep(2000);
    }
    say(fd, GET("/no-such-page"));
    struct got first = hear(fd, false), second = hear(fd, false);
    CHECK_EQ(first.status, 200);
    CHECK_EQ(second.status, 404);
    got_free(&first), got_free(&second);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(who_expects_100_is_answered_at_once) {
    struct served s = serve(NULL);
    int fd = dial(&s);
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    struct got g = hear(fd, false);
    CHECK_EQ(g.status, 405);
    CHECK(g.closing); /* the body may come or not: nobody can go on behind it */
    CHECK_STR(header(&g, "Allow"), "GET, HEAD");
    got_free(&g);
    close(fd);
    CHECK_EQ(ask(&s, "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"), 200);
    CHECK_EQ(ask(&s, "GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n"), 417);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(the_target_may_be_a_url) {
    struct served s = serve(NULL);
    CHECK_EQ(ask(&s, "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    CHECK_EQ(ask(&s, "GET HTTP://x HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    CHECK_EQ(ask(&s, "GET http://x/no-such-page?q HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(the_log_has_a_line_a_request_and_no_escapes) {
    struct served s = serve("-v");
    CHECK_EQ(ask(&s, "GET /no-\xc3\xa9\"page?a=\xff HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    char line[512];
    ssize_t n = read(s.err, line, sizeof line - 1);
    CHECK(n > 0);
    line[n] = '\0';
    CHECK(strstr(line, "127.0.0.1:") != NULL);
    CHECK(strstr(line, "\"GET /no-???page?a=?\" 404 ") != NULL);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}
