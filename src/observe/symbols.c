/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address lies in a mapping of a file (/proc/self/maps), at an offset of that file; the file's
 * program headers say which address of its own that is, and its symbol table which function holds
 * that: .symtab, or .dynsym in a stripped file.
 *
 * Files are read, not mapped: one that is overwritten in place would fault. One pass over the table
 * serves all frames of that file. Nothing is kept but the list of mappings, for a second: a library
 * that was unloaded and another one loaded in its place would get the first one's names that long,
 * were it not for the comparison of the code in memory with the code in the file (same_code).
 *
 * The kernel's own library, [vdso], is an ELF file in memory and read there. Code without a file (a
 * compiler's at run time) has no names; nor have functions that are not in the table, which print
 * as module and offset.
 */
#include "symbols.h"

#include <elf.h>
#include <string.h>

#define SECOND 1000000000
#define CHUNK 128            /* symbols read at once */
#define SAME 16              /* bytes of code compared */
#define UNSIZED 65536        /* a symbol without a size reaches as far as that */
#define MOST_SECTIONS 100000 /* that are looked at */

void wefti_code_read(struct wefti_code *code, int64_t now) {
    if (code->read_at != 0 && now - code->read_at < SECOND)
        return;
    code->n = os_code_mappings(code->maps, WEFTI_CODE_MAPPINGS, code->names, sizeof code->names);
    code->read_at = now;
}

const struct os_mapping *wefti_code_find(const struct wefti_code *code, uintptr_t address) {
    size_t lo = 0, hi = code->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (address >= code->maps[mid].end)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < code->n && address >= code->maps[lo].start ? &code->maps[lo] : NULL;
}

/* ---- a file, or its image in memory ---- */

struct image {
    int fd;         /* -1: … */
    uintptr_t base; /* … it is here */
};

static bool read_at(const struct image *im, uint64_t offset, void *into, size_t size) {
    return im->fd >= 0 ? os_file_read(im->fd, into, size, offset) == size
                       : os_read_memory(im->base + offset, into, size) == size;
}

static bool open_image(const struct os_mapping *map, struct image *im) {
    *im = (struct image){-1, map->start - map->offset};
    if (strcmp(map->file, "[vdso]") == 0)
        return true;
    im->fd = map->file[0] == '/' ? os_file_open(map->file) : -1;
    return im->fd >= 0;
}

static void close_image(struct image *im) {
    if (im->fd >= 0)
        os_file_close(im->fd);
}

static bool same_code(const struct image *im, const struct os_mapping *map, uintptr_t pc) {
    char here[SAME], there[SAME];
    uintptr_t at = pc - map->start >= SAME ? pc - SAME : map->start;
    return os_read_memory(at, here, SAME) == SAME &&
           read_at(im, at - map->start + map->offset, there, SAME) &&
           memcmp(here, there, SAME) == 0;
}

/* ---- its tables ---- */

struct tables {
    Elf64_Ehdr head;
    Elf64_Shdr symbols, strings;
};

static bool section(const struct image *im, const Elf64_Ehdr *head, size_t n, Elf64_Shdr *into) {
    return n < head->e_shnum && head->e_shentsize == sizeof *into &&
           read_at(im, head->e_shoff + n * sizeof *into, into, sizeof *into);
}

static bool read_head(const struct image *im, Elf64_Ehdr *head) {
    return read_at(im, 0, head, sizeof *head) && memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
           head->e_ident[EI_CLASS] == ELFCLASS64;
}

static bool read_tables(const struct image *im, struct tables *t) {
    Elf64_Shdr s;
    bool found = false;
    for (size_t i = 0; i < t->head.e_shnum && i < MOST_SECTIONS && section(im, &t->head, i, &s);
         i++) {
        bool full = s.sh_type == SHT_SYMTAB;
        if ((full || (s.sh_type == SHT_DYNSYM && !found)) && s.sh_entsize == sizeof(Elf64_Sym)) {
            t->symbols = s;
            found = true;
        }
        if (full)
            break;
    }
    return found && section(im, &t->head, t->symbols.sh_link, &t->strings);
}

/* The file's own address of an offset in it. */
static uint64_t own_address(const struct image *im, const Elf64_Ehdr *head, uint64_t offset) {
    Elf64_Phdr ph;
    for (size_t i = 0; i < head->e_phnum && head->e_phentsize == sizeof ph; i++)
        if (read_at(im, head->e_phoff + i * sizeof ph, &ph, sizeof ph) && ph.p_type == PT_LOAD &&
            offset >= ph.p_offset && offset - ph.p_offset < ph.p_filesz)
            return offset - ph.p_offset + ph.p_vaddr;
    return offset;
}

/* ---- the search ---- */

#define MOST 64 /* frames of one file in one pass */

struct wanted {
    struct wefti_frame *frame;
    uint64_t address; /* the file's own */
    bool found;
    Elf64_Sym symbol;
};

static void name_of(const struct image *im, const struct tables *t, const Elf64_Sym *symbol,
                    char *name, size_t size) {
    size_t n = 0;
    if (symbol->st_name < t->strings.sh_size) {
        uint64_t left = t->strings.sh_size - symbol->st_name;
        n = left < size - 1 ? (size_t)left : size - 1;
        if (!read_at(im, t->strings.sh_offset + symbol->st_name, name, n))
            n = 0;
    }
    name[n] = '\0';
}

static size_t underscores(const struct image *im, const struct tables *t, const Elf64_Sym *symbol) {
    char begin[8];
    name_of(im, t, symbol, begin, sizeof begin);
    return begin[0] == '\0' ? sizeof begin : strspn(begin, "_");
}

static bool holds(const Elf64_Sym *s, uint64_t address) {
    return address >= s->st_value &&
           address - s->st_value < (s->st_size != 0 ? s->st_size : UNSIZED);
}

/* A size is better than none, nearer is better, and of one function's names the plainest is. */
static bool better(const struct image *im, const struct tables *t, const Elf64_Sym *s,
                   const Elf64_Sym *old) {
    if ((s->st_size != 0) != (old->st_size != 0))
        return s->st_size != 0;
    if (s->st_value != old->st_value)
        return s->st_value > old->st_value;
    return underscores(im, t, s) < underscores(im, t, old);
}

static bool is_function(const Elf64_Sym *s) {
    unsigned type = ELF64_ST_TYPE(s->st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && s->st_shndx != SHN_UNDEF;
}

static void search(const struct image *im, const struct tables *t, struct wanted *w, size_t n) {
    Elf64_Sym chunk[CHUNK];
    uint64_t count = t->symbols.sh_size / sizeof *chunk;
    for (uint64_t at = 0; at < count; at += CHUNK) {
        size_t k = count - at < CHUNK ? (size_t)(count - at) : CHUNK;
        if (!read_at(im, t->symbols.sh_offset + at * sizeof *chunk, chunk, k * sizeof *chunk))
            return;
        for (const Elf64_Sym *s = chunk; s < chunk + k; s++)
            for (size_t i = 0; is_function(s) && i < n; i++)
                if (holds(s, w[i].address) && (!w[i].found || better(im, t, s, &w[i].symbol))) {
                    w[i].symbol = *s;
                    w[i].found = true;
                }
    }
}

/* The address that a frame is about: that of the call, not of what follows it. */
static uintptr_t subject(const struct wefti_frame *f) {
    return f->kind == WEFTI_FRAME_AT ? f->pc : f->pc - 1;
}

static void name_all(const struct image *im, struct tables *t, struct wanted *w, size_t n) {
    if (!read_tables(im, t))
        return;
    search(im, t, w, n);
    for (; n > 0; w++, n--) {
        if (!w->found)
            continue;
        name_of(im, t, &w->symbol, w->frame->function, sizeof w->frame->function);
        w->frame->start = subject(w->frame) - (uintptr_t)(w->address - w->symbol.st_value);
    }
}

static bool same_file(const struct os_mapping *a, const struct os_mapping *b) {
    return a == b || (a->file[0] == '/' && strcmp(a->file, b->file) == 0);
}

/* All frames from the first on that are in its file. */
static void symbolize_file(const struct wefti_code *code, const struct os_mapping *map,
                           struct wefti_frame *frames, size_t n) {
    struct image im;
    struct tables t;
    struct wanted w[MOST];
    size_t found = 0;
    if (!open_image(map, &im))
        return;
    bool head = read_head(&im, &t.head);
    for (size_t i = 0; head && i < n && found < MOST; i++) {
        uintptr_t at = subject(&frames[i]);
        const struct os_mapping *m = wefti_code_find(code, at);
        if (!m || !same_file(m, map) || !same_code(&im, m, at))
            continue;
        uint64_t address = own_address(&im, &t.head, at - m->start + m->offset);
        frames[i].offset = address + (frames[i].pc - at);
        w[found++] = (struct wanted){.frame = &frames[i], .address = address};
    }
    if (found > 0)
        name_all(&im, &t, w, found);
    close_image(&im);
}

static const char *base_name(const char *file) {
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

void wefti_symbolize(const struct wefti_code *code, struct wefti_frame *frames, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct wefti_frame *f = &frames[i];
        const struct os_mapping *map = wefti_code_find(code, subject(f));
        f->function[0] = '\0';
        f->start = 0;
        f->module = map && map->file[0] ? base_name(map->file) : "?";
        f->offset = map && map->file[0] ? f->pc - map->start + map->offset : f->pc;
    }
    for (size_t i = 0; i < n; i++) {
        const struct os_mapping *map = wefti_code_find(code, subject(&frames[i]));
        bool done = !map;
        for (size_t j = 0; j < i && !done; j++) {
            const struct os_mapping *before = wefti_code_find(code, subject(&frames[j]));
            done = before && same_file(before, map);
        }
        if (!done)
            symbolize_file(code, map, frames + i, n - i);
    }
}
