/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An echo server: a goroutine per connection, written as if it were alone in the world.
 *
 *     echo 127.0.0.1:7777          then: ncat 127.0.0.1 7777
 *     echo /tmp/echo.sock          then: ncat -U /tmp/echo.sock
 *
 * weft_read and weft_write look like read(2) and write(2), and where those would block the thread
 * they put the goroutine aside, so that ten thousand idle connections cost no threads. A connection
 * that says nothing for five minutes is closed by its read deadline.
 *
 * Ctrl-C ends the context that everything here runs under: accept and the reads that wait fail with
 * ECANCELED, every goroutine closes its connection, and app waits for the last of them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

#define IDLE (5 * WEFT_MINUTE)

static _Atomic long long connections, bytes;

static void serve(int fd) {
    char buf[16 * 1024];
    ssize_t n;
    for (;;) {
        weft_set_read_deadline(fd, weft_now() + IDLE);
        n = weft_read(fd, buf, sizeof buf);
        if (n <= 0) /* 0: the client has said all; what it said is answered by now */
            break;
        if (weft_write(fd, buf, (size_t)n) < n)
            break;
        bytes += n;
    }
    weft_close(fd);
}

/* Accepts until the listener fails, which is when the context has ended. 0, or the error. */
static int accept_all(int listener) {
    weft_wg serving = WEFT_WG_INIT;
    int fd, error = 0;
    while (error == 0) {
        if ((fd = weft_accept(listener)) < 0) {
            error = errno;
        } else if (weft_wg_go(&serving, serve, fd) != 0) {
            error = errno;
            weft_close(fd);
        } else {
            connections++;
        }
    }
    weft_wg_wait(&serving);
    return error == ECANCELED ? 0 : error;
}

static int run(const char *address) {
    char text[256];
    bool is_path = strchr(address, '/') != NULL;
    int listener = weft_listen(is_path ? "unix" : "tcp", address);
    if (listener < 0 || weft_local_addr(listener, text, sizeof text) != 0) {
        fprintf(stderr, "echo: %s: %s\n", address, strerror(errno));
        return 1;
    }
    printf("listening on %s\n", text);
    fflush(stdout);

    int error = accept_all(listener);
    weft_close(listener);
    if (error != 0) {
        fprintf(stderr, "echo: accept: %s\n", strerror(error));
        return 1;
    }
    printf("%lld bytes on %lld connections\n", (long long)bytes, (long long)connections);
    return 0;
}

static int app(int argc, char **argv) {
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: echo [HOST:PORT | PATH]     (127.0.0.1:7777; port 0: any)\n");
        return 2;
    }
    int signals[] = {SIGINT, SIGTERM};
    weft_ctx *until_signal = weft_signal_ctx(weft_ctx_current(), signals, 2);
    if (until_signal == NULL) {
        perror("echo");
        return 1;
    }
    int status;
    {
        weft_scope_ctx(until_signal);
        status = run(argc == 2 ? argv[1] : "127.0.0.1:7777");
    }
    weft_ctx_unref(until_signal);
    return status;
}

WEFT_MAIN(app)
