/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url.c: what comes in as a URL, and what goes out as one.
 *
 * A request's path is decoded once and then is a key of a table, nothing else. It is refused when
 * it can't be a key: 400 for what no client sends by accident (a percent sign without its digits, a
 * control character, a backslash, bytes that aren't UTF-8), 404 for what would mean something else
 * after a second look ("..", an encoded slash).
 */
#include "model.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that %XX stands for, or -1. */
static int percent(const char *p) {
    if (p[0] != '%' || hex(p[1]) < 0 || hex(p[2]) < 0)
        return -1;
    return hex(p[1]) << 4 | hex(p[2]);
}

/* "." or ".." between slashes. */
static bool has_dots(const char *path) {
    for (const char *p = path; (p = strchr(p, '/')) != NULL;) {
        size_t n = strcspn(++p, "/");
        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return true;
    }
    return false;
}

int path_decode(const char *raw, char *into, size_t size) {
    size_t n = 0;
    if (raw[0] != '/')
        return 400;
    for (const char *p = raw; *p != '\0'; p++) {
        int c = (unsigned char)*p;
        if (c == '%') {
            c = percent(p);
            if (c < 0)
                return 400;
            if (c == '/')
                return 404;
            p += 2;
        }
        if (c < 0x20 || c == 0x7f || c == '\\')
            return 400;
        if (n + 1 >= size)
            return 404;
        into[n++] = (char)c;
    }
    into[n] = '\0';
    if (!utf8_valid(into, n))
        return 400;
    return has_dots(into) ? 404 : 0;
}

bool query_value(const char *query, const char *name, struct buf *into) {
    size_t n = strlen(name);
    while (query != NULL && *query != '\0') {
        size_t len = strcspn(query, "&");
        if (len > n && memcmp(query, name, n) == 0 && query[n] == '=') {
            struct buf raw = {0};
            for (const char *p = query + n + 1; p < query + len; p++) {
                int c = *p == '+' ? ' ' : p + 2 < query + len ? percent(p) : -1;
                p += *p == '%' && c >= 0 ? 2 : 0;
                buf_char(&raw, c >= 0 ? (char)c : *p);
            }
            utf8_sanitize(into, raw.data, raw.len);
            into->failed = into->failed || raw.failed;
            buf_free(&raw);
            return true;
        }
        query += len + (query[len] == '&');
    }
    return false;
}

/* --- links in documents */

static size_t scheme_length(const char *href, size_t len) {
    size_t n = 0;
    while (n < len && (isalnum((unsigned char)href[n]) || strchr("+.-", href[n]) != NULL))
        n++;
    return n != 0 && n < len && href[n] == ':' ? n : 0;
}

static bool scheme_is(const char *href, size_t n, const char *scheme) {
    return strlen(scheme) == n && strncasecmp(href, scheme, n) == 0;
}

/* A colon before any slash, behind something that is no scheme. */
static bool odd_scheme(const char *href, size_t len) {
    for (size_t i = 0; i < len && strchr("/?#", href[i]) == NULL; i++)
        if (href[i] == ':')
            return true;
    return false;
}

/* No blanks, no controls, nothing that a browser takes for a slash. */
static bool clean(const char *href, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)href[i] <= 0x20 || href[i] == 0x7f || href[i] == '\\')
            return false;
    return len != 0;
}

/* `base`'s folder and the relative path together, without dots. False if it leads above the top. */
static bool resolve(struct buf *b, const char *base, const char *rel, size_t len) {
    const char *slash = strrchr(base, '/');
    if (len != 0 && rel[0] != '/' && slash != NULL)
        buf_bytes(b, base, (size_t)(slash - base));
    for (size_t i = 0; i < len;) {
        size_t n = 0;
        while (i + n < len && rel[i + n] != '/')
            n++;
        if (n == 2 && rel[i] == '.' && rel[i + 1] == '.') {
            if (b->len == 0)
                return false;
            while (b->len != 0 && b->data[b->len - 1] != '/')
                b->len--;
            b->len -= b->len != 0;
        } else if (n != 0 && !(n == 1 && rel[i] == '.')) {
            if (b->len != 0)
                buf_char(b, '/');
            buf_bytes(b, rel + i, n);
        }
        i += n + 1;
    }
    return true;
}

static void decode(struct buf *b, const char *at, size_t len) {
    for (size_t i = 0; i < len; i++) {
        int c = i + 2 < len ? percent(at + i) : -1;
        buf_char(b, c > 0 ? (char)c : at[i]);
        i += c > 0 ? 2 : 0;
    }
}

static bool is_folder(const struct site *s, const char *path, size_t len) {
    for (size_t i = 0; i < s->nfiles; i++)
        if (strncmp(s->files[i]->path, path, len) == 0 && s->files[i]->path[len] == '/')
            return true;
    return false;
}

/* A path of this site's: a file's page, or a folder's place in the list of all. */
static bool local_target(struct buf *b, const struct site *s, const struct file *from,
                         const char *href, size_t len) {
    const char *mark = memchr(href, '#', len);
    size_t path_len = mark != NULL ? (size_t)(mark - href) : len;
    struct buf plain = {0}, path = {0};
    decode(&plain, href, path_len);
    bool found = path_len == 0 || resolve(&path, from->path, plain.data, plain.len);
    const struct file *to = path_len == 0 ? from
                            : found
                                ? table_get(s->paths, path.data != NULL ? path.data : "", path.len)
                                : NULL;
    buf_char(&path, '\0');
    if (path.failed || plain.failed)
        no_memory();
    bool folder = to == NULL && found && is_folder(s, path.data, path.len - 1);
    if (to != NULL) {
        buf_char(b, '/');
        html_path(b, to->path);
    } else if (folder) {
        buf_text(b, "/#dir-");
        html_path(b, path.data);
    }
    if (to != NULL && mark != NULL)
        buf_bytes(b, mark, len - path_len);
    buf_free(&plain);
    buf_free(&path);
    return to != NULL || folder;
}

bool link_target(struct buf *b, const struct site *s, const struct file *from, const char *href,
                 size_t len) {
    if (!clean(href, len) || (len > 1 && href[0] == '/' && href[1] == '/'))
        return false;
    size_t scheme = scheme_length(href, len);
    if (scheme == 0 && odd_scheme(href, len))
        return false;
    if (scheme != 0) {
        bool known = scheme_is(href, scheme, "https") || scheme_is(href, scheme, "http") ||
                     scheme_is(href, scheme, "mailto");
        if (known)
            buf_bytes(b, href, len);
        return known;
    }
    return local_target(b, s, from, href, len);
}
