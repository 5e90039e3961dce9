/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump.c: what weft_dump and the report of a fatal error print (D10 to D16): the guilty goroutine
 * first, header lines, names, and where each goroutine was started. D14, the minutes of a wait,
 * would need a minute; the frames of D11 come with a traceback of their own.
 */
#include "conform.h"

#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>

static weft_chan(int) never;

static void parks(void) {
    weft_recv(never, NULL);
}

static void parks_locked(void) {
    weft_lock_os_thread();
    weft_recv(never, NULL);
}

static void parks_named(void) {
    weft_set_name("worker %d", 7);
    weft_recv(never, NULL);
}

/* The text of a dump; free() it. */
static char *dump_text(void) {
    int fd = memfd_create("dump", MFD_CLOEXEC);
    CHECK(fd >= 0);
    weft_dump(fd);
    off_t n = lseek(fd, 0, SEEK_END);
    char *text = calloc((size_t)n + 1, 1);
    CHECK_EQ(pread(fd, text, (size_t)n, 0), n);
    close(fd);
    return text;
}

static bool has(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool has(const char *text, const char *format, ...) {
    char part[1000];
    va_list ap;
    va_start(ap, format);
    vsnprintf(part, sizeof part, format, ap);
    va_end(ap);
    return strstr(text, part) != NULL;
}

static void expect(const char *text, const char *part) {
    if (!strstr(text, part))
        FAIL("no \"%s\" in:\n%s", part, text);
}

/* "created by FUNCTION in goroutine 1", and the place. */
static void expect_place(const char *text, const char *function, int line) {
    char part[1000];
    snprintf(part, sizeof part, "created by %s in goroutine 1\n\t%s:%d\n\n", function, __FILE__,
             line);
    expect(text, part);
}

static int starter_line;

static void starter(void) {
    starter_line = __LINE__ + 1;
    weft_go(parks);
}

TEST1(D11_D12_D13_D16_header_and_place) {
    never = weft_chan_make(int, 0);
    starter();
    settle();
    char *text = dump_text();
    CHECK(strncmp(text, "goroutine 1 [running]:\n\n", 24) == 0); /* main: nobody made it */
    expect(text, "goroutine 2 [chan receive]:\ncreated by starter in goroutine 1\n\t");
    expect_place(text, "starter", starter_line);
    free(text);
}

static int with_line, wg_line, group_line;
static weft_wg wg;
static weft_group group;

static int parks_in_group(void) {
    weft_recv(never, NULL);
    return 0;
}

static void starts_with(void) {
    with_line = __LINE__ + 1;
    weft_go_with(NULL, parks);
}

static void starts_wg(void) {
    wg_line = __LINE__ + 1;
    weft_wg_go(&wg, parks);
}

static void starts_group(void) {
    group_line = __LINE__ + 1;
    weft_group_go(&group, parks_in_group);
}

TEST1(D16_every_way_to_start_names_the_function_it_is_in) {
    never = weft_chan_make(int, 0);
    starts_with();
    starts_wg();
    starts_group();
    settle();
    char *text = dump_text();
    expect_place(text, "starts_with", with_line);
    expect_place(text, "starts_wg", wg_line);
    expect_place(text, "starts_group", group_line);
    free(text);
}

static void parks_for_arg(void *arg) {
    (void)arg;
    weft_recv(never, NULL);
}

/* Nobody's weft_go: the call that asked for it stands for a function. */
TEST1(D16_functions_of_timers_and_contexts) {
    never = weft_chan_make(int, 0);
    weft_after_func(0, parks_for_arg, NULL);
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_ctx_after_func(ctx, parks_for_arg, NULL);
    weft_ctx_cancel(ctx, 0);
    weft_sleep(2 * WEFT_MILLISECOND);
    settle();
    char *text = dump_text();
    CHECK(has(text, "[chan receive]:\ncreated by %s", "weft_after_func\n\t") ||
          has(text, "[chan receive]:\ncreated by %s", "weft_after_func in goroutine "));
    CHECK(has(text, "[chan receive]:\ncreated by %s", "weft_ctx_after_func"));
    free(text);
    weft_ctx_unref(ctx);
}

static int nested_line;

static void starts_another(void) {
    nested_line = __LINE__ + 1;
    weft_go(parks);
    weft_recv(never, NULL);
}

TEST1(D16_the_number_is_the_creators) {
    never = weft_chan_make(int, 0);
    weft_go(starts_another);
    settle();
    char *text = dump_text();
    char part[1000];
    snprintf(part, sizeof part, "created by starts_another in goroutine 2\n\t%s:%d\n", __FILE__,
             nested_line);
    expect(text, part);
    free(text);
}

static void *starts_on_a_thread(void *unused) {
    (void)unused;
    weft_go(parks);
    return NULL;
}

TEST1(D16_a_thread_has_no_number) {
    pthread_t thread;
    never = weft_chan_make(int, 0);
    CHECK_EQ(pthread_create(&thread, NULL, starts_on_a_thread, NULL), 0);
    CHECK_EQ(weft_block(pthread_join(thread, NULL)), 0);
    settle();
    char *text = dump_text();
    expect(text, "[chan receive]:\ncreated by starts_on_a_thread\n\t");
    free(text);
}

TEST1(D15_locked_and_named) {
    never = weft_chan_make(int, 0);
    weft_go(parks_locked);
    weft_go(parks_named);
    weft_go_with(&(struct weft_attr){.name = "a \"quoted\" name]"}, parks);
    EVENTUALLY(weft_num_goroutine() == 4);
    settle();
    char *text = dump_text();
    expect(text, " [chan receive, locked to thread]:\n");
    expect(text, " [chan receive, \"worker 7\"]:\n");
    expect(text, " [chan receive, \"a ?quoted? name?\"]:\n");
    free(text);
}

static void runnable(void) {
}

TEST_ENV(D12_runnable_and_syscall, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1") {
    never = weft_chan_make(int, 0);
    weft_go(runnable);
    char *text = dump_text();
    expect(text, "goroutine 2 [runnable]:\ncreated by ");
    free(text);
    weft_block_enter();
    text = dump_text();
    weft_block_exit();
    CHECK(strncmp(text, "goroutine 1 [", 13) == 0);
    free(text);
}

/* ---- the report of a fatal error ---- */

static void closes_null(void) {
    weft_chan_close((weft_chan(int))NULL);
}

static void others_and_a_guilty_one(void) {
    never = weft_chan_make(int, 0);
    starter();
    settle();
    weft_go(closes_null);
    weft_recv(never, NULL);
}

TEST_PLAIN(D10_D13_guilty_first_then_the_others) {
    struct test_output r = test_run_child(others_and_a_guilty_one, "GOMAXPROCS=1");
    CHECK_EQ(r.status, 2);
    const char *begin = "fatal error: close of nil channel\n\ngoroutine 3 [running]:\n"
                        "created by others_and_a_guilty_one in goroutine 1\n\t";
    if (strncmp(r.err, begin, strlen(begin)) != 0)
        FAIL("%s", r.err);
    expect(r.err, "\n\ngoroutine 1 [chan receive]:\n\n");
    expect(r.err, "\n\ngoroutine 2 [chan receive]:\ncreated by starter in goroutine 1\n\t");
    test_output_free(&r);
}

static void many_asleep(void) {
    never = weft_chan_make(int, 0);
    for (int i = 0; i < 500; i++)
        weft_go(parks);
    weft_recv(never, NULL);
}

TEST_PLAIN(D11_many_of_a_kind_are_counted) {
    struct test_output r = test_run_child(many_asleep, "GOMAXPROCS=2");
    CHECK_EQ(r.status, 2);
    expect(r.err, "[chan receive]:\n(and 499 more like it)\ncreated by many_asleep in goroutine 1");
    test_output_free(&r);
}
