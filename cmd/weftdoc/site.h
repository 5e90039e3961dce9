/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site.h: what weftdoc serves, apart from how it is served.
 *
 * A site is built once, at the start: the folders are walked, the headers and documents parsed,
 * every page rendered. After that nothing of it changes, so any number of goroutines (and threads)
 * ask it without locks; an answer is a lookup in a table, except for a search, which is computed.
 * No path of a request ever reaches open(2): what was not found at the start doesn't exist.
 */
#ifndef WEFTDOC_SITE_H
#define WEFTDOC_SITE_H

#include <stdbool.h>
#include <stddef.h>

struct site;

struct site_options {
    const char *title;        /* shown on every page; NULL: "weft" */
    const char *const *roots; /* folders, or single files; "NAME=PATH" shows PATH below NAME */
    size_t nroots;
};

/*
 * The Content-Security-Policy that each answer is to carry: nothing from elsewhere, no inline
 * script or style.
 */
#define SITE_CSP                                                                                   \
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "                \
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

/*
 * Scans, parses, indexes and renders, in parallel; to be called by a goroutine. NULL, and a message
 * of one line, if there is no such folder, nothing in it to show, no ctags, or the context has
 * ended. Without memory the program ends.
 */
struct site *site_build(const struct site_options *, char *error, size_t error_size);
void site_free(struct site *);

/* How many pages there are, and the bytes in memory: for the line that is logged at the start. */
size_t site_pages(const struct site *);
size_t site_bytes(const struct site *);

struct reply {
    int status;               /* 200, 301, 400, 404; 500 if there was no memory */
    const char *content_type; /* never NULL; lives as long as the site */
    const char *location;     /* with 301: an absolute path, with its query; else NULL */
    char etag[40];            /* with the quotes; empty: not to be cached */
    char *body;               /* not terminated by a NUL */
    size_t len;
    bool owned; /* body is to be freed; reply_free does */
};

/*
 * The answer to GET. path: raw as in the request line, without the query, beginning with a slash;
 * it is decoded here, once. query: raw, without the question mark, or NULL. Always fills the reply.
 */
void site_answer(const struct site *, const char *path, const char *query, struct reply *out);
void reply_free(struct reply *);

/*
 * The folders that are shown when none is named: those of the source tree when the program runs
 * from a build tree, else the installed ones, found from where the program is. Returns how many;
 * the strings live until the program ends.
 */
size_t site_default_roots(const char *roots[], size_t max);

#endif
