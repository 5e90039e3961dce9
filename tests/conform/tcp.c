/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.c: what may come behind the bytes of a TCP connection when a read has just taken all of them
 * (N4, N5, N27): an end, a reset, urgent data, more bytes. A read that waits without a try (fd.c)
 * must miss none of them, in whatever order events and reads come.
 */
#include "conform.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* One end is weft's, the other a plain socket that the test does as it likes with. */
struct ends {
    int own, raw;
};

static struct ends connect_ends(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(l, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_EQ(listen(l, 1), 0);
    CHECK_EQ(getsockname(l, (struct sockaddr *)&a, &len), 0);
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(a.sin_port));
    struct ends e;
    e.own = weft_dial("tcp", text);
    CHECK(e.own >= 0);
    e.raw = accept(l, NULL, NULL);
    CHECK(e.raw >= 0);
    close(l);
    return e;
}

static void put(struct ends e, const char *text) {
    CHECK_EQ(send(e.raw, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void check_read(struct ends e, const char *text) {
    char buf[64] = "";
    CHECK_EQ(weft_read(e.own, buf, sizeof buf - 1), strlen(text));
    CHECK_STR(buf, text);
}

/* Lets the poller tell of everything that has happened so far, or doesn't. */
static void pause_or_not(int pause) {
    if (pause)
        weft_sleep(2 * WEFT_MILLISECOND);
}

enum { WAYS = 8 }; /* with a pause or without one, after each of three steps */

TEST(N4_end_behind_a_short_read) {
    for (int way = 0; way < WAYS; way++) {
        struct ends e = connect_ends();
        put(e, "hello");
        pause_or_not(way & 1);
        if (way & 2)
            check_read(e, "hello");
        pause_or_not(way & 4);
        close(e.raw);
        pause_or_not(way & 1);
        if (!(way & 2))
            check_read(e, "hello");
        pause_or_not(way & 4);
        check_read(e, "");
        check_read(e, ""); /* and so it stays */
        CHECK_EQ(weft_close(e.own), 0);
    }
}

TEST(N4_half_close_behind_a_short_read) {
    for (int way = 0; way < WAYS; way++) {
        struct ends e = connect_ends();
        put(e, "hello");
        pause_or_not(way & 1);
        check_read(e, "hello");
        pause_or_not(way & 2);
        CHECK_EQ(shutdown(e.raw, SHUT_WR), 0);
        pause_or_not(way & 4);
        check_read(e, "");
        CHECK_EQ(weft_write(e.own, "bye", 3), 3);
        char buf[8];
        CHECK_EQ(recv(e.raw, buf, sizeof buf, 0), 3);
        close(e.raw);
        CHECK_EQ(weft_close(e.own), 0);
    }
}

TEST(N27_own_read_side_shut_behind_a_short_read) {
    for (int way = 0; way < WAYS; way++) {
        struct ends e = connect_ends();
        put(e, "hello");
        pause_or_not(way & 1);
        check_read(e, "hello");
        pause_or_not(way & 2);
        CHECK_EQ(weft_shutdown(e.own, SHUT_RD), 0);
        pause_or_not(way & 4);
        check_read(e, "");
        close(e.raw);
        CHECK_EQ(weft_close(e.own), 0);
    }
}

TEST(N5_reset_behind_a_short_read) {
    for (int way = 0; way < WAYS; way++) {
        struct ends e = connect_ends();
        char buf[8];
        put(e, "hello");
        pause_or_not(way & 1);
        check_read(e, "hello");
        pause_or_not(way & 2);
        const struct linger abrupt = {.l_onoff = 1};
        CHECK_EQ(setsockopt(e.raw, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt), 0);
        close(e.raw);
        pause_or_not(way & 4);
        CHECK_EQ(weft_read(e.own, buf, sizeof buf), -1);
        CHECK_EQ(errno, ECONNRESET);
        CHECK_EQ(weft_close(e.own), 0);
    }
}

/* A read stops at the mark of urgent data, with more behind it. */
TEST(urgent_data_behind_a_short_read) {
    for (int way = 0; way < WAYS; way++) {
        struct ends e = connect_ends();
        put(e, "abc");
        pause_or_not(way & 1);
        CHECK_EQ(send(e.raw, "!", 1, MSG_OOB), 1);
        pause_or_not(way & 2);
        put(e, "def");
        pause_or_not(way & 4);
        char got[16] = "";
        for (size_t n = 0; n < 6;) {
            ssize_t more = weft_read(e.own, got + n, sizeof got - 1 - n);
            CHECK(more > 0);
            n += (size_t)more;
        }
        CHECK_STR(got, "abcdef");
        close(e.raw);
        CHECK_EQ(weft_close(e.own), 0);
    }
}

static void answer(int fd) {
    char buf[256];
    ssize_t n;
    while ((n = weft_read(fd, buf, sizeof buf)) > 0)
        CHECK_EQ(weft_write(fd, buf, (size_t)n), n);
    weft_close(fd);
}

/* Short reads, one after the other, each with an answer: nothing is lost between them. */
TEST(many_short_reads) {
    struct ends e = connect_ends();
    weft_go(answer, e.own);
    int raw = e.raw;
    for (int i = 0; i < ROUNDS(2000); i++) {
        char text[16], back[16];
        int n = snprintf(text, sizeof text, "%d", i);
        CHECK_EQ(weft_write(raw, text, (size_t)n), n);
        for (int got = 0; got < n;) {
            ssize_t more = weft_read(raw, back + got, (size_t)(n - got));
            CHECK(more > 0);
            got += (int)more;
        }
        CHECK_EQ(memcmp(text, back, (size_t)n), 0);
    }
    close(raw);
    EVENTUALLY(weft_num_goroutine() == 1); /* it has closed its end */
}
