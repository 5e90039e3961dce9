/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, devices, FIFOs by name, sendfile, stdio streams, child processes: that what blocks in the
 * kernel holds no P, and what can be waited for parks. N2, N4 and N6 of the behaviours that weft
 * shares with Go, for those.
 */
#include "io.h"

#include <limits.h>
#include <netinet/in.h>
#include <stdio_ext.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int scratch_file(int flags) {
    const char *path = own_path("file");
    int fd = weft_open(path, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(unlink(path), 0);
    return fd;
}

/* ---- regular files ---- */

TEST(a_file_is_written_and_read) {
    enum { N = 300001 };
    char *b = bytes(N), *back = malloc(N);
    int fd = scratch_file(0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    weft_set_errno(ENOTBLK);
    CHECK_EQ(weft_write(fd, b, N), N);
    CHECK_EQ(weft_fsync(fd), 0);
    CHECK_EQ(weft_pread(fd, back, N, 0), N);
    check_bytes(back, N, 0);
    CHECK_EQ(weft_pread(fd, back, 100, N - 10), 10);
    check_bytes(back, 10, N - 10);
    CHECK_EQ(weft_pread(fd, back, 100, N), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), N);
    CHECK_EQ(weft_read(fd, back, 10), 0); /* N4 */
    CHECK_EQ(lseek(fd, 7, SEEK_SET), 7);
    struct iovec iov[] = {{back, 5}, {back + 5, 200}};
    CHECK_EQ(weft_readv(fd, iov, 2), 205);
    check_bytes(back, 205, 7);
    CHECK_EQ(weft_pwrite(fd, b + 50, 1000, 50 + N), 1000);
    CHECK_EQ(weft_pread(fd, back, 2000, N), 1050);
    check_bytes(back + 50, 1000, 50);
    CHECK_EQ(errno, ENOTBLK);
    CHECK(weft_pread(fd, back, 1, -1) == -1 && errno == EINVAL);
    CHECK_EQ(weft_close(fd), 0);
    CHECK(weft_pread(fd, back, 1, 0) == -1 && errno == EBADF);
    CHECK(weft_pwrite(fd, back, 1, 0) == -1 && errno == EBADF);
    CHECK(weft_fsync(fd) == -1 && errno == EBADF);
    free(b);
    free(back);
}

TEST(a_foreign_file_is_read_whole) {
    enum { N = 200000 };
    char *b = bytes(N), *back = malloc(N);
    const char *path = own_path("file");
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), flags = fcntl(fd, F_GETFL);
    CHECK(fd >= 0 && unlink(path) == 0);
    CHECK_EQ(weft_write(fd, b, N), N);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(weft_read(fd, back, N), N);
    check_bytes(back, N, 0);
    CHECK_EQ(weft_read(fd, back, N), 0);
    CHECK_EQ(fcntl(fd, F_GETFL), flags);
    CHECK_EQ(weft_close(fd), 0);
    free(b);
    free(back);
}

TEST(open_fails_as_open_does) {
    struct stat st;
    char c;
    CHECK(weft_open("/nonexistent/file", O_RDONLY) == -1 && errno == ENOENT);
    CHECK(weft_open("/", O_RDWR) == -1 && errno == EISDIR);
    int fd = weft_open("/", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    CHECK(weft_read(fd, &c, 1) == -1 && errno == EISDIR);
    CHECK_EQ(weft_close(fd), 0);
    fd = weft_open("/", O_PATH);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(weft_read(fd, &c, 1) == -1 && errno == EBADF);
    CHECK_EQ(weft_close(fd), 0);
    mode_t mask = umask(022);
    const char *path = own_path("mode");
    fd = weft_open(path, O_WRONLY | O_CREAT, 0646);
    CHECK(fd >= 0 && fstat(fd, &st) == 0 && unlink(path) == 0);
    CHECK_EQ(st.st_mode & 0777, 0644);
    umask(mask);
    CHECK_EQ(weft_close(fd), 0);
}

static void at_once(int fd, int i) {
    char b[512], back[512];
    memset(b, 'a' + i, sizeof b);
    for (int k = 0; k < 50; k++) {
        CHECK_EQ(weft_pwrite(fd, b, sizeof b, i * 512), sizeof b);
        CHECK_EQ(weft_pread(fd, back, sizeof back, i * 512), sizeof back);
        CHECK(memcmp(b, back, sizeof b) == 0);
    }
}

TEST(many_use_one_file_at_a_time) {
    weft_wg wg = WEFT_WG_INIT;
    int fd = scratch_file(0);
    for (int i = 0; i < 16; i++)
        weft_wg_go(&wg, at_once, fd, i);
    weft_wg_wait(&wg);
    CHECK_EQ(weft_close(fd), 0);
}

/* ---- devices and full disks ---- */

TEST(N6_a_full_disk_fails_a_write) {
    char *b = bytes(100000);
    int own = weft_open("/dev/full", O_RDWR), foreign = open("/dev/full", O_RDWR | O_CLOEXEC);
    CHECK(own >= 0 && foreign >= 0);
    CHECK(!(fcntl(own, F_GETFL) & O_NONBLOCK));
    CHECK(weft_write(own, b, 100000) == -1 && errno == ENOSPC);
    CHECK(weft_write(foreign, b, 100000) == -1 && errno == ENOSPC);
    CHECK_EQ(weft_read(own, b, 1000), 1000);
    CHECK(b[0] == 0 && b[999] == 0);
    CHECK_EQ(weft_close(own), 0);
    CHECK_EQ(weft_close(foreign), 0);
    free(b);
}

TEST(N6_a_file_that_may_not_grow_takes_what_it_can) {
    struct rlimit before, limit;
    char *b = bytes(10000);
    int fd = scratch_file(0);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 6000;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ssize_t put = weft_write(fd, b, 10000);
    int error = errno;
    ssize_t at = weft_pwrite(fd, b, 10000, 1000);
    int at_error = errno;
    ssize_t more = weft_write(fd, b, 1);
    int more_error = errno;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_EQ(put, 6000);
    CHECK_EQ(error, EFBIG);
    CHECK_EQ(at, 5000);
    CHECK_EQ(at_error, EFBIG);
    CHECK_EQ(more, -1);
    CHECK_EQ(more_error, EFBIG);
    CHECK_EQ(weft_close(fd), 0);
    free(b);
}

TEST(null_and_zero) {
    char b[100] = "x";
    int null = weft_open("/dev/null", O_RDWR), zero = weft_open("/dev/zero", O_RDONLY);
    CHECK(null >= 0 && zero >= 0);
    CHECK_EQ(weft_write(null, b, sizeof b), sizeof b);
    CHECK_EQ(weft_read(null, b, sizeof b), 0);
    CHECK_EQ(weft_read(zero, b, sizeof b), sizeof b);
    CHECK_EQ(b[0], 0);
    CHECK_EQ(weft_close(null), 0);
    CHECK_EQ(weft_close(zero), 0);
}

/* ---- FIFOs by name ---- */

struct result {
    ssize_t n;
    int error;
};

static char fifo_path[128];

static void make_fifo(void) {
    snprintf(fifo_path, sizeof fifo_path, "%s", own_path("named"));
    CHECK_EQ(mkfifo(fifo_path, 0600), 0);
}

static void opens(int flags, weft_chan(struct result) done) {
    int fd = weft_open(fifo_path, flags);
    weft_send(done, ((struct result){fd, fd < 0 ? errno : 0}));
}

static struct result await(weft_chan(struct result) done) {
    struct result r;
    CHECK(weft_recv(done, &r));
    return r;
}

/* Opens both ends, each by a goroutine that waits for the other. */
static struct ends own_fifo(void) {
    weft_chan(struct result) r = weft_chan_make(struct result, 1);
    weft_chan(struct result) w = weft_chan_make(struct result, 1);
    make_fifo();
    weft_go(opens, O_RDONLY, r);
    settle();
    quiet_for(2 * WEFT_MILLISECOND);
    CHECK_EQ(weft_chan_len(r), 0); /* this goroutine runs, on the only P */
    weft_go(opens, O_WRONLY, w);
    struct ends e = {(int)await(r).n, (int)await(w).n};
    CHECK(e.r >= 0 && e.w >= 0);
    CHECK_EQ(unlink(fifo_path), 0);
    weft_chan_unref(r);
    weft_chan_unref(w);
    return e;
}

TEST1(opening_a_fifo_holds_no_P) {
    struct ends e = own_fifo();
    char c;
    CHECK(fcntl(e.r, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(e.w, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(e.r, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(weft_write(e.w, "x", 1), 1);
    CHECK_EQ(weft_read(e.r, &c, 1), 1);
    close_ends(e);
}

static void reads_one(int fd, weft_chan(struct result) done) {
    char c;
    ssize_t n = weft_read(fd, &c, 1);
    weft_send(done, ((struct result){n, n < 0 ? errno : 0}));
}

/* Own ones have everything that sockets have: parks without threads, deadlines, close. */
TEST1(N1_readers_of_own_fifos_park) {
    weft_chan(struct result) done = weft_chan_make(struct result, 1);
    struct ends e = own_fifo();
    weft_go(reads_one, e.r, done);
    settle();
    CHECK_EQ(weft_chan_len(done), 0);
    CHECK_EQ(weft_write(e.w, "x", 1), 1);
    CHECK_EQ(await(done).n, 1);
    CHECK_EQ(weft_set_read_deadline(e.r, weft_now() + 2 * WEFT_MILLISECOND), 0);
    weft_go(reads_one, e.r, done);
    CHECK_EQ(await(done).error, ETIMEDOUT);
    CHECK_EQ(weft_set_read_deadline(e.r, 0), 0);
    weft_go(reads_one, e.r, done);
    settle();
    CHECK_EQ(weft_close(e.r), 0);
    CHECK_EQ(await(done).error, EBADF);
    CHECK_EQ(weft_close(e.w), 0);
    weft_chan_unref(done);
}

static void reads_all(int fd, weft_chan(struct result) done) {
    char buf[5000];
    size_t at = 0;
    ssize_t got;
    while ((got = weft_read(fd, buf, sizeof buf)) > 0) {
        check_bytes(buf, (size_t)got, at);
        at += (size_t)got;
    }
    weft_send(done, ((struct result){(ssize_t)at, 0}));
}

TEST1(N6_a_write_to_an_own_fifo_goes_on) {
    size_t n = 1000001;
    char *b = bytes(n);
    weft_chan(struct result) done = weft_chan_make(struct result, 1);
    struct ends e = own_fifo();
    weft_go(reads_all, e.r, done);
    CHECK_EQ(weft_write(e.w, b, n), n);
    CHECK_EQ(weft_close(e.w), 0);
    CHECK_EQ(await(done).n, n);
    CHECK_EQ(weft_close(e.r), 0);
    weft_chan_unref(done);
    free(b);
}

/* ---- sendfile ---- */

static int filled_file(size_t n) {
    char *b = bytes(n);
    int fd = scratch_file(0);
    CHECK_EQ(weft_write(fd, b, n), n);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    free(b);
    return fd;
}

enum { FILE_SIZE = 700001 };

static void send_to(enum kind k, bool nonblocking) {
    int in = filled_file(FILE_SIZE);
    struct ends e = open_ends(k);
    if (nonblocking)
        fcntl(e.w, F_SETFL, fcntl(e.w, F_GETFL) | O_NONBLOCK);
    int flags = fcntl(e.w, F_GETFL);
    weft_chan(struct result) done = weft_chan_make(struct result, 1);
    weft_go(reads_all, e.r, done);
    weft_set_errno(ENOTBLK);
    CHECK_EQ(weft_sendfile(e.w, in, NULL, FILE_SIZE + 1000), FILE_SIZE);
    CHECK_EQ(weft_sendfile(e.w, in, NULL, 1000), 0);
    CHECK_EQ(errno, ENOTBLK);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), FILE_SIZE);
    CHECK_EQ(fcntl(e.w, F_GETFL), flags);
    CHECK_EQ(weft_close(e.w), 0);
    CHECK_EQ(await(done).n, FILE_SIZE);
    CHECK_EQ(weft_close(e.r), 0);
    CHECK_EQ(weft_close(in), 0);
    weft_chan_unref(done);
}

TEST1(sendfile_to_foreign_descriptors) {
    for (enum kind k = SOCKET; k < PTY; k++) {
        send_to(k, false);
        send_to(k, true);
    }
}

TEST1(sendfile_to_an_own_fifo_parks) {
    int in = filled_file(FILE_SIZE);
    weft_chan(struct result) done = weft_chan_make(struct result, 1);
    struct ends e = own_fifo();
    weft_go(reads_all, e.r, done);
    CHECK_EQ(weft_sendfile(e.w, in, NULL, FILE_SIZE), FILE_SIZE);
    CHECK_EQ(weft_close(e.w), 0);
    CHECK_EQ(await(done).n, FILE_SIZE);
    CHECK_EQ(weft_close(e.r), 0);
    CHECK_EQ(weft_close(in), 0);
    weft_chan_unref(done);
}

TEST(sendfile_from_an_offset) {
    char *back = malloc(FILE_SIZE);
    int in = filled_file(FILE_SIZE), out = scratch_file(0), append = scratch_file(O_APPEND);
    off_t at = 100;
    CHECK_EQ(weft_sendfile(out, in, &at, 5000), 5000);
    CHECK_EQ(at, 5100);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(weft_pread(out, back, FILE_SIZE, 0), 5000);
    check_bytes(back, 5000, 100);

    CHECK_EQ(weft_sendfile(append, in, &at, 200000), 200000); /* the system's call can't */
    CHECK_EQ(at, 205100);
    CHECK_EQ(weft_sendfile(append, in, NULL, 10), 10);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 10);
    CHECK_EQ(weft_pread(append, back, FILE_SIZE, 0), 200010);
    check_bytes(back, 200000, 5100);
    check_bytes(back + 200000, 10, 0);
    weft_close(in);
    weft_close(out);
    weft_close(append);
    free(back);
}

static void sends_then_closes(int fd, size_t n) {
    char *b = bytes(n);
    CHECK_EQ(weft_write(fd, b, n), n);
    CHECK_EQ(weft_close(fd), 0);
    free(b);
}

TEST(sendfile_from_what_is_no_file_copies) {
    struct ends from = open_ends(PIPE), to = open_ends(SOCKET);
    off_t at = 0;
    weft_chan(struct result) done = weft_chan_make(struct result, 1);
    weft_go(sends_then_closes, from.w, (size_t)FILE_SIZE);
    weft_go(reads_all, to.r, done);
    CHECK_EQ(weft_sendfile(to.w, from.r, NULL, FILE_SIZE * 2), FILE_SIZE);
    CHECK(weft_sendfile(to.w, from.r, &at, 1) == -1 && errno == ESPIPE);
    CHECK_EQ(weft_close(to.w), 0);
    CHECK_EQ(await(done).n, FILE_SIZE);
    CHECK_EQ(weft_close(to.r), 0);
    CHECK_EQ(weft_close(from.r), 0);
    weft_chan_unref(done);
}

TEST(sendfile_is_cancellable) {
    int in = filled_file(3000000);
    for (enum kind k = SOCKET; k < PTY; k++) {
        struct ends e = open_ends(k);
        off_t at = 0;
        ssize_t put;
        int error;
        {
            weft_scope_timeout(5 * WEFT_MILLISECOND);
            put = weft_sendfile(e.w, in, &at, 3000000);
            error = errno;
        }
        CHECK(put > 0 && put < 3000000);
        CHECK_EQ(error, ETIMEDOUT);
        CHECK_EQ(at, put);
        close_ends(e);
    }
    CHECK_EQ(weft_close(in), 0);
}

TEST(sendfile_raises_no_SIGPIPE) {
    int in = filled_file(100000);
    CHECK(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
    for (enum kind k = SOCKET; k < PTY; k++)
        for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
            struct ends e = open_ends(k);
            if (nonblocking)
                fcntl(e.w, F_SETFL, fcntl(e.w, F_GETFL) | O_NONBLOCK);
            CHECK_EQ(weft_close(e.r), 0);
            CHECK(weft_sendfile(e.w, in, NULL, 100000) == -1 && errno == EPIPE);
            CHECK(nonblocking || lseek(in, 0, SEEK_CUR) == 0); /* nothing read is lost */
            CHECK_EQ(lseek(in, 0, SEEK_SET), 0);
            CHECK_EQ(weft_close(e.w), 0);
        }
    CHECK_EQ(weft_close(in), 0);
    CHECK(weft_sendfile(1, in, NULL, 1) == -1 && errno == EBADF);
    CHECK(weft_sendfile(-1, in, NULL, 1) == -1 && errno == EBADF);
}

/* ---- streams ---- */

static void prints(FILE *f, int n, weft_chan(struct result) done) {
    int failed = 0;
    for (int i = 0; i < n; i++)
        failed |= fprintf(f, "line %d of %d: %s\n", i, n, "some text to fill it") < 0;
    failed |= fclose(f);
    weft_send(done, ((struct result){failed, 0}));
}

static void stream_through(enum kind k, int n) {
    struct ends e = open_ends(k);
    FILE *out = weft_fdopen(e.w, "w"), *in = weft_fdopen(e.r, "r");
    weft_chan(struct result) done = weft_chan_make(struct result, 1);
    char *line = NULL, want[100];
    size_t size = 0;
    CHECK(out != NULL && in != NULL);
    CHECK_EQ(__fsetlocking(in, FSETLOCKING_QUERY), FSETLOCKING_BYCALLER);
    weft_go(prints, out, n, done);
    for (int i = 0; i < n; i++) {
        ssize_t len = getline(&line, &size, in);
        CHECK_EQ(len, snprintf(want, sizeof want, "line %d of %d: some text to fill it\n", i, n));
        CHECK_STR(line, want);
    }
    if (k != PTY)
        CHECK(getline(&line, &size, in) == -1 && feof(in) && !ferror(in));
    CHECK_EQ(await(done).n, 0);
    CHECK_EQ(fclose(in), 0);
    free(line);
    weft_chan_unref(done);
}

TEST_ENV(getline_and_fprintf_park_1, "GOMAXPROCS=1") {
    for (enum kind k = SOCKET; k < PTY; k++)
        stream_through(k, ROUNDS(20000));
}

TEST_ENV(getline_and_fprintf_park_4, "GOMAXPROCS=4") {
    for (enum kind k = SOCKET; k < PTY; k++)
        stream_through(k, ROUNDS(20000));
}

/* Many streams on changing threads: a lock of stdio's would be left on the wrong one. */
TEST_ENV(streams_go_on_on_other_threads, "GOMAXPROCS=4") {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 8; i++)
        weft_wg_go(&wg, stream_through, (enum kind)(i % 2), ROUNDS(3000));
    weft_wg_wait(&wg);
}

static void answers(int fd, weft_chan(struct result) done) {
    FILE *f = weft_fdopen(fd, "r+");
    char *line = NULL;
    size_t size = 0;
    int n = 0;
    CHECK(f != NULL);
    for (; getline(&line, &size, f) > 0; n++) {
        CHECK(fprintf(f, "you said %s", line) > 0);
        CHECK_EQ(fflush(f), 0);
    }
    free(line);
    CHECK_EQ(fclose(f), 0);
    weft_send(done, ((struct result){n, 0}));
}

TEST1(one_stream_for_both_directions) {
    struct ends e = open_ends(SOCKET);
    weft_chan(struct result) done = weft_chan_make(struct result, 1);
    char line[64], want[64], text[64];
    weft_go(answers, e.r, done);
    FILE *f = weft_fdopen(e.w, "w+");
    CHECK(f != NULL);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "number %d\n", i);
        CHECK(fputs(text, f) >= 0 && fflush(f) == 0);
        CHECK(fgets(line, sizeof line, f) != NULL);
        snprintf(want, sizeof want, "you said number %d\n", i);
        CHECK_STR(line, want);
    }
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(await(done).n, 20);
    weft_chan_unref(done);
}

TEST(streams_on_files_seek_and_append) {
    char b[32] = "";
    int fd = scratch_file(0), again = dup(fd);
    FILE *f = weft_fdopen(fd, "r+b");
    CHECK(f != NULL);
    CHECK_EQ(fputs("0123456789", f), 1);
    CHECK_EQ(fseek(f, 3, SEEK_SET), 0);
    CHECK_EQ(fgetc(f), '3');
    CHECK_EQ(ungetc('3', f), '3');
    CHECK_EQ(ftell(f), 3);
    CHECK_EQ(fread(b, 1, 3, f), 3);
    CHECK_STR(b, "345");
    CHECK_EQ(fseek(f, 0, SEEK_CUR), 0);
    CHECK_EQ(fputs("xyz", f), 1);
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(pread(again, b, sizeof b, 0), 10);
    CHECK_STR(b, "012345xyz9");

    CHECK_EQ(lseek(again, 0, SEEK_SET), 0);
    int flags = fcntl(again, F_GETFL), third = dup(again);
    f = weft_fdopen(again, "a");
    CHECK(f != NULL && fputs("end", f) >= 0 && fclose(f) == 0);
    CHECK_EQ(fcntl(third, F_GETFL), flags);
    memset(b, 0, sizeof b);
    CHECK_EQ(pread(third, b, sizeof b, 0), 13);
    CHECK_STR(b, "012345xyz9end");
    close(third);
}

TEST(modes_of_streams_are_checked) {
    struct ends e = open_ends(PIPE);
    CHECK(weft_fdopen(e.r, "w") == NULL && errno == EINVAL);
    CHECK(weft_fdopen(e.r, "r+") == NULL && errno == EINVAL);
    CHECK(weft_fdopen(e.w, "r") == NULL && errno == EINVAL);
    CHECK(weft_fdopen(e.w, "") == NULL && errno == EINVAL);
    CHECK(weft_fdopen(e.w, "x") == NULL && errno == EINVAL);
    CHECK(weft_fdopen(-1, "r") == NULL && errno == EBADF);
    close_ends(e);
    CHECK(weft_fdopen(e.w, "w") == NULL && errno == EBADF);
}

TEST(a_stream_reports_what_failed) {
    struct ends e = open_ends(PIPE);
    FILE *f = weft_fdopen(e.w, "w");
    CHECK_EQ(weft_close(e.r), 0);
    CHECK(fputs("to nobody", f) >= 0);
    CHECK(fflush(f) == EOF && errno == EPIPE && ferror(f));
    fclose(f);
    e = open_ends(PIPE);
    f = weft_fdopen(e.r, "r");
    {
        weft_scope_timeout(2 * WEFT_MILLISECOND);
        CHECK(fgetc(f) == EOF && errno == ETIMEDOUT && ferror(f));
    }
    clearerr(f);
    CHECK_EQ(weft_write(e.w, "!", 1), 1);
    CHECK_EQ(fgetc(f), '!');
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(fcntl(e.r, F_GETFD), -1);
    CHECK_EQ(weft_close(e.w), 0);
}

TEST(a_terminal_gets_whole_lines) {
    struct ends e = open_ends(PTY);
    char b[32];
    FILE *f = weft_fdopen(e.r, "r+");
    CHECK(f != NULL && fputs("a line\nand more", f) >= 0);
    CHECK(weft_read(e.w, b, sizeof b) >= 7 && memcmp(b, "a line\n", 7) == 0);
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(weft_close(e.w), 0);
}

static void leaves_text(void) {
    FILE *f = weft_fdopen(dup(1), "w");
    CHECK(f != NULL && fputs("left behind\n", f) >= 0);
    exit(0);
}

TEST_PLAIN(what_a_stream_holds_goes_out_at_exit) {
    struct test_output o = test_run_child(leaves_text, NULL);
    CHECK_EQ(o.status, 0);
    CHECK_STR(o.out, "left behind\n");
    test_output_free(&o);
}

/* ---- children ---- */

static pid_t child_exits_after(int milliseconds, int status) {
    pid_t pid = fork();
    if (pid == 0) {
        usleep((useconds_t)milliseconds * 1000);
        _exit(status);
    }
    CHECK(pid > 0);
    return pid;
}

/* A child that exits when somebody here closes *gate. */
static pid_t child_behind(int *gate, int status) {
    struct ends e = open_ends(PIPE);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        close(e.w);
        while (read(e.r, &c, 1) < 0)
            continue;
        _exit(status);
    }
    CHECK(pid > 0 && close(e.r) == 0);
    *gate = e.w;
    return pid;
}

static void opens_gate(int gate) {
    settle();
    CHECK_EQ(close(gate), 0);
}

TEST1(waitpid_parks_while_others_run) {
    int status = 0, gate;
    pid_t pid = child_behind(&gate, 7);
    weft_go(opens_gate, gate);
    weft_set_errno(ENOTBLK);
    CHECK_EQ(weft_waitpid(pid, &status, 0), pid);
    CHECK_EQ(errno, ENOTBLK);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK(weft_waitpid(pid, &status, 0) == -1 && errno == ECHILD);
    pid = child_behind(&gate, 8);
    weft_go(opens_gate, gate);
    CHECK_EQ(weft_waitpid(-1, &status, 0), pid); /* any child: in a bracket */
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 8);
    CHECK(weft_waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

TEST(waitpid_looks_without_waiting) {
    int status = 0;
    pid_t pid = child_exits_after(100000, 0);
    CHECK_EQ(weft_waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(weft_waitpid(-1, &status, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(weft_waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(weft_waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(weft_waitpid(pid, &status, 1 << 28) == -1 && errno == EINVAL);
}

TEST(waitpid_is_cancellable) {
    int fds = test_count_fds();
    pid_t pid = child_exits_after(100000, 0);
    {
        weft_scope_timeout(5 * WEFT_MILLISECOND);
        CHECK(weft_waitpid(pid, NULL, 0) == -1 && errno == ETIMEDOUT);
    }
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(weft_waitpid(pid, NULL, 0), pid);
    CHECK(test_count_fds() <= fds + 2); /* the poller's own */
}

static void waits_for(pid_t pid, int status, weft_wg *wg) {
    int got = 0;
    CHECK_EQ(weft_waitpid(pid, &got, 0), pid);
    CHECK(WIFEXITED(got) && WEXITSTATUS(got) == status);
    weft_wg_done(wg);
}

TEST1(many_wait_for_their_children) {
    enum { N = 12 };
    weft_wg wg = WEFT_WG_INIT;
    int threads = test_count_threads();
    weft_wg_add(&wg, N);
    for (int i = 0; i < N; i++)
        weft_go(waits_for, child_exits_after(150, i), i, &wg);
    settle();
    CHECK(test_count_threads() <= threads + 4);
    weft_wg_wait(&wg);
}

/* ---- EINTR ---- */

TEST(N2_EINTR_is_never_seen_of_files_and_children) {
    struct storm storm = {0};
    char b[4096] = {0};
    int status;
    storm_begins(&storm);
    int fd = scratch_file(0);
    do {
        for (int i = 0; i < 50; i++) {
            CHECK_EQ(weft_pwrite(fd, b, sizeof b, i * 4096), sizeof b);
            CHECK_EQ(weft_pread(fd, b, sizeof b, i * 4096), sizeof b);
        }
        CHECK_EQ(weft_fsync(fd), 0);
        close_ends(own_fifo());
        send_to(SOCKET, true);
        stream_through(PIPE, 1000);
        pid_t pid = child_exits_after(5, 3);
        CHECK_EQ(weft_waitpid(pid, &status, 0), pid);
        pid = child_exits_after(5, 4);
        CHECK_EQ(weft_waitpid(-1, &status, 0), pid);
    } while (!test_stress_over());
    CHECK_EQ(weft_close(fd), 0);
    storm_ends(&storm);
}

/* ---- no runtime ---- */

TEST_PLAIN(without_a_run_files_and_children_work) {
    int status = 0;
    char b[16] = "";
    int fd = scratch_file(0);
    CHECK_EQ(weft_write(fd, "text", 4), 4);
    CHECK_EQ(weft_fsync(fd), 0);
    CHECK_EQ(weft_pread(fd, b, sizeof b, 0), 4);
    CHECK_STR(b, "text");
    FILE *f = weft_fdopen(fd, "a+");
    CHECK(f != NULL && fprintf(f, "%d", 42) == 2 && fclose(f) == 0);
    pid_t pid = child_exits_after(5, 9);
    CHECK_EQ(weft_waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 9);
    int in = scratch_file(0), null = weft_open("/dev/null", O_WRONLY);
    off_t at = 0;
    CHECK(in >= 0 && null >= 0);
    CHECK_EQ(weft_write(in, "some", 4), 4);
    CHECK_EQ(weft_sendfile(null, in, &at, 100), 4);
    CHECK_EQ(weft_close(in), 0);
    CHECK_EQ(weft_close(null), 0);
}
