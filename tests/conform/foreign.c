/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that weft did not make: never changed and never trusted. A library may close one and
 * use its number again behind weft's back, keep a duplicate alive, or have many goroutines wait for
 * one. All of them are blocking here, as a program gets them.
 *
 * What the tests of readwrite.c read and write, these wait for.
 */
#define _GNU_SOURCE
#include "pairs.h"

#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

extern char **environ;

static struct pair open_pipe(void) {
    int fds[2];
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    return (struct pair){fds[0], fds[1]};
}

static struct pair open_socketpair(void) {
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return (struct pair){fds[0], fds[1]};
}

/* For a pair of weft's own whose `a` gets the lowest number that is free. */
struct server {
    int listener;
    char address[64];
};

static struct server start_server(void) {
    struct server s;
    s.listener = listen_for(UNIX, s.address, sizeof s.address);
    return s;
}

static struct pair connect_to(struct server *s) {
    struct pair p = {.a = dial_to(UNIX, s->address)};
    p.b = weft_accept(s->listener);
    CHECK(p.b >= 0);
    return p;
}

/* ---- a number that changes hands behind weft's back ---- */

/* The monitor opens files of its own, for moments: not while a test counts on the lowest number. */
#define TEST_NUMBERS(name) TEST_ENV(name, "GOMAXPROCS=1", "GODEBUG=retake=0,updatemaxprocs=0")

/* Ends by its context at the latest. */
static void wait_under(struct call *c, weft_ctx *ctx, int fd, ssize_t (*make)(int fd)) {
    weft_scope_ctx(ctx);
    call_start(c, fd, make);
}

static void give_up(struct call *c, int n, weft_ctx *ctx) {
    weft_ctx_cancel(ctx, 0);
    for (int i = 0; i < n; i++)
        EVENTUALLY(c[i].done);
    weft_ctx_unref(ctx);
}

/*
 * Some wait for the old file when its number becomes another's; those who wait for the new one must
 * hear of it. The others are told when weft finds out, at the next wait for the number: then they
 * wait for the new file, as a poll(2) that begins anew would. A number that has become weft's own
 * was not what they meant.
 */
static void change_hands(bool keep, bool polls, bool own) {
    struct pair old = open_socketpair(), fresh;
    struct call stale[3], c;
    struct server server = start_server();
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
    int number = old.a, kept = -1;
    for (int i = 0; i < 3; i++)
        wait_under(&stale[i], ctx, number, call_poll_in);
    settle();
    if (keep)
        kept = fcntl(old.a, F_DUPFD_CLOEXEC, 100);
    CHECK_EQ(close(old.a), 0);
    if (own) {
        fresh = connect_to(&server);
    } else {
        fresh = open_socketpair();
    }
    CHECK_EQ(fresh.a, number); /* the lowest that is free */
    call_start(&c, number, polls ? call_poll_in : call_read);
    settle();
    CHECK(!c.done);
    if (keep) { /* events of the old file are no news of the new one */
        CHECK_EQ(weft_write(old.b, "old", 3), 3);
        settle();
        quiet_for(WEFT_MILLISECOND);
        CHECK(!c.done);
    }
    CHECK_EQ(weft_write(fresh.b, "n", 1), 1);
    call_ends(&c, polls ? POLLIN : 1, 0);
    for (int i = 0; i < 3 && (polls || own); i++)
        call_ends(&stale[i], own ? -1 : POLLIN, own ? EBADF : 0);
    give_up(stale, 3, ctx);
    if (own) {
        close_pair(fresh);
    } else {
        CHECK_EQ(close(fresh.a) | close(fresh.b), 0);
    }
    CHECK_EQ(close(old.b) | weft_close(server.listener), 0);
    if (keep)
        CHECK_EQ(close(kept), 0);
}

TEST_NUMBERS(a_number_that_a_library_uses_again) {
    for (int i = 0; i < ROUNDS(200); i++)
        change_hands(i & 1, i & 2, false);
}

TEST_NUMBERS(a_number_that_weft_uses_again) {
    for (int i = 0; i < ROUNDS(200); i++)
        change_hands(i & 1, i & 2, true);
}

/* Nobody waits at that moment; weft must not think that it knows the number. */
TEST_NUMBERS(a_number_used_again_between_two_waits) {
    struct pair ends = open_pipe();
    int number = ends.a, kept[2] = {-1, -1};
    for (int i = 0; i < ROUNDS(400); i++) {
        struct call c;
        call_start(&c, number, i & 1 ? call_poll_in : call_read);
        settle();
        CHECK(!c.done);
        CHECK_EQ(weft_write(ends.b, "x", 1), 1);
        call_ends(&c, i & 1 ? POLLIN : 1, 0);
        if (kept[i & 1] >= 0)
            CHECK_EQ(close(kept[i & 1]), 0);
        kept[i & 1] = i & 2 ? fcntl(number, F_DUPFD_CLOEXEC, 100) : -1;
        CHECK_EQ(close(number) | close(ends.b), 0);
        ends = i & 4 ? open_pipe() : open_socketpair();
        CHECK_EQ(ends.a, number);
    }
    CHECK_EQ(close(ends.a) | close(ends.b), 0);
    for (int i = 0; i < 2; i++)
        if (kept[i] >= 0)
            close(kept[i]);
}

/* dup2 over a descriptor that is waited for, as a shell does with its own. */
TEST1(a_file_put_in_another_ones_place) {
    for (int i = 0; i < ROUNDS(100); i++) {
        struct pair one = open_pipe(), two = open_pipe();
        weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
        struct call stale, c;
        wait_under(&stale, ctx, one.a, call_poll_in);
        settle();
        CHECK_EQ(dup3(two.a, one.a, O_CLOEXEC), one.a);
        call_start(&c, one.a, call_poll_in);
        settle();
        CHECK_EQ(weft_write(two.b, "x", 1), 1);
        call_ends(&c, POLLIN, 0);
        give_up(&stale, 1, ctx);
        CHECK_EQ(close(one.a) | close(one.b) | close(two.a) | close(two.b), 0);
    }
}

TEST(weft_close_of_a_foreign_one_wakes_its_waiters) {
    for (int i = 0; i < ROUNDS(100); i++) {
        struct pair ends = open_pipe();
        struct call c[4];
        weft_ctx *ctx = weft_ctx_with_timeout(weft_ctx_current(), 30 * WEFT_SECOND);
        for (int k = 0; k < 4; k++)
            wait_under(&c[k], ctx, ends.a, k & 1 ? call_poll_in : call_read);
        settle();
        CHECK_EQ(weft_close(ends.a), 0);
        for (int k = 0; k < 4; k++)
            call_ends(&c[k], -1, EBADF);
        weft_ctx_unref(ctx);
        CHECK_EQ(weft_close(ends.b), 0);
    }
}

/* ---- deadlines ---- */

TEST(a_foreign_descriptor_has_deadlines) {
    struct pair ends = open_socketpair();
    weft_time deadline = weft_now() + 5 * WEFT_MILLISECOND;
    CHECK_EQ(weft_set_read_deadline(ends.a, deadline), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(call_read(ends.a), -1);
        CHECK_EQ(errno, ETIMEDOUT);
        CHECK_EQ(call_poll_in(ends.a), -1);
        CHECK_EQ(errno, ETIMEDOUT);
        CHECK(weft_now() >= deadline);
    }
    CHECK_EQ(weft_write(ends.a, "x", 1), 1);
    CHECK_EQ(weft_set_read_deadline(ends.a, 0), 0);
    CHECK_EQ(weft_write(ends.b, "x", 1), 1);
    CHECK_EQ(call_read(ends.a), 1);
    CHECK_EQ(close(ends.a) | close(ends.b), 0);
}

TEST1(a_deadline_moves_under_a_foreign_waiter) {
    struct pair ends = open_pipe();
    struct call reader, poller;
    call_start(&reader, ends.a, call_read);
    call_start(&poller, ends.a, call_poll_in);
    settle();
    weft_time deadline = weft_now() + 5 * WEFT_MILLISECOND;
    CHECK_EQ(weft_set_read_deadline(ends.a, deadline), 0);
    call_ends(&reader, -1, ETIMEDOUT);
    call_ends(&poller, -1, ETIMEDOUT);
    CHECK(reader.at >= deadline && poller.at >= deadline);
    CHECK_EQ(close(ends.a) | close(ends.b), 0);
}

/* Neither a deadline that has passed, nor one that passes while the new file is waited for. */
TEST_NUMBERS(a_deadline_does_not_hit_who_gets_the_number) {
    struct server server = start_server();
    for (int i = 0; i < ROUNDS(100); i++) {
        struct pair old = i & 1 ? open_pipe() : open_socketpair(), fresh;
        bool own = i & 2;
        struct call c;
        weft_time t = i & 4 ? 1 : weft_now() + WEFT_MILLISECOND;
        CHECK_EQ(weft_set_deadline(old.a, t), 0);
        if (i & 8) { /* it was waited for under the deadline, too */
            CHECK_EQ(call_read(old.a), -1);
            CHECK_EQ(errno, ETIMEDOUT);
        }
        CHECK_EQ(close(old.a), 0);
        fresh = own ? connect_to(&server) : open_socketpair();
        CHECK_EQ(fresh.a, old.a);
        call_start(&c, fresh.a, i & 16 ? call_poll_in : call_read);
        quiet_for(2 * WEFT_MILLISECOND);
        CHECK(!c.done);
        CHECK_EQ(weft_write(fresh.a, "x", 1), 1);
        CHECK_EQ(weft_write(fresh.b, "x", 1), 1);
        call_ends(&c, i & 16 ? POLLIN : 1, 0);
        if (own)
            close_pair(fresh);
        else
            CHECK_EQ(close(fresh.a) | close(fresh.b), 0);
        CHECK_EQ(close(old.b), 0);
    }
    CHECK_EQ(weft_close(server.listener), 0);
}

/* ---- many wait for one ---- */

static void many_poll(int fd, int feeder, int n) {
    struct call *c = calloc((size_t)n, sizeof *c);
    for (int i = 0; i < n; i++)
        call_start(&c[i], fd, call_poll_in);
    settle();
    for (int i = 0; i < n; i++)
        CHECK(!c[i].done);
    CHECK_EQ(weft_write(feeder, "x", 1), 1);
    for (int i = 0; i < n; i++)
        call_ends(&c[i], POLLIN, 0);
    CHECK_EQ(call_read(fd), 1);
    free(c);
}

TEST(many_poll_one_descriptor) {
    struct pair own = open_pair(TCP), foreign = open_pipe();
    for (int i = 0; i < ROUNDS(20); i++) {
        many_poll(own.a, own.b, 100);
        many_poll(foreign.a, foreign.b, 100);
    }
    close_pair(own);
    CHECK_EQ(close(foreign.a) | close(foreign.b), 0);
}

/* Each event wakes those who wait for it, and leaves the others' registration alive. */
static void poll_both_ways(struct pair p) {
    struct call in[8], out[8];
    fill_up(p.a);
    for (int i = 0; i < 8; i++) {
        call_start(&in[i], p.a, call_poll_in);
        call_start(&out[i], p.a, call_poll_out);
    }
    settle();
    for (int i = 0; i < 8; i++)
        CHECK(!in[i].done && !out[i].done);
    CHECK_EQ(weft_write(p.b, "x", 1), 1);
    for (int i = 0; i < 8; i++)
        call_ends(&in[i], POLLIN, 0);
    settle();
    for (int i = 0; i < 8; i++)
        CHECK(!out[i].done);
    while (!out[0].done)
        drain(p.b);
    for (int i = 0; i < 8; i++)
        call_ends(&out[i], POLLOUT, 0);
}

TEST1(some_poll_for_input_and_some_for_output) {
    struct pair own = open_pair(UNIX), foreign = open_socketpair();
    poll_both_ways(own);
    poll_both_ways(foreign);
    close_pair(own);
    CHECK_EQ(close(foreign.a) | close(foreign.b), 0);
}

TEST(poll_says_what_happened) {
    struct pair ends = open_pipe();
    CHECK_EQ(weft_poll(ends.b, POLLOUT), POLLOUT);
    CHECK_EQ(close(ends.b), 0);
    CHECK_EQ(weft_poll(ends.a, POLLIN), POLLHUP);
    CHECK_EQ(close(ends.a), 0);
    CHECK_EQ(weft_poll(ends.a, POLLIN), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(weft_poll(-1, POLLIN), -1);
    CHECK_EQ(errno, EBADF);
    ends = open_pipe();
    CHECK_EQ(close(ends.a), 0);
    CHECK(weft_poll(ends.b, POLLIN) & POLLERR);
    CHECK_EQ(close(ends.b), 0);
    ends = open_socketpair();
    CHECK_EQ(shutdown(ends.b, SHUT_WR), 0);
    CHECK(weft_poll(ends.a, POLLRDHUP) & POLLRDHUP);
    CHECK_EQ(close(ends.a) | close(ends.b), 0);
}

TEST1(poll_of_what_hangs_up_under_it) {
    struct pair ends = open_pipe();
    struct call c;
    call_start(&c, ends.a, call_poll_in);
    settle();
    CHECK_EQ(close(ends.b), 0);
    call_ends(&c, POLLHUP, 0);
    CHECK_EQ(close(ends.a), 0);
}

/* A regular file is always ready, as it is for poll(2). */
TEST(poll_of_a_file) {
    char path[] = "/tmp/weft-foreign-XXXXXX";
    int fd = mkstemp(path), own = weft_open(path, O_RDWR);
    CHECK(fd >= 0 && own >= 0);
    CHECK_EQ(weft_poll(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_EQ(weft_poll(own, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_EQ(close(fd) | weft_close(own) | unlink(path), 0);
}

/* ---- every kind that the kernel has ---- */

static ssize_t read_word(int fd) {
    uint64_t word;
    return weft_read(fd, &word, sizeof word) == sizeof word ? (ssize_t)word : -1;
}

TEST1(eventfd) {
    int fd = eventfd(0, EFD_CLOEXEC);
    struct call poller, reader;
    call_start(&poller, fd, call_poll_in);
    call_start(&reader, fd, read_word);
    settle();
    CHECK(!poller.done && !reader.done);
    CHECK_EQ(eventfd_write(fd, 42), 0);
    call_ends(&reader, 42, 0);
    if (!poller.done) { /* the reader was quicker */
        CHECK_EQ(eventfd_write(fd, 1), 0);
        EVENTUALLY(poller.done);
    }
    call_ends(&poller, POLLIN, 0);
    CHECK_EQ(close(fd), 0);
}

TEST1(timerfd) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec soon = {.it_value = {.tv_nsec = 5000000}};
    struct call c;
    call_start(&c, fd, call_poll_in);
    settle();
    CHECK(!c.done);
    CHECK_EQ(timerfd_settime(fd, 0, &soon, NULL), 0);
    call_ends(&c, POLLIN, 0);
    CHECK_EQ(read_word(fd), 1);
    call_start(&c, fd, read_word);
    CHECK_EQ(timerfd_settime(fd, 0, &soon, NULL), 0);
    call_ends(&c, 1, 0);
    CHECK_EQ(close(fd), 0);
}

TEST1(epoll) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct pair ends = open_pipe();
    struct epoll_event e = {.events = EPOLLIN};
    struct call c;
    CHECK_EQ(epoll_ctl(fd, EPOLL_CTL_ADD, ends.a, &e), 0);
    for (int i = 0; i < 10; i++) { /* the way of a library with a loop of its own */
        call_start(&c, fd, call_poll_in);
        settle();
        CHECK(!c.done);
        CHECK_EQ(weft_write(ends.b, "x", 1), 1);
        call_ends(&c, POLLIN, 0);
        CHECK_EQ(epoll_wait(fd, &e, 1, 0), 1);
        CHECK_EQ(call_read(ends.a), 1);
    }
    CHECK_EQ(close(fd) | close(ends.a) | close(ends.b), 0);
}

TEST1(inotify) {
    char folder[] = "/tmp/weft-foreign-XXXXXX", path[64];
    union {
        struct inotify_event event;
        char room[512];
    } got;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/new", folder);
    int fd = inotify_init1(IN_CLOEXEC);
    CHECK(inotify_add_watch(fd, folder, IN_CREATE) >= 0);
    struct call c;
    call_start(&c, fd, call_poll_in);
    settle();
    CHECK(!c.done);
    int made = weft_open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(made >= 0);
    call_ends(&c, POLLIN, 0);
    CHECK(weft_read(fd, &got, sizeof got) > 0);
    CHECK_STR(got.event.name, "new");
    CHECK_EQ(weft_close(made) | close(fd) | unlink(path) | rmdir(folder), 0);
}

TEST1(pidfd) {
    struct pair ends = open_pipe();
    posix_spawn_file_actions_t actions;
    char *argv[] = {(char *)(uintptr_t) "cat", NULL};
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends.a, 0);
    CHECK_EQ(posix_spawnp(&pid, "cat", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        test_skip("no pidfd_open: %s", strerror(errno));
    struct call c;
    call_start(&c, fd, call_poll_in);
    settle();
    CHECK(!c.done);
    CHECK_EQ(close(ends.a) | close(ends.b), 0); /* the end of its input */
    call_ends(&c, POLLIN, 0);
    int status = -1;
    CHECK_EQ(weft_waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(close(fd), 0);
}

static int read_signals(int argc, char **argv) {
    (void)argc, (void)argv;
    sigset_t set;
    struct signalfd_siginfo info;
    struct call c;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    for (int i = 0; i < 10; i++) {
        call_start(&c, fd, call_poll_in);
        settle();
        CHECK(!c.done);
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        call_ends(&c, POLLIN, 0);
        CHECK_EQ(weft_read(fd, &info, sizeof info), (ssize_t)sizeof info);
        CHECK_EQ(info.ssi_signo, SIGUSR1);
    }
    CHECK_EQ(close(fd), 0);
    return 0;
}

/* The signal must be blocked in all threads, so before they are made. */
TEST_PLAIN(signalfd_is_waited_for) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    setenv("GOMAXPROCS", "1", 1);
    CHECK_EQ(weft_run(read_signals, 0, NULL), 0);
}

/* ---- flags are never changed ---- */

static void check_flags(int fd, int flags) {
    CHECK_EQ(fcntl(fd, F_GETFL), flags);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void all_calls(struct pair p, bool is_socket) {
    int a = fcntl(p.a, F_GETFL), b = fcntl(p.b, F_GETFL);
    struct call c;
    call_start(&c, p.a, call_read);
    settle();
    check_flags(p.a, a); /* while somebody is parked on it, too */
    CHECK_EQ(weft_write(p.b, "x", 1), 1);
    call_ends(&c, 1, 0);
    call_start(&c, p.a, call_poll_in);
    settle();
    check_flags(p.a, a);
    CHECK_EQ(weft_write(p.b, "x", 1), 1);
    call_ends(&c, POLLIN, 0);
    CHECK_EQ(weft_set_deadline(p.a, weft_now() + WEFT_HOUR), 0);
    CHECK_EQ(call_read(p.a), 1);
    if (is_socket)
        CHECK_EQ(weft_shutdown(p.b, SHUT_WR), 0);
    check_flags(p.a, a);
    check_flags(p.b, b);
    CHECK_EQ(close(p.a) | close(p.b), 0);
}

/* Both ways: a blocking one stays so, and a non-blocking one too. */
TEST1(flags_are_never_changed) {
    int fds[2];
    all_calls(open_pipe(), false);
    all_calls(open_socketpair(), true);
    CHECK_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    all_calls((struct pair){fds[0], fds[1]}, false);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    all_calls((struct pair){fds[0], fds[1]}, true);
}

/* socket(2), bind(2), listen(2) and then weft: the connection is weft's, the listener is not. */
TEST1(accept_and_connect_on_foreign_sockets) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof address;
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0); /* any name */
    CHECK_EQ(listen(listener, 16), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    int listener_flags = fcntl(listener, F_GETFL), client_flags = fcntl(client, F_GETFL);

    struct call c;
    call_start(&c, listener, call_accept);
    settle();
    CHECK(!c.done);
    CHECK_EQ(weft_connect(client, (struct sockaddr *)&address, len), 0);
    EVENTUALLY(c.done);
    int server = (int)c.result;
    CHECK(server >= 0);
    check_flags(listener, listener_flags);
    check_flags(client, client_flags);
    CHECK(fcntl(server, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(weft_write(client, "x", 1), 1);
    CHECK_EQ(call_read(server), 1);
    CHECK_EQ(weft_close(server) | close(client) | close(listener), 0);
}
