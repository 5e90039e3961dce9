/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for descriptors as part of finding work: what the layers above use. netpoll.c has the
 * protocol.
 */
#ifndef WEFTI_SCHED_NETPOLL_H
#define WEFTI_SCHED_NETPOLL_H

#include "../poll/poll.h"
#include "../rt/rt.h"

/* The poller is open when this returns 0; otherwise an errno. With a P. */
int wefti_netpoll_open(void);

/* A wait for a descriptor was published (its registration made); it is over. In pairs, with a P.
 * What the first returns is for the second. */
uint64_t wefti_netpoll_wait_begins(struct m *mp);
void wefti_netpoll_wait_ends(uint64_t run);

/* ---- the seam: what io/fd.c defines ---- */

/* An event that the poller gave; readies who waited for it. With a P, no lock held. */
void wefti_fd_event(struct m *mp, uint64_t token, short ready);
/* No descriptor is weft's any more, nobody waits: the run is over, or (`forked`) this is a fork's child
 * and the queues are not to be trusted. */
void wefti_fd_forget_all(bool forked);

#endif
