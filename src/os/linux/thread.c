/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, signal masks and CPU counts of Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../os.h"

bool os_fails_now(void);

_Static_assert(sizeof(sigset_t) <= sizeof(struct os_sigmask), "a signal set fits its opaque form");

void os_sigmask_get(struct os_sigmask *mask) {
    pthread_sigmask(SIG_SETMASK, NULL, (sigset_t *)mask);
}

void os_sigmask_set(const struct os_sigmask *mask) {
    pthread_sigmask(SIG_SETMASK, (const sigset_t *)mask, NULL);
}

int os_thread_create(struct os_thread *thread, size_t stack, void *(*fn)(void *), void *arg) {
    if (os_fails_now())
        return EAGAIN;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, stack);
    pthread_t handle;
    int err = pthread_create(&handle, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err == 0)
        memcpy(&thread->handle, &handle, sizeof handle);
    return err;
}

void os_thread_self(struct os_thread *thread) {
    pthread_t handle = pthread_self();
    memcpy(&thread->handle, &handle, sizeof handle);
}

static pthread_t thread_of(const struct os_thread *thread) {
    pthread_t handle;
    memcpy(&handle, &thread->handle, sizeof handle);
    return handle;
}

bool os_thread_join(struct os_thread *thread, bool wait) {
    if (!wait)
        return pthread_tryjoin_np(thread_of(thread), NULL) != EBUSY;
    pthread_join(thread_of(thread), NULL);
    return true;
}

void os_thread_detach(struct os_thread *thread) {
    pthread_detach(thread_of(thread));
}

void os_thread_name(const char *name) {
    prctl(PR_SET_NAME, name);
}

void os_thread_stack(void **lo, void **hi) {
    pthread_attr_t attr;
    size_t size = 0;
    *lo = NULL;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, lo, &size);
        pthread_attr_destroy(&attr);
    }
    *hi = (char *)*lo + size;
}

/* The task directory has a link for each thread besides its own two: no directory needs to be read.
 */
int os_thread_count(void) {
    struct stat st;
    int saved = errno;
    int n = stat("/proc/self/task", &st) == 0 ? (int)st.st_nlink - 2 : -1;
    errno = saved;
    return n;
}

struct os_pretend os_pretend;

/* By the system call, which says how much it wrote, into a mask on the stack: the C library's sets
 * of more than 1024 CPUs need malloc. */
int os_cpus(uint32_t tid) {
    uint64_t mask[1024]; /* no kernel has more than 8192 CPUs, let alone 65536 */
    int pretended = __atomic_load_n(&os_pretend.cpus, __ATOMIC_ACQUIRE), saved = errno, count = 0;
    if (pretended > 0)
        return pretended;
    long bytes = syscall(SYS_sched_getaffinity, tid, sizeof mask, mask);
    for (long i = 0; i < bytes / (long)sizeof *mask; i++)
        count += __builtin_popcountll(mask[i]);
    errno = saved;
    if (count > 0)
        return count;
    if (tid != 0)
        return os_cpus(0); /* that thread is gone */
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}
