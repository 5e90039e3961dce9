/* SPDX-License-Identifier: Apache-2.0 */
/* Goroutine-local values: what the end of a goroutine needs of them (keys.c). */
#ifndef WEFTI_SCHED_KEYS_H
#define WEFTI_SCHED_KEYS_H

#include "../rt/rt.h"

/* On the ending goroutine, outside the runtime: calls destructors, then gives the room back. */
void wefti_keys_destroy(struct g *gp);
/* Gives the room back without calling anything. */
void wefti_keys_free(struct m *mp, struct g *gp);
/* In a fork's child: keys and values stay. */
void wefti_keys_after_fork(void);

#endif
