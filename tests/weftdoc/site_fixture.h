/* SPDX-License-Identifier: Apache-2.0 */
/* site_fixture.h: a folder of made-up files, and a site built from it. Call in a goroutine. */
#ifndef SITE_FIXTURE_H
#define SITE_FIXTURE_H

#include "weft_test.h"

#include "site.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char top[64];     /* the folder that is made */
    char served[128]; /* top/lib, the root */
    struct site *site;
};

static inline void fixture_open(struct fixture *x) {
    snprintf(x->top, sizeof x->top, "/tmp/weftdoc-test.XXXXXX");
    CHECK(mkdtemp(x->top) != NULL);
    snprintf(x->served, sizeof x->served, "%s/lib", x->top);
    CHECK_EQ(mkdir(x->served, 0755), 0);
    x->site = NULL;
}

/* A path below top; its folder must be there. */
static inline void fixture_put(const struct fixture *x, const char *path, const char *bytes,
                               size_t len) {
    char full[256];
    CHECK(snprintf(full, sizeof full, "%s/%s", x->top, path) < (int)sizeof full);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, bytes, len), len);
    close(fd);
}

static inline void fixture_text(const struct fixture *x, const char *path, const char *text) {
    fixture_put(x, path, text, strlen(text));
}

static inline void fixture_build(struct fixture *x) {
    char error[256] = "";
    const char *const roots[] = {x->served};
    x->site = site_build(&(struct site_options){"lib's", roots, 1}, error, sizeof error);
    if (x->site == NULL)
        FAIL("%s", error);
}

static inline int fixture_remove(const char *path, const struct stat *st, int type,
                                 struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

static inline void fixture_close(struct fixture *x) {
    site_free(x->site);
    nftw(x->top, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* The body of an answer as a string, to be freed; its status is checked. */
static inline char *fixture_get(const struct fixture *x, const char *path, const char *query,
                                int status) {
    struct reply r;
    site_answer(x->site, path, query, &r);
    if (r.status != status)
        FAIL("%s gives %d, not %d", path, r.status, status);
    CHECK(r.content_type != NULL);
    char *body = strndup(r.body != NULL ? r.body : "", r.len);
    CHECK(body != NULL);
    reply_free(&r);
    return body;
}

static inline void fixture_has(const struct fixture *x, const char *path, const char *query,
                               const char *text) {
    char *body = fixture_get(x, path, query, 200);
    if (strstr(body, text) == NULL)
        FAIL("%s lacks: %s", path, text);
    free(body);
}

static inline void fixture_lacks(const struct fixture *x, const char *path, const char *query,
                                 const char *text) {
    char *body = fixture_get(x, path, query, 200);
    if (strstr(body, text) != NULL)
        FAIL("%s has: %s", path, text);
    free(body);
}

static inline void fixture_status(const struct fixture *x, const char *path, int status) {
    free(fixture_get(x, path, NULL, status));
}

#endif
