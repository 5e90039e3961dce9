/* SPDX-License-Identifier: Apache-2.0 */
/* What all reports say of a goroutine in the same way. */
#ifndef WEFTI_OBSERVE_DUMP_H
#define WEFTI_OBSERVE_DUMP_H

#include "../base/fmt.h"
#include "../rt/rt.h"

void wefti_clean_name(const struct g *gp, char name[WEFTI_NAME_SIZE]); /* "": none */
/* "created by FUNCTION in goroutine N", and the place. */
void wefti_put_creator(struct wefti_out *out, const struct g *gp);

#endif
