/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chat server: what one types, all others read. The first line is one's name.
 *
 *     chat 127.0.0.1:7777          then, several times: ncat 127.0.0.1 7777
 *
 *     member --> read_lines --+                        +-- outbox --> write_lines --> member
 *     member --> read_lines --+-- join, say, leave --> hub -- outbox --> write_lines --> member
 *     member --> read_lines --+                        +-- outbox --> write_lines --> member
 *
 * The hub alone knows who is there; nobody else touches its list, so there is no lock. It puts each
 * line into each outbox. A member whose outbox is full, and stays full for the time of GRACE, is too
 * slow and dropped: nobody else waits for it again. Lines are channel elements, passed by value.
 *
 * A member's descriptor is closed by its reader, after its writer has ended and the hub has taken it
 * off the list: until then the hub may shut it down, which wakes both of them.
 *
 * Ctrl-C ends the context of all but the hub: the readers stop, and each member leaves.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

enum { OUTBOX = 64 };
#define GRACE (200 * WEFT_MILLISECOND)

struct line {
    char text[256];
};

struct member {
    int fd;
    char name[32];
    weft_chan(struct line) outbox; /* closed by the hub when it has forgotten the member */
    bool dropped;                  /* the hub's, as the list is */
    struct member *next;
};

struct words {
    struct member *from;
    struct line line;
};

struct hub {
    weft_chan(struct member *) join, leave;
    weft_chan(struct words) say;
    struct member *members;
};

/* ---- the hub ---- */

__attribute__((format(printf, 3, 4))) static void tell(struct hub *hub, struct member *but,
                                                       const char *format, ...) {
    struct line line;
    va_list ap;
    va_start(ap, format);
    vsnprintf(line.text, sizeof line.text, format, ap);
    va_end(ap);
    for (struct member *m = hub->members; m != NULL; m = m->next) {
        if (m == but || m->dropped)
            continue;
        if (weft_select(weft_case_send(m->outbox, line), weft_case_after(GRACE)) == 1) {
            m->dropped = true;
            weft_shutdown(m->fd, SHUT_RDWR); /* its goroutines fail now, and it will leave */
        }
    }
}

static void take_off(struct hub *hub, struct member *gone) {
    struct member **at = &hub->members;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    tell(hub, NULL, "* %s %s\n", gone->name, gone->dropped ? "was too slow" : "leaves");
    weft_chan(struct line) outbox = gone->outbox;
    weft_chan_close(outbox); /* now the member may be gone at any moment */
    weft_chan_unref(outbox);
}

/* Runs until `join` is closed, when no member is left. */
static void run_hub(struct hub *hub) {
    weft_scope_ctx(weft_ctx_background());
    struct member *m;
    struct words w;
    for (bool open = true;;) {
        switch (weft_select(weft_case_recv_ok(hub->join, &m, &open), weft_case_recv(hub->say, &w),
                            weft_case_recv(hub->leave, &m))) {
        case 0:
            if (!open)
                return;
            m->next = hub->members;
            hub->members = m;
            tell(hub, NULL, "* %s joins\n", m->name);
            break;
        case 1:
            tell(hub, w.from, "%s: %s", w.from->name, w.line.text);
            break;
        case 2:
            take_off(hub, m);
            break;
        }
    }
}

/* ---- a member's two goroutines ---- */

/* Until the outbox is closed. After Ctrl-C too: it has the others' farewells. */
static void write_lines(int fd, weft_chan(struct line) outbox) {
    weft_scope_ctx(weft_ctx_background());
    struct line line;
    while (weft_recv(outbox, &line)) {
        size_t n = strlen(line.text);
        if (weft_write(fd, line.text, n) < (ssize_t)n)
            break; /* gone or dropped; its reader sees that too */
    }
}

/* stdio over weft_read: fgets parks until a line is there. A long line comes in pieces. */
static bool read_line(FILE *in, char *text, size_t size) {
    if (fgets(text, (int)size - 1, in) == NULL)
        return false;
    size_t n = strcspn(text, "\r\n");
    strcpy(text + n, "\n");
    return true;
}

static void read_lines(struct hub *hub, FILE *in, struct member *m) {
    struct words w = {.from = m};
    weft_wg writing = WEFT_WG_INIT;
    if (!read_line(in, m->name, sizeof m->name))
        return;
    m->name[strcspn(m->name, "\n")] = '\0';
    weft_chan_ref(m->outbox); /* the hub's */
    if (!weft_send(hub->join, m)) {
        weft_chan_unref(m->outbox);
        return;
    }
    weft_wg_go(&writing, write_lines, m->fd, m->outbox);
    while (read_line(in, w.line.text, sizeof w.line.text) && weft_send(hub->say, w))
        continue;

    weft_scope_ctx(weft_ctx_background()); /* even after Ctrl-C one takes one's leave */
    weft_send(hub->leave, m);
    weft_set_write_deadline(m->fd, weft_now() + GRACE);
    weft_wg_wait(&writing);
    while (weft_recv(m->outbox, NULL)) /* until the hub has closed it, and forgotten us */
        continue;
}

static void serve(struct hub *hub, int fd) {
    struct member m = {.fd = fd, .outbox = weft_chan_make(struct line, OUTBOX)};
    FILE *in = weft_fdopen(fd, "r");
    if (in != NULL && m.outbox != NULL)
        read_lines(hub, in, &m);
    weft_chan_unref(m.outbox);
    if (in != NULL)
        fclose(in); /* closes fd */
    else
        weft_close(fd);
}

static int run(struct hub *hub, const char *address) {
    char text[256];
    int fd, listener = weft_listen("tcp", address);
    if (listener < 0 || weft_local_addr(listener, text, sizeof text) != 0) {
        fprintf(stderr, "chat: %s: %s\n", address, strerror(errno));
        return 1;
    }
    printf("listening on %s\n", text);
    fflush(stdout);
    weft_wg serving = WEFT_WG_INIT;
    while ((fd = weft_accept(listener)) >= 0)
        if (weft_wg_go(&serving, serve, hub, fd) != 0)
            weft_close(fd);
    if (errno != ECANCELED)
        perror("chat: accept");
    weft_close(listener);
    weft_wg_wait(&serving);
    return 0;
}

static int app(int argc, char **argv) {
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: chat [HOST:PORT]     (127.0.0.1:7777; port 0: any)\n");
        return 2;
    }
    struct hub hub = {.join = weft_chan_make(struct member *, 0),
                      .leave = weft_chan_make(struct member *, 0),
                      .say = weft_chan_make(struct words, 0)};
    weft_wg hub_runs = WEFT_WG_INIT;
    weft_wg_go(&hub_runs, run_hub, &hub);

    int signals[] = {SIGINT, SIGTERM};
    weft_ctx *until_signal = weft_signal_ctx(weft_ctx_current(), signals, 2);
    int status;
    {
        weft_scope_ctx(until_signal);
        status = run(&hub, argc == 2 ? argv[1] : "127.0.0.1:7777");
    }
    weft_ctx_unref(until_signal);
    weft_chan_close(hub.join); /* nobody is left, and nobody comes */
    weft_wg_wait(&hub_runs);
    weft_chan_unref(hub.join);
    weft_chan_unref(hub.leave);
    weft_chan_unref(hub.say);
    return status;
}

WEFT_MAIN(app)
