/* SPDX-License-Identifier: Apache-2.0 */
/* Escaping, UTF-8, addresses and links: what must not let anything through. */
#include "weft_test.h"

#include "model.h"

#include <stdlib.h>
#include <string.h>

static void check_buf(struct buf *b, const char *want) {
    buf_char(b, '\0');
    CHECK(!b->failed);
    CHECK_STR(b->data, want);
    buf_free(b);
}

TEST_PLAIN(text_becomes_no_markup) {
    struct buf b = {0};
    html_text(&b, "<a href=\"x\">'&amp;</a>");
    check_buf(&b, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&lt;/a&gt;");
    html_path(&b, "a b/\"<\xc3\xa4.md");
    check_buf(&b, "a%20b/%22%3C%C3%A4.md");
}

static void check_sanitized(const char *bytes, size_t len, const char *want) {
    struct buf b = {0};
    utf8_sanitize(&b, bytes, len);
    CHECK(utf8_valid(b.data, b.len));
    check_buf(&b, want);
}

#define BAD "\xef\xbf\xbd"

TEST_PLAIN(any_bytes_become_valid_utf8) {
    check_sanitized("a\0b", 3, "a" BAD "b");
    check_sanitized("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9,
                    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    check_sanitized("\xc0\xaf", 2, BAD BAD);         /* an overlong slash */
    check_sanitized("\xe0\x80\xaf", 3, BAD BAD BAD); /* another */
    check_sanitized("\xed\xa0\x80", 3, BAD BAD BAD); /* half of a pair */
    check_sanitized("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD);
    check_sanitized("x\xe2\x82", 3, "x" BAD BAD); /* cut short */
    check_sanitized("a\r\nb\rc\x1b", 7, "a\nb\nc ");
}

static void check_path(const char *raw, int status, const char *want) {
    char path[64];
    int got = path_decode(raw, path, sizeof path);
    if (got != status)
        FAIL("%s gives %d, not %d", raw, got, status);
    if (want != NULL)
        CHECK_STR(path, want);
}

TEST_PLAIN(paths_are_decoded_once) {
    check_path("/a/b.h", 0, "/a/b.h");
    check_path("/a%20b%2ec", 0, "/a b.c");
    check_path("/%2541", 0, "/%41");
    check_path("/%c3%a4", 0, "/\xc3\xa4");
    check_path("", 400, NULL);
    check_path("a", 400, NULL);
    check_path("/%", 400, NULL);
    check_path("/%4", 400, NULL);
    check_path("/%g0", 400, NULL);
    check_path("/a%00.h", 400, NULL);
    check_path("/a%0d%0ab", 400, NULL);
    check_path("/a\\b", 400, NULL);
    check_path("/a%5cb", 400, NULL);
    check_path("/%c0%af", 400, NULL);
    check_path("/%ff", 400, NULL);
    check_path("/a%2fb", 404, NULL);
    check_path("/..", 404, NULL);
    check_path("/a/../b", 404, NULL);
    check_path("/%2e%2e/b", 404, NULL);
    check_path("/a/.%2E/b", 404, NULL);
    check_path("/a/./b", 404, NULL);
    check_path("/...", 0, "/...");
    check_path("/0123456789012345678901234567890123456789012345678901234567890123456789", 404,
               NULL);
}

static void check_query(const char *query, const char *want) {
    struct buf b = {0};
    bool there = query_value(query, "q", &b);
    CHECK_EQ(there, want != NULL);
    if (there)
        check_buf(&b, want);
}

TEST_PLAIN(queries) {
    check_query(NULL, NULL);
    check_query("", NULL);
    check_query("p=1&r=2", NULL);
    check_query("qq=1", NULL);
    check_query("q=", "");
    check_query("q=a+b%20c", "a b c");
    check_query("x=1&q=%3Cb%3E&q=2", "<b>");
    check_query("q=100%", "100%");
    check_query("q=%2", "%2");
    check_query("q=%ff%00", BAD BAD);
}

/* --- links */

static struct file from = {.path = "docs/guide/a.md", .kind = FILE_MARKDOWN};
static struct file header = {.path = "include/a b.h", .kind = FILE_HEADER};
static struct file readme = {.path = "README.md", .kind = FILE_MARKDOWN};

static void check_link(const char *href, const char *want) {
    struct file *files[] = {&from, &header, &readme};
    struct site s = {.files = files, .nfiles = 3, .paths = table_new(8)};
    for (size_t i = 0; i < 3; i++)
        table_put(s.paths, files[i]->path, files[i]);
    struct buf b = {0};
    char *exact = strdup(href); /* without slack, for the sanitizer */
    CHECK(exact != NULL);
    bool is_link = link_target(&b, &s, &from, exact, strlen(exact));
    if (is_link != (want != NULL))
        FAIL("%s is %s", href, is_link ? "a link" : "no link");
    if (is_link)
        check_buf(&b, want);
    free(exact);
    buf_free(&b);
    table_free(s.paths);
}

TEST_PLAIN(links_that_may_be) {
    check_link("https://example.org/a?b=c#d", "https://example.org/a?b=c#d");
    check_link("HTTP://example.org", "HTTP://example.org");
    check_link("mailto:a@b.c", "mailto:a@b.c");
    check_link("#part", "/docs/guide/a.md#part");
    check_link("a.md", "/docs/guide/a.md");
    check_link("./a.md#x", "/docs/guide/a.md#x");
    check_link("../../README.md", "/README.md");
    check_link("/README.md", "/README.md");
    check_link("../../include/a%20b.h", "/include/a%20b.h");
    check_link("..", "/#dir-docs");
    check_link("../../include", "/#dir-include");
}

TEST_PLAIN(links_that_may_not) {
    static const char *const odd[] = {
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "\x01javascript:x",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "//example.org/",
        "/\\example.org",
        "\\\\example.org",
        "blob:x",
        "../../../etc/passwd",
        "/etc/passwd",
        "b.md",
        "",
        "ja%76ascript:x",
        "&#106;avascript:x",
        "a b.md",
        "://x",
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        check_link(odd[i], NULL);
}

/* --- the lexer, on all that is unfinished */

TEST_PLAIN(tokens_end_with_the_text) {
    static const char *const texts[] = {"/*",   "/* a *",  "//",    "// \\", "\"",   "\"\\", "'a",
                                        "\"\n", "/**/",    "a/",    "#",     "\\",   "/",    "0x",
                                        "/*/",  "//\\\nb", "\"a\\", "\x80",  "a\xff"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t len = strlen(texts[i]), sum = 0;
        char *exact = malloc(len);
        CHECK(exact != NULL);
        memcpy(exact, texts[i], len);
        const char *at = exact;
        struct token t;
        while (next_token(&at, exact + len, &t)) {
            CHECK(t.len > 0);
            sum += t.len;
        }
        CHECK_EQ(sum, len);
        free(exact);
    }
}

TEST_PLAIN(first_sentences) {
    struct arena a = {0};
    CHECK_STR(first_sentence(&a, "f does it. And more.\n", "f"), "does it");
    CHECK_STR(first_sentence(&a, "struct f: a\n  thing\n\nMore.\n", "f"), "a thing");
    CHECK_STR(first_sentence(&a, "version 1.2 of f\n", "f"), "version 1.2 of f");
    CHECK_STR(first_sentence(&a, "", "f"), "");
    char *endless = arena_alloc(&a, 4001);
    for (size_t i = 0; i < 4000; i += 2)
        memcpy(endless + i, "\xc3\xa4", 2);
    const char *cut = first_sentence(&a, endless, "f");
    CHECK(strlen(cut) <= 402 && utf8_valid(cut, strlen(cut)));
    arena_free(&a);
}
