/* SPDX-License-Identifier: Apache-2.0 */
/*
 * html.h: growing text, and what keeps foreign text from becoming markup.
 *
 * A buffer that finds no memory stays as it is and remembers it in `failed`; whoever takes the text
 * looks there, once, and no call in between needs a check.
 */
#ifndef WEFTDOC_HTML_H
#define WEFTDOC_HTML_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NULL while empty */
    size_t len, cap;
    bool failed;
};

void buf_bytes(struct buf *, const char *at, size_t len);
void buf_text(struct buf *, const char *text);
void buf_char(struct buf *, char c);
void buf_format(struct buf *, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));
/* Room for n more bytes at data + len, or NULL. */
char *buf_room(struct buf *, size_t n);
void buf_free(struct buf *);

/* Escaped for element content and for attribute values in double quotes alike. */
void html_escape(struct buf *, const char *at, size_t len);
void html_text(struct buf *, const char *text);
/* The path of a URL: all but letters, digits and -._~/ becomes %XX, so it needs no escaping. */
void html_path(struct buf *, const char *path);

/*
 * Turns bytes of any kind into valid UTF-8 without NUL and without carriage returns: each byte that
 * fits nowhere becomes U+FFFD. Control characters but tab and newline become spaces.
 */
void utf8_sanitize(struct buf *, const char *at, size_t len);
bool utf8_valid(const char *at, size_t len);
/* Appends a code point; U+FFFD for one that is none. */
void utf8_put(struct buf *, unsigned long point);

#endif
