/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, signal masks and CPU counts of Linux. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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

int os_cpus(void) {
    for (int n = 1024; n <= 1 << 20; n *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        size_t size = CPU_ALLOC_SIZE((size_t)n);
        if (!set)
            break;
        int ok = sched_getaffinity(0, size, set), err = errno;
        int count = ok == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (ok == 0)
            return count > 0 ? count : 1;
        if (err != EINVAL)
            break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}
