/* SPDX-License-Identifier: Apache-2.0 */
/* html.c: growing text, escaping, UTF-8. */
#include "html.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *buf_room(struct buf *b, size_t n) {
    if (b->failed)
        return NULL;
    if (b->cap - b->len >= n)
        return b->data + b->len;
    size_t cap = b->cap != 0 ? b->cap : 256;
    while (cap - b->len < n && cap < ((size_t)-1) / 2)
        cap *= 2;
    char *data = cap - b->len < n ? NULL : realloc(b->data, cap);
    if (data == NULL) {
        b->failed = true;
        return NULL;
    }
    b->data = data;
    b->cap = cap;
    return b->data + b->len;
}

void buf_bytes(struct buf *b, const char *at, size_t len) {
    if (len == 0)
        return;
    char *room = buf_room(b, len);
    if (room == NULL)
        return;
    memcpy(room, at, len);
    b->len += len;
}

void buf_text(struct buf *b, const char *text) {
    buf_bytes(b, text, strlen(text));
}

void buf_char(struct buf *b, char c) {
    buf_bytes(b, &c, 1);
}

void buf_format(struct buf *b, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        b->failed = true; /* the formats in use are of bounded length */
    else
        buf_bytes(b, text, (size_t)len);
}

void buf_free(struct buf *b) {
    free(b->data);
    *b = (struct buf){0};
}

static const char *entity(char c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void html_escape(struct buf *b, const char *at, size_t len) {
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        const char *name = entity(at[i]);
        if (name == NULL)
            continue;
        buf_bytes(b, at + from, i - from);
        buf_text(b, name);
        from = i + 1;
    }
    buf_bytes(b, at + from, len - from);
}

void html_text(struct buf *b, const char *text) {
    html_escape(b, text, strlen(text));
}

void html_path(struct buf *b, const char *path) {
    for (; *path != '\0'; path++) {
        unsigned char c = (unsigned char)*path;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~/", c) != NULL;
        if (plain)
            buf_char(b, (char)c);
        else
            buf_format(b, "%%%02X", c);
    }
}

/* The length of the valid UTF-8 sequence at p, or 0. Overlong forms and surrogates are not valid. */
static size_t sequence(const unsigned char *p, size_t left) {
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    size_t n = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (n == 0 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool utf8_valid(const char *at, size_t len) {
    for (size_t i = 0; i < len;) {
        size_t n = sequence((const unsigned char *)at + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void utf8_sanitize(struct buf *b, const char *at, size_t len) {
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)at[i];
        size_t n = sequence((const unsigned char *)at + i, len - i);
        if (n == 0 || c == '\0')
            buf_text(b, "\xef\xbf\xbd");
        else if (c == '\r' && i + 1 < len && at[i + 1] == '\n')
            ; /* the newline is enough */
        else if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
            buf_char(b, c == '\r' ? '\n' : ' ');
        else
            buf_bytes(b, at + i, n);
        i += n != 0 ? n : 1;
    }
}

void utf8_put(struct buf *b, unsigned long point) {
    if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        point = 0xfffd;
    if (point < 0x80) {
        buf_char(b, (char)point);
        return;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_char(b, (char)(lead[more] | (point >> (6 * more))));
    while (more-- > 0)
        buf_char(b, (char)(0x80 | ((point >> (6 * more)) & 0x3f)));
}
