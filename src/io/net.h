/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What listening, accepting (net.c), dialling and connecting (dial.c) share.
 */
#ifndef WEFTI_IO_NET_H
#define WEFTI_IO_NET_H

#include <weft/base.h>

#include "fd.h"
#include "resolve.h"

/*
 * Lets time pass in the middle of an operation that can't be waited for by the poller. The
 * operation ends for the while and begins again, so others take their turns, and a close or a
 * deadline is noticed soon. 0: it has begun again. Otherwise it has ended, and this is why: EBADF,
 * ETIMEDOUT, ECANCELED.
 */
int wefti_op_pause(struct wefti_op *op, weft_duration d);

/* Whether a descriptor's calls may block. */
bool wefti_fd_blocks(int fd);

/* What Go sets on each TCP connection: TCP_NODELAY, and keep-alive probes after 15 s of silence. */
void wefti_tune_tcp(int fd);

/* Dials the addresses as weft_dial does; they may be put into another order. 0 with *fd, or an
 * errno. */
int wefti_dial_inets(const struct wefti_net *net, struct wefti_inets *to, int *fd);

#endif
