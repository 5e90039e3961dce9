/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that must fail: cmake/WeftTests.cmake names for each the message that ctest looks for. */
#include "child.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TEST(check) {
    CHECK(1 > 2);
}

TEST_PLAIN(eq) {
    CHECK_EQ(1, 2);
}

TEST_PLAIN(str) {
    CHECK_STR("a", NULL);
}

TEST(leaks_descriptor) {
    if (dup(0) < 0)
        abort();
}

TEST_ENV(hangs, "WEFT_TEST_TIMEOUT=1") {
    for (;;)
        pause();
}

TEST(exits) {
    exit(0);
}

TEST_PLAIN_DIES(wrong_status, 2, "a") {
    fprintf(stderr, "a\n");
    _exit(3);
}

TEST_PLAIN_DIES(wrong_line, 2, "a") {
    fprintf(stderr, "ab\n");
    _exit(2);
}

TEST_PLAIN_DIES(lacks_text, 2, "a", "b") {
    fprintf(stderr, "a\n");
    _exit(2);
}

TEST_DIES(lives, 2, "a") {
}
