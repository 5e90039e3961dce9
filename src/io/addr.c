/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: text to socket addresses and back.
 *
 * The forms are Go's. What differs from the C library's ideas:
 *
 *   host:port    The port is behind the last colon. A host with colons wants brackets, since ":80"
 *                at the end of an IPv6 address could be either.
 *   literals     Strict: four numbers with dots for IPv4. The old short forms ("127.1") are taken
 *                for names here; the C library, asked about the name, still knows them.
 *   mapped       ::ffff:1.2.3.4 is 1.2.3.4, in text too: a listener on both families sees its IPv4
 *                clients so.
 *
 * What differs from Go: 0.0.0.0 is IPv4 only (Go's "tcp" takes it for every address there is), and
 * a zone that doesn't exist is an error (Go takes none).
 *
 * Abstract names of Unix sockets begin with a NUL byte, in text with '@'; NULs inside are shown as
 * '@' too, as /proc/net/unix does. Text has no way to ask for them.
 */
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include "../base/fmt.h"

int wefti_net_parse(const char *network, struct wefti_net *net) {
    static const struct {
        const char *name;
        struct wefti_net net;
    } known[] = {
        {"tcp", {AF_UNSPEC, SOCK_STREAM}},         {"tcp4", {AF_INET, SOCK_STREAM}},
        {"tcp6", {AF_INET6, SOCK_STREAM}},         {"udp", {AF_UNSPEC, SOCK_DGRAM}},
        {"udp4", {AF_INET, SOCK_DGRAM}},           {"udp6", {AF_INET6, SOCK_DGRAM}},
        {"unix", {AF_UNIX, SOCK_STREAM}},          {"unixgram", {AF_UNIX, SOCK_DGRAM}},
        {"unixpacket", {AF_UNIX, SOCK_SEQPACKET}},
    };
    for (size_t i = 0; network && i < sizeof known / sizeof *known; i++) {
        if (strcmp(network, known[i].name) == 0) {
            *net = known[i].net;
            return 0;
        }
    }
    return EINVAL;
}

/* ---- host and port ---- */

/* Copies [from, end); false if it doesn't fit. */
static bool copy(char *to, size_t size, const char *from, const char *end) {
    size_t n = (size_t)(end - from);
    if (n >= size)
        return false;
    memcpy(to, from, n);
    to[n] = 0;
    return true;
}

int wefti_hostport_parse(const char *address, struct wefti_hostport *out) {
    const char *host = address, *colon = strrchr(address, ':'), *end = colon;
    if (colon == NULL)
        return EINVAL; /* no port */
    if (*address == '[') {
        host++;
        end = strchr(host, ']');
        if (end == NULL || end + 1 != colon)
            return EINVAL;
    } else if (memchr(host, ':', (size_t)(end - host)) != NULL) {
        return EINVAL; /* IPv6 without brackets, or one colon too many */
    }
    if (memchr(host, '[', (size_t)(end - host)) != NULL ||
        memchr(host, ']', (size_t)(end - host)) != NULL || strpbrk(colon, "[]") != NULL)
        return EINVAL;
    const char *port = colon + 1;
    if (!copy(out->host, sizeof out->host, host, end) ||
        !copy(out->port, sizeof out->port, port, port + strlen(port)))
        return EINVAL;
    return 0;
}

/* A decimal number of up to `most`: 0, ENOENT: no number, EINVAL: larger. */
static int number(const char *text, uint32_t most, uint32_t *value) {
    uint64_t n = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9')
            return ENOENT;
        n = n > most ? n : n * 10 + (uint64_t)(*at - '0');
    }
    *value = (uint32_t)n;
    return n > most ? EINVAL : 0;
}

int wefti_port_parse(const char *text, uint16_t *port) {
    uint32_t n = 0;
    int err = number(text, UINT16_MAX, &n);
    *port = (uint16_t)n;
    return err;
}

/* ---- literals ---- */

union wefti_inet wefti_inet_any(int family, uint16_t port) {
    union wefti_inet a = {.in6 = {0}};
    if (family == AF_INET)
        a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    else
        a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    return a;
}

union wefti_inet wefti_inet_loopback(int family, uint16_t port) {
    union wefti_inet a = wefti_inet_any(family, port);
    if (family == AF_INET)
        a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        a.in6.sin6_addr = in6addr_loopback;
    return a;
}

socklen_t wefti_inet_len(const union wefti_inet *a) {
    return a->sa.sa_family == AF_INET ? sizeof a->in : sizeof a->in6;
}

static int zone_parse(const char *zone, uint32_t *index) {
    if (*zone == 0)
        return EINVAL;
    *index = if_nametoindex(zone);
    if (*index == 0 && (number(zone, UINT32_MAX, index) != 0 || *index == 0))
        return ENODEV;
    return 0;
}

/* The last four bytes of a mapped address. */
static struct in_addr unmap(const struct in6_addr *a) {
    struct in_addr v4;
    memcpy(&v4, &a->s6_addr[12], sizeof v4);
    return v4;
}

int wefti_inet_parse(int family, const char *host, uint16_t port, union wefti_inet *out) {
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        *out = wefti_inet_any(AF_INET, port);
        out->in.sin_addr = v4;
        return family == AF_INET6 ? EINVAL : 0;
    }
    char text[INET6_ADDRSTRLEN];
    const char *zone = strchr(host, '%');
    const char *end = zone ? zone : host + strlen(host);
    struct in6_addr v6;
    if (!copy(text, sizeof text, host, end) || inet_pton(AF_INET6, text, &v6) != 1)
        return ENOENT;
    if (IN6_IS_ADDR_V4MAPPED(&v6) && zone == NULL) {
        *out = wefti_inet_any(AF_INET, port);
        out->in.sin_addr = unmap(&v6);
        return family == AF_INET6 ? EINVAL : 0;
    }
    *out = wefti_inet_any(AF_INET6, port);
    out->in6.sin6_addr = v6;
    if (family == AF_INET)
        return EINVAL;
    return zone ? zone_parse(zone + 1, &out->in6.sin6_scope_id) : 0;
}

/* ---- Unix sockets ---- */

int wefti_unix_parse(const char *address, struct wefti_unix *out) {
    size_t n = strlen(address);
    bool abstract = *address == '@';
    /* A path is ended by a NUL, an abstract name by the length. */
    if (n == 0 || n > sizeof out->un.sun_path - !abstract)
        return EINVAL;
    *out = (struct wefti_unix){.un = {.sun_family = AF_UNIX}};
    memcpy(out->un.sun_path, address, n);
    if (abstract)
        out->un.sun_path[0] = 0;
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + !abstract);
    if (abstract && n == 1)
        out->len = offsetof(struct sockaddr_un, sun_path);
    return 0;
}

/* ---- back to text ---- */

static int give(char *text, size_t n, const char *from, size_t length) {
    if (length >= n)
        return ERANGE;
    memcpy(text, from, length);
    text[length] = 0;
    return 0;
}

static int unix_text(const struct sockaddr_un *un, socklen_t len, char *text, size_t n) {
    size_t start = offsetof(struct sockaddr_un, sun_path), length = len > start ? len - start : 0;
    if (length > sizeof un->sun_path)
        length = sizeof un->sun_path;
    if (length == 0 || un->sun_path[0] != 0)
        return give(text, n, un->sun_path, strnlen(un->sun_path, length));
    char name[sizeof un->sun_path];
    for (size_t i = 0; i < length; i++)
        name[i] = un->sun_path[i] != 0 ? un->sun_path[i] : '@';
    return give(text, n, name, length);
}

static int inet_text(const struct sockaddr_in *in, char *text, size_t n) {
    char host[INET_ADDRSTRLEN], all[INET_ADDRSTRLEN + 8];
    if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof host) == NULL)
        return EAFNOSUPPORT;
    size_t length = wefti_fmt(all, sizeof all, "%s:%u", host, (unsigned)ntohs(in->sin_port));
    return give(text, n, all, length);
}

static int inet6_text(const struct sockaddr_in6 *in6, char *text, size_t n) {
    char host[INET6_ADDRSTRLEN], zone[IF_NAMESIZE] = "", all[INET6_ADDRSTRLEN + IF_NAMESIZE + 12];
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        struct sockaddr_in in = {.sin_port = in6->sin6_port, .sin_addr = unmap(&in6->sin6_addr)};
        return inet_text(&in, text, n);
    }
    if (inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host) == NULL)
        return EAFNOSUPPORT;
    if (in6->sin6_scope_id != 0 && if_indextoname(in6->sin6_scope_id, zone) == NULL)
        wefti_fmt(zone, sizeof zone, "%u", in6->sin6_scope_id);
    size_t length = wefti_fmt(all, sizeof all, "[%s%s%s]:%u", host, *zone ? "%" : "", zone,
                              (unsigned)ntohs(in6->sin6_port));
    return give(text, n, all, length);
}

int wefti_addr_text(const struct sockaddr *sa, socklen_t len, char *text, size_t n) {
    switch (sa->sa_family) {
    case AF_INET:
        return inet_text((const struct sockaddr_in *)(const void *)sa, text, n);
    case AF_INET6:
        return inet6_text((const struct sockaddr_in6 *)(const void *)sa, text, n);
    case AF_UNIX:
        return unix_text((const struct sockaddr_un *)(const void *)sa, len, text, n);
    default:
        return EAFNOSUPPORT;
    }
}
