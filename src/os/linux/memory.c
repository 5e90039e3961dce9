/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of Linux: reserved ranges, guards, giving pages back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../os.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

int64_t os_fail_after;

bool os_fails_now(void);
bool os_fails_now(void) {
    return __atomic_load_n(&os_fail_after, __ATOMIC_RELAXED) > 0 &&
           __atomic_fetch_sub(&os_fail_after, 1, __ATOMIC_RELAXED) == 1;
}

void *os_reserve(size_t size, size_t align) {
    if (os_fails_now())
        return NULL;
    int saved = errno;
    size_t padded = align > 4096 ? size + align : size;
    char *start = mmap(NULL, padded, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (start == MAP_FAILED)
        return NULL;
    if (padded == size)
        return start;
    char *aligned = (char *)(((uintptr_t)start + align - 1) & ~(align - 1));
    if (aligned > start)
        munmap(start, (size_t)(aligned - start));
    size_t tail = (size_t)(start + padded - (aligned + size));
    if (tail > 0)
        munmap(aligned + size, tail);
    return aligned;
}

void os_release(void *start, size_t size) {
    munmap(start, size);
}

void os_discard(void *start, size_t size) {
    int saved = errno;
    madvise(start, size, MADV_DONTNEED);
    errno = saved;
}

void os_no_huge_pages(void *start, size_t size) {
    int saved = errno;
    madvise(start, size, MADV_NOHUGEPAGE);
    errno = saved;
}

bool os_make_executable(void *start, size_t size) {
    return mprotect(start, size, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

bool os_guard_install(void *start, size_t size) {
    int saved = errno;
    bool ok = madvise(start, size, MADV_GUARD_INSTALL) == 0;
    errno = saved;
    return ok;
}

bool os_guard_protect(void *start, size_t size) {
    int saved = errno;
    bool ok = mprotect(start, size, PROT_NONE) == 0;
    errno = saved;
    return ok;
}

long os_max_mappings(void) {
    char text[32] = {0};
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 65530; /* the kernel's default */
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? strtol(text, NULL, 10) : 65530;
}

static int any_executable_stack(struct dl_phdr_info *info, size_t size, void *found) {
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_STACK && (info->dlpi_phdr[i].p_flags & PF_X))
            *(bool *)found = true;
    return 0;
}

bool os_executable_stacks(void) {
    bool found = false;
    dl_iterate_phdr(any_executable_stack, &found);
    return found;
}
