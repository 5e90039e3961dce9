/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_page.c: the pages of a file: a header's reference, a document, and the source of both.
 */
#include "model.h"

#include <ctype.h>
#include <string.h>

static void source_link(struct buf *b, const struct file *f, unsigned line) {
    buf_text(b, "<a href=\"/src/");
    html_path(b, f->path);
    if (line != 0)
        buf_format(b, "#L%u", line);
    buf_text(b, "\">source</a>");
}

static void manual_link(struct buf *b, const struct site *s, const struct entry *e) {
    struct buf key = {0};
    buf_text(&key, e->names[0].text);
    buf_text(&key, ".3");
    const struct file *page = key.failed ? NULL : table_get(s->manuals, key.data, key.len);
    buf_free(&key);
    if (page == NULL)
        return;
    buf_text(b, "<a href=\"");
    file_url(b, page, "");
    buf_text(b, "\">manual</a> ");
}

/* --- a header's list of what is in it */

static bool in_group(const struct entry *e, int group) {
    bool constant = e->kind == ENTRY_CONSTANT || e->kind == ENTRY_VARIABLE;
    return group == (constant ? 2 : e->kind == ENTRY_TYPE ? 1 : 0);
}

static void index_entry(struct buf *b, const struct site *s, struct file *f,
                        const struct entry *e) {
    const char *text = "";
    if (e->doc != NULL)
        text = first_sentence(&f->arena, e->doc->text, e->names[0].text);
    buf_text(b, "<dt>");
    for (size_t i = 0; i < e->nnames; i++) {
        buf_text(b, i == 0 ? "<a href=\"#" : ", <a href=\"#");
        html_path(b, e->names[i].text);
        buf_text(b, "\">");
        html_text(b, e->names[i].text);
        buf_text(b, "</a>");
    }
    buf_text(b, "</dt><dd>");
    prose_html(b, s, text, strlen(text), e->names[0].text);
    buf_text(b, "</dd>\n");
}

static void contents(struct buf *b, const struct site *s, struct file *f) {
    static const char *const titles[] = {"Functions", "Types", "Constants"};
    if (f->nentries == 0)
        return;
    for (int group = 0; group < 3; group++) {
        bool open = false;
        for (size_t i = 0; i < f->nentries; i++) {
            if (!in_group(&f->entries[i], group))
                continue;
            if (!open)
                buf_format(b, "<h2 class=\"small\">%s</h2>\n<dl class=\"index\">\n", titles[group]);
            open = true;
            index_entry(b, s, f, &f->entries[i]);
        }
        buf_text(b, open ? "</dl>\n" : "");
    }
}

static void toc_open(struct buf *b) {
    buf_text(b,
             "<aside class=\"toc\"><nav aria-label=\"On this page\">\n<p>On this page</p>\n<ul>\n");
}

static void toc_row(struct buf *b, const char *anchor, const char *text, unsigned level) {
    buf_format(b, "<li class=\"n%u\"><a href=\"#", level);
    html_path(b, anchor);
    buf_text(b, "\">");
    html_text(b, text);
    buf_text(b, "</a></li>\n");
}

static void toc_close(struct buf *b) {
    buf_text(b, "</ul>\n</nav></aside>\n");
}

/* --- entries */

static void entry_heading(struct buf *b, const struct site *s, const struct file *f,
                          const struct entry *e) {
    buf_text(b, "<h3>");
    for (size_t i = 0; i < e->nnames; i++) {
        buf_text(b, i == 0 ? "" : ", ");
        buf_text(b, "<a class=\"name\" id=\"");
        html_text(b, e->names[i].text);
        buf_text(b, "\" href=\"#");
        html_path(b, e->names[i].text);
        buf_text(b, "\">");
        html_text(b, e->names[i].text);
        buf_text(b, "</a>");
    }
    for (size_t i = 0; i < e->ninner && strcmp(e->word, "enum") == 0; i++) {
        buf_text(b, "<span id=\"");
        html_text(b, e->inner[i].text);
        buf_text(b, "\"></span>");
    }
    buf_format(b, " <span class=\"kind\">%s</span><span class=\"links\">", e->word);
    manual_link(b, s, e);
    source_link(b, f, e->first);
    buf_text(b, "</span></h3>\n");
}

static void entry_html(struct buf *b, const struct site *s, const struct file *f,
                       const struct entry *e) {
    struct buf declaration = {0};
    buf_text(b, "<section class=\"entry\">\n");
    entry_heading(b, s, f, e);
    entry_declaration(&declaration, f, e);
    buf_text(b, "<pre class=\"decl\"><code>");
    code_html(b, s, declaration.data, declaration.len, e->names[0].text);
    buf_text(b, "</code></pre>\n");
    b->failed = b->failed || declaration.failed;
    buf_free(&declaration);
    if (e->doc != NULL)
        doc_html(b, s, e->doc->text, e->names[0].text);
    buf_text(b, "</section>\n");
}

/* "weft/chan.h: typed channels." as a sentence of its own. */
static void overview(struct buf *b, const struct site *s, struct file *f) {
    if (f->overview == NULL)
        return;
    const char *text = overview_text(f);
    char *copy = arena_copy(&f->arena, text, strlen(text));
    copy[0] = (char)toupper((unsigned char)copy[0]);
    doc_html(b, s, copy, "");
}

static void header_html(struct buf *b, const struct site *s, struct file *f) {
    buf_text(b, "<article>\n<h1>");
    html_text(b, f->name);
    buf_text(b, "<span class=\"links\">");
    source_link(b, f, 0);
    buf_text(b,
             "</span></h1>\n<pre class=\"include\"><code><span class=\"k\">#include</span> &lt;");
    html_text(b, f->name);
    buf_text(b, "&gt;</code></pre>\n");
    overview(b, s, f);
    contents(b, s, f);
    for (size_t i = 0; i < f->nentries; i++)
        entry_html(b, s, f, &f->entries[i]);
    buf_text(b, "</article>\n");
    if (f->nentries < 2)
        return;
    toc_open(b);
    for (size_t i = 0; i < f->nentries; i++)
        toc_row(b, f->entries[i].names[0].text, f->entries[i].names[0].text, 3);
    toc_close(b);
}

static void header_sections(struct file *f) {
    struct buf text = {0};
    add_section(f, "", f->name, "header", f->overview != NULL ? f->overview->text : "", NULL);
    for (size_t i = 0; i < f->nentries; i++) {
        const struct entry *e = &f->entries[i];
        buf_text(&text, e->doc != NULL ? e->doc->text : "");
        entry_declaration(&text, f, e);
        add_section(f, e->names[0].text, e->names[0].text, e->word, arena_take(&f->arena, &text),
                    e);
    }
}

/* --- documents */

static void document_toc(struct buf *b, const struct file *f) {
    if (f->nheadings < 3)
        return;
    toc_open(b);
    for (size_t i = 0; i < f->nheadings; i++)
        if (f->headings[i].level == 2 || f->headings[i].level == 3)
            toc_row(b, f->headings[i].anchor, f->headings[i].text, f->headings[i].level);
    toc_close(b);
}

static void document_html(struct buf *b, const struct site *s, const struct file *f) {
    buf_text(b, "<article class=\"prose\">\n");
    if (f->kind == FILE_MARKDOWN)
        markdown_html(b, s, f);
    else
        manual_html(b, s, f);
    buf_text(b, "<p class=\"foot\">");
    source_link(b, f, 0);
    buf_text(b, "</p>\n</article>\n");
    document_toc(b, f);
}

/* --- pages */

static void add_page(struct file *f, const char *prefix, struct buf *body) {
    struct buf path = {0};
    buf_text(&path, prefix);
    buf_text(&path, f->path);
    f->pages = grow(f->pages, &f->npages, &f->pages_cap, sizeof *f->pages);
    page_publish(&f->pages[f->npages - 1], arena_take(&f->arena, &path), 200,
                 "text/html; charset=utf-8", body);
}

static void source_page(const struct site *s, struct file *f) {
    struct buf b = {0};
    page_open(&b, s, f, f->path, NULL);
    buf_text(&b, "<article class=\"source\">\n<h1>");
    html_text(&b, f->path);
    buf_text(&b, "<span class=\"links\"><a href=\"");
    file_url(&b, f, "");
    buf_text(&b, "\">documentation</a></span></h1>\n<pre class=\"lines\"><code>");
    source_html(&b, s, f);
    buf_text(&b, "</code></pre>\n</article>\n");
    page_close(&b, s);
    add_page(f, "/src/", &b);
}

void render_file(struct site *s, struct file *f) {
    struct buf b = {0};
    page_open(&b, s, f, f->title, NULL);
    if (f->kind == FILE_HEADER) {
        header_html(&b, s, f);
        header_sections(f);
    } else {
        document_html(&b, s, f);
    }
    page_close(&b, s);
    add_page(f, "/", &b);
    source_page(s, f);
}
