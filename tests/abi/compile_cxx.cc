/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public macro and function of the headers, used from C++17. Compiled with warnings as
 * errors, by gcc and clang; linked and not run.
 */
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <netdb.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

namespace {

struct pt {
    int x, y;
};
struct big {
    long a[6];
};
using binary = int (*)(int, int);

struct server {
    weft_chan(pt) in = nullptr;
    weft_chan(const char *) names = NULL;
    weft_chan(binary) ops = nullptr;
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_sem s = WEFT_SEM_INIT(3);
    void serve(int n) {
        s.count += static_cast<uint64_t>(n);
    }
};

weft_chan(int) zeroed;
weft_mutex mutex = WEFT_MUTEX_INIT;
weft_rwmutex rw = WEFT_RWMUTEX_INIT;
weft_wg wg = WEFT_WG_INIT;
weft_once once = WEFT_ONCE_INIT;
weft_cond cond = WEFT_COND_INIT;
weft_sem sem = WEFT_SEM_INIT(4);
weft_group group = WEFT_GROUP_INIT;
weft_key key;

static_assert(std::is_trivially_copyable_v<weft_chan(int)>);
static_assert(std::is_trivial_v<weft_chan(int)>);
static_assert(sizeof(weft_chan(int)) == sizeof(void *));
static_assert(std::is_trivially_copyable_v<weft_case>);

void f0() {
}
void f1(void *) {
}
void square(weft_chan(int) in, weft_chan(long) out) {
    int n;
    while (weft_recv(in, &n))
        weft_send(out, long(n) * n);
}
double mix(double a, float b, bool c, const std::string &d, pt e) {
    return a + double(b) + c + double(d.size()) + e.x;
}
int g0() {
    return 0;
}
int g1(int *p) {
    return *p;
}
int add(int a, int b) {
    return a + b;
}
void fatal_hook(const char *) {
}

void goroutines() {
    weft_attr attr = {};
    attr.name = "n";
    weft_chan(int) in = nullptr;
    weft_chan(long) out = nullptr;
    auto owned = std::make_unique<int>(3);
    int hits = 0;
    server s;

    weft_go(f0);
    weft_go(&f0);
    weft_go(f1, nullptr);
    weft_go(square, in, out);
    weft_go(mix, 1.5, 2, true, "text", pt{1, 2});
    weft_go([] {});
    weft_go([&hits, in] {
        int a = 1, b = 2;
        hits += a + b + (in ? 1 : 0);
    });
    weft_go([](std::unique_ptr<int> p, int n) { *p = n; }, std::move(owned), 4);
    weft_go([p = std::make_unique<int>(1)]() mutable { *p = 2; });
    weft_go(&server::serve, &s, 3);
    weft_go([](int &n) { n++; }, std::ref(hits));
    if (weft_go(f0) != 0)
        weft_go_with(nullptr, f0);
    weft_go_with(
        &attr, [](int n) { return n; }, 1);
    weft_yield();
    if (weft_defer(f1, nullptr) == -1)
        weft_goexit();
    weft_set_name("conn %d", int(weft_id()));
    std::puts(weft_name());
    std::printf("%d %d %d %d\n", weft_num_goroutine(), weft_num_cpu(), weft_gomaxprocs(0),
                weft_gomaxprocs_default());
    weft_lock_os_thread();
    weft_unlock_os_thread();
    weft_set_max_threads(100);
    weft_block_enter();
    weft_block_exit();
    if (weft_key_create(&key, f1) == 0 && weft_key_set(key, &s) == 0 && weft_key_get(key))
        weft_key_delete(key);
}

long blocks(int fd) {
    char buf[64];
    ssize_t n = weft_block(read(fd, buf, sizeof buf));
    weft_block(f0());
    std::string text = weft_block(std::string("abc") + "d");
    if (errno == EINTR)
        errno = 0;
    weft_set_errno(EIO);
    return n + long(text.size()) + *weft_errno_location();
}

int channels(server &s) {
    int n = 0;
    pt p = {3, 4};
    big b = {};
    weft_chan(int) c = weft_chan_make(int, 16);
    weft_chan(int) const same = weft_chan_ref(c);
    weft_chan(big) bigs = weft_chan_make(big, 0);
    weft_chan(weft_chan(int)) nested = weft_chan_make(weft_chan(int), 1);
    s.in = weft_chan_make(pt, 1);
    s.names = weft_chan_make(const char *, 1);
    s.ops = weft_chan_make(binary, 1);
    if (!c || c == NULL || same != c || c == nullptr)
        return 1;

    weft_send(c, 1);
    weft_send(c, short(2));
    weft_send(s.in, pt{1, 2});
    weft_send(s.in, {1, 2});
    weft_send(s.names, "name");
    weft_send(s.ops, add);
    weft_send(bigs, b);
    weft_send(nested, c);
    if (weft_try_send(same, 1) && weft_try_send(s.in, {1, 2}))
        n++;
    while (weft_recv(c, &n) && weft_recv(s.in, &p) && weft_recv(c, NULL))
        weft_recv(c, nullptr);
    n += weft_try_recv(c, &n) || weft_try_recv(c, NULL);
    weft_chan_set_name(c, "c");
    n += int(weft_chan_len(c) + weft_chan_cap(s.in));
    weft_chan_close(c);
    weft_chan_unref(c);
    return n;
}

int selects(server &s, weft_chan(big) bigs, weft_chan(int) c) {
    int n = 0;
    bool ok = false;
    pt p;
    big b = {};
    const char *name = "x";
    switch (weft_select(weft_case_recv(c, &n), weft_case_recv_ok(s.in, &p, &ok),
                        weft_case_recv(weft_ctx_done(weft_ctx_current()), NULL),
                        weft_case_send(c, n + 1), weft_case_send(s.in, {1, 2}),
                        weft_case_send(bigs, b), weft_case_send(bigs, big{{1, 2}}),
                        weft_case_send_ok(s.in, {1, 2}, &ok), weft_case_send_ok(bigs, b, &ok),
                        weft_case_send_ok(c, n, nullptr), weft_case_send_from(bigs, &b),
                        weft_case_send_from(s.names, &name), weft_case_send(s.ops, add),
                        weft_case_after(50 * WEFT_MILLISECOND), weft_case_default())) {
    case 0:
        return n;
    case -1:
        return errno;
    default:
        break;
    }
    if (ok)
        weft_select();
    weft_case cs[3] = {weft_case_recv(c, &n), weft_case_send_from(s.in, &p)};
    cs[2] = weft_case_send(c, 5);
    return weft_select_n(cs, 3);
}

void locks(server &s) {
    weft_mutex_lock(&s.m);
    weft_mutex_unlock(&s.m);
    if (weft_mutex_trylock(&mutex) && weft_mutex_timedlock(&mutex, weft_now() + WEFT_SECOND))
        weft_mutex_unlock(&mutex);
    weft_rwmutex_rlock(&rw);
    if (weft_rwmutex_tryrlock(&rw))
        weft_rwmutex_runlock(&rw);
    weft_rwmutex_lock(&rw);
    if (!weft_rwmutex_trylock(&rw))
        weft_rwmutex_unlock(&rw);
    weft_wg_add(&wg, 1);
    weft_wg_done(&wg);
    weft_wg_go(&wg, f0);
    weft_wg_go(
        &wg, [](int a, double b) { return a + b; }, 1, 2.5);
    weft_wg_wait(&wg);
    weft_once_do(
        &once, [](void *) {}, nullptr);
    weft_cond_wait(&cond, &s.m);
    if (!weft_cond_timedwait(&cond, &s.m, weft_now() + WEFT_MICROSECOND))
        weft_cond_signal(&cond);
    weft_cond_broadcast(&cond);
    weft_sem_init(&s.s, 3);
    if (weft_sem_acquire(&sem, 2) || weft_sem_try_acquire(&sem, 1))
        weft_sem_release(&sem, 1);
}

int groups() {
    int v[2] = {0, 1};
    weft_group local = WEFT_GROUP_INIT;
    weft_group_set_limit(&local, 3);
    weft_group_go(&local, g0);
    weft_group_go(&group, g1, &v[0]);
    weft_group_go(&group, [&v] { return v[1]; });
    if (weft_group_try_go(&group, g1, &v[1]) && weft_group_try_go(&group, g0))
        weft_group_cancel(&group);
    return weft_ctx_err(weft_group_ctx(&group)) + weft_group_wait(&group);
}

int contexts() {
    static const char name = 0;
    weft_time t = 0;
    weft_ctx *root = weft_ctx_background();
    weft_ctx *a = weft_ctx_with_cancel(root);
    weft_ctx *b = weft_ctx_with_timeout(a, WEFT_MINUTE);
    weft_ctx *c = weft_ctx_with_deadline(b, weft_now() + WEFT_HOUR);
    weft_ctx *d = weft_ctx_with_value(weft_ctx_ref(c), &name, &t);
    weft_ctx *e = weft_ctx_without_cancel(d);
    weft_ctx_hook *hook = weft_ctx_after_func(a, f1, nullptr);
    weft_chan(char) done = weft_ctx_done(d);
    {
        weft_scope_timeout(5 * WEFT_SECOND);
        weft_scope_ctx(d);
        weft_recv(done, nullptr);
    }
    weft_ctx_cancel(a, 0);
    if (!weft_ctx_hook_stop(hook) && weft_ctx_deadline(d, &t) && weft_ctx_value(d, &name))
        return weft_ctx_cause(d);
    weft_ctx_unref(e);
    return weft_ctx_err(d);
}

void times() {
    weft_time t = weft_now();
    weft_chan(weft_time) after = weft_after(WEFT_NANOSECOND);
    weft_timer *timer = weft_timer_new(WEFT_SECOND);
    weft_timer *func = weft_after_func(WEFT_SECOND, f1, nullptr);
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

ssize_t files(const char *path, off_t *offset) {
    char buf[64], *line = nullptr;
    size_t size = 0;
    iovec iov[2] = {{buf, 8}, {buf + 8, sizeof buf - 8}};
    int fd = weft_open(path, O_RDONLY);
    int log = weft_open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    ssize_t n = weft_read(fd, buf, sizeof buf) + weft_readv(fd, iov, 2) +
                weft_pread(fd, buf, sizeof buf, 4096) + weft_write(log, "text", 4) +
                weft_writev(log, iov, 2) + weft_pwrite(log, buf, 8, *offset) +
                weft_sendfile(log, fd, nullptr, 8) + weft_sendfile(log, fd, offset, 8);
    std::FILE *in = weft_fdopen(fd, "r");
    while (getline(&line, &size, in) > 0)
        n++;
    return n + weft_fsync(log) + weft_close(log);
}

ssize_t sockets(int fd) {
    char buf[128];
    sockaddr_storage peer;
    socklen_t len = sizeof peer;
    iovec iov = {buf, sizeof buf};
    msghdr msg = {};
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    addrinfo hints = {}, *res = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    weft_listen_opts opts = {};
    opts.reuseport = true;
    int listener = weft_listen("tcp", "127.0.0.1:0");
    int conn = weft_accept(listener);
    if (weft_listen_with(nullptr, "unix", "@weft") < 0 ||
        weft_listen_with(&opts, "udp", ":53") < 0 || weft_dial("tcp", "[::1]:80") < 0 ||
        weft_poll(fd, POLLIN | POLLOUT) & POLLERR)
        return -1;
    if (weft_getaddrinfo("localhost", "http", &hints, &res) == 0) {
        weft_connect(fd, res->ai_addr, res->ai_addrlen);
        freeaddrinfo(res);
    }
    if (weft_local_addr(listener, buf, sizeof buf) == 0 &&
        weft_remote_addr(conn, buf, sizeof buf) == 0)
        std::puts(buf);
    weft_set_deadline(conn, weft_now() + 5 * WEFT_SECOND);
    weft_set_read_deadline(conn, 0);
    weft_set_write_deadline(conn, 1);
    return weft_recvfrom(fd, buf, sizeof buf, 0, reinterpret_cast<sockaddr *>(&peer), &len) +
           weft_recvfrom(fd, buf, sizeof buf, MSG_DONTWAIT, nullptr, nullptr) +
           weft_sendto(fd, "text", 4, 0, reinterpret_cast<const sockaddr *>(&peer), len) +
           weft_sendto(fd, "text", 4, 0, nullptr, 0) + weft_recvmsg(fd, &msg, 0) +
           weft_sendmsg(fd, &msg, 0) + weft_shutdown(conn, SHUT_WR) + weft_close(conn);
}

int signals() {
    static const int both[] = {SIGINT, SIGTERM};
    const int hangup = SIGHUP;
    int n = 0, status = 0;
    weft_chan(int) c = weft_chan_make(int, 1);
    weft_ctx *ctx = weft_signal_ctx(weft_ctx_current(), both, 2);
    if (weft_signal_notify(c, &hangup, 1) == 0 && weft_recv(c, &n))
        weft_signal_stop(c);
    if (n < 0 && weft_signal_notify(nullptr, both, 2) != 0)
        weft_signal_stop(nullptr);
    weft_chan_unref(c);
    weft_ctx_unref(ctx);
    return n + (weft_waitpid(-1, &status, WNOHANG) > 0 && WIFEXITED(status));
}

int app(int argc, char **argv) {
    server s;
    weft_set_fatal_hook(fatal_hook);
    weft_dump(2);
    goroutines();
    locks(s);
    times();
    off_t offset = 0;
    return int(blocks(0) + files(argv[0], &offset) + sockets(0)) + channels(s) +
           selects(s, nullptr, zeroed) + groups() + contexts() + signals() +
           (argc > 0 && argv[0] == weft_version());
}

} // namespace

int run_by_hand(int argc, char **argv);
int run_by_hand(int argc, char **argv) {
    if (weft_start() != 0 || weft_stop() != 0 || weft_after_fork() != 0)
        return 1;
    return weft_run(app, argc, argv);
}

WEFT_MAIN(app)
