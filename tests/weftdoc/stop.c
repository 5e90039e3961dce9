/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How weftdoc ends: idle or under load, no answer is cut short.
 */
#include "client.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

TEST_PLAIN(ends_at_once_when_idle) {
    struct served s = serve(NULL);
    int fresh = dial(&s), used = dial(&s), partial = dial(&s);
    say(used, GET("/"));
    struct got g = hear(used, false);
    CHECK_EQ(g.status, 200);
    got_free(&g);
    say(partial, "GET / HT");
    usleep(20000);
    double began = seconds_now();
    CHECK_EQ(serve_end(&s, SIGINT), 0);
    CHECK(seconds_now() - began < 3 * test_slowness());
    CHECK(hears_end(fresh) && hears_end(used) && hears_end(partial));
    close(fresh), close(used), close(partial);
}

/* Sends a request for a page that doesn't fit into the sockets' buffers, and reads some of it. */
static int in_the_middle(const struct served *s) {
    int fd = dial(s);
    say(fd, GET("/src/t/long.h"));
    char some[1000];
    CHECK(recv(fd, some, sizeof some, MSG_PEEK) > 0);
    return fd;
}

struct ending {
    struct served *served;
    int signal, status;
};

static void *end_it(void *arg) {
    struct ending *e = arg;
    e->status = serve_end(e->served, e->signal);
    return NULL;
}

TEST_PLAIN(an_answer_under_way_is_finished) {
    struct served s = serve(NULL);
    int fd = in_the_middle(&s);
    struct ending e = {&s, SIGTERM, -1};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, end_it, &e), 0);
    usleep(200000);
    struct got g = hear(fd, false); /* all of it */
    CHECK_EQ(g.status, 200);
    CHECK(g.len > 1000000);
    got_free(&g);
    pthread_join(thread, NULL);
    CHECK_EQ(e.status, 0);
    close(fd);
}

TEST_PLAIN(who_does_not_read_his_answer_is_not_waited_for) {
    struct served s = serve("-timeouts=10,60,30,0.3");
    int fd = dial(&s);
    for (int i = 0; i < 60; i++)
        say(fd, GET("/src/t/long.h"));
    usleep(100000);
    double began = seconds_now();
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
    CHECK(seconds_now() - began > 0.2);
    CHECK(seconds_now() - began < 0.3 + 3 * test_slowness());
    close(fd);
}

TEST_PLAIN(a_second_signal_ends_it_at_once) {
    struct served s = serve("-timeouts=10,60,30,30");
    int fd = dial(&s);
    for (int i = 0; i < 60; i++)
        say(fd, GET("/src/t/long.h"));
    usleep(100000);
    kill(s.pid, SIGINT); /* a signal that is sent twice is one signal */
    kill(s.pid, SIGTERM);
    usleep(500000 * (unsigned)test_slowness());
    int status;
    CHECK_EQ(waitpid(s.pid, &status, WNOHANG), 0); /* it waits for us */
    CHECK_EQ(serve_end(&s, SIGINT), 128 + SIGINT);
    close(fd);
}

/* --- under load: each client asks, reads all, asks again; a part of an answer fails the test */

enum { CLIENTS = 16 };

struct client {
    const struct served *served;
    atomic_int *stopping;
    int depth; /* requests sent in one go */
    long answers;
    int unanswered; /* requests that were sent, and then the connection ended */
};

static void *load(void *arg) {
    struct client *c = arg;
    int fd = dial(c->served);
    for (bool closing = false; !closing;) {
        for (int i = 0; i < c->depth; i++)
            say(fd, i % 4 == 3 ? GET("/t/api.h") : GET("/"));
        for (int i = 0; i < c->depth; i++) {
            struct got g = hear(fd, false); /* fails when there is a part of one */
            if (g.status == 0 || closing) { /* the end, before a byte of it */
                CHECK(atomic_load(c->stopping) != 0 && g.status == 0);
                c->unanswered = c->depth - i;
                closing = true;
                got_free(&g);
                break;
            }
            CHECK_EQ(g.status, 200);
            closing = g.closing;
            c->answers++;
            got_free(&g);
        }
    }
    close(fd);
    return NULL;
}

static void stop_under_load(int signal, int depth) {
    struct served s = serve(NULL);
    atomic_int stopping = 0;
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.served = &s, .stopping = &stopping, .depth = depth};
        CHECK_EQ(pthread_create(&threads[i], NULL, load, &clients[i]), 0);
    }
    usleep(300000);
    atomic_store(&stopping, 1);
    int status = serve_end(&s, signal);
    long answers = 0, unanswered = 0;
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        answers += clients[i].answers;
        unanswered += clients[i].unanswered;
    }
    CHECK_EQ(status, 0);
    CHECK(answers > 100 / test_slowness());
    printf("%ld whole answers, %ld requests without any\n", answers, unanswered);
}

TEST_PLAIN(no_answer_is_lost_under_load) {
    for (int i = 0; i < 3; i++)
        stop_under_load(i % 2 ? SIGTERM : SIGINT, 1);
}

TEST_PLAIN(no_answer_is_lost_when_requests_are_pipelined) {
    stop_under_load(SIGINT, 8);
}
