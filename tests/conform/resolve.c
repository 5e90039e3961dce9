/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c: weft_getaddrinfo, and dialling by name. No ids: Go's resolver is another thing.
 *
 * The C library's getaddrinfo is replaced here by one that knows these names and asks nobody, and
 * hands numbers on to the real one:
 *
 *     slow.test          answers when `gate` is open
 *     deep.test          uses 128 KB of stack
 *     ports.test         127.0.0.1 twice; both.test: ::1 and 127.0.0.1
 *     nowhere.test       EAI_NONAME; later.test: EAI_AGAIN; broken.test: EAI_SYSTEM, EMFILE
 */
#include "conform.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opens = PTHREAD_COND_INITIALIZER;
static bool gate;
static _Atomic int lookups, inside, most, freed;

static void open_gate(bool open) {
    pthread_mutex_lock(&gate_lock);
    gate = open;
    pthread_cond_broadcast(&gate_opens);
    pthread_mutex_unlock(&gate_lock);
}

static void pass_gate(void) {
    int now = ++inside, seen = most;
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        continue;
    pthread_mutex_lock(&gate_lock);
    while (!gate)
        pthread_cond_wait(&gate_opens, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
    inside--;
}

static void use_stack(void) {
    volatile char room[128 << 10];
    for (size_t i = 0; i < sizeof room; i += 4096)
        room[i] = 1;
}

typedef int asks(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int real(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res) {
    static asks *_Atomic found;
    asks *call = found; /* gcc calls through an atomic pointer by a plain load */
    if (call == NULL)
        found = call = (asks *)dlsym(RTLD_NEXT, "getaddrinfo");
    return call(node, service, hints, res);
}

/* One list of two. */
static int both(const char *first, const char *second, const char *service,
                const struct addrinfo *hints, struct addrinfo **res) {
    struct addrinfo *rest;
    if (real(first, service, hints, res) != 0)
        return real(second, service, hints, res);
    if (real(second, service, hints, &rest) == 0) {
        struct addrinfo *last = *res;
        while (last->ai_next)
            last = last->ai_next;
        last->ai_next = rest;
    }
    return 0;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res) {
    size_t n = node ? strlen(node) : 0;
    if (n < 5 || strcmp(node + n - 5, ".test") != 0 || (hints && hints->ai_flags & AI_NUMERICHOST))
        return real(node, service, hints, res);
    lookups++;
    if (strcmp(node, "slow.test") == 0)
        pass_gate();
    else if (strcmp(node, "deep.test") == 0)
        use_stack();
    else if (strcmp(node, "later.test") == 0)
        return EAI_AGAIN;
    else if (strcmp(node, "nowhere.test") == 0)
        return EAI_NONAME;
    else if (strcmp(node, "ports.test") == 0)
        return both("127.0.0.1", "127.0.0.1", service, hints, res);
    else if (strcmp(node, "both.test") == 0)
        return both("::1", "127.0.0.1", service, hints, res);
    else if (strcmp(node, "broken.test") == 0)
        return weft_set_errno(EMFILE), EAI_SYSTEM;
    return real("127.0.0.1", service, hints, res);
}

void freeaddrinfo(struct addrinfo *list) {
    static void (*_Atomic found)(struct addrinfo *);
    void (*call)(struct addrinfo *) = found;
    if (call == NULL)
        found = call = (void (*)(struct addrinfo *))dlsym(RTLD_NEXT, "freeaddrinfo");
    freed++;
    call(list);
}

static const struct addrinfo stream = {.ai_socktype = SOCK_STREAM};

/* The first address of an answer; or the error's name. */
static const char *answer(const char *node, const char *service) {
    static _Thread_local char text[NI_MAXHOST + NI_MAXSERV + 1];
    struct addrinfo *list = NULL;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    int result = weft_getaddrinfo(node, service, &stream, &list);
    if (result != 0)
        return gai_strerror(result);
    CHECK_EQ(getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV),
             0);
    snprintf(text, sizeof text, "%s %s", host, port);
    freeaddrinfo(list);
    return text;
}

static void look_at_answers(void) {
    errno = 77;
    CHECK_STR(answer("127.0.0.1", "80"), "127.0.0.1 80");
    CHECK_STR(answer("::1", "80"), "::1 80");
    CHECK_STR(answer("127.0.0.1", NULL), "127.0.0.1 0");
    CHECK_STR(answer("quick.test", "80"), "127.0.0.1 80");
    CHECK_EQ(errno, 77);
    CHECK_STR(answer("nowhere.test", "80"), gai_strerror(EAI_NONAME));
    CHECK_STR(answer("later.test", "80"), gai_strerror(EAI_AGAIN));
    CHECK_EQ(errno, 77);
    CHECK_STR(answer(NULL, NULL), gai_strerror(EAI_NONAME));
    CHECK_STR(answer("broken.test", "80"), gai_strerror(EAI_SYSTEM));
    CHECK_EQ(errno, EMFILE);
}

TEST(answers) {
    look_at_answers();
}

TEST_PLAIN(answers_outside_of_a_run) {
    look_at_answers();
}

static void *thread_looks(void *none) {
    look_at_answers();
    return none;
}

TEST(answers_on_a_thread_of_the_programs) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, thread_looks, NULL), 0);
    CHECK_EQ(weft_block(pthread_join(thread, NULL)), 0);
}

TEST(localhost) {
    const char *text = answer("localhost", "80");
    CHECK(strcmp(text, "127.0.0.1 80") == 0 || strcmp(text, "::1 80") == 0);
}

TEST(hints_count) {
    struct addrinfo hints = {.ai_family = AF_INET6, .ai_socktype = SOCK_DGRAM}, *list = NULL;
    CHECK_EQ(weft_getaddrinfo("::1", "80", &hints, &list), 0);
    CHECK_EQ(list->ai_family, AF_INET6);
    CHECK_EQ(list->ai_socktype, SOCK_DGRAM);
    freeaddrinfo(list);
    CHECK(weft_getaddrinfo("127.0.0.1", "80", &hints, &list) != 0);
    hints = (struct addrinfo){.ai_flags = AI_NUMERICHOST};
    CHECK_EQ(weft_getaddrinfo("localhost", "80", &hints, &list), EAI_NONAME);
    hints = (struct addrinfo){.ai_flags = -1};
    CHECK_EQ(weft_getaddrinfo("127.0.0.1", "80", &hints, &list), EAI_BADFLAGS);
    hints = (struct addrinfo){.ai_flags = AI_PASSIVE, .ai_family = AF_INET};
    CHECK_EQ(weft_getaddrinfo(NULL, "80", &hints, &list), 0);
    CHECK_EQ(((struct sockaddr_in *)(void *)list->ai_addr)->sin_addr.s_addr, INADDR_ANY);
    freeaddrinfo(list);
    CHECK_EQ(weft_getaddrinfo("127.0.0.1", "80", NULL, &list), 0); /* and none do */
    freeaddrinfo(list);
}

/* A goroutine's stack would not do. */
TEST(lookups_have_a_large_stack) {
    CHECK_STR(answer("deep.test", "80"), "127.0.0.1 80");
}

/* ---- slow ones ---- */

struct asker {
    _Atomic int state; /* 1: asks, 2: done */
    int result, error;
};

static void ask(struct asker *a) {
    struct addrinfo *list = NULL;
    a->state = 1;
    errno = 0;
    a->result = weft_getaddrinfo("slow.test", "80", &stream, &list);
    a->error = errno;
    if (a->result == 0)
        freeaddrinfo(list);
    a->state = 2;
}

TEST1(lookups_leave_the_P_to_others) {
    static struct asker a;
    weft_go(ask, &a);
    EVENTUALLY(inside == 1);
    CHECK_EQ(a.state, 1);
    open_gate(true);
    EVENTUALLY(a.state == 2);
    CHECK_EQ(a.result, 0);
}

TEST(lookups_end_with_the_context) {
    static struct asker cancelled, late;
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    weft_go_with((&(struct weft_attr){.ctx = ctx}), ask, &cancelled);
    EVENTUALLY(inside == 1);
    weft_ctx_cancel(ctx, 0);
    EVENTUALLY(cancelled.state == 2);
    CHECK_EQ(cancelled.result, EAI_SYSTEM);
    CHECK_EQ(cancelled.error, ECANCELED);
    {
        weft_scope_timeout(10 * WEFT_MILLISECOND);
        ask(&late);
        CHECK_EQ(late.result, EAI_SYSTEM);
        CHECK_EQ(late.error, ETIMEDOUT);
    }
    CHECK_EQ(freed, 0);
    open_gate(true); /* the answers come, to nobody */
    EVENTUALLY(freed == 2);
    EVENTUALLY(weft_num_goroutine() == 1);
    weft_ctx_unref(ctx);
}

#define LIMIT 64

TEST(lookups_are_limited) {
    static struct asker a[LIMIT + 30];
    for (int i = 0; i < LIMIT + 30; i++)
        weft_go(ask, &a[i]);
    EVENTUALLY(inside == LIMIT);
    { /* the others wait, and not for ever */
        static struct asker late;
        weft_scope_timeout(10 * WEFT_MILLISECOND);
        ask(&late);
        CHECK_EQ(late.error, ETIMEDOUT);
    }
    CHECK_STR(answer("127.0.0.1", "80"), "127.0.0.1 80"); /* numbers don't */
    open_gate(true);
    for (int i = 0; i < LIMIT + 30; i++) {
        EVENTUALLY(a[i].state == 2);
        CHECK_EQ(a[i].result, 0);
    }
    CHECK_EQ(most, LIMIT);
    CHECK_EQ(lookups, LIMIT + 30);
}

static int leave_lookups(int argc, char **argv) {
    static struct asker a[LIMIT];
    (void)argc, (void)argv;
    weft_lock_os_thread(); /* so that weft_run's own thread is in no lookup, and can return */
    for (int i = 0; i < LIMIT; i++)
        weft_go(ask, &a[i]);
    EVENTUALLY(inside == LIMIT);
    return 0;
}

static int look_up_again(int argc, char **argv) {
    (void)argc, (void)argv;
    weft_scope_timeout(EVENTUALLY_LIMIT);
    CHECK_STR(answer("quick.test", "80"), "127.0.0.1 80");
    return 0;
}

/* What an ended run left behind doesn't count. weft_run says a line about each, to nobody here. */
TEST_PLAIN(each_run_has_all_lookups) {
    int err = dup(2), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(err >= 0 && null >= 0);
    dup2(null, 2);
    int status = weft_run(leave_lookups, 0, NULL);
    dup2(err, 2);
    close(err);
    close(null);
    CHECK_EQ(status, 0);
    CHECK_EQ(weft_run(look_up_again, 0, NULL), 0);
}

/* ---- dialling and listening by name ---- */

static void check_bad_dial(const char *address, int error) {
    errno = 0;
    CHECK_EQ(weft_dial("tcp", address), -1);
    CHECK_EQ(errno, error);
}

TEST(names_that_dont_resolve) {
    check_bad_dial("nowhere.test:80", ENOENT);
    check_bad_dial("later.test:80", EAGAIN);
    check_bad_dial("broken.test:80", EMFILE);
    errno = 0;
    CHECK_EQ(weft_listen("tcp", "nowhere.test:0"), -1);
    CHECK_EQ(errno, ENOENT);
    weft_scope_timeout(10 * WEFT_MILLISECOND);
    check_bad_dial("slow.test:80", ETIMEDOUT);
    open_gate(true);
    EVENTUALLY(weft_num_goroutine() == 1);
}

/* Dials `host` at l's port; whom it got. */
static void reach(const char *host, int l) {
    char there[80], address[80];
    CHECK_EQ(weft_local_addr(l, there, sizeof there), 0);
    snprintf(address, sizeof address, "%s%s", host, strrchr(there, ':'));
    int client = weft_dial("tcp", address);
    CHECK(client >= 0);
    CHECK_EQ(weft_remote_addr(client, address, sizeof address), 0);
    CHECK_STR(address, there);
    int server = weft_accept(l);
    CHECK(server >= 0);
    CHECK_EQ(weft_close(server), 0);
    CHECK_EQ(weft_close(client), 0);
}

TEST(dial_by_name) {
    int l = weft_listen("tcp", "ports.test:0"); /* the name's address */
    CHECK(l >= 0);
    reach("quick.test", l);
    reach("localhost", l);
    reach("both.test", l); /* ::1 refuses, 127.0.0.1 answers */
    CHECK_EQ(weft_close(l), 0);
    l = weft_listen("tcp6", "[::1]:0");
    if (l >= 0) {
        reach("both.test", l);
        CHECK_EQ(weft_close(l), 0);
    }
}

TEST(dial_by_name_reports_the_first_error) {
    int l = weft_listen("tcp", "both.test:0"), fd;
    char address[80], name[80];
    CHECK(l >= 0);
    CHECK_EQ(weft_local_addr(l, address, sizeof address), 0);
    CHECK(strncmp(address, "127.0.0.1:", 10) == 0); /* of a name with both, IPv4 */
    snprintf(name, sizeof name, "both.test%s", strrchr(address, ':'));
    CHECK_EQ(weft_close(l), 0);
    check_bad_dial(name, ECONNREFUSED);
    fd = weft_dial("udp", name); /* nobody need be there */
    CHECK(fd >= 0);
    CHECK_EQ(weft_close(fd), 0);
}
