/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What another thread of this process has used, from /proc/self/task/TID; and files in general.
 *
 *   schedstat  "ON_CPU WAITED SLICES", nanoseconds
 *   stat       "TID (NAME) STATE …", fields by number as in proc(5)
 *
 * Both can be read in a process that may not be dumped, too. Only system calls and a little stack:
 * goroutines may hold the C library's locks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../os.h"

#define TEXT_SIZE 512

enum { FAULTS = 10, READS = 12, SYSTEM = 15 }; /* fields of stat */

int os_file_open(const char *path) {
    int saved = errno;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    errno = saved;
    return fd;
}

size_t os_file_read(int fd, void *into, size_t size, uint64_t offset) {
    int saved = errno;
    size_t n = 0;
    while (n < size) {
        ssize_t k = pread(fd, (char *)into + n, size - n, (off_t)(offset + n));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    errno = saved;
    return n;
}

void os_file_close(int fd) {
    int saved = errno;
    close(fd);
    errno = saved;
}

static void put_number(char *at, uint32_t n) {
    char digits[10];
    size_t k = 0;
    do
        digits[k++] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    while (k > 0)
        *at++ = digits[--k];
    *at = '\0';
}

/* All of a small file of the thread's; false: none there. */
static bool read_task(uint32_t tid, const char *file, char text[TEXT_SIZE]) {
    char path[64] = "/proc/self/task/";
    put_number(path + strlen(path), tid);
    strcat(path, file);
    int fd = os_file_open(path);
    if (fd < 0)
        return false;
    size_t n = os_file_read(fd, text, TEXT_SIZE - 1, 0);
    os_file_close(fd);
    text[n] = '\0';
    return n > 0;
}

static bool number_at(const char **at, uint64_t *value) {
    const char *s = *at;
    while (*s == ' ')
        s++;
    const char *first = s;
    for (*value = 0; *s >= '0' && *s <= '9'; s++)
        *value = *value * 10 + (uint64_t)(*s - '0');
    *at = s;
    return s > first;
}

static bool field(const char *stat, int wanted, uint64_t *value) {
    const char *at = strrchr(stat, ')'); /* the name may hold anything */
    for (int n = 2; at && n < wanted; n++)
        at = strchr(at + 1, ' ');
    return at && number_at(&at, value);
}

bool os_thread_usage(uint32_t tid, struct os_usage *usage) {
    char text[TEXT_SIZE];
    uint64_t on_cpu = 0, waited = 0, ticks = 0;
    memset(usage, 0, sizeof *usage);
    if (!read_task(tid, "/stat", text) || !field(text, FAULTS, &usage->faults) ||
        !field(text, READS, &usage->reads) || !field(text, SYSTEM, &ticks))
        return false;
    if (read_task(tid, "/schedstat", text)) {
        const char *at = text;
        if (number_at(&at, &on_cpu))
            number_at(&at, &waited);
    }
    usage->cpu = os_thread_cpu(tid);
    usage->system = (int64_t)ticks * 10000000; /* the unit is 1/100 s on all processors */
    usage->waited = (int64_t)waited;
    return usage->cpu >= 0;
}
