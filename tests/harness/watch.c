/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In debug builds, every test program's malloc: the C library's, but whoever calls it from inside
 * the runtime ends the program. A goroutine that is stopped in the middle of malloc holds an
 * arena's lock until it gets a P again, and a thread that waits for that lock inside the runtime
 * can be neither stopped nor have its P taken.
 *
 * Inside is: an M whose inrt is set, the preemption signal's handler among them, and the monitor.
 * While a run comes up or ends nobody is stopped by signal, and threads are made and joined. The
 * spawner makes the threads: nobody waits for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/state.h"

extern struct wefti_sched wefti_sched
    __attribute__((weak)); /* not in programs without a scheduler */
extern __thread struct m *wefti_m __attribute__((weak));

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *block);

static bool is_monitor(void) {
    static __thread uint32_t tid __attribute__((tls_model("initial-exec")));
    if (tid == 0)
        tid = (uint32_t)gettid();
    return tid == load_relaxed(&wefti_sched.montid);
}

static void say(const char *text) {
    ssize_t n = write(2, text, strlen(text));
    (void)n;
}

static void check(const char *what) {
    if (&wefti_sched == NULL || load_relaxed(&wefti_sched.phase) != WEFTI_UP)
        return;
    struct m *mp = wefti_m;
    if (mp ? load_relaxed(&mp->inrt) == 0 : !is_monitor())
        return;
    say(what);
    say(" called inside the runtime\n");
    abort();
}

void *malloc(size_t size) {
    check("malloc");
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    check("calloc");
    return __libc_calloc(n, size);
}

void *realloc(void *block, size_t size) {
    check("realloc");
    return __libc_realloc(block, size);
}

void free(void *block) {
    if (block)
        check("free");
    __libc_free(block);
}

void *memalign(size_t align, size_t size);
void *memalign(size_t align, size_t size) {
    check("memalign");
    return __libc_memalign(align, size);
}

void *aligned_alloc(size_t align, size_t size) {
    check("aligned_alloc");
    return __libc_memalign(align, size);
}

int posix_memalign(void **block, size_t align, size_t size) {
    check("posix_memalign");
    int saved = errno;
    void *got = __libc_memalign(align, size);
    errno = saved;
    if (!got)
        return ENOMEM;
    *block = got;
    return 0;
}
