/* SPDX-License-Identifier: Apache-2.0 */
/* site.c: the phases of the build, and the table that answers. See model.h and site.h. */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define MAX_PATH 2048

/* --- one phase: each file once, by as many goroutines as run at a time */

typedef void phase_fn(struct site *, struct file *);

struct phase {
    struct site *site;
    phase_fn *fn;
    weft_chan(struct file *) files;
};

static int work(struct phase *p) {
    struct file *f;
    while (weft_recv(p->files, &f))
        p->fn(p->site, f);
    return errno == EPIPE ? 0 : errno;
}

/* 0 or an errno value: the context has ended. */
static int each_file(struct site *s, phase_fn *fn) {
    struct phase p = {s, fn, weft_chan_make(struct file *, 0)};
    weft_group group = WEFT_GROUP_INIT;
    if (p.files == NULL)
        no_memory();
    for (int i = weft_gomaxprocs(0); i > 0; i--)
        if (weft_group_go(&group, work, &p) != 0)
            no_memory();
    int stopped = 0;
    for (size_t i = 0; stopped == 0 && i < s->nfiles; i++)
        if (!weft_send(p.files, s->files[i]))
            stopped = errno;
    weft_chan_close(p.files);
    int err = weft_group_wait(&group);
    weft_chan_unref(p.files);
    return stopped != 0 ? stopped : err;
}

static void load(struct site *s, struct file *f) {
    load_file(s, f);
    if (f->kind == FILE_MARKDOWN)
        markdown_scan(s, f);
    else if (f->kind == FILE_MANUAL)
        manual_load(s, f);
}

/* --- names of all files */

static void add_symbols(struct site *s, const struct file *f, const struct name *names, size_t n,
                        const struct entry *e) {
    for (size_t i = 0; i < n; i++) {
        struct symbol *symbol = arena_alloc(&s->arena, sizeof *symbol);
        *symbol = (struct symbol){names[i].text, f, e};
        table_put(s->symbols, symbol->name, symbol);
    }
}

/* A name that several headers have is the one that is documented, then the first. */
static void link_names(struct site *s) {
    for (int documented = 1; documented >= 0; documented--) {
        for (size_t i = 0; i < s->nfiles; i++) {
            const struct file *f = s->files[i];
            for (size_t j = 0; j < f->nentries; j++) {
                const struct entry *e = &f->entries[j];
                if ((e->doc != NULL) != documented)
                    continue;
                add_symbols(s, f, e->names, e->nnames, e);
                if (strcmp(e->word, "enum") == 0)
                    add_symbols(s, f, e->inner, e->ninner, e);
            }
        }
    }
    for (size_t i = 0; i < s->nfiles; i++)
        if (s->files[i]->kind == FILE_MANUAL)
            manual_names(s, s->files[i]);
}

/* --- pages that belong to no file */

static struct page *own_page(struct site *s) {
    if (s->nown == s->own_cap)
        abort(); /* pages are pointed to: they must not move */
    return &s->own[s->nown++];
}

static char *site_copy(struct site *s, const char *text) {
    return arena_copy(&s->arena, text, strlen(text));
}

static void asset_page(struct site *s, const char *path, const char *content_type, const char *data,
                       size_t size) {
    struct buf b = {0};
    buf_bytes(&b, data, size);
    page_publish(own_page(s), site_copy(s, path), 200, content_type, &b);
}

static const struct page *message_page(struct site *s, const char *path, int status,
                                       const char *title, const char *text) {
    struct buf b = {0};
    struct page *p = own_page(s);
    page_open(&b, s, NULL, title, NULL);
    buf_text(&b, "<h1>");
    html_text(&b, title);
    buf_text(&b, "</h1>\n<p>");
    buf_text(&b, text);
    buf_text(&b, "</p>\n");
    page_close(&b, s);
    page_publish(p, site_copy(s, path), status, "text/html; charset=utf-8", &b);
    p->etag[0] = '\0';
    return p;
}

static void moved_page(struct site *s, const char *path, struct buf *target) {
    struct page *p = own_page(s);
    p->path = site_copy(s, path);
    p->status = 301;
    p->content_type = "text/html; charset=utf-8";
    p->location = arena_take(&s->arena, target);
}

static void moved_pages(struct site *s) {
    struct buf target = {0};
    buf_text(&target, "/");
    moved_page(s, "/index.html", &target);
    for (size_t i = 0; i < s->nfiles; i++) {
        struct buf path = {0};
        const struct file *f = s->files[i];
        if (f->kind != FILE_MANUAL)
            continue;
        const char *slash = strrchr(f->path, '/');
        buf_text(&path, "/man/");
        buf_text(&path, slash != NULL ? slash + 1 : f->path);
        buf_char(&path, '\0');
        file_url(&target, f, "");
        moved_page(s, path.data, &target);
        buf_free(&path);
    }
}

static void make_own_pages(struct site *s) {
    s->own_cap = s->nfiles + 16;
    s->own = calloc(s->own_cap, sizeof *s->own);
    if (s->own == NULL)
        no_memory();
    struct buf b = {0};
    index_page(&b, s);
    page_publish(own_page(s), site_copy(s, "/"), 200, "text/html; charset=utf-8", &b);
    asset_page(s, "/static/style.css", "text/css; charset=utf-8", asset_style_css,
               asset_style_css_size);
    asset_page(s, "/static/search.js", "text/javascript; charset=utf-8", asset_search_js,
               asset_search_js_size);
    asset_page(s, "/static/icon.svg", "image/svg+xml", asset_icon_svg, asset_icon_svg_size);
    asset_page(s, "/favicon.ico", "image/svg+xml", asset_icon_svg, asset_icon_svg_size);
    moved_pages(s);
}

static void publish(struct site *s, const struct page *pages, size_t n) {
    for (size_t i = 0; i < n; i++) {
        table_put(s->pages, pages[i].path, &pages[i]);
        s->bytes += pages[i].len;
    }
}

static void publish_all(struct site *s) {
    make_own_pages(s);
    publish(s, s->own, s->nown);
    for (size_t i = 0; i < s->nfiles; i++)
        publish(s, s->files[i]->pages, s->files[i]->npages);
    s->not_found = message_page(s, "", 404, "Not found",
                                "There is no such page. The search knows all that are.");
    s->bad_request =
        message_page(s, "", 400, "Bad request", "This is no address that a page could have.");
}

/* --- building */

static int stopped(int err, char *error, size_t error_size) {
    if (err != 0)
        snprintf(error, error_size, "stopped: %s", strerror(err));
    return err != 0 ? -1 : 0;
}

static int build(struct site *s, const struct site_options *o, char *error, size_t size) {
    if (scan_roots(s, o, error, size) != 0 || stopped(each_file(s, load), error, size) != 0 ||
        parse_headers(s, error, size) != 0 || stopped(each_file(s, make_entries), error, size) != 0)
        return -1;
    link_names(s);
    if (stopped(each_file(s, render_file), error, size) != 0 ||
        stopped(index_build(s), error, size) != 0)
        return -1;
    publish_all(s);
    return 0;
}

struct site *site_build(const struct site_options *o, char *error, size_t error_size) {
    struct site *s = calloc(1, sizeof *s);
    if (s == NULL)
        no_memory();
    s->title = site_copy(s, o->title != NULL ? o->title : "weft");
    s->symbols = table_new(0);
    s->headers = table_new(0);
    s->paths = table_new(0);
    s->manuals = table_new(0);
    s->pages = table_new(0);
    if (build(s, o, error, error_size) == 0)
        return s;
    site_free(s);
    return NULL;
}

static void free_entries(struct file *f) {
    for (size_t i = 0; i < f->nentries; i++) {
        free(f->entries[i].names);
        free(f->entries[i].inner);
    }
    free(f->entries);
}

static void free_pages(struct page *pages, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(pages[i].body);
    free(pages);
}

static void free_file(struct file *f) {
    free_entries(f);
    free_pages(f->pages, f->npages);
    free(f->comments);
    free(f->tags);
    free(f->headings);
    free(f->sections);
    arena_free(&f->arena);
    free(f);
}

void site_free(struct site *s) {
    if (s == NULL)
        return;
    index_free(s->index);
    for (size_t i = 0; i < s->nfiles; i++)
        free_file(s->files[i]);
    free(s->files);
    free_pages(s->own, s->nown);
    table_free(s->symbols);
    table_free(s->headers);
    table_free(s->paths);
    table_free(s->manuals);
    table_free(s->pages);
    arena_free(&s->arena);
    free(s);
}

size_t site_pages(const struct site *s) {
    size_t n = s->nown;
    for (size_t i = 0; i < s->nfiles; i++)
        n += s->files[i]->npages;
    return n;
}

size_t site_bytes(const struct site *s) {
    return s->bytes;
}

/* --- answering */

static void give_page(const struct page *p, struct reply *out) {
    *out = (struct reply){
        .status = p->status,
        .content_type = p->content_type,
        .location = p->location,
        .body = p->body,
        .len = p->len,
    };
    memcpy(out->etag, p->etag, sizeof out->etag);
}

void site_answer(const struct site *s, const char *path, const char *query, struct reply *out) {
    char key[MAX_PATH];
    int refused = path_decode(path, key, sizeof key);
    const struct page *p = refused == 0 ? table_get(s->pages, key, strlen(key)) : NULL;
    if (p != NULL)
        give_page(p, out);
    else if (refused == 0 && strcmp(key, "/search") == 0)
        search_page(s, query, out);
    else if (refused == 0 && strcmp(key, "/search.json") == 0)
        search_json(s, query, out);
    else
        give_page(refused == 400 ? s->bad_request : s->not_found, out);
}

void reply_free(struct reply *r) {
    if (r->owned)
        free(r->body);
    *r = (struct reply){0};
}
