/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: weft_getaddrinfo, and what weft_dial and weft_listen look up with it.
 *
 * The C library's getaddrinfo knows /etc/hosts, DNS and whatever else the machine is set up for. It
 * blocks its thread, for seconds when no server answers; it wants more stack than a goroutine has;
 * and nothing can stop it. So:
 *
 *   - What needs no lookup, numbers, is answered at once, in the caller.
 *   - Anything else runs in a goroutine of its own with a larger stack, in a bracket, and the
 *     caller parks until it has the answer or its context ends. Then the caller leaves, and the
 *     answer is freed when it comes: a lookup is counted by both.
 *   - As each one may hold a thread for long, at most LOOKUPS run at a time; the rest wait in turn,
 *     cancellable as well.
 *
 * Threads that are no goroutine have stack and time enough and call getaddrinfo themselves.
 *
 * Rejected: a DNS client that parks, as Go has. It would answer differently from all else on the
 * machine wherever more than /etc/hosts and DNS is set up, and Go, too, asks the C library then.
 */
#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <weft/chan.h>
#include <weft/ctx.h>
#include <weft/go.h>
#include <weft/net.h>
#include <weft/sync.h>

#include "../sched/sched.h"
#include "../sched/state.h"

#define LOOKUPS 64
#define LOOKUP_STACK (256 << 10)

/* ---- the limit ---- */

/*
 * Permits that goroutines of an ended run held are lost with them, so each run, and each fork's
 * child, begins with all of them: whoever comes first in it fills them up. `era` tells whose they
 * are; its lowest bit is set while they are being filled up, which is done inside the runtime,
 * where nobody is stopped for long.
 */
static struct {
    uint64_t era;
    weft_sem free;
} limit;

#define FILLING 1u

static uint64_t this_era(void) {
    return (uint64_t)wefti_forks << 48 | load_relaxed(&S.run) << 1;
}

static void fill_limit(void) {
    struct m *mp = wefti_enter();
    uint64_t now = this_era(), seen = load_acquire(&limit.era); /* pairs with the release below */
    while (seen != now) {
        if (seen != (now | FILLING) && cas_acquire(&limit.era, &seen, now | FILLING)) {
            limit.free = (weft_sem)WEFT_SEM_INIT(LOOKUPS);
            store_release(&limit.era, now); /* pairs with the acquire above */
            break;
        }
        seen = load_acquire(&limit.era);
    }
    wefti_leave(mp);
}

/* ---- one lookup ---- */

struct lookup {
    uint32_t refs; /* atomic: the caller, and the goroutine that looks up */
    weft_chan(char) answered;
    const char *node, *service; /* copies, behind the struct; or NULL */
    const struct addrinfo *hints;
    struct addrinfo hints_copy;
    struct addrinfo *found; /* the lookup's until the caller took it */
    int result;             /* 0 or EAI_* */
    int err;                /* of EAI_SYSTEM */
};

static char *append(char **to, const char *text) {
    char *start = *to;
    if (text == NULL)
        return NULL;
    size_t n = strlen(text) + 1;
    memcpy(start, text, n);
    *to += n;
    return start;
}

static struct lookup *make_lookup(const char *node, const char *service,
                                  const struct addrinfo *hints) {
    struct lookup *l =
        malloc(sizeof *l + (node ? strlen(node) + 1 : 0) + (service ? strlen(service) + 1 : 0));
    if (l == NULL)
        return NULL;
    char *behind = (char *)(l + 1);
    *l = (struct lookup){.refs = 2, .answered = weft_chan_make(char, 1)};
    l->node = append(&behind, node);
    l->service = append(&behind, service);
    if (hints) {
        l->hints_copy = *hints;
        l->hints = &l->hints_copy;
    }
    if (l->answered == NULL) {
        free(l);
        return NULL;
    }
    return l;
}

static void drop_lookup(struct lookup *l) {
    if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) != 0) /* the last sees all writes */
        return;
    if (l->found)
        freeaddrinfo(l->found);
    weft_chan_unref(l->answered);
    free(l);
}

static int ask(const char *node, const char *service, const struct addrinfo *hints,
               struct addrinfo **found, int *err) {
    int result = weft_block(getaddrinfo(node, service, hints, found));
    *err = errno;
    return result;
}

static void look_up(struct lookup *l) {
    l->result = ask(l->node, l->service, l->hints, &l->found, &l->err);
    if (l->result != 0)
        l->found = NULL;
    weft_try_send(l->answered, 0);
    weft_sem_release(&limit.free, 1);
    drop_lookup(l);
}

/* The answer, if it comes before the caller's context ends. *err: of EAI_SYSTEM. */
static int await(struct lookup *l, struct addrinfo **res, int *err) {
    if (!weft_recv(l->answered, NULL)) {
        *err = errno;
        return EAI_SYSTEM;
    }
    *res = l->found;
    *err = l->err;
    l->found = NULL;
    return l->result;
}

static int look_up_aside(const char *node, const char *service, const struct addrinfo *hints,
                         struct addrinfo **res, int *err) {
    static const struct weft_attr attr = {.name = "getaddrinfo", .stack_size = LOOKUP_STACK};
    struct weft_attr background = attr; /* nobody ends it, so nobody's end is its own */
    background.ctx = weft_ctx_background();
    fill_limit();
    if (!weft_sem_acquire(&limit.free, 1)) {
        *err = errno;
        return EAI_SYSTEM;
    }
    struct lookup *l = make_lookup(node, service, hints);
    if (l == NULL || weft_go_with(&background, look_up, l) != 0) {
        weft_sem_release(&limit.free, 1);
        if (l)
            drop_lookup(l);
        if (l)
            drop_lookup(l);
        return EAI_MEMORY;
    }
    int result = await(l, res, err);
    drop_lookup(l);
    return result;
}

/* Numbers need no lookup: the C library answers from what it has been given. */
static int numbers(const char *node, const char *service, const struct addrinfo *hints,
                   struct addrinfo **res, int *err) {
    struct addrinfo strict = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG}; /* its default for NULL */
    if (hints)
        strict = *hints;
    strict.ai_flags |= AI_NUMERICSERV | (node ? AI_NUMERICHOST : 0);
    int result = getaddrinfo(node, service, &strict, res);
    *err = errno;
    return result;
}

int weft_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **res) {
    int saved = errno, err = 0;
    int result = numbers(node, service, hints, res, &err);
    if (result == EAI_NONAME)
        result = weft_id() != 0 ? look_up_aside(node, service, hints, res, &err)
                                : ask(node, service, hints, res, &err);
    weft_set_errno(result == EAI_SYSTEM ? err : saved);
    return result;
}

/* ---- for dial and listen ---- */

/* What a failed lookup is as an errno. The C library's own reasons are more than anybody acts on.
 */
static int lookup_errno(int result) {
    switch (result) {
    case 0:
        return 0;
    case EAI_SYSTEM:
        return errno;
    case EAI_AGAIN:
        return EAGAIN;
    case EAI_MEMORY:
        return ENOMEM;
    case EAI_SERVICE:
        return EINVAL;
    case EAI_FAIL:
        return EIO;
    default:
        return ENOENT;
    }
}

/* A service's port. */
static int port_by_name(const struct wefti_net *net, const char *service, uint16_t *port) {
    struct addrinfo hints = {.ai_family = net->family, .ai_socktype = net->type};
    struct addrinfo *list = NULL;
    int err = lookup_errno(weft_getaddrinfo(NULL, service, &hints, &list));
    if (err)
        return err == ENOENT ? EINVAL : err;
    /* Both families have the port at the same place. */
    *port = ntohs(((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_port);
    freeaddrinfo(list);
    return 0;
}

static void add(struct wefti_inets *out, union wefti_inet a) {
    if (out->n < WEFTI_INETS_MAX)
        out->at[out->n++] = a;
}

/* A name's addresses, those that are of a family for us. */
static int by_name(const struct wefti_net *net, const char *host, uint16_t port,
                   struct wefti_inets *out) {
    struct addrinfo hints = {.ai_family = net->family, .ai_socktype = net->type};
    struct addrinfo *list = NULL;
    int err = lookup_errno(weft_getaddrinfo(host, NULL, &hints, &list));
    if (err)
        return err;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        union wefti_inet a = {.in6 = {0}};
        if ((ai->ai_family != AF_INET && ai->ai_family != AF_INET6) || ai->ai_addrlen > sizeof a)
            continue;
        memcpy(&a, ai->ai_addr, ai->ai_addrlen);
        a.in.sin_port = htons(port); /* sin6_port is at the same place */
        add(out, a);
    }
    freeaddrinfo(list);
    return out->n > 0 ? 0 : ENOENT;
}

/* No host was given. */
static void everywhere(int family, uint16_t port, bool passive, struct wefti_inets *out) {
    if (!passive) {
        add(out, wefti_inet_loopback(family == AF_INET6 ? AF_INET6 : AF_INET, port));
        return;
    }
    if (family != AF_INET)
        add(out, wefti_inet_any(AF_INET6, port));
    if (family != AF_INET6)
        add(out, wefti_inet_any(AF_INET, port));
}

/* A listener has one address; IPv4 is what most clients come by. */
static void keep_one(struct wefti_inets *out) {
    for (size_t i = 0; i < out->n; i++) {
        if (out->at[i].sa.sa_family == AF_INET) {
            out->at[0] = out->at[i];
            break;
        }
    }
    out->n = 1;
}

/* [::], dialled, is this machine. Where IPv6 is set up by half, 0.0.0.0 is what works. */
static void complete_any(int family, uint16_t port, struct wefti_inets *out) {
    if (family == AF_UNSPEC && out->n == 1 && out->at[0].sa.sa_family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&out->at[0].in6.sin6_addr))
        add(out, wefti_inet_any(AF_INET, port));
}

int wefti_resolve(const struct wefti_net *net, const char *address, bool passive,
                  struct wefti_inets *out) {
    struct wefti_hostport hp;
    uint16_t port;
    out->n = 0;
    int err = wefti_hostport_parse(address, &hp);
    if (!err && (err = wefti_port_parse(hp.port, &port)) == ENOENT)
        err = port_by_name(net, hp.port, &port);
    if (err)
        return err;
    if (*hp.host == 0) {
        everywhere(net->family, port, passive, out);
        return 0;
    }
    err = wefti_inet_parse(net->family, hp.host, port, &out->at[0]);
    if (err == ENOENT)
        err = by_name(net, hp.host, port, out);
    else
        out->n = 1;
    if (!err && passive)
        keep_one(out);
    else if (!err)
        complete_any(net->family, port, out);
    return err;
}
