/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c: the inverted index, and the search in it.
 *
 * A term is a word in lower case, or a part of one between underscores. For each term the index
 * has the sections that it occurs in; terms are sorted, so a word that is still being typed is a
 * range of them. Beside it stands the list of all names, which is scanned from end to end: of a name
 * any part may be what is remembered of it.
 *
 * Each word of a query must be found in a section, and counts by its best place there:
 *   a name that equals it > one that begins with it > one that has it > a heading > the text
 * so that no number of mentions beats the thing itself. Words of the query add up.
 *
 * The terms are cut out of the files by several goroutines, which send theirs over a channel to the
 * one that puts them together.
 */
#include "index.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define EXACT 1000000
#define PREFIX 100000
#define INSIDE 10000
#define HEADING 1000

struct posting {
    const char *term;
    uint32_t section;
    uint16_t count;
    bool heading;
};

struct known_name {
    const char *lower;
    uint32_t section;
    bool minor; /* a member: found as a heading is */
};

struct index {
    struct arena arena;
    const struct section **sections;
    size_t nsections;
    struct posting *postings; /* by term, then section */
    size_t npostings, postings_cap;
    struct known_name *names;
    size_t nnames, names_cap;
};

struct section *add_section(struct file *f, const char *anchor, const char *title, const char *kind,
                            const char *text, const struct entry *entry) {
    f->sections = grow(f->sections, &f->nsections, &f->sections_cap, sizeof *f->sections);
    struct section *s = &f->sections[f->nsections - 1];
    *s = (struct section){f, anchor, title, kind, text, entry, false};
    return s;
}

/* --- words */

static bool word_byte(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

bool next_word(const char **at, const char **word, size_t *len) {
    const char *p = *at;
    while (*p != '\0' && !word_byte(*p))
        p++;
    *word = p;
    while (word_byte(*p))
        p++;
    *len = (size_t)(p - *word);
    *at = p;
    return *len != 0;
}

void lower_copy(char *into, const char *at, size_t len) {
    for (size_t i = 0; i < len; i++)
        into[i] = (char)tolower((unsigned char)at[i]);
    into[len] = '\0';
}

/* --- making it */

/* What one goroutine found in one file. */
struct harvest {
    struct posting *postings;
    size_t n, cap;
    struct arena arena;
};

static void add_posting(struct harvest *h, const char *at, size_t len, uint32_t section,
                        bool heading) {
    if (len > 64)
        return;
    char *term = arena_alloc(&h->arena, len + 1);
    lower_copy(term, at, len);
    h->postings = grow(h->postings, &h->n, &h->cap, sizeof *h->postings);
    h->postings[h->n - 1] = (struct posting){term, section, 1, heading};
}

static void add_words(struct harvest *h, const char *text, uint32_t section, bool heading) {
    const char *word;
    size_t len;
    while (next_word(&text, &word, &len)) {
        add_posting(h, word, len, section, heading);
        for (size_t i = 0; memchr(word, '_', len) != NULL && i < len;) {
            const char *bar = memchr(word + i, '_', len - i);
            size_t n = bar != NULL ? (size_t)(bar - word) - i : len - i;
            if (n > 1 && n < len)
                add_posting(h, word + i, n, section, heading);
            i += n + 1;
        }
    }
}

static int by_term(const void *left, const void *right) {
    const struct posting *a = left, *b = right;
    int order = strcmp(a->term, b->term);
    if (order != 0)
        return order;
    if (a->section != b->section)
        return a->section < b->section ? -1 : 1;
    return (int)b->heading - (int)a->heading; /* the first of equals is kept */
}

static void unite(struct harvest *h) {
    size_t kept = 0;
    if (h->n != 0)
        qsort(h->postings, h->n, sizeof *h->postings, by_term);
    for (size_t i = 0; i < h->n; i++) {
        struct posting *last = kept != 0 ? &h->postings[kept - 1] : NULL;
        const struct posting *p = &h->postings[i];
        if (last != NULL && last->section == p->section && strcmp(last->term, p->term) == 0)
            last->count += last->count < UINT16_MAX;
        else
            h->postings[kept++] = *p;
    }
    h->n = kept;
}

struct job {
    const struct file *file;
    uint32_t first; /* the number of the file's first section */
};

struct line_of_work {
    weft_chan(struct job) jobs;
    weft_chan(struct harvest) done;
};

static int cut_words(struct line_of_work *w) {
    struct job job;
    while (weft_recv(w->jobs, &job)) {
        struct harvest h = {0};
        for (size_t i = 0; i < job.file->nsections; i++) {
            const struct section *s = &job.file->sections[i];
            add_words(&h, s->title, job.first + (uint32_t)i, !s->quiet);
            add_words(&h, s->text, job.first + (uint32_t)i, false);
        }
        unite(&h);
        if (!weft_send(w->done, h)) {
            arena_free(&h.arena);
            free(h.postings);
        }
    }
    return errno == EPIPE ? 0 : errno;
}

static int hand_out(struct site *s, struct line_of_work *w) {
    uint32_t first = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < s->nfiles; i++) {
        ok = weft_send(w->jobs, ((struct job){s->files[i], first}));
        first += (uint32_t)s->files[i]->nsections;
    }
    weft_chan_close(w->jobs);
    return ok ? 0 : errno;
}

/* The terms move from the goroutine's arena into the index's, each once. */
static void take_in(struct index *x, struct harvest *h) {
    for (size_t i = 0; i < h->n; i++) {
        struct posting p = h->postings[i];
        bool again = i != 0 && strcmp(p.term, h->postings[i - 1].term) == 0;
        x->postings = grow(x->postings, &x->npostings, &x->postings_cap, sizeof *x->postings);
        p.term = again ? x->postings[x->npostings - 2].term
                       : arena_copy(&x->arena, p.term, strlen(p.term));
        x->postings[x->npostings - 1] = p;
    }
    arena_free(&h->arena);
    free(h->postings);
}

static int workers(struct site *s, struct line_of_work *w) {
    weft_group group = WEFT_GROUP_INIT;
    for (int i = weft_gomaxprocs(0); i > 0; i--)
        if (weft_group_go(&group, cut_words, w) != 0)
            no_memory();
    if (weft_group_go(&group, hand_out, s, w) != 0)
        no_memory();
    int err = weft_group_wait(&group);
    weft_chan_close(w->done);
    return err;
}

static int index_words(struct site *s) {
    struct line_of_work w = {weft_chan_make(struct job, 16), weft_chan_make(struct harvest, 16)};
    weft_group group = WEFT_GROUP_INIT;
    if (w.jobs == NULL || w.done == NULL || weft_group_go(&group, workers, s, &w) != 0)
        no_memory();
    struct harvest h;
    while (weft_recv(w.done, &h))
        take_in(s->index, &h);
    int err = weft_group_wait(&group);
    weft_chan_unref(w.jobs);
    weft_chan_unref(w.done);
    if (s->index->npostings != 0)
        qsort(s->index->postings, s->index->npostings, sizeof *s->index->postings, by_term);
    return err;
}

static void add_known(struct index *x, const char *name, uint32_t section, bool minor) {
    size_t len = strlen(name);
    char *lower = arena_alloc(&x->arena, len + 1);
    lower_copy(lower, name, len);
    x->names = grow(x->names, &x->nnames, &x->names_cap, sizeof *x->names);
    x->names[x->nnames - 1] = (struct known_name){lower, section, minor};
}

static void index_section(struct index *x, const struct section *section) {
    uint32_t number = (uint32_t)x->nsections++;
    const struct entry *e = section->entry;
    x->sections[number] = section;
    for (size_t i = 0; e != NULL && i < e->nnames; i++)
        add_known(x, e->names[i].text, number, false);
    for (size_t i = 0; e != NULL && i < e->ninner; i++)
        add_known(x, e->inner[i].text, number, strcmp(e->word, "enum") != 0);
}

int index_build(struct site *s) {
    size_t n = 0;
    struct index *x = s->index = calloc(1, sizeof *x);
    for (size_t i = 0; i < s->nfiles; i++)
        n += s->files[i]->nsections;
    if (x == NULL || (x->sections = calloc(n + 1, sizeof(struct section *))) == NULL)
        no_memory();
    for (size_t i = 0; i < s->nfiles; i++)
        for (size_t j = 0; j < s->files[i]->nsections; j++)
            index_section(x, &s->files[i]->sections[j]);
    return index_words(s);
}

void index_free(struct index *x) {
    if (x == NULL)
        return;
    arena_free(&x->arena);
    free(x->sections);
    free(x->postings);
    free(x->names);
    free(x);
}

/* --- asking it */

struct score {
    uint64_t sum;
    uint32_t word;    /* the best of the word under way */
    uint16_t matched; /* words found */
};

static void raise_score(struct score *s, uint32_t score) {
    if (score > s->word)
        s->word = score;
}

static uint32_t name_score(const char *name, const char *word) {
    const char *at = strstr(name, word);
    if (at == NULL)
        return 0;
    size_t n = strlen(name), m = strlen(word);
    uint32_t longer = n - m < 500 ? (uint32_t)(n - m) : 500;
    if (n == m)
        return EXACT;
    if (at == name)
        return PREFIX - longer;
    uint32_t whole = 0;
    for (; at != NULL; at = strstr(at + 1, word)) {
        bool starts = at == name || at[-1] == '_';
        bool ends = at[m] == '\0' || at[m] == '_';
        uint32_t now = (starts ? 3000u : 0) + (ends ? 2000u : 0) + (at[m] == '\0' ? 500u : 0);
        whole = now > whole ? now : whole;
    }
    return INSIDE + whole - longer;
}

static void match_names(const struct index *x, const char *word, struct score *scores) {
    for (size_t i = 0; i < x->nnames; i++) {
        const struct known_name *n = &x->names[i];
        uint32_t score = name_score(n->lower, word);
        if (score != 0)
            raise_score(&scores[n->section], n->minor ? HEADING / 2 + score / 5000 : score);
    }
}

static void match_terms(const struct index *x, const char *word, struct score *scores) {
    size_t len = strlen(word), low = 0, high = x->npostings;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(x->postings[middle].term, word) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < x->npostings && strncmp(x->postings[low].term, word, len) == 0; low++) {
        const struct posting *p = &x->postings[low];
        bool whole = p->term[len] == '\0';
        uint32_t often = p->count < 50 ? p->count : 50;
        raise_score(&scores[p->section], (p->heading ? HEADING : 100) + often + (whole ? 200 : 0));
    }
}

static void end_word(const struct index *x, struct score *scores) {
    for (size_t i = 0; i < x->nsections; i++) {
        scores[i].matched += scores[i].word != 0;
        scores[i].sum += scores[i].word;
        scores[i].word = 0;
    }
}

/* Among equals: documented names, then the order of the pages. */
static bool better(const struct hit *a, const struct hit *b) {
    if (a->score != b->score)
        return a->score > b->score;
    bool doc_a = a->section->entry == NULL || a->section->entry->doc != NULL;
    bool doc_b = b->section->entry == NULL || b->section->entry->doc != NULL;
    return doc_a && !doc_b;
}

static uint64_t score_of_name(const char *name, const char *query) {
    char lower[MAX_QUERY + 1], word[MAX_QUERY + 1];
    const char *at;
    uint64_t sum = 0;
    size_t len;
    lower_copy(lower, name, strnlen(name, MAX_QUERY));
    for (unsigned n = 0; n < MAX_WORDS && next_word(&query, &at, &len); n++) {
        lower_copy(word, at, len < MAX_QUERY ? len : MAX_QUERY);
        sum += name_score(lower, word);
    }
    return sum;
}

/* Of an entry's names, and of an enum's constants, the one that has most of the query. */
static const char *best_name(const struct section *section, const char *query) {
    const struct entry *e = section->entry;
    const char *best = section->title;
    uint64_t most = 0;
    if (e == NULL)
        return best;
    size_t inner = strcmp(e->word, "enum") == 0 ? e->ninner : 0;
    for (size_t i = 0; i < e->nnames + inner; i++) {
        const char *name = i < e->nnames ? e->names[i].text : e->inner[i - e->nnames].text;
        uint64_t score = score_of_name(name, query);
        if (score > most) {
            most = score;
            best = name;
        }
    }
    return best;
}

/* The best, sorted; the array is short. */
static size_t keep(struct hit *hits, size_t n, size_t max, struct hit hit) {
    size_t at = n < max ? n : max;
    while (at > 0 && better(&hit, &hits[at - 1]))
        at--;
    if (at == max)
        return n;
    size_t moved = (n < max ? n : max - 1) - at;
    memmove(&hits[at + 1], &hits[at], moved * sizeof *hits);
    hits[at] = hit;
    return n < max ? n + 1 : max;
}

size_t search(const struct site *s, const char *query, struct hit *hits, size_t max) {
    const struct index *x = s->index;
    struct score *scores = calloc(x->nsections + 1, sizeof *scores);
    const char *at = query, *word;
    size_t len, n = 0;
    unsigned words = 0;
    if (scores == NULL)
        return (size_t)-1;
    while (words < MAX_WORDS && next_word(&at, &word, &len)) {
        char lower[MAX_QUERY + 1];
        lower_copy(lower, word, len < MAX_QUERY ? len : MAX_QUERY);
        match_names(x, lower, scores);
        match_terms(x, lower, scores);
        end_word(x, scores);
        words++;
    }
    for (size_t i = 0; words != 0 && i < x->nsections; i++)
        if (scores[i].matched == words)
            n = keep(hits, n, max, (struct hit){x->sections[i], "", scores[i].sum});
    for (size_t i = 0; i < n; i++)
        hits[i].title = best_name(hits[i].section, query);
    free(scores);
    return n;
}
