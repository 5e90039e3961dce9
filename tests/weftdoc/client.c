/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server under test, and its client: see client.h.
 */
#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FLAGS_MAX = 16, PATIENCE_SECONDS = 5, START_MS = 20000 };

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- the server */

static FILE *create(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    return f;
}

static void make_folder(char *folder) {
    CHECK(mkdtemp(folder) != NULL);
    strcat(folder, "/t");
    CHECK_EQ(mkdir(folder, 0777), 0);
    FILE *f = create(folder, "api.h");
    fputs("/*\n * api.h: a header to test with.\n */\n"
          "/* open_door opens the door. */\nint open_door(int door);\n",
          f);
    fclose(f);
    f = create(folder, "guide.md");
    fputs("# Guide\n\nOpen the *door* first. See `open_door`.\n", f);
    fclose(f);
    f = create(folder, "long.h");
    for (int i = 0; i < 20000; i++)
        fprintf(f, "/* function_%d does number %d of a great many things. */\n", i, i);
    fclose(f);
    char path[128];
    snprintf(path, sizeof path, "%s/out.md", folder);
    CHECK_EQ(symlink("/etc/passwd", path), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void run_server(const char *flags, const char *folder, int err, pid_t parent) {
    char copy[256], *argv[FLAGS_MAX + 4], *rest = NULL;
    int n = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    argv[n++] = (char *)(size_t) "weftdoc";
    argv[n++] = (char *)(size_t) "-http=127.0.0.1:0";
    snprintf(copy, sizeof copy, "%s", flags ? flags : "");
    for (char *f = strtok_r(copy, " ", &rest); f && n < FLAGS_MAX; f = strtok_r(NULL, " ", &rest))
        argv[n++] = f;
    argv[n++] = (char *)(size_t)folder;
    argv[n] = NULL;
    dup2(err, 2);
    execv(WEFTDOC, argv);
    _exit(127);
}

/* Reads the line that names the port. */
static int read_port(int err) {
    char text[4096];
    size_t len = 0;
    double end = seconds_now() + START_MS / 1e3 * test_slowness();
    while (len + 1 < sizeof text && seconds_now() < end) {
        struct pollfd p = {err, POLLIN, 0};
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t n = read(err, text + len, 1);
        if (n <= 0)
            break;
        len += (size_t)n;
        text[len] = '\0';
        const char *at = strstr(text, "serving http://127.0.0.1:");
        if (at && text[len - 1] == '\n')
            return atoi(at + strlen("serving http://127.0.0.1:"));
    }
    FAIL("weftdoc does not serve: %.*s", (int)len, text);
}

struct served serve(const char *flags) {
    struct served s = {.folder = "/tmp/weftdoc-test-XXXXXX"};
    int err[2];
    make_folder(s.folder);
    CHECK_EQ(pipe(err), 0);
    pid_t parent = getpid();
    s.pid = fork();
    CHECK(s.pid >= 0);
    if (s.pid == 0) {
        close(err[0]);
        run_server(flags, s.folder, err[1], parent);
    }
    close(err[1]);
    s.err = err[0];
    s.port = read_port(s.err);
    return s;
}

int serve_end(struct served *s, int signal) {
    int status = 0;
    kill(s->pid, signal);
    double end = seconds_now() + 10 + 2 * test_slowness();
    while (waitpid(s->pid, &status, WNOHANG) == 0) {
        if (seconds_now() > end) {
            kill(s->pid, SIGKILL);
            FAIL("weftdoc does not end");
        }
        usleep(2000);
    }
    close(s->err);
    *strrchr(s->folder, '/') = '\0';
    nftw(s->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- the client */

int dial(const struct served *s) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    struct timeval patience = {PATIENCE_SECONDS * test_slowness(), 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)s->port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        FAIL("connect: %s", strerror(errno));
    return fd;
}

void say_bytes(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) /* refused before all was said: the answer tells */
            return;
        bytes += sent;
        n -= (size_t)sent;
    }
}

void say(int fd, const char *text) {
    say_bytes(fd, text, strlen(text));
}

/* Reads until the empty line; false at an end before any byte. */
static bool hear_head(int fd, struct got *g) {
    size_t len = 0, cap = 4096;
    g->head = malloc(cap);
    for (;;) {
        ssize_t n = recv(fd, g->head + len, 1, 0);
        if (n <= 0 && len == 0 && (n == 0 || errno == ECONNRESET))
            return false;
        if (n <= 0)
            FAIL("a head of %zu bytes, then %s: %.*s", len, n < 0 ? strerror(errno) : "the end",
                 (int)len, g->head);
        g->head[++len] = '\0';
        if (len >= 4 && memcmp(g->head + len - 4, "\r\n\r\n", 4) == 0)
            return true;
        CHECK(len + 2 < cap);
    }
}

struct got hear(int fd, bool bodyless) {
    struct got g = {0};
    if (!hear_head(fd, &g))
        return g;
    CHECK(sscanf(g.head, "HTTP/1.1 %d ", &g.status) == 1);
    const char *value = header(&g, "Content-Length");
    g.len = value ? strtoul(value, NULL, 10) : 0;
    CHECK(value || g.status == 304);
    value = header(&g, "Connection");
    g.closing = value && strcmp(value, "close") == 0;
    g.body = calloc(1, g.len + 1);
    for (size_t have = 0; !bodyless && have < g.len;) {
        ssize_t n = recv(fd, g.body + have, g.len - have, 0);
        if (n <= 0)
            FAIL("%zu of %zu bytes of the body, then %s", have, g.len,
                 n < 0 ? strerror(errno) : "the end");
        have += (size_t)n;
    }
    return g;
}

void got_free(struct got *g) {
    free(g->head);
    free(g->body);
    *g = (struct got){0};
}

const char *header(const struct got *g, const char *name) {
    static _Thread_local char value[1024];
    size_t len = strlen(name);
    for (const char *line = g->head; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        const char *at = line + len + 1 + strspn(line + len + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
        return value;
    }
    return NULL;
}

bool hears_end(int fd) {
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

int ask(const struct served *s, const char *request) {
    int fd = dial(s);
    say(fd, request);
    struct got g = hear(fd, strncmp(request, "HEAD ", 5) == 0);
    int status = g.status;
    got_free(&g);
    close(fd);
    return status;
}
