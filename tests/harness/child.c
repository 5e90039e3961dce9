/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes of a test: start the program anew with other arguments and environment, collect
 * what it writes and how it ends.
 *
 * Always fork and exec, never fork alone: a test may already be inside weft_run, whose other
 * threads a forked child would lack, and the library may read its environment as it is loaded.
 * Everything the child needs is built before the fork; between fork and exec it makes system calls
 * only. The child dies with the thread that waits for it.
 */
#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool starts_variable(const char *s) {
    if (!((*s >= 'A' && *s <= 'Z') || *s == '_'))
        return false;
    while ((*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_')
        s++;
    return *s == '=';
}

/* The end of the variable that starts at s: a space, or a comma before the next NAME=. */
static const char *variable_end(const char *s) {
    while (*s != 0 && *s != ' ' && !(*s == ',' && starts_variable(s + 1)))
        s++;
    return s;
}

static void env_set_one(struct test_env *e, const char *s, size_t len) {
    size_t name = (size_t)((const char *)memchr(s, '=', len) - s) + 1;
    char *copy = strndup(s, len);
    for (size_t i = 0; i < e->count; i++) {
        if (strncmp(e->vars[i], copy, name) == 0) {
            free(e->vars[i]);
            e->vars[i] = copy;
            return;
        }
    }
    e->vars = realloc(e->vars, (e->count + 2) * sizeof *e->vars);
    e->vars[e->count++] = copy;
    e->vars[e->count] = NULL;
}

struct test_env test_env_copy(void) {
    struct test_env e = {NULL, 0};
    size_t n = 0;
    while (environ[n])
        n++;
    e.vars = calloc(n + 1, sizeof *e.vars);
    for (e.count = 0; e.count < n; e.count++)
        e.vars[e.count] = strdup(environ[e.count]);
    return e;
}

void test_env_set(struct test_env *e, const char *text) {
    while (text && *text) {
        const char *end = variable_end(text);
        if (!memchr(text, '=', (size_t)(end - text)))
            FAIL("environment \"%s\": not NAME=value", text);
        env_set_one(e, text, (size_t)(end - text));
        text = *end ? end + 1 : end;
    }
}

void test_env_free(struct test_env *e) {
    for (size_t i = 0; i < e->count; i++)
        free(e->vars[i]);
    free(e->vars);
}

/* Reads both pipes until both are closed. */
struct sink {
    char *data;
    size_t len, cap;
};

static void sink_reserve(struct sink *s) {
    if (s->cap - s->len > 4096)
        return;
    s->cap = s->cap ? s->cap * 2 : 16384;
    s->data = realloc(s->data, s->cap);
}

/* False at the end of the stream. */
static bool sink_read(struct sink *s, int fd) {
    sink_reserve(s);
    ssize_t n = read(fd, s->data + s->len, s->cap - s->len - 1);
    if (n > 0)
        s->len += (size_t)n;
    return n > 0 || (n < 0 && errno == EINTR);
}

static void collect(int out_fd, int err_fd, struct sink *out, struct sink *err) {
    struct pollfd p[2] = {{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}};
    struct sink *sinks[2] = {out, err};
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 2, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (p[i].fd >= 0 && p[i].revents && !sink_read(sinks[i], p[i].fd))
                p[i].fd = -1;
        }
    }
    for (int i = 0; i < 2; i++) {
        sink_reserve(sinks[i]);
        sinks[i]->data[sinks[i]->len] = 0;
    }
}

static void child_exec(char **argv, char **envp, int out_fd, int err_fd, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (out_fd >= 0) { /* captured children may die on purpose: no core, no waiting for input */
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0);
        close(null);
        dup2(out_fd, 1);
        dup2(err_fd, 2);
    }
    execve("/proc/self/exe", argv, envp);
    _exit(127);
}

static int wait_status(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int test_spawn(char **argv, char **envp) {
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child_exec(argv, envp, -1, -1, parent);
    if (pid < 0)
        FAIL("fork: %s", strerror(errno));
    return wait_status(pid);
}

struct test_output test_spawn_captured(char **argv, char **envp) {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        FAIL("pipe2: %s", strerror(errno));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child_exec(argv, envp, out[1], err[1], parent);
    if (pid < 0)
        FAIL("fork: %s", strerror(errno));
    close(out[1]);
    close(err[1]);
    struct sink o = {NULL, 0, 0}, e = {NULL, 0, 0};
    collect(out[0], err[0], &o, &e);
    close(out[0]);
    close(err[0]);
    struct test_output r = {wait_status(pid), o.data, o.len, e.data, e.len};
    return r;
}

void test_output_free(struct test_output *o) {
    free(o->out);
    free(o->err);
    o->out = o->err = NULL;
}
