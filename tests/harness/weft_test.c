/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness's main: registry, running, checks, watchdog. weft_test.h says what tests see.
 *
 * How a program is called:
 *     prog                     every test, each in a child; summary; status 1 if one failed
 *     prog NAME                that test in this process (re-execs itself once if TEST_ENV asks)
 *     prog --list              the names
 *     prog --dying NAME        child of a TEST_DIES: the body alone
 *     prog --body B:R          child of test_run_child: body and runner as distances from main,
 *                              which hold across exec whatever the load address
 * Exit status of a test: 0 passed, 1 failed, 77 skipped; a watchdog hit is SIGABRT.
 *
 * The watchdog is alarm(2), whose handler only writes and aborts: it needs no thread (tests count
 * threads) and works when every thread of the runtime hangs. SA_ONSTACK, because the signal may
 * arrive on a goroutine's small stack.
 */
#define _GNU_SOURCE
#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { STATUS_FAILED = 1, STATUS_USAGE = 64, STATUS_SKIPPED = 77 };

static struct test *first_test, **last_link = &first_test;
static const char *running = "?"; /* for messages */
static char watchdog_text[256];   /* composed beforehand: the handler only writes */
static struct timespec started;
static pid_t unfinished; /* the process whose test has yet to come to its end */

int main(int argc, char **argv);

/* ---- registry ------------------------------------------------------------------------------- */

static struct test *find_test(const char *name) {
    for (struct test *t = first_test; t; t = t->next) {
        if (strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}

/* Takes all but the environment from `t` into `into`; its place in the list stays. */
static void take_over(struct test *into, const struct test *t) {
    struct test merged = *t;
    merged.env = into->env;
    merged.next = into->next;
    *into = merged;
}

void test_register(struct test *t) {
    struct test *known = find_test(t->name);
    if (!known) {
        *last_link = t;
        last_link = &t->next;
    } else if (t->is_env_only && !known->env) {
        known->env = t->env;
    } else if (known->is_env_only && !t->is_env_only) {
        take_over(known, t);
    } else {
        fprintf(stderr, "%s:%d: test %s is defined twice\n", t->file, t->line, t->name);
        exit(STATUS_USAGE);
    }
}

/* ---- failing -------------------------------------------------------------------------------- */

/* write(2), because stdio may be locked by a goroutine that no longer runs. */
static void say(const char *text, size_t len) {
    while (len > 0) {
        ssize_t n = write(2, text, len);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

void test_failed(const char *file, int line, const char *format, ...) {
    char text[1024];
    int n = snprintf(text, sizeof text - 1, "%s:%d: test %s failed: ", file, line, running);
    va_list ap;
    va_start(ap, format);
    n += vsnprintf(text + n, sizeof text - 1 - (size_t)n, format, ap);
    va_end(ap);
    if ((size_t)n > sizeof text - 2)
        n = sizeof text - 2;
    text[n++] = '\n';
    say(text, (size_t)n);
    _exit(STATUS_FAILED);
}

void test_skip(const char *format, ...) {
    char text[512];
    int n = snprintf(text, sizeof text, "test %s skipped: ", running);
    va_list ap;
    va_start(ap, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, ap);
    va_end(ap);
    dprintf(2, "%s\n", text);
    _exit(STATUS_SKIPPED);
}

void test_check_eq(const char *file, int line, const char *a_text, const char *b_text, long long a,
                   long long b) {
    if (a != b)
        test_failed(file, line, "CHECK_EQ(%s, %s): %lld (%#llx) is not %lld (%#llx)", a_text,
                    b_text, a, a, b, b);
}

void test_check_str(const char *file, int line, const char *a_text, const char *b_text,
                    const char *a, const char *b) {
    if (a == b || (a && b && strcmp(a, b) == 0))
        return;
    test_failed(file, line, "CHECK_STR(%s, %s): \"%s\" is not \"%s\"", a_text, b_text,
                a ? a : "(NULL)", b ? b : "(NULL)");
}

/* ---- watchdog and stress time --------------------------------------------------------------- */

int test_slowness(void) {
    return SANITIZED ? 10 : 1;
}

double test_stress_seconds(void) {
    const char *s = getenv("WEFT_STRESS_SECONDS");
    double seconds = s ? strtod(s, NULL) : 0;
    return seconds > 0 ? seconds : 1;
}

bool test_stress_over(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double passed =
        (double)(now.tv_sec - started.tv_sec) + (double)(now.tv_nsec - started.tv_nsec) * 1e-9;
    return passed >= test_stress_seconds();
}

static void watchdog(int sig) {
    (void)sig;
    say(watchdog_text, strlen(watchdog_text));
    signal(SIGABRT, SIG_DFL);
    abort();
}

static unsigned patience(void) {
    const char *s = getenv("WEFT_TEST_TIMEOUT");
    int fixed = s ? atoi(s) : 0;
    if (fixed > 0)
        return (unsigned)fixed;
    double stress = getenv("WEFT_STRESS_SECONDS") ? 3 * test_stress_seconds() : 0;
    return (unsigned)(60 * test_slowness()) + (unsigned)stress;
}

/*
 * ThreadSanitizer puts handlers off until the thread's next intercepted call, which one asleep in the
 * runtime never makes: there, the handler is given to the kernel behind its back. It never returns,
 * so what it would return by doesn't matter.
 */
static void catch_alarm(void) {
#if defined(__SANITIZE_THREAD__) && defined(__x86_64__)
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } action = {watchdog, SA_ONSTACK | SA_RESTART | 0x04000000 /* SA_RESTORER */, abort, 0};
    syscall(SYS_rt_sigaction, SIGALRM, &action, NULL, sizeof action.mask);
#else
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = watchdog;
    sa.sa_flags = SA_ONSTACK | SA_RESTART;
    sigaction(SIGALRM, &sa, NULL);
#endif
}

static void start_watchdog(const char *name, const char *file, int line, unsigned extra) {
    running = name;
    clock_gettime(CLOCK_MONOTONIC, &started);
    unsigned seconds = patience() + extra;
    snprintf(watchdog_text, sizeof watchdog_text,
             "%s:%d: test %s failed: still running after %u s (WEFT_TEST_TIMEOUT changes this)\n",
             file, line, name, seconds);
    catch_alarm();
    alarm(seconds);
}

/* ---- leaks ---------------------------------------------------------------------------------- */

static int count_entries(const char *dir) {
    DIR *d = opendir(dir);
    if (!d)
        FAIL("%s: %s", dir, strerror(errno));
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

int test_count_fds(void) {
    return count_entries("/proc/self/fd") - 1;
}

#ifdef __SANITIZE_THREAD__
static void *nothing(void *arg) {
    return arg;
}

/* ThreadSanitizer's own thread comes with the first other one: so it is always there. */
__attribute__((constructor)) static void bring_sanitizer_thread(void) {
    pthread_t t;
    if (pthread_create(&t, NULL, nothing, NULL) == 0)
        pthread_join(t, NULL);
}
#define SANITIZER_THREADS 1
#else
#define SANITIZER_THREADS 0
#endif

int test_count_threads(void) {
    return count_entries("/proc/self/task") - SANITIZER_THREADS;
}

/* ---- running -------------------------------------------------------------------------------- */

static void run_body(test_runner *runner, void (*body)(void)) {
    if (runner)
        runner(body);
    else
        body();
}

static const char *skip_sanitizer_lines(const char *s) {
    while (SANITIZED && strncmp(s, "==", 2) == 0 && strchr(s, '\n'))
        s = strchr(s, '\n') + 1;
    return s;
}

static void check_death(const struct test *t, const struct test_output *o) {
    const char *err = skip_sanitizer_lines(o->err);
    size_t len = strcspn(err, "\n");
    if (o->status != t->status)
        test_failed(t->file, t->line, "exit status %d, not %d; stderr:\n%s", o->status, t->status,
                    o->err);
    if (t->dies[0] && (len != strlen(t->dies[0]) || strncmp(err, t->dies[0], len) != 0))
        test_failed(t->file, t->line, "stderr begins with\n%.*s\nnot with\n%s", (int)len, err,
                    t->dies[0]);
    for (const char *const *s = t->dies; *s; s++) {
        if (!strstr(err, *s))
            test_failed(t->file, t->line, "stderr lacks \"%s\":\n%s", *s, o->err);
    }
}

static void run_dying(const struct test *t, char *prog) {
    static char flag[] = "--dying";
    char *name = strdup(t->name);
    char *argv[] = {prog, flag, name, NULL};
    struct test_env env = test_env_copy();
    struct test_output o = test_spawn_captured(argv, env.vars);
    check_death(t, &o);
    test_output_free(&o);
    test_env_free(&env);
    free(name);
}

/* Sets the test's environment and starts over, unless that was done: the mark says so. */
static void apply_env(const struct test *t, char **argv) {
    const char *mark = getenv("WEFT_TEST_ENV_OF");
    if (!t->env || (mark && strcmp(mark, t->name) == 0))
        return;
    struct test_env env = test_env_copy();
    for (const char *const *s = t->env; *s; s++)
        test_env_set(&env, *s);
    char text[256];
    snprintf(text, sizeof text, "WEFT_TEST_ENV_OF=%s", t->name);
    test_env_set(&env, text);
    execve("/proc/self/exe", argv, env.vars);
    FAIL("execve: %s", strerror(errno));
}

/* Else a body, or a runtime, that calls exit(0) half-way would pass. */
static void complain_about_exit(void) {
    static const char text[] = "the process ended before its test did\n";
    if (unfinished != getpid())
        return;
    say(text, sizeof text - 1);
    _exit(STATUS_FAILED);
}

static int run_here(const struct test *t, char **argv) {
    apply_env(t, argv);
    start_watchdog(t->name, t->file, t->line, t->dies ? 10 : 0);
    unfinished = getpid();
    atexit(complain_about_exit);
    int before = test_count_fds();
    if (t->dies)
        run_dying(t, argv[0]);
    else
        run_body(t->runner, t->body);
    int after = test_count_fds();
    if (after > before)
        test_failed(t->file, t->line, "leaks descriptors: %d before, %d after", before, after);
    alarm(0);
    unfinished = 0;
    return 0;
}

static int run_all(char *prog) {
    int passed = 0, failed = 0, skipped = 0;
    for (struct test *t = first_test; t; t = t->next) {
        char *name = strdup(t->name);
        char *argv[] = {prog, name, NULL};
        struct test_env env = test_env_copy();
        int status = test_spawn(argv, env.vars);
        passed += status == 0;
        skipped += status == STATUS_SKIPPED;
        failed += status != 0 && status != STATUS_SKIPPED;
        printf("%s %s\n", status == 0 ? "ok  " : status == STATUS_SKIPPED ? "skip" : "FAIL", name);
        fflush(stdout);
        test_env_free(&env);
        free(name);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed ? STATUS_FAILED : 0;
}

/* ---- bodies in children --------------------------------------------------------------------- */

static uintptr_t distance(uintptr_t function) {
    return function ? function - (uintptr_t)main : 0;
}

static uintptr_t function_at(uintptr_t d) {
    return d ? (uintptr_t)main + d : 0;
}

struct test_output test_run_child_as(test_runner *runner, void (*body)(void), const char *env) {
    static char prog[] = "test-child", flag[] = "--body";
    char where[64];
    snprintf(where, sizeof where, "%" PRIxPTR ":%" PRIxPTR, distance((uintptr_t)body),
             distance((uintptr_t)runner));
    char *argv[] = {prog, flag, where, NULL};
    struct test_env e = test_env_copy();
    test_env_set(&e, env);
    struct test_output o = test_spawn_captured(argv, e.vars);
    test_env_free(&e);
    return o;
}

static int run_at(const char *where) {
    uintptr_t body, runner;
    if (sscanf(where, "%" SCNxPTR ":%" SCNxPTR, &body, &runner) != 2)
        return STATUS_USAGE;
    start_watchdog("body in a child", "test_run_child", 0, 0);
    run_body((test_runner *)function_at(runner), (void (*)(void))function_at(body));
    return 0;
}

static int usage(const char *prog) {
    fprintf(stderr, "usage: %s [NAME | --list]\n", prog);
    return STATUS_USAGE;
}

static struct test *find_or_complain(const char *name) {
    struct test *t = find_test(name);
    if (!t)
        fprintf(stderr, "no test %s; --list shows all\n", name);
    return t;
}

int main(int argc, char **argv) {
    if (argc == 1)
        return run_all(argv[0]);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (struct test *t = first_test; t; t = t->next)
            puts(t->name);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--body") == 0)
        return run_at(argv[2]);
    bool dying = argc == 3 && strcmp(argv[1], "--dying") == 0;
    if (argc != 2 && !dying)
        return usage(argv[0]);
    struct test *t = find_or_complain(argv[argc - 1]);
    if (!t)
        return STATUS_USAGE;
    if (!dying)
        return run_here(t, argv);
    start_watchdog(t->name, t->file, t->line, 0);
    run_body(t->runner, t->body);
    return 0;
}
