/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procs.c: the number of Ps when nobody sets it, and how it follows the system: P13 to P17 of the
 * behaviours that weft shares with Go.
 *
 * The system is made up (os_pretend): eight CPUs, and a control group whose quota the test writes.
 * What reads real groups is tested in unit/cgroup.c, and real masks here.
 */
#include "conform.h"

#include <ftw.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "os/os.h"

enum { CPUS = 8 };

/* ---- a made-up system ---- */

static char top[] = "/tmp/weft-procs-XXXXXX";

static void put(const char *path, const char *text) {
    char full[256], now[264];
    snprintf(full, sizeof full, "%s%s", top, path);
    for (char *slash = full + strlen(top) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        CHECK(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    snprintf(now, sizeof now, "%s.new", full); /* never seen half written */
    FILE *f = fopen(now, "we");
    CHECK(f);
    CHECK(fputs(text, f) >= 0);
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(rename(now, full), 0);
}

static void set_quota(const char *text) {
    put("/sys/fs/cgroup/box/cpu.max", text);
}

/* The process is in /box/inner, whose own quota is no limit. */
static void make_system(const char *quota) {
    CHECK(mkdtemp(top));
    put("/proc/self/cgroup", "0::/box/inner\n");
    put("/proc/self/mountinfo", "31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/box/inner/cpu.max", "max 100000\n");
    set_quota(quota);
    os_pretend.cpus = CPUS;
    os_pretend.root = top;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st, (void)type, (void)where;
    return remove(path);
}

static void remove_system(void) {
    CHECK_EQ(nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static int asks(int argc, char **argv) {
    (void)argc, (void)argv;
    return weft_gomaxprocs(0);
}

static int procs_at_start(void) {
    return weft_run(asks, 0, NULL);
}

/* ---- the start ---- */

static void clear_environment(void) {
    unsetenv("GOMAXPROCS");
    unsetenv("WEFT_MAXPROCS");
}

TEST_PLAIN(P13_the_mask_and_the_quota_of_a_group_above) {
    clear_environment();
    make_system("max 100000\n");
    CHECK_EQ(procs_at_start(), CPUS);
    set_quota("400000 100000\n");
    CHECK_EQ(procs_at_start(), 4);
    os_pretend.cpus = 3;
    CHECK_EQ(procs_at_start(), 3);
    remove_system();
}

TEST_PLAIN(P13_a_real_mask) {
    clear_environment();
    cpu_set_t all, one;
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    os_pretend.root = "/nowhere"; /* without quotas */
    CHECK_EQ(procs_at_start(), CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(procs_at_start(), 1);
    CHECK_EQ(sched_setaffinity(0, sizeof all, &all), 0);
}

TEST_PLAIN(P14_rounded_up_and_never_below_two) {
    static const struct {
        const char *quota;
        int procs;
    } t[] = {{"200000 100000\n", 2}, {"200001 100000\n", 3}, {"250000 100000\n", 3},
             {"299999 100000\n", 3}, {"300000 100000\n", 3}, {"100000 100000\n", 2},
             {"50000 100000\n", 2},  {"1000 1000000\n", 2}};
    clear_environment();
    make_system("max 100000\n");
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        set_quota(t[i].quota);
        if (procs_at_start() != t[i].procs)
            FAIL("a quota of %.*s gives %d", (int)strlen(t[i].quota) - 1, t[i].quota,
                 procs_at_start());
    }
    os_pretend.cpus = 1; /* of CPUs there may be fewer than two */
    CHECK_EQ(procs_at_start(), 1);
    remove_system();
}

TEST_PLAIN(P15_more_than_there_is_or_no_limit) {
    clear_environment();
    make_system("900000 100000\n");
    CHECK_EQ(procs_at_start(), CPUS);
    set_quota("max 100000\n");
    CHECK_EQ(procs_at_start(), CPUS);
    os_pretend.root = "/nowhere";
    CHECK_EQ(procs_at_start(), CPUS);
    remove_system();
}

TEST_ENV(P15_containermaxprocs_0, "GODEBUG=containermaxprocs=0");
TEST_PLAIN(P15_containermaxprocs_0) {
    clear_environment();
    make_system("300000 100000\n");
    CHECK_EQ(procs_at_start(), CPUS);
    os_pretend.cpus = 5; /* the mask counts all the same */
    CHECK_EQ(procs_at_start(), 5);
    remove_system();
}

/* ---- following ---- */

static void run_in(const char *quota, int (*app)(int, char **)) {
    clear_environment();
    make_system(quota);
    CHECK_EQ(weft_run(app, 0, NULL), 0);
    remove_system();
}

static bool become(int n) {
    weft_time end = weft_now() + EVENTUALLY_LIMIT;
    while (weft_gomaxprocs(0) != n) {
        if (weft_now() > end)
            return false;
        weft_sleep(5 * WEFT_MILLISECOND);
    }
    return true;
}

/* Three looks in a row would have seen it. */
static bool stays(int n) {
    weft_time end = weft_now() + 3500 * WEFT_MILLISECOND;
    while (weft_now() < end && weft_gomaxprocs(0) == n)
        weft_sleep(5 * WEFT_MILLISECOND);
    return weft_gomaxprocs(0) == n;
}

static int follows(int argc, char **argv) {
    (void)argc, (void)argv;
    CHECK_EQ(weft_gomaxprocs(0), 4);
    weft_time first = weft_now();
    set_quota("600000 100000\n");
    CHECK(become(6));
    set_quota("max 100000\n");
    CHECK(become(CPUS));
    CHECK(weft_now() - first >= WEFT_SECOND); /* at most once a second */
    set_quota("300000 100000\n");
    CHECK(become(3));
    CHECK(weft_now() - first >= 2 * WEFT_SECOND);
    __atomic_store_n(&os_pretend.cpus, 2, __ATOMIC_RELEASE);
    CHECK(become(2));
    CHECK_EQ(weft_num_goroutine(), 1);
    CHECK_EQ(weft_num_cpu(), CPUS); /* at the start */
    return 0;
}

TEST_PLAIN(P16_a_changed_quota_and_mask_are_followed) {
    run_in("400000 100000\n", follows);
}

static _Atomic bool stop;
static _Atomic long turns;

static void keeps_busy(bool yields) {
    while (!stop) {
        turns++;
        if (yields)
            weft_yield();
        else
            weft_gomaxprocs(0); /* enters the runtime and does not wait there */
    }
}

static int follows_under_load(int argc, char **argv) {
    (void)argv;
    weft_wg wg = WEFT_WG_INIT;
    stop = false;
    for (int i = 0; i < 6; i++)
        weft_wg_go(&wg, keeps_busy, argc == 0);
    set_quota("300000 100000\n");
    CHECK(become(3));
    set_quota("100000 100000\n");
    CHECK(become(2));
    set_quota("500000 100000\n");
    CHECK(become(5));
    stop = true;
    weft_wg_wait(&wg);
    return 0;
}

static int follows_beside_loops(int argc, char **argv) {
    (void)argc;
    return follows_under_load(1, argv);
}

TEST_PLAIN(P16_followed_while_all_Ps_are_busy) {
    run_in("400000 100000\n", follows_under_load);
}

TEST_PLAIN(P16_followed_while_nobody_looks_for_work) {
    run_in("400000 100000\n", follows_beside_loops);
}

/* Hogs only, more than Ps, so each that is cut hands its P to the next one; main is one of them. */

static void loops(void) {
    while (!stop)
        for (int i = 0; i < 1000; i++)
            __asm__ volatile("" : "+r"(i));
}

static int follows_beside_hogs(int argc, char **argv) {
    (void)argc, (void)argv;
    stop = false;
    for (int i = 0; i < 6; i++)
        weft_go(loops);
    set_quota("300000 100000\n");
    weft_time end = weft_now() + EVENTUALLY_LIMIT;
    while (weft_gomaxprocs(0) != 3) /* waits for its turn as they do */
        CHECK(weft_now() < end);
    stop = true;
    return 0;
}

TEST_PLAIN(P16_followed_while_loops_pass_the_Ps_on) {
    run_in("200000 100000\n", follows_beside_hogs);
}

static int does_not_follow_a_set_number(int argc, char **argv) {
    (void)argc, (void)argv;
    CHECK_EQ(weft_gomaxprocs(4), 4); /* equal to the present one */
    set_quota("600000 100000\n");
    CHECK(stays(4));
    CHECK_EQ(weft_gomaxprocs(7), 4);
    CHECK(stays(7));
    return 0;
}

TEST_PLAIN(P16_not_after_the_program_set_a_number) {
    run_in("400000 100000\n", does_not_follow_a_set_number);
}

static int does_not_follow(int argc, char **argv) {
    (void)argc, (void)argv;
    set_quota("600000 100000\n");
    CHECK(stays(4));
    return 0;
}

TEST_PLAIN(P16_not_after_the_environment_set_a_number) {
    clear_environment();
    setenv("GOMAXPROCS", "4", 1);
    make_system("400000 100000\n");
    CHECK_EQ(weft_run(does_not_follow, 0, NULL), 0);
    remove_system();
}

TEST_ENV(P16_updatemaxprocs_0, "GODEBUG=updatemaxprocs=0");
TEST_PLAIN(P16_updatemaxprocs_0) {
    run_in("400000 100000\n", does_not_follow);
}

/* Numbers that the program sets win against one that is on its way. */
static int races(int argc, char **argv) {
    (void)argc, (void)argv;
    weft_time end = weft_now() + 3 * WEFT_SECOND;
    weft_gomaxprocs(7);
    for (int i = 0; weft_now() < end; i++) {
        set_quota(i % 2 ? "300000 100000\n" : "500000 100000\n");
        CHECK_EQ(weft_gomaxprocs_default(), 7);
        weft_gomaxprocs(7);
        for (int k = 0; k < i % 10; k++)
            weft_yield();
        CHECK_EQ(weft_gomaxprocs(0), 7);
    }
    return 0;
}

TEST_PLAIN(P16_a_set_number_is_not_overwritten) {
    run_in("400000 100000\n", races);
}

/* ---- the default again ---- */

static int restores(int argc, char **argv) {
    (void)argc, (void)argv;
    CHECK_EQ(weft_gomaxprocs(7), 4);
    set_quota("500000 100000\n");
    CHECK_EQ(weft_gomaxprocs_default(), 7);
    CHECK_EQ(weft_gomaxprocs(0), 5); /* at once */
    CHECK_EQ(weft_gomaxprocs_default(), 5);
    set_quota("300000 100000\n"); /* and followed again */
    CHECK(become(3));
    set_quota("600000 100000\n");
    CHECK_EQ(weft_gomaxprocs_default(), 3); /* sooner than by itself */
    CHECK_EQ(weft_gomaxprocs(0), 6);
    return 0;
}

TEST_PLAIN(P17_the_default_is_restored_at_once_and_followed) {
    run_in("400000 100000\n", restores);
}

TEST_PLAIN(P17_whatever_the_environment_said) {
    clear_environment();
    setenv("GOMAXPROCS", "4", 1);
    make_system("200000 100000\n");
    CHECK_EQ(weft_run(restores, 0, NULL), 0);
    remove_system();
}

static int restores_without_following(int argc, char **argv) {
    (void)argc, (void)argv;
    set_quota("500000 100000\n");
    CHECK_EQ(weft_gomaxprocs_default(), 4);
    CHECK_EQ(weft_gomaxprocs(0), 5);
    set_quota("600000 100000\n");
    CHECK(stays(5));
    return 0;
}

TEST_ENV(P17_updatemaxprocs_0, "GODEBUG=updatemaxprocs=0");
TEST_PLAIN(P17_updatemaxprocs_0) {
    run_in("400000 100000\n", restores_without_following);
}

/* A goroutine that pins its thread is not the process. */
static int pins_its_thread(int argc, char **argv) {
    (void)argc, (void)argv;
    int before = weft_gomaxprocs(0);
    cpu_set_t all, one;
    weft_lock_os_thread();
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(weft_gomaxprocs_default(), before);
    CHECK(stays(before));
    CHECK_EQ(sched_setaffinity(0, sizeof all, &all), 0);
    weft_unlock_os_thread();
    return 0;
}

TEST_PLAIN(P17_a_pinned_thread_is_not_the_process) {
    clear_environment();
    os_pretend.root = "/nowhere";
    CHECK_EQ(weft_run(pins_its_thread, 0, NULL), 0);
}

/* Without a runtime there is nothing to set. */
TEST_PLAIN(P17_without_a_runtime) {
    clear_environment();
    make_system("300000 100000\n");
    CHECK_EQ(weft_gomaxprocs_default(), 3);
    CHECK_EQ(weft_gomaxprocs(0), 3);
    remove_system();
}
