/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment asks for: lists, precedence, bad values, and what is said of them once. */
#include <stdlib.h>
#include <string.h>

#include "base/knobs.h"
#include "weft_test.h"

static const char *const variables[] = {"GODEBUG", "WEFT_DEBUG", "GOMAXPROCS", "WEFT_MAXPROCS",
                                        "WEFT_STACK"};

static void read_with(const char *name, const char *value) {
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    if (value)
        setenv(name, value, 1);
    wefti_knobs_read();
}

TEST_PLAIN(nothing_given) {
    static const struct wefti_knobs none = {
        .containermaxprocs = 1, .updatemaxprocs = 1, .retake = 1, .earlycut = 1, .wakepin = 1};
    read_with("GODEBUG", NULL);
    CHECK(memcmp(&wefti_knobs, &none, sizeof none) == 0);
    read_with("GODEBUG", "");
    CHECK(memcmp(&wefti_knobs, &none, sizeof none) == 0);
}

TEST_PLAIN(all_names) {
    read_with("GODEBUG",
              "schedtrace=1000,scheddetail=1,asyncpreemptoff=1,schedseed=77,guardprotect=1,"
              "preemptsignal=10,preemptslice=500,threadidle=50,containermaxprocs=0,"
              "updatemaxprocs=0,retake=0,earlycut=0,wakepin=0");
    CHECK_EQ(wefti_knobs.schedtrace, 1000);
    CHECK_EQ(wefti_knobs.scheddetail, 1);
    CHECK_EQ(wefti_knobs.asyncpreemptoff, 1);
    CHECK_EQ(wefti_knobs.schedseed, 77);
    CHECK_EQ(wefti_knobs.seeded, 1);
    CHECK_EQ(wefti_knobs.guardprotect, 1);
    CHECK_EQ(wefti_knobs.threadidle, 50);
    CHECK_EQ(wefti_knobs.containermaxprocs, 0);
    CHECK_EQ(wefti_knobs.updatemaxprocs, 0);
    CHECK_EQ(wefti_knobs.retake, 0);
    CHECK_EQ(wefti_knobs.earlycut, 0);
    CHECK_EQ(wefti_knobs.wakepin, 0);
    CHECK_EQ(wefti_knobs.preemptsignal, 10);
    CHECK_EQ(wefti_knobs.preemptslice, 500);
    read_with("GODEBUG", "schedseed=0"); /* a seed like others */
    CHECK_EQ(wefti_knobs.schedseed, 0);
    CHECK_EQ(wefti_knobs.seeded, 1);
    CHECK_EQ(wefti_knobs.schedtrace, 0); /* each reading starts anew */
}

TEST_PLAIN(unknown_names_are_ignored) {
    read_with("GODEBUG", "madvdontneed=1,,gctrace=x,schedtrac=5,schedtracee=6,SCHEDTRACE=7,"
                         "schedtrace,scheddetail=2,,");
    CHECK_EQ(wefti_knobs.schedtrace, 0);
    CHECK_EQ(wefti_knobs.scheddetail, 2);
    read_with("GODEBUG", "=5,=,schedtrace=9");
    CHECK_EQ(wefti_knobs.schedtrace, 9);
    read_with("WEFT_DEBUG", "schedtrace=9223372036854775807");
    CHECK_EQ(wefti_knobs.schedtrace, INT64_MAX);
}

TEST_PLAIN(the_later_entry_wins) {
    read_with("GODEBUG", "schedtrace=1,schedtrace=2");
    CHECK_EQ(wefti_knobs.schedtrace, 2);
    setenv("WEFT_DEBUG", "schedtrace=3", 1);
    wefti_knobs_read();
    CHECK_EQ(wefti_knobs.schedtrace, 3);
    setenv("WEFT_DEBUG", "scheddetail=4", 1);
    wefti_knobs_read();
    CHECK_EQ(wefti_knobs.schedtrace, 2);
    CHECK_EQ(wefti_knobs.scheddetail, 4);
}

TEST_PLAIN(number_of_ps) {
    static const struct {
        const char *text;
        int64_t n;
    } t[] = {{"1", 1},          {"8", 8},
             {"0", 0},          {"-1", 0},
             {"", 0},           {" 2", 0},
             {"2 ", 0},         {"2x", 0},
             {"0x2", 0},        {"+2", 0},
             {"007", 7},        {"2.0", 0},
             {"x", 0},          {"2147483647", 2147483647},
             {"2147483648", 0}, {"99999999999999999999", 0}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        read_with("GOMAXPROCS", t[i].text);
        if (wefti_knobs.maxprocs != t[i].n)
            FAIL("GOMAXPROCS=\"%s\" gives %lld", t[i].text, (long long)wefti_knobs.maxprocs);
    }
    read_with("GOMAXPROCS", "3");
    setenv("WEFT_MAXPROCS", "5", 1);
    wefti_knobs_read();
    CHECK_EQ(wefti_knobs.maxprocs, 5);
    setenv("WEFT_MAXPROCS", "five", 1);
    wefti_knobs_read();
    CHECK_EQ(wefti_knobs.maxprocs, 3);
}

TEST_PLAIN(stack_sizes) {
    static const struct {
        const char *text;
        int64_t bytes;
    } t[] = {{"65536", 65536},
             {"64k", 65536},
             {"64K", 65536},
             {"1m", 1048576},
             {"2M", 2097152},
             {"1", 1},
             {"", 0},
             {"0", 0},
             {"k", 0},
             {"m", 0},
             {"64kk", 0},
             {"64g", 0},
             {"-64k", 0},
             {"6 4", 0},
             {"9223372036854775807", INT64_MAX},
             {"9223372036854775807k", 0},
             {"9007199254740991k", 9223372036854774784}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        read_with("WEFT_STACK", t[i].text);
        if (wefti_knobs.stack != t[i].bytes)
            FAIL("WEFT_STACK=\"%s\" gives %lld", t[i].text, (long long)wefti_knobs.stack);
    }
}

/* ---- what is said ---- */

static void read_twice(void) {
    wefti_knobs_read();
    CHECK_EQ(wefti_knobs.schedtrace, 0);
    CHECK_EQ(wefti_knobs.seeded, 0);
    wefti_knobs_read();
}

static void check_said(const char *env, const char *text) {
    struct test_output o = test_run_child_plain(read_twice, env);
    CHECK_EQ(o.status, 0);
    CHECK_STR(o.err, text);
    test_output_free(&o);
}

TEST_PLAIN(bad_values_are_said_once) {
    check_said("GODEBUG=schedtrace=x,schedtrace=-1,scheddetail=1x,schedseed=",
               "weft: GODEBUG: bad value \"x\" for schedtrace\n"
               "weft: GODEBUG: bad value \"1x\" for scheddetail\n"
               "weft: GODEBUG: bad value \"\" for schedseed\n");
    check_said("WEFT_DEBUG=schedtrace=99999999999999999999",
               "weft: WEFT_DEBUG: bad value \"99999999999999999999\" for schedtrace\n");
    check_said("WEFT_STACK=lots", "weft: WEFT_STACK: bad value \"lots\"\n");
    check_said("GOMAXPROCS=none", ""); /* as Go */
    check_said("GODEBUG=other=x", "");
}

/* A bad entry counts as none, also after a good one. */
TEST_PLAIN(bad_after_good) {
    read_with("GODEBUG", "schedseed=5,schedseed=x");
    CHECK_EQ(wefti_knobs.seeded, 0);
    CHECK_EQ(wefti_knobs.schedseed, 0);
    read_with("GODEBUG", "updatemaxprocs=0,updatemaxprocs=no");
    CHECK_EQ(wefti_knobs.updatemaxprocs, 1);
}
