/* SPDX-License-Identifier: Apache-2.0 */
/* Names of code, frames of a stack, and the reading of memory that may not be there. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/heap.h"
#include "observe/frames.h"
#include "sched/sched.h"
#include "stack/stack.h"
#include "weft_test.h"

static struct wefti_code *read_code(void) {
    static struct wefti_code code;
    wefti_code_read(&code, os_nanotime());
    CHECK(code.n > 1);
    return &code;
}

/* ---- reading ---- */

TEST_PLAIN(memory_is_read_up_to_what_is_not_there) {
    static char into[12288];
    char *m = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    memset(m, 'x', 12288);
    CHECK_EQ(os_read_memory((uintptr_t)m, into, 12288), 12288);
    CHECK_EQ(mprotect(m + 4096, 4096, PROT_NONE), 0);
    memset(into, 0, sizeof into);
    CHECK_EQ(os_read_memory((uintptr_t)m + 4000, into, 8000), 96);
    CHECK(into[0] == 'x' && into[95] == 'x' && into[96] == 0);
    CHECK_EQ(os_read_memory((uintptr_t)m + 4096, into, 1), 0);
    CHECK_EQ(os_read_memory(0, into, 1), 0);
}

TEST_PLAIN(names_of_system_calls) {
    static const struct {
        long number;
        const char *name;
    } some[] = {{SYS_read, "read"},
                {SYS_futex, "futex"},
                {SYS_clock_nanosleep, "clock_nanosleep"},
                {SYS_epoll_pwait, "epoll_pwait"},
                {SYS_getrandom, "getrandom"},
                {SYS_statx, "statx"},
                {425, "io_uring_setup"},
                {449, "futex_waitv"}};
    char name[32];
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        CHECK(os_call_name(some[i].number, name, sizeof name));
        CHECK_STR(name, some[i].name);
    }
    CHECK(!os_call_name(-1, name, sizeof name));
    CHECK(!os_call_name(400, name, sizeof name));
    CHECK(!os_call_name(5000, name, sizeof name));
}

/* ---- names ---- */

static __attribute__((noinline)) int known_function(int n) {
    __asm__ volatile("");
    return n + 1;
}

TEST_PLAIN(names_of_functions) {
    struct wefti_frame f[3] = {{.pc = (uintptr_t)known_function, .kind = WEFTI_FRAME_AT},
                               {.pc = (uintptr_t)&getppid, .kind = WEFTI_FRAME_AT},
                               {.pc = 4096, .kind = WEFTI_FRAME_AT}};
    CHECK_EQ(known_function(1), 2);
    wefti_symbolize(read_code(), f, 3);
    CHECK_STR(f[0].function, "known_function");
    CHECK_EQ(f[0].start, (uintptr_t)known_function);
    CHECK_STR(f[0].module, "frames");
    CHECK_STR(f[1].function, "getppid");
    CHECK(strncmp(f[1].module, "libc", 4) == 0);
    CHECK_STR(f[2].function, "");
    CHECK_STR(f[2].module, "?");
    CHECK_EQ(f[2].offset, 4096);
}

/* A call at the very end of a function returns to the next one's first byte. */
TEST_PLAIN(a_return_address_belongs_to_the_call) {
    struct wefti_frame f[2] = {{.pc = (uintptr_t)known_function, .kind = WEFTI_FRAME_RETURN},
                               {.pc = (uintptr_t)known_function + 1, .kind = WEFTI_FRAME_RETURN}};
    wefti_symbolize(read_code(), f, 2);
    CHECK(strcmp(f[0].function, "known_function") != 0);
    CHECK_STR(f[1].function, "known_function");
}

/* ---- frames ---- */

static struct wefti_frame found[40];
static size_t nfound;
static bool by_scan;

static uintptr_t stack_top(void) {
    struct m *mp = arch_getm();
    return (uintptr_t)wefti_stack_top(mp->curg);
}

static __attribute__((noinline)) void innermost(void) {
    struct os_regs at = {(uintptr_t)innermost + 1, (uintptr_t)__builtin_frame_address(0), 0};
    at.sp = at.fp;
    if (by_scan)
        at.fp = 0;
    nfound = wefti_frames(read_code(), &at, stack_top(), found, 40);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void middle(void) {
    innermost();
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void outermost_of_ours(void) {
    middle();
    __asm__ volatile("" ::: "memory");
}

static void check_frames(void) {
    static const char *const names[] = {"innermost", "middle", "outermost_of_ours"};
    wefti_symbolize(read_code(), found, nfound);
    size_t n = wefti_frames_settle(found, nfound);
    CHECK(n >= 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_STR(found[i].function, names[i]);
    for (size_t i = 0; i < n; i++)
        CHECK(strcmp(found[i].function, "wefti_goroutine_main") != 0);
}

TEST(frames_by_frame_pointers) {
    outermost_of_ours();
    check_frames();
}

TEST(frames_by_a_scan) {
    by_scan = true;
    outermost_of_ours();
    check_frames();
}

/* Registers that make no sense give one frame, or none, and no fault. */
TEST(frames_of_nonsense) {
    uintptr_t pc = (uintptr_t)innermost, top = stack_top();
    static const uintptr_t odd[] = {0, 1, 7, 4096, UINTPTR_MAX, UINTPTR_MAX - 7, 1ull << 47};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (size_t j = 0; j < sizeof odd / sizeof *odd; j++) {
            struct os_regs at = {pc, odd[i], odd[j]};
            CHECK_EQ(wefti_frames(read_code(), &at, top, found, 40), 1);
            at.sp = top - 8;
            CHECK(wefti_frames(read_code(), &at, top, found, 40) <= 3);
            at.pc = odd[i];
            CHECK_EQ(wefti_frames(read_code(), &at, top, found, 40), 0);
        }
}
