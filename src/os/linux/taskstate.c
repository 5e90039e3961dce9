/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where another thread of this process is: on a CPU or about to be, or asleep in the kernel, and in
 * which call.
 *
 * /proc/self/task/TID/syscall says "running" for a thread that is on a CPU or waits for one, also in
 * the middle of a call, and otherwise the call's number with its arguments, or -1 for one that sleeps
 * outside of a call (a page fault, a stop by a debugger), each with stack pointer and program
 * counter. To say so the kernel waits until the thread is off its CPU and looks whether it is still
 * in the same sleep, so whatever this thread stored before is seen by that one when it goes on.
 *
 * A process that may not be dumped (setuid, prctl) may not read that file, but /proc/.../wchan: "0"
 * for a thread that is not asleep, else a name. A kernel that does not tell names says "0" always.
 *
 * The files are opened anew for each look. Kept open they would cost a third of the time, but a
 * program that closes all descriptors, as daemons do, and opens its own makes our number name its
 * file, and what is in there would be taken for an answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../os.h"

/* "/proc/self/task/TID/name"; no stdio, since the caller may hold no lock of it. */
static void path_of(char *path, uint32_t tid, const char *name) {
    char digits[12];
    int n = 0;
    do
        digits[n++] = (char)('0' + tid % 10);
    while ((tid /= 10) != 0);
    char *at = stpcpy(path, "/proc/self/task/");
    while (n > 0)
        *at++ = digits[--n];
    *at++ = '/';
    strcpy(at, name);
}

/* Bytes, or -1. */
static ssize_t read_file(uint32_t tid, const char *name, char *text, size_t size) {
    char path[64];
    path_of(path, tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n;
}

static enum os_task by_wchan(uint32_t tid) {
    char text[64];
    ssize_t n = read_file(tid, "wchan", text, sizeof text);
    if (n <= 0)
        return OS_TASK_UNKNOWN;
    return text[0] == '0' ? OS_TASK_RUNS : OS_TASK_BLOCKED;
}

/* The next number at *text, decimal or 0x…; 0 at the end. */
static uint64_t number(const char **text) {
    uint64_t value = 0;
    unsigned base = 10;
    const char *at = *text;
    while (*at == ' ')
        at++;
    if (at[0] == '0' && at[1] == 'x') {
        base = 16;
        at += 2;
    }
    for (;; at++) {
        unsigned digit = (unsigned char)*at - (unsigned)'0';
        if (digit > 9)
            digit = base == 16 && *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10 : base;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    *text = at;
    return value;
}

static void parse(const char *text, struct os_call *call) {
    bool outside = *text == '-';
    if (outside)
        text += 2;
    else
        call->number = (int)number(&text);
    for (int i = 0; i < 6 && !outside; i++)
        call->args[i] = number(&text);
    call->sp = number(&text);
    call->pc = number(&text);
}

enum os_task os_thread_state(uint32_t tid, struct os_call *call) {
    char text[256];
    int saved = errno;
    ssize_t n = read_file(tid, "syscall", text, sizeof text);
    enum os_task state = OS_TASK_UNKNOWN;
    struct os_call found = {.number = -1};
    if (n < 0 && (errno == EACCES || errno == EPERM)) {
        state = by_wchan(tid);
    } else if (n > 0 && text[0] == 'r') {
        state = OS_TASK_RUNS;
    } else if (n > 0 && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'))) {
        state = OS_TASK_BLOCKED;
        parse(text, &found);
    }
    if (call)
        *call = found;
    errno = saved;
    return state;
}
