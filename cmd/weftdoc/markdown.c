/* SPDX-License-Identifier: Apache-2.0 */
/*
 * markdown.c: Markdown documents, parsed by md4c.
 *
 * md4c calls back for each block, span and piece of text. Its own HTML renderer isn't used: it
 * writes links as they are and knows no anchors. Raw HTML is switched off, so it is text; every
 * text is escaped, and a link is written only if link_target says what it leads to.
 *
 * A document is parsed twice: once for its title, headings and what a search finds, before links
 * between documents can be made, and once for the page.
 */
#include "model.h"

#include <ctype.h>
#include <md4c.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS                                                                                      \
    (MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_PERMISSIVEURLAUTOLINKS | MD_FLAG_NOHTML)

#define MAX_SPANS 64

struct span {
    MD_SPANTYPE type;
    const char *close;
};

struct markdown {
    const struct site *site;
    struct file *file;    /* scan: written to */
    const struct file *f; /* render */
    struct buf *b;        /* NULL: scan */
    struct buf code;      /* a code block or span under way */
    bool c_code;
    struct span spans[MAX_SPANS]; /* that are open */
    size_t nspans;
    size_t heading; /* how many there were */

    /* scan */
    struct buf plain; /* text since the last heading */
    struct buf title; /* a heading's text, while in one */
    bool in_heading;
    const char *open_title, *open_anchor;
};

/* --- anchors */

/* As on code hosting sites, so that links written for those work here. */
static void slug(struct buf *b, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isalnum(c) || c == '-' || c == '_' || c >= 0x80)
            buf_char(b, (char)tolower(c));
        else if (c == ' ')
            buf_char(b, '-');
    }
    if (b->len == 0)
        buf_text(b, "section");
}

static bool anchor_used(const struct file *f, const char *anchor) {
    for (size_t i = 0; i < f->nheadings; i++)
        if (strcmp(f->headings[i].anchor, anchor) == 0)
            return true;
    return false;
}

static const char *new_anchor(struct file *f, const char *text, size_t len) {
    struct buf b = {0};
    slug(&b, text, len);
    const char *plain = arena_take(&f->arena, &b), *anchor = plain;
    for (unsigned n = 1; anchor_used(f, anchor); n++) {
        buf_text(&b, plain);
        buf_format(&b, "-%u", n);
        anchor = arena_take(&f->arena, &b);
    }
    return anchor;
}

/* --- scan */

static void close_section(struct markdown *m) {
    struct file *f = m->file;
    const char *text = arena_take(&f->arena, &m->plain);
    const char *title = m->open_title != NULL ? m->open_title : f->name;
    if (*text != '\0' || m->open_title != NULL)
        add_section(f, m->open_anchor != NULL ? m->open_anchor : "", title, "guide", text, NULL);
}

static void end_heading(struct markdown *m, unsigned level) {
    struct file *f = m->file;
    const char *anchor = new_anchor(f, m->title.data, m->title.len);
    const char *text = arena_take(&f->arena, &m->title);
    if (m->heading != 0 || m->plain.len != 0)
        close_section(m);
    f->headings = grow(f->headings, &f->nheadings, &f->headings_cap, sizeof *f->headings);
    f->headings[f->nheadings - 1] = (struct heading){text, anchor, level};
    if (level == 1 && f->title == NULL)
        f->title = text;
    m->open_title = text;
    m->open_anchor = anchor;
    m->in_heading = false;
    m->heading++;
}

static void scan_text(struct markdown *m, const char *at, size_t len) {
    buf_bytes(m->in_heading ? &m->title : &m->plain, at, len);
}

static void scan_leave_block(struct markdown *m, MD_BLOCKTYPE type, const void *detail) {
    struct file *f = m->file;
    if (type == MD_BLOCK_H) {
        end_heading(m, ((const MD_BLOCK_H_DETAIL *)detail)->level);
        return;
    }
    if (type == MD_BLOCK_P && f->synopsis == NULL) {
        buf_char(&m->plain, '\0');
        if (m->plain.failed)
            no_memory();
        f->synopsis = first_sentence(&f->arena, m->plain.data, "");
        m->plain.len--;
    }
    scan_text(m, " ", 1);
}

/* --- attributes and entities */

static size_t entity_point(const char *at, size_t len) {
    if (len > 3 && at[1] == '#')
        return strtoul(at + (at[2] == 'x' || at[2] == 'X' ? 3 : 2), NULL,
                       at[2] == 'x' || at[2] == 'X' ? 16 : 10);
    return len == 5 && memcmp(at, "&amp;", 5) == 0 ? '&' : 0;
}

/*
 * An attribute as plain text. Named entities but &amp; stay as they are written: a browser must not
 * see "javascript&colon;" as an entity, and won't, once the ampersand is escaped.
 */
static void attribute(struct buf *b, const MD_ATTRIBUTE *a) {
    for (size_t i = 0; a->text != NULL && a->substr_offsets[i] < a->size; i++) {
        const char *at = a->text + a->substr_offsets[i];
        size_t len = a->substr_offsets[i + 1] - a->substr_offsets[i];
        size_t point = a->substr_types[i] == MD_TEXT_ENTITY ? entity_point(at, len) : 0;
        if (point != 0)
            utf8_put(b, point);
        else
            buf_bytes(b, at, len);
    }
}

/* --- spans: md4c has been seen to open one and not to close it; a block's end closes all */

static void push(struct markdown *m, MD_SPANTYPE type, const char *open, const char *close) {
    if (m->nspans == MAX_SPANS)
        return;
    m->spans[m->nspans++] = (struct span){type, close};
    buf_text(m->b, open);
}

static void pop(struct markdown *m) {
    buf_text(m->b, m->spans[--m->nspans].close);
}

static bool in_link(const struct markdown *m) {
    for (size_t i = 0; i < m->nspans; i++)
        if (strcmp(m->spans[i].close, "</a>") == 0)
            return true;
    return false;
}

static void pop_all(struct markdown *m) {
    while (m->nspans != 0)
        pop(m);
}

static void pop_type(struct markdown *m, MD_SPANTYPE type) {
    size_t n = m->nspans;
    while (n != 0 && m->spans[n - 1].type != type)
        n--;
    while (n != 0 && m->nspans >= n)
        pop(m);
}

static void open_link(struct markdown *m, const MD_ATTRIBUTE *href) {
    struct buf written = {0}, target = {0}, tag = {0};
    attribute(&written, href);
    bool leads = !in_link(m) && written.len != 0 &&
                 link_target(&target, m->site, m->f, written.data, written.len);
    if (leads) {
        buf_text(&tag, target.data[0] == '/' ? "<a href=\"" : "<a rel=\"noreferrer\" href=\"");
        html_escape(&tag, target.data, target.len);
        buf_text(&tag, "\">");
        buf_char(&tag, '\0');
    }
    if (written.failed || target.failed || tag.failed)
        no_memory();
    if (leads)
        push(m, MD_SPAN_A, tag.data, "</a>");
    else
        push(m, MD_SPAN_A, "<span class=\"nolink\">", "</span>");
    buf_free(&written);
    buf_free(&target);
    buf_free(&tag);
}

static int enter_span(MD_SPANTYPE type, void *detail, void *data) {
    struct markdown *m = data;
    if (m->b == NULL)
        return 0;
    if (type == MD_SPAN_A)
        open_link(m, &((MD_SPAN_A_DETAIL *)detail)->href);
    else if (type == MD_SPAN_IMG || type == MD_SPAN_EM)
        push(m, type, "<em>", "</em>"); /* pictures aren't served; their text is */
    else if (type == MD_SPAN_STRONG)
        push(m, type, "<strong>", "</strong>");
    else if (type == MD_SPAN_DEL)
        push(m, type, "<del>", "</del>");
    return 0;
}

static void code_span(struct markdown *m) {
    buf_text(m->b, "<code>");
    if (in_link(m))
        html_escape(m->b, m->code.data, m->code.len);
    else
        code_html(m->b, m->site, m->code.data, m->code.len, "");
    buf_text(m->b, "</code>");
    m->code.len = 0;
}

static int leave_span(MD_SPANTYPE type, void *detail, void *data) {
    struct markdown *m = data;
    (void)detail;
    if (m->b == NULL)
        return 0;
    if (type == MD_SPAN_CODE)
        code_span(m);
    else
        pop_type(m, type);
    return 0;
}

/* --- blocks */

static void open_heading(struct markdown *m, unsigned level) {
    const struct heading *h = m->heading < m->f->nheadings ? &m->f->headings[m->heading] : NULL;
    buf_format(m->b, "<h%u id=\"", level);
    html_text(m->b, h != NULL ? h->anchor : "");
    buf_text(m->b, "\">");
}

static void close_heading(struct markdown *m, unsigned level) {
    const struct heading *h = m->heading < m->f->nheadings ? &m->f->headings[m->heading] : NULL;
    if (h != NULL && level > 1) {
        buf_text(m->b, " <a class=\"self\" aria-label=\"Link to this section\" href=\"#");
        html_path(m->b, h->anchor);
        buf_text(m->b, "\">#</a>");
    }
    buf_format(m->b, "</h%u>\n", level);
    m->heading++;
}

static void open_cell(struct markdown *m, const char *name, const MD_BLOCK_TD_DETAIL *detail) {
    buf_format(m->b, "<%s%s>", name,
               detail->align == MD_ALIGN_RIGHT    ? " class=\"right\""
               : detail->align == MD_ALIGN_CENTER ? " class=\"center\""
                                                  : "");
}

static bool is_c(const MD_ATTRIBUTE *lang) {
    static const char *const names[] = {"c", "C", "h", "cpp", "c++"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (lang->size == strlen(names[i]) && memcmp(lang->text, names[i], lang->size) == 0)
            return true;
    return false;
}

static const char *tag_of(MD_BLOCKTYPE type) {
    switch (type) {
    case MD_BLOCK_QUOTE:
        return "blockquote";
    case MD_BLOCK_UL:
        return "ul";
    case MD_BLOCK_LI:
        return "li";
    case MD_BLOCK_P:
        return "p";
    case MD_BLOCK_THEAD:
        return "thead";
    case MD_BLOCK_TBODY:
        return "tbody";
    case MD_BLOCK_TR:
        return "tr";
    default:
        return NULL;
    }
}

static int enter_block(MD_BLOCKTYPE type, void *detail, void *data) {
    struct markdown *m = data;
    if (m->b == NULL) {
        m->in_heading = type == MD_BLOCK_H;
        return 0;
    }
    pop_all(m);
    if (type == MD_BLOCK_H)
        open_heading(m, ((MD_BLOCK_H_DETAIL *)detail)->level);
    else if (type == MD_BLOCK_OL)
        buf_format(m->b, "<ol start=\"%u\">\n", ((MD_BLOCK_OL_DETAIL *)detail)->start);
    else if (type == MD_BLOCK_CODE)
        m->c_code = is_c(&((MD_BLOCK_CODE_DETAIL *)detail)->lang);
    else if (type == MD_BLOCK_HR)
        buf_text(m->b, "<hr>\n");
    else if (type == MD_BLOCK_TABLE)
        buf_text(m->b, "<div class=\"scroll\"><table>\n");
    else if (type == MD_BLOCK_TH || type == MD_BLOCK_TD)
        open_cell(m, type == MD_BLOCK_TH ? "th" : "td", detail);
    else if (tag_of(type) != NULL)
        buf_format(m->b, "<%s>", tag_of(type));
    return 0;
}

static void code_block(struct markdown *m) {
    buf_text(m->b, "<pre><code>");
    if (m->c_code)
        code_html(m->b, m->site, m->code.data, m->code.len, "");
    else
        html_escape(m->b, m->code.data, m->code.len);
    buf_text(m->b, "</code></pre>\n");
    m->code.len = 0;
}

static int leave_block(MD_BLOCKTYPE type, void *detail, void *data) {
    struct markdown *m = data;
    if (m->b == NULL) {
        scan_leave_block(m, type, detail);
        return 0;
    }
    pop_all(m);
    if (type == MD_BLOCK_H)
        close_heading(m, ((MD_BLOCK_H_DETAIL *)detail)->level);
    else if (type == MD_BLOCK_OL)
        buf_text(m->b, "</ol>\n");
    else if (type == MD_BLOCK_CODE)
        code_block(m);
    else if (type == MD_BLOCK_TABLE)
        buf_text(m->b, "</table></div>\n");
    else if (type == MD_BLOCK_TH || type == MD_BLOCK_TD)
        buf_text(m->b, type == MD_BLOCK_TH ? "</th>" : "</td>");
    else if (tag_of(type) != NULL)
        buf_format(m->b, "</%s>\n", tag_of(type));
    return 0;
}

static void entity_html(struct buf *b, const char *at, size_t len) {
    size_t point = len > 3 && at[1] == '#' ? entity_point(at, len) : 0;
    struct buf text = {0};
    if (point != 0) {
        utf8_put(&text, point);
        html_escape(b, text.data, text.len);
        buf_free(&text);
    } else {
        buf_bytes(b, at, len); /* "&name;" and nothing else, says md4c */
    }
}

static int on_text(MD_TEXTTYPE type, const MD_CHAR *at, MD_SIZE len, void *data) {
    struct markdown *m = data;
    struct buf *b = m->b;
    bool space = type == MD_TEXT_BR || type == MD_TEXT_SOFTBR;
    if (b == NULL)
        scan_text(m, space ? " " : at, space ? 1 : len);
    else if (type == MD_TEXT_NULLCHAR)
        utf8_put(b, 0);
    else if (space)
        buf_text(b, type == MD_TEXT_BR ? "<br>\n" : "\n");
    else if (type == MD_TEXT_ENTITY)
        entity_html(b, at, len);
    else if (type == MD_TEXT_CODE)
        buf_bytes(&m->code, at, len);
    else
        html_escape(b, at, len);
    return 0;
}

static void parse(struct markdown *m, const struct file *f) {
    const MD_PARSER parser = {
        .flags = FLAGS,
        .enter_block = enter_block,
        .leave_block = leave_block,
        .enter_span = enter_span,
        .leave_span = leave_span,
        .text = on_text,
    };
    if (md_parse(f->text, (MD_SIZE)f->len, &parser, m) != 0 || m->code.failed || m->plain.failed)
        no_memory();
    buf_free(&m->code);
}

void markdown_scan(struct site *s, struct file *f) {
    struct markdown m = {.site = s, .file = f, .f = f};
    parse(&m, f);
    close_section(&m);
    buf_free(&m.title);
    if (f->title == NULL)
        f->title = f->name;
    if (f->synopsis == NULL)
        f->synopsis = "";
}

void markdown_html(struct buf *b, const struct site *s, const struct file *f) {
    struct markdown m = {.site = s, .f = f, .b = b};
    parse(&m, f);
}
