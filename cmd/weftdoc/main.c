/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weftdoc: serves folders of C headers and Markdown as a browsable reference, as godoc did for Go.
 *
 * Here: the command line. site.h is what is served, server.h how.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

#include "server.h"
#include "site.h"

enum { ROOTS_MAX = 64, USAGE = 2 };
#define SAME_SIGNAL (200 * WEFT_MILLISECOND)

static const char help[] =
    "weftdoc serves the reference of C headers and Markdown documents over HTTP.\n"
    "\n"
    "usage: weftdoc [flags] [folder or file...]\n"
    "\n"
    "Without a folder it shows weft's own headers and documents.\n"
    "\n"
    "  -http HOST:PORT   where to listen (127.0.0.1:6060); \":6060\" is every address of this\n"
    "                    machine, port 0 a free one\n"
    "  -title TEXT       the name on top of the pages (weft)\n"
    "  -v                a line for each request on stderr\n"
    "  -connections N    how many at a time (20000)\n"
    "  -timeouts LIST    seconds for the head of a request, for the next request, for the writing\n"
    "                    of an answer, and for the last answers on shutdown (10,60,30,5)\n"
    "  -help, -version\n"
    "\n"
    "A flag may be written -http=ADDR or --http ADDR as well. Ctrl-C ends it, in good order; once\n"
    "more, and it ends at once. Exit status: 0; 2 when it could not start.\n";

struct command {
    const char *address;
    struct site_options site;
    struct server_options server;
    const char *roots[ROOTS_MAX];
};

/* One line on stderr, and the status to exit with. */
__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "weftdoc: %s\n", text);
    return USAGE;
}

static bool parse_timeouts(const char *text, struct server_options *o) {
    weft_duration *const fields[] = {&o->head_timeout, &o->idle_timeout, &o->write_timeout,
                                     &o->drain_timeout};
    for (size_t i = 0; i < 4; i++) {
        char *end;
        double seconds = strtod(text, &end);
        if (end == text || !(seconds > 0 && seconds <= 1e6) || *end != (i < 3 ? ',' : '\0'))
            return false;
        *fields[i] = (weft_duration)(seconds * (double)WEFT_SECOND);
        text = end + 1;
    }
    return true;
}

static bool parse_count(const char *text, int *n) {
    char *end;
    long value = strtol(text, &end, 10);
    *n = (int)value;
    return end != text && *end == '\0' && value > 0 && value <= 1000000;
}

/* 0: serve; -1: all is done; else an exit status. */
static int parse_command(int argc, char **argv, struct command *command) {
    enum { HTTP = 256, TITLE, TIMEOUTS, CONNECTIONS, VERSION };
    static const struct option flags[] = {
        {"http", required_argument, NULL, HTTP},
        {"title", required_argument, NULL, TITLE},
        {"timeouts", required_argument, NULL, TIMEOUTS},
        {"connections", required_argument, NULL, CONNECTIONS},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int flag;
    opterr = 0;
    while ((flag = getopt_long_only(argc, argv, ":vh", flags, NULL)) != -1) {
        switch (flag) {
        case HTTP:
            command->address = optarg;
            break;
        case TITLE:
            command->site.title = optarg;
            break;
        case TIMEOUTS:
            if (!parse_timeouts(optarg, &command->server))
                return complain("-timeouts=%s: not four numbers of seconds", optarg);
            break;
        case CONNECTIONS:
            if (!parse_count(optarg, &command->server.connections))
                return complain("-connections=%s: not a number from 1 to 1000000", optarg);
            break;
        case 'v':
            command->server.log = true;
            break;
        case VERSION:
            printf("weftdoc %s\n", weft_version());
            return -1;
        case 'h':
            fputs(help, stdout);
            return -1;
        case ':':
            return complain("%s needs a value (weftdoc -help)", argv[optind - 1]);
        default:
            return complain("no such flag: %s (weftdoc -help)", argv[optind - 1]);
        }
    }
    return 0;
}

static int take_roots(int n, char **names, struct command *command) {
    if (n > ROOTS_MAX)
        return complain("more than %d folders", ROOTS_MAX);
    for (int i = 0; i < n; i++)
        command->roots[i] = names[i];
    command->site.nroots = (size_t)n;
    if (n == 0)
        command->site.nroots = site_default_roots(command->roots, ROOTS_MAX);
    command->site.roots = command->roots;
    if (command->site.nroots == 0)
        return complain("weft's own documents are not found: name a folder");
    return 0;
}

/*
 * The first signal ends `stop`; a second one finds an impatient user, and ends the process. What
 * comes within a moment is the first one still: from a terminal's Ctrl-C, make and timeout(1) a
 * process may get it more than once.
 */
static void await_second(weft_ctx *stop, weft_chan(int) signals) {
    int number;
    weft_recv(weft_ctx_done(stop), NULL);
    weft_sleep(SAME_SIGNAL);
    while (weft_try_recv(signals, NULL))
        continue;
    if (weft_recv(signals, &number))
        _exit(128 + number);
}

/* A context that SIGINT and SIGTERM end. It is there as long as the process is. */
static weft_ctx *end_by_signals(void) {
    static const int endings[] = {SIGINT, SIGTERM};
    enum { N = sizeof endings / sizeof *endings };
    weft_ctx *stop = weft_signal_ctx(weft_ctx_background(), endings, N);
    weft_chan(int) signals = weft_chan_make(int, 1);
    if (!stop || weft_signal_notify(signals, endings, N) != 0)
        return NULL;
    return weft_go(await_second, stop, signals) == 0 ? stop : NULL;
}

static int serve(int listener, struct command *command) {
    char error[512], address[128];
    struct site *site = site_build(&command->site, error, sizeof error);
    if (!site)
        return complain("%s", error);
    weft_ctx *stop = end_by_signals();
    if (!stop)
        return complain("signals: %s", strerror(errno));
    if (weft_local_addr(listener, address, sizeof address) != 0)
        snprintf(address, sizeof address, "%s", command->address);
    fprintf(stderr, "weftdoc: serving http://%s/ (%zu pages, %.1f MB)\n", address, site_pages(site),
            (double)site_bytes(site) / 1e6);
    int failed = server_run(listener, site, &command->server, stop);
    site_free(site);
    return failed ? complain("%s", strerror(failed)) : 0;
}

static int app(int argc, char **argv) {
    struct command command = {.address = "127.0.0.1:6060", .server = server_defaults};
    int status = parse_command(argc, argv, &command);
    if (status != 0)
        return status < 0 ? 0 : status;
    status = take_roots(argc - optind, argv + optind, &command);
    if (status != 0)
        return status;
    int listener = weft_listen("tcp", command.address);
    if (listener < 0) {
        if (errno == EADDRINUSE)
            return complain("%s is taken: another program listens there", command.address);
        return complain("can't listen on \"%s\": %s", command.address, strerror(errno));
    }
    return serve(listener, &command);
}

WEFT_MAIN(app)
