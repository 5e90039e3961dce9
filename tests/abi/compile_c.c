/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public macro and function of the headers, used from C in the ways that programs use them.
 * It is compiled with warnings as errors, as strict C11 and as gnu2x, by gcc and clang. It is
 * linked (which shows that each function exists) and not run.
 */
#define _DEFAULT_SOURCE /* POSIX's names under -std=c11 */
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

struct pt {
    int x, y;
};
struct big {
    long a[6];
};
struct bits {
    unsigned low : 3;
    int high : 5;
};
enum colour { RED, GREEN };
typedef int (*binary)(int, int);

struct server {
    weft_chan(struct pt) in;
    weft_chan(const char *) names;
    weft_chan(binary) ops;
    weft_mutex m;
    weft_sem s;
};

static weft_mutex static_mutex;
static weft_mutex init_mutex = WEFT_MUTEX_INIT;
static weft_rwmutex rw = WEFT_RWMUTEX_INIT;
static weft_wg wg = WEFT_WG_INIT;
static weft_once once = WEFT_ONCE_INIT;
static weft_cond cond = WEFT_COND_INIT;
static weft_sem sem = WEFT_SEM_INIT(4);
static weft_group group = WEFT_GROUP_INIT;
static weft_key key;

_Static_assert(sizeof(weft_mutex) == 24 || sizeof(void *) != 8, "size of weft_mutex");
_Static_assert(sizeof(struct weft_case) == 64 || sizeof(void *) != 8, "size of weft_case");
_Static_assert(WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH >= 100,
               "version");

static void f0(void) {
}
static void f1(void *p) {
    (void)p;
}
static void square(weft_chan(int) in, weft_chan(long) out) {
    int n;
    while (weft_recv(in, &n))
        weft_send(out, (long)n * n);
}
static long f3(int a, const char *b, enum colour c) {
    return a + b[0] + (long)c;
}
static void *f4(void *a, uint64_t b, int64_t c, size_t d) {
    return (char *)a + b + c + d;
}
static struct pt f5(int a, unsigned b, long c, unsigned long d, binary e) {
    return (struct pt){e(a, (int)b), (int)(c + (long)d)};
}
static int f6(int a, int b, int c, int d, int e, int f) {
    return a + b + c + d + e + f;
}
static int g0(void) {
    return 0;
}
static int g1(int *p) {
    return *p;
}
static int add(int a, int b) {
    return a + b;
}
static void fatal_hook(const char *text) {
    (void)text;
}

static void goroutines(struct bits *bits) {
    char text[16] = "abc";
    int i = 0;
    const struct pt *cp = &(const struct pt){1, 2};
    struct weft_attr attr = {.name = "n", .stack_size = 1 << 17, .ctx = NULL, .flags = 0};
    void (*fp)(void *) = f1;
    weft_chan(int) in = NULL;
    weft_chan(long) out = NULL;

    weft_go(f0);
    weft_go(f1, NULL);
    weft_go(fp, text);
    weft_go(*fp, (void *)cp);
    weft_go(f1, (&(struct pt){1, 2}));
    weft_go(square, in, out);
    weft_go(f3, i++, "abc", RED);
    weft_go(f3, bits->high, text, GREEN);
    weft_go(f4, text, i, 'c', sizeof text);
    weft_go(f5, 1, bits->low, 3L, 4UL, add);
    weft_go(f6, 1, 2, 3, 4, 5, 6);
    if (weft_go(f0) != 0)
        weft_go_with(NULL, f0);
    weft_go_with(&attr, f1, &attr);
    weft_go_with(&(struct weft_attr){.name = "reaper"}, f6, 1, 2, 3, 4, 5, 6);
    weft_go_with((&(struct weft_attr){.name = "a", .stack_size = 4096}), f3, 1, "x", RED);
    weft_yield();
    if (weft_defer(f1, text) == -1)
        weft_goexit();
    weft_set_name("conn %d", (int)weft_id());
    puts(weft_name());
    printf("%d %d %d %d\n", weft_num_goroutine(), weft_num_cpu(), weft_gomaxprocs(0),
           weft_gomaxprocs_default());
    weft_lock_os_thread();
    weft_unlock_os_thread();
    weft_set_max_threads(100);
    weft_block_enter();
    weft_block_exit();
    if (weft_key_create(&key, f1) == 0 && weft_key_set(key, text) == 0 && weft_key_get(key))
        weft_key_delete(key);
}

static long blocks(int fd) {
    char buf[64];
    ssize_t n = weft_block(read(fd, buf, sizeof buf));
    weft_block(f0());
    weft_block((void)f6(1, (&(struct pt){1, 2})->x, 3, 4, 5, 6));
    struct pt p = weft_block(f5(1, 2u, 3, 4, add));
    if (errno == EINTR)
        errno = 0;
    weft_set_errno(EIO);
    return n + p.x + *weft_errno_location();
}

static int channels(struct server *s) {
    int n = 0;
    bool ok;
    struct pt p = {3, 4};
    struct big b = {{1}};
    weft_chan(int) c = weft_chan_make(int, 16);
    weft_chan(int) const same = weft_chan_ref(c);
    weft_chan(struct big) bigs = weft_chan_make(struct big, 0);
    weft_chan(const struct pt) consts = weft_chan_make(const struct pt, 0);
    weft_chan(weft_chan(int)) nested = weft_chan_make(weft_chan(int), 1);
    s->in = weft_chan_make(struct pt, 1);
    s->names = weft_chan_make(const char *, 1);
    s->ops = weft_chan_make(binary, 1);

    weft_send(c, 1);
    weft_send(c, n++);
    weft_send(c, (short)2);
    weft_send(s->in, (struct pt){1, 2});
    weft_send(s->in, p);
    weft_send(s->names, "name");
    weft_send(s->names, NULL);
    weft_send(s->ops, add);
    weft_send(bigs, b);
    weft_send(consts, (struct pt){1, 2});
    weft_send(nested, c);
    if (weft_try_send(same, 1) && weft_try_send(s->in, (struct pt){1, 2}))
        n++;
    while (weft_recv(c, &n) && weft_recv(s->in, &p) && weft_recv(c, NULL))
        weft_recv(c, &(int){0});
    binary op;
    weft_recv(s->ops, &op);
    weft_recv(consts, &p);
    weft_recv(nested, &c);
    ok = weft_try_recv(c, &n) || weft_try_recv(c, NULL);
    weft_chan_set_name(c, "c");
    n += (int)(weft_chan_len(c) + weft_chan_cap(s->in));
    weft_chan_close(c);
    weft_chan_unref(c);
    weft_chan_unref(same);
    return n + ok;
}

static int selects(struct server *s, weft_chan(struct big) bigs, weft_chan(int) c) {
    int n = 0;
    bool ok = false;
    struct pt p;
    struct big b = {{1}};
    const char *name = "x";
    weft_ctx *ctx = weft_ctx_current();
    switch (weft_select(weft_case_recv(c, &n), weft_case_recv_ok(s->in, &p, &ok),
                        weft_case_recv(weft_ctx_done(ctx), NULL), weft_case_send(c, n + 1),
                        weft_case_send(s->in, (struct pt){1, 2}), weft_case_send(bigs, b),
                        weft_case_send(bigs, (struct big){{1, 2}}),
                        weft_case_send_ok(s->in, (struct pt){1, 2}, &ok),
                        weft_case_send_ok(bigs, (struct big){{1, 2}}, &ok),
                        weft_case_send_ok(c, n, NULL), weft_case_send_from(bigs, &b),
                        weft_case_send_from(s->names, &name), weft_case_send(s->ops, add),
                        weft_case_after(50 * WEFT_MILLISECOND), weft_case_default())) {
    case 0:
        return n;
    case -1:
        return errno;
    default:
        break;
    }
    weft_select(weft_case_default());
    if (ok)
        weft_select();
    struct weft_case cs[3] = {weft_case_recv(c, &n), weft_case_send_from(s->in, &p)};
    cs[2] = weft_case_send(c, 5);
    return weft_select_n(cs, 3);
}

static void locks(struct server *s) {
    weft_mutex_lock(&s->m);
    weft_mutex_unlock(&s->m);
    if (weft_mutex_trylock(&static_mutex) &&
        weft_mutex_timedlock(&init_mutex, weft_now() + WEFT_SECOND))
        weft_mutex_unlock(&init_mutex);
    weft_rwmutex_rlock(&rw);
    if (weft_rwmutex_tryrlock(&rw))
        weft_rwmutex_runlock(&rw);
    weft_rwmutex_lock(&rw);
    if (!weft_rwmutex_trylock(&rw))
        weft_rwmutex_unlock(&rw);
    weft_wg_add(&wg, 1);
    weft_wg_done(&wg);
    weft_wg_go(&wg, f0);
    weft_wg_go(&wg, f6, 1, 2, 3, 4, 5, 6);
    weft_wg_wait(&wg);
    weft_once_do(&once, f1, NULL);
    weft_cond_wait(&cond, &s->m);
    if (!weft_cond_timedwait(&cond, &s->m, weft_now() + WEFT_MICROSECOND))
        weft_cond_signal(&cond);
    weft_cond_broadcast(&cond);
    weft_sem_init(&s->s, 3);
    if (weft_sem_acquire(&sem, 2) || weft_sem_try_acquire(&sem, 1))
        weft_sem_release(&sem, 1);
}

static int groups(void) {
    int v[2] = {0, 1};
    weft_group local = WEFT_GROUP_INIT;
    weft_group_set_limit(&local, 3);
    weft_group_go(&local, g0);
    weft_group_go(&group, g1, &v[0]);
    if (weft_group_try_go(&group, g1, &v[1]) && weft_group_try_go(&group, g0))
        weft_group_cancel(&group);
    return weft_ctx_err(weft_group_ctx(&group)) + weft_group_wait(&group);
}

static int contexts(void) {
    static const char name;
    weft_time t = 0;
    weft_ctx *root = weft_ctx_background();
    weft_ctx *a = weft_ctx_with_cancel(root);
    weft_ctx *b = weft_ctx_with_timeout(a, WEFT_MINUTE);
    weft_ctx *c = weft_ctx_with_deadline(b, weft_now() + WEFT_HOUR);
    weft_ctx *d = weft_ctx_with_value(weft_ctx_ref(c), &name, &t);
    weft_ctx *e = weft_ctx_without_cancel(d);
    weft_ctx_hook *hook = weft_ctx_after_func(a, f1, NULL);
    weft_chan(char) done = weft_ctx_done(d);
    {
        weft_scope_timeout(5 * WEFT_SECOND);
        weft_scope_ctx(d);
        weft_recv(done, NULL);
    }
    weft_ctx_cancel(a, 0);
    if (!weft_ctx_hook_stop(hook) && weft_ctx_deadline(d, &t) && weft_ctx_value(d, &name))
        return weft_ctx_cause(d);
    weft_ctx_unref(e);
    return weft_ctx_err(d);
}

static void times(void) {
    weft_time t = weft_now();
    weft_chan(weft_time) after = weft_after(WEFT_NANOSECOND);
    weft_timer *timer = weft_timer_new(WEFT_SECOND);
    weft_timer *func = weft_after_func(WEFT_SECOND, f1, NULL);
    weft_ticker *ticker = weft_ticker_new(WEFT_SECOND);
    if (weft_sleep(10 * WEFT_MILLISECOND))
        weft_recv(after, &t);
    weft_recv(weft_timer_chan(timer), &t);
    weft_recv(weft_ticker_chan(ticker), &t);
    if (weft_timer_stop(func) && weft_timer_reset(timer, 1))
        weft_ticker_stop(ticker);
    weft_ticker_reset(ticker, 1);
    weft_chan_unref(after);
    weft_timer_unref(timer);
    weft_timer_unref(func);
    weft_ticker_unref(ticker);
}

static ssize_t files(const char *path, off_t *offset) {
    char buf[64], *line = NULL;
    size_t size = 0;
    struct iovec iov[2] = {{buf, 8}, {buf + 8, sizeof buf - 8}};
    int fd = weft_open(path, O_RDONLY);
    int log = weft_open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    ssize_t n = weft_read(fd, buf, sizeof buf) + weft_readv(fd, iov, 2) +
                weft_pread(fd, buf, sizeof buf, 4096) + weft_write(log, "text", 4) +
                weft_writev(log, iov, 2) + weft_pwrite(log, buf, (size_t)8, *offset) +
                weft_sendfile(log, fd, NULL, 8) + weft_sendfile(log, fd, offset, 8);
    FILE *in = weft_fdopen(fd, "r");
    while (getline(&line, &size, in) > 0)
        n++;
    return n + weft_fsync(log) + weft_close(log);
}

static ssize_t sockets(int fd) {
    char buf[128];
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    struct iovec iov = {buf, sizeof buf};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *res = NULL;
    struct weft_listen_opts opts = {.backlog = 16, .reuseport = true, .mode = 0600};
    int listener = weft_listen("tcp", "127.0.0.1:0");
    int conn = weft_accept(listener);
    if (weft_listen_with(NULL, "unix", "@weft") < 0 || weft_listen_with(&opts, "udp", ":53") < 0 ||
        weft_dial("tcp", "[::1]:80") < 0 || weft_poll(fd, POLLIN | POLLPRI) & POLLERR)
        return -1;
    if (weft_getaddrinfo("localhost", "http", &hints, &res) == 0) {
        weft_connect(fd, res->ai_addr, res->ai_addrlen);
        freeaddrinfo(res);
    }
    if (weft_local_addr(listener, buf, sizeof buf) == 0 &&
        weft_remote_addr(conn, buf, sizeof buf) == 0)
        puts(buf);
    weft_set_deadline(conn, weft_now() + 5 * WEFT_SECOND);
    weft_set_read_deadline(conn, 0);
    weft_set_write_deadline(conn, 1);
    return weft_recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&peer, &len) +
           weft_recvfrom(fd, buf, sizeof buf, MSG_DONTWAIT, NULL, NULL) +
           weft_sendto(fd, "text", 4, 0, (const struct sockaddr *)&peer, len) +
           weft_sendto(fd, "text", 4, 0, NULL, 0) + weft_recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) +
           weft_sendmsg(fd, &msg, 0) + weft_shutdown(conn, SHUT_WR) + weft_close(conn);
}

static int signals(void) {
    static const int both[] = {SIGINT, SIGTERM};
    int n = 0, status = 0;
    weft_chan(int) c = weft_chan_make(int, 1);
    weft_ctx *ctx = weft_signal_ctx(weft_ctx_current(), both, 2);
    if (weft_signal_notify(c, (int[]){SIGHUP}, 1) == 0 && weft_recv(c, &n))
        weft_signal_stop(c);
    weft_chan_unref(c);
    weft_ctx_unref(ctx);
    return n + (weft_waitpid(-1, &status, WNOHANG) > 0 && WIFEXITED(status)) +
           (int)weft_waitpid((pid_t)1, NULL, 0);
}

static int app(int argc, char **argv) {
    struct server s = {.in = NULL, .m = WEFT_MUTEX_INIT, .s = WEFT_SEM_INIT(argc)};
    struct bits bits = {1, 2};
    weft_set_fatal_hook(fatal_hook);
    weft_dump(2);
    goroutines(&bits);
    locks(&s);
    times();
    off_t offset = 0;
    return (int)(blocks(0) + files(argv[0], &offset) + sockets(0)) + channels(&s) +
           selects(&s, NULL, NULL) + groups() + contexts() + signals() +
           (argv[0] == weft_version());
}

int run_by_hand(int argc, char **argv);
int run_by_hand(int argc, char **argv) {
    if (weft_start() != 0 || weft_stop() != 0 || weft_after_fork() != 0)
        return 1;
    return weft_run(app, argc, argv);
}

WEFT_MAIN(app)
