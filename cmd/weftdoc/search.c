/* SPDX-License-Identifier: Apache-2.0 */
/* search.c: what a search answers, as a page and as JSON. */
#include "index.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PAGE_HITS 60
#define JSON_HITS 12
#define SNIPPET 180

struct words {
    char text[MAX_WORDS][MAX_QUERY + 1];
    size_t len[MAX_WORDS];
    size_t n;
};

static void split_query(struct words *w, const char *query) {
    const char *word;
    size_t len;
    for (w->n = 0; w->n < MAX_WORDS && next_word(&query, &word, &len); w->n++) {
        w->len[w->n] = len < MAX_QUERY ? len : MAX_QUERY;
        lower_copy(w->text[w->n], word, w->len[w->n]);
    }
}

/* The length of the word of the query that is at `at`, or 0. */
static size_t matches(const struct words *w, const char *at) {
    size_t best = 0;
    for (size_t i = 0; i < w->n; i++)
        if (w->len[i] > best && strncasecmp(at, w->text[i], w->len[i]) == 0)
            best = w->len[i];
    return best;
}

static bool starts_word(const char *text, const char *at) {
    return at == text || !isalnum((unsigned char)at[-1]);
}

/* Where the text speaks of it: around the first word found; else its beginning. */
static void snippet(const struct words *w, const char *text, const char **from, size_t *len) {
    const char *at = text;
    while (*at != '\0' && !(starts_word(text, at) && matches(w, at) != 0))
        at++;
    if (*at == '\0')
        at = text;
    *from = at - text < 60 ? text : at - 50;
    while (*from > text && *from < at && **from != ' ' && **from != '\n')
        ++*from;
    while (isspace((unsigned char)**from))
        ++*from;
    *len = strnlen(*from, SNIPPET);
    if ((*from)[*len] != '\0')
        while (*len > 0 && !isspace((unsigned char)(*from)[*len - 1]))
            --*len;
    if (*len == 0) { /* one endless word: cut between characters */
        *len = strnlen(*from, SNIPPET);
        while (*len > 0 && !utf8_valid(*from, *len))
            --*len;
    }
}

static void marked(struct buf *b, const struct words *w, const char *text, size_t len) {
    const char *end = text + len, *plain = text;
    for (const char *p = text; p < end;) {
        size_t n = starts_word(text, p) ? matches(w, p) : 0;
        if (n == 0 || n > (size_t)(end - p)) {
            p++;
            continue;
        }
        html_escape(b, plain, (size_t)(p - plain));
        buf_text(b, "<mark>");
        html_escape(b, p, n);
        buf_text(b, "</mark>");
        p += n;
        plain = p;
    }
    html_escape(b, plain, (size_t)(end - plain));
}

static void hit_url(struct buf *b, const struct hit *h) {
    bool own = h->section->entry != NULL;
    file_url(b, h->section->file, own ? h->title : h->section->anchor);
}

static void hit_html(struct buf *b, const struct words *w, const struct hit *h) {
    const char *from;
    size_t len;
    buf_text(b, "<li><a href=\"");
    hit_url(b, h);
    buf_text(b, "\">");
    html_text(b, h->title);
    buf_format(b, "</a> <span class=\"kind\">%s</span> <span class=\"where\">", h->section->kind);
    html_text(b, h->section->file->path);
    buf_text(b, "</span><p>");
    snippet(w, h->section->text, &from, &len);
    buf_text(b, from != h->section->text ? "\xe2\x80\xa6 " : "");
    marked(b, w, from, len);
    buf_text(b, from[len] != '\0' ? "\xe2\x80\xa6</p></li>\n" : "</p></li>\n");
}

static void hits_html(struct buf *b, const struct words *w, const char *query,
                      const struct hit *hits, size_t n) {
    if (n == 0) {
        buf_text(b, "<p>Nothing was found for <q>");
        html_text(b, query);
        buf_text(b, "</q>. A search wants all of its words; parts of names will do.</p>\n");
        return;
    }
    buf_format(b, "<p class=\"count\">%zu%s %s</p>\n<ol class=\"hits\">\n", n,
               n == PAGE_HITS ? " best" : "", n == 1 ? "result" : "results");
    for (size_t i = 0; i < n; i++)
        hit_html(b, w, &hits[i]);
    buf_text(b, "</ol>\n");
}

static void give(struct reply *r, struct buf *b, const char *content_type) {
    *r = (struct reply){.status = 200, .content_type = content_type, .owned = true};
    if (b->failed) {
        buf_free(b);
        r->status = 500;
        r->content_type = "text/plain; charset=utf-8";
        return;
    }
    r->body = b->data;
    r->len = b->len;
}

/* The parameter q, not longer than what is looked at. */
static void read_query(const char *query, struct buf *q) {
    query_value(query, "q", q);
    while (q->len > MAX_QUERY || (q->len != 0 && !utf8_valid(q->data, q->len)))
        q->len--;
    for (size_t i = 0; i < q->len; i++)
        if (isspace((unsigned char)q->data[i]))
            q->data[i] = ' ';
    buf_char(q, '\0');
}

void search_page(const struct site *s, const char *query, struct reply *out) {
    struct hit hits[PAGE_HITS];
    struct words words;
    struct buf q = {0}, b = {0};
    read_query(query, &q);
    const char *text = q.failed ? "" : q.data;
    split_query(&words, text);
    size_t n = search(s, text, hits, PAGE_HITS);
    page_open(&b, s, NULL, *text != '\0' ? text : "Search", text);
    buf_text(&b, "<h1>Search</h1>\n");
    if (n == (size_t)-1 || q.failed)
        b.failed = true;
    else if (words.n != 0)
        hits_html(&b, &words, text, hits, n);
    else
        buf_text(&b, "<p>Names, parts of names, words of the documents: what is written in the "
                     "field above is searched for in all pages.</p>\n");
    page_close(&b, s);
    buf_free(&q);
    give(out, &b, "text/html; charset=utf-8");
}

static json_t *hit_json(const struct words *w, const struct hit *h) {
    struct buf url = {0};
    const char *from;
    size_t len;
    hit_url(&url, h);
    snippet(w, h->section->text, &from, &len);
    json_t *object =
        json_pack("{s:s, s:s, s:s%, s:s, s:s%}", "title", h->title, "kind", h->section->kind, "url",
                  url.data, url.len, "where", h->section->file->path, "text", from, len);
    buf_free(&url);
    return object;
}

/* jansson calls this with each piece of its output. */
static int take_piece(const char *at, size_t len, void *into) {
    buf_bytes(into, at, len);
    return 0;
}

void search_json(const struct site *s, const char *query, struct reply *out) {
    struct hit hits[JSON_HITS];
    struct words words;
    struct buf q = {0}, b = {0};
    read_query(query, &q);
    const char *text = q.failed ? "" : q.data;
    split_query(&words, text);
    size_t n = search(s, text, hits, JSON_HITS);
    json_t *results = json_array();
    for (size_t i = 0; n != (size_t)-1 && i < n; i++)
        if (json_array_append_new(results, hit_json(&words, &hits[i])) != 0)
            b.failed = true;
    json_t *object = json_pack("{s:s, s:o}", "query", text, "results", results);
    if (n == (size_t)-1 || q.failed || object == NULL ||
        json_dump_callback(object, take_piece, &b, JSON_COMPACT) != 0)
        b.failed = true;
    json_decref(object);
    buf_free(&q);
    give(out, &b, "application/json; charset=utf-8");
}
