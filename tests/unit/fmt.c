/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's formatting against the C library's, where both know a conversion. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "weft_test.h"

#define SAME(...)                                                                                  \
    do {                                                                                           \
        char ours[256], theirs[256];                                                               \
        size_t n = wefti_fmt(ours, sizeof ours, __VA_ARGS__);                                      \
        CHECK_EQ(n, snprintf(theirs, sizeof theirs, __VA_ARGS__));                                 \
        CHECK_STR(ours, theirs);                                                                   \
    } while (0)

TEST_PLAIN(numbers) {
    static const int ints[] = {0, 1, -1, 9, 10, -10, 12345, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        SAME("%d", ints[i]);
        SAME("%i", ints[i]);
        SAME("[%5d] [%-5d] [%05d] [%1d]", ints[i], ints[i], ints[i], ints[i]);
        SAME("%u %x", (unsigned)ints[i], (unsigned)ints[i]);
        SAME("[%15u] [%-15x] [%015x]", (unsigned)ints[i], (unsigned)ints[i], (unsigned)ints[i]);
    }
    SAME("%ld %lu %lx", LONG_MIN, ULONG_MAX, ULONG_MAX);
    SAME("%lld %llu %llx", LLONG_MIN, ULLONG_MAX, ULLONG_MAX);
    SAME("%lld %lld", LLONG_MAX, -1LL);
    SAME("%zu %zd %zx", SIZE_MAX, (ssize_t)-3, (size_t)0xabc);
    SAME("[%25lld] [%-25lld] [%025lld]", LLONG_MIN, LLONG_MIN, LLONG_MIN);
}

TEST_PLAIN(text_and_characters) {
    SAME("nothing");
    SAME("%s", "");
    SAME("%s %s", "a", "bc");
    SAME("[%5s] [%-5s] [%2s]", "abc", "abc", "abc");
    SAME("[%.2s] [%.0s] [%.9s] [%6.2s] [%-6.2s]", "abc", "abc", "abc", "abc", "abc");
    SAME("[%*s] [%-*s] [%.*s] [%*.*s]", 5, "abc", 5, "abc", 2, "abc", 5, 1, "abc");
    SAME("[%*d] [%0*d]", 6, 42, 6, -42);
    SAME("[%c%c] [%3c] [%-3c]", 'x', '\t', 'y', 'z');
    SAME("100%%%s", "!");
    static const char unended[3] = {'a', 'b', 'c'};
    SAME("%.3s", unended);
}

TEST_PLAIN(pointers) {
    int here;
    SAME("%p", (void *)&here);
    SAME("[%24p] [%-24p]", (void *)&here, (void *)&here);
    char text[32];
    wefti_fmt(text, sizeof text, "%p", NULL);
    CHECK_STR(text, "0x0");
}

TEST_PLAIN(null_text) {
    char text[32];
    const char *volatile none = NULL;
    wefti_fmt(text, sizeof text, "<%s> <%3.2s>", none, none);
    CHECK_STR(text, "<(null)> < (n>");
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
TEST_PLAIN(unknown_is_copied) {
    char text[32];
    const char *volatile format = "%q %5k %";
    CHECK_EQ(wefti_fmt(text, sizeof text, format), 4);
    CHECK_STR(text, "q k ");
}

TEST_PLAIN(cut_to_the_room) {
    char text[16];
    for (size_t size = 1; size <= sizeof text; size++) {
        memset(text, '#', sizeof text);
        size_t n = wefti_fmt(text, size, "%s-%d", "abcdef", 123456);
        size_t fits = size - 1 < 13 ? size - 1 : 13;
        CHECK_EQ(n, fits);
        CHECK_EQ(strlen(text), fits);
        CHECK(strncmp(text, "abcdef-123456", fits) == 0);
        for (size_t i = size; i < sizeof text; i++)
            CHECK_EQ(text[i], '#');
    }
    text[0] = '#';
    CHECK_EQ(wefti_fmt(text, 0, "abc"), 0); /* no room, not even for the NUL */
    CHECK_EQ(text[0], '#');
}

/* ---- lines on their way to a descriptor: a packet socket would do, a pipe read at once does ---- */

struct reader {
    int ends[2];
    char text[65536];
};

static struct reader reader;

static void open_reader(void) {
    CHECK_EQ(pipe(reader.ends), 0);
}

static void read_all(void) {
    CHECK_EQ(close(reader.ends[1]), 0);
    size_t n = 0;
    for (ssize_t got; (got = read(reader.ends[0], reader.text + n, sizeof reader.text - n)) > 0;)
        n += (size_t)got;
    reader.text[n] = 0;
    CHECK_EQ(close(reader.ends[0]), 0);
}

/* What one write brought, or "". */
static const char *read_one(void) {
    static char text[512];
    ssize_t n = read(reader.ends[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    return text;
}

TEST_PLAIN(lines_go_out_whole) {
    char buffer[32];
    struct wefti_out out = {-1, buffer, 0, sizeof buffer};
    open_reader();
    out.fd = reader.ends[1];
    wefti_out(&out, "first %d\n", 1);
    wefti_out(&out, "second %d\nth", 2);
    CHECK_EQ(out.n, 19);
    wefti_out(&out, "%s", "ird, which is long"); /* the whole lines go, the begun one stays */
    CHECK_STR(read_one(), "first 1\nsecond 2\n");
    CHECK_EQ(out.n, 20);
    wefti_out_flush(&out);
    CHECK_STR(read_one(), "third, which is long");
    CHECK_EQ(out.n, 0);
    wefti_out_flush(&out); /* nothing: no write */
    read_all();
    CHECK_STR(reader.text, "");
}

TEST_PLAIN(a_long_line_goes_in_pieces) {
    char buffer[16];
    struct wefti_out out = {-1, buffer, 0, sizeof buffer};
    open_reader();
    out.fd = reader.ends[1];
    for (int i = 0; i < 10; i++)
        wefti_out(&out, "%d,", 1000 + i);
    wefti_out(&out, "\n%s", "0123456789abcdefghij"); /* longer than there is room: cut */
    wefti_out_flush(&out);
    read_all();
    CHECK_STR(reader.text, "1000,1001,1002,1003,1004,1005,1006,1007,1008,1009,\n0123456789abcd");
}

TEST_PLAIN(many_lines) {
    static char buffer[256], expected[65536];
    struct wefti_out out = {-1, buffer, 0, sizeof buffer};
    size_t n = 0;
    open_reader();
    out.fd = reader.ends[1];
    for (int i = 0; i < 1000; i++) {
        wefti_out(&out, "line %d: %*s|\n", i, i % 40, "");
        n += (size_t)snprintf(expected + n, sizeof expected - n, "line %d: %*s|\n", i, i % 40, "");
    }
    wefti_out_flush(&out);
    read_all();
    CHECK_STR(reader.text, expected);
}
