/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c: which files there are, and their text.
 *
 * Each root is walked by a goroutine of its own, which sends what it finds over a channel. A
 * symbolic link is followed if it leads to a regular file inside of the same root; links to folders
 * are not, so no walk can go in circles or leave. Hidden files, and names that would need more than
 * percent signs in a URL, are not shown.
 */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft.h>

#define MAX_FILES 50000
#define MAX_FILE_SIZE (4 << 20)

struct walk {
    weft_chan(struct file *) found;
    size_t root;
    char *top;   /* the root's real path */
    char *mount; /* what site paths begin with; "" for nothing */
};

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static bool kind_of(const char *name, enum file_kind *kind) {
    static const struct {
        const char *end;
        enum file_kind kind;
    } ends[] = {{".h", FILE_HEADER},
                {".md", FILE_MARKDOWN},
                {".1", FILE_MANUAL},
                {".3", FILE_MANUAL},
                {".7", FILE_MANUAL}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (ends_with(name, ends[i].end)) {
            *kind = ends[i].kind;
            return true;
        }
    }
    return false;
}

static bool name_is_plain(const char *name) {
    for (const char *p = name; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\')
            return false;
    return utf8_valid(name, strlen(name));
}

/* These begin other pages' paths. */
static bool reserved(const char *path) {
    static const char *const words[] = {"src",    "search", "search.json",
                                        "static", "man",    "favicon.ico"};
    size_t first = strcspn(path, "/");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == first && memcmp(path, words[i], first) == 0)
            return true;
    return false;
}

static struct file *new_file(const struct walk *w, enum file_kind kind, const char *below,
                             const char *disk) {
    struct file *f = calloc(1, sizeof *f);
    if (f == NULL)
        no_memory();
    struct buf path = {0};
    buf_text(&path, w->mount);
    if (path.len != 0 && *below != '\0')
        buf_char(&path, '/');
    buf_text(&path, below);
    f->path = arena_take(&f->arena, &path);
    if (reserved(f->path)) {
        buf_text(&path, "root/");
        buf_text(&path, f->path);
        f->path = arena_take(&f->arena, &path);
    }
    f->kind = kind;
    f->root = w->root;
    f->disk = arena_copy(&f->arena, disk, strlen(disk));
    const char *slash = kind == FILE_HEADER ? strchr(f->path, '/') : strrchr(f->path, '/');
    f->name = slash != NULL ? slash + 1 : f->path;
    return f;
}

/* 0 or an errno value: the context has ended. */
static int send_file(const struct walk *w, enum file_kind kind, const char *below,
                     const char *disk) {
    struct file *f = new_file(w, kind, below, disk);
    if (weft_send(w->found, f))
        return 0;
    int err = errno;
    arena_free(&f->arena);
    free(f);
    return err;
}

/* A link's end, if that is a regular file below the root. */
static bool link_stays(const struct walk *w, const char *path, char *real) {
    struct stat st;
    size_t n = strlen(w->top);
    if (weft_block(realpath(path, real)) == NULL)
        return false;
    if (strncmp(real, w->top, n) != 0 || (real[n] != '/' && strcmp(w->top, "/") != 0))
        return false;
    return strstr(real + n, "/.") == NULL && weft_block(stat(real, &st)) == 0 &&
           S_ISREG(st.st_mode);
}

static int visit(const struct walk *w, FTS *fts, FTSENT *e) {
    enum file_kind kind;
    char real[PATH_MAX];
    bool hidden = e->fts_level > 0 && (e->fts_name[0] == '.' || !name_is_plain(e->fts_name));
    if (e->fts_info == FTS_D && hidden)
        fts_set(fts, e, FTS_SKIP);
    bool file = e->fts_info == FTS_F && e->fts_statp->st_size <= MAX_FILE_SIZE;
    if (hidden || (!file && e->fts_info != FTS_SL) || !kind_of(e->fts_name, &kind))
        return 0;
    if (e->fts_info == FTS_SL && !link_stays(w, e->fts_path, real))
        return 0;
    const char *below = e->fts_path + strlen(w->top);
    while (*below == '/')
        below++;
    if (e->fts_level == 0)
        below = strrchr(e->fts_path, '/') + 1; /* the root is a file */
    return send_file(w, kind, below, e->fts_info == FTS_SL ? real : e->fts_path);
}

static int walk_root(struct walk *w) {
    char *paths[] = {w->top, NULL};
    FTS *fts = weft_block(fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL));
    if (fts == NULL)
        return errno;
    FTSENT *e;
    int err = 0;
    while (err == 0 && (e = weft_block(fts_read(fts))) != NULL)
        err = visit(w, fts, e);
    fts_close(fts);
    return err;
}

/*
 * "MOUNT=PATH" shows PATH's files below MOUNT; without it, below the folder's own name, and a
 * single file at the top. A file that is really called so is meant first.
 */
static bool split_root(const char *root, struct walk *w, char *error, size_t error_size) {
    struct stat st;
    const char *path = root;
    const char *mount = NULL;
    const char *equals = strchr(root, '=');
    size_t mount_len = 0;
    if (equals != NULL && stat(root, &st) != 0) {
        mount = root;
        mount_len = (size_t)(equals - root);
        path = equals + 1;
    }
    w->top = realpath(path, NULL);
    if (w->top == NULL || stat(w->top, &st) != 0 ||
        (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))) {
        int err = w->top == NULL ? errno : ENOTDIR;
        snprintf(error, error_size, "%s: %s", path, strerror(err));
        return false;
    }
    if (mount == NULL && S_ISDIR(st.st_mode)) {
        mount = strrchr(w->top, '/') + 1;
        mount_len = strlen(mount);
        if (mount_len == 0 || !name_is_plain(mount)) {
            mount = "root";
            mount_len = 4;
        }
    }
    w->mount = strndup(mount != NULL ? mount : "", mount_len);
    if (w->mount == NULL)
        no_memory();
    return true;
}

static int walk_all(struct walk *walks, size_t n, weft_chan(struct file *) found) {
    weft_group group = WEFT_GROUP_INIT;
    for (size_t i = 0; i < n; i++)
        if (weft_group_go(&group, walk_root, &walks[i]) != 0)
            no_memory();
    int err = weft_group_wait(&group);
    weft_chan_close(found);
    return err;
}

static int collect(struct site *s, weft_chan(struct file *) found) {
    struct file *f;
    while (weft_recv(found, &f)) {
        if (s->nfiles < MAX_FILES) {
            s->files = grow(s->files, &s->nfiles, &s->files_cap, sizeof *s->files);
            s->files[s->nfiles - 1] = f;
            continue;
        }
        arena_free(&f->arena);
        free(f);
    }
    return errno == EPIPE ? 0 : errno;
}

static int walk_and_collect(struct site *s, struct walk *walks, size_t n) {
    weft_chan(struct file *) found = weft_chan_make(struct file *, 64);
    if (found == NULL)
        no_memory();
    for (size_t i = 0; i < n; i++)
        walks[i].found = found;
    weft_group group = WEFT_GROUP_INIT;
    if (weft_group_go(&group, collect, s, found) != 0)
        no_memory();
    int err = walk_all(walks, n, found), gathered = weft_group_wait(&group);
    weft_chan_unref(found);
    return err != 0 ? err : gathered;
}

/* Roots in the order given; a folder's README, then its files, then its folders. */
static int by_place(const void *left, const void *right) {
    const struct file *a = *(const struct file *const *)left,
                      *b = *(const struct file *const *)right;
    if (a->root != b->root)
        return a->root < b->root ? -1 : 1;
    const char *p = a->path, *q = b->path;
    while (*p != '\0' && *p == *q)
        p++, q++;
    while (p > a->path && p[-1] != '/')
        p--, q--;
    bool deep_a = strchr(p, '/') != NULL, deep_b = strchr(q, '/') != NULL;
    if (deep_a != deep_b)
        return deep_a ? 1 : -1;
    bool readme_a = strncmp(p, "README", 6) == 0, readme_b = strncmp(q, "README", 6) == 0;
    if (readme_a != readme_b)
        return readme_a ? -1 : 1;
    return strcmp(p, q);
}

/* Two roots may hold files of one path: the first is shown. */
static void drop_doubles(struct site *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->nfiles; i++) {
        struct file *f = s->files[i];
        if (table_get(s->paths, f->path, strlen(f->path)) != NULL) {
            arena_free(&f->arena);
            free(f);
            continue;
        }
        table_put(s->paths, f->path, f);
        if (f->kind == FILE_HEADER)
            table_put(s->headers, f->name, f);
        f->number = kept;
        s->files[kept++] = f;
    }
    s->nfiles = kept;
}

int scan_roots(struct site *s, const struct site_options *o, char *error, size_t error_size) {
    struct walk *walks = calloc(o->nroots + 1, sizeof *walks);
    if (walks == NULL)
        no_memory();
    size_t n = 0;
    bool ok = true;
    for (; ok && n < o->nroots; n++) {
        walks[n].root = n;
        ok = split_root(o->roots[n], &walks[n], error, error_size);
    }
    int err = ok ? walk_and_collect(s, walks, n) : 0;
    if (err != 0)
        snprintf(error, error_size, "the files could not be looked up: %s", strerror(err));
    for (size_t i = 0; i < n; i++) {
        free(walks[i].top);
        free(walks[i].mount);
    }
    free(walks);
    if (!ok || err != 0)
        return -1;
    if (s->nfiles == 0) {
        snprintf(error, error_size, "nothing to show: no *.h, *.md or manual page is there");
        return -1;
    }
    qsort(s->files, s->nfiles, sizeof *s->files, by_place);
    drop_doubles(s);
    return 0;
}

/* --- text */

static void read_file(const char *path, struct buf *into) {
    int fd = weft_block(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    struct stat st;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        ssize_t n = 1;
        while (n > 0 && into->len <= MAX_FILE_SIZE) {
            char *room = buf_room(into, 65536);
            if (room == NULL)
                no_memory();
            n = weft_block(read(fd, room, 65536));
            into->len += n > 0 ? (size_t)n : 0;
        }
    }
    close(fd);
}

static void split_lines(struct file *f) {
    size_t n = 0;
    for (const char *p = f->text; (p = strchr(p, '\n')) != NULL; p++)
        n++;
    f->lines = arena_alloc(&f->arena, (n + 1) * sizeof *f->lines);
    f->hidden = arena_alloc(&f->arena, n + 1);
    const char *p = f->text;
    for (f->nlines = 0; f->nlines < n; f->nlines++) {
        f->lines[f->nlines] = p;
        p = strchr(p, '\n') + 1;
    }
    f->lines[n] = p;
}

void load_file(struct site *s, struct file *f) {
    (void)s;
    struct buf raw = {0}, text = {0};
    read_file(f->disk, &raw);
    size_t bom = raw.len >= 3 && memcmp(raw.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (raw.len > bom)
        utf8_sanitize(&text, raw.data + bom, raw.len - bom);
    if (text.len != 0 && text.data[text.len - 1] != '\n')
        buf_char(&text, '\n');
    buf_free(&raw);
    f->len = text.len;
    f->text = arena_take(&f->arena, &text);
    split_lines(f);
}
