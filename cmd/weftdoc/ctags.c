/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctags.c: what headers declare, by universal-ctags.
 *
 * ctags is run once for a batch of files, several batches at a time, and prints a JSON object for
 * each name it finds. JSON rather than its older format, fields parted by tabs: there is a library
 * that reads it (and writes the search's answers), so nobody here has to know how either format
 * quotes a path. Rejected: libclang and a parser of C proper, which want the flags and the include
 * path that a header is meant for, and show macros, half of this interface, as what they expand to.
 */
#include "model.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define BATCH 64

struct batch {
    struct file *files[BATCH];
    size_t n;
    bool mixed;
    const char *ignored;
    int status; /* of ctags; -1: not run */
    int error;
};

static const char *text_of(struct file *f, json_t *tag, const char *key) {
    json_t *value = json_object_get(tag, key);
    const char *text = json_string_value(value);
    return text != NULL ? arena_copy(&f->arena, text, json_string_length(value)) : NULL;
}

static void add_tag(struct file *f, json_t *object) {
    struct tag t = {
        .name = text_of(f, object, "name"),
        .kind = text_of(f, object, "kind"),
        .scope = text_of(f, object, "scope"),
        .typeref = text_of(f, object, "typeref"),
        .signature = text_of(f, object, "signature"),
    };
    json_int_t line = json_integer_value(json_object_get(object, "line"));
    json_int_t end = json_integer_value(json_object_get(object, "end"));
    if (t.name == NULL || *t.name == '\0' || t.kind == NULL || line < 1 || (size_t)line > f->nlines)
        return;
    t.line = (unsigned)line;
    t.end = end >= line && (size_t)end <= f->nlines ? (unsigned)end : t.line;
    f->tags = grow(f->tags, &f->ntags, &f->tags_cap, sizeof *f->tags);
    f->tags[f->ntags - 1] = t;
}

static struct file *file_of(const struct batch *b, struct file *last, const char *path) {
    if (last != NULL && strcmp(last->disk, path) == 0)
        return last;
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(b->files[i]->disk, path) == 0)
            return b->files[i];
    return NULL;
}

static void read_tags(const struct batch *b, const struct buf *out) {
    struct file *last = NULL;
    for (size_t i = 0; i < b->n; i++)
        b->files[i]->ntags = 0;
    for (size_t at = 0; at < out->len;) {
        const char *line = out->data + at;
        const char *newline = memchr(line, '\n', out->len - at);
        size_t len = newline != NULL ? (size_t)(newline - line) : out->len - at;
        json_t *object = json_loadb(line, len, 0, NULL);
        const char *path = json_string_value(json_object_get(object, "path"));
        if (path != NULL && (last = file_of(b, last, path)) != NULL)
            add_tag(last, object);
        json_decref(object);
        at += len + 1;
    }
}

/*
 * Whether a header has parts for C++ alone that a parser of C trips over. Such headers are read as
 * C++; the others are not, for a C header may well have something called `new` or `class`.
 */
static bool is_mixed(const struct file *f) {
    return strstr(f->text, "__cplusplus") != NULL &&
           (strstr(f->text, "\ntemplate") != NULL || strstr(f->text, "\nclass ") != NULL);
}

/* No configuration of the user's; the paths are absolute, so none can pass for an option. */
static int run_ctags(struct batch *b, struct buf *out) {
    static const char *const language[2][3] = {
        {"--languages=C", "--langmap=C:.h", "--kinds-C=defgmpstuvx"},
        {"--languages=C++", "--langmap=C++:.h", "--kinds-C++=defgmpstuvx"},
    };
    const char *argv[BATCH + 16] = {"ctags",     "--options=NONE",    "--output-format=json",
                                    "--sort=no", "--fields=FNneSKst", "-f",
                                    "-"};
    size_t argc = 7;
    for (size_t i = 0; i < 3; i++)
        argv[argc++] = language[b->mixed][i];
    if (b->ignored != NULL) {
        argv[argc++] = "-I";
        argv[argc++] = b->ignored;
    }
    for (size_t i = 0; i < b->n; i++)
        argv[argc++] = b->files[i]->disk;
    b->status = run_program(argv, out);
    b->error = b->status < 0 ? errno : 0;
    return b->status;
}

/*
 * There are files that ctags dies of (braces some ten thousand deep). They are found by halves, and
 * shown without entries; the batch's other files keep theirs.
 */
static int run_batch(struct batch *b) {
    struct buf out = {0};
    run_ctags(b, &out);
    bool died = b->status < 0 && b->error == ECHILD;
    if (b->status == 0 || (died && b->n == 1)) {
        if (died)
            out.len = 0;
        read_tags(b, &out);
        b->status = 0;
    } else if (died) {
        struct batch half = {.mixed = b->mixed, .ignored = b->ignored};
        b->status = 0;
        for (size_t i = 0; b->status == 0 && i < b->n; i += half.n) {
            half.n = i == 0 ? b->n / 2 : b->n - i;
            memcpy(half.files, b->files + i, half.n * sizeof half.files[0]);
            run_batch(&half);
            b->status = half.status;
            b->error = half.error;
        }
    }
    buf_free(&out);
    return 0;
}

static int complain(const struct batch *b, char *error, size_t error_size) {
    if (b->status < 0 && b->error == ENOENT)
        snprintf(error, error_size, "ctags is not there: please install universal-ctags");
    else if (b->status < 0)
        snprintf(error, error_size, "ctags could not be run: %s", strerror(b->error));
    else
        snprintf(error, error_size,
                 "ctags ended with status %d: it must be universal-ctags, built with JSON",
                 b->status);
    return -1;
}

static size_t fill_batches(struct batch *batches, struct file **files, size_t count, bool mixed,
                           const char *ignored) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_mixed(files[i]) != mixed)
            continue;
        batches[n].mixed = mixed;
        batches[n].ignored = ignored;
        batches[n].files[batches[n].n++] = files[i];
        n += batches[n].n == BATCH;
    }
    return n + (batches[n].n != 0);
}

int find_tags(struct file **files, size_t count, const char *ignored, char *error,
              size_t error_size) {
    struct batch *batches = calloc(count / BATCH + 2, sizeof *batches);
    if (batches == NULL)
        no_memory();
    size_t n = 0;
    for (int mixed = 0; mixed <= 1; mixed++)
        n += fill_batches(batches + n, files, count, mixed, ignored);
    weft_group group = WEFT_GROUP_INIT;
    weft_group_set_limit(&group, 2 * weft_gomaxprocs(0));
    for (size_t i = 0; i < n; i++)
        if (weft_group_go(&group, run_batch, &batches[i]) != 0)
            no_memory();
    weft_group_wait(&group);
    int result = 0;
    for (size_t i = 0; result == 0 && i < n; i++)
        if (batches[i].status != 0)
            result = complain(&batches[i], error, error_size);
    free(batches);
    return result;
}
