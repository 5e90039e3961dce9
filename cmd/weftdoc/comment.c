/* SPDX-License-Identifier: Apache-2.0 */
/*
 * comment.c: comments of a source file, without their decoration. Those that begin a line count;
 * one behind a declaration is a part of that. Line comments that follow one another are one.
 */
#include "model.h"

#include <ctype.h>
#include <string.h>

/* One line: without the margin (blanks, a star, a blank) and what trails. */
static void add_line(struct buf *b, const char *at, const char *end) {
    const char *p = at;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p < end && *p == '*') {
        p++;
        if (p < end && *p == ' ')
            p++;
    } else if (p > at + 3) {
        p = at + 3; /* a comment without stars: its depth is kept */
    }
    while (end > p && isspace((unsigned char)end[-1]))
        end--;
    buf_bytes(b, p, (size_t)(end - p));
    buf_char(b, '\n');
}

static void undress_block(struct buf *b, const char *at, const char *end) {
    at += 2;
    if (end - at >= 2 && end[-1] == '/' && end[-2] == '*')
        end -= 2;
    while (at < end && (*at == '*' || *at == '!'))
        at++;
    while (at < end && *at == ' ')
        at++;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        add_line(b, at, stop);
        at = newline != NULL ? newline + 1 : end;
    }
}

static void undress_line(struct buf *b, const char *at, const char *end) {
    at += 2;
    while (at < end && (*at == '/' || *at == '!'))
        at++;
    if (at < end && *at == ' ')
        at++;
    while (end > at && isspace((unsigned char)end[-1]))
        end--;
    buf_bytes(b, at, (size_t)(end - at));
    buf_char(b, '\n');
}

/* Without blank lines at both ends. */
static void trim_lines(struct buf *b) {
    while (b->len > 1 && b->data[b->len - 1] == '\n' && b->data[b->len - 2] == '\n')
        b->len--;
    size_t skip = 0;
    while (skip < b->len && b->data[skip] == '\n')
        skip++;
    if (skip != 0) {
        memmove(b->data, b->data + skip, b->len - skip);
        b->len -= skip;
    }
}

static void add_comment(struct file *f, const struct token *t, unsigned first, unsigned last) {
    struct buf b = {0};
    struct comment *before = f->ncomments != 0 ? &f->comments[f->ncomments - 1] : NULL;
    bool line = t->at[1] == '/';
    if (line && before != NULL && before->last + 1 == first && before->taken) {
        buf_text(&b, before->text);
        undress_line(&b, t->at, t->at + t->len);
        before->text = arena_take(&f->arena, &b);
        before->last = last;
        return;
    }
    if (line)
        undress_line(&b, t->at, t->at + t->len);
    else
        undress_block(&b, t->at, t->at + t->len);
    trim_lines(&b);
    f->comments = grow(f->comments, &f->ncomments, &f->comments_cap, sizeof *f->comments);
    struct comment *c = &f->comments[f->ncomments - 1];
    c->first = first;
    c->last = last;
    c->text = arena_take(&f->arena, &b);
    c->taken = line; /* means "of lines" until all are found */
}

void find_comments(struct file *f) {
    const char *at = f->text, *end = f->text + f->len;
    struct token t;
    unsigned line = 1;
    bool fresh = true; /* nothing but blanks so far in the line */
    while (next_token(&at, end, &t)) {
        unsigned first = line;
        const char *last_newline = NULL;
        for (const char *p = t.at; p < t.at + t.len; p++) {
            if (*p == '\n') {
                line++;
                last_newline = p;
            }
        }
        if (t.kind == TOKEN_COMMENT && fresh && t.len >= 2)
            add_comment(f, &t, first, line);
        if (t.kind == TOKEN_SPACE)
            fresh = fresh || last_newline != NULL;
        else
            fresh = false;
    }
    for (size_t i = 0; i < f->ncomments; i++)
        f->comments[i].taken = false;
}

/* --- the first sentence */

static const char *without_name(const char *text, const char *name) {
    static const char *const leads[] = {"struct ", "enum ", "union "};
    const char *p = text;
    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++)
        if (strncmp(p, leads[i], strlen(leads[i])) == 0)
            p += strlen(leads[i]);
    size_t n = strlen(name);
    if (n == 0 || strncmp(p, name, n) != 0)
        return text;
    if (p[n] == ':')
        n++;
    else if (p[n] != ' ')
        return text;
    return p[n] == ' ' ? p + n + 1 : text;
}

char *first_sentence(struct arena *a, const char *text, const char *name) {
    struct buf b = {0};
    const char *p = without_name(text, name);
    while (*p != '\0' && b.len < 400) {
        if (*p == '\n') {
            if (p[1] == '\n' || p[1] == '\0')
                break;
            buf_char(&b, ' ');
            while (p[1] == ' ')
                p++;
        } else {
            buf_char(&b, *p);
        }
        if (*p == '.' && (p[1] == ' ' || p[1] == '\n' || p[1] == '\0')) {
            b.len--;
            break;
        }
        p++;
    }
    while (b.len != 0 && ((unsigned char)b.data[b.len - 1] & 0xc0) == 0x80 &&
           !utf8_valid(b.data, b.len))
        b.len--;
    if (b.len != 0 && !utf8_valid(b.data, b.len))
        b.len--;
    return arena_take(a, &b);
}
