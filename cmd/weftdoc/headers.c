/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers.c: the tags of all headers.
 *
 * A macro with arguments may stand where a type does: `weft_chan(int) weft_numbers(void);`. To a
 * parser that looks at one file and expands nothing this declares weft_chan. So names that are such
 * macros, of whichever header, and were found to be declared as functions, with another declarator
 * behind them, are told to ctags as what is to be ignored, and it looks at those headers again.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list that is no list any more is ctags' command line grown too long. */
#define MAX_IGNORED 4096

static bool is_function(const struct tag *t) {
    return strcmp(t->kind, "prototype") == 0 || strcmp(t->kind, "function") == 0;
}

/* Whether it goes on with "name(" behind the parentheses of this one. */
static bool has_declarator_behind(const struct file *f, const struct tag *t) {
    const char *at = strstr(f->lines[t->line - 1], t->name), *end = f->text + f->len;
    struct token token;
    int depth = 0;
    if (at == NULL)
        return false;
    at += strlen(t->name);
    while (next_token(&at, end, &token)) {
        char c = token.kind == TOKEN_OTHER ? *token.at : '\0';
        depth += (c == '(') - (c == ')');
        if (token.kind == TOKEN_WORD && depth == 0)
            return *token.at != '_' && at < end && *at == '(';
        if (depth == 0 && c != ')' && c != '*' && token.kind != TOKEN_SPACE)
            return false;
    }
    return false;
}

static bool already(const struct buf *list, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i + n < list->len; i++)
        if ((i == 0 || list->data[i - 1] == ',') && memcmp(list->data + i, name, n) == 0 &&
            list->data[i + n] == '+')
            return true;
    return false;
}

/* Whether the header has been misread; the names that ctags is to ignore are added to the list. */
static bool misread(const struct file *f, const struct table *macros, struct buf *list) {
    bool found = false;
    for (size_t i = 0; i < f->ntags; i++) {
        const struct tag *t = &f->tags[i];
        if (!is_function(t) || table_get(macros, t->name, strlen(t->name)) == NULL ||
            !has_declarator_behind(f, t))
            continue;
        found = true;
        if (already(list, t->name) || list->len + strlen(t->name) + 2 > MAX_IGNORED)
            continue;
        buf_text(list, list->len != 0 ? "," : "");
        buf_text(list, t->name);
        buf_char(list, '+'); /* and its arguments */
    }
    return found;
}

static struct table *macro_names(struct file **files, size_t n) {
    struct table *macros = table_new(0);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < files[i]->ntags; j++)
            if (files[i]->tags[j].signature != NULL && strcmp(files[i]->tags[j].kind, "macro") == 0)
                table_put(macros, files[i]->tags[j].name, files[i]);
    return macros;
}

static int look_again(struct file **files, size_t n, char *error, size_t error_size) {
    struct table *macros = macro_names(files, n);
    struct buf list = {0};
    size_t again = 0;
    for (size_t i = 0; i < n; i++)
        if (misread(files[i], macros, &list))
            files[again++] = files[i];
    table_free(macros);
    buf_char(&list, '\0');
    if (list.failed)
        no_memory();
    int result = again != 0 ? find_tags(files, again, list.data, error, error_size) : 0;
    buf_free(&list);
    return result;
}

int parse_headers(struct site *s, char *error, size_t error_size) {
    struct file **files = calloc(s->nfiles + 1, sizeof(struct file *));
    size_t n = 0;
    if (files == NULL)
        no_memory();
    for (size_t i = 0; i < s->nfiles; i++)
        if (s->files[i]->kind == FILE_HEADER)
            files[n++] = s->files[i];
    int result = find_tags(files, n, NULL, error, error_size);
    if (result == 0)
        result = look_again(files, n, error, error_size);
    free(files);
    return result;
}
