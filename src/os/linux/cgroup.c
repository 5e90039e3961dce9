/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU quota that cgroups put on this process.
 *
 * A hierarchy of groups is of version 1 (one that has the cpu controller) or 2; a system may have
 * both (hybrid). For each version:
 *
 *   /proc/self/cgroup      "4:cpu,cpuacct:/a/b" or "0::/a/b": the process's group, /a/b
 *   /proc/self/mountinfo   "… /a /sys/fs/cgroup … - cgroup2 …": the mount's root is the group /a
 *
 * Here the group is /sys/fs/cgroup/b. It and every group above it up to the mount point may have a
 * quota: cpu.cfs_quota_us and cpu.cfs_period_us, or the two words of cpu.max. The tightest counts.
 * Both versions are asked always: the one without the cpu controller has no such files. So are all
 * mounts of a hierarchy, since the one with the higher root shows more groups. A mount that does
 * not hold the process's group (its root is elsewhere, or the group is outside the cgroup
 * namespace, "/../x") says nothing about this process.
 *
 * Whatever is missing, too long or malformed counts as no limit: this only lowers a default. Groups
 * that lie above the mount's root, as those of the host above a container's, cannot be seen.
 *
 * The number is that of CPUs, at least 1. That a quota never lowers GOMAXPROCS below 2 is the
 * scheduler's rule, and so is how often to ask.
 *
 * Only system calls and 9 KB of stack: no stdio and no malloc, since it is asked again while
 * goroutines run, one of which may hold libc's locks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "../os.h"
#include "cgroup.h"

enum {
    END = -1,         /* of a file */
    PATH_SIZE = 4096, /* the kernel opens no longer ones */
    WORD_SIZE = 256,  /* fields other than paths; those of interest are shorter */
    FILE_NAME = 24,   /* room for "/cpu.cfs_period_us" */
};

/* ---- reading ---- */

struct reader {
    int fd;
    size_t next, filled;
    char buffer[512];
};

static bool reader_open(struct reader *r, const char *path) {
    r->next = r->filled = 0;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    return r->fd >= 0;
}

static int read_char(struct reader *r) {
    while (r->next == r->filled) {
        ssize_t n = read(r->fd, r->buffer, sizeof r->buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return END;
        r->next = 0;
        r->filled = (size_t)n;
    }
    return (unsigned char)r->buffer[r->next++];
}

/*
 * Reads up to `stop`, the line's end or the file's, and says which it was. Text that does not fit,
 * or holds a 0 byte, reads as empty, which is never what a caller looks for.
 */
static int read_field(struct reader *r, char *text, size_t size, int stop) {
    size_t n = 0;
    bool bad = false;
    int c;
    while ((c = read_char(r)) != END && c != '\n' && c != stop) {
        if (c == 0 || n + 1 == size)
            bad = true;
        else
            text[n++] = (char)c;
    }
    text[bad ? 0 : n] = 0;
    return c;
}

static void skip_line(struct reader *r, int last) {
    while (last != END && last != '\n')
        last = read_char(r);
}

/* ---- text ---- */

/* "rw,cpu,cpuacct" has "cpu". */
static bool list_has(const char *list, const char *item) {
    size_t n = strlen(item);
    for (;;) {
        const char *comma = strchrnul(list, ',');
        if ((size_t)(comma - list) == n && memcmp(list, item, n) == 0)
            return true;
        if (!*comma)
            return false;
        list = comma + 1;
    }
}

static bool is_octal(char c) {
    return c >= '0' && c <= '7';
}

/* mountinfo writes a space, tab, newline or backslash as a backslash and three octal digits. */
static void unescape(char *text) {
    char *out = text;
    for (const char *in = text; *in; out++) {
        if (in[0] == '\\' && is_octal(in[1]) && is_octal(in[2]) && is_octal(in[3])) {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = 0;
}

/* The part of the path `group` below `root`: "", or beginning with a slash; NULL when it is not
 * below. */
static const char *path_below(const char *group, const char *root) {
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (root[0] != '/' || strncmp(group, root, n) != 0)
        return NULL;
    const char *rest = group + n;
    if (strcmp(rest, "/") == 0)
        return "";
    if (*rest && *rest != '/')
        return NULL;
    bool outside = strncmp(rest, "/..", 3) == 0 && (rest[3] == '/' || rest[3] == 0);
    return outside ? NULL : rest;
}

/* Reads a whole number and the spaces after it; false when there is none ("max", "-1"). */
static bool parse_number(const char **text, uint64_t *value) {
    const char *s = *text;
    if (*s < '0' || *s > '9')
        return false;
    for (*value = 0; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*s - '0'), value))
            return false;
    while (*s == ' ')
        s++;
    *text = s;
    return true;
}

/* ---- one group ---- */

/* Reads the first line of path[0 … n) + name: one number or two. `path` has room for the name and
 * loses it again. */
static bool read_numbers(char *path, size_t n, const char *name, uint64_t *first,
                         uint64_t *second) {
    char line[64];
    ssize_t got;
    strcpy(path + n, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    path[n] = 0;
    if (fd < 0)
        return false;
    do
        got = read(fd, line, sizeof line - 1);
    while (got < 0 && errno == EINTR);
    close(fd);
    line[got > 0 ? got : 0] = 0;
    const char *s = line;
    return parse_number(&s, first) && (!second || parse_number(&s, second)) && (!*s || *s == '\n');
}

/* What the group whose directory is path[0 … n) allows; 0: no limit. */
static int group_quota(char *path, size_t n, bool v2) {
    uint64_t quota, period;
    bool limited = v2 ? read_numbers(path, n, "/cpu.max", &quota, &period)
                      : read_numbers(path, n, "/cpu.cfs_quota_us", &quota, NULL) &&
                            read_numbers(path, n, "/cpu.cfs_period_us", &period, NULL);
    if (!limited || period == 0)
        return 0;
    uint64_t cpus = quota / period + (quota % period != 0);
    return cpus < INT_MAX ? (int)cpus : INT_MAX;
}

/* 0 is no limit. */
static int tighter(int a, int b) {
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* ---- the hierarchies ---- */

/* Over the group at path[0 … top) + below and those above it down to path[0 … top). Uses up `path`.
 */
static int quota_upwards(char *path, size_t top, const char *below, bool v2) {
    size_t n = top + strlen(below);
    if (n + FILE_NAME > PATH_SIZE)
        return 0;
    strcpy(path + top, below);
    int tightest = group_quota(path, n, v2);
    while (n > top) {
        do
            n--;
        while (n > top && path[n] != '/');
        path[n] = 0;
        tightest = tighter(tightest, group_quota(path, n, v2));
    }
    return tightest;
}

/* Finds this process's group of the hierarchy in /proc/self/cgroup. */
static bool own_group(const char *prefix, bool v2, char *group) {
    struct reader r;
    size_t n = strlen(prefix);
    bool found = false;
    memcpy(group, prefix, n);
    strcpy(group + n, "/proc/self/cgroup");
    if (!reader_open(&r, group))
        return false;
    for (int last = 0; !found && last != END; skip_line(&r, last)) {
        char id[WORD_SIZE], controllers[WORD_SIZE];
        last = read_field(&r, id, sizeof id, ':');
        if (last == ':')
            last = read_field(&r, controllers, sizeof controllers, ':');
        if (last != ':' || (v2 ? strcmp(id, "0") != 0 : !list_has(controllers, "cpu")))
            continue;
        last = read_field(&r, group, PATH_SIZE, '\n');
        found = group[0] == '/';
    }
    close(r.fd);
    return found;
}

/* Reads a line of mountinfo up to the mount point, and that to path + n; `below` as path_below
 * says. */
static int read_mount(struct reader *r, const char *group, char *path, size_t n,
                      const char **below) {
    int last = ' ';
    *below = NULL;
    for (int i = 0; i < 3 && last == ' '; i++)
        last = read_field(r, path + n, PATH_SIZE - n, ' ');
    if (last == ' ')
        last = read_field(r, path + n, PATH_SIZE - n, ' ');
    if (last != ' ')
        return last;
    unescape(path + n);
    *below = path_below(group, path + n);
    last = read_field(r, path + n, PATH_SIZE - n, ' ');
    unescape(path + n);
    return last;
}

/* Reads the rest of the line: whether it is a mount of the hierarchy. */
static bool read_type(struct reader *r, int *last, bool v2) {
    char word[WORD_SIZE] = "";
    while (*last == ' ' && strcmp(word, "-") != 0)
        *last = read_field(r, word, sizeof word, ' ');
    if (*last == ' ')
        *last = read_field(r, word, sizeof word, ' ');
    if (*last != ' ' || strcmp(word, v2 ? "cgroup2" : "cgroup") != 0)
        return false;
    *last = read_field(r, word, sizeof word, ' ');
    if (*last == ' ')
        *last = read_field(r, word, sizeof word, ' ');
    return v2 || list_has(word, "cpu");
}

static int hierarchy_quota(const char *prefix, bool v2) {
    struct reader r;
    char group[PATH_SIZE], path[PATH_SIZE];
    size_t n = strlen(prefix);
    int tightest = 0;
    if (n + FILE_NAME > PATH_SIZE || !own_group(prefix, v2, group))
        return 0;
    memcpy(path, prefix, n);
    strcpy(path + n, "/proc/self/mountinfo");
    if (!reader_open(&r, path))
        return 0;
    for (int last = 0; last != END; skip_line(&r, last)) {
        const char *below;
        last = read_mount(&r, group, path, n, &below);
        if (!read_type(&r, &last, v2) || !below || path[n] != '/')
            continue;
        size_t top = n + (strcmp(path + n, "/") == 0 ? 0 : strlen(path + n));
        tightest = tighter(tightest, quota_upwards(path, top, below, v2));
    }
    close(r.fd);
    return tightest;
}

int os_cpu_quota_below(const char *prefix) {
    int saved = errno;
    int tightest = tighter(hierarchy_quota(prefix, false), hierarchy_quota(prefix, true));
    errno = saved;
    return tightest;
}

int os_cpu_quota(void) {
    const char *root = __atomic_load_n(&os_pretend.root, __ATOMIC_ACQUIRE);
    return os_cpu_quota_below(root ? root : "");
}
