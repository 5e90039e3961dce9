/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h: what is known about the files that are shown; shared by the parts of the site.
 *
 * The build goes through phases, and within a phase each file is worked on by one goroutine:
 *   scan     the folders are walked; files are known by path          (site->files)
 *   load     text, lines, titles; documents' headings and sections; then headers' entries
 *   link     one goroutine: names of all files into one table         (site->symbols)
 *   render   pages, and the headers' sections                         (file->pages)
 *   publish  one goroutine: the table of pages, the index
 * A phase reads what earlier ones wrote, of any file, and writes only its own file. The end of a
 * phase is a weft_group_wait, which orders it all.
 *
 * Memory belongs to the file's arena, or the site's, and goes with it. The build ends the program
 * when there is no memory: it has nothing to serve yet. (Rejected: carrying the error through each
 * of some hundred calls, for a case nobody could act upon.)
 */
#ifndef WEFTDOC_MODEL_H
#define WEFTDOC_MODEL_H

#include "html.h"
#include "site.h"

#include <stdint.h>

/* --- memory */

struct arena {
    struct arena_block *blocks;
    size_t left;
};

void *arena_alloc(struct arena *, size_t size);               /* zeroed */
char *arena_copy(struct arena *, const char *at, size_t len); /* with a NUL behind it */
char *arena_take(struct arena *, struct buf *); /* a copy of the text; the buffer is freed */
void arena_free(struct arena *);
/* Room for one more in an array of malloc's; count is raised. */
void *grow(void *array, size_t *count, size_t *cap, size_t size);
_Noreturn void no_memory(void);

/* --- a file and what is in it */

enum file_kind { FILE_HEADER, FILE_MARKDOWN, FILE_MANUAL };

/* A comment that begins a line, without its decoration. */
struct comment {
    unsigned first, last;  /* lines, from 1 */
    char *text;            /* lines ended by newlines */
    const char *prototype; /* its last paragraph, if that is a prototype; cut from text */
    bool taken;
};

enum entry_kind { ENTRY_FUNCTION, ENTRY_MACRO, ENTRY_CONSTANT, ENTRY_TYPE, ENTRY_VARIABLE };

struct name {
    const char *text;
    unsigned line;
};

/* What has a heading on a header's page: a symbol, or several under one comment. */
struct entry {
    enum entry_kind kind;
    const char *word; /* "function", "macro", "struct"... */
    struct name *names;
    size_t nnames, names_cap;
    const char *scope;  /* what ctags calls the type, to whom members belong */
    struct name *inner; /* enumerators and members */
    size_t ninner, inner_cap;
    unsigned first, last;  /* lines of the declaration */
    bool cut;              /* a function with a body, which is not shown */
    struct comment *doc;   /* or NULL */
    const char *prototype; /* what is shown in place of the source; or NULL */
};

/* A name that ctags found. */
struct tag {
    const char *name, *kind, *scope, *typeref, *signature;
    unsigned line, end;
};

struct heading {
    const char *text, *anchor;
    unsigned level;
};

/* What a search finds: a piece of a page with an anchor. */
struct section {
    const struct file *file;
    const char *anchor; /* "" for the page itself */
    const char *title;
    const char *kind;
    const char *text;          /* plain */
    const struct entry *entry; /* or NULL */
    bool quiet;                /* the title says what its page's says: it is no heading */
};

struct page {
    char *path; /* decoded, begins with a slash */
    int status;
    const char *content_type;
    const char *location;
    char *body;
    size_t len;
    char etag[40];
};

struct file {
    enum file_kind kind;
    const char *path; /* of the page, without the slash in front: "include/weft/chan.h" */
    const char *name; /* as shown: "weft/chan.h" */
    const char *disk;
    size_t root, number; /* of the root; of the file, in the order of all */
    struct arena arena;

    const char *text; /* valid UTF-8, NUL-terminated, ends with a newline unless empty */
    size_t len;
    const char **lines; /* lines[i] is where line i + 1 begins; lines[nlines] is the end */
    bool *hidden;       /* lines that are C++'s alone, and those of conditions */
    size_t nlines;

    struct tag *tags;
    size_t ntags, tags_cap;

    const char *title, *synopsis;
    const struct comment *overview;
    struct comment *comments;
    size_t ncomments, comments_cap;
    struct entry *entries;
    size_t nentries, entries_cap;
    struct heading *headings;
    size_t nheadings, headings_cap;
    const char *html; /* a manual page, as mandoc made it; NULL: not made */

    struct section *sections;
    size_t nsections, sections_cap;
    struct page *pages;
    size_t npages, pages_cap;
};

/* A name that links lead to. */
struct symbol {
    const char *name;
    const struct file *file;
    const struct entry *entry;
};

struct index;

struct site {
    const char *title;
    struct arena arena;
    struct file **files;
    size_t nfiles, files_cap;
    struct table *symbols; /* name -> struct symbol */
    struct table *headers; /* "weft/chan.h" -> struct file */
    struct table *paths;   /* "include/weft/chan.h" -> struct file */
    struct table *manuals; /* "weft_chan_make.3" -> struct file */
    struct table *pages;   /* "/include/weft/chan.h" -> struct page */
    struct index *index;
    struct page *own; /* index, assets, errors */
    size_t nown, own_cap;
    const struct page *not_found, *bad_request;
    size_t bytes;
};

/* --- memory.c: strings to pointers; neither is copied */

struct table *table_new(size_t expected);
void table_put(struct table *, const char *key, const void *value); /* the first one stays */
const void *table_get(const struct table *, const char *key, size_t len);
void table_free(struct table *);

/* --- scan.c */

/* 0, or -1 with a message. */
int scan_roots(struct site *, const struct site_options *, char *error, size_t error_size);
/* Reads a file and splits it into lines; what can't be read is empty. */
void load_file(struct site *, struct file *);

/* --- run.c */

/*
 * Runs a program and collects what it prints; its stderr and stdin are /dev/null. Returns its exit
 * status; or -1 with errno: ECHILD when it died of a signal, else why it could not be run to its
 * end.
 */
int run_program(const char *const argv[], struct buf *out);

/* --- lex.c: C, as far as colours and links need it */

enum token_kind { TOKEN_SPACE, TOKEN_COMMENT, TOKEN_STRING, TOKEN_WORD, TOKEN_OTHER };
struct token {
    enum token_kind kind;
    const char *at;
    size_t len;
};
bool next_token(const char **at, const char *end, struct token *);
/* A known name; NULL for those of the entry whose first name is self ("": none). */
const struct symbol *find_symbol(const struct site *, const char *at, size_t len, const char *self);
/* Source as HTML: escaped, coloured, known names linked. */
void code_html(struct buf *, const struct site *, const char *at, size_t len, const char *self);
/* Line by line, with numbers and anchors. */
void source_html(struct buf *, const struct site *, const struct file *);

/* --- comment.c, prose.c */

void find_comments(struct file *);
/* A comment's text as HTML. */
void doc_html(struct buf *, const struct site *, const char *text, const char *self);
/* A paragraph's inside. */
void prose_html(struct buf *, const struct site *, const char *at, size_t len, const char *self);
/* The first sentence, without `name` in front, as one line. */
char *first_sentence(struct arena *, const char *text, const char *name);

/* --- ctags.c, headers.c, entries.c, declaration.c */

/* The tags of these headers; ignored: for ctags' option -I, or NULL. 0, or -1 with a message. */
int find_tags(struct file **files, size_t n, const char *ignored, char *error, size_t error_size);
/* Those of all headers. */
int parse_headers(struct site *, char *error, size_t error_size);
/* From tags and comments to entries; the tags are freed. */
void make_entries(struct site *, struct file *);
/* The head comment without the file's name in front ("weft/chan.h: typed channels."); or "". */
const char *overview_text(const struct file *);
/* The declaration as it is shown. */
void entry_declaration(struct buf *, const struct file *, const struct entry *);

/* --- markdown.c, manual.c */

/* Title, headings and sections alone (b NULL), or the page's inside. */
void markdown_scan(struct site *, struct file *);
void markdown_html(struct buf *, const struct site *, const struct file *);
void manual_load(struct site *, struct file *);
void manual_html(struct buf *, const struct site *, const struct file *);
void manual_names(struct site *, const struct file *); /* into site->manuals */

/* --- url.c */

/* Decodes a request's path, once. 0, or the status of the refusal. */
int path_decode(const char *raw, char *into, size_t size);
/* The value of a parameter of a query, decoded and sanitized; false if it isn't there. */
bool query_value(const char *query, const char *name, struct buf *into);
/*
 * Where a link of a document leads: appends a URL that is safe in an attribute once escaped, and
 * returns true; false for one that must not be a link.
 */
bool link_target(struct buf *, const struct site *, const struct file *from, const char *href,
                 size_t len);

/* --- page.c, file_page.c */

/* here: the file that the page is about, or NULL; query: what stands in the search field, or NULL. */
void page_open(struct buf *, const struct site *, const struct file *here, const char *title,
               const char *query);
void page_close(struct buf *, const struct site *);
void index_page(struct buf *, const struct site *);
/* Renders all that belongs to a file. */
void render_file(struct site *, struct file *);
void file_url(struct buf *, const struct file *, const char *anchor);
/* The text becomes the page's body. */
void page_publish(struct page *, char *path, int status, const char *content_type, struct buf *);

/* --- index.c, search.c */

struct section *add_section(struct file *, const char *anchor, const char *title, const char *kind,
                            const char *text, const struct entry *);
int index_build(struct site *); /* 0 or an errno value */
void index_free(struct index *);

struct hit {
    const struct section *section;
    const char *title; /* the name that was found, or the section's title */
    uint64_t score;
};
/* The best hits, best first; (size_t)-1 when there was no memory. */
size_t search(const struct site *, const char *query, struct hit *hits, size_t max);
void search_page(const struct site *, const char *query, struct reply *);
void search_json(const struct site *, const char *query, struct reply *);

/* --- assets, embedded at build time */

extern const char asset_style_css[], asset_search_js[], asset_icon_svg[];
extern const size_t asset_style_css_size, asset_search_js_size, asset_icon_svg_size;
/* A link to an asset changes with its content. */
uint64_t bytes_hash(const char *at, size_t len);

#endif
