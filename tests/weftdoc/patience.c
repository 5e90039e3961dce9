/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that are slow, or idle, on purpose or not; with deadlines shortened for it.
 */
#include "client.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* The head takes ever so long, and each byte of it comes in good time. */
static double drip(int fd) {
    double began = seconds_now();
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (;;) {
        struct timeval t = {0, 20000};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
        char byte;
        if (recv(fd, &byte, 1, MSG_PEEK) >= 0 || seconds_now() - began > 20)
            return seconds_now() - began;
        say(fd, "a");
    }
}

TEST_PLAIN(a_slow_head_is_cut_off) {
    struct served s = serve("-timeouts=0.5,20,20,5");
    int fd = dial(&s);
    double took = drip(fd);
    struct got g = hear(fd, false);
    CHECK_EQ(g.status, 408);
    CHECK(g.closing);
    CHECK(took > 0.4 && took < 0.5 + 3 * test_slowness());
    got_free(&g);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(a_slow_body_is_cut_off) {
    struct served s = serve("-timeouts=0.3,20,20,5");
    int fd = dial(&s);
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome");
    struct got g = hear(fd, false);
    CHECK_EQ(g.status, 408);
    got_free(&g);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(the_head_deadline_is_for_one_head) {
    struct served s = serve("-timeouts=0.3,20,20,5");
    int fd = dial(&s);
    for (int i = 0; i < 3; i++) { /* each one in two pieces, and an idle while after it */
        say(fd, "GET / HTTP/1.1\r\n");
        usleep(100000);
        say(fd, "Host: x\r\n\r\n");
        struct got g = hear(fd, false);
        CHECK_EQ(g.status, 200);
        got_free(&g);
        usleep(400000);
    }
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(idle_connections_are_closed) {
    struct served s = serve("-timeouts=20,0.3,20,5");
    int fresh = dial(&s), used = dial(&s);
    say(used, GET("/"));
    struct got g = hear(used, false);
    CHECK_EQ(g.status, 200);
    got_free(&g);
    double began = seconds_now();
    CHECK(hears_end(fresh)); /* and nothing is said */
    CHECK(hears_end(used));
    CHECK(seconds_now() - began < 0.4 + 3 * test_slowness());
    close(fresh), close(used);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

/* Asks for more than the sockets' buffers hold, and reads none of it. */
static int ask_and_not_read(const struct served *s) {
    int fd = dial(s), small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 60; i++)
        say(fd, GET("/src/t/long.h"));
    return fd;
}

TEST_PLAIN(who_does_not_read_is_cut_off) {
    struct served s = serve("-timeouts=20,20,0.3,5");
    int fd = ask_and_not_read(&s);
    usleep(600000);
    struct timeval t = {5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    size_t total = 0;
    char part[65536];
    ssize_t n;
    while ((n = recv(fd, part, sizeof part, 0)) > 0)
        total += (size_t)n;
    CHECK(total > 0 && total < 60u * 1000000);
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

/* --- slow loris: many of them, and others are served meanwhile */

enum { LORIS = 100 };
static atomic_bool over;

static void *loris(void *arg) {
    const struct served *s = arg;
    int fds[LORIS];
    for (int i = 0; i < LORIS; i++) {
        fds[i] = dial(s);
        say(fds[i], "GET / HTTP/1.1\r\n");
    }
    while (!atomic_load(&over)) {
        for (int i = 0; i < LORIS; i++)
            send(fds[i], "A: b\r\n", 6, MSG_NOSIGNAL);
        usleep(50000);
    }
    for (int i = 0; i < LORIS; i++) { /* each was answered 408, or is gone */
        char text[32] = "";
        ssize_t n = recv(fds[i], text, sizeof text - 1, 0);
        CHECK(n <= 0 || strncmp(text, "HTTP/1.1 408 ", 13) == 0);
        close(fds[i]);
    }
    return NULL;
}

TEST_PLAIN(slow_clients_do_not_keep_others_waiting) {
    struct served s = serve("-timeouts=1,20,20,5");
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, loris, &s), 0);
    int fd = dial(&s), answers = 0;
    double began = seconds_now(), slowest = 0;
    while (seconds_now() - began < 2) {
        double asked = seconds_now();
        say(fd, GET("/"));
        struct got g = hear(fd, false);
        CHECK_EQ(g.status, 200);
        got_free(&g);
        answers++;
        if (seconds_now() - asked > slowest)
            slowest = seconds_now() - asked;
        usleep(1000);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    CHECK(answers > 100 / test_slowness());
    CHECK(slowest < 3 * test_slowness());
    close(fd);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

/* --- idle connections cost no threads */

static long status_number(pid_t pid, const char *name) {
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    fclose(f);
    return value;
}

TEST_PLAIN(idle_connections_cost_no_threads) {
    enum { IDLE = 900 };
    static int fds[IDLE];
    struct served s = serve(NULL);
    CHECK_EQ(ask(&s, GET("/")), 200);
    for (int i = 0; i < IDLE; i++) {
        fds[i] = dial(&s);
        say(fds[i], "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        struct got g = hear(fds[i], true);
        CHECK_EQ(g.status, 200);
        got_free(&g);
    }
    CHECK(status_number(s.pid, "Threads:") < 40);
    for (int i = 0; i < IDLE; i++)
        close(fds[i]);
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}
