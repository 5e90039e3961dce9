/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft_waitpid: parks until a child has ended.
 *
 * One child that is awaited for its end has a descriptor that becomes readable then (pidfd), so
 * the wait parks and can be cancelled. Any other wait, for any child, for a group, for stops, has
 * none; it blocks a thread in a bracket. So does a kernel without pidfds, and a child that another
 * process traces: it is readable before its parent may have it.
 *
 * Rejected: SIGCHLD, which belongs to the program.
 */
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/go.h>
#include <weft/io.h>

#include "try.h"

/* A pid, 0 or -errno. */
static pid_t wait_once(pid_t pid, int *status, int options) {
    int before = errno;
    pid_t ended;
    do
        ended = waitpid(pid, status, options);
    while (ended < 0 && errno == EINTR);
    return (pid_t)wefti_result(ended, before);
}

static pid_t wait_in_bracket(pid_t pid, int *status, int options) {
    weft_block_enter();
    pid_t ended = wait_once(pid, status, options);
    weft_block_exit();
    return ended;
}

static int open_pidfd(pid_t pid) {
#ifdef SYS_pidfd_open
    int before = errno;
    return (int)wefti_result(syscall(SYS_pidfd_open, pid, 0), before);
#else
    (void)pid;
    return -ENOSYS;
#endif
}

/* Parks until pid has ended: 0, or what ended the wait; ENOSYS when this can't be done. */
static int await_end(pid_t pid) {
    int fd = open_pidfd(pid);
    if (fd < 0)
        return ENOSYS;
    int events = wefti_fd_poll(fd, POLLIN);
    close(fd);
    return events < 0 ? -events : 0;
}

static pid_t wait_parked(pid_t pid, int *status, int options) {
    pid_t ended = wait_once(pid, status, options | WNOHANG);
    if (ended != 0)
        return ended;
    int err = await_end(pid);
    if (err == ECANCELED || err == ETIMEDOUT)
        return -err;
    ended = err == 0 ? wait_once(pid, status, options | WNOHANG) : 0;
    return ended != 0 ? ended : wait_in_bracket(pid, status, options);
}

pid_t weft_waitpid(pid_t pid, int *status, int options) {
    pid_t ended;
    if (options & WNOHANG)
        ended = wait_once(pid, status, options);
    else if (pid > 0 && !(options & (WUNTRACED | WCONTINUED)))
        ended = wait_parked(pid, status, options);
    else
        ended = wait_in_bracket(pid, status, options);
    return ended < 0 ? wefti_fail(-ended) : ended;
}
