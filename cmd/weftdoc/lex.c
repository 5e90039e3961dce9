/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex.c: C cut into tokens, for colours, links and the search for comments.
 *
 * It needs no grammar and can't fail: whatever is not understood is TOKEN_OTHER, one byte of it, and
 * an open comment or string ends with the text (a string with its line). What is declared where is
 * ctags' business.
 */
#include "model.h"

#include <ctype.h>
#include <string.h>

static bool word_byte(char c) {
    unsigned char u = (unsigned char)c;
    return isalnum(u) || u == '_' || u >= 0x80;
}

static const char *quoted(const char *p, const char *end) {
    char quote = *p++;
    while (p < end && *p != quote && *p != '\n')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p < end && *p == quote ? p + 1 : p;
}

static const char *block_comment(const char *p, const char *end) {
    for (p += 2; p < end; p++)
        if (*p == '*' && p + 1 < end && p[1] == '/')
            return p + 2;
    return end;
}

static const char *line_comment(const char *p, const char *end) {
    while (p < end && *p != '\n')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return p;
}

bool next_token(const char **at, const char *end, struct token *t) {
    const char *p = *at;
    if (p >= end)
        return false;
    char next = p + 1 < end ? p[1] : '\0';
    t->at = p;
    t->kind = TOKEN_OTHER;
    if (isspace((unsigned char)*p)) {
        t->kind = TOKEN_SPACE;
        while (p < end && isspace((unsigned char)*p))
            p++;
    } else if (*p == '/' && (next == '*' || next == '/')) {
        t->kind = TOKEN_COMMENT;
        p = next == '*' ? block_comment(p, end) : line_comment(p, end);
    } else if (*p == '"' || *p == '\'') {
        t->kind = TOKEN_STRING;
        p = quoted(p, end);
    } else if (word_byte(*p)) {
        t->kind = TOKEN_WORD;
        while (p < end && word_byte(*p))
            p++;
    } else {
        p++;
    }
    t->len = (size_t)(p - t->at);
    *at = p;
    return true;
}

static bool keyword(const char *at, size_t len) {
    static const char words[] = " auto bool break case char const continue default do double else "
                                "enum extern float for goto "
                                "if inline int long register restrict return short signed sizeof "
                                "static struct switch typedef "
                                "union unsigned void volatile while define include ifdef ifndef "
                                "endif elif undef pragma error "
                                "class template ";
    if (len < 2 || len > 10)
        return false;
    char key[16] = " ";
    memcpy(key + 1, at, len);
    memcpy(key + 1 + len, " ", 2);
    return strstr(words, key) != NULL;
}

const struct symbol *find_symbol(const struct site *s, const char *at, size_t len,
                                 const char *self) {
    const struct symbol *symbol = table_get(s->symbols, at, len);
    if (symbol == NULL || strcmp(symbol->entry->names[0].text, self) == 0)
        return NULL;
    return symbol;
}

/*
 * A word that is somebody's name. Short plain words ("go", "chan") are variables and members far
 * more often than the macro of that name: they count only before a parenthesis.
 */
static const struct symbol *known(const struct site *s, const struct token *t, const char *end,
                                  const char *self) {
    bool plain = memchr(t->at, '_', t->len) == NULL;
    if (plain && (t->at + t->len >= end || t->at[t->len] != '('))
        return NULL;
    return find_symbol(s, t->at, t->len, self);
}

static void span(struct buf *b, const char *class, const struct token *t) {
    buf_format(b, "<span class=\"%s\">", class);
    html_escape(b, t->at, t->len);
    buf_text(b, "</span>");
}

static void token_html(struct buf *b, const struct site *s, const struct token *t, const char *end,
                       const char *self) {
    const struct symbol *symbol;
    if (t->kind == TOKEN_COMMENT) {
        span(b, "c", t);
    } else if (t->kind == TOKEN_STRING) {
        span(b, "s", t);
    } else if (t->kind == TOKEN_WORD && keyword(t->at, t->len)) {
        span(b, "k", t);
    } else if (t->kind == TOKEN_WORD && (symbol = known(s, t, end, self)) != NULL) {
        buf_text(b, "<a href=\"");
        file_url(b, symbol->file, symbol->name);
        buf_text(b, "\">");
        html_escape(b, t->at, t->len);
        buf_text(b, "</a>");
    } else {
        html_escape(b, t->at, t->len);
    }
}

void code_html(struct buf *b, const struct site *s, const char *at, size_t len, const char *self) {
    const char *end = at + len;
    struct token t;
    while (next_token(&at, end, &t))
        token_html(b, s, &t, end, self);
}

static void open_line(struct buf *b, size_t number) {
    buf_format(b, "<span class=\"l\" id=\"L%zu\"><a href=\"#L%zu\">%zu</a>", number, number,
               number);
}

static void plain_lines(struct buf *b, const struct file *f) {
    for (size_t i = 0; i < f->nlines; i++) {
        open_line(b, i + 1);
        html_escape(b, f->lines[i], (size_t)(f->lines[i + 1] - f->lines[i]));
        buf_text(b, "</span>");
    }
}

/* A token that spans lines is closed at each line's end: a line is an element. */
void source_html(struct buf *b, const struct site *s, const struct file *f) {
    const char *at = f->text, *end = f->text + f->len;
    struct token t;
    size_t number = 1;
    if (f->kind != FILE_HEADER || at == end) {
        plain_lines(b, f);
        return;
    }
    open_line(b, number);
    while (next_token(&at, end, &t)) {
        const char *stop = t.at + t.len, *newline;
        while ((newline = memchr(t.at, '\n', (size_t)(stop - t.at))) != NULL) {
            t.len = (size_t)(newline - t.at);
            if (t.len != 0)
                token_html(b, s, &t, end, "");
            buf_text(b, "\n</span>");
            t.at = newline + 1;
            if (t.at < end)
                open_line(b, ++number);
        }
        t.len = (size_t)(stop - t.at);
        if (t.len != 0)
            token_html(b, s, &t, end, "");
    }
}
