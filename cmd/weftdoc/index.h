/* SPDX-License-Identifier: Apache-2.0 */
/* index.h: words, and how much of a query is looked at. */
#ifndef WEFTDOC_INDEX_H
#define WEFTDOC_INDEX_H

#include "model.h"

#define MAX_QUERY 200
#define MAX_WORDS 8

/* The next word of a text that ends with a NUL. */
bool next_word(const char **at, const char **word, size_t *len);
/* into has room for a NUL besides. */
void lower_copy(char *into, const char *at, size_t len);

#endif
