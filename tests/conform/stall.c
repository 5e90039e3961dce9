/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GODEBUG=stall: what is reported, with which cause and which frames, and what is not.
 *
 * The stalls are real ones, and each lasts until its report was read, so that a slow machine only
 * makes them longer. On a loaded one the cause of any computation may be that it had no CPU.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace_group.h"

enum { THRESHOLD = 50 }; /* milliseconds */
#define STALL "GODEBUG=stall=50"

static atomic_bool stop;
static int ends[2]; /* of a pipe */
static atomic_int back;

/* The first line that begins "STALL …ms: " and goes on with `who`; NULL: none yet, or not whole. Its
 * text from `who` on, without the newline; to be freed. */
static char *find_line(const char *text, const char *who) {
    for (const char *at = text; (at = strstr(at, who)) != NULL; at++) {
        const char *line = at;
        while (line > text && line[-1] != '\n')
            line--;
        const char *end = strchr(at, '\n');
        if (end != NULL && strncmp(line, "STALL ", 6) == 0 && strncmp(at - 4, "ms: ", 4) == 0)
            return strndup(at, (size_t)(end - at));
    }
    return NULL;
}

static char *await_line(const char *who) {
    weft_time end = weft_now() + 40 * WEFT_SECOND * test_slowness();
    for (;;) {
        char *text = trace_text(&caught), *line = find_line(text, who);
        if (line == NULL && weft_now() > end)
            FAIL("no line of %s in:\n%s", who, text);
        free(text);
        if (line != NULL)
            return line;
        weft_sleep(5 * WEFT_MILLISECOND);
    }
}

/* "goroutine 2 "name": 57 ms so far, CAUSE (…)": the milliseconds; *rest is what follows them. */
static long parse(const char *line, const char *words, const char **rest) {
    const char *at = strstr(line, ": ");
    CHECK(at != NULL);
    at += 2;
    long ms;
    if (strcmp(words, " so far, ") != 0 && !trace_word(&at, "ended after "))
        FAIL("not the end: %s", line);
    if (!trace_digits(&at, &ms) || !trace_word(&at, " ms") || !trace_word(&at, words))
        FAIL("does not parse: %s", line);
    *rest = at;
    return ms;
}

/* A report of a line's cause, which must be one of the two. */
static void expect_cause(const char *line, const char *cause, const char *or_else) {
    const char *rest;
    CHECK(parse(line, " so far, ", &rest) >= THRESHOLD);
    size_t n = strcspn(rest, "(");
    CHECK(n > 0);
    char *found = strndup(rest, rest[n] == '(' ? n - 1 : n);
    if (strcmp(found, cause) != 0 && (or_else == NULL || strcmp(found, or_else) != 0))
        FAIL("the cause is \"%s\", not \"%s\": %s", found, cause, line);
    free(found);
}

#define NO_CPU "waiting for a CPU"

static void expect_silence_of(const char *who) {
    char *text = trace_text(&caught), *line = find_line(text, who);
    if (line != NULL)
        FAIL("reported: %s", line);
    free(text);
}

static void run(void (*body)(void)) {
    free(run_caught(body));
    if (ends[1] != 0) {
        close(ends[0]);
        close(ends[1]);
    }
}

/* ---- computing ---- */

/* Without an access to memory: ThreadSanitizer's runtime is not to be interrupted. */
static __attribute__((noinline)) void compute_some(void) {
    for (int i = 0; i < 100000; i++)
        __asm__ volatile("" : "+r"(i));
}

static __attribute__((noinline)) void compute(void) {
    weft_set_name("hog");
    while (!stop)
        compute_some();
    stop = false;
}

static void a_hog(void) {
    weft_go(compute);
    char *line = await_line("goroutine 2 \"hog\"");
    expect_cause(line, "CPU", NO_CPU);
    CHECK(strstr(line, " (CPU ") != NULL);
    free(line);
    weft_sleep(3 * THRESHOLD * WEFT_MILLISECOND);
    stop = true;
    const char *rest;
    line = await_line("goroutine 2 \"hog\": ended");
    CHECK(parse(line, ", ", &rest) >= 2 * THRESHOLD);
    free(line);
}

TEST_ENV(a_goroutine_alone_that_computes, STALL, "GOMAXPROCS=2");
TEST_PLAIN(a_goroutine_alone_that_computes) {
    run(a_hog);
}

/* The frames under the report of goroutine `id`, up to the next report; to be freed. */
static char *frames_of(int id) {
    char who[32];
    snprintf(who, sizeof who, "goroutine %d \"hog\"", id);
    free(await_line(who));
    char *text = trace_text(&caught), *at = strstr(text, who);
    char *next = strstr(at, "\nSTALL ");
    char *frames = strndup(at, next ? (size_t)(next - at) : strlen(at));
    free(text);
    return frames;
}

/* A machine may be so busy that a goroutine does not answer in time: then another one does. */
static void hogs_until_frames(void) {
    weft_time end = weft_now() + 40 * WEFT_SECOND * test_slowness();
    for (int id = 2;; id++) {
        weft_go(compute);
        char *frames = frames_of(id);
        stop = true;
        while (stop)
            weft_sleep(WEFT_MILLISECOND);
        char *inner = strstr(frames, "\n\tcompute_some+0x"),
             *outer = strstr(frames, "\n\tcompute+0x");
        bool made = strstr(frames, "\ncreated by hogs_until_frames in goroutine 1\n\t") != NULL;
        bool good = outer && (!inner || inner < outer) && made;
        if (good) {
            CHECK(strstr(outer, "(stall+0x") != NULL); /* this program */
            CHECK(strstr(frames, "wefti_") == NULL && strstr(frames, "goroutine_top") == NULL);
        }
        if (!good && weft_now() > end)
            FAIL("no good frames: %s", frames);
        free(frames);
        if (good)
            return;
    }
}

TEST_ENV(frames_of_a_goroutine_that_computes, STALL, "GOMAXPROCS=2");
TEST_PLAIN(frames_of_a_goroutine_that_computes) {
    run(hogs_until_frames);
}

static atomic_int ready_hogs;

static void one_of_many(void) {
    weft_set_name("many");
    ready_hogs++;
    while (!stop)
        compute_some();
    ready_hogs--;
}

static void hogs_on_one_p(void) {
    for (int i = 0; i < 8; i++)
        weft_go(one_of_many);
    char *text, *line = NULL;
    weft_time end = weft_now() + 40 * WEFT_SECOND * test_slowness();
    while (line == NULL && weft_now() < end) {
        weft_sleep(5 * WEFT_MILLISECOND);
        text = trace_text(&caught);
        line = strstr(text, "\"many\"") ? strstr(text, " so far, " NO_CPU) : NULL;
        free(text);
    }
    CHECK(line != NULL);
    stop = true;
    while (ready_hogs != 0)
        weft_sleep(WEFT_MILLISECOND);
}

TEST_ENV(captives_wait_for_a_cpu, STALL, "GOMAXPROCS=1");
TEST_PLAIN(captives_wait_for_a_cpu) {
    run(hogs_on_one_p);
}

static void touches_pages(void) {
    size_t size = 32 << 20;
    weft_set_name("toucher");
    char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    madvise(m, size, MADV_NOHUGEPAGE);
    while (!stop) {
        for (size_t i = 0; i < size && !stop; i += 4096)
            m[i] = 1;
        madvise(m, size, MADV_DONTNEED);
    }
    munmap(m, size);
    stop = false;
}

static void a_toucher(void) {
    weft_go(touches_pages);
    char *line = await_line("goroutine 2 \"toucher\"");
    const char *rest;
    long faults = 0;
    parse(line, " so far, ", &rest);
    rest = strstr(rest, ", page faults ");
    CHECK(rest != NULL && trace_number(&rest, ", page faults ", &faults) && *rest == ')');
    CHECK(faults > 100);
    CHECK(strstr(line, "system call") == NULL);
    free(line);
    stop = true;
    while (stop)
        weft_sleep(WEFT_MILLISECOND);
}

TEST_ENV(page_faults, STALL, "GOMAXPROCS=2");
TEST_PLAIN(page_faults) {
    run(a_toucher);
}

/* ---- blocked in the kernel ---- */

static void reads_unannounced(void) {
    char c;
    CHECK_EQ(read(ends[0], &c, 1), 1);
    back++;
}

static void reads_in_bracket(void) {
    char c;
    weft_set_name("reader");
    CHECK_EQ(weft_block(read(ends[0], &c, 1)), 1);
    back++;
}

static void await_back(int n) {
    while (back != n)
        weft_sleep(WEFT_MILLISECOND);
}

static void an_unannounced_read(void) {
    CHECK_EQ(pipe(ends), 0);
    weft_go(reads_unannounced);
    char *line = await_line("goroutine 2");
    expect_cause(line, "system call read", NULL);
    free(line);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    await_back(1);
}

TEST_ENV(an_unannounced_system_call, STALL, "GOMAXPROCS=2");
TEST_PLAIN(an_unannounced_system_call) {
    run(an_unannounced_read);
}

static void a_bracket(void) {
    CHECK_EQ(pipe(ends), 0);
    weft_go(reads_in_bracket);
    char *line = await_line("goroutine 2 \"reader\"");
    expect_cause(line, "system call read, in weft_block", NULL);
    free(line);
    weft_sleep(3 * THRESHOLD * WEFT_MILLISECOND);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    await_back(1);
    const char *rest;
    line = await_line("goroutine 2 \"reader\": ended");
    CHECK(parse(line, ", system call read, in weft_block", &rest) >= 2 * THRESHOLD);
    CHECK_STR(rest, "");
    free(line);
    char *text = trace_text(&caught), *at = strstr(text, "so far");
    CHECK(strstr(at, "\n\treads_in_bracket+0x") != NULL);
    CHECK(strstr(at + 1, "so far") == NULL); /* once per stall */
    free(text);
}

TEST_ENV(a_system_call_in_a_bracket, STALL, "GOMAXPROCS=2");
TEST_PLAIN(a_system_call_in_a_bracket) {
    run(a_bracket);
}

static void naps(void) {
    weft_set_name("napper");
    while (!stop)
        usleep(2000); /* shorter each than what is reported, but no call into weft between them */
    stop = false;
}

static void a_napper(void) {
    weft_go(naps);
    char *line = await_line("goroutine 2 \"napper\"");
    expect_cause(line, "system call clock_nanosleep", NO_CPU);
    free(line);
    stop = true;
    while (stop)
        weft_sleep(WEFT_MILLISECOND);
}

TEST_ENV(many_short_sleeps_are_one_stall, STALL, "GOMAXPROCS=2");
TEST_PLAIN(many_short_sleeps_are_one_stall) {
    run(a_napper);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t has_lock, may_unlock;

static void *holds_lock(void *arg) {
    pthread_mutex_lock(&lock);
    sem_post(&has_lock);
    sem_wait(&may_unlock);
    pthread_mutex_unlock(&lock);
    return arg;
}

static void wants_lock(void) {
    weft_set_name("locker");
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    back++;
}

static void a_locker(void) {
    pthread_t holder;
    sem_init(&has_lock, 0, 0);
    sem_init(&may_unlock, 0, 0);
    CHECK_EQ(pthread_create(&holder, NULL, holds_lock, NULL), 0);
    sem_wait(&has_lock);
    weft_go(wants_lock);
    char *line = await_line("goroutine 2 \"locker\"");
    expect_cause(line, "system call futex", NULL);
    free(line);
    sem_post(&may_unlock);
    pthread_join(holder, NULL);
    await_back(1);
}

TEST_ENV(a_lock_of_pthreads, STALL, "GOMAXPROCS=2");
TEST_PLAIN(a_lock_of_pthreads) {
    run(a_locker);
}

static void a_crowd(void) {
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 40; i++)
        weft_go(reads_in_bracket);
    char *text, *more = NULL;
    weft_time end = weft_now() + 40 * WEFT_SECOND * test_slowness();
    while (more == NULL && weft_now() < end) {
        weft_sleep(20 * WEFT_MILLISECOND);
        text = trace_text(&caught);
        more = strstr(text, " more, not shown\n");
        free(text);
    }
    CHECK(more != NULL);
    for (int i = 0; i < 40; i++)
        CHECK_EQ(write(ends[1], "x", 1), 1);
    await_back(40);
}

TEST_ENV(no_flood, STALL, "GOMAXPROCS=2");
TEST_PLAIN(no_flood) {
    run(a_crowd);
}

/* ---- nothing ---- */

static weft_mutex mutex;
static weft_chan(int) never;

static void parks(void) {
    weft_recv(never, NULL);
}

static void parks_locked(void) {
    weft_lock_os_thread();
    weft_recv(never, NULL);
}

static void sleeps_long(void) {
    weft_sleep(WEFT_SECOND * 3600);
}

static void waits_for_io(void) {
    char c;
    weft_read(ends[0], &c, 1);
}

static void waits_for_mutex(void) {
    weft_mutex_lock(&mutex);
}

static void short_brackets(void) {
    weft_set_name("short");
    for (;;)
        weft_block(usleep(1000));
}

static void those_that_park(void) {
    CHECK_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    never = weft_chan_make(int, 0);
    weft_mutex_lock(&mutex);
    weft_go(parks);
    weft_go(parks_locked);
    weft_go(sleeps_long);
    weft_go(waits_for_io);
    weft_go(waits_for_mutex);
    weft_sleep(10 * THRESHOLD * WEFT_MILLISECOND);
    for (int id = 2; id <= 6; id++) {
        char who[32];
        snprintf(who, sizeof who, "goroutine %d", id);
        expect_silence_of(who);
    }
}

TEST_ENV(goroutines_that_wait_are_none, STALL, "GOMAXPROCS=2");
TEST_PLAIN(goroutines_that_wait_are_none) {
    run(those_that_park);
}

/* It gives way all the time; on a busy machine it may have to wait for a CPU, though. */
static void one_that_yields(void) {
    weft_time end = weft_now() + 6 * THRESHOLD * WEFT_MILLISECOND;
    while (weft_now() < end)
        weft_yield();
    char *text = trace_text(&caught);
    CHECK(strstr(text, " so far, CPU") == NULL);
    free(text);
}

TEST_ENV(one_that_yields_is_none, STALL, "GOMAXPROCS=2");
TEST_PLAIN(one_that_yields_is_none) {
    run(one_that_yields);
}

TEST_ENV(one_that_yields_on_one_P_is_none, STALL, "GOMAXPROCS=1");
TEST_PLAIN(one_that_yields_on_one_P_is_none) {
    run(one_that_yields);
}

static void in_short_brackets(void) {
    weft_go(short_brackets);
    weft_sleep(6 * THRESHOLD * WEFT_MILLISECOND);
    char *text = trace_text(&caught);
    CHECK(strstr(text, "system call clock_nanosleep") == NULL);
    free(text);
}

TEST_ENV(short_brackets_in_a_row_are_none, STALL, "GOMAXPROCS=2");
TEST_PLAIN(short_brackets_in_a_row_are_none) {
    run(in_short_brackets);
}

static void silent_reader(void) {
    CHECK_EQ(pipe(ends), 0);
    weft_go(reads_in_bracket);
    weft_sleep(4 * THRESHOLD * WEFT_MILLISECOND);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    await_back(1);
    expect_silence_of("goroutine");
}

TEST_ENV(nothing_unless_asked_for, "GODEBUG=");
TEST_PLAIN(nothing_unless_asked_for) {
    run(silent_reader);
}
