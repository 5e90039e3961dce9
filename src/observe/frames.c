/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With frame pointers each function begins by pushing its caller's, so a stack holds a chain of records
 *
 *     fp: the caller's fp, the address it returns to        (two words below fp on RISC-V)
 *
 * up to that of wefti_goroutine_main, whose caller's fp is 0. A record counts only if it lies above the
 * one before and below the stack's top, and if its return address is code that follows a call.
 *
 * Where the chain begins. A thread stopped by a signal shows its registers. Of one that is blocked
 * in a system call only sp and pc are known, and the C library keeps no frame pointers. So the stack
 * is scanned from sp upwards for the first record from which a good chain leads to its top; and so it
 * is when fp holds something else, as code without frame pointers may use it, or still the runtime's.
 *
 * What lies between sp and that record belongs to functions without frame pointers. Return
 * addresses found there are guesses: also calls that are long over have left theirs. A guess is
 * proved if the call before it leads, directly or through the linkage table, to the beginning of
 * the function of the frame below it. The rest print with a question mark. What the heuristic can
 * miss: a chain may begin at the record of a call that is over and whose space its caller did not
 * use again (the caller is right then, and the line above it is not); a jump in place of a last
 * call leaves no trace.
 *
 * Rejected: unwind tables. They need the loader's list of modules under its lock, memory, and much
 * code that trusts them.
 */
#include "frames.h"

#include <string.h>

#include "../arch/arch.h"

#define SCAN ((uintptr_t)16384) /* bytes looked through */
#define LEAF ((uintptr_t)256)   /* … below a known frame, for the return address of a leaf */
#define GUESSES 12
#define DEEP 256 /* records in a chain */
#define WORD sizeof(uintptr_t)

#ifdef __riscv
#define RECORD_BELOW (2 * WORD)
#else
#define RECORD_BELOW 0
#endif

/* ---- calls ---- */

#if defined(__x86_64__)
#define BEFORE 7 /* bytes of the longest call */

/* Of an indirect call, ff /2, with these operand bytes. */
static size_t length_of_indirect(const unsigned char *at) {
    unsigned modrm = at[1], mode = modrm >> 6, rm = modrm & 7;
    if (at[0] != 0xff || (modrm >> 3 & 7) != 2)
        return 0;
    size_t n = 2;
    if (mode != 3 && rm == 4) {
        n = 3;
        if (mode == 0 && (at[2] & 7) == 5)
            n += 4;
    }
    if (mode == 0 && rm == 5)
        n += 4;
    return n + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

static bool follows_call(uintptr_t pc) {
    unsigned char code[BEFORE];
    if (os_read_memory(pc - BEFORE, code, BEFORE) != BEFORE)
        return false;
    if (code[BEFORE - 5] == 0xe8)
        return true;
    for (size_t n = 2; n <= BEFORE; n++)
        if (length_of_indirect(code + BEFORE - n) == n)
            return true;
    return false;
}

static uintptr_t through_slot(uintptr_t next, const unsigned char *offset) {
    int32_t distance;
    uintptr_t target = 0;
    memcpy(&distance, offset, sizeof distance);
    os_read_memory(next + (uintptr_t)(intptr_t)distance, &target, sizeof target);
    return target;
}

/* Where the call before pc leads; 0: not known. */
static uintptr_t callee(uintptr_t pc) {
    unsigned char call[6], stub[11];
    int32_t distance;
    if (os_read_memory(pc - sizeof call, call, sizeof call) != sizeof call)
        return 0;
    if (call[0] == 0xff && call[1] == 0x15)
        return through_slot(pc, call + 2);
    if (call[1] != 0xe8)
        return 0;
    memcpy(&distance, call + 2, sizeof distance);
    uintptr_t target = pc + (uintptr_t)(intptr_t)distance;
    if (os_read_memory(target, stub, sizeof stub) != sizeof stub)
        return target;
    size_t at = memcmp(stub, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0; /* endbr64 */
    at += stub[at] == 0xf2;                                       /* bnd */
    if (stub[at] == 0xff && stub[at + 1] == 0x25)
        return through_slot(target + at + 6, stub + at + 2);
    return target;
}
#elif defined(__aarch64__)
static bool follows_call(uintptr_t pc) {
    uint32_t code;
    return os_read_memory(pc - 4, &code, 4) == 4 &&
           (code >> 26 == 0x25 || (code & 0xfffffc1f) == 0xd63f0000); /* bl, blr */
}

static uintptr_t callee(uintptr_t pc) {
    uint32_t code;
    if (os_read_memory(pc - 4, &code, 4) != 4 || code >> 26 != 0x25)
        return 0;
    return pc - 4 + (uintptr_t)((int64_t)((uint64_t)code << 38) >> 36);
}
#else
static bool follows_call(uintptr_t pc) {
    (void)pc;
    return true;
}

static uintptr_t callee(uintptr_t pc) {
    (void)pc;
    return (uintptr_t)wefti_goroutine_main; /* whatever fp 0 is below */
}
#endif

/* ---- records ---- */

struct walk {
    const struct wefti_code *code;
    uintptr_t hi;
    struct wefti_frame *frames;
    size_t n, room;
};

struct record {
    uintptr_t fp, pc;
};

static void add(struct walk *w, uintptr_t pc, enum wefti_frame_kind kind) {
    if (w->n < w->room) {
        w->frames[w->n].pc = pc;
        w->frames[w->n++].kind = kind;
    }
}

static bool is_return(const struct walk *w, uintptr_t pc) {
    return pc > 1 && wefti_code_find(w->code, pc - 1) && follows_call(pc);
}

static bool read_record(const struct walk *w, uintptr_t fp, struct record *r) {
    uintptr_t at = fp - RECORD_BELOW;
    return fp % WORD == 0 && at < w->hi && w->hi - at >= sizeof *r &&
           os_read_memory(at, r, sizeof *r) == sizeof *r &&
           (r->fp == 0 || (r->fp > fp && r->fp < w->hi)) && is_return(w, r->pc);
}

/* That of the runtime's function below all of a goroutine's. */
static bool outermost(const struct record *r) {
    return r->fp == 0 && callee(r->pc) == (uintptr_t)wefti_goroutine_main;
}

static bool good_chain(const struct walk *w, uintptr_t fp) {
    struct record r = {fp, 0};
    for (int i = 0; i < DEEP && read_record(w, fp, &r); i++) {
        if (r.fp == 0)
            return outermost(&r);
        fp = r.fp;
    }
    return false;
}

static void follow(struct walk *w, uintptr_t fp) {
    struct record r;
    for (; w->n < w->room && read_record(w, fp, &r); fp = r.fp) {
        if (outermost(&r))
            return;
        add(w, r.pc, WEFTI_FRAME_RETURN);
        if (r.fp == 0)
            return;
    }
}

/* ---- scanning ---- */

/* Words of the stack from sp on, read in pieces. */
struct words {
    uintptr_t at, end; /* of what was read */
    uintptr_t word[128];
};

static bool word_at(struct words *ws, uintptr_t address, uintptr_t *value) {
    if (address < ws->at || address >= ws->end) {
        ws->at = address;
        ws->end = address + os_read_memory(address, ws->word, sizeof ws->word) / WORD * WORD;
    }
    if (address >= ws->end)
        return false;
    *value = ws->word[(address - ws->at) / WORD];
    return true;
}

static void scan(struct walk *w, uintptr_t sp) {
    struct words ws = {0, 0, {0}};
    uintptr_t value, end = w->hi - sp < SCAN ? w->hi : sp + SCAN;
    int guesses = 0;
    for (uintptr_t at = (sp + WORD - 1) / WORD * WORD; at < end && word_at(&ws, at, &value);
         at += WORD) {
        uintptr_t fp = at + RECORD_BELOW;
        if ((value == 0 || (value > fp && value < w->hi)) && good_chain(w, fp)) {
            follow(w, fp);
            return;
        }
        if (guesses < GUESSES && is_return(w, value) && w->frames[w->n - 1].pc != value) {
            add(w, value, WEFTI_FRAME_GUESS);
            guesses++;
        }
    }
}

/* In a function that keeps no frame pointer, or before it set its own: its return address. */
static void look_for_leaf(struct walk *w, uintptr_t sp, uintptr_t fp) {
    struct words ws = {0, 0, {0}};
    uintptr_t value, end = fp - sp < LEAF ? fp : sp + LEAF;
    for (uintptr_t at = sp; at < end && word_at(&ws, at, &value); at += WORD)
        if (is_return(w, value)) {
            add(w, value, WEFTI_FRAME_UNSURE);
            return;
        }
}

size_t wefti_frames(const struct wefti_code *code, const struct os_regs *at, uintptr_t hi,
                    struct wefti_frame *frames, size_t n) {
    struct walk w = {code, hi, frames, 0, n};
    if (!wefti_code_find(code, at->pc))
        return 0;
    add(&w, at->pc, WEFTI_FRAME_AT);
    struct record r;
    if (at->sp >= hi || at->sp % WORD != 0)
        return w.n;
    if (at->fp >= at->sp && at->fp < hi && read_record(&w, at->fp, &r) && !outermost(&r)) {
        look_for_leaf(&w, at->sp, at->fp - RECORD_BELOW);
        follow(&w, at->fp);
    } else {
        scan(&w, at->sp);
    }
    return w.n;
}

/* ---- afterwards ---- */

static bool runtime_below(const struct wefti_frame *f) {
    return f->start != 0 && f->start == (uintptr_t)wefti_goroutine_main;
}

size_t wefti_frames_settle(struct wefti_frame *frames, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct wefti_frame *f = &frames[i];
        if (i > 0 && runtime_below(f))
            break;
        if (f->kind >= WEFTI_FRAME_GUESS && kept > 0 && frames[kept - 1].start != 0 &&
            callee(f->pc) == frames[kept - 1].start)
            f->kind = WEFTI_FRAME_RETURN;
        if (f->kind == WEFTI_FRAME_UNSURE)
            continue;
        if (kept != i)
            frames[kept] = *f;
        kept++;
    }
    return kept;
}

void wefti_frames_print(struct wefti_out *out, const struct wefti_frame *frames, size_t n) {
    for (const struct wefti_frame *f = frames; f < frames + n; f++) {
        const char *doubt = f->kind == WEFTI_FRAME_GUESS ? " ?" : "";
        unsigned long long offset = f->offset;
        if (f->function[0])
            wefti_out(out, "\t%s+0x%llx (%.60s+0x%llx)%s\n", f->function,
                      (unsigned long long)(f->pc - f->start), f->module, offset, doubt);
        else
            wefti_out(out, "\t%.60s+0x%llx%s\n", f->module, offset, doubt);
    }
}
