/* SPDX-License-Identifier: Apache-2.0 */
/* Sites built from made-up folders: what is shown, what is found, what can't be reached. */
#include "site_fixture.h"

static const char sample[] = "/* SPDX-License-Identifier: Apache-2.0 */\n"
                             "/*\n"
                             " * lib/sample.h: <samples> of all kinds.\n"
                             " */\n"
                             "#ifndef SAMPLE_H\n"
                             "#define SAMPLE_H\n"
                             "/* How many there are. */\n"
                             "#define SAMPLE_MAX 7\n"
                             "#define SAMPLE_MIN 1\n"
                             "\n"
                             "/* sample_t: one of them. */\n"
                             "typedef struct sample {\n"
                             "    int weight; /* in grams */\n"
                             "} sample_t;\n"
                             "\n"
                             "enum sample_kind { SAMPLE_RAW, SAMPLE_DONE };\n"
                             "\n"
                             "/*\n"
                             " * sample_take takes one of SAMPLE_MAX.\n"
                             " *\n"
                             " * Traits:  never parks; any thread.\n"
                             " * Returns: a sample; or NULL with errno.\n"
                             " * Errors:  ENOMEM  no memory.\n"
                             " *          EINVAL, ERANGE  n is <odd>.\n"
                             " * Example: sample_t *s = sample_take(1, &x);\n"
                             " * See:     sample_each.\n"
                             " */\n"
                             "extern sample_t *sample_take(int n,\n"
                             "                             char *x);\n"
                             "\n"
                             "/*\n"
                             " * sample_each goes through all.\n"
                             " *\n"
                             " * void sample_each(fn, args...);\n"
                             " */\n"
                             "#ifndef __cplusplus\n"
                             "#define sample_each(...) sample_impl_each(__VA_ARGS__)\n"
                             "#else\n"
                             "class sample_hidden {};\n"
                             "template <class F> void sample_each(F f);\n"
                             "#endif\n"
                             "/* sample_inline adds. */\n"
                             "static inline int sample_inline(int a) {\n"
                             "    return a + 1;\n"
                             "}\n"
                             "void sample_impl_each(void);\n"
                             "/* A list of T. */\n"
                             "#define sample_list(T) T *\n"
                             "/* All there are. */\n"
                             "extern sample_list(int) sample_all(void);\n"
                             "#endif\n";

static void open_sample(struct fixture *x) {
    fixture_open(x);
    fixture_text(x, "lib/sample.h", sample);
    fixture_text(x, "lib/guide.md",
                 "# The <guide>\n\nOf `sample_take` and [the header](sample.h#sample_take), "
                 "[gone](gone.md), [bad](javascript:alert(1)), [worse](java&#115;cript:x), "
                 "[odd](javascript&colon;x), <script>alert(1)</script> &amp; &copy;.\n\n"
                 "## Two words\n\n## Two words\n\n<div onclick=x>raw</div>\n\n"
                 "![a picture](http://example.org/x.png) sampling\n\n"
                 "```c\nint x = sample_inline(2); /* <b> */\n```\n");
    fixture_build(x);
}

TEST(headers_have_what_they_declare) {
    struct fixture x;
    open_sample(&x);
    const char *page = "/lib/sample.h";
    fixture_has(&x, page, NULL, "<p>&lt;samples&gt; of all kinds.</p>");
    fixture_has(&x, page, NULL, "id=\"SAMPLE_MAX\"");
    fixture_has(&x, page, NULL, "id=\"SAMPLE_MIN\""); /* shares the comment */
    fixture_has(&x, page, NULL, "id=\"sample_t\"");
    fixture_has(&x, page, NULL, "id=\"SAMPLE_DONE\"");
    fixture_has(&x, page, NULL,
                "</span> n,\n                      <span class=\"k\">char</span> *x);");
    fixture_has(&x, page, NULL, "<span class=\"trait\">never parks</span> ");
    fixture_has(&x, page, NULL, "<tr><th>EINVAL, ERANGE</th><td>n is &lt;odd&gt;.</td></tr>");
    fixture_has(&x, page, NULL, "<a href=\"/lib/sample.h#sample_each\">sample_each</a></code>.");
    fixture_has(&x, page, NULL, "void</span> sample_each(fn, args...);");
    fixture_has(&x, page, NULL, "sample_inline(<span class=\"k\">int</span> a);</code>");
    fixture_has(&x, page, NULL, "href=\"/src/lib/sample.h#L28\"");
    fixture_has(&x, page, NULL, "id=\"sample_all\"");
    fixture_lacks(&x, page, NULL, "sample_hidden");
    fixture_lacks(&x, page, NULL, "SAMPLE_H<");
    fixture_lacks(&x, page, NULL, "id=\"sample_impl_each\"");
    fixture_close(&x);
}

TEST(documents_carry_no_markup_of_their_own) {
    struct fixture x;
    open_sample(&x);
    const char *page = "/lib/guide.md";
    fixture_has(&x, page, NULL, "<h1 id=\"the-guide\">The &lt;guide&gt;</h1>");
    fixture_has(&x, page, NULL,
                "<code><a href=\"/lib/sample.h#sample_take\">sample_take</a></code>");
    fixture_has(&x, page, NULL, "<a href=\"/lib/sample.h#sample_take\">the header</a>");
    fixture_has(&x, page, NULL, "<span class=\"nolink\">gone</span>");
    fixture_has(&x, page, NULL, "<span class=\"nolink\">bad</span>");
    fixture_has(&x, page, NULL, "<span class=\"nolink\">worse</span>");
    fixture_has(&x, page, NULL, "<span class=\"nolink\">odd</span>");
    fixture_has(&x, page, NULL, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &copy;.");
    fixture_has(&x, page, NULL, "&lt;div onclick=x&gt;");
    fixture_has(&x, page, NULL, "<h2 id=\"two-words-1\">");
    fixture_has(&x, page, NULL, "<em>a picture</em>");
    fixture_lacks(&x, page, NULL, "<img");
    fixture_lacks(&x, page, NULL, "<div onclick");
    fixture_close(&x);
}

TEST(sources_have_a_line_for_each_line) {
    struct fixture x;
    open_sample(&x);
    fixture_has(&x, "/src/lib/sample.h", NULL,
                "<span class=\"l\" id=\"L28\"><a href=\"#L28\">28</a>");
    fixture_has(&x, "/src/lib/sample.h", NULL, "id=\"L51\"");
    fixture_lacks(&x, "/src/lib/sample.h", NULL, "id=\"L52\"");
    fixture_close(&x);
}

static void check_first(const struct fixture *x, const char *query, const char *title) {
    char text[256];
    snprintf(text, sizeof text, "\"results\":[{\"title\":\"%s\"", title);
    fixture_has(x, "/search.json", query, text);
}

TEST(the_thing_itself_is_found_first) {
    struct fixture x;
    open_sample(&x);
    check_first(&x, "q=sample_take", "sample_take");
    check_first(&x, "q=SAMPLE_take", "sample_take");
    check_first(&x, "q=sample_ta", "sample_take");
    check_first(&x, "q=ple_inl", "sample_inline");
    check_first(&x, "q=inline+sample", "sample_inline");
    check_first(&x, "q=SAMPLE_MIN", "SAMPLE_MIN");
    check_first(&x, "q=sample_done", "SAMPLE_DONE");
    check_first(&x, "q=two+words", "Two words");
    check_first(&x, "q=sampling", "Two words"); /* the section that says so */
    check_first(&x, "q=gram", "sample");
    fixture_has(&x, "/search.json", "q=nothing+of+that+kind", "\"results\":[]");
    fixture_has(&x, "/search.json", "q=%3C", "\"results\":[]");
    fixture_has(&x, "/search.json", NULL, "\"results\":[]");
    fixture_close(&x);
}

TEST(searches_are_shown_as_text) {
    struct fixture x;
    open_sample(&x);
    fixture_has(&x, "/search", "q=%3Cscript%3Ealert", "value=\"&lt;script&gt;alert\"");
    fixture_has(&x, "/search", "q=odd+n", "<mark>n</mark> is &lt;<mark>odd</mark>&gt;");
    fixture_has(&x, "/search", "q=%22%27%3E%3Cx", "&quot;&#39;&gt;&lt;x");
    fixture_has(&x, "/search", "", "<h1>Search</h1>");
    fixture_has(&x, "/search", NULL, "<h1>Search</h1>");
    char query[3000] = "q=";
    memset(query + 2, 'a', sizeof query - 3);
    query[sizeof query - 1] = '\0';
    fixture_has(&x, "/search", query, "Nothing was found");
    for (size_t i = 2; i < sizeof query - 1; i += 2)
        query[i] = '+';
    fixture_has(&x, "/search", query, "<h1>Search</h1>");
    fixture_has(&x, "/search.json", "q=%f0%9f%98%80%ff", "\"results\":[]");
    fixture_close(&x);
}

TEST(only_what_was_found_is_served) {
    struct fixture x;
    fixture_open(&x);
    char path[256], target[256];
    fixture_text(&x, "secret.md", "# Secret\n");
    fixture_text(&x, "lib/a.md", "# A\n");
    fixture_text(&x, "lib/.hidden.md", "# Hidden\n");
    fixture_text(&x, "lib/notes.txt", "no\n");
    fixture_text(&x, "lib/a b&c.md", "# Odd name\n");
    snprintf(path, sizeof path, "%s/lib/out.md", x.top);
    snprintf(target, sizeof target, "%s/secret.md", x.top);
    CHECK_EQ(symlink(target, path), 0);
    snprintf(path, sizeof path, "%s/lib/up", x.top);
    CHECK_EQ(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/lib/in.md", x.top);
    CHECK_EQ(symlink("a.md", path), 0);
    snprintf(path, sizeof path, "%s/lib/loop.md", x.top);
    CHECK_EQ(symlink("loop.md", path), 0);
    snprintf(path, sizeof path, "%s/lib/fifo.md", x.top);
    CHECK_EQ(mkfifo(path, 0600), 0);
    fixture_build(&x);
    fixture_status(&x, "/lib/a.md", 200);
    fixture_status(&x, "/lib/in.md", 200);
    fixture_status(&x, "/lib/a%20b%26c.md", 200);
    fixture_status(&x, "/src/lib/a.md", 200);
    static const char *const absent[] = {
        "/secret.md",
        "/lib/out.md",
        "/lib/.hidden.md",
        "/lib/notes.txt",
        "/lib/up/secret.md",
        "/lib/../secret.md",
        "/lib/%2e%2e/secret.md",
        "/lib%2fa.md",
        "/lib/loop.md",
        "/lib/fifo.md",
        "/lib",
        "/lib/",
        "//lib/a.md",
        "/etc/passwd",
        "/src/etc/passwd",
        "/LIB/a.md",
    };
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        fixture_status(&x, absent[i], 404);
    fixture_status(&x, "/lib/a.md%00", 400);
    fixture_status(&x, "/lib\\a.md", 400);
    struct reply r;
    site_answer(x.site, "/index.html", NULL, &r);
    CHECK_EQ(r.status, 301);
    CHECK_STR(r.location, "/");
    reply_free(&r);
    site_answer(x.site, "/lib/a.md", NULL, &r);
    CHECK(r.etag[0] == '"' && !r.owned);
    reply_free(&r);
    fixture_close(&x);
}

static void check_failure(const char *root, const char *words) {
    char error[256] = "";
    CHECK(site_build(&(struct site_options){NULL, &root, 1}, error, sizeof error) == NULL);
    if (strstr(error, words) == NULL || strchr(error, '\n') != NULL)
        FAIL("the message is: %s", error);
}

TEST(what_can_not_be_shown_is_said) {
    struct fixture x;
    fixture_open(&x);
    check_failure("/nonexistent/folder", "/nonexistent/folder: No such file");
    check_failure(x.served, "nothing to show");
    fixture_text(&x, "lib/a.h", "int a;\n");
    setenv("PATH", "/nonexistent", 1);
    check_failure(x.served, "please install universal-ctags");
    fixture_close(&x);
}

TEST(a_build_can_be_stopped) {
    struct fixture x;
    char error[256] = "";
    fixture_open(&x);
    fixture_text(&x, "lib/a.md", "# A\n");
    const char *root = x.served;
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
    weft_ctx_cancel(ctx, 0);
    {
        weft_scope_ctx(ctx);
        struct site *s = site_build(&(struct site_options){NULL, &root, 1}, error, sizeof error);
        CHECK(s == NULL);
        CHECK(strstr(error, strerror(ECANCELED)) != NULL);
    }
    weft_ctx_unref(ctx);
    fixture_close(&x);
}
