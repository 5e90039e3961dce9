/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing: N2, N3, N4 and N6 of the behaviours that weft shares with Go, on foreign
 * descriptors of each kind and on weft's own FIFOs; that foreign ones stay as they are; no SIGPIPE.
 *
 * No test ignores SIGPIPE: one that is raised ends the test.
 */
#include "io.h"

#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

struct result {
    ssize_t n;
    int error;
};

static void reads(int fd, char *buf, size_t n, weft_chan(struct result) done) {
    struct result r = {0, 0};
    r.n = weft_read(fd, buf, n);
    if (r.n < 0)
        r.error = errno;
    weft_send(done, r);
}

static void writes(int fd, const char *buf, size_t n, weft_chan(struct result) done) {
    struct result r = {0, 0};
    weft_set_errno(0);
    r.n = weft_write(fd, buf, n);
    r.error = errno;
    weft_send(done, r);
}

static struct result await(weft_chan(struct result) done) {
    struct result r;
    CHECK(weft_recv(done, &r));
    return r;
}

/* ---- tried first, parks on EAGAIN ---- */

static int ran;

static void runs(void) {
    ran++;
}

/* Did another goroutine run while this one wrote and read? */
static bool others_ran(struct ends e) {
    char buf[8];
    ran = 0;
    weft_go(runs);
    CHECK_EQ(weft_write(e.w, "hello", 5), 5);
    CHECK_EQ(weft_read(e.r, buf, sizeof buf), 5);
    bool parked = ran != 0;
    settle();
    CHECK_EQ(ran, 1);
    return parked;
}

TEST1(N2_what_is_there_is_read_without_a_park) {
    for (enum kind k = SOCKET; k <= PIPE; k++) {
        struct ends e = open_ends(k);
        int tries = 0;
        while (others_ran(e)) /* the end of a time slice looks the same, but not each time */
            CHECK(++tries < 100);
        close_ends(e);
    }
}

enum { MANY = 20 };

/* Goroutines that wait cost no threads and hold no P, although the descriptors block. */
static void many_wait(enum kind k) {
    char buf[MANY] = {0};
    struct ends e[MANY];
    int flags_r[MANY], flags_w[MANY];
    weft_chan(struct result) done = weft_chan_make(struct result, MANY);
    settle();
    int threads = test_count_threads();
    for (int i = 0; i < MANY; i++) {
        e[i] = open_ends(k);
        flags_r[i] = fcntl(e[i].r, F_GETFL);
        flags_w[i] = fcntl(e[i].w, F_GETFL);
        CHECK(!(flags_r[i] & O_NONBLOCK));
        weft_go(reads, e[i].r, buf + i, (size_t)1, done);
    }
    settle();
    CHECK_EQ(weft_chan_len(done), 0);
    CHECK_EQ(weft_num_goroutine(), MANY + 1);
    CHECK(test_count_threads() <= threads + 4);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(fcntl(e[i].r, F_GETFL), flags_r[i]);
        CHECK_EQ(weft_write(e[i].w, "x", 1), 1);
    }
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(await(done).n, 1);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(buf[i], 'x');
        CHECK_EQ(fcntl(e[i].r, F_GETFL), flags_r[i]);
        CHECK_EQ(fcntl(e[i].w, F_GETFL), flags_w[i]);
        close_ends(e[i]);
    }
    weft_chan_unref(done);
}

TEST1(N1_readers_of_blocking_sockets_park) {
    many_wait(SOCKET);
}

TEST1(N1_readers_of_blocking_pipes_park) {
    many_wait(PIPE);
}

TEST1(N1_readers_of_blocking_fifos_park) {
    many_wait(FIFO);
}

TEST1(N1_readers_of_blocking_terminals_park) {
    many_wait(PTY);
}

/* As a shell starts a program: 0 is a pipe or a terminal that others share. */
static void as_stdin(enum kind k) {
    struct ends e = open_ends(k);
    char buf[8];
    weft_chan(struct result) done = weft_chan_make(struct result, 0);
    int before = dup(0);
    CHECK(before >= 0 && dup2(e.r, 0) == 0);
    weft_go(reads, 0, buf, sizeof buf, done);
    settle();
    CHECK(!(fcntl(0, F_GETFL) & O_NONBLOCK) && !(fcntl(e.r, F_GETFL) & O_NONBLOCK));
    CHECK_EQ(write(e.w, "line\n", 5), 5);
    CHECK_EQ(await(done).n, 5);
    CHECK(memcmp(buf, "line\n", 5) == 0);
    CHECK(!(fcntl(0, F_GETFL) & O_NONBLOCK));
    CHECK_EQ(dup2(before, 0), 0);
    close(before);
    close_ends(e);
    weft_chan_unref(done);
}

TEST1(an_inherited_stdin_stays_blocking) {
    as_stdin(PIPE);
    as_stdin(PTY);
    as_stdin(SOCKET);
}

/* Two readers of one foreign pipe: whoever comes too late waits on. */
static _Atomic long taken;

static void takes(int fd, weft_wg *wg) {
    char c[3];
    ssize_t n;
    while ((n = weft_read(fd, c, sizeof c)) > 0)
        taken += n;
    CHECK_EQ(n, 0);
    weft_wg_done(wg);
}

static void shared_readers(enum kind k) {
    struct ends e = open_ends(k);
    long total = ROUNDS(3000);
    weft_wg wg = WEFT_WG_INIT;
    taken = 0;
    weft_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        weft_go(takes, e.r, &wg);
    for (long i = 0; i < total; i++) {
        CHECK_EQ(weft_write(e.w, "b", 1), 1);
        if (i % 7 == 0)
            weft_yield();
    }
    weft_close(e.w);
    weft_wg_wait(&wg);
    CHECK_EQ(taken, total);
    weft_close(e.r);
}

TEST(readers_may_share_a_foreign_descriptor) {
    shared_readers(SOCKET);
    shared_readers(PIPE);
    shared_readers(FIFO);
}

TEST(eventfd_and_timerfd_are_read) {
    uint64_t v = 0;
    int e = eventfd(0, EFD_CLOEXEC), t = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(e >= 0 && t >= 0);
    struct itimerspec soon = {.it_value = {0, 2000000}};
    CHECK_EQ(timerfd_settime(t, 0, &soon, NULL), 0);
    CHECK_EQ(weft_read(t, &v, sizeof v), sizeof v);
    CHECK_EQ(v, 1);
    weft_chan(struct result) done = weft_chan_make(struct result, 0);
    weft_go(reads, e, (char *)&v, sizeof v, done);
    weft_yield();
    uint64_t five = 5;
    CHECK_EQ(weft_write(e, &five, sizeof five), sizeof five);
    CHECK_EQ(await(done).n, sizeof v);
    CHECK_EQ(v, 5);
    CHECK_EQ(weft_read(e, &v, 3), -1);
    CHECK_EQ(errno, EINVAL);
    weft_chan_unref(done);
    weft_close(e);
    weft_close(t);
}

TEST(N2_a_successful_call_leaves_errno_as_it_was) {
    char c;
    for (enum kind k = SOCKET; k < KINDS; k++) {
        struct ends e = open_ends(k);
        weft_chan(struct result) done = weft_chan_make(struct result, 1);
        weft_go(writes, e.w, "y", (size_t)1, done);
        weft_set_errno(ENOTBLK);
        CHECK_EQ(weft_read(e.r, &c, 1), 1);
        CHECK_EQ(errno, ENOTBLK);
        struct result r = await(done);
        CHECK_EQ(r.n, 1);
        CHECK_EQ(r.error, 0);
        weft_chan_unref(done);
        close_ends(e);
    }
}

/* ---- nothing to read, the end ---- */

TEST(N3_a_read_of_nothing_returns_at_once) {
    char c;
    struct iovec none[2] = {{&c, 0}, {NULL, 0}};
    for (enum kind k = SOCKET; k < KINDS; k++) {
        struct ends e = open_ends(k);
        CHECK_EQ(weft_read(e.r, &c, 0), 0);
        CHECK_EQ(weft_read(e.r, NULL, 0), 0);
        CHECK_EQ(weft_readv(e.r, none, 2), 0);
        CHECK_EQ(weft_readv(e.r, none, 0), 0);
        CHECK_EQ(weft_write(e.w, &c, 0), 0);
        CHECK_EQ(weft_writev(e.w, none, 2), 0);
        close_ends(e);
        CHECK_EQ(weft_read(e.r, &c, 0), -1);
        CHECK_EQ(errno, EBADF);
    }
}

TEST1(N4_after_the_peer_closed_a_read_returns_0) {
    char buf[4];
    for (enum kind k = SOCKET; k < PTY; k++) {
        struct ends e = open_ends(k);
        weft_chan(struct result) done = weft_chan_make(struct result, 0);
        weft_go(reads, e.r, buf, sizeof buf, done);
        settle();
        CHECK_EQ(weft_close(e.w), 0);
        CHECK_EQ(await(done).n, 0);
        CHECK_EQ(weft_read(e.r, buf, sizeof buf), 0);
        CHECK_EQ(weft_close(e.r), 0);
        weft_chan_unref(done);
    }
}

/* A terminal whose other end hung up says EIO to the slave's reader… and so does weft. */
TEST1(N4_a_terminal_hangs_up) {
    char buf[4];
    struct ends e = open_ends(PTY);
    weft_chan(struct result) done = weft_chan_make(struct result, 0);
    weft_go(reads, e.w, buf, sizeof buf, done);
    settle();
    CHECK_EQ(weft_close(e.r), 0);
    struct result r = await(done);
    CHECK_EQ(r.n, -1);
    CHECK_EQ(r.error, EIO);
    CHECK_EQ(weft_close(e.w), 0);
    weft_chan_unref(done);
}

TEST(bad_descriptors) {
    char c = 0;
    struct iovec iov = {&c, 1};
    int bad[] = {-1, 1 << 20, INT_MAX};
    for (int i = 0; i < 3; i++) {
        CHECK(weft_read(bad[i], &c, 1) == -1 && errno == EBADF);
        CHECK(weft_write(bad[i], &c, 1) == -1 && errno == EBADF);
        CHECK(weft_readv(bad[i], &iov, 1) == -1 && errno == EBADF);
        CHECK(weft_writev(bad[i], &iov, 1) == -1 && errno == EBADF);
        CHECK(weft_recvfrom(bad[i], &c, 1, 0, NULL, NULL) == -1 && errno == EBADF);
        CHECK(weft_sendto(bad[i], &c, 1, 0, NULL, 0) == -1 && errno == EBADF);
    }
    struct ends e = open_ends(PIPE);
    CHECK(weft_read(e.w, &c, 1) == -1 && errno == EBADF);
    CHECK(weft_write(e.r, &c, 1) == -1 && errno == EBADF);
    CHECK(weft_recvfrom(e.r, &c, 1, 0, NULL, NULL) == -1 && errno == ENOTSOCK);
    CHECK(weft_sendto(e.w, &c, 1, 0, NULL, 0) == -1 && errno == ENOTSOCK);
    CHECK(weft_readv(e.r, &iov, -1) == -1 && errno == EINVAL);
    CHECK(weft_writev(e.w, &iov, IOV_MAX + 1) == -1 && errno == EINVAL);
    close_ends(e);
}

/* ---- writes go on ---- */

static void reads_all(int fd, size_t n, weft_chan(struct result) done) {
    char buf[5000];
    size_t at = 0;
    ssize_t got;
    while (at < n && (got = weft_read(fd, buf, 1 + at % sizeof buf)) > 0) {
        check_bytes(buf, (size_t)got, at);
        at += (size_t)got;
    }
    weft_send(done, ((struct result){(ssize_t)at, 0}));
}

static size_t much(enum kind k) {
    return k == PTY ? 50001 : (size_t)ROUNDS(1500000) + 1;
}

static void write_much(struct ends e, size_t n) {
    char *b = bytes(n);
    weft_chan(struct result) done = weft_chan_make(struct result, 0);
    weft_go(reads_all, e.r, n, done);
    CHECK_EQ(weft_write(e.w, b, n), n);
    CHECK_EQ(await(done).n, n);
    weft_chan_unref(done);
    free(b);
}

static void write_much_everywhere(void) {
    for (enum kind k = SOCKET; k < KINDS; k++) {
        struct ends e = open_ends(k);
        write_much(e, much(k));
        close_ends(e);
    }
}

TEST_ENV(N6_a_write_goes_on_until_all_is_written_1, "GOMAXPROCS=1") {
    write_much_everywhere();
}

TEST_ENV(N6_a_write_goes_on_until_all_is_written_4, "GOMAXPROCS=4") {
    write_much_everywhere();
}

/* A library's own descriptors are often O_NONBLOCK. */
TEST(N6_a_write_goes_on_over_EAGAIN_of_a_foreign_descriptor) {
    for (enum kind k = SOCKET; k < KINDS; k++) {
        struct ends e = open_ends(k);
        fcntl(e.r, F_SETFL, fcntl(e.r, F_GETFL) | O_NONBLOCK);
        fcntl(e.w, F_SETFL, fcntl(e.w, F_GETFL) | O_NONBLOCK);
        write_much(e, much(k));
        close_ends(e);
    }
}

static void vector_everywhere(int count) {
    for (enum kind k = SOCKET; k < KINDS; k++) {
        struct ends e = open_ends(k);
        struct iovec *iov = calloc((size_t)count, sizeof *iov);
        size_t n = 0;
        for (int i = 0; i < count; i++) {
            iov[i].iov_len = k == PTY ? (size_t)(i % 40) : (size_t)(i * 7919 % 2500);
            n += iov[i].iov_len;
        }
        char *b = bytes(n);
        for (size_t i = 0, at = 0; i < (size_t)count; at += iov[i++].iov_len)
            iov[i].iov_base = b + at;
        weft_chan(struct result) done = weft_chan_make(struct result, 0);
        weft_go(reads_all, e.r, n, done);
        CHECK_EQ(weft_writev(e.w, iov, count), n);
        CHECK_EQ(await(done).n, n);
        weft_chan_unref(done);
        free(iov);
        free(b);
        close_ends(e);
    }
}

TEST(N6_a_write_of_many_buffers_goes_on) {
    vector_everywhere(IOV_MAX);
    vector_everywhere(3);
}

TEST(a_read_fills_many_buffers) {
    for (enum kind k = SOCKET; k < KINDS; k++) {
        char a[3], b[1], c[10];
        struct iovec iov[] = {{a, 3}, {NULL, 0}, {b, 1}, {c, 10}};
        struct ends e = open_ends(k);
        CHECK_EQ(weft_write(e.w, "abcdefg", 7), 7);
        CHECK_EQ(weft_readv(e.r, iov, 4), 7);
        CHECK(memcmp(a, "abc", 3) == 0 && b[0] == 'd' && memcmp(c, "efg", 3) == 0);
        close_ends(e);
    }
}

/* The other end goes while a write is under way: the count of what went, and why no more did. */
TEST(N6_a_write_that_fails_says_how_much_went) {
    for (enum kind k = SOCKET; k < PTY; k++) {
        size_t n = 3000000;
        char *b = bytes(n), few[4000];
        struct ends e = open_ends(k);
        weft_chan(struct result) done = weft_chan_make(struct result, 0);
        weft_go(writes, e.w, b, n, done);
        size_t got = 0;
        while (got < 200000)
            got += (size_t)weft_read(e.r, few, sizeof few);
        weft_close(e.r);
        struct result r = await(done);
        CHECK(r.n >= 200000 && r.n < (ssize_t)n);
        CHECK(r.error == EPIPE || r.error == ECONNRESET);
        CHECK_EQ(weft_write(e.w, b, n), -1);
        CHECK_EQ(errno, EPIPE);
        weft_close(e.w);
        weft_chan_unref(done);
        free(b);
    }
}

/* ---- a fair share of the P ---- */

static _Atomic bool enough;

static void says_enough(void) {
    enough = true;
}

/* Nothing here ever waits, and the time slice ends all the same. */
TEST1(reading_what_is_always_there_keeps_nobody_from_running) {
    char b[512];
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    CHECK(zero >= 0);
    weft_go(says_enough);
    while (!enough)
        CHECK_EQ(weft_read(zero, b, sizeof b), sizeof b);
    enough = false;
    weft_go(says_enough);
    while (!enough)
        CHECK_EQ(weft_write(zero, b, sizeof b), sizeof b);
    struct ends e = open_ends(PIPE);
    enough = false;
    weft_go(says_enough);
    while (!enough) {
        CHECK_EQ(weft_write(e.w, b, sizeof b), sizeof b);
        CHECK_EQ(weft_read(e.r, b, sizeof b), sizeof b);
    }
    close_ends(e);
    e = open_ends(SOCKET);
    enough = false;
    weft_go(says_enough);
    while (!enough) {
        CHECK_EQ(weft_sendto(e.w, b, sizeof b, 0, NULL, 0), sizeof b);
        CHECK_EQ(weft_recvfrom(e.r, b, sizeof b, 0, NULL, NULL), sizeof b);
    }
    close_ends(e);
    CHECK_EQ(weft_close(zero), 0);
}

/* ---- cancellation ---- */

TEST(a_cancelled_read_takes_nothing) {
    for (enum kind k = SOCKET; k < KINDS; k++) {
        struct ends e = open_ends(k);
        char buf[8];
        {
            weft_scope_timeout(5 * WEFT_MILLISECOND);
            CHECK_EQ(weft_read(e.r, buf, sizeof buf), -1);
            CHECK_EQ(errno, ETIMEDOUT);
            CHECK_EQ(weft_ctx_err(weft_ctx_current()), ETIMEDOUT);
        }
        CHECK_EQ(weft_write(e.w, "kept", 4), 4);
        CHECK_EQ(weft_read(e.r, buf, sizeof buf), 4);
        close_ends(e);
    }
}

TEST(a_cancelled_write_says_how_much_went) {
    size_t n = 3000000;
    char *b = bytes(n);
    for (enum kind k = SOCKET; k < PTY; k++) {
        struct ends e = open_ends(k);
        ssize_t put;
        int error;
        {
            weft_scope_timeout(20 * WEFT_MILLISECOND);
            put = weft_write(e.w, b, n);
            error = errno;
        }
        CHECK(put > 0 && put < (ssize_t)n);
        CHECK_EQ(error, ETIMEDOUT);
        weft_chan(struct result) done = weft_chan_make(struct result, 0);
        weft_go(reads_all, e.r, (size_t)put, done);
        CHECK_EQ(await(done).n, put);
        weft_chan_unref(done);
        close_ends(e);
    }
    free(b);
}

/* ---- SIGPIPE ---- */

static void writes_to_nobody(void) {
    char *b = bytes(100000);
    struct iovec iov[2] = {{b, 10}, {b, 20}};
    CHECK(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
    for (enum kind k = SOCKET; k < PTY; k++) {
        struct ends e = open_ends(k);
        CHECK_EQ(close(e.r), 0);
        CHECK(weft_write(e.w, "x", 1) == -1 && errno == EPIPE);
        CHECK(weft_write(e.w, b, 100000) == -1 && errno == EPIPE);
        CHECK(weft_writev(e.w, iov, 2) == -1 && errno == EPIPE);
        CHECK(k != SOCKET || (weft_sendto(e.w, "x", 1, 0, NULL, 0) == -1 && errno == EPIPE));
        CHECK(k != SOCKET ||
              (weft_sendto(e.w, "x", 1, MSG_DONTWAIT, NULL, 0) == -1 && errno == EPIPE));
        CHECK_EQ(close(e.w), 0);
    }
    struct ends e = open_ends(PTY);
    CHECK_EQ(close(e.w), 0);
    CHECK(weft_write(e.r, "x", 1) == -1 && errno == EIO);
    CHECK_EQ(close(e.r), 0);
    free(b);
}

static void own_fifo_without_reader(void) {
    const char *path = own_path("fifo");
    CHECK_EQ(mkfifo(path, 0600), 0);
    int both = open(path, O_RDWR | O_CLOEXEC), own = weft_open(path, O_WRONLY);
    unlink(path);
    CHECK(both >= 0 && own >= 0);
    CHECK_EQ(weft_write(own, "x", 1), 1);
    close(both);
    CHECK(weft_write(own, "x", 1) == -1 && errno == EPIPE);
    CHECK_EQ(weft_close(own), 0);
}

TEST(no_write_raises_SIGPIPE) {
    writes_to_nobody();
    own_fifo_without_reader();
}

/* Old kernels, by a filter of system calls: pwritev2 knows no RWF_NOSIGNAL, or is not there. */
static void deny(unsigned flags_bit, int error) {
    enum { FLAGS = offsetof(struct seccomp_data, args) + 5 * sizeof(uint64_t) };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_preadv2, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FLAGS),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flags_bit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        test_skip("no seccomp filter: %s", strerror(errno));
}

static int old_kernel(int argc, char **argv) {
    (void)argc, (void)argv;
    writes_to_nobody();
    own_fifo_without_reader();
    write_much_everywhere();
    return 0;
}

TEST_PLAIN(no_write_raises_SIGPIPE_where_pwritev2_has_no_flag_for_it) {
    deny(0x100, EOPNOTSUPP);
    CHECK_EQ(weft_run(old_kernel, 0, NULL), 0);
}

TEST_PLAIN(no_write_raises_SIGPIPE_where_there_is_no_pwritev2) {
    deny(~0u, ENOSYS);
    CHECK_EQ(weft_run(old_kernel, 0, NULL), 0);
}

static int with_pending(int argc, char **argv) {
    sigset_t pipe, pending;
    (void)argc, (void)argv;
    weft_lock_os_thread();
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &pipe, NULL), 0);
    writes_to_nobody();
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGPIPE));
    CHECK_EQ(raise(SIGPIPE), 0);
    writes_to_nobody();
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE));
    CHECK_EQ(sigtimedwait(&pipe, NULL, &(struct timespec){0, 0}), SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &pipe, NULL), 0);
    weft_unlock_os_thread();
    return 0;
}

/* What the program had pending stays so. */
TEST_PLAIN(a_pending_SIGPIPE_of_the_programs_stays) {
    deny(0x100, EOPNOTSUPP);
    CHECK_EQ(weft_run(with_pending, 0, NULL), 0);
}

/* ---- EINTR ---- */

static void N2_storm(void) {
    struct storm storm = {0};
    storm_begins(&storm);
    do {
        write_much_everywhere();
        shared_readers(FIFO); /* who comes too late is in a bracket */
    } while (!test_stress_over());
    char buf[4];
    for (enum kind k = SOCKET; k < KINDS; k++) {
        struct ends e = open_ends(k);
        weft_chan(struct result) done = weft_chan_make(struct result, 0);
        weft_go(reads, e.r, buf, sizeof buf, done);
        quiet_for(20 * WEFT_MILLISECOND);
        CHECK_EQ(weft_write(e.w, "ok", 2), 2);
        CHECK_EQ(await(done).n, 2);
        weft_chan_unref(done);
        close_ends(e);
    }
    storm_ends(&storm);
}

TEST_ENV(N2_EINTR_is_never_seen_1, "GOMAXPROCS=1") {
    N2_storm();
}

TEST_ENV(N2_EINTR_is_never_seen_4, "GOMAXPROCS=4") {
    N2_storm();
}

/* ---- messages ---- */

static struct ends datagrams(void) {
    int fd[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
    return (struct ends){fd[0], fd[1]};
}

TEST(flags_of_receiving_are_honoured) {
    char buf[16];
    struct ends e = open_ends(SOCKET), d = datagrams();
    CHECK_EQ(weft_recvfrom(e.r, buf, 4, MSG_DONTWAIT, NULL, NULL), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(weft_sendto(e.w, "abcdef", 6, 0, NULL, 0), 6);
    CHECK_EQ(weft_recvfrom(e.r, buf, 4, MSG_PEEK, NULL, NULL), 4);
    CHECK_EQ(weft_recvfrom(e.r, buf, 16, 0, NULL, NULL), 6);
    CHECK(memcmp(buf, "abcdef", 6) == 0);

    CHECK_EQ(weft_sendto(d.w, "long one", 8, 0, NULL, 0), 8);
    CHECK_EQ(weft_recvfrom(d.r, buf, 3, MSG_TRUNC, NULL, NULL), 8);
    CHECK_EQ(weft_sendto(d.w, "a", 1, 0, NULL, 0), 1);
    CHECK_EQ(weft_sendto(d.w, "bc", 2, 0, NULL, 0), 2);
    CHECK_EQ(weft_recvfrom(d.r, buf, 16, MSG_WAITALL, NULL, NULL), 1); /* a message is all */
    CHECK_EQ(weft_recvfrom(d.r, buf, 16, 0, NULL, NULL), 2);
    CHECK_EQ(weft_write(d.w, "", 0), 0); /* a message too */
    CHECK_EQ(weft_recvfrom(d.r, buf, 16, MSG_DONTWAIT, NULL, NULL), 0);
    close_ends(e);
    close_ends(d);
}

static void sends_slowly(int fd, size_t n) {
    char *b = bytes(n);
    for (size_t at = 0; at < n;) {
        size_t some = n - at < 3000 ? n - at : 3000;
        CHECK_EQ(weft_sendto(fd, b + at, some, 0, NULL, 0), some);
        at += some;
        weft_yield();
    }
    free(b);
}

TEST(MSG_WAITALL_reads_a_stream_until_the_buffers_are_full) {
    enum { N = 50000 };
    struct ends e = open_ends(SOCKET);
    char *b = malloc(N);
    weft_go(sends_slowly, e.w, (size_t)N);
    CHECK_EQ(weft_recvfrom(e.r, b, N, MSG_WAITALL, NULL, NULL), N);
    check_bytes(b, N, 0);
    struct iovec iov[] = {{b, 100}, {b + 100, 0}, {b + 100, N - 100}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    weft_go(sends_slowly, e.w, (size_t)N);
    CHECK_EQ(weft_recvmsg(e.r, &msg, MSG_WAITALL), N);
    check_bytes(b, N, 0);
    CHECK_EQ(weft_write(e.w, "end", 3), 3);
    CHECK_EQ(weft_close(e.w), 0);
    CHECK_EQ(weft_recvfrom(e.r, b, N, MSG_WAITALL, NULL, NULL), 3);
    CHECK_EQ(weft_close(e.r), 0);
    free(b);
}

static int udp(struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof *at) == 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static void echoes(int fd, int n) {
    for (int i = 0; i < n; i++) {
        char buf[64];
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        ssize_t got = weft_recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
        CHECK(got >= 0);
        CHECK_EQ(len, sizeof(struct sockaddr_in));
        CHECK_EQ(weft_sendto(fd, buf, (size_t)got, 0, (struct sockaddr *)&from, len), got);
    }
}

TEST(datagrams_have_addresses) {
    struct sockaddr_in server, client, from;
    int s = udp(&server), c = udp(&client);
    weft_go(echoes, s, 50);
    for (int i = 0; i < 50; i++) {
        char out[64], in[64];
        socklen_t len = sizeof from;
        int n = snprintf(out, sizeof out, "message %d", i);
        CHECK_EQ(weft_sendto(c, out, (size_t)n, 0, (struct sockaddr *)&server, sizeof server), n);
        CHECK_EQ(weft_recvfrom(c, in, sizeof in, 0, (struct sockaddr *)&from, &len), n);
        CHECK(memcmp(in, out, (size_t)n) == 0);
        CHECK_EQ(from.sin_port, server.sin_port);
    }
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_close(s);
    weft_close(c);
}

TEST(a_descriptor_is_passed_with_a_message) {
    struct ends e = open_ends(SOCKET), p = open_ends(PIPE);
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char text[2][4] = {"abc", ""};
    struct iovec iov = {text[0], 3};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof control.buf};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &p.w, sizeof(int));
    CHECK_EQ(weft_sendmsg(e.w, &msg, 0), 3);

    memset(&control, 0, sizeof control);
    iov.iov_base = text[1];
    msg.msg_controllen = sizeof control.buf;
    CHECK_EQ(weft_recvmsg(e.r, &msg, MSG_CMSG_CLOEXEC), 3);
    CHECK_STR(text[1], "abc");
    int fd = -1;
    CHECK((c = CMSG_FIRSTHDR(&msg)) != NULL && c->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    CHECK_EQ(weft_write(fd, "z", 1), 1);
    CHECK_EQ(weft_read(p.r, text[0], 4), 1);
    weft_close(fd);
    close_ends(e);
    close_ends(p);
}

/* Only the receiver's queue is full, which the sender's descriptor doesn't tell. */
static void drains(int fd, int n, weft_chan(struct result) done) {
    char buf[16];
    for (int i = 0; i < n; i++) {
        CHECK_EQ(weft_recvfrom(fd, buf, sizeof buf, 0, NULL, NULL), sizeof(int));
        int v;
        memcpy(&v, buf, sizeof v);
        CHECK_EQ(v, i);
    }
    weft_send(done, ((struct result){n, 0}));
}

TEST(a_datagram_waits_for_room_at_a_named_socket) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int n = 0, r = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        w = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                (size_t)snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "weft-%d",
                                                 (int)getpid()));
    struct sockaddr *to = (struct sockaddr *)&at;
    CHECK_EQ(bind(r, to, len), 0);
    while (weft_sendto(w, &n, sizeof n, MSG_DONTWAIT, to, len) == sizeof n)
        n++;
    CHECK_EQ(errno, EAGAIN);
    {
        weft_scope_timeout(5 * WEFT_MILLISECOND);
        CHECK(weft_sendto(w, &n, sizeof n, 0, to, len) == -1 && errno == ETIMEDOUT);
    }
    weft_chan(struct result) done = weft_chan_make(struct result, 0);
    weft_go(drains, r, n + 40, done);
    for (int i = 0; i < 40; i++, n++)
        CHECK_EQ(weft_sendto(w, &n, sizeof n, 0, to, len), sizeof n);
    CHECK_EQ(await(done).n, n);
    weft_chan_unref(done);
    weft_close(r);
    weft_close(w);
}

/* ---- other threads, and no runtime ---- */

static void *thread_reads(void *arg) {
    struct ends *e = arg;
    char buf[8];
    for (int i = 0; i < 100; i++) {
        if (weft_read(e[0].r, buf, 4) != 4 || weft_write(e[1].w, buf, 4) != 4)
            return arg;
    }
    return NULL;
}

static void talk_to_thread(enum kind k) {
    struct ends e[2] = {open_ends(k), open_ends(k)};
    pthread_t thread;
    char buf[8];
    void *failed;
    CHECK_EQ(pthread_create(&thread, NULL, thread_reads, e), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(weft_write(e[0].w, "ping", 4), 4);
        CHECK_EQ(weft_read(e[1].r, buf, sizeof buf), 4);
    }
    int err = weft_block(pthread_join(thread, &failed));
    CHECK(err == 0 && failed == NULL);
    close_ends(e[0]);
    close_ends(e[1]);
}

TEST(threads_that_are_no_goroutines_read_and_write) {
    for (enum kind k = SOCKET; k < KINDS; k++)
        talk_to_thread(k);
}

TEST_PLAIN(without_a_run_the_calls_are_plain_ones) {
    for (enum kind k = SOCKET; k < KINDS; k++)
        talk_to_thread(k);
    writes_to_nobody();
}
