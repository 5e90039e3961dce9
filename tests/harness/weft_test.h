/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test harness: every test runs in a process of its own.
 *
 *     #include "weft_test.h"                 // brings <weft.h>
 *
 *     TEST(C2_buffered_send_returns)         // main goroutine of a weft_run
 *     {
 *         weft_chan(int) c = weft_chan_make(int, 1);
 *         CHECK(weft_send(c, 7));
 *         CHECK_EQ(weft_chan_len(c), 1);
 *         weft_chan_unref(c);
 *     }
 *
 *     TEST_PLAIN(ring_wraps) { ... }         // plain main, no runtime
 *
 *     TEST_ENV(T5_one_p, "GOMAXPROCS=1", "GODEBUG=schedseed=7");
 *     TEST(T5_one_p) { ... }                 // runs with that environment
 *
 *     TEST_DIES(C20_close_of_nil, 2, "fatal error: close of nil channel", "goroutine 1 [running]:")
 *     {
 *         weft_chan_close((weft_chan(int))NULL);
 *     }
 *
 * A test program run without arguments runs all its tests, each in a child; with a test's name it
 * runs that test in this very process (for gdb: break test_failed); with --list it prints the
 * names.
 *
 * A failed check ends the process at once, on whichever thread and stack it happened: the message
 * goes out by write(2), nothing is unwound. Rejected: counting failures and going on, because
 * after the first failure of a concurrent test what follows is usually a hang.
 *
 * This header is C11 and C++17 and must stay free of the scheduler's internals.
 */
#ifndef WEFT_TEST_H
#define WEFT_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weft.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- registration --------------------------------------------------------------------------- */

/* Runs a body: test_in_weft as the main goroutine of a weft_run, NULL in plain main. */
typedef void test_runner(void (*body)(void));
void test_in_weft(void (*body)(void));

/* One registered test. Records of the same name are merged: TEST_ENV adds to TEST. */
struct test {
    const char *name;
    const char *file;
    int line;
    int is_env_only; /* a TEST_ENV record: gives way to a TEST or TEST_PLAIN of its name */
    void (*body)(void);
    test_runner *runner;
    const char *const *env;  /* "NAME=value" strings up to NULL, or NULL */
    const char *const *dies; /* TEST_DIES: first line, then further substrings, up to NULL */
    int status;              /* TEST_DIES: the exit status, or 128 + signal */
    struct test *next;       /* owned by the harness, as all the rest once registered */
};
void test_register(struct test *t);

#define TEST_RECORD_(name, tag, env_only, runner, env, dies, status)                               \
    static void testing_body_##name(void);                                                         \
    static struct test                                                                             \
        testing_##tag##_##name = {#name,  __FILE__, __LINE__, env_only, testing_body_##name,       \
                                  runner, env,      dies,     status,   NULL};                     \
    __attribute__((constructor)) static void testing_##tag##_add_##name(void) {                    \
        test_register(&testing_##tag##_##name);                                                    \
    }

#define TEST(name)                                                                                 \
    TEST_RECORD_(name, run, 0, test_in_weft, NULL, NULL, 0)                                        \
    static void testing_body_##name(void)

#define TEST_PLAIN(name)                                                                           \
    TEST_RECORD_(name, plain, 0, NULL, NULL, NULL, 0)                                              \
    static void testing_body_##name(void)

/*
 * The body runs under weft_run in a child, which must end with `status` and whose stderr must begin
 * with the line `first` (exactly, without the newline) and contain each further string.
 */
#define TEST_DIES(name, status, ...)                                                               \
    static const char *const testing_dies_text_##name[] = {__VA_ARGS__, NULL};                     \
    TEST_RECORD_(name, dies, 0, test_in_weft, NULL, testing_dies_text_##name, status)              \
    static void testing_body_##name(void)

/* The same, in plain main: for what dies without a runtime, on a foreign thread, after a fork. */
#define TEST_PLAIN_DIES(name, status, ...)                                                         \
    static const char *const testing_dies_text_##name[] = {__VA_ARGS__, NULL};                     \
    TEST_RECORD_(name, dies, 0, NULL, NULL, testing_dies_text_##name, status)                      \
    static void testing_body_##name(void)

/*
 * Fixes the environment of the test `name`, set before the program starts (it re-execs itself).
 * Each argument is one "NAME=value", or several parted by a space, or by a comma that stands before
 * an upper-case NAME=, so "GOMAXPROCS=1,GODEBUG=schedtrace=10,scheddetail=1" is two variables.
 * Followed by ';' it is an attribute of a TEST, TEST_PLAIN or TEST_DIES elsewhere in the file;
 * followed by a body it is a TEST by itself.
 */
#define TEST_ENV(name, ...)                                                                        \
    static const char *const testing_env_text_##name[] = {__VA_ARGS__, NULL};                      \
    TEST_RECORD_(name, env, 1, test_in_weft, testing_env_text_##name, NULL, 0)                     \
    static void testing_body_##name(void)

/* ---- checks --------------------------------------------------------------------------------- */

__attribute__((noreturn, format(printf, 3, 4))) void test_failed(const char *file, int line,
                                                                 const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void test_skip(const char *format, ...);
void test_check_eq(const char *file, int line, const char *a_text, const char *b_text, long long a,
                   long long b);
void test_check_str(const char *file, int line, const char *a_text, const char *b_text,
                    const char *a, const char *b);

#define CHECK(cond) ((cond) ? (void)0 : test_failed(__FILE__, __LINE__, "CHECK(%s)", #cond))
/* a == b for integers, enums, bools and pointers */
#define CHECK_EQ(a, b) test_check_eq(__FILE__, __LINE__, #a, #b, (long long)(a), (long long)(b))
/* equal C strings; NULL equals only NULL */
#define CHECK_STR(a, b) test_check_str(__FILE__, __LINE__, #a, #b, (a), (b))
/* fails with a printf message */
#define FAIL(...) test_failed(__FILE__, __LINE__, __VA_ARGS__)

/* ---- helpers -------------------------------------------------------------------------------- */

struct test_output {
    int status; /* exit status, or 128 + signal */
    char *out;  /* stdout and stderr, each ended by a 0 byte; free with test_output_free */
    size_t out_len;
    char *err;
    size_t err_len;
};

/*
 * Runs `body` as the main goroutine of a weft_run (or plain) in a fresh process with `env` added to
 * the environment (as in TEST_ENV; NULL adds nothing) and waits for its end. `body` must be a
 * function of the test program. May be called in plain main and in a goroutine, which then blocks
 * its thread.
 */
struct test_output test_run_child_as(test_runner *runner, void (*body)(void), const char *env);
static inline struct test_output test_run_child(void (*body)(void), const char *env) {
    return test_run_child_as(test_in_weft, body, env);
}
static inline struct test_output test_run_child_plain(void (*body)(void), const char *env) {
    return test_run_child_as(NULL, body, env);
}
void test_output_free(struct test_output *o);

/* How long a stress test should run: WEFT_STRESS_SECONDS, else 1. */
double test_stress_seconds(void);
/* True once the stress time, counted from the start of the test, is over. Any thread may ask. */
bool test_stress_over(void);

/* 10 under a sanitizer, else 1: for patience and for loop counts (divide), never for assertions. */
int test_slowness(void);

/* Open descriptors of this process, the one used for counting left out. */
int test_count_fds(void);
/* Threads of this process, from /proc/self/task. */
int test_count_threads(void);

#ifdef __cplusplus
}
#endif

#endif
