/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text, what they resolve to without a name server, and dialling a list of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "io/net.h"
#include "weft_test.h"

/* ---- networks, hosts, ports ---- */

TEST_PLAIN(networks) {
    struct wefti_net net;
    CHECK_EQ(wefti_net_parse("tcp", &net), 0);
    CHECK_EQ(net.family, AF_UNSPEC);
    CHECK_EQ(net.type, SOCK_STREAM);
    CHECK_EQ(wefti_net_parse("udp6", &net), 0);
    CHECK_EQ(net.family, AF_INET6);
    CHECK_EQ(net.type, SOCK_DGRAM);
    CHECK_EQ(wefti_net_parse("unixpacket", &net), 0);
    CHECK_EQ(net.family, AF_UNIX);
    CHECK_EQ(net.type, SOCK_SEQPACKET);
    static const char *const bad[] = {"", "TCP", "tcp5", "ip", "tcp ", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(wefti_net_parse(bad[i], &net), EINVAL);
}

TEST_PLAIN(hosts_and_ports) {
    static const char *const good[][3] = {
        {"127.0.0.1:80", "127.0.0.1", "80"},
        {":0", "", "0"},
        {":", "", ""},
        {"host:", "host", ""},
        {"[::1]:80", "::1", "80"},
        {"[]:80", "", "80"},
        {"[host]:http", "host", "http"},
        {"[fe80::1%eth0]:80", "fe80::1%eth0", "80"},
    };
    static const char *const bad[] = {
        "",        "host",   "::1",     "::1:80",  "[::1]",  "[::1]80", "[::1]:80:1",
        "[::1:80", "::1]:8", "a[b]:80", "[a[]:80", "[a]]:8", "a:8]",    "a:b:c",
    };
    struct wefti_hostport hp;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_EQ(wefti_hostport_parse(good[i][0], &hp), 0);
        CHECK_STR(hp.host, good[i][1]);
        CHECK_STR(hp.port, good[i][2]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (wefti_hostport_parse(bad[i], &hp) != EINVAL)
            FAIL("\"%s\" passes for an address", bad[i]);
}

TEST_PLAIN(long_hosts_and_ports) {
    char text[400];
    struct wefti_hostport hp;
    for (size_t n = 250; n < 260; n++) {
        memset(text, 'h', n);
        memcpy(text + n, ":80", 4);
        CHECK_EQ(wefti_hostport_parse(text, &hp), n < sizeof hp.host ? 0 : EINVAL);
    }
    memset(text, 'p', sizeof text);
    text[0] = ':';
    text[100] = 0;
    CHECK_EQ(wefti_hostport_parse(text, &hp), EINVAL);
}

TEST_PLAIN(ports) {
    uint16_t port = 7;
    CHECK_EQ(wefti_port_parse("", &port), 0);
    CHECK_EQ(port, 0);
    CHECK_EQ(wefti_port_parse("65535", &port), 0);
    CHECK_EQ(port, 65535);
    CHECK_EQ(wefti_port_parse("0080", &port), 0);
    CHECK_EQ(port, 80);
    CHECK_EQ(wefti_port_parse("65536", &port), EINVAL);
    CHECK_EQ(wefti_port_parse("99999999999999999999999", &port), EINVAL);
    CHECK_EQ(wefti_port_parse("http", &port), ENOENT);
    CHECK_EQ(wefti_port_parse("80x", &port), ENOENT);
    CHECK_EQ(wefti_port_parse("-1", &port), ENOENT);
}

/* ---- literals ---- */

static const char *text_of(const union wefti_inet *a) {
    static char text[128];
    CHECK_EQ(wefti_addr_text(&a->sa, wefti_inet_len(a), text, sizeof text), 0);
    return text;
}

TEST_PLAIN(literals) {
    static const struct {
        const char *host, *text;
    } good[] = {
        {"127.0.0.1", "127.0.0.1:80"},
        {"0.0.0.0", "0.0.0.0:80"},
        {"255.255.255.255", "255.255.255.255:80"},
        {"::", "[::]:80"},
        {"::1", "[::1]:80"},
        {"2001:DB8:0:0::1", "[2001:db8::1]:80"},
        {"::ffff:10.1.2.3", "10.1.2.3:80"},
    };
    union wefti_inet a;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_EQ(wefti_inet_parse(AF_UNSPEC, good[i].host, 80, &a), 0);
        CHECK_STR(text_of(&a), good[i].text);
    }
    static const char *const names[] = {"",    "localhost", "127.1",      "1.2.3.4.5", "256.0.0.1",
                                        ":::", "12345::",   "10.0.0.1%1", "::1%",      "1.2.3.4 "};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(wefti_inet_parse(AF_UNSPEC, names[i], 80, &a) != 0);
    CHECK_EQ(wefti_inet_parse(AF_UNSPEC, "localhost", 80, &a), ENOENT);
}

TEST_PLAIN(literals_of_the_other_family) {
    union wefti_inet a;
    CHECK_EQ(wefti_inet_parse(AF_INET, "::1", 80, &a), EINVAL);
    CHECK_EQ(wefti_inet_parse(AF_INET6, "127.0.0.1", 80, &a), EINVAL);
    CHECK_EQ(wefti_inet_parse(AF_INET6, "::ffff:127.0.0.1", 80, &a), EINVAL);
    CHECK_EQ(wefti_inet_parse(AF_INET, "::ffff:127.0.0.1", 80, &a), 0);
}

TEST_PLAIN(zones) {
    union wefti_inet a;
    unsigned lo = if_nametoindex("lo");
    if (lo == 0)
        test_skip("no interface \"lo\"");
    CHECK_EQ(wefti_inet_parse(AF_UNSPEC, "fe80::1%lo", 80, &a), 0);
    CHECK_EQ(a.in6.sin6_scope_id, lo);
    CHECK_STR(text_of(&a), "[fe80::1%lo]:80");
    CHECK_EQ(wefti_inet_parse(AF_UNSPEC, "fe80::1%4000000", 80, &a), 0);
    CHECK_EQ(a.in6.sin6_scope_id, 4000000);
    CHECK_STR(text_of(&a), "[fe80::1%4000000]:80"); /* no interface's: the number */
    CHECK_EQ(wefti_inet_parse(AF_UNSPEC, "fe80::1%nosuchif", 80, &a), ENODEV);
    CHECK_EQ(wefti_inet_parse(AF_UNSPEC, "fe80::1%", 80, &a), EINVAL);
}

/* ---- Unix sockets ---- */

static const char *unix_text_of(const struct wefti_unix *u) {
    static char text[128];
    CHECK_EQ(wefti_addr_text((const struct sockaddr *)&u->un, u->len, text, sizeof text), 0);
    return text;
}

TEST_PLAIN(unix_addresses) {
    struct wefti_unix u;
    CHECK_EQ(wefti_unix_parse("/tmp/x", &u), 0);
    CHECK_EQ(u.len, offsetof(struct sockaddr_un, sun_path) + 7);
    CHECK_STR(unix_text_of(&u), "/tmp/x");
    CHECK_EQ(wefti_unix_parse("@x", &u), 0);
    CHECK_EQ(u.len, offsetof(struct sockaddr_un, sun_path) + 2);
    CHECK_EQ(u.un.sun_path[0], 0);
    CHECK_STR(unix_text_of(&u), "@x");
    CHECK_EQ(wefti_unix_parse("@", &u), 0);
    CHECK_STR(unix_text_of(&u), "");
    CHECK_EQ(wefti_unix_parse("", &u), EINVAL);
}

TEST_PLAIN(long_unix_addresses) {
    struct wefti_unix u;
    char text[200];
    for (size_t n = 100; n < 120; n++) {
        memset(text, 'p', n);
        text[n] = 0;
        text[0] = '/';
        CHECK_EQ(wefti_unix_parse(text, &u), n < sizeof u.un.sun_path ? 0 : EINVAL);
        if (n < sizeof u.un.sun_path)
            CHECK_STR(unix_text_of(&u), text);
        text[0] = '@';
        CHECK_EQ(wefti_unix_parse(text, &u), n <= sizeof u.un.sun_path ? 0 : EINVAL);
        if (n <= sizeof u.un.sun_path)
            CHECK_STR(unix_text_of(&u), text);
    }
}

TEST_PLAIN(names_that_others_chose) {
    char text[128];
    struct wefti_unix u = {.un = {.sun_family = AF_UNIX}};
    socklen_t path = offsetof(struct sockaddr_un, sun_path);
    const struct sockaddr *sa = (const struct sockaddr *)&u.un;
    memcpy(u.un.sun_path, "\0a\0b", 4);
    CHECK_EQ(wefti_addr_text(sa, path + 4, text, sizeof text), 0);
    CHECK_STR(text, "@a@b");
    memset(u.un.sun_path, 'x', sizeof u.un.sun_path); /* a full path has no NUL */
    CHECK_EQ(wefti_addr_text(sa, sizeof u.un, text, sizeof text), 0);
    CHECK_EQ(strlen(text), sizeof u.un.sun_path);
    u.un.sun_family = AF_APPLETALK;
    CHECK_EQ(wefti_addr_text(sa, sizeof u.un, text, sizeof text), EAFNOSUPPORT);
}

TEST_PLAIN(text_that_doesnt_fit) {
    static const char *const hosts[] = {"127.0.0.1", "2001:db8::1"};
    for (size_t i = 0; i < 2; i++) {
        union wefti_inet a;
        CHECK_EQ(wefti_inet_parse(AF_UNSPEC, hosts[i], 6060, &a), 0);
        size_t full = strlen(text_of(&a));
        for (size_t n = 0; n < full + 3; n++) {
            char text[64] = "as it was";
            int err = wefti_addr_text(&a.sa, wefti_inet_len(&a), text, n);
            CHECK_EQ(err, n > full ? 0 : ERANGE);
            CHECK_STR(text, n > full ? text_of(&a) : "as it was");
        }
    }
}

/* ---- resolving ---- */

/* All addresses, parted by blanks, or the error. */
static const char *resolved(const char *network, const char *address, bool passive) {
    static char text[1024];
    struct wefti_net net;
    struct wefti_inets to;
    CHECK_EQ(wefti_net_parse(network, &net), 0);
    int err = wefti_resolve(&net, address, passive, &to);
    if (err)
        return err == EINVAL ? "EINVAL" : err == ENODEV ? "ENODEV" : "another error";
    text[0] = 0;
    for (size_t i = 0; i < to.n; i++) {
        strcat(text, i ? " " : "");
        strcat(text, text_of(&to.at[i]));
    }
    return text;
}

TEST_PLAIN(no_host) {
    CHECK_STR(resolved("tcp", ":80", true), "[::]:80 0.0.0.0:80");
    CHECK_STR(resolved("tcp4", ":80", true), "0.0.0.0:80");
    CHECK_STR(resolved("udp6", ":80", true), "[::]:80");
    CHECK_STR(resolved("tcp", ":80", false), "127.0.0.1:80");
    CHECK_STR(resolved("tcp6", "[]:80", false), "[::1]:80");
}

TEST_PLAIN(numbers_resolve_to_themselves) {
    CHECK_STR(resolved("tcp", "0.0.0.0:80", true), "0.0.0.0:80");
    CHECK_STR(resolved("tcp", "[::]:80", true), "[::]:80");
    CHECK_STR(resolved("tcp", "[::]:80", false), "[::]:80 0.0.0.0:80");
    CHECK_STR(resolved("tcp6", "[::]:80", false), "[::]:80");
    CHECK_STR(resolved("udp4", "10.0.0.1:", false), "10.0.0.1:0");
    CHECK_STR(resolved("tcp4", "[::1]:80", false), "EINVAL");
    CHECK_STR(resolved("tcp", "10.0.0.1:65536", false), "EINVAL");
    CHECK_STR(resolved("tcp", "10.0.0.1", false), "EINVAL");
    CHECK_STR(resolved("tcp", "[fe80::1%nosuchif]:80", false), "ENODEV");
}

static void check_service(void) {
    struct servent *s = getservbyname("http", "tcp");
    if (s == NULL || ntohs((uint16_t)s->s_port) != 80)
        test_skip("this machine knows no service \"http\"");
    CHECK_STR(resolved("tcp", "10.0.0.1:http", false), "10.0.0.1:80");
    CHECK_STR(resolved("tcp", "[::1]:http", true), "[::1]:80");
    CHECK_STR(resolved("tcp", ":http", true), "[::]:80 0.0.0.0:80");
    CHECK_STR(resolved("tcp", "10.0.0.1:no-such-service", false), "EINVAL");
    CHECK_STR(resolved("tcp", "10.0.0.1:-1", false), "EINVAL");
}

TEST_PLAIN(services_outside_of_a_run) {
    check_service();
}

TEST(services) {
    check_service();
}

/* ---- dialling a list ---- */

/* A socket of 127.0.0.1 or ::1 and its address; the other kinds of address are made of it. */
static int bound(int family, union wefti_inet *at) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *at;
    *at = wefti_inet_loopback(family, 0);
    if (fd < 0 || bind(fd, &at->sa, wefti_inet_len(at)) != 0)
        test_skip("this machine has no loopback of family %d", family);
    CHECK_EQ(getsockname(fd, &at->sa, &len), 0);
    return fd;
}

static int living(int family, union wefti_inet *at) {
    int fd = bound(family, at);
    CHECK_EQ(listen(fd, 8), 0);
    return fd;
}

/* Nobody listens there, and nobody will: the port stays taken. */
static int dead(int family, union wefti_inet *at) {
    return bound(family, at);
}

/* Its queue is full: a connect gets no answer. */
static int silent(int family, union wefti_inet *at, int *filler) {
    int fd = bound(family, at);
    CHECK_EQ(listen(fd, 0), 0);
    *filler = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(*filler, &at->sa, wefti_inet_len(at)), 0);
    return fd;
}

/* Fails at once with EINVAL: link-local, and no link named. */
static union wefti_inet invalid6(void) {
    union wefti_inet a;
    CHECK_EQ(wefti_inet_parse(AF_INET6, "fe80::1", 80, &a), 0);
    return a;
}

static const struct wefti_net tcp = {AF_UNSPEC, SOCK_STREAM};

static void check_connected(int fd, const union wefti_inet *to) {
    char text[128];
    CHECK_EQ(weft_remote_addr(fd, text, sizeof text), 0);
    CHECK_STR(text, text_of(to));
    CHECK_EQ(weft_close(fd), 0);
}

TEST(dial_goes_on_to_the_next_address) {
    struct wefti_inets to = {.n = 2};
    int a = dead(AF_INET, &to.at[0]), b = living(AF_INET, &to.at[1]), fd = -1;
    union wefti_inet good = to.at[1];
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), 0);
    check_connected(fd, &good);
    close(a);
    close(b);
}

TEST(dial_reports_the_first_error) {
    struct wefti_inets to = {.n = 2};
    int a = dead(AF_INET, &to.at[0]), fd = -1;
    to.at[1] = invalid6();
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), ECONNREFUSED);
    to.at[1] = to.at[0];
    to.at[0] = invalid6();
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), EINVAL);
    close(a);
}

TEST_PLAIN(dial_outside_of_a_run) {
    struct wefti_inets to = {.n = 2};
    int a = dead(AF_INET, &to.at[0]), b = living(AF_INET, &to.at[1]), fd = -1;
    union wefti_inet good = to.at[1];
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), 0);
    check_connected(fd, &good);
    to.n = 1;
    to.at[0] = invalid6();
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), EINVAL);
    close(a);
    close(b);
}

TEST(dial_starts_the_other_family_after_300_ms) {
    struct wefti_inets to = {.n = 2};
    int filler, a = silent(AF_INET, &to.at[0], &filler), b = living(AF_INET6, &to.at[1]), fd = -1;
    union wefti_inet good = to.at[1];
    weft_time start = weft_now();
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), 0);
    CHECK(weft_now() - start >= 300 * WEFT_MILLISECOND);
    CHECK_EQ(weft_num_goroutine(), 1); /* the other attempt is over */
    check_connected(fd, &good);
    close(a);
    close(b);
    close(filler);
}

TEST(dial_starts_the_other_family_when_the_first_failed) {
    struct wefti_inets to = {.n = 3};
    int a = dead(AF_INET, &to.at[0]), b = living(AF_INET6, &to.at[1]), fd = -1;
    union wefti_inet good = to.at[1];
    to.at[2] = to.at[0]; /* of the first's family: before the other */
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), 0);
    check_connected(fd, &good);
    close(a);
    close(b);
}

static void cancel_in_a_while(weft_ctx *ctx) {
    weft_sleep(50 * WEFT_MILLISECOND);
    weft_ctx_cancel(ctx, 0);
}

TEST(dial_of_two_families_is_cancelled) {
    struct wefti_inets to = {.n = 2};
    int fillers[2], fd = -1;
    int a = silent(AF_INET, &to.at[0], &fillers[0]), b = silent(AF_INET6, &to.at[1], &fillers[1]);
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_go(cancel_in_a_while, ctx);
    {
        weft_scope_ctx(ctx);
        CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), ECANCELED);
    }
    {
        weft_scope_timeout(400 * WEFT_MILLISECOND); /* in the midst of both */
        CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), ETIMEDOUT);
    }
    CHECK_EQ(fd, -1);
    weft_ctx_unref(ctx);
    for (int i = 0; i < 2; i++)
        close(fillers[i]);
    close(a);
    close(b);
}

TEST(dial_leaves_time_for_the_next_address) {
    struct wefti_inets to = {.n = 2};
    int filler, a = silent(AF_INET, &to.at[0], &filler), b = living(AF_INET, &to.at[1]), fd = -1;
    union wefti_inet good = to.at[1];
    weft_scope_timeout(8 * WEFT_SECOND);
    weft_time start = weft_now();
    to.at[2] = to.at[3] = to.at[4] = good;
    to.n = 5;
    CHECK_EQ(wefti_dial_inets(&tcp, &to, &fd), 0);
    CHECK(weft_now() - start >= 2 * WEFT_SECOND); /* 8 s / 5, but 2 s at least */
    CHECK_EQ(weft_ctx_err(weft_ctx_current()), 0);
    check_connected(fd, &good);
    close(a);
    close(b);
    close(filler);
}
