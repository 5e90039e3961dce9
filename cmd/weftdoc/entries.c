/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entries.c: from tags and comments to the entries of a header's page.
 *
 * ctags says which line declares a name; where its declaration begins and ends, and which comment
 * is its own, is found here, by lines:
 *   - a comment whose last paragraph is a prototype of a name of this file belongs to that name,
 *     wherever it is defined (macros are documented so: the definition says nothing to a reader);
 *   - else the comment right above the declaration is its own, #if lines between them not counted;
 *   - a declaration without comment right below one with, of the same kind, shares that;
 *   - the first other comment is the header's.
 * Not shown: what only C++ sees, include guards, names that begin with an underscore or have
 * "impl_" in them.
 */
#include "model.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *line_at(const struct file *f, unsigned line) {
    return f->lines[line - 1];
}

static const char *line_end(const struct file *f, unsigned line) {
    return f->lines[line] - 1; /* at the newline */
}

/* --- lines that don't count */

static bool directive(const char *p, const char *end, const char *word, const char **rest) {
    while (p < end && isblank((unsigned char)*p))
        p++;
    if (p == end || *p++ != '#')
        return false;
    while (p < end && isblank((unsigned char)*p))
        p++;
    size_t n = strlen(word);
    if ((size_t)(end - p) < n || memcmp(p, word, n) != 0 ||
        (p + n < end && (isalnum((unsigned char)p[n]) || p[n] == '_')))
        return false;
    for (p += n; p < end && isblank((unsigned char)*p);)
        p++;
    *rest = p;
    return true;
}

static bool about_cxx(const char *rest, const char *end) {
    return memmem(rest, (size_t)(end - rest), "__cplusplus", 11) != NULL;
}

#define MAX_DEPTH 64

struct conditions {
    struct {
        bool cxx;      /* this branch is C++'s alone */
        bool opposite; /* the other one is */
    } at[MAX_DEPTH];   /* at[0]: outside of all */
    unsigned depth;
    unsigned beyond; /* how many more there are, which are not looked at */
};

static void open_condition(struct conditions *c, const char *rest, const char *end, bool negative) {
    if (c->depth + 1 == MAX_DEPTH) {
        c->beyond++;
        return;
    }
    bool inside = c->at[c->depth].cxx, about = about_cxx(rest, end);
    negative = negative || (rest < end && *rest == '!');
    c->depth++;
    c->at[c->depth].cxx = inside || (about && !negative);
    c->at[c->depth].opposite = inside || (about && negative);
}

static void close_condition(struct conditions *c) {
    if (c->beyond != 0)
        c->beyond--;
    else if (c->depth != 0)
        c->depth--;
}

/* Takes a line in; true if it is one of #if and its kin. */
static bool is_condition(struct conditions *c, const char *at, const char *end) {
    const char *rest;
    bool negative = directive(at, end, "ifndef", &rest);
    if (negative || directive(at, end, "ifdef", &rest) || directive(at, end, "if", &rest)) {
        open_condition(c, rest, end, negative);
        return true;
    }
    if (directive(at, end, "endif", &rest)) {
        close_condition(c);
        return true;
    }
    if (!directive(at, end, "else", &rest) && !directive(at, end, "elif", &rest))
        return false;
    if (c->beyond == 0 && c->depth != 0)
        c->at[c->depth].cxx = c->at[c->depth].opposite;
    return true;
}

static void hide_lines(struct file *f) {
    struct conditions c = {0};
    for (unsigned i = 1; i <= f->nlines; i++) {
        bool condition = is_condition(&c, line_at(f, i), line_end(f, i));
        f->hidden[i - 1] = condition || c.at[c.depth].cxx;
    }
}

static bool is_private(const char *name) {
    return name[0] == '_' || strcasestr(name, "impl_") != NULL;
}

static bool macro(const struct tag *t) {
    return strcmp(t->kind, "macro") == 0;
}

/* What a macro without parameters stands for is nothing: a guard, or a marker. */
static bool empty_macro(const struct file *f, const struct tag *t) {
    const char *rest, *end = line_end(f, t->line);
    if (!macro(t) || t->signature != NULL || !directive(line_at(f, t->line), end, "define", &rest))
        return false;
    size_t n = strlen(t->name);
    rest += (size_t)(end - rest) < n ? (size_t)(end - rest) : n;
    while (rest < end && isspace((unsigned char)*rest))
        rest++;
    return rest == end;
}

/* --- where a declaration begins and ends */

static bool goes_on(const struct file *f, unsigned line) {
    const char *at = line_at(f, line), *end = line_end(f, line);
    while (end > at && isspace((unsigned char)end[-1]))
        end--;
    while (at < end && isspace((unsigned char)*at))
        at++;
    if (at == end || f->hidden[line - 1] || *at == '#' || strchr(";{}/", end[-1]) != NULL)
        return false;
    const char *p = at; /* a lone word in capitals is a macro: WEFT_BEGIN_DECLS */
    while (p < end && (isupper((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_'))
        p++;
    return p != end;
}

static unsigned first_line(const struct file *f, unsigned line) {
    unsigned first = line;
    while (first > 1 && line - first < 20 && goes_on(f, first - 1))
        first--;
    return first;
}

/* The last line of the declaration that begins in `first` and has `line` in it. */
static unsigned last_line(const struct file *f, unsigned first, unsigned line, bool function,
                          bool *cut) {
    const char *at = line_at(f, first), *end = f->lines[f->nlines];
    struct token t;
    int depth = 0;
    unsigned now = first;
    while (next_token(&at, end, &t)) {
        if (t.kind == TOKEN_OTHER) {
            char c = *t.at;
            depth += (c == '(' || c == '{' || c == '[') - (c == ')' || c == '}' || c == ']');
            if (now >= line && ((c == ';' && depth <= 0) || (c == '{' && depth == 1 && function))) {
                *cut = c == '{';
                return now;
            }
        }
        for (size_t i = 0; i < t.len; i++)
            now += t.at[i] == '\n';
        if (now - first > 2000)
            break;
    }
    return line;
}

static void set_range(const struct file *f, struct entry *e, const struct tag *t, unsigned start) {
    if (macro(t)) {
        e->first = t->line;
        e->last = t->end;
        return;
    }
    e->first = first_line(f, start);
    e->last = last_line(f, e->first, t->line, strcmp(t->kind, "function") == 0, &e->cut);
}

/* --- comments that say what they are about */

static const struct tag *tag_named(const struct tag *tags, size_t n, const struct file *f,
                                   const char *at, size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(tags[i].name) == len && memcmp(tags[i].name, at, len) == 0 &&
            !f->hidden[tags[i].line - 1] && macro(&tags[i]))
            return &tags[i];
    return NULL;
}

/* The name that a prototype declares: the last word outside of parentheses that has one behind it. */
static struct token declared(const char **at, const char *end) {
    struct token t, before = {0}, name = {0};
    int depth = 0;
    while (next_token(at, end, &t)) {
        char c = t.kind == TOKEN_OTHER ? *t.at : '\0';
        if (c == '(' && depth++ == 0 && before.kind == TOKEN_WORD)
            name = before;
        if (c == ')')
            depth--;
        if (c == ';' && depth == 0)
            break;
        before = t;
    }
    return name;
}

static bool looks_declared(const char *at, const char *end) {
    unsigned lines = 1;
    for (const char *p = at; p < end; p++)
        lines += *p == '\n';
    return end > at && lines <= 8 && (end[-1] == ';' || end[-1] == ')') &&
           memchr(at, '(', (size_t)(end - at)) != NULL;
}

static void add_name(struct entry *e, const char *text, unsigned line) {
    for (size_t i = 0; i < e->nnames; i++)
        if (strcmp(e->names[i].text, text) == 0)
            return;
    e->names = grow(e->names, &e->nnames, &e->names_cap, sizeof *e->names);
    e->names[e->nnames - 1] = (struct name){text, line};
}

static struct entry *new_entry(struct file *f, enum entry_kind kind, const char *word) {
    f->entries = grow(f->entries, &f->nentries, &f->entries_cap, sizeof *f->entries);
    struct entry *e = &f->entries[f->nentries - 1];
    e->kind = kind;
    e->word = word;
    return e;
}

static void bind_prototype(struct file *f, struct comment *c, const struct tag *tags, size_t n) {
    const char *end = c->text + strlen(c->text);
    while (end > c->text && end[-1] == '\n')
        end--;
    const char *start = end;
    while (start > c->text && !(start[-1] == '\n' && start > c->text + 1 && start[-2] == '\n'))
        start--;
    if (!looks_declared(start, end))
        return;
    struct entry *e = NULL;
    for (const char *at = start; at < end;) {
        struct token name = declared(&at, end);
        const struct tag *t = name.len == 0 ? NULL : tag_named(tags, n, f, name.at, name.len);
        if (t == NULL || is_private(t->name))
            continue;
        if (e == NULL) {
            e = new_entry(f, ENTRY_MACRO, "macro");
            e->first = t->line;
            e->last = t->end;
        }
        add_name(e, t->name, t->line);
    }
    if (e == NULL)
        return;
    e->doc = c;
    e->prototype = arena_copy(&f->arena, start, (size_t)(end - start));
    c->taken = true;
    c->text = arena_copy(&f->arena, c->text, (size_t)(start - c->text));
}

/* --- entries of the other tags */

static struct entry *entry_named(struct file *f, const char *name) {
    for (size_t i = 0; i < f->nentries; i++)
        for (size_t j = 0; j < f->entries[i].nnames; j++)
            if (strcmp(f->entries[i].names[j].text, name) == 0)
                return &f->entries[i];
    return NULL;
}

static struct comment *comment_above(struct file *f, unsigned first) {
    unsigned line = first - 1;
    while (line > 0 && f->hidden[line - 1])
        line--;
    for (size_t i = 0; i < f->ncomments; i++)
        if (f->comments[i].last == line && !f->comments[i].taken)
            return &f->comments[i];
    return NULL;
}

static bool shares(const struct file *f, const struct entry *e, const struct entry *next) {
    unsigned line = next->first - 1;
    while (line > e->last && f->hidden[line - 1])
        line--;
    bool macros = e->word[0] == 'm' && next->word[0] == 'm';
    return line == e->last && e->prototype == NULL && (e->kind == next->kind || macros) &&
           (e->doc != NULL || next->kind == ENTRY_CONSTANT);
}

static enum entry_kind kind_of(const struct tag *t, const char **word) {
    static const struct {
        const char *tag, *word;
        enum entry_kind kind;
    } kinds[] = {
        {"prototype", "function", ENTRY_FUNCTION},
        {"function", "function", ENTRY_FUNCTION},
        {"struct", "struct", ENTRY_TYPE},
        {"union", "union", ENTRY_TYPE},
        {"enum", "enum", ENTRY_TYPE},
        {"typedef", "type", ENTRY_TYPE},
        {"variable", "variable", ENTRY_VARIABLE},
        {"externvar", "variable", ENTRY_VARIABLE},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(t->kind, kinds[i].tag) == 0) {
            *word = kinds[i].word;
            return kinds[i].kind;
        }
    }
    *word = "macro";
    return t->signature != NULL ? ENTRY_MACRO : ENTRY_CONSTANT;
}

/* A typedef of a struct that has no name of its own begins where that does. */
static unsigned start_of(const struct tag *t, const struct tag *tags, size_t n,
                         const char **scope) {
    const char *type = t->typeref != NULL ? strchr(t->typeref, ':') : NULL;
    if (type == NULL || strncmp(type + 1, "__anon", 6) != 0)
        return t->line;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(tags[i].name, type + 1) == 0 && tags[i].line <= t->line) {
            *scope = tags[i].name;
            return tags[i].line;
        }
    }
    return t->line;
}

static bool wanted(const struct file *f, const struct tag *t) {
    bool inside =
        t->scope != NULL || strcmp(t->kind, "member") == 0 || strcmp(t->kind, "enumerator") == 0;
    return !inside && !f->hidden[t->line - 1] && !is_private(t->name) && !empty_macro(f, t);
}

static void add_entry(struct file *f, const struct tag *t, const struct tag *tags, size_t n,
                      size_t *before) {
    struct entry e = {0};
    e.kind = kind_of(t, &e.word);
    e.scope = t->name;
    set_range(f, &e, t, start_of(t, tags, n, &e.scope));
    struct entry *last = *before < f->nentries ? &f->entries[*before] : NULL;
    if (last != NULL && e.kind == ENTRY_TYPE && t->line <= last->last && t->line >= last->first) {
        add_name(last, t->name, t->line); /* struct a { ... } b; */
        return;
    }
    struct entry *same = entry_named(f, t->name);
    e.doc = comment_above(f, e.first);
    if (same != NULL && (same->doc != NULL || e.doc == NULL))
        return;
    if (e.doc == NULL && last != NULL && shares(f, last, &e)) {
        add_name(last, t->name, t->line);
        last->last = e.last;
        return;
    }
    if (e.doc != NULL)
        e.doc->taken = true;
    struct entry *slot = same != NULL ? same : new_entry(f, e.kind, e.word);
    free(slot->names);
    *slot = e;
    add_name(slot, t->name, t->line);
    *before = (size_t)(slot - f->entries);
}

/* An enum without any name: its entry has the names of its constants. */
static void add_nameless(struct file *f, const struct tag *t, const struct tag *tags, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (tags[i].typeref != NULL && strstr(tags[i].typeref, t->name) != NULL)
            return;
    if (strcmp(t->kind, "enum") != 0 || t->scope != NULL || f->hidden[t->line - 1])
        return;
    struct entry e = {.kind = ENTRY_CONSTANT, .word = "enum"};
    set_range(f, &e, t, t->line);
    for (size_t i = 0; i < n; i++)
        if (tags[i].scope != NULL && strcmp(tags[i].scope, t->name) == 0 &&
            !is_private(tags[i].name))
            add_name(&e, tags[i].name, tags[i].line);
    if (e.nnames == 0)
        return;
    e.doc = comment_above(f, e.first);
    if (e.doc != NULL)
        e.doc->taken = true;
    *new_entry(f, e.kind, e.word) = e;
}

static void add_inner(struct file *f, const struct tag *t) {
    if (t->scope == NULL || is_private(t->name))
        return;
    for (size_t i = 0; i < f->nentries; i++) {
        struct entry *e = &f->entries[i];
        if (e->scope == NULL || strcmp(e->scope, t->scope) != 0 || e->kind != ENTRY_TYPE)
            continue;
        e->inner = grow(e->inner, &e->ninner, &e->inner_cap, sizeof *e->inner);
        e->inner[e->ninner - 1] = (struct name){t->name, t->line};
        return;
    }
}

static unsigned place(const struct entry *e) {
    return e->prototype != NULL ? e->doc->first : e->first;
}

static int by_place(const void *left, const void *right) {
    unsigned a = place(left), b = place(right);
    return (a > b) - (a < b);
}

static int by_line(const void *left, const void *right) {
    const struct tag *a = left, *b = right;
    return a->line != b->line ? (a->line > b->line) - (a->line < b->line)
                              : (a->end < b->end) - (a->end > b->end);
}

static void find_overview(struct file *f) {
    unsigned limit = f->nentries != 0 ? place(&f->entries[0]) : (unsigned)f->nlines + 1;
    for (size_t i = 0; i < f->ncomments; i++) {
        const struct comment *c = &f->comments[i];
        if (c->taken || c->first > limit)
            continue;
        if (strstr(c->text, "SPDX-License-Identifier") == NULL &&
            strstr(c->text, "Copyright") == NULL) {
            f->overview = c;
            return;
        }
    }
}

const char *overview_text(const struct file *f) {
    const char *text = f->overview != NULL ? f->overview->text : "";
    const char *slash = strrchr(f->name, '/');
    const char *base = slash != NULL ? slash + 1 : f->name;
    size_t first = strcspn(text, ": \n"), n = strlen(base);
    if (first < n || strncmp(text + first - n, base, n) != 0 || text[first] != ':')
        return text;
    return text + first + 1 + strspn(text + first + 1, " ");
}

void make_entries(struct site *s, struct file *f) {
    struct tag *tags = f->tags;
    size_t ntags = f->ntags;
    (void)s;
    if (f->kind != FILE_HEADER)
        return;
    hide_lines(f);
    find_comments(f);
    if (ntags != 0)
        qsort(tags, ntags, sizeof *tags, by_line);
    for (size_t i = 0; i < f->ncomments; i++)
        bind_prototype(f, &f->comments[i], tags, ntags);
    size_t before = (size_t)-1;
    for (size_t i = 0; i < ntags; i++) {
        if (strncmp(tags[i].name, "__anon", 6) == 0)
            add_nameless(f, &tags[i], tags, ntags);
        else if (wanted(f, &tags[i]))
            add_entry(f, &tags[i], tags, ntags, &before);
    }
    for (size_t i = 0; i < ntags; i++)
        add_inner(f, &tags[i]);
    if (f->nentries != 0)
        qsort(f->entries, f->nentries, sizeof *f->entries, by_place);
    find_overview(f);
    free(f->tags);
    f->tags = NULL;
    f->title = f->name;
    char *said = first_sentence(&f->arena, overview_text(f), "");
    *said = (char)toupper((unsigned char)*said);
    f->synopsis = said;
}
