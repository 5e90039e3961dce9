/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prose.c: a comment's text as HTML.
 *
 * Known are paragraphs, lists ("- ", "1. "), text that is set in (shown as it is), and the labelled
 * parts of weft's headers: "Returns: ..." with its further lines set in. Of a label's own look:
 *   Traits   facts, parted by semicolons
 *   Errors   a table: names in capitals, then what they mean
 *   Example  code
 */
#include "model.h"

#include <ctype.h>
#include <string.h>

struct line {
    const char *at;
    size_t len, indent;
};

struct doc {
    struct buf *b;
    const struct site *site;
    const char *self;
    struct line *lines;
    size_t nlines;
};

/* --- inside a paragraph */

static bool word_byte(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static size_t url_length(const char *at, const char *end) {
    size_t scheme = (size_t)(end - at) >= 8 && memcmp(at, "https://", 8) == 0  ? 8
                    : (size_t)(end - at) >= 7 && memcmp(at, "http://", 7) == 0 ? 7
                                                                               : 0;
    if (scheme == 0)
        return 0;
    const char *p = at + scheme;
    while (p < end && !isspace((unsigned char)*p) && strchr("<>\"'`\\", *p) == NULL)
        p++;
    while (p > at + scheme && strchr(".,;:)", p[-1]) != NULL)
        p--;
    return p > at + scheme ? (size_t)(p - at) : 0;
}

static void link_open(struct buf *b, const struct file *f, const char *anchor) {
    buf_text(b, "<a href=\"");
    file_url(b, f, anchor);
    buf_text(b, "\">");
}

/* The length of "(int, 16)" behind a name: what belongs to it. A sentence in parentheses does not. */
static size_t arguments(const char *at, const char *end) {
    int depth = 0;
    for (const char *p = at; p < end && p - at < 80 && *p != '\n'; p++) {
        depth += (*p == '(') - (*p == ')');
        if (depth == 0)
            return *p == ')' ? (size_t)(p - at) + 1 : 0;
    }
    return 0;
}

/* A name, or a header's path ("weft/chan.h"), as a link where it is known. Returns its length. */
static size_t word_html(struct buf *b, const struct site *s, const char *at, const char *end,
                        const char *self) {
    const char *p = at;
    while (p < end && word_byte(*p))
        p++;
    const char *q = p;
    while (q < end &&
           (word_byte(*q) || *q == '/' || *q == '-' || (*q == '.' && q + 1 < end && q[1] == 'h')))
        q++;
    const struct file *header = q > p ? table_get(s->headers, at, (size_t)(q - at)) : NULL;
    if (header != NULL) {
        link_open(b, header, "");
        html_escape(b, at, (size_t)(q - at));
        buf_text(b, "</a>");
        return (size_t)(q - at);
    }
    size_t len = (size_t)(p - at);
    const struct symbol *symbol = NULL;
    bool name = memchr(at, '_', len) != NULL || (p < end && *p == '(');
    if (name)
        symbol = find_symbol(s, at, len, self);
    bool code = memchr(at, '_', len) != NULL;
    size_t call = code || symbol != NULL ? arguments(p, end) : 0;
    buf_text(b, code || call != 0 ? "<code>" : "");
    if (symbol != NULL)
        link_open(b, symbol->file, symbol->name);
    html_escape(b, at, len);
    buf_text(b, symbol != NULL ? "</a>" : "");
    code_html(b, s, p, call, self);
    buf_text(b, code || call != 0 ? "</code>" : "");
    return len + call;
}

static size_t backquoted(struct buf *b, const struct site *s, const char *at, const char *end,
                         const char *self) {
    const char *close = memchr(at + 1, '`', (size_t)(end - at - 1));
    if (close == NULL || close == at + 1)
        return 0;
    buf_text(b, "<code>");
    code_html(b, s, at + 1, (size_t)(close - at - 1), self);
    buf_text(b, "</code>");
    return (size_t)(close - at) + 1;
}

void prose_html(struct buf *b, const struct site *s, const char *at, size_t len, const char *self) {
    const char *end = at + len;
    while (at < end) {
        size_t n = *at == '`' ? backquoted(b, s, at, end, self) : 0;
        size_t url = *at == 'h' ? url_length(at, end) : 0;
        if (n != 0) {
            at += n;
        } else if (url != 0) {
            buf_text(b, "<a rel=\"noreferrer\" href=\"");
            html_escape(b, at, url);
            buf_text(b, "\">");
            html_escape(b, at, url);
            buf_text(b, "</a>");
            at += url;
        } else if (word_byte(*at)) {
            at += word_html(b, s, at, end, self);
        } else {
            html_escape(b, at++, 1);
        }
    }
}

/* --- lines */

static void split(struct doc *d, struct arena *a, const char *text) {
    size_t n = 1;
    for (const char *p = text; *p != '\0'; p++)
        n += *p == '\n';
    d->lines = arena_alloc(a, n * sizeof *d->lines);
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        struct line *l = &d->lines[d->nlines++];
        *l = (struct line){text, len, 0};
        while (l->indent < len && text[l->indent] == ' ')
            l->indent++;
        text += len + (text[len] == '\n');
    }
}

static const char *const labels[] = {"Traits", "Returns", "Errors", "Order", "Example",
                                     "See",    "From",    "Note",   "Since", "Deprecated"};

/* The label that begins a line, or NULL. */
static const char *label_of(const struct line *l) {
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        size_t n = strlen(labels[i]);
        if (l->len > n && memcmp(l->at, labels[i], n) == 0 && l->at[n] == ':' &&
            (l->len == n + 1 || l->at[n + 1] == ' '))
            return labels[i];
    }
    return NULL;
}

/* The length of "- ", "* " or "12. " at the text of a line; 0: no item of a list. */
static size_t bullet(const struct line *l) {
    const char *p = l->at + l->indent;
    size_t left = l->len - l->indent, n = 0;
    if (left > 2 && (*p == '-' || *p == '*') && p[1] == ' ')
        return 2;
    while (n < left && n < 3 && isdigit((unsigned char)p[n]))
        n++;
    return n != 0 && n + 1 < left && p[n] == '.' && p[n + 1] == ' ' ? n + 2 : 0;
}

static void join_lines(struct buf *b, const struct line *l, size_t n, size_t skip) {
    for (size_t i = 0; i < n; i++) {
        size_t from = i == 0 ? skip : l[i].indent;
        if (from > l[i].len)
            from = l[i].len;
        if (b->len != 0)
            buf_char(b, '\n');
        buf_bytes(b, l[i].at + from, l[i].len - from);
    }
}

static void prose_lines(struct doc *d, const struct line *l, size_t n, size_t skip) {
    struct buf text = {0};
    join_lines(&text, l, n, skip);
    prose_html(d->b, d->site, text.data, text.len, d->self);
    d->b->failed = d->b->failed || text.failed;
    buf_free(&text);
}

/* Lines as they are, less an indentation; names in them are links. */
static void code_lines(struct doc *d, const struct line *l, size_t n, size_t skip, size_t margin) {
    struct buf text = {0};
    for (size_t i = 0; i < n; i++) {
        size_t cut = i == 0 ? skip : l[i].indent < margin ? l[i].indent : margin;
        if (cut < l[i].len)
            buf_bytes(&text, l[i].at + cut, l[i].len - cut);
        buf_char(&text, '\n');
    }
    buf_text(d->b, "<pre><code>");
    code_html(d->b, d->site, text.data, text.len, d->self);
    buf_text(d->b, "</code></pre>\n");
    d->b->failed = d->b->failed || text.failed;
    buf_free(&text);
}

static void table_lines(struct doc *d, const struct line *l, size_t n, size_t margin) {
    struct buf text = {0};
    for (size_t i = 0; i < n; i++) {
        size_t cut = l[i].indent < margin ? l[i].indent : margin;
        buf_bytes(&text, l[i].at + cut, l[i].len - cut);
        buf_char(&text, '\n');
    }
    buf_text(d->b, "<pre>");
    prose_html(d->b, d->site, text.data, text.len, d->self);
    buf_text(d->b, "</pre>\n");
    d->b->failed = d->b->failed || text.failed;
    buf_free(&text);
}

/* --- labelled parts */

static void traits(struct doc *d, const struct line *l, size_t n, size_t skip) {
    struct buf text = {0};
    join_lines(&text, l, n, skip);
    size_t from = 0, depth = 0;
    if (text.len != 0 && text.data[text.len - 1] == '.')
        text.len--;
    for (size_t i = 0; i <= text.len; i++) {
        char c = i < text.len ? text.data[i] : ';';
        depth += c == '(';
        depth -= c == ')' && depth != 0;
        if (i < text.len && (c != ';' || depth != 0))
            continue;
        while (from < i && isspace((unsigned char)text.data[from]))
            from++;
        buf_text(d->b, "<span class=\"trait\">");
        prose_html(d->b, d->site, text.data + from, i - from, d->self);
        buf_text(d->b, "</span> ");
        from = i + 1;
    }
    buf_free(&text);
}

/* How much of the text is names of errors: "EPIPE", "ENOMEM, EAGAIN"; 0 for none. */
static size_t error_names(const char *at, size_t len) {
    size_t n = 0, end = 0;
    for (;;) {
        size_t from = n;
        while (n < len && (isupper((unsigned char)at[n]) || isdigit((unsigned char)at[n])))
            n++;
        if (n < from + 3 || at[from] != 'E')
            return end;
        end = n;
        if (n + 1 >= len || at[n] != ',' || at[n + 1] != ' ')
            return end;
        n += 2;
    }
}

static void error_row(struct doc *d, const struct line *l, size_t n, size_t skip) {
    const char *at = l->at + skip;
    size_t names = error_names(at, l->len - skip), text = names;
    while (skip + text < l->len && (at[text] == ' ' || at[text] == '.'))
        text++;
    buf_text(d->b, "<tr><th>");
    html_escape(d->b, at, names);
    buf_text(d->b, "</th><td>");
    prose_lines(d, l, n, skip + text);
    buf_text(d->b, "</td></tr>\n");
}

static void errors(struct doc *d, const struct line *l, size_t n, size_t skip) {
    if (skip >= l->len || error_names(l->at + skip, l->len - skip) == 0) {
        prose_lines(d, l, n, skip);
        return;
    }
    buf_text(d->b, "<table>\n");
    for (size_t i = 0; i < n;) {
        size_t from = i == 0 ? skip : l[i].indent, rows = 1;
        while (i + rows < n && error_names(l[i + rows].at + l[i + rows].indent,
                                           l[i + rows].len - l[i + rows].indent) == 0)
            rows++;
        error_row(d, l + i, rows, from);
        i += rows;
    }
    buf_text(d->b, "</table>\n");
}

static size_t labelled(struct doc *d, size_t i, const char *label) {
    const struct line *l = &d->lines[i];
    size_t n = 1, skip = strlen(label) + 1;
    while (skip < l->len && l->at[skip] == ' ')
        skip++;
    while (i + n < d->nlines &&
           (l[n].indent >= 2 || (l[n].len == 0 && i + n + 1 < d->nlines && l[n + 1].indent >= 2)))
        n++;
    buf_format(d->b, "<dt class=\"%s\">%s</dt><dd>", label, label);
    if (strcmp(label, "Example") == 0)
        code_lines(d, l, n, skip, skip);
    else if (strcmp(label, "Traits") == 0)
        traits(d, l, n, skip);
    else if (strcmp(label, "Errors") == 0)
        errors(d, l, n, skip);
    else
        prose_lines(d, l, n, skip);
    buf_text(d->b, "</dd>\n");
    return n;
}

/* --- blocks */

static size_t list(struct doc *d, size_t i) {
    size_t margin = d->lines[i].indent;
    buf_text(d->b, "<ul>\n");
    while (i < d->nlines && d->lines[i].indent == margin && bullet(&d->lines[i]) != 0) {
        const struct line *l = &d->lines[i];
        size_t n = 1;
        while (i + n < d->nlines && l[n].len != 0 && l[n].indent > margin)
            n++;
        buf_text(d->b, "<li>");
        prose_lines(d, l, n, margin + bullet(l));
        buf_text(d->b, "</li>\n");
        i += n;
    }
    buf_text(d->b, "</ul>\n");
    return i;
}

static size_t set_in(struct doc *d, size_t i) {
    size_t n = 0, margin = d->lines[i].indent;
    while (i + n < d->nlines &&
           (d->lines[i + n].indent >= 2 || (d->lines[i + n].len == 0 && i + n + 1 < d->nlines &&
                                            d->lines[i + n + 1].indent >= 2))) {
        if (d->lines[i + n].len != 0 && d->lines[i + n].indent < margin)
            margin = d->lines[i + n].indent;
        n++;
    }
    table_lines(d, &d->lines[i], n, margin);
    return i + n;
}

static size_t paragraph(struct doc *d, size_t i) {
    size_t n = 1;
    while (i + n < d->nlines && d->lines[i + n].len != 0 && d->lines[i + n].indent < 2 &&
           label_of(&d->lines[i + n]) == NULL && bullet(&d->lines[i + n]) == 0)
        n++;
    buf_text(d->b, "<p>");
    prose_lines(d, &d->lines[i], n, 0);
    buf_text(d->b, "</p>\n");
    return i + n;
}

static size_t block(struct doc *d, size_t i) {
    const struct line *l = &d->lines[i];
    if (l->len == 0)
        return i + 1;
    if (bullet(l) != 0)
        return list(d, i);
    return l->indent >= 2 ? set_in(d, i) : paragraph(d, i);
}

void doc_html(struct buf *b, const struct site *s, const char *text, const char *self) {
    struct arena scratch = {0};
    struct doc d = {.b = b, .site = s, .self = self};
    bool open = false;
    split(&d, &scratch, text);
    for (size_t i = 0; i < d.nlines;) {
        const char *label = label_of(&d.lines[i]);
        if (open && label == NULL && d.lines[i].len != 0) {
            buf_text(b, "</dl>\n");
            open = false;
        }
        if (label == NULL) {
            i = block(&d, i);
            continue;
        }
        buf_text(b, open ? "" : "<dl class=\"facts\">\n");
        open = true;
        i += labelled(&d, i, label);
    }
    buf_text(b, open ? "</dl>\n" : "");
    arena_free(&scratch);
}
