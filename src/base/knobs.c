/* SPDX-License-Identifier: Apache-2.0 */
#include "knobs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "throw.h"

#define DEFAULTS                                                                                   \
    { .containermaxprocs = 1, .updatemaxprocs = 1, .retake = 1, .earlycut = 1, .wakepin = 1 }

struct wefti_knobs wefti_knobs = DEFAULTS;
static const struct wefti_knobs defaults = DEFAULTS;

static const struct knob {
    const char *name;
    size_t value; /* offset in struct wefti_knobs */
    size_t given; /* offset of the member that says that it was given, or NO_MEMBER */
} knobs[] = {
#define NO_MEMBER SIZE_MAX
#define KNOB(name)                                                                                 \
    { #name, offsetof(struct wefti_knobs, name), NO_MEMBER }
    KNOB(schedtrace),
    KNOB(stall),
    KNOB(scheddetail),
    KNOB(asyncpreemptoff),
    KNOB(preemptsignal),
    KNOB(preemptslice),
    {"schedseed", offsetof(struct wefti_knobs, schedseed), offsetof(struct wefti_knobs, seeded)},
    KNOB(guardprotect),
    KNOB(containermaxprocs),
    KNOB(updatemaxprocs),
    KNOB(threadidle),
    KNOB(retake),
    KNOB(earlycut),
    KNOB(wakepin),
};
#define KNOBS (sizeof knobs / sizeof *knobs)

static bool said[KNOBS]; /* the bad value of this knob was told */
static bool said_stack;

static int64_t *member(size_t offset) {
    return (int64_t *)((char *)&wefti_knobs + offset);
}

/* Digits from at to end make a number from 0 to INT64_MAX; false for anything else. */
static bool parse_number(const char *at, const char *end, int64_t *value) {
    if (at == end)
        return false;
    int64_t n = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, *at - '0', &n))
            return false;
    }
    *value = n;
    return true;
}

static void set(const struct knob *k, const char *variable, const char *at, const char *end) {
    int64_t value = 0;
    bool good = parse_number(at, end, &value);
    *member(k->value) = good ? value : *(const int64_t *)((const char *)&defaults + k->value);
    if (k->given != NO_MEMBER)
        *member(k->given) = good;
    if (good || said[k - knobs])
        return;
    said[k - knobs] = true;
    wefti_warn("%s: bad value \"%.*s\" for %s", variable, (int)(end - at), at, k->name);
}

/* One entry of a list, without its comma. */
static void read_entry(const char *variable, const char *at, const char *end) {
    const char *equals = memchr(at, '=', (size_t)(end - at));
    if (!equals)
        return;
    size_t n = (size_t)(equals - at);
    for (const struct knob *k = knobs; k < knobs + KNOBS; k++)
        if (strlen(k->name) == n && memcmp(k->name, at, n) == 0)
            set(k, variable, equals + 1, end);
}

static void read_list(const char *variable) {
    const char *at = getenv(variable);
    while (at && *at != '\0') {
        size_t n = strcspn(at, ",");
        read_entry(variable, at, at + n);
        at += n + (at[n] == ',');
    }
}

static int64_t read_procs(const char *variable) {
    const char *text = getenv(variable);
    int64_t n = 0;
    if (!text || !parse_number(text, text + strlen(text), &n) || n > INT32_MAX)
        return 0;
    return n;
}

/* "65536", "64k", "1m" */
static bool parse_size(const char *text, int64_t *size) {
    const char *end = text + strlen(text);
    int64_t unit = 1;
    if (end > text && (end[-1] == 'k' || end[-1] == 'K'))
        unit = 1024;
    else if (end > text && (end[-1] == 'm' || end[-1] == 'M'))
        unit = 1024 * 1024;
    if (unit > 1)
        end--;
    return parse_number(text, end, size) && !__builtin_mul_overflow(*size, unit, size) && *size > 0;
}

static int64_t read_stack(void) {
    const char *text = getenv("WEFT_STACK");
    int64_t size = 0;
    if (!text || *text == '\0' || parse_size(text, &size))
        return size;
    if (!said_stack)
        wefti_warn("WEFT_STACK: bad value \"%s\"", text);
    said_stack = true;
    return 0;
}

void wefti_knobs_read(void) {
    wefti_knobs = defaults;
    read_list("GODEBUG");
    read_list("WEFT_DEBUG");
    int64_t procs = read_procs("WEFT_MAXPROCS");
    wefti_knobs.maxprocs = procs > 0 ? procs : read_procs("GOMAXPROCS");
    wefti_knobs.stack = read_stack();
}
