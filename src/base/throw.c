/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first thread to fail reports and ends the process. A second one that fails meanwhile waits
 * for that; the same one failing again, in the hook or in the dump, says so and ends it at once.
 *
 * All signals are blocked first: the report is not to be preempted, and a handler of the user's has
 * no business in it any more. Nothing here allocates or locks, but abort(), which is asked for.
 */
#include "throw.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <weft/debug.h>

#include "../os/os.h"
#include "atomic.h"
#include "fmt.h"
#include "traceback.h"

#define STDERR 2
#define TEXT_SIZE 512

void (*wefti_dump_hook)(int fd);
static void (*user_hook)(const char *text); /* atomic */
static uint32_t failing;                    /* kernel id of the thread that failed first (atomic) */
static const char *unsaid;                  /* that thread's: its message, until it is written */

void weft_set_fatal_hook(void (*fn)(const char *text)) {
    store_release(&user_hook, fn); /* pairs with the load in wefti_fatal */
}

enum wefti_traceback wefti_traceback(void) {
    static const struct {
        const char *name;
        enum wefti_traceback level;
    } levels[] = {
        {"none", WEFTI_TRACEBACK_NONE},     {"0", WEFTI_TRACEBACK_NONE},
        {"single", WEFTI_TRACEBACK_SINGLE}, {"all", WEFTI_TRACEBACK_ALL},
        {"1", WEFTI_TRACEBACK_ALL},         {"system", WEFTI_TRACEBACK_SYSTEM},
        {"2", WEFTI_TRACEBACK_SYSTEM},      {"crash", WEFTI_TRACEBACK_CRASH},
    };
    const char *value = getenv("GOTRACEBACK"); /* takes no lock */
    for (size_t i = 0; value && i < sizeof levels / sizeof *levels; i++)
        if (strcmp(value, levels[i].name) == 0)
            return levels[i].level;
    return WEFTI_TRACEBACK_ALL;
}

static void write_line(const char *before, const char *text) {
    char buffer[TEXT_SIZE + 64];
    struct wefti_out out = {STDERR, buffer, 0, sizeof buffer};
    wefti_out(&out, "%s%s\n", before, text);
    wefti_out_flush(&out);
}

static void block_signals(void) {
    struct os_sigmask all;
    memset(&all, 0xff, sizeof all);
    os_sigmask_set(&all);
}

/* Returns to one caller only. */
static void be_the_one(const char *text) {
    uint32_t me = os_gettid(), first = 0;
    if (cas_seqcst(&failing, &first, me)) {
        unsaid = text;
        return;
    }
    if (first == me) {
        if (unsaid)
            write_line("fatal error: ", unsaid);
        write_line("fatal error while reporting one: ", text);
        os_exit_now(2);
    }
    static uint32_t never;
    for (;;)
        os_futex_wait(&never, 0, -1);
}

void wefti_fatal(const char *format, ...) {
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    wefti_vfmt(text, sizeof text, format, args);
    va_end(args);

    block_signals();
    be_the_one(text);
    void (*hook)(const char *) = load_acquire(&user_hook); /* pairs with weft_set_fatal_hook */
    if (hook)
        hook(text);
    unsaid = NULL;
    write_line("fatal error: ", text);
    enum wefti_traceback level = wefti_traceback();
    if (level != WEFTI_TRACEBACK_NONE && wefti_dump_hook) {
        os_write(STDERR, "\n", 1);
        wefti_dump_hook(STDERR);
    }
    if (level == WEFTI_TRACEBACK_CRASH)
        abort();
    os_exit_now(2);
}

void wefti_fatal_after_fork(void) {
    failing = 0;
    unsaid = NULL;
}

void wefti_warn(const char *format, ...) {
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    wefti_vfmt(text, sizeof text, format, args);
    va_end(args);
    write_line("weft: ", text);
}
