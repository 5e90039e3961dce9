/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_cpu_quota over made-up systems: each test writes /proc/self/{cgroup,mountinfo} and the groups'
 * files below a folder of its own.
 */
#define _GNU_SOURCE
#define WEFT_NO_ERRNO 1
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/linux/cgroup.h"
#include "os/os.h"
#include "weft_test.h"

#define OTHER_MOUNTS                                                                               \
    "22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw\n"                                     \
    "27 1 254:0 / / rw - ext4 /dev/vda rw,discard,cpu\n"
#define V2_MOUNT(root, point)                                                                      \
    "31 23 0:26 " root " " point " rw,nosuid shared:4 master:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT(root, point)                                                                      \
    "32 31 0:29 " root " " point " rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
#define V1_OTHER_MOUNT "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,cpuacct\n"

static char top[64];

static void make_top(void) {
    strcpy(top, "/tmp/weft-cgroup-XXXXXX");
    CHECK(mkdtemp(top));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static void write_bytes(const char *path, const char *bytes, size_t n) {
    char full[PATH_MAX * 2];
    snprintf(full, sizeof full, "%s%s", top, path);
    for (char *slash = full + strlen(top) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        CHECK(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    CHECK(f);
    CHECK_EQ(fwrite(bytes, 1, n, f), n);
    CHECK_EQ(fclose(f), 0);
}

static void put(const char *path, const char *text) {
    if (!top[0])
        make_top();
    write_bytes(path, text, strlen(text));
}

static void put_v1(const char *group, const char *quota, const char *period) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", group);
    put(path, quota);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", group);
    put(path, period);
}

static void take_away(const char *path) {
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", top, path);
    CHECK_EQ(unlink(full), 0);
}

static int quota(void) {
    return os_cpu_quota_below(top);
}

static void done(void) {
    CHECK_EQ(nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* A version 2 system whose process is in /a/b. */
static void v2_system(void) {
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/proc/self/mountinfo", OTHER_MOUNTS V2_MOUNT("/", "/sys/fs/cgroup"));
}

static void v1_system(void) {
    put("/proc/self/cgroup",
        "9:name=systemd:/s\n5:cpuset:/c\n4:cpu,cpuacct:/a/b\n3:xcpu,cpux:/d\n");
    put("/proc/self/mountinfo",
        OTHER_MOUNTS V1_OTHER_MOUNT V1_MOUNT("/", "/sys/fs/cgroup/cpu,cpuacct"));
}

/* ---- version 2 ---- */

TEST_PLAIN(v2_own_group) {
    v2_system();
    CHECK_EQ(quota(), 0);
    put("/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
    CHECK_EQ(quota(), 3);
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CHECK_EQ(quota(), 0);
    done();
}

TEST_PLAIN(v2_ancestors) {
    v2_system();
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "500000 100000\n");
    CHECK_EQ(quota(), 5);
    put("/sys/fs/cgroup/cpu.max", "200000 50000\n");
    CHECK_EQ(quota(), 4);
    put("/sys/fs/cgroup/a/b/cpu.max", "100000 100000\n");
    CHECK_EQ(quota(), 1);
    /* neither a sibling nor a child counts */
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/c/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "100000 100000\n");
    CHECK_EQ(quota(), 4);
    done();
}

TEST_PLAIN(v2_rounds_up) {
    static const struct {
        const char *text;
        int cpus;
    } t[] = {
        {"200001 100000\n", 3},
        {"200000 100000\n", 2},
        {"199999 100000\n", 2},
        {"1000 100000\n", 1},
        {"150000 100000\n", 2},
        {"100 1000\n", 1},
        {"18446744073709551615 1\n", INT_MAX},
        {"18446744073709551615 18446744073709551614\n", 2},
        {"2147483647 1\n", INT_MAX},
        {"2147483646 1\n", 2147483646},
    };
    v2_system();
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        put("/sys/fs/cgroup/a/b/cpu.max", t[i].text);
        if (quota() != t[i].cpus)
            FAIL("%s gives %d, not %d", t[i].text, quota(), t[i].cpus);
    }
    done();
}

TEST_PLAIN(v2_strange_values_are_no_limit) {
    static const char *const t[] = {
        "",
        "\n",
        "max",
        "100000\n",
        "100000 \n",
        "100000 max\n",
        "-1 1\n",
        "0 1\n",
        "1 0\n",
        "0x10 1\n",
        " 5 1\n",
        "5 1 7\n",
        "5\t1\n",
        "1.5 1\n",
        "99999999999999999999999999 1\n",
        "5 1111111111111111111111111111111111111111111111111111111111111111111111111111111\n",
    };
    v2_system();
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        put("/sys/fs/cgroup/a/b/cpu.max", t[i]);
        if (quota() != 0)
            FAIL("\"%s\" gives %d", t[i], quota());
    }
    put("/sys/fs/cgroup/a/b/cpu.max", "500 100"); /* no newline is fine */
    CHECK_EQ(quota(), 5);
    done();
}

TEST_PLAIN(v2_at_the_root) {
    v2_system();
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/a/cpu.max", "100 100\n");
    CHECK_EQ(quota(), 0);
    put("/sys/fs/cgroup/cpu.max", "700 100\n");
    CHECK_EQ(quota(), 7);
    done();
}

/* ---- version 1 ---- */

TEST_PLAIN(v1_own_group) {
    v1_system();
    CHECK_EQ(quota(), 0);
    put_v1("/sys/fs/cgroup/cpu,cpuacct/a/b", "-1\n", "100000\n");
    CHECK_EQ(quota(), 0);
    put_v1("/sys/fs/cgroup/cpu,cpuacct/a/b", "200001\n", "100000\n");
    CHECK_EQ(quota(), 3);
    done();
}

TEST_PLAIN(v1_ancestors) {
    v1_system();
    put_v1("/sys/fs/cgroup/cpu,cpuacct/a/b", "-1\n", "100000\n");
    put_v1("/sys/fs/cgroup/cpu,cpuacct/a", "400000\n", "100000\n");
    put_v1("/sys/fs/cgroup/cpu,cpuacct", "-1\n", "100000\n");
    CHECK_EQ(quota(), 4);
    put_v1("/sys/fs/cgroup/cpu,cpuacct", "150000\n", "50000\n");
    CHECK_EQ(quota(), 3);
    done();
}

TEST_PLAIN(v1_needs_both_files) {
    v1_system();
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "200000\n");
    CHECK_EQ(quota(), 0);
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "0\n");
    CHECK_EQ(quota(), 0);
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(quota(), 2);
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "200000 1\n");
    CHECK_EQ(quota(), 0);
    done();
}

TEST_PLAIN(v1_only_the_cpu_controller) {
    v1_system();
    put_v1("/sys/fs/cgroup/cpuset/a/b", "100\n", "100\n");
    put_v1("/sys/fs/cgroup/cpuset/c", "100\n", "100\n");
    put_v1("/sys/fs/cgroup/cpu,cpuacct/c", "100\n", "100\n");
    put_v1("/sys/fs/cgroup/cpu,cpuacct/d", "100\n", "100\n");
    put_v1("/sys/fs/cgroup/cpu,cpuacct/s", "100\n", "100\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.max", "100 100\n");
    put_v1("/a/b", "100\n", "100\n"); /* the ext4 mount has the word cpu among its options */
    CHECK_EQ(quota(), 0);
    done();
}

/* ---- both ---- */

#define HYBRID_GROUPS "4:cpu,cpuacct:/a\n0::/u/v\n"
#define HYBRID_MOUNTS                                                                              \
    V1_MOUNT("/", "/sys/fs/cgroup/cpu") V1_OTHER_MOUNT V2_MOUNT("/", "/sys/fs/cgroup/unified")

TEST_PLAIN(hybrid_v1_has_the_controller) {
    put("/proc/self/cgroup", HYBRID_GROUPS);
    put("/proc/self/mountinfo", HYBRID_MOUNTS);
    put("/sys/fs/cgroup/unified/u/v/cgroup.procs", "1\n");
    CHECK_EQ(quota(), 0);
    put_v1("/sys/fs/cgroup/cpu/a", "600\n", "100\n");
    CHECK_EQ(quota(), 6);
    done();
}

TEST_PLAIN(hybrid_v2_has_the_controller) {
    put("/proc/self/cgroup", "5:cpuset,cpuacct:/c\n0::/u/v\n");
    put("/proc/self/mountinfo", V1_OTHER_MOUNT V2_MOUNT("/", "/sys/fs/cgroup/unified"));
    put("/sys/fs/cgroup/unified/u/cpu.max", "600 100\n");
    CHECK_EQ(quota(), 6);
    done();
}

TEST_PLAIN(hybrid_the_tighter_counts) {
    put("/proc/self/cgroup", HYBRID_GROUPS);
    put("/proc/self/mountinfo", HYBRID_MOUNTS);
    put_v1("/sys/fs/cgroup/cpu/a", "600\n", "100\n");
    put("/sys/fs/cgroup/unified/u/cpu.max", "500 100\n");
    CHECK_EQ(quota(), 5);
    put("/sys/fs/cgroup/unified/u/cpu.max", "700 100\n");
    CHECK_EQ(quota(), 6);
    done();
}

/* ---- mounts ---- */

TEST_PLAIN(mount_root_is_taken_off) {
    put("/proc/self/cgroup", "0::/docker/1234/x\n");
    put("/proc/self/mountinfo", V2_MOUNT("/docker/1234", "/sys/fs/cgroup"));
    put("/sys/fs/cgroup/docker/1234/x/cpu.max", "100 100\n");
    CHECK_EQ(quota(), 0);
    put("/sys/fs/cgroup/cpu.max", "900 100\n");
    CHECK_EQ(quota(), 9);
    put("/sys/fs/cgroup/x/cpu.max", "300 100\n");
    CHECK_EQ(quota(), 3);
    /* the group is the mount's root itself */
    put("/proc/self/cgroup", "0::/docker/1234\n");
    CHECK_EQ(quota(), 9);
    done();
}

TEST_PLAIN(mount_of_another_group) {
    put("/proc/self/cgroup", "0::/docker/12345\n");
    put("/proc/self/mountinfo", V2_MOUNT("/docker/1234", "/sys/fs/cgroup"));
    put("/sys/fs/cgroup/cpu.max", "100 100\n");
    put("/sys/fs/cgroup/5/cpu.max", "100 100\n");
    CHECK_EQ(quota(), 0);
    done();
}

TEST_PLAIN(all_mounts_of_a_hierarchy) {
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/proc/self/mountinfo",
        V2_MOUNT("/z", "/m1") V2_MOUNT("/a/b", "/m2") OTHER_MOUNTS V2_MOUNT("/a", "/m3"));
    put("/m1/cpu.max", "100 100\n");
    put("/m2/cpu.max", "500 100\n");
    put("/m3/cpu.max", "800 100\n");
    CHECK_EQ(quota(), 5);
    put("/m3/cpu.max", "400 100\n");
    CHECK_EQ(quota(), 4);
    put("/m3/b/cpu.max", "300 100\n");
    CHECK_EQ(quota(), 3);
    done();
}

TEST_PLAIN(outside_the_namespace) {
    put("/proc/self/cgroup", "0::/../x\n");
    put("/proc/self/mountinfo", V2_MOUNT("/", "/sys/fs/cgroup"));
    put("/sys/fs/x/cpu.max", "100 100\n");
    put("/sys/fs/cgroup/x/cpu.max", "100 100\n");
    put("/sys/fs/cgroup/cpu.max", "100 100\n");
    CHECK_EQ(quota(), 0);
    /* a mount made outside holds it */
    put("/proc/self/mountinfo", V2_MOUNT("/..", "/sys/fs/cgroup"));
    put("/sys/fs/cgroup/x/cpu.max", "200 100\n");
    put("/sys/fs/cgroup/cpu.max", "max 100\n");
    CHECK_EQ(quota(), 2);
    /* one made higher still does not say where it is */
    put("/proc/self/cgroup", "0::/\n");
    CHECK_EQ(quota(), 0);
    /* a name that only begins with dots is a name */
    put("/proc/self/cgroup", "0::/..x\n");
    put("/proc/self/mountinfo", V2_MOUNT("/", "/sys/fs/cgroup"));
    put("/sys/fs/cgroup/..x/cpu.max", "300 100\n");
    CHECK_EQ(quota(), 3);
    done();
}

TEST_PLAIN(escapes_in_mountinfo) {
    put("/proc/self/cgroup", "0::/a b\\c/\\040\n");
    put("/proc/self/mountinfo", V2_MOUNT("/a\\040b\\134c", "/sys/my\\011cg\\012\\\\04"));
    put("/sys/my\tcg\n\\\\04/\\040/cpu.max", "200 100\n");
    CHECK_EQ(quota(), 2);
    put("/sys/my\tcg\n\\\\04/cpu.max", "100 100\n");
    CHECK_EQ(quota(), 1);
    done();
}

TEST_PLAIN(mounted_on_the_root) {
    put("/proc/self/cgroup", "0::/a\n");
    put("/proc/self/mountinfo", V2_MOUNT("/", "/"));
    put("/a/cpu.max", "400 100\n");
    CHECK_EQ(quota(), 4);
    put("/cpu.max", "300 100\n");
    CHECK_EQ(quota(), 3);
    done();
}

TEST_PLAIN(path_with_colons) {
    put("/proc/self/cgroup", "0::/a:b:c\n");
    put("/proc/self/mountinfo", V2_MOUNT("/", "/c"));
    put("/c/a:b:c/cpu.max", "400 100\n");
    CHECK_EQ(quota(), 4);
    done();
}

/* ---- what is missing, long or strange ---- */

TEST_PLAIN(missing_files) {
    make_top();
    CHECK_EQ(quota(), 0);
    put("/proc/self/mountinfo", V2_MOUNT("/", "/c"));
    put("/c/cpu.max", "100 100\n");
    CHECK_EQ(quota(), 0);
    put("/proc/self/cgroup", "0::/gone (deleted)\n"); /* the groups above still count */
    CHECK_EQ(quota(), 1);
    take_away("/proc/self/mountinfo");
    CHECK_EQ(quota(), 0);
    done();
}

TEST_PLAIN(no_group_of_the_hierarchy) {
    put("/proc/self/mountinfo", HYBRID_MOUNTS);
    put("/proc/self/cgroup", "5:cpuset:/\n");
    put_v1("/sys/fs/cgroup/cpu", "100\n", "100\n");
    put("/sys/fs/cgroup/unified/cpu.max", "100 100\n");
    CHECK_EQ(quota(), 0);
    done();
}

TEST_PLAIN(strange_lines) {
    static const char *const groups[] = {"",      "\n\n\n",      "0",          "0:",
                                         "0::",   "0::\n",       "0::a/b\n",   ":::\n",
                                         "::/\n", "00::/\n",     "x0::/a/b\n", "4:cpuset:/a/b\n",
                                         "0\n::", "4:cpu,x:a\n", "0:\n:/a/b\n"};
    static const char *const mounts[] = {
        "",
        "\n\n",
        "1",
        "1 2 3 / /c",
        "1 2 3 / /c rw - ",
        "1 2 3 / /c rw - cgroup2",
        "1 2 3 / /c rw cgroup2 cgroup2 rw\n",
        "1 2 3 c /c rw - cgroup2 cgroup2 rw\n",
        "1 2 3 / c rw - cgroup2 cgroup2 rw\n",
        "1 2 3  /c rw - cgroup2 cgroup2 rw\n",
        "1 2 3 /  rw - cgroup2 cgroup2 rw\n",
        "1 2 3 / /c - cgroup cgroup2 rw\n",
        "1 2 3\n/ /c rw - cgroup2 cgroup2 rw\n",
        "1 2 3 / /c rw - cgroup2\ncgroup2 rw\n",
    };
    put("/c/cpu.max", "100 100\n");
    put("/c/a/b/cpu.max", "100 100\n");
    put("/proc/self/mountinfo", V2_MOUNT("/", "/c") V1_MOUNT("/", "/c"));
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        put("/proc/self/cgroup", groups[i]);
        if (quota() != 0)
            FAIL("group \"%s\" gives %d", groups[i], quota());
    }
    put("/proc/self/cgroup", "0::/a/b\n");
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        put("/proc/self/mountinfo", mounts[i]);
        if (quota() != 0)
            FAIL("mount \"%s\" gives %d", mounts[i], quota());
    }
    /* they do not keep a good line from being seen, at the file's end without a newline too */
    put("/proc/self/cgroup", "\n:::\n0:\n0::/a/b");
    put("/proc/self/mountinfo", "\n1 2 3 / /c\n1 2 3 / /c rw - cgroup2\n1 2\n"
                                "1 2 3 / /c rw - cgroup2  rw");
    CHECK_EQ(quota(), 1);
    done();
}

/* A line of mountinfo with `n` times 'x' in one field, then a good line. */
static void put_long_mountinfo(const char *before, size_t n, const char *after) {
    static const char good[] = V2_MOUNT("/", "/c");
    char *text = malloc(n + 4096);
    CHECK(text);
    char *end = stpcpy(text, before);
    memset(end, 'x', n);
    end = stpcpy(end + n, after);
    end = stpcpy(end, good);
    write_bytes("/proc/self/mountinfo", text, (size_t)(end - text));
    free(text);
}

TEST_PLAIN(long_lines) {
    static const size_t lengths[] = {200, 511, 512, 513, 4095, 4096, 4097, 100000, 3000000};
    put("/proc/self/cgroup", "0::/a\n");
    put("/c/a/cpu.max", "200 100\n");
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        put_long_mountinfo("1 2 3 / /o rw - overlay overlay rw,lowerdir=", lengths[i], "\n");
        CHECK_EQ(quota(), 2);
        put_long_mountinfo("1 2 3 / /", lengths[i], " rw - cgroup2 cgroup2 rw\n");
        CHECK_EQ(quota(), 2);
        put_long_mountinfo("1 2 3 /", lengths[i], " /c rw - cgroup2 cgroup2 rw\n");
        CHECK_EQ(quota(), 2);
        put_long_mountinfo("", lengths[i], " 2 3 / /c rw - cgroup2 cgroup2 rw\n");
        CHECK_EQ(quota(), 2);
        put_long_mountinfo("1 2 3 / /c rw ", lengths[i], " - cgroup2 cgroup2 rw\n");
        CHECK_EQ(quota(), 2);
    }
    done();
}

TEST_PLAIN(long_groups) {
    static char text[9000], path[9000];
    put("/proc/self/mountinfo", V2_MOUNT("/", "/c"));
    put("/c/cpu.max", "200 100\n");
    memset(path, 'g', sizeof path);
    for (size_t i = 0; i < sizeof path; i += 200)
        path[i] = '/';
    static const size_t fits[] = {200, 1000, 4000}, too_long[] = {4095, 4096, 4097, 8000};
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "0::%.*s\n", (int)fits[i], path);
        put("/proc/self/cgroup", text);
        CHECK_EQ(quota(), 2);
    }
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "0::%.*s\n", (int)too_long[i], path);
        put("/proc/self/cgroup", text);
        CHECK_EQ(quota(), 0);
    }
    done();
}

TEST_PLAIN(zero_bytes) {
    static const char group[] = "0::/a\0/b\n", mount[] = "1 2 3 / /c\0 rw - cgroup2 x rw\n";
    put("/c/a/cpu.max", "200 100\n");
    put("/proc/self/mountinfo", V2_MOUNT("/", "/c"));
    write_bytes("/proc/self/cgroup", group, sizeof group - 1);
    CHECK_EQ(quota(), 0);
    put("/proc/self/cgroup", "0::/a\n");
    write_bytes("/proc/self/mountinfo", mount, sizeof mount - 1);
    CHECK_EQ(quota(), 0);
    done();
}

/* ---- the system's own ---- */

TEST_PLAIN(leaves_nothing_behind) {
    int fds = test_count_fds();
    errno = EDOM;
    int cpus = os_cpu_quota();
    CHECK_EQ(errno, EDOM);
    CHECK(cpus >= 0);
    CHECK_EQ(test_count_fds(), fds);
}
