/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing: N9 to N12 and N29 of the behaviours that weft shares with Go.
 *
 * "Parked" is brought about with one P and settle(). It must be so where the number may be used
 * again: a call that begins only after the close means the new descriptor.
 */
#define _GNU_SOURCE
#include "pairs.h"

#include <pthread.h>
#include <sys/uio.h>

TEST1(N9_closing_wakes_a_parked_reader) {
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        struct pair p = open_pair((enum pair_kind)kind);
        struct call c;
        call_start(&c, p.a, call_read);
        settle();
        CHECK(!c.done);
        CHECK_EQ(weft_close(p.a), 0);
        call_ends(&c, -1, EBADF);
        CHECK_EQ(weft_close(p.b), 0);
    }
}

TEST1(N9_closing_wakes_a_parked_writer) {
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        struct pair p = open_pair((enum pair_kind)kind);
        struct call c;
        fill_up(p.a);
        call_start(&c, p.a, call_write);
        settle();
        CHECK(!c.done);
        CHECK_EQ(weft_close(p.a), 0);
        call_ends(&c, -1, EBADF);
        CHECK_EQ(weft_close(p.b), 0);
    }
}

TEST1(N9_closing_wakes_readers_of_udp) {
    struct pair p = open_udp();
    struct call c;
    call_start(&c, p.b, call_read);
    settle();
    CHECK_EQ(weft_close(p.b), 0);
    call_ends(&c, -1, EBADF);
    CHECK_EQ(weft_close(p.a), 0);
}

TEST1(N9_closing_wakes_all_that_wait_for_a_turn_or_poll) {
    struct pair p = open_pair(TCP);
    struct call readers[5], writers[5], polls[2];
    fill_up(p.a);
    for (int i = 0; i < 5; i++) {
        call_start(&readers[i], p.a, call_read);
        call_start(&writers[i], p.a, call_write);
    }
    call_start(&polls[0], p.a, call_poll_in);
    call_start(&polls[1], p.a, call_poll_out);
    settle();
    CHECK_EQ(weft_close(p.a), 0);
    for (int i = 0; i < 5; i++) {
        call_ends(&readers[i], -1, EBADF);
        call_ends(&writers[i], -1, EBADF);
    }
    call_ends(&polls[0], -1, EBADF);
    call_ends(&polls[1], -1, EBADF);
    CHECK_EQ(weft_close(p.b), 0);
}

static void *close_late(void *arg) {
    usleep(20000);
    return (void *)(intptr_t)weft_close(*(int *)arg);
}

/* A thread that is no goroutine closes while another such waits. */
TEST(N9_closing_wakes_across_threads) {
    struct pair p = open_pair(TCP);
    pthread_t thread;
    void *result;
    CHECK_EQ(pthread_create(&thread, NULL, close_late, &p.a), 0);
    CHECK_EQ(call_read(p.a), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(weft_block(pthread_join(thread, &result)), 0);
    CHECK(result == NULL);
    CHECK_EQ(weft_close(p.b), 0);
}

TEST1(N10_closing_a_listener_wakes_its_accepters) {
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        char address[128];
        int listener = listen_for((enum pair_kind)kind, address, sizeof address);
        struct call c[8];
        for (int i = 0; i < 8; i++)
            call_start(&c[i], listener, call_accept);
        settle();
        CHECK_EQ(weft_close(listener), 0);
        for (int i = 0; i < 8; i++)
            call_ends(&c[i], -1, EBADF);
    }
}

/* Its address is free when weft_close returns. */
TEST(N10_a_listener_can_be_made_again_at_once) {
    char address[128];
    int listener = listen_for(TCP, address, sizeof address);
    for (int i = 0; i < ROUNDS(200); i++) {
        struct call c[2];
        call_start(&c[0], listener, call_accept);
        call_start(&c[1], listener, call_accept);
        CHECK_EQ(weft_close(listener), 0);
        call_ends(&c[0], -1, EBADF);
        call_ends(&c[1], -1, EBADF);
        listener = weft_listen("tcp", address);
        CHECK(listener >= 0);
    }
    CHECK_EQ(weft_close(listener), 0);
}

static void check_all_bad(int fd) {
    char buf[8] = "", text[64];
    struct iovec iov = {buf, sizeof buf};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct sockaddr_storage to = {.ss_family = AF_UNIX};
#define BAD(call)                                                                                  \
    do {                                                                                           \
        weft_set_errno(0);                                                                         \
        CHECK_EQ((call), -1);                                                                      \
        CHECK_EQ(errno, EBADF);                                                                    \
    } while (0)
    BAD(weft_read(fd, buf, 1));
    BAD(weft_write(fd, buf, 1));
    BAD(weft_readv(fd, &iov, 1));
    BAD(weft_writev(fd, &iov, 1));
    BAD(weft_recvfrom(fd, buf, 1, 0, NULL, NULL));
    BAD(weft_sendto(fd, buf, 1, 0, NULL, 0));
    BAD(weft_recvmsg(fd, &msg, 0));
    BAD(weft_sendmsg(fd, &msg, 0));
    BAD(weft_accept(fd));
    BAD(weft_connect(fd, (struct sockaddr *)&to, sizeof(sa_family_t)));
    BAD(weft_shutdown(fd, SHUT_WR));
    BAD(weft_local_addr(fd, text, sizeof text));
    BAD(weft_remote_addr(fd, text, sizeof text));
    BAD(weft_set_deadline(fd, 0));
    BAD(weft_set_read_deadline(fd, weft_now() + WEFT_SECOND));
    BAD(weft_set_write_deadline(fd, 1));
    BAD(weft_poll(fd, POLLIN));
    BAD(weft_fsync(fd));
    BAD(weft_close(fd));
#undef BAD
}

TEST(N11_after_close_everything_fails) {
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        struct pair p = open_pair((enum pair_kind)kind);
        CHECK_EQ(weft_set_deadline(p.a, weft_now() + WEFT_HOUR), 0);
        CHECK_EQ(weft_close(p.a), 0);
        check_all_bad(p.a);
        CHECK_EQ(weft_close(p.b), 0);
        check_all_bad(p.b);
    }
    char address[128];
    int listener = listen_for(TCP, address, sizeof address);
    CHECK_EQ(weft_close(listener), 0);
    check_all_bad(listener);
}

/* ---- the number stays until the last operation has left ---- */

static _Atomic bool number_end;

/* Opens descriptors all the time, so that a number that is free is in use at once. What is in there
 * must not be read by anybody else. */
static void take_numbers(void) {
    while (!number_end) {
        struct pair p = open_pair(UNIX);
        CHECK_EQ(weft_write(p.a, "X", 1), 1);
        weft_yield();
        close_pair(p);
    }
}

TEST1(N12_the_number_is_not_reused_under_a_call) {
    weft_wg wg = WEFT_WG_INIT;
    number_end = false;
    weft_wg_go(&wg, take_numbers);
    weft_wg_go(&wg, take_numbers);
    for (int i = 0; i < ROUNDS(200); i++) {
        struct pair p = open_pair(UNIX);
        struct call c;
        call_start(&c, p.a, call_read);
        settle();
        if (i & 1)
            CHECK_EQ(weft_write(p.b, "y", 1), 1);
        CHECK_EQ(weft_close(p.a), 0);
        EVENTUALLY(c.done);
        CHECK(c.result == -1 ? c.error == EBADF : c.result == 1 && (i & 1));
        CHECK_EQ(weft_close(p.b), 0);
    }
    number_end = true;
    weft_wg_wait(&wg);
}

static ssize_t call_close(int fd) {
    return weft_close(fd);
}

/* They have lost their waits, and many have not run since: nobody may get their number yet. */
TEST1(N12_the_kernel_closes_when_the_last_has_left) {
    enum { READERS = 400 };
    static struct call readers[READERS];
    struct call closer;
    struct pair p = open_pair(TCP);
    for (int i = 0; i < READERS; i++)
        call_start(&readers[i], p.a, call_read);
    settle();
    call_start(&closer, p.a, call_close);
    int left;
    do {
        left = 0;
        for (int i = 0; i < READERS; i++)
            left += !readers[i].done;
        if (left > READERS / 2)
            CHECK(fcntl(p.a, F_GETFD) >= 0);
        weft_yield();
    } while (left > 0);
    call_ends(&closer, 0, 0);
    CHECK_EQ(fcntl(p.a, F_GETFD), -1);
    CHECK_EQ(errno, EBADF);
    for (int i = 0; i < READERS; i++)
        call_ends(&readers[i], -1, EBADF);
    CHECK_EQ(weft_close(p.b), 0);
}

TEST1(N29_an_event_of_a_closed_one_wakes_nobody) {
    for (int i = 0; i < ROUNDS(300); i++) {
        struct pair old = open_pair(UNIX), fresh;
        struct call c;
        int kept = i & 1 ? dup(old.a) : -1; /* keeps the file, and may keep its registration */
        CHECK_EQ(weft_write(old.b, "old", 3), 3);
        CHECK_EQ(weft_close(old.a), 0);
        fresh = open_pair(UNIX); /* one of them has the number */
        call_start(&c, fresh.a == old.a ? fresh.a : fresh.b, call_read);
        if (kept >= 0)
            CHECK_EQ(weft_write(old.b, "more", 4), 4);
        settle();
        CHECK(!c.done);
        CHECK_EQ(weft_write(c.fd == fresh.a ? fresh.b : fresh.a, "n", 1), 1);
        call_ends(&c, 1, 0);
        close_pair(fresh);
        CHECK_EQ(weft_close(old.b), 0);
        if (kept >= 0)
            close(kept);
    }
}
