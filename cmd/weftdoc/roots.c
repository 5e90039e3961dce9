/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roots.c: what is shown when no folder is named.
 *
 * An installed program looks from its own place: PREFIX/bin/weftdoc belongs to PREFIX/include/weft.h,
 * PREFIX/include/weft/ and PREFIX/share/doc/weft/. One that is still in its build tree shows the
 * source tree that it was built from. All is mounted such that pages have the same addresses in both
 * cases, and links between them lead to the same places.
 */
#include "site.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ROOTS 16

static char storage[MAX_ROOTS][PATH_MAX + 32];

struct roots {
    const char **all;
    size_t n, max;
};

static void add(struct roots *r, const char *mount, const char *folder, const char *name) {
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (r->n == r->max || r->n == MAX_ROOTS || len < 0 || (size_t)len >= sizeof path ||
        access(path, R_OK) != 0)
        return;
    char *root = storage[r->n];
    snprintf(root, sizeof storage[0], "%s=%s", mount, path);
    r->all[r->n++] = root;
}

/* The folder that a path is in; the path is cut. */
static bool parent(char *path) {
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return false;
    *slash = '\0';
    return true;
}

static bool own_path(char *path) {
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    return true;
}

static void source_roots(struct roots *r, const char *top) {
    static const char *const documents[] = {"README.md", "ARCHITECTURE.md", "HACKING.md",
                                            "CONTRIBUTING.md", "CHANGELOG.md"};
    add(r, "include", top, "include");
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        add(r, "", top, documents[i]);
    add(r, "docs", top, "docs");
}

static void installed_roots(struct roots *r, const char *prefix) {
    add(r, "include", prefix, "include/weft.h");
    if (r->n == 0)
        return;
    add(r, "include/weft", prefix, "include/weft");
    add(r, "", prefix, "share/doc/weft");
}

size_t site_default_roots(const char *roots[], size_t max) {
    struct roots r = {roots, 0, max};
    char path[PATH_MAX], prefix[PATH_MAX];
    if (!own_path(path))
        return 0;
    strcpy(prefix, path);
    if (parent(prefix) && parent(prefix))
        installed_roots(&r, prefix);
    size_t n = strlen(WEFTDOC_BUILD_DIR);
    if (r.n == 0 && strncmp(path, WEFTDOC_BUILD_DIR, n) == 0 && path[n] == '/')
        source_roots(&r, WEFTDOC_SOURCE_DIR);
    return r.n;
}
