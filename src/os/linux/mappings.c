/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading memory that may not be there, and which files' code is mapped where.
 *
 * process_vm_readv reads this process as it would another: what is not mapped is an error, not a
 * fault. /proc/self/maps comes through a small buffer; the beginning of a line at its end is kept for
 * the next read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../os.h"

#define PAGE ((uintptr_t)4096)

static size_t read_once(uintptr_t from, void *to, size_t size) {
    struct iovec local = {to, size}, remote = {(void *)from, size};
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    return n < 0 ? 0 : (size_t)n;
}

/* One piece that lies across a page that is not there fails as a whole: hence page by page then. */
size_t os_read_memory(uintptr_t from, void *to, size_t size) {
    int saved = errno;
    size_t n = read_once(from, to, size);
    while (n < size) {
        size_t piece = (size_t)(PAGE - (from + n) % PAGE);
        if (piece > size - n)
            piece = size - n;
        size_t k = read_once(from + n, (char *)to + n, piece);
        n += k;
        if (k < piece)
            break;
    }
    errno = saved;
    return n;
}

static const char *hex(const char *at, uint64_t *value) {
    for (*value = 0;; at++) {
        char c = *at;
        if (c >= '0' && c <= '9')
            *value = *value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *value = *value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return at;
    }
}

struct names {
    char *next;
    size_t left;
};

/* Cut off in front if there is no room: the file's own name is what counts. */
static const char *keep_name(struct names *names, const char *text, const char *end) {
    size_t n = (size_t)(end - text);
    if (names->left == 0 || n == 0)
        return "";
    if (n >= names->left)
        n = names->left - 1;
    char *name = names->next;
    memcpy(name, end - n, n);
    name[n] = '\0';
    names->next += n + 1;
    names->left -= n + 1;
    return name;
}

/* "START-END r-xp OFFSET DEV INODE   FILE" */
static bool parse_line(const char *at, const char *end, struct os_mapping *map,
                       struct names *names) {
    uint64_t start, stop, offset;
    at = hex(at, &start);
    if (*at++ != '-')
        return false;
    at = hex(at, &stop);
    if (end - at < 6 || at[3] != 'x')
        return false;
    at = hex(at + 6, &offset);
    for (int blanks = 0; blanks < 3 && at < end; at++)
        blanks += *at == ' ';
    while (at < end && *at == ' ')
        at++;
    *map = (struct os_mapping){(uintptr_t)start, (uintptr_t)stop, offset, NULL};
    map->file = keep_name(names, at, end);
    return true;
}

size_t os_code_mappings(struct os_mapping *maps, size_t n, char *names, size_t size) {
    char text[8192];
    struct names left = {names, size};
    int fd = os_file_open("/proc/self/maps");
    if (fd < 0)
        return 0;
    int saved = errno;
    size_t found = 0, kept = 0;
    ssize_t got;
    while (found < n && (got = read(fd, text + kept, sizeof text - 1 - kept)) > 0) {
        size_t filled = kept + (size_t)got;
        text[filled] = '\0';
        char *line = text, *end;
        while (found < n && (end = strchr(line, '\n')) != NULL) {
            found += parse_line(line, end, &maps[found], &left);
            line = end + 1;
        }
        kept = filled - (size_t)(line - text);
        memmove(text, line, kept);
    }
    errno = saved;
    os_file_close(fd);
    return found;
}
