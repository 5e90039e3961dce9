/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks and addresses as text, and the socket addresses that they stand for. Nothing here parks
 * or asks a name server; resolve.h goes on with the names.
 */
#ifndef WEFTI_IO_ADDR_H
#define WEFTI_IO_ADDR_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What "tcp4" says. */
struct wefti_net {
    int family; /* AF_UNSPEC: IPv4 and IPv6; AF_INET, AF_INET6, AF_UNIX */
    int type;   /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
};

union wefti_inet {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct wefti_unix {
    struct sockaddr_un un;
    socklen_t len;
};

/* The two sides of "host:port", each of them "" when empty, the host without its brackets. */
struct wefti_hostport {
    char host[256];
    char port[64];
};

/* 0, or EINVAL: no such network. */
int wefti_net_parse(const char *network, struct wefti_net *net);

/* 0, or EINVAL. */
int wefti_hostport_parse(const char *address, struct wefti_hostport *out);

/* 0; ENOENT: no number, so perhaps a service's name; EINVAL: out of range. "" is 0. */
int wefti_port_parse(const char *text, uint16_t *port);

/*
 * A literal IPv4 or IPv6 address, with a zone ("fe80::1%eth0") or without: 0; ENOENT: it is none,
 * so perhaps a host's name; EINVAL: not of that family; ENODEV: there is no such zone. An IPv4
 * address in IPv6's clothes is one of IPv4.
 */
int wefti_inet_parse(int family, const char *host, uint16_t port, union wefti_inet *out);

/* The address that stands for all of the machine's own. */
union wefti_inet wefti_inet_any(int family, uint16_t port);
union wefti_inet wefti_inet_loopback(int family, uint16_t port);
socklen_t wefti_inet_len(const union wefti_inet *a);

/* "/path", "path", "@abstract"; "@" alone: a name that the system chooses. 0, or EINVAL: empty or
 * too long. */
int wefti_unix_parse(const char *address, struct wefti_unix *out);

/* "127.0.0.1:80", "[::1]:80", "/path", "@abstract", "" for a Unix socket without a name. 0; ERANGE:
 * it needs more than n bytes, text is then as it was; EAFNOSUPPORT: of no family that weft knows. */
int wefti_addr_text(const struct sockaddr *sa, socklen_t len, char *text, size_t n);

#endif
