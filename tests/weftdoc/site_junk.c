/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not what their names say. Nothing may crash, and every page stays well formed. */
#include "site_fixture.h"

/* Tags are balanced, attributes quoted: enough of HTML to see text that got out of its place. */
static void check_markup(const char *path, const char *html) {
    static const char *const empty[] = {"meta", "link", "input", "br", "hr", "!doctype"};
    const char *stack[256];
    size_t lens[256], depth = 0;
    for (const char *p = html; (p = strchr(p, '<')) != NULL;) {
        bool closes = *++p == '/';
        p += closes;
        size_t len = strcspn(p, " >\n");
        const char *end = strchr(p, '>');
        CHECK(end != NULL);
        bool alone = false;
        for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
            alone = alone || (strlen(empty[i]) == len && memcmp(empty[i], p, len) == 0);
        if (closes) {
            if (depth == 0 || lens[depth - 1] != len || memcmp(stack[depth - 1], p, len) != 0)
                FAIL("%s: </%.*s> closes nothing", path, (int)len, p);
            depth--;
        } else if (!alone) {
            CHECK(depth < 256);
            stack[depth] = p;
            lens[depth++] = len;
        }
        p = end;
    }
    CHECK_EQ(depth, 0);
}

static void check_pages(const struct fixture *x, const char *const names[], size_t n) {
    for (size_t i = 0; i < n; i++) {
        static const char *const prefixes[] = {"/", "/src/"};
        for (size_t j = 0; j < 2; j++) {
            char path[256];
            snprintf(path, sizeof path, "%s%s", prefixes[j], names[i]);
            char *body = fixture_get(x, path, NULL, 200);
            CHECK(strlen(body) > 500);
            check_markup(path, body);
            free(body);
        }
    }
    char *body = fixture_get(x, "/", NULL, 200);
    check_markup("/", body);
    free(body);
    body = fixture_get(x, "/search", "q=a+b", 200);
    check_markup("/search", body);
    free(body);
}

static const struct {
    const char *name, *text;
} odd[] = {
    {"lib/empty.h", ""},
    {"lib/newline.h", "\n"},
    {"lib/open.h", "/* never closed\nint f(void);\n"},
    {"lib/braces.h", "struct a { int b; {{{{ ((( \n/* c */\nint f(\n#define X(\n\n\n"},
    {"lib/close.h", "}}}}))))\n/* d */\nint g(void);\n};\n"},
    {"lib/last.h", "/* a */\nint last(void"},
    {"lib/quote.h", "/* a */\n#define Q \"unfinished\n/* b */\nint h(void);\n"},
    {"lib/ifs.h",
     "#if\n#else\n#else\n#endif\n#endif\n#elif\n#ifdef __cplusplus\n/* a */\nint i(void);\n"},
    {"lib/macro.h", "/* a */\n#define M(a, \\\n b) \\\n"},
    {"lib/label.h", "/*\n * f: x.\n *\n * Traits:\n * Errors:\n * Example:\n * See:\n"
                    " * Returns: )))(((\n * Errors: EIO\n *\n *          E\n */\nint f(void);\n"},
    {"lib/tags.h",
     "/* </main></body> & \"'> f(<b>) `<i>` https://x/\"<> */\nint f(char a['<']);\n"},
    {"lib/types.h",
     "typedef struct { int a; } anon_t;\ntypedef union\n{ int b; }\nu_t;\nenum { ONE };\n"
     "typedef int (*fn_t)(\n    int);\nextern int v[3];\n/* p */\n\nint spaced(void);\n"},
    {"lib/empty.md", ""},
    {"lib/fence.md", "```c\nnever closed /* \n"},
    {"lib/deep.md", "> > > > > > > > > > > > > > > > > > > > > > > > > > > > > > x\n"
                    "1. - 1. - 1. - 1. - x\n"},
    {"lib/heads.md", "#\n##\n# \n# <b>\n# `c`\n# [l](x \"</main>\")\n#### d\n"},
    {"lib/links.md", "[a](<b c>) [](x) [x]() ![i](j)[![k](l)](m) [[z](y)](w) <http://a.b/\"x> "
                     "http://c.d/<e>\n"},
    {"lib/table.md", "|a|b|\n|-|:-:|\n|`|`|\n|<|\n"},
    {"lib/entity.md", "&#0; &#x110000; &#xd800; &lt; &nosuch; &#60;b&#62; [e](x&#34;y&#60;)\n"},
    {"lib/empty.3", ""},
    {"lib/junk.7",
     ".Sh\n.Sh A \"<b>\n.Lk javascript:x y\n.Lk http://a/\"b c\n.Bl\n.Xr a 3\n.so x\n"},
    {"lib/old.3",
     ".TH OLD 3\n.SH NAME\nold, older \\- an <old> page\n.SH \"SEE\nALSO\"\n.BR f (3)\n"},
};

TEST(files_that_are_not_what_they_seem) {
    enum { N = sizeof odd / sizeof odd[0] };
    const char *names[N];
    struct fixture x;
    fixture_open(&x);
    for (size_t i = 0; i < N; i++) {
        fixture_text(&x, odd[i].name, odd[i].text);
        names[i] = odd[i].name;
    }
    fixture_build(&x);
    check_pages(&x, names, N);
    fixture_lacks(&x, "/lib/junk.7", NULL, "href=\"javascript");
    fixture_has(&x, "/lib/types.h", NULL, "id=\"anon_t\"");
    fixture_has(&x, "/lib/types.h", NULL, "id=\"fn_t\"");
    fixture_has(&x, "/lib/types.h", NULL, "id=\"ONE\"");
    fixture_close(&x);
}

TEST(long_lines_and_many_of_them) {
    const char *const names[] = {"lib/wide.h", "lib/wide.md", "lib/tall.h", "lib/nest.h"};
    const size_t size = 300000;
    char *text = malloc(size + 1);
    struct fixture x;
    CHECK(text != NULL);
    fixture_open(&x);
    memset(text, 'x', size);
    memcpy(text, "/* ", 3);
    fixture_put(&x, "lib/wide.h", text, size);
    fixture_put(&x, "lib/wide.md", text, size);
    for (size_t i = 0; i + 2 <= size; i += 2)
        memcpy(text + i, ";\n", 2);
    fixture_put(&x, "lib/tall.h", text, size);
    memset(text, '{', size);
    memcpy(text, "struct a ", 9);
    fixture_put(&x, "lib/nest.h", text, size);
    free(text);
    fixture_build(&x);
    check_pages(&x, names, 4);
    fixture_close(&x);
}

static uint64_t dice(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Bytes of all values, and pieces of what the parsers look for, in any order. */
static size_t junk(uint64_t *state, char *into, size_t size) {
    static const char *const pieces[] = {
        "/*",       "*/",    "//",   "\n",   "#define A(", "#if ",     "__cplusplus",
        "#endif\n", "{",     "}",    "(",    ")",          ";",        "struct a ",
        "typedef ", "enum ", "\"",   "'",    "\\",         " * ",      "Errors: ",
        "E",        "`",     "[x](", "<",    ">",          "&",        "```",
        "\n\n",     "- ",    "1. ",  "|",    "# ",         ".Sh ",     "int f(",
        "\t",       "\0",    "\xc3", "\xa4", "\xff",       "https://", "weft_",
        "Example:", "    ",  "\r",
    };
    size_t n = 0;
    while (n + 16 < size) {
        const char *piece = pieces[dice(state) % (sizeof pieces / sizeof pieces[0])];
        size_t len = *piece == '\0' ? 1 : strlen(piece);
        if (dice(state) % 4 == 0)
            into[n++] = (char)dice(state);
        memcpy(into + n, piece, len);
        n += len;
    }
    return n;
}

TEST(dice_write_files) {
    enum { FILES = 24 };
    static const char *const ends[] = {"h", "md", "3"};
    char names[FILES][32], bytes[6000];
    const char *list[FILES];
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (int round = 0; round < 6; round++) {
        struct fixture x;
        fixture_open(&x);
        for (size_t i = 0; i < FILES; i++) {
            snprintf(names[i], sizeof names[i], "lib/f%zu.%s", i, ends[i % 3]);
            list[i] = names[i];
            fixture_put(&x, names[i], bytes, junk(&state, bytes, 16 + dice(&state) % 5900));
        }
        fixture_build(&x);
        check_pages(&x, list, FILES);
        fixture_close(&x);
    }
}
