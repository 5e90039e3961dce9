/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines, and what else ends a wait for I/O: N13 to N24, N28, N30 and N31 of the behaviours that
 * weft shares with Go. Closing is in closing.c.
 *
 * "Parked" is brought about with one P and settle(). Where several Ps take part the tests accept
 * that a call began only after the deadline, for its result is the same.
 */
#define _GNU_SOURCE
#include "pairs.h"

#include <pthread.h>

static ssize_t read_byte(int fd, char *byte) {
    *byte = 0;
    return weft_read(fd, byte, 1);
}

static void check_timed_out(ssize_t result) {
    int error = errno;
    CHECK_EQ(result, -1);
    CHECK_EQ(error, ETIMEDOUT);
}

/* ---- deadlines ---- */

TEST(N13_a_deadline_holds_until_it_is_changed) {
    struct pair p = open_pair(TCP);
    weft_time deadline = weft_now() + 10 * WEFT_MILLISECOND;
    CHECK_EQ(weft_set_read_deadline(p.a, deadline), 0);
    for (int i = 0; i < 5; i++) {
        check_timed_out(call_read(p.a));
        CHECK(weft_now() >= deadline);
    }
    CHECK_EQ(weft_set_read_deadline(p.a, weft_now() + WEFT_HOUR), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(weft_write(p.b, "x", 1), 1);
        CHECK_EQ(call_read(p.a), 1);
    }
    close_pair(p);
}

TEST(N14_a_deadline_in_the_past_beats_what_is_ready) {
    const weft_time past[] = {1, -1, INT64_MIN, weft_now()};
    char address[128];
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
        struct pair p = open_pair(TCP);
        char byte;
        CHECK_EQ(weft_write(p.b, "x", 1), 1);
        CHECK(weft_poll(p.a, POLLIN) & POLLIN);
        CHECK_EQ(weft_set_deadline(p.a, past[i]), 0);
        check_timed_out(call_read(p.a));
        check_timed_out(weft_recvfrom(p.a, &byte, 1, 0, NULL, NULL));
        check_timed_out(weft_write(p.a, "x", 1));
        check_timed_out(weft_sendto(p.a, "x", 1, 0, NULL, 0));
        close_pair(p);

        int listener = listen_for(TCP, address, sizeof address), client = dial_to(TCP, address);
        CHECK(weft_poll(listener, POLLIN) & POLLIN);
        CHECK_EQ(weft_set_deadline(listener, past[i]), 0);
        check_timed_out(weft_accept(listener));
        CHECK_EQ(weft_set_deadline(listener, 0), 0);
        int server = weft_accept(listener);
        CHECK(server >= 0);
        CHECK_EQ(weft_close(server) | weft_close(client) | weft_close(listener), 0);
    }
}

TEST(N14_a_read_of_nothing_obeys_it_too) {
    struct pair p = open_pair(TCP);
    char byte;
    CHECK_EQ(weft_read(p.a, &byte, 0), 0);
    close_pair(p);
}

TEST(N15_a_time_out_is_told_from_other_ends) {
    struct pair p = open_pair(TCP);
    char byte;
    /* the descriptor's */
    CHECK_EQ(weft_set_read_deadline(p.a, weft_now() + WEFT_MILLISECOND), 0);
    {
        weft_scope_timeout(WEFT_HOUR);
        check_timed_out(call_read(p.a));
        CHECK_EQ(weft_ctx_err(weft_ctx_current()), 0);
    }
    /* the context's */
    CHECK_EQ(weft_set_read_deadline(p.a, weft_now() + WEFT_HOUR), 0);
    {
        weft_scope_timeout(WEFT_MILLISECOND);
        check_timed_out(call_read(p.a));
        CHECK_EQ(weft_ctx_err(weft_ctx_current()), ETIMEDOUT);
    }
    /* a cancelled context */
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
    weft_ctx_cancel(ctx, 0);
    {
        weft_scope_ctx(ctx);
        CHECK_EQ(call_read(p.a), -1);
        CHECK_EQ(errno, ECANCELED);
    }
    weft_ctx_unref(ctx);
    /* the end of the stream */
    CHECK_EQ(weft_shutdown(p.b, SHUT_WR), 0);
    CHECK_EQ(weft_read(p.a, &byte, 1), 0);
    close_pair(p);
}

TEST(N16_no_earlier_than_the_deadline) {
    struct pair p = open_pair(TCP);
    for (weft_duration d = 50 * WEFT_MICROSECOND; d < 60 * WEFT_MILLISECOND; d = d * 3 / 2) {
        weft_time deadline = weft_now() + d;
        CHECK_EQ(weft_set_read_deadline(p.a, deadline), 0);
        check_timed_out(call_read(p.a));
        CHECK(weft_now() >= deadline);
        deadline = weft_now() + d;
        CHECK_EQ(weft_set_read_deadline(p.a, deadline), 0);
        check_timed_out(weft_poll(p.a, POLLIN));
        CHECK(weft_now() >= deadline);
    }
    close_pair(p);
}

TEST(N17_unread_data_stay) {
    struct pair p = open_pair(TCP);
    char byte;
    CHECK_EQ(weft_write(p.b, "abc", 3), 3);
    CHECK_EQ(read_byte(p.a, &byte), 1);
    CHECK_EQ(byte, 'a');
    CHECK_EQ(weft_set_read_deadline(p.a, weft_now() - 1), 0);
    for (int i = 0; i < 3; i++)
        check_timed_out(read_byte(p.a, &byte));
    CHECK_EQ(weft_set_read_deadline(p.a, 0), 0);
    CHECK_EQ(read_byte(p.a, &byte), 1);
    CHECK_EQ(byte, 'b');
    CHECK_EQ(read_byte(p.a, &byte), 1);
    CHECK_EQ(byte, 'c');
    close_pair(p);
}

TEST(N18_a_new_deadline_makes_it_usable_again) {
    struct pair p = open_pair(TCP);
    const weft_time later[] = {0, weft_now() + WEFT_HOUR, INT64_MAX};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        CHECK_EQ(weft_set_deadline(p.a, weft_now() + WEFT_MILLISECOND), 0);
        check_timed_out(call_read(p.a));
        CHECK_EQ(weft_set_deadline(p.a, later[i]), 0);
        struct call c;
        call_start(&c, p.a, call_read); /* parks again */
        quiet_for(2 * WEFT_MILLISECOND);
        CHECK(!c.done);
        CHECK_EQ(weft_write(p.a, "x", 1), 1);
        CHECK_EQ(weft_write(p.b, "x", 1), 1);
        call_ends(&c, 1, 0);
    }
    close_pair(p);
}

TEST(N19_reading_and_writing_have_deadlines_of_their_own) {
    struct pair p = open_pair(TCP);
    CHECK_EQ(weft_set_read_deadline(p.a, 1), 0);
    check_timed_out(call_read(p.a));
    CHECK_EQ(weft_write(p.a, "x", 1), 1);
    CHECK_EQ(weft_set_read_deadline(p.a, 0), 0);
    CHECK_EQ(weft_set_write_deadline(p.a, 1), 0);
    check_timed_out(weft_write(p.a, "x", 1));
    CHECK_EQ(weft_write(p.b, "x", 1), 1);
    CHECK_EQ(call_read(p.a), 1);
    close_pair(p);
}

TEST1(N19_a_read_deadline_leaves_a_parked_writer_alone) {
    struct pair p = open_pair(TCP);
    struct call writer;
    fill_up(p.a);
    call_start(&writer, p.a, call_write);
    CHECK_EQ(weft_set_read_deadline(p.a, weft_now() + WEFT_MILLISECOND), 0);
    check_timed_out(call_read(p.a));
    settle();
    CHECK(!writer.done);
    while (!writer.done)
        drain(p.b);
    CHECK(writer.result > 0);
    close_pair(p);
}

TEST1(N20_setting_both_sets_both) {
    struct pair p = open_pair(TCP);
    struct call reader, writer;
    fill_up(p.a);
    call_start(&reader, p.a, call_read);
    call_start(&writer, p.a, call_write);
    settle();
    weft_time deadline = weft_now() + 5 * WEFT_MILLISECOND;
    CHECK_EQ(weft_set_deadline(p.a, deadline), 0);
    call_ends(&reader, -1, ETIMEDOUT);
    call_ends(&writer, -1, ETIMEDOUT);
    CHECK(reader.at >= deadline && writer.at >= deadline);
    close_pair(p);
}

TEST1(N21_zero_means_none) {
    struct pair p = open_pair(TCP);
    struct call c;
    CHECK_EQ(weft_set_deadline(p.a, weft_now() + 10 * WEFT_MILLISECOND), 0);
    call_start(&c, p.a, call_read);
    settle();
    CHECK_EQ(weft_set_deadline(p.a, 0), 0);
    if (c.done) { /* on a machine that slept through it */
        call_ends(&c, -1, ETIMEDOUT);
        call_start(&c, p.a, call_read);
    }
    quiet_for(30 * WEFT_MILLISECOND);
    CHECK(!c.done);
    CHECK_EQ(weft_write(p.b, "x", 1), 1);
    call_ends(&c, 1, 0);
    close_pair(p);
}

/* Reads what a writer sends without end, until the deadline. */
static void pour(int fd, _Atomic bool *stop) {
    static const char zeros[4096];
    while (!*stop)
        if (weft_write(fd, zeros, sizeof zeros) < 0)
            break;
}

static void various_deadlines(void) {
    static const weft_duration spans[] = {
        1,      2,      5,       50,      100,      500,       1000,      5000,       25000,
        250000, 500000, 1000000, 5000000, 25000000, 100000000, 500000000, WEFT_SECOND};
    static char buf[64 * 1024];
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        struct pair p = open_pair(TCP);
        weft_wg wg = WEFT_WG_INIT;
        _Atomic bool stop = false;
        weft_wg_go(&wg, pour, p.b, &stop);
        weft_time deadline = weft_now() + spans[i];
        CHECK_EQ(weft_set_read_deadline(p.a, deadline), 0);
        ssize_t n;
        while ((n = weft_read(p.a, buf, sizeof buf)) > 0)
            continue;
        check_timed_out(n);
        CHECK(weft_now() >= deadline);
        stop = true;
        CHECK_EQ(weft_close(p.a), 0);
        weft_wg_wait(&wg);
        CHECK_EQ(weft_close(p.b), 0);
    }
}

TEST_ENV(N22_various_deadlines_1, "GOMAXPROCS=1") {
    various_deadlines();
}

TEST_ENV(N22_various_deadlines_4, "GOMAXPROCS=4") {
    various_deadlines();
}

TEST(N23_an_accept_times_out) {
    char address[128];
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        int listener = listen_for((enum pair_kind)kind, address, sizeof address);
        weft_time deadline = weft_now() + 10 * WEFT_MILLISECOND;
        CHECK_EQ(weft_set_deadline(listener, deadline), 0);
        check_timed_out(weft_accept(listener));
        CHECK(weft_now() >= deadline);
        CHECK_EQ(weft_close(listener), 0);
    }
}

/* ---- deadlines that move under those who wait ---- */

static void keep_reading(int fd, _Atomic long *got) {
    char buf[512];
    for (;;) {
        ssize_t n = weft_read(fd, buf, sizeof buf);
        if (n == 0)
            return;
        if (n > 0)
            *got += n;
        else
            CHECK_EQ(errno, ETIMEDOUT);
    }
}

static void keep_writing(int fd, long n) {
    static const char zeros[512];
    while (n > 0) {
        size_t part = n < (long)sizeof zeros ? (size_t)n : sizeof zeros;
        ssize_t put = weft_write(fd, zeros, part);
        if (put < (ssize_t)part)
            CHECK_EQ(errno, ETIMEDOUT);
        if (put > 0)
            n -= put;
    }
    CHECK_EQ(weft_shutdown(fd, SHUT_WR), 0);
}

static void keep_setting(struct pair p, unsigned seed, _Atomic bool *stop) {
    int (*const set[])(int, weft_time) = {weft_set_deadline, weft_set_read_deadline,
                                          weft_set_write_deadline};
    for (int i = 0; i < 1000 && !*stop; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned draw = seed >> 16;
        weft_time t = draw & 1 ? weft_now() + (weft_duration)(draw & 1023) * WEFT_MICROSECOND
                               : (draw & 2 ? 0 : 1);
        CHECK_EQ(set[draw % 3](draw & 4 ? p.a : p.b, t), 0);
        if ((draw & 15) == 0)
            weft_yield();
    }
}

static void keep_setting_at(struct pair *p, unsigned seed, _Atomic bool *stop) {
    keep_setting(*p, seed, stop);
}

static void deadlines_race(void) {
    struct pair p = open_pair(TCP);
    weft_wg moving = WEFT_WG_INIT, setting = WEFT_WG_INIT;
    _Atomic long got_a = 0, got_b = 0;
    _Atomic bool stop = false;
    long n = 512L * ROUNDS(1000);
    weft_wg_go(&moving, keep_reading, p.a, &got_a);
    weft_wg_go(&moving, keep_reading, p.b, &got_b);
    weft_wg_go(&moving, keep_writing, p.a, n);
    weft_wg_go(&moving, keep_writing, p.b, n);
    for (unsigned i = 0; i < 4; i++)
        weft_wg_go(&setting, keep_setting_at, &p, i + 1, &stop);
    weft_wg_wait(&setting);
    CHECK_EQ(weft_set_deadline(p.a, 0), 0);
    CHECK_EQ(weft_set_deadline(p.b, 0), 0);
    weft_wg_wait(&moving);
    CHECK_EQ(got_a, n);
    CHECK_EQ(got_b, n);
    close_pair(p);
}

TEST_ENV(N24_deadlines_race_with_reads_and_writes_1, "GOMAXPROCS=1") {
    deadlines_race();
}

TEST_ENV(N24_deadlines_race_with_reads_and_writes_4, "GOMAXPROCS=4") {
    deadlines_race();
}

TEST1(N24_a_deadline_moves_under_a_waiter) {
    struct pair p = open_pair(TCP);
    struct call c;
    /* from none, and from a late one, to a near one */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(weft_set_read_deadline(p.a, i == 0 ? 0 : weft_now() + WEFT_HOUR), 0);
        call_start(&c, p.a, call_read);
        settle();
        weft_time deadline = weft_now() + 2 * WEFT_MILLISECOND;
        CHECK_EQ(weft_set_read_deadline(p.a, deadline), 0);
        call_ends(&c, -1, ETIMEDOUT);
        CHECK(c.at >= deadline);
    }
    /* into the past */
    CHECK_EQ(weft_set_read_deadline(p.a, 0), 0);
    call_start(&c, p.a, call_read);
    settle();
    CHECK_EQ(weft_set_read_deadline(p.a, 1), 0);
    call_ends(&c, -1, ETIMEDOUT);
    /* later and later */
    weft_time deadline = weft_now() + 5 * WEFT_MILLISECOND;
    CHECK_EQ(weft_set_read_deadline(p.a, deadline), 0);
    call_start(&c, p.a, call_read);
    for (int i = 0; i < 20; i++) {
        deadline += WEFT_MILLISECOND;
        CHECK_EQ(weft_set_read_deadline(p.a, deadline), 0);
        weft_yield();
    }
    call_ends(&c, -1, ETIMEDOUT);
    CHECK(c.at >= deadline || weft_now() >= deadline);
    close_pair(p);
}

TEST(N28_what_cannot_be_polled_has_no_deadline) {
    char path[] = "/tmp/weft-deadlines-XXXXXX";
    int made = mkstemp(path), own = weft_open(path, O_RDWR);
    int folder = weft_open("/tmp", O_RDONLY | O_DIRECTORY);
    CHECK(made >= 0 && own >= 0 && folder >= 0);
    const int fds[] = {made, own, folder};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(weft_set_deadline(fds[i], weft_now() + WEFT_SECOND), -1);
        CHECK_EQ(errno, EOPNOTSUPP);
        CHECK_EQ(weft_set_read_deadline(fds[i], 1), -1);
        CHECK_EQ(weft_set_write_deadline(fds[i], 1), -1);
    }
    CHECK_EQ(weft_write(own, "x", 1), 1);
    CHECK_EQ(weft_close(own) | weft_close(folder) | close(made) | unlink(path), 0);
}

/* ---- the poller ends its wait for what is nearer ---- */

struct late {
    weft_chan(int) c;
    _Atomic int fired;
};

static void *send_late(void *arg) {
    struct late *l = arg;
    usleep(20000);
    return weft_send(l->c, 1) ? l : NULL;
}

static void fire(void *arg) {
    struct late *l = arg;
    l->fired++;
    weft_send(l->c, 2);
}

static void *arm_late(void *arg) {
    usleep(20000);
    weft_timer_unref(weft_after_func(5 * WEFT_MILLISECOND, fire, arg));
    return NULL;
}

/* All sleep in the poller, with an hour to go; then a thread has something nearer. */
static void break_in(void *(*thread_body)(void *), int want) {
    struct pair p = open_pair(TCP);
    struct late late = {.c = weft_chan_make(int, 0)};
    struct call c;
    pthread_t thread;
    int got = 0;
    CHECK_EQ(weft_set_read_deadline(p.a, weft_now() + WEFT_HOUR), 0);
    call_start(&c, p.a, call_read);
    CHECK_EQ(pthread_create(&thread, NULL, thread_body, &late), 0);
    CHECK(weft_recv(late.c, &got));
    CHECK_EQ(got, want);
    CHECK_EQ(weft_block(pthread_join(thread, NULL)), 0);
    CHECK(!c.done);
    CHECK_EQ(weft_close(p.a), 0);
    call_ends(&c, -1, EBADF);
    CHECK_EQ(weft_close(p.b), 0);
    weft_chan_unref(late.c);
}

TEST_ENV(N30_new_work_ends_the_pollers_wait_1, "GOMAXPROCS=1") {
    break_in(send_late, 1);
}

TEST_ENV(N30_new_work_ends_the_pollers_wait_4, "GOMAXPROCS=4") {
    break_in(send_late, 1);
}

TEST_ENV(N30_a_nearer_timer_ends_the_pollers_wait_1, "GOMAXPROCS=1") {
    break_in(arm_late, 2);
}

TEST_ENV(N30_a_nearer_timer_ends_the_pollers_wait_4, "GOMAXPROCS=4") {
    break_in(arm_late, 2);
}

/* ---- whether anybody waits for I/O decides whether it is a deadlock ---- */

static void wait_in_all_ways(void) {
    for (int i = 0; i < 20; i++) {
        struct pair p = open_pair(i & 1 ? TCP : UNIX);
        struct call c[4];
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
        call_start(&c[0], p.b, call_read);
        call_start(&c[1], p.a, call_poll_in);
        {
            weft_scope_ctx(ctx);
            call_start(&c[2], p.a, call_read);
        }
        call_start(&c[3], p.a, call_read);
        settle();
        weft_ctx_cancel(ctx, 0);                     /* one is cancelled, */
        CHECK_EQ(weft_write(p.a, "x", 1), 1);        /* one gets something, */
        CHECK_EQ(weft_set_read_deadline(p.a, 1), 0); /* some time out, */
        CHECK_EQ(weft_close(p.a), 0);                /* or are closed */
        for (int k = 0; k < 4; k++)
            EVENTUALLY(c[k].done);
        weft_ctx_unref(ctx);
        CHECK_EQ(weft_close(p.b), 0);
    }
}

TEST_DIES(N31_no_waiters_are_left_in_the_count, 2,
          "fatal error: all goroutines are asleep - deadlock!") {
    wait_in_all_ways();
    weft_recv((weft_chan(int))NULL, NULL);
}

TEST(N31_who_waits_for_io_is_no_deadlock) {
    struct pair p = open_pair(TCP);
    CHECK_EQ(weft_set_read_deadline(p.a, 0), 0);
    FILE *child = popen("sleep 0.2; echo x", "r"); /* somebody else's, whom weft knows nothing of */
    CHECK(child != NULL);
    CHECK_EQ(call_read(fileno(child)), 1);
    CHECK_EQ(weft_block(pclose(child)), 0);
    close_pair(p);
}
