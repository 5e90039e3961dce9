/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No wake-up is lost. Two goroutines hand a byte to and fro, and each waits for the other all the
 * time: an event that comes between a try and its park and is not noticed is the end of both. Many
 * such pairs at once keep the Ps and the poller busy, so that events are collected at every moment
 * of a call.
 */
#define _GNU_SOURCE
#include "pairs.h"

enum { PLAYERS = 16 };

enum way { BY_READ, BY_POLL, BY_CANCEL, BY_DEADLINE, WAYS };

/* Time-outs and cancellations that meet the event: whoever wins, the byte is read once. The spans
 * grow, for a read whose deadline has passed when it begins takes nothing. */
static void receive(int fd, enum way way, char *byte, int i) {
    for (weft_duration span = i % 50 * WEFT_MICROSECOND;; span += 10 * WEFT_MICROSECOND) {
        ssize_t n;
        if (way == BY_POLL)
            CHECK(weft_poll(fd, POLLIN) & POLLIN);
        if (way == BY_DEADLINE)
            CHECK_EQ(weft_set_read_deadline(fd, weft_now() + span), 0);
        if (way == BY_CANCEL) {
            weft_scope_timeout(span);
            n = weft_read(fd, byte, 1);
        } else {
            n = weft_read(fd, byte, 1);
        }
        if (n == 1)
            return;
        CHECK_EQ(n, -1);
        CHECK_EQ(errno, ETIMEDOUT);
        CHECK(way >= BY_CANCEL);
        weft_yield();
    }
}

static void play(int fd, bool serves, enum way way, int rounds) {
    for (int i = 0; i < rounds; i++) {
        char byte = (char)i, got = 0;
        if (serves)
            CHECK_EQ(weft_write(fd, &byte, 1), 1);
        receive(fd, way, &got, i);
        CHECK_EQ(got, byte);
        if (!serves)
            CHECK_EQ(weft_write(fd, &byte, 1), 1);
    }
}

static struct pair open_kind(int kind) {
    int fds[2];
    if (kind < PAIR_KINDS)
        return open_pair((enum pair_kind)kind);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return (struct pair){fds[0], fds[1]};
}

static void matches(void) {
    for (int way = 0; way < WAYS; way++) {
        struct pair p[PLAYERS];
        weft_wg wg = WEFT_WG_INIT;
        for (int i = 0; i < PLAYERS; i++) {
            p[i] = open_kind(i % (PAIR_KINDS + 1));
            weft_wg_go(&wg, play, p[i].a, (int)true, way, ROUNDS(2000));
            weft_wg_go(&wg, play, p[i].b, (int)false, way, ROUNDS(2000));
        }
        weft_wg_wait(&wg);
        for (int i = 0; i < PLAYERS; i++)
            close_pair(p[i]);
    }
}

TEST_ENV(N1_no_wake_up_is_lost_1, "GOMAXPROCS=1") {
    matches();
}

TEST_ENV(N1_no_wake_up_is_lost_2, "GOMAXPROCS=2") {
    matches();
}

TEST_ENV(N1_no_wake_up_is_lost_8, "GOMAXPROCS=8") {
    matches();
}

/* Many accepters, many clients: each connection goes to one, and none is left lying. */
static void accept_some(int listener, _Atomic int *accepted) {
    for (;;) {
        int fd = weft_accept(listener);
        if (fd < 0) {
            CHECK_EQ(errno, EBADF);
            return;
        }
        ++*accepted;
        CHECK_EQ(weft_write(fd, "x", 1), 1);
        CHECK_EQ(weft_close(fd), 0);
    }
}

static void dial_some(const char *address, int n) {
    for (int i = 0; i < n; i++) {
        int fd = dial_to(UNIX, address);
        CHECK_EQ(call_read(fd), 1);
        CHECK_EQ(weft_close(fd), 0);
    }
}

static void accepters(void) {
    char address[128];
    int listener = listen_for(UNIX, address, sizeof address);
    weft_wg servers = WEFT_WG_INIT, clients = WEFT_WG_INIT;
    _Atomic int accepted = 0;
    const int each = ROUNDS(500);
    for (int i = 0; i < 8; i++) {
        weft_wg_go(&servers, accept_some, listener, &accepted);
        weft_wg_go(&clients, dial_some, &address[0], each);
    }
    weft_wg_wait(&clients);
    CHECK_EQ(accepted, 8 * each);
    CHECK_EQ(weft_close(listener), 0);
    weft_wg_wait(&servers);
}

TEST_ENV(N8_each_connection_goes_to_one_accepter_1, "GOMAXPROCS=1") {
    accepters();
}

TEST_ENV(N8_each_connection_goes_to_one_accepter_8, "GOMAXPROCS=8") {
    accepters();
}
