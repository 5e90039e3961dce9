/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h: what the tests of reading and writing share: foreign descriptors of every kind that can be
 * waited for, made by plain calls and blocking, as a program inherits them.
 */
#ifndef WEFT_TESTS_IO_H
#define WEFT_TESTS_IO_H

#include "conform.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

enum kind { SOCKET, PIPE, FIFO, PTY, KINDS };

/* What is written to w is read from r. */
struct ends {
    int r, w;
};

/* A path of this process's own, for a FIFO or a file; the same one each time. */
static inline const char *own_path(const char *what) {
    static char path[128];
    const char *dir = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/weft-%s-%d", dir && *dir ? dir : "/tmp", what, (int)getpid());
    return path;
}

static inline struct ends open_fifo(void) {
    const char *path = own_path("fifo");
    CHECK_EQ(mkfifo(path, 0600), 0);
    int both = open(path, O_RDWR | O_CLOEXEC); /* so that the others don't wait */
    struct ends e = {open(path, O_RDONLY | O_CLOEXEC), open(path, O_WRONLY | O_CLOEXEC)};
    CHECK(both >= 0 && e.r >= 0 && e.w >= 0);
    close(both);
    unlink(path);
    return e;
}

/* Raw: bytes pass as they are. */
static inline struct ends open_pty(void) {
    struct termios t;
    char name[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(slave >= 0 && tcgetattr(slave, &t) == 0);
    cfmakeraw(&t);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &t), 0);
    return (struct ends){slave, master};
}

static inline struct ends open_ends(enum kind kind) {
    int fd[2];
    if (kind == FIFO)
        return open_fifo();
    if (kind == PTY)
        return open_pty();
    if (kind == SOCKET) {
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
        return (struct ends){fd[0], fd[1]};
    }
    CHECK_EQ(pipe2(fd, O_CLOEXEC), 0);
    return (struct ends){fd[0], fd[1]};
}

static inline void close_ends(struct ends e) {
    CHECK_EQ(weft_close(e.r), 0);
    CHECK_EQ(weft_close(e.w), 0);
}

/* The bytes of a test: each place has its own. */
static inline char byte_at(size_t i) {
    return (char)(i * 31 + i / 251);
}

static inline char *bytes(size_t n) {
    char *b = malloc(n);
    CHECK(b != NULL);
    for (size_t i = 0; i < n; i++)
        b[i] = byte_at(i);
    return b;
}

static inline void check_bytes(const char *b, size_t n, size_t from) {
    for (size_t i = 0; i < n; i++)
        if (b[i] != byte_at(from + i))
            FAIL("byte %zu is %d, not %d", from + i, b[i], byte_at(from + i));
}

/* ---- a storm of signals ---- */

struct storm {
    pthread_t thread;
    _Atomic bool stop;
    _Atomic long sent;
};

static _Atomic long storm_handled;

static void storm_handler(int sig) {
    (void)sig;
    storm_handled++;
}

static inline void storm_all_threads(struct storm *s, pid_t self) {
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        if (tid > 0 && tid != self && syscall(SYS_tgkill, getpid(), tid, SIGUSR2) == 0)
            s->sent++;
    }
    if (dir)
        closedir(dir);
}

static void *storm_rages(void *arg) {
    struct storm *s = arg;
    pid_t self = (pid_t)syscall(SYS_gettid);
    while (!s->stop) {
        storm_all_threads(s, self);
        usleep(300);
    }
    return NULL;
}

/* Each thread gets a signal again and again, whose handler has system calls fail with EINTR. */
static inline void storm_begins(struct storm *s) {
    struct sigaction action = {.sa_handler = storm_handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &action, NULL);
    s->stop = false;
    CHECK_EQ(pthread_create(&s->thread, NULL, storm_rages, s), 0);
}

static inline void storm_ends(struct storm *s) {
    s->stop = true;
    int err = weft_block(pthread_join(s->thread, NULL));
    CHECK_EQ(err, 0);
    CHECK(s->sent > 0 && storm_handled > 0);
}

#endif
