/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.c: what every page has around its content, and the page that lists all others.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

/* With more files than NAV_ALL a page lists its folder's alone, and of these its neighbours. */
#define NAV_ALL 250
#define NAV_NEAR 50

void file_url(struct buf *b, const struct file *f, const char *anchor) {
    buf_char(b, '/');
    html_path(b, f->path);
    if (*anchor != '\0') {
        buf_char(b, '#');
        html_path(b, anchor);
    }
}

void page_publish(struct page *p, char *path, int status, const char *content_type, struct buf *b) {
    if (b->failed)
        no_memory();
    p->path = path;
    p->status = status;
    p->content_type = content_type;
    p->len = b->len;
    p->body = b->len != 0 ? realloc(b->data, b->len) : b->data;
    if (p->body == NULL)
        p->body = b->data;
    *b = (struct buf){0};
    struct buf tag = {0};
    buf_format(&tag, "\"%016llx-%zx\"", (unsigned long long)bytes_hash(p->body, p->len), p->len);
    if (tag.failed)
        no_memory();
    memcpy(p->etag, tag.data, tag.len);
    p->etag[tag.len] = '\0';
    buf_free(&tag);
}

/* --- navigation */

static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) : 0;
}

static bool same_folder(const char *a, const char *b) {
    size_t n = folder_length(a);
    return n == folder_length(b) && memcmp(a, b, n) == 0;
}

/* The files that may be listed on a page: from, and before to. */
static void nav_range(const struct site *s, const struct file *here, size_t *from, size_t *to) {
    *from = 0;
    *to = s->nfiles;
    if (s->nfiles <= NAV_ALL)
        return;
    *from = here != NULL && here->number > NAV_NEAR ? here->number - NAV_NEAR : 0;
    *to = here == NULL                          ? 0
          : here->number + NAV_NEAR < s->nfiles ? here->number + NAV_NEAR
                                                : s->nfiles;
}

static bool listed(const struct site *s, const struct file *f, const struct file *here,
                   enum file_kind kind) {
    return f->kind == kind && (s->nfiles <= NAV_ALL || same_folder(f->path, here->path));
}

static void nav_group(struct buf *b, const struct site *s, const struct file *here,
                      enum file_kind kind, const char *title) {
    bool unfolded = kind != FILE_MANUAL || (here != NULL && here->kind == kind), any = false;
    size_t from, to;
    nav_range(s, here, &from, &to);
    for (size_t i = from; i < to; i++) {
        const struct file *f = s->files[i];
        if (!listed(s, f, here, kind))
            continue;
        if (!any)
            buf_format(b, "<details%s><summary>%s</summary>\n<ul>\n", unfolded ? " open" : "",
                       title);
        any = true;
        buf_text(b, "<li><a href=\"");
        file_url(b, f, "");
        buf_text(b, f == here ? "\" aria-current=\"page\">" : "\">");
        html_text(b, f->title);
        buf_text(b, "</a></li>\n");
    }
    buf_text(b, any ? "</ul>\n</details>\n" : "");
}

static void nav(struct buf *b, const struct site *s, const struct file *here) {
    buf_text(b, "<input id=\"wd-menu\" type=\"checkbox\" aria-label=\"Show the contents\">\n"
                "<nav class=\"side\" aria-label=\"Contents\">\n");
    nav_group(b, s, here, FILE_HEADER, "Headers");
    nav_group(b, s, here, FILE_MARKDOWN, "Documents");
    nav_group(b, s, here, FILE_MANUAL, "Manual");
    buf_text(b, "<p><a href=\"/\">All pages</a></p>\n</nav>\n");
}

/* --- the frame */

static void asset(struct buf *b, const char *before, const char *name, const char *data,
                  size_t size, const char *after) {
    buf_format(b, "%s/static/%s?v=%08lx%s", before, name,
               (unsigned long)(bytes_hash(data, size) & 0xffffffffu), after);
}

static void head(struct buf *b, const struct site *s, const char *title) {
    buf_text(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    html_text(b, title);
    if (strcmp(title, s->title) != 0) {
        buf_text(b, " \xc2\xb7 ");
        html_text(b, s->title);
    }
    buf_text(b, "</title>\n");
    asset(b, "<link rel=\"icon\" type=\"image/svg+xml\" href=\"", "icon.svg", asset_icon_svg,
          asset_icon_svg_size, "\">\n");
    asset(b, "<link rel=\"stylesheet\" href=\"", "style.css", asset_style_css, asset_style_css_size,
          "\">\n");
    asset(b, "<script defer src=\"", "search.js", asset_search_js, asset_search_js_size,
          "\"></script>\n</head>\n");
}

static void bar(struct buf *b, const struct site *s, const char *query) {
    buf_text(b, "<body>\n<a class=\"skip\" href=\"#wd-main\">Skip to the content</a>\n"
                "<header class=\"bar\">\n"
                "<label class=\"burger\" for=\"wd-menu\" title=\"Contents\"><span></span></label>\n"
                "<a class=\"brand\" href=\"/\">");
    html_text(b, s->title);
    buf_text(b, "</a>\n<form class=\"search\" action=\"/search\" role=\"search\">\n"
                "<input id=\"wd-q\" type=\"search\" name=\"q\" placeholder=\"Search\" "
                "aria-label=\"Search\" autocomplete=\"off\" spellcheck=\"false\" "
                "autocapitalize=\"none\" maxlength=\"200\" value=\"");
    html_text(b, query != NULL ? query : "");
    buf_text(b, "\"><kbd aria-hidden=\"true\">/</kbd>\n</form>\n</header>\n");
}

void page_open(struct buf *b, const struct site *s, const struct file *here, const char *title,
               const char *query) {
    head(b, s, title);
    bar(b, s, query);
    nav(b, s, here);
    buf_text(b, "<main id=\"wd-main\">\n");
}

void page_close(struct buf *b, const struct site *s) {
    (void)s;
    buf_text(b, "</main>\n</body>\n</html>\n");
}

/* --- the list of all pages */

/* A link to a folder leads to the first of its files here. */
static void folder_anchors(struct buf *b, struct table *seen, struct arena *a, const char *path) {
    for (const char *p = path; (p = strchr(p, '/')) != NULL; p++) {
        if (table_get(seen, path, (size_t)(p - path)) != NULL)
            continue;
        const char *folder = arena_copy(a, path, (size_t)(p - path));
        table_put(seen, folder, folder);
        buf_text(b, "<span id=\"dir-");
        html_text(b, folder);
        buf_text(b, "\"></span>");
    }
}

static void index_row(struct buf *b, struct table *seen, struct arena *a, const struct file *f) {
    buf_text(b, "<li>");
    folder_anchors(b, seen, a, f->path);
    buf_text(b, "<a href=\"");
    file_url(b, f, "");
    buf_text(b, "\">");
    html_text(b, f->title);
    buf_text(b, "</a> <span>");
    html_text(b, f->synopsis);
    buf_text(b, "</span></li>\n");
}

static void index_group(struct buf *b, const struct site *s, struct table *seen, struct arena *a,
                        enum file_kind kind, const char *title, const char *class) {
    bool open = false;
    for (size_t i = 0; i < s->nfiles; i++) {
        if (s->files[i]->kind != kind)
            continue;
        if (!open)
            buf_format(b, "<h2>%s</h2>\n<ul class=\"pages %s\">\n", title, class);
        open = true;
        index_row(b, seen, a, s->files[i]);
    }
    buf_text(b, open ? "</ul>\n" : "");
}

/* What the README says first. */
static void lead(struct buf *b, const struct site *s) {
    const struct file *f = table_get(s->paths, "README.md", strlen("README.md"));
    if (f == NULL || *f->synopsis == '\0')
        return;
    buf_text(b, "<p>");
    html_text(b, f->synopsis);
    buf_text(b, ". <a href=\"");
    file_url(b, f, "");
    buf_text(b, "\">Read on</a></p>\n");
}

void index_page(struct buf *b, const struct site *s) {
    struct table *seen = table_new(64);
    struct arena scratch = {0};
    page_open(b, s, NULL, s->title, NULL);
    buf_text(b, "<h1>");
    html_text(b, s->title);
    buf_text(b, "</h1>\n");
    lead(b, s);
    index_group(b, s, seen, &scratch, FILE_HEADER, "Headers", "code");
    index_group(b, s, seen, &scratch, FILE_MARKDOWN, "Documents", "");
    index_group(b, s, seen, &scratch, FILE_MANUAL, "Manual", "code");
    page_close(b, s);
    table_free(seen);
    arena_free(&scratch);
}
