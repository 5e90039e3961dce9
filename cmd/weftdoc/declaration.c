/* SPDX-License-Identifier: Apache-2.0 */
/*
 * declaration.c: a declaration as a reader wants it: without a function's body, the other branches
 * of conditions, the marker of exported functions in front, and long macros' insides.
 */
#include "model.h"

#include <ctype.h>
#include <string.h>

#define MACRO_LINES 8

/* The length of "WEFT_API " at the beginning; 0 for none. */
static size_t marker(const char *at, size_t len) {
    static const char *const ends[] = {"_API",     "_INLINE", "_EXPORT",
                                       "_EXPORTS", "_EXTERN", "_PUBLIC"};
    size_t n = 0;
    while (n < len &&
           (isupper((unsigned char)at[n]) || isdigit((unsigned char)at[n]) || at[n] == '_'))
        n++;
    if (n == len || at[n] != ' ')
        return 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t m = strlen(ends[i]);
        if (n > m && memcmp(at + n - m, ends[i], m) == 0)
            return n + 1;
    }
    return 0;
}

static size_t markers(const char *at, size_t len) {
    size_t all = 0, n;
    if (len > 7 && memcmp(at, "extern ", 7) == 0)
        all = 7;
    while ((n = marker(at + all, len - all)) != 0)
        all += n;
    return all;
}

/*
 * A line of a declaration. One at the margin loses its marker; lines that are set in follow it to
 * the left, and so stay aligned with it.
 */
static void plain_line(struct buf *b, const char *at, size_t len, size_t *shift) {
    size_t cut = 0;
    if (len != 0 && at[0] != ' ')
        cut = *shift = markers(at, len);
    else
        while (cut < *shift && cut < len && at[cut] == ' ')
            cut++;
    buf_bytes(b, at + cut, len - cut);
    buf_char(b, '\n');
}

/* The backslashes of a macro's lines stand in a column far to the right. */
static void macro_line(struct buf *b, const char *at, size_t len) {
    size_t kept = len;
    if (len != 0 && at[len - 1] == '\\')
        for (kept--; kept != 0 && at[kept - 1] == ' ';)
            kept--;
    buf_bytes(b, at, kept);
    buf_text(b, kept == len ? "\n" : " \\\n");
}

/* A function with a body ends where that begins. */
static void cut_body(struct buf *b) {
    const char *at = b->data, *end = b->data + b->len;
    struct token t;
    int depth = 0;
    while (next_token(&at, end, &t)) {
        char c = t.kind == TOKEN_OTHER ? *t.at : '\0';
        depth += (c == '(') - (c == ')');
        if (c != '{' || depth != 0)
            continue;
        b->len = (size_t)(t.at - b->data);
        while (b->len != 0 && isspace((unsigned char)b->data[b->len - 1]))
            b->len--;
        buf_text(b, ";\n");
        return;
    }
}

void entry_declaration(struct buf *b, const struct file *f, const struct entry *e) {
    if (e->prototype != NULL) {
        buf_text(b, e->prototype);
        return;
    }
    bool macros = e->word[0] == 'm';
    bool whole = !macros || e->last - e->first < MACRO_LINES || e->nnames > 1;
    size_t shift = 0;
    for (unsigned line = e->first; line <= e->last; line++) {
        const char *at = f->lines[line - 1];
        size_t len = (size_t)(f->lines[line] - 1 - at);
        if (f->hidden[line - 1])
            continue;
        if (macros)
            macro_line(b, at, len);
        else
            plain_line(b, at, len, &shift);
        if (!whole) {
            buf_text(b, "    ...\n");
            break;
        }
    }
    if (e->cut)
        cut_body(b);
    while (b->len != 0 && b->data[b->len - 1] == '\n')
        b->len--;
}
