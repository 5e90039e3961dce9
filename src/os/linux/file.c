/* SPDX-License-Identifier: Apache-2.0 */
/* Files to be read, with errno as it was, and without the C library's locks. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "../os.h"

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
