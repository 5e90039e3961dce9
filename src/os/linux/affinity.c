/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping another thread, which sleeps, to the caller's CPU for the moment of its wake-up.
 *
 * The mask that it has is the program's, and is put back by os_unpin, unless it is no longer the one
 * that os_pin set: then somebody set another one meanwhile, and that one stays.
 *
 * A mask that a thread was given, and be it that of all CPUs it may use, no longer grows when the
 * CPUs of its cpuset do. So where a thread has the mask of `model`, and os_unrestricted said of that
 * one that it has all it may have, all bits are put back: the kernel uses those it may.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../os.h"

/* Bytes, 0 when there is none or it does not fit. */
static long get(uint32_t tid, struct os_affinity *mask) {
    memset(mask, 0, sizeof *mask);
    long n = syscall(SYS_sched_getaffinity, tid, sizeof *mask, mask);
    return n > 0 ? n : 0;
}

static bool set(uint32_t tid, const struct os_affinity *mask) {
    return syscall(SYS_sched_setaffinity, tid, sizeof *mask, mask) == 0;
}

static bool same(const struct os_affinity *a, const struct os_affinity *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static struct os_affinity only(int cpu) {
    struct os_affinity mask = {{0}};
    mask.bits[cpu / 64] = (uint64_t)1 << cpu % 64;
    return mask;
}

static const struct os_affinity all = {{-1ull, -1ull, -1ull, -1ull, -1ull, -1ull, -1ull, -1ull,
                                        -1ull, -1ull, -1ull, -1ull, -1ull, -1ull, -1ull, -1ull}};

int os_cpu(void) {
    int saved = errno;
    int cpu = sched_getcpu();
    errno = saved;
    return cpu;
}

bool os_unrestricted(void) {
    struct os_affinity before, after;
    int saved = errno;
    bool free = get(0, &before) != 0 && set(0, &all) && get(0, &after) != 0;
    if (free && !same(&before, &after)) {
        set(0, &before);
        free = false;
    }
    errno = saved;
    return free;
}

bool os_pin(uint32_t tid, int cpu, uint32_t model, struct os_affinity *before) {
    struct os_affinity mask;
    int saved = errno;
    bool pinned = false;
    if (cpu >= 0 && (size_t)cpu < 8 * sizeof mask.bits && get(tid, before) != 0 &&
        (before->bits[cpu / 64] >> cpu % 64 & 1)) {
        mask = only(cpu);
        pinned = !same(&mask, before) && set(tid, &mask);
    }
    if (pinned && model != 0 && get(model, &mask) != 0 && same(&mask, before))
        *before = all;
    errno = saved;
    return pinned;
}

void os_unpin(uint32_t tid, int cpu, const struct os_affinity *before) {
    struct os_affinity mask = only(cpu), now;
    int saved = errno;
    if (get(tid, &now) != 0 && same(&mask, &now))
        set(tid, before);
    errno = saved;
}
