/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, and what keeps weftdoc from starting: one line on stderr, status 2.
 */
#include "client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct outcome {
    int status;
    char text[8192]; /* stdout and stderr */
};

/* Runs weftdoc by the shell, so that arguments are written as in one. */
static struct outcome run(const char *arguments) {
    struct outcome o = {0};
    char command[1024];
    snprintf(command, sizeof command, "timeout 20 '%s' %s 2>&1", WEFTDOC, arguments);
    FILE *f = popen(command, "r");
    CHECK(f != NULL);
    o.text[fread(o.text, 1, sizeof o.text - 1, f)] = '\0';
    o.status = pclose(f);
    o.status = WIFEXITED(o.status) ? WEXITSTATUS(o.status) : 128 + WTERMSIG(o.status);
    return o;
}

static void fails(const char *arguments, const char *word) {
    struct outcome o = run(arguments);
    size_t lines = 0;
    for (const char *p = o.text; (p = strchr(p, '\n')); p++)
        lines++;
    if (o.status != 2 || lines != 1 || strncmp(o.text, "weftdoc: ", 9) != 0 ||
        !strstr(o.text, word))
        FAIL("weftdoc %s: status %d, \"%s\"; wanted: 2, one line with \"%s\"", arguments, o.status,
             o.text, word);
}

TEST_PLAIN(what_it_says_about_itself) {
    static const char *const helps[] = {"-help", "--help", "-h"};
    for (size_t i = 0; i < 3; i++) {
        struct outcome o = run(helps[i]);
        CHECK_EQ(o.status, 0);
        CHECK(strstr(o.text, "usage: weftdoc") && strstr(o.text, "-http HOST:PORT"));
    }
    struct outcome o = run("-version");
    CHECK_EQ(o.status, 0);
    CHECK(strncmp(o.text, "weftdoc ", 8) == 0);
}

TEST_PLAIN(bad_command_lines) {
    fails("-nonsense", "-nonsense");
    fails("--nonsense=3 /tmp", "--nonsense");
    fails("-x", "-x");
    fails("-http", "-http");
    fails("-timeouts=1,2,3", "-timeouts");
    fails("-timeouts=1,2,3,x", "-timeouts");
    fails("-timeouts=1,2,3,-4", "-timeouts");
    fails("-connections=0", "-connections");
    fails("-connections=many", "-connections");
    fails("-http=127.0.0.1:0 /no/such/folder", "/no/such/folder");
    fails("-http=127.0.0.1:0 ''", "");
}

TEST_PLAIN(bad_addresses) {
    fails("-http=nonsense", "nonsense");
    fails("-http=127.0.0.1:99999", "99999");
    fails("-http=127.0.0.1:-1", "-1");
    fails("-http=300.0.0.1:80", "300.0.0.1");
    fails("-http=192.0.2.1:0", "192.0.2.1"); /* an address that is not this machine's */
}

TEST_PLAIN(a_port_in_use) {
    struct served s = serve(NULL);
    char arguments[128];
    snprintf(arguments, sizeof arguments, "-http 127.0.0.1:%d %s", s.port, s.folder);
    fails(arguments, "taken");
    CHECK_EQ(ask(&s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 200); /* the first one serves on */
    CHECK_EQ(serve_end(&s, SIGTERM), 0);
}

TEST_PLAIN(a_port_is_free_again_at_once) {
    struct served s = serve(NULL);
    int port = s.port;
    CHECK_EQ(ask(&s, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 200);
    CHECK_EQ(serve_end(&s, SIGINT), 0);
    char flags[64];
    snprintf(flags, sizeof flags, "-http=127.0.0.1:%d", port);
    s = serve(flags); /* the last -http counts */
    CHECK_EQ(s.port, port);
    CHECK_EQ(serve_end(&s, SIGINT), 0);
}
