/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: another program's output. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

extern char **environ;

#define MAX_OUTPUT (256u << 20)

/* 0 or an errno value. The child has no signal blocked and none ignored but by its own will. */
static int spawn(const char *const argv[], int out, pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int err = posix_spawn_file_actions_init(&files);
    if (err != 0)
        return err;
    if ((err = posix_spawnattr_init(&attr)) == 0) {
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setsigdefault(&attr, &all);
        err = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
        if (err == 0)
            err = posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
        if (err == 0)
            err = posix_spawn_file_actions_adddup2(&files, out, 1);
        if (err == 0)
            err =
                weft_block(posix_spawnp(pid, argv[0], &files, &attr, (char *const *)argv, environ));
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&files);
    return err;
}

/* 0 or an errno value. */
static int read_all(int fd, struct buf *out) {
    ssize_t n = 1;
    while (n > 0 && out->len < MAX_OUTPUT) {
        char *room = buf_room(out, 65536);
        if (room == NULL)
            no_memory();
        n = weft_read(fd, room, 65536);
        out->len += n > 0 ? (size_t)n : 0;
    }
    return n < 0 ? errno : 0;
}

/* Nobody else may get the child's status; whoever stops waiting for it ends it. */
static int reap(pid_t pid, int *status) {
    if (weft_waitpid(pid, status, 0) == pid)
        return 0;
    int err = errno;
    kill(pid, SIGKILL);
    weft_block(waitpid(pid, status, 0));
    return err;
}

int run_program(const char *const argv[], struct buf *out) {
    int ends[2], status = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    int err = spawn(argv, ends[1], &pid);
    close(ends[1]);
    if (err != 0) {
        close(ends[0]);
        weft_set_errno(err);
        return -1;
    }
    err = read_all(ends[0], out);
    close(ends[0]); /* a program that still writes gets SIGPIPE */
    if (err != 0)
        kill(pid, SIGKILL);
    int lost = reap(pid, &status);
    if (err == 0)
        err = lost != 0 ? lost : WIFEXITED(status) ? 0 : ECHILD;
    if (err != 0)
        weft_set_errno(err);
    return err != 0 ? -1 : WEXITSTATUS(status);
}
