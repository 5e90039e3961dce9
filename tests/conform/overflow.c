/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overflow.c: what a stack overflow prints (D29), on both ways of guarding stacks: in the main
 * goroutine, in one with a name, by small frames and by one frame larger than any guard, and in a
 * stack that has no guard because the process has no mappings left. (fatal.c has the sizes.)
 */
#include "conform.h"

#include <signal.h>

static const char *const guards[] = {NULL, "GODEBUG=guardprotect=1"};
enum { GUARDS = sizeof guards / sizeof *guards };

static int descend(int depth, volatile char *above) {
    volatile char frame[512];
    frame[0] = (char)depth;
    frame[511] = above[0];
    if (depth == -1)
        return 0;
    return descend(depth + 1, frame) + frame[depth % 512];
}

static void overflow(void) {
    volatile char top[1] = {0};
    descend(1, top);
}

/* The compiler touches each page of it on its way down (-fstack-clash-protection). */
static __attribute__((noinline)) int big_frame(void) {
    volatile char frame[100 * 1024];
    __asm__ volatile("" ::"r"(frame) : "memory"); /* else clang keeps one byte of it */
    frame[0] = 1;
    return frame[0];
}

static void overflow_at_once(void) {
    big_frame();
}

/* The report's first line begins like this on both paths. */
static void expect_report(void (*body)(void), const char *line) {
    for (int i = 0; i < GUARDS; i++) {
        struct test_output r = test_run_child(body, guards[i]);
        CHECK_EQ(r.status, 2);
        if (strncmp(r.err, line, strlen(line)) != 0)
            FAIL("%s: %s", guards[i] ? guards[i] : "default", r.err);
        test_output_free(&r);
    }
}

TEST_PLAIN(D29_main_goroutine) {
    expect_report(overflow, "fatal error: goroutine 1 overflowed its 8192 KB stack\n");
}

static void main_with_a_name(void) {
    weft_set_name("boss");
    overflow();
}

TEST_PLAIN(D29_main_goroutine_with_a_name) {
    expect_report(main_with_a_name,
                  "fatal error: goroutine 1 (boss) overflowed its 8192 KB stack\n");
}

static void named(void) {
    weft_go_with(&(struct weft_attr){.name = "digger"}, overflow);
    weft_sleep(WEFT_HOUR);
}

TEST_ENV(D29_goroutine_with_a_name, "GOMAXPROCS=1"); /* the second goroutine is number 2 */
TEST_PLAIN(D29_goroutine_with_a_name) {
    expect_report(named, "fatal error: goroutine 2 (digger) overflowed its 64 KB stack, created at "
                         "" __FILE__ ":");
}

static void by_one_frame(void) {
    weft_go(overflow_at_once);
    weft_sleep(WEFT_HOUR);
}

TEST_ENV(D29_one_frame_larger_than_the_guard, "GOMAXPROCS=1");
TEST_PLAIN(D29_one_frame_larger_than_the_guard) {
    expect_report(by_one_frame,
                  "fatal error: goroutine 2 overflowed its 64 KB stack, created at " __FILE__ ":");
}

static void grows_its_name(void) {
    weft_set_name("later");
    overflow();
}

static void one_of_many(void) {
    for (int i = 0; i < 300; i++)
        weft_go_with(&(struct weft_attr){.name = "other"}, weft_yield);
    weft_go(grows_its_name);
    weft_sleep(WEFT_HOUR);
}

TEST_PLAIN(D29_one_of_many) {
    for (int i = 0; i < GUARDS; i++) {
        struct test_output r = test_run_child(one_of_many, guards[i]);
        CHECK_EQ(r.status, 2);
        CHECK(strstr(r.err, "(later) overflowed its 64 KB stack, created at ") != NULL);
        test_output_free(&r);
    }
}

/* A fault that is no overflow dies as in any program. */
static void fault(void) {
    static int *volatile nowhere;
    *nowhere = 1;
}

TEST_PLAIN(D29_other_faults_are_not_overflows) {
    for (int i = 0; i < GUARDS && !SANITIZED; i++) {
        struct test_output r = test_run_child(fault, guards[i]);
        CHECK_EQ(r.status, 128 + SIGSEGV);
        CHECK(strstr(r.err, "overflowed") == NULL);
        test_output_free(&r);
    }
}

/* ---- without a guard ---- */

static _Atomic long parked;
static weft_chan(int) never;

static void parks(void) {
    parked++;
    weft_recv(never, NULL);
}

/* Beyond its 48 KB of use, not beyond its slot, and back into weft there. */
static void too_deep(void) {
    volatile char frame[54 * 1024];
    __asm__ volatile("" ::"r"(frame) : "memory"); /* else clang keeps two bytes of it */
    frame[0] = 1;
    weft_yield();
    weft_sleep(WEFT_MILLISECOND);
    frame[1] = frame[0];
}

/* More stacks than the kernel allows to guard; the next one's overflow is found when it switches.
 */
static void too_deep_beyond_the_mappings(void) {
    enum { MANY = 40000 };
    never = weft_chan_make(int, 0);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(weft_go(parks), 0);
        if (i % 1000 == 999)
            weft_yield();
    }
    EVENTUALLY(parked == MANY);
    for (int i = 0; i < 64; i++) /* not all in the last slab's lowest slot, which has a guard */
        weft_go_with(&(struct weft_attr){.name = "deep"}, too_deep);
    weft_sleep(WEFT_HOUR);
}

TEST_PLAIN(D29_unguarded_stacks_are_checked_at_switches) {
    if (SANITIZED)
        test_skip("too large");
    struct test_output r = test_run_child(too_deep_beyond_the_mappings, "GODEBUG=guardprotect=1");
    CHECK_EQ(r.status, 2);
    CHECK(strncmp(r.err, "fatal error: goroutine ", 23) == 0);
    if (strstr(r.err, "(deep) overflowed its 64 KB stack, created at ") == NULL)
        FAIL("%s", r.err);
    test_output_free(&r);
}
