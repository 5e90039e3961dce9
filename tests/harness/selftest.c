/* SPDX-License-Identifier: Apache-2.0 */
/* The harness tested by itself: what passes. What must fail is in failing.c. */
#include "child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST(checks_pass) {
    CHECK(1 < 2);
    CHECK_EQ(4, 2 + 2);
    CHECK_EQ(&stdout, &stdout);
    CHECK_STR("a", "a");
    CHECK_STR(NULL, NULL);
}

TEST_ENV(env_as_attribute, "GOMAXPROCS=1,GODEBUG=schedtrace=60000,asyncpreemptoff=1 X=y", "Z=1");
TEST(env_as_attribute) {
    CHECK_STR(getenv("GOMAXPROCS"), "1");
    CHECK_STR(getenv("GODEBUG"), "schedtrace=60000,asyncpreemptoff=1");
    CHECK_STR(getenv("X"), "y");
    CHECK_STR(getenv("Z"), "1");
}

TEST_ENV(env_with_body, "X=2") {
    CHECK_STR(getenv("X"), "2");
}

TEST_PLAIN(env_after_the_test) {
    CHECK_STR(getenv("X"), "3");
}
TEST_ENV(env_after_the_test, "X=3");

static void speak(void) {
    printf("hello %s\n", getenv("X"));
    fflush(stdout);
    fprintf(stderr, "error\n");
    _exit(9);
}

TEST(child_of_a_goroutine) {
    struct test_output o = test_run_child(speak, "X=7");
    CHECK_EQ(o.status, 9);
    CHECK_STR(o.out, "hello 7\n");
    CHECK_STR(o.err, "error\n");
    CHECK_EQ(o.out_len, 8);
    CHECK_EQ(o.err_len, 6);
    test_output_free(&o);
}

static void flood(void) {
    for (int i = 0; i < 20000; i++) {
        fputs("123456789\n", stdout);
        fputs("123456789\n", stderr);
    }
    abort();
}

TEST_PLAIN(child_that_floods_and_aborts) {
    struct test_output o = test_run_child_plain(flood, NULL);
    CHECK_EQ(o.status, 128 + 6);
    CHECK_EQ(o.err_len, 200000);
    test_output_free(&o);
}

static void fail(void) {
    CHECK_EQ(1 + 1, 3);
}

TEST_PLAIN(child_that_fails) {
    struct test_output o = test_run_child(fail, NULL);
    CHECK_EQ(o.status, 1);
    CHECK(strstr(o.err, "CHECK_EQ(1 + 1, 3): 2 (0x2) is not 3 (0x3)"));
    test_output_free(&o);
}

TEST_PLAIN(counts_descriptors_and_threads) {
    int fds = test_count_fds();
    int d = dup(0);
    CHECK_EQ(test_count_fds(), fds + 1);
    close(d);
    CHECK(test_count_threads() >= 1);
}

TEST_DIES(dies, 2, "fatal error: x", "goroutine 1 [running]", "main.c") {
    fprintf(stderr, "fatal error: x\n\ngoroutine 1 [running]:\n\tmain.c:7\n");
    _exit(2);
}

TEST_PLAIN_DIES(dies_by_signal, 128 + 6, NULL) {
    abort();
}

TEST_ENV(dies_with_env, "X=2");
TEST_DIES(dies_with_env, 3, "X is 2") {
    fprintf(stderr, "X is %s\n", getenv("X"));
    _exit(3);
}
