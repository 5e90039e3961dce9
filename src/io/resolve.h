/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses from text that may hold names. resolve.c has weft_getaddrinfo, too.
 */
#ifndef WEFTI_IO_RESOLVE_H
#define WEFTI_IO_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include "addr.h"

/* More than these a name may have, but nobody would try them all. */
#define WEFTI_INETS_MAX 32

struct wefti_inets {
    size_t n;
    union wefti_inet at[WEFTI_INETS_MAX];
};

/*
 * The addresses that "host:port" stands for, at least one, in the order to try. May park; under a
 * context it is as cancellable as weft_getaddrinfo.
 *
 * passive: to listen on. An empty host is then every address of the machine ([::], and 0.0.0.0 to
 * fall back on), a name gives one address, of IPv4 if it has any. Otherwise, to dial, an empty host
 * is this machine.
 *
 * 0; EINVAL: no such form, or no such service; ENODEV: no such zone; ENOENT: no such host, or none
 * of its addresses is of the family; EAGAIN: the name servers can't tell now; ECANCELED, ETIMEDOUT;
 * others.
 */
int wefti_resolve(const struct wefti_net *net, const char *address, bool passive,
                  struct wefti_inets *out);

#endif
