/* SPDX-License-Identifier: Apache-2.0 */
/* Processes, threads, libraries and names: calls that hold the C library's and the linker's locks. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak.h"

static char program[] = "/bin/sh", flag[] = "-c";

static void await_child(pid_t pid, int expected) {
    int status = -1;
    SOAK_CHECK(waitpid(pid, &status, 0) == pid);
    SOAK_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == expected);
}

void soak_spawns(struct soak_worker *w) {
    do {
        int expected = (int)soak_below(w, 10);
        char command[] = "exit 0";
        command[5] = (char)('0' + expected);
        char *argv[] = {program, flag, command, NULL}, *envp[] = {NULL};
        pid_t pid = -1;
        SOAK_CHECK(posix_spawn(&pid, program, NULL, NULL, argv, envp) == 0);
        await_child(pid, expected);
        w->done++;
        soak_rest(w);
    } while (soak_more());
}

/* The child borrows this function's frame, and writes nothing to it. */
static __attribute__((noinline)) pid_t vfork_and_exec(char *const argv[], char *const envp[]) {
    pid_t pid = vfork();
    if (pid == 0) {
        execve(program, argv, envp);
        _exit(127);
    }
    return pid;
}

void soak_vforks(struct soak_worker *w) {
    do {
        char command[] = "exit 7";
        char *argv[] = {program, flag, command, NULL}, *envp[] = {NULL};
        pid_t pid = vfork_and_exec(argv, envp);
        SOAK_CHECK(pid > 0);
        await_child(pid, 7);
        w->done++;
        soak_rest(w);
    } while (soak_more());
}

struct errand {
    uint32_t steps;
    weft_chan(int) c;
    uint64_t result;
};

/* A thread of the program's; some of them call weft. */
static void *runs_errand(void *arg) {
    struct errand *e = arg;
    char *text = malloc(100);
    SOAK_CHECK(text != NULL);
    memset(text, 'x', 100);
    soak_compute(e->steps);
    if (e->c)
        SOAK_CHECK(weft_try_send(e->c, 7));
    e->result = e->steps + (uint64_t)text[99];
    free(text);
    return e;
}

void soak_makes_threads(struct soak_worker *w) {
    do {
        struct errand e = {.steps = soak_below(w, 100000)};
        pthread_t thread;
        void *got = NULL;
        int v = 0;
        if (soak_below(w, 2))
            e.c = weft_chan_make(int, 1);
        SOAK_CHECK(pthread_create(&thread, NULL, runs_errand, &e) == 0);
        SOAK_CHECK(pthread_join(thread, &got) == 0);
        SOAK_CHECK(got == &e && e.result == e.steps + 'x');
        if (e.c) {
            SOAK_CHECK(weft_try_recv(e.c, &v) && v == 7);
            weft_chan_unref(e.c);
        }
        w->done++;
        soak_rest(w);
    } while (soak_more());
}

/* A library with data of each thread's own, which the first touch allocates. */
void soak_loads(struct soak_worker *w) {
    static const char *const names[] = {SOAK_LIBRARY_1, SOAK_LIBRARY_2};
    do {
        void *library = dlopen(names[soak_below(w, 2)], RTLD_NOW | RTLD_LOCAL);
        SOAK_CHECK(library != NULL);
        unsigned *(*own)(unsigned) = NULL;
        *(void **)&own = dlsym(library, "soak_library_own");
        SOAK_CHECK(own != NULL);
        unsigned value = soak_below(w, 1000000), *at = own(value);
        for (int i = 0; i < 20; i++) {
            soak_compute(1000);
            SOAK_CHECK(*at == value + (unsigned)i);
            SOAK_CHECK(own(value + (unsigned)i + 1) == at);
        }
        SOAK_CHECK(dlclose(library) == 0);
        w->done++;
        soak_rest(w);
    } while (soak_more());
}

static void look_up(const char *host, const char *service, int flags, uint32_t expected) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET, .ai_flags = flags};
    struct addrinfo *found = NULL;
    int err = getaddrinfo(host, service, &hints, &found);
    if (err != 0)
        soak_fail(__FILE__, __LINE__, "getaddrinfo of %s: %s", host, gai_strerror(err));
    SOAK_CHECK(found != NULL && found->ai_family == AF_INET);
    struct sockaddr_in in;
    memcpy(&in, found->ai_addr, sizeof in);
    SOAK_CHECK(ntohs(in.sin_port) == 80);
    SOAK_CHECK(ntohl(in.sin_addr.s_addr) == expected);
    freeaddrinfo(found);
}

void soak_looks_up(struct soak_worker *w) {
    do {
        if (soak_below(w, 2))
            look_up("10.11.12.13", "80", AI_NUMERICHOST, 0x0a0b0c0d);
        else
            look_up("localhost", "80", 0, INADDR_LOOPBACK);
        w->done++;
        soak_rest(w);
    } while (soak_more());
}
