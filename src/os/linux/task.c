/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of another thread of this process, below /proc/self/task/TID: where it is,
 * on a CPU or about to be, or asleep and in which call; and what it has used.
 *
 *   syscall    "running" for a thread that is on a CPU or waits for one, also in the middle of a call;
 *              otherwise the call's number with its arguments, or -1 for one that sleeps outside of a
 *              call (a page fault, a stop by a debugger), each with stack pointer and program counter
 *   wchan      "0" for a thread that is not asleep, else a name
 *   schedstat  "ON_CPU WAITED SLICES", nanoseconds
 *   stat       "TID (NAME) STATE …", fields by number as in proc(5)
 *
 * To fill in `syscall` the kernel waits until the thread is off its CPU and looks whether it is
 * still in the same sleep, so whatever this thread stored before is seen by that one when it goes
 * on.
 *
 * A process that may not be dumped (setuid, prctl) may not read that file, but the others. A kernel
 * that does not tell names says "0" in wchan always.
 *
 * The files are opened anew for each look. Kept open they would cost a third of the time, but a
 * program that closes all descriptors, as daemons do, and opens its own makes our number name its
 * file, and what is in there would be taken for an answer.
 *
 * Only system calls and a little stack: goroutines may hold the C library's locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../os.h"

#define TEXT_SIZE 512

enum { FAULTS = 10, READS = 12, SYSTEM = 15 }; /* fields of stat */

/* "/proc/self/task/TID/name" */
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
static ssize_t read_task(uint32_t tid, const char *name, char text[TEXT_SIZE]) {
    char path[64];
    path_of(path, tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, TEXT_SIZE - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n;
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

/* ---- where it is ---- */

static enum os_task by_wchan(uint32_t tid) {
    char text[TEXT_SIZE];
    ssize_t n = read_task(tid, "wchan", text);
    if (n <= 0)
        return OS_TASK_UNKNOWN;
    return text[0] == '0' ? OS_TASK_RUNS : OS_TASK_BLOCKED;
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
    char text[TEXT_SIZE];
    int saved = errno;
    ssize_t n = read_task(tid, "syscall", text);
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

/* ---- what it has used ---- */

static bool field(const char *stat, int wanted, uint64_t *value) {
    const char *at = strrchr(stat, ')'); /* the name may hold anything */
    for (int n = 2; at && n < wanted; n++)
        at = strchr(at + 1, ' ');
    if (at)
        *value = number(&at);
    return at != NULL;
}

bool os_thread_usage(uint32_t tid, struct os_usage *usage) {
    char text[TEXT_SIZE];
    uint64_t waited = 0, ticks = 0;
    int saved = errno;
    memset(usage, 0, sizeof *usage);
    bool found = read_task(tid, "stat", text) > 0 && field(text, FAULTS, &usage->faults) &&
                 field(text, READS, &usage->reads) && field(text, SYSTEM, &ticks);
    if (found && read_task(tid, "schedstat", text) > 0) {
        const char *at = text;
        number(&at); /* what it was on a CPU: its clock says that more exactly */
        waited = number(&at);
    }
    errno = saved;
    usage->cpu = os_thread_cpu(tid);
    usage->system = (int64_t)ticks * 10000000; /* the unit is 1/100 s on all processors */
    usage->waited = (int64_t)waited;
    return found && usage->cpu >= 0;
}
