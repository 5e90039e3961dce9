/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request: see request.h.
 */
#include "request.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "picohttpparser.h"

/* What the headers say that matters here. */
struct facts {
    int hosts, lengths, codings;
    uint64_t length;
    bool bad, chunked, expects, expects_other, close, keep_alive;
};

static bool is(const char *text, size_t len, const char *word) {
    return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

static bool is_exactly(const char *text, size_t len, const char *word) {
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

/* Calls fn for each element of a comma-separated list. */
static void each_word(const struct phr_header *h, void (*fn)(struct facts *, const char *, size_t),
                      struct facts *facts) {
    const char *p = h->value, *end = p + h->value_len;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        while (p < stop && (*p == ' ' || *p == '\t'))
            p++;
        const char *last = stop;
        while (last > p && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (last > p)
            fn(facts, p, (size_t)(last - p));
        p = stop + 1;
    }
}

static void connection_word(struct facts *facts, const char *word, size_t len) {
    facts->close |= is(word, len, "close");
    facts->keep_alive |= is(word, len, "keep-alive");
}

/* Digits and nothing else: no sign, no list, no space. */
static void content_length(struct facts *facts, const struct phr_header *h) {
    facts->lengths++;
    facts->bad |= h->value_len == 0;
    for (size_t i = 0; i < h->value_len; i++) {
        char c = h->value[i];
        if (c < '0' || c > '9') {
            facts->bad = true;
            return;
        }
        if (facts->length <= REQUEST_BODY_MAX) /* what is too long already can't overflow */
            facts->length = facts->length * 10 + (uint64_t)(c - '0');
    }
}

static void read_header(struct facts *facts, struct request *r, const struct phr_header *h) {
    switch (h->name_len) { /* nearly all the headers that a browser sends are none of these */
    case 4:
        facts->hosts += is(h->name, 4, "host");
        break;
    case 6:
        if (is(h->name, 6, "expect")) {
            facts->expects = true;
            facts->expects_other |= !is(h->value, h->value_len, "100-continue");
        }
        break;
    case 10:
        if (is(h->name, 10, "connection"))
            each_word(h, connection_word, facts);
        break;
    case 13:
        if (is(h->name, 13, "if-none-match") && !r->if_none_match) {
            r->if_none_match = h->value;
            r->if_none_match_len = h->value_len;
        }
        break;
    case 14:
        if (is(h->name, 14, "content-length"))
            content_length(facts, h);
        break;
    case 17:
        if (is(h->name, 17, "transfer-encoding")) {
            facts->codings++;
            facts->chunked = is(h->value, h->value_len, "chunked");
        }
        break;
    default:
        facts->bad |= h->name == NULL; /* a folded line */
    }
}

/* The status for what the headers say, or 0. Any but that means that nobody can tell where the next
 * request would begin. */
static int judge(const struct facts *facts, const struct request *r) {
    if (facts->bad || facts->hosts > 1 || (facts->hosts == 0 && !r->http10))
        return 400;
    if (facts->lengths > 1 || (facts->codings > 0 && (facts->lengths > 0 || r->http10)))
        return 400;
    if (facts->codings > 0)
        return facts->codings == 1 && facts->chunked ? 411 : 501;
    return 0;
}

static int judge_method(const char *method, size_t len, struct request *r) {
    static const char *const others[] = {"POST",    "PUT",     "DELETE", "PATCH",
                                         "OPTIONS", "CONNECT", "TRACE"};
    if (is_exactly(method, len, "GET"))
        return 0;
    if (is_exactly(method, len, "HEAD")) {
        r->head = true;
        return 0;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (is_exactly(method, len, others[i]))
            return 405;
    return 501;
}

/* Splits the target, in place; the byte behind it is the space before the version. */
static int judge_target(char *target, size_t len, struct request *r) {
    if (len > REQUEST_TARGET_MAX)
        return 414;
    target[len] = '\0';
    if (strncasecmp(target, "http://", 7) == 0) { /* as to a proxy: allowed, and means us */
        target += 7;
        target += strcspn(target, "/?");
    } else if (*target != '/') {
        return 400;
    }
    char *mark = strchr(target, '?');
    if (mark) {
        *mark = '\0';
        r->query = mark + 1;
    }
    r->path = *target == '/' ? target : "/";
    return 0;
}

/* What is wrong with a head that the parser refused. */
static int why_bad(const char *buf, size_t len, size_t nheaders) {
    if (nheaders == REQUEST_HEADERS_MAX)
        return 431;
    while (len > 0 && (*buf == '\r' || *buf == '\n'))
        buf++, len--;
    const char *end = memchr(buf, '\n', len);
    const char *version = memmem(buf, end ? (size_t)(end - buf) : len, " HTTP/", 6);
    if (end && version && version[6] >= '0' && version[6] <= '9' &&
        strncmp(version + 6, "1.", 2) != 0)
        return 505;
    return 400;
}

void request_refuse(struct request *r, int status) {
    r->status = status;
    r->close = r->unread = true;
    r->body = 0;
}

static int refuse(struct request *r, int status) {
    request_refuse(r, status);
    return -1;
}

int request_parse(char *buf, size_t len, size_t seen, struct request *r) {
    struct phr_header headers[REQUEST_HEADERS_MAX];
    size_t nheaders = REQUEST_HEADERS_MAX, method_len, target_len;
    const char *method, *target;
    int minor;
    *r = (struct request){0};
    int n = phr_parse_request(buf, len, &method, &method_len, &target, &target_len, &minor, headers,
                              &nheaders, seen);
    if (n == -2)
        return 0;
    if (n < 0)
        return refuse(r, why_bad(buf, len, nheaders));
    r->http10 = minor == 0;
    r->method = method;
    r->method_len = method_len;

    struct facts facts = {0};
    for (size_t i = 0; i < nheaders; i++)
        read_header(&facts, r, &headers[i]);
    int status = judge(&facts, r);
    if (status != 0)
        return refuse(r, status);
    r->close = facts.close || (r->http10 && !facts.keep_alive);
    if (r->http10) /* knows nothing of it */
        facts.expects = facts.expects_other = false;
    r->status = judge_method(method, method_len, r);
    if (r->status == 0)
        r->status = judge_target(buf + (target - buf), target_len, r);
    if (r->status == 0 && facts.expects_other)
        r->status = 417;
    if (facts.length > REQUEST_BODY_MAX && r->status == 0)
        r->status = 413;
    /* A body is skipped where the request is answered and nobody waits for a "100 Continue";
     * else the connection ends, and it is never read. */
    if (facts.length > 0 && (r->status != 0 || facts.expects))
        r->close = r->unread = true;
    else
        r->body = (size_t)facts.length;
    return n;
}

bool request_has_tag(const struct request *r, const char *tag) {
    const char *p = r->if_none_match;
    if (!p)
        return false;
    const char *end = p + r->if_none_match_len;
    if (is_exactly(p, r->if_none_match_len, "*"))
        return true;
    size_t len = strlen(tag);
    /* Tags are quoted and have no quotes in them, so a match in the text is one in the list; the
     * comparison is the weak one, to which W/ makes no difference. */
    return len > 0 && memmem(p, (size_t)(end - p), tag, len) != NULL;
}
