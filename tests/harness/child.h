/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the harness: child processes and their environment. See child.c. */
#ifndef WEFT_TEST_CHILD_H
#define WEFT_TEST_CHILD_H

#define WEFT_NO_ERRNO 1 /* the harness works below the runtime, on the thread's own errno */
#include "weft_test.h"

struct test_env {
    char **vars; /* ended by NULL */
    size_t count;
};
struct test_env test_env_copy(void);
void test_env_set(struct test_env *e, const char *text); /* text as in TEST_ENV */
void test_env_free(struct test_env *e);

/* Starts this program with argv; exit status or 128 + signal. */
int test_spawn(char **argv, char **envp);
struct test_output test_spawn_captured(char **argv, char **envp);

#endif
