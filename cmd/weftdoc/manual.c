/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manual.c: manual pages, as mandoc(1) renders them; without mandoc their source is shown.
 *
 * mandoc escapes text and writes few elements, but a page may carry links and styles of its own
 * choice, so each tag is read again and written anew with the attributes that are known: class, id,
 * and a href that leads to another page here or is an ordinary URL. Headings go down one level: the
 * page has a title of its own.
 */
#include "model.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "weft_chan.3" -> "weft_chan(3)" */
static const char *title_of(struct file *f) {
    struct buf b = {0};
    const char *slash = strrchr(f->path, '/');
    const char *base = slash != NULL ? slash + 1 : f->path;
    const char *dot = strrchr(base, '.');
    buf_bytes(&b, base, (size_t)(dot - base));
    buf_char(&b, '(');
    buf_text(&b, dot + 1);
    buf_char(&b, ')');
    return arena_take(&f->arena, &b);
}

/* --- text of HTML */

static const char *entity_text(struct buf *b, const char *p) {
    static const char *const names[] = {"&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", "\""};
    const char *semicolon = strchr(p, ';');
    if (semicolon == NULL || semicolon - p > 10) {
        buf_char(b, *p);
        return p + 1;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i += 2) {
        if (strncmp(p, names[i], strlen(names[i])) == 0) {
            buf_text(b, names[i + 1]);
            return semicolon + 1;
        }
    }
    if (p[1] == '#')
        utf8_put(b, strtoul(p + (p[2] == 'x' ? 3 : 2), NULL, p[2] == 'x' ? 16 : 10));
    return semicolon + 1;
}

/* A piece of HTML without its tags, blanks run together. */
static const char *plain_text(struct file *f, const char *at, const char *end) {
    struct buf b = {0};
    while (at < end) {
        if (*at == '<') {
            const char *close = memchr(at, '>', (size_t)(end - at));
            at = close != NULL ? close + 1 : end;
        } else if (*at == '&') {
            at = entity_text(&b, at);
        } else if (isspace((unsigned char)*at)) {
            if (b.len != 0 && b.data[b.len - 1] != ' ')
                buf_char(&b, ' ');
            at++;
        } else {
            buf_char(&b, *at++);
        }
    }
    return arena_take(&f->arena, &b);
}

/* --- loading */

static const char SECTION[] = "<h1 class=\"Sh\"";

static const char *id_of(struct file *f, const char *tag) {
    const char *id = strstr(tag, " id=\""), *close = strchr(tag, '>');
    if (id == NULL || close == NULL || id > close)
        return "";
    return arena_copy(&f->arena, id + 5, strcspn(id + 5, "\""));
}

static void one_section(struct file *f, const char *from, const char *to) {
    const char *title_end = strstr(from, "</h1>");
    if (title_end == NULL || title_end > to)
        return;
    const char *head = plain_text(f, from, title_end);
    const char *text = plain_text(f, title_end, to);
    bool name = strcmp(head, "NAME") == 0;
    struct buf title = {0};
    buf_text(&title, f->title);
    if (!name) {
        buf_text(&title, " ");
        buf_text(&title, head);
    }
    const char *dash = strstr(text, "\xe2\x80\x94");
    if (name && dash != NULL) {
        const char *what = dash + 3 + strspn(dash + 3, " ");
        size_t len = strlen(what);
        while (len != 0 && what[len - 1] == ' ')
            len--;
        char *said = arena_copy(&f->arena, what, len);
        *said = (char)toupper((unsigned char)*said);
        f->synopsis = said;
    }
    const char *anchor = name ? "" : id_of(f, from);
    add_section(f, anchor, arena_take(&f->arena, &title), "manual", text, NULL)->quiet = !name;
}

void manual_load(struct site *s, struct file *f) {
    (void)s;
    f->name = f->title = title_of(f);
    f->synopsis = "";
    const char *argv[] = {"mandoc", "-T", "html", "-O", "fragment,man=/man/%N.%S", f->disk, NULL};
    struct buf raw = {0}, clean = {0};
    if (run_program(argv, &raw) >= 0 && raw.len != 0) {
        utf8_sanitize(&clean, raw.data, raw.len);
        f->html = arena_take(&f->arena, &clean);
    }
    buf_free(&raw);
    const char *from = f->html != NULL ? strstr(f->html, SECTION) : NULL;
    if (from == NULL)
        add_section(f, "", f->title, "manual", f->text, NULL);
    while (from != NULL) {
        const char *next = strstr(from + 1, SECTION);
        one_section(f, from, next != NULL ? next : from + strlen(from));
        from = next;
    }
}

/* A page is found under each name that its NAME section lists. */
void manual_names(struct site *s, const struct file *f) {
    const char *dot = strrchr(f->disk, '.');
    const char *slash = strrchr(f->path, '/');
    table_put(s->manuals, slash != NULL ? slash + 1 : f->path, f);
    if (f->html == NULL || f->nsections == 0)
        return;
    const char *p = f->sections[0].text, *dash = strstr(p, "\xe2\x80\x94");
    while (dash != NULL && p < dash) {
        size_t n = strcspn(p, ", \xe2");
        struct buf key = {0};
        buf_bytes(&key, p, n);
        buf_text(&key, dot);
        if (n != 0)
            table_put(s->manuals, arena_take(&s->arena, &key), f);
        buf_free(&key);
        p += n;
        p += strspn(p, ", ");
        if ((unsigned char)*p == 0xe2)
            break;
    }
}

/* --- the page */

static bool attribute(const char *tag, const char *end, const char *name, const char **at,
                      size_t *len) {
    size_t n = strlen(name);
    for (const char *p = tag; p + n + 3 < end; p++) {
        if (*p != ' ' || strncmp(p + 1, name, n) != 0 || p[n + 1] != '=' || p[n + 2] != '"')
            continue;
        *at = p + n + 3;
        const char *close = memchr(*at, '"', (size_t)(end - *at));
        if (close == NULL)
            return false;
        *len = (size_t)(close - *at);
        return true;
    }
    return false;
}

/* The values come from mandoc, escaped for an attribute already. */
static void copy_attribute(struct buf *b, const char *tag, const char *end, const char *name) {
    const char *at;
    size_t len;
    if (!attribute(tag, end, name, &at, &len) || memchr(at, '<', len) != NULL)
        return;
    buf_format(b, " %s=\"", name);
    buf_bytes(b, at, len);
    buf_char(b, '"');
}

static void copy_href(struct buf *b, const struct site *s, const struct file *f, const char *tag,
                      const char *end) {
    struct buf plain = {0}, target = {0};
    const char *at;
    size_t len;
    if (!attribute(tag, end, "href", &at, &len))
        return;
    for (const char *p = at; p < at + len;) {
        if (*p == '&')
            p = entity_text(&plain, p);
        else
            buf_char(&plain, *p++);
    }
    const struct file *page = NULL;
    if (plain.len > 5 && memcmp(plain.data, "/man/", 5) == 0)
        page = table_get(s->manuals, plain.data + 5, plain.len - 5);
    if (page != NULL) {
        buf_text(b, " href=\"");
        file_url(b, page, "");
        buf_char(b, '"');
    } else if (plain.len != 0 && link_target(&target, s, f, plain.data, plain.len)) {
        buf_text(b, " href=\"");
        html_escape(b, target.data, target.len);
        buf_char(b, '"');
    }
    buf_free(&plain);
    buf_free(&target);
}

static void copy_tag(struct buf *b, const struct site *s, const struct file *f, const char *tag,
                     const char *end) {
    const char *name = tag + (tag[1] == '/' ? 2 : 1), *stop = name;
    while (stop < end && isalnum((unsigned char)*stop))
        stop++;
    if (stop == name)
        return;
    buf_text(b, tag[1] == '/' ? "</" : "<");
    if (stop - name == 2 && name[0] == 'h' && isdigit((unsigned char)name[1]))
        buf_format(b, "h%c", name[1] < '6' ? name[1] + 1 : name[1]);
    else
        buf_bytes(b, name, (size_t)(stop - name));
    if (tag[1] != '/') {
        copy_attribute(b, tag, end, "class");
        copy_attribute(b, tag, end, "id");
        copy_href(b, s, f, tag, end);
    }
    buf_char(b, '>');
}

/* `<code class="Fn">NAME</code>` and the like, outside of a link: NAME is one, if known. */
static const char *known_code(struct buf *b, const struct site *s, const char *after,
                              bool in_link) {
    size_t n = strcspn(after, "<&");
    const struct symbol *symbol = in_link ? NULL : table_get(s->symbols, after, n);
    if (symbol == NULL || strncmp(after + n, "</code>", 7) != 0)
        return after;
    buf_text(b, "<a href=\"");
    file_url(b, symbol->file, symbol->name);
    buf_text(b, "\">");
    buf_bytes(b, after, n);
    buf_text(b, "</a>");
    return after + n;
}

/* The lines above and below a page say what its title says. */
static bool is_frame(const char *tag) {
    return strncmp(tag, "<table class=\"head\"", 19) == 0 ||
           strncmp(tag, "<table class=\"foot\"", 19) == 0;
}

static void filter(struct buf *b, const struct site *s, const struct file *f) {
    bool in_link = false;
    for (const char *p = f->html; *p != '\0';) {
        size_t text = strcspn(p, "<");
        buf_bytes(b, p, text);
        p += text;
        const char *end = *p != '\0' ? strchr(p, '>') : NULL;
        if (end == NULL)
            return;
        if (is_frame(p)) {
            const char *close = strstr(p, "</table>");
            p = close != NULL ? close + 8 : p + strlen(p);
            continue;
        }
        copy_tag(b, s, f, p, end);
        if (strncmp(p, "<a ", 3) == 0)
            in_link = true;
        else if (strncmp(p, "</a>", 4) == 0)
            in_link = false;
        bool code = strncmp(p, "<code ", 6) == 0;
        p = code ? known_code(b, s, end + 1, in_link) : end + 1;
    }
}

void manual_html(struct buf *b, const struct site *s, const struct file *f) {
    buf_text(b, "<h1>");
    html_text(b, f->title);
    buf_text(b, "</h1>\n");
    if (f->html != NULL) {
        buf_text(b, "<div class=\"manual\">\n");
        filter(b, s, f);
        buf_text(b, "</div>\n");
        return;
    }
    buf_text(b, "<p>Shown as its source: mandoc was not there to render it.</p>\n<pre><code>");
    html_escape(b, f->text, f->len);
    buf_text(b, "</code></pre>\n");
}
