/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place where the harness touches weft. It is a member of its own in the harness library,
 * so that programs with plain tests alone link without the scheduler.
 */
#include "weft_test.h"

static void (*body_to_run)(void);

static int app(int argc, char **argv) {
    (void)argc;
    (void)argv;
    body_to_run();
    return 0;
}

void test_in_weft(void (*body)(void)) {
    static char name[] = "test";
    char *argv[] = {name, NULL};
    body_to_run = body;
    int status = weft_run(app, 1, argv);
    if (status != 0)
        FAIL("weft_run returned %d", status);
}
