/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retake.c: plain calls that sleep in the kernel, without a bracket, hold no P (P22), and notice
 * nothing.
 *
 * With one P and no signal main runs again, while a goroutine is in such a call, only because the
 * monitor took the P. Each call is ended by main, so a P that is not taken is a hang.
 */
#include "unannounced.h" /* first: it asks for the GNU extensions */

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static atomic_int done;

/* ---- the calls: what one does, and how main ends it ---- */

struct call {
    void (*before)(void); /* these may be NULL */
    void (*block)(void);
    void (*unblock)(void);
    void (*after)(void);
};

static void writes_one(void) {
    write_bytes(1);
}

static void takes_one(void) {
    char c;
    CHECK_EQ(read(ends[0], &c, 1), 1);
}

static void call_usleep(void) {
    CHECK_EQ(usleep(30000), 0);
}

static void call_poll(void) {
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    CHECK_EQ(poll(&fd, 1, -1), 1);
    takes_one();
}

static void call_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    CHECK_EQ(select(ends[0] + 1, &set, NULL, NULL, NULL), 1);
    takes_one();
}

static void call_epoll(void) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &e), 0);
    CHECK_EQ(epoll_wait(ep, &e, 1, -1), 1);
    close(ep);
    takes_one();
}

/* Two descriptors of one file. */

static int files[2];

static void lock_file(void) {
    char path[] = "/tmp/weft-retake-XXXXXX";
    files[0] = mkostemp(path, O_CLOEXEC);
    files[1] = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(files[0] >= 0 && files[1] >= 0);
    unlink(path);
    CHECK_EQ(flock(files[0], LOCK_EX), 0);
}

static void call_flock(void) {
    CHECK_EQ(flock(files[1], LOCK_EX), 0);
}

static void unlock_file(void) {
    CHECK_EQ(flock(files[0], LOCK_UN), 0);
}

static void close_files(void) {
    close(files[0]);
    close(files[1]);
}

/* A listener that nobody has connected to yet. */

static int listener, connection;
static struct sockaddr_un address;

static void make_listener(void) {
    socklen_t size = sizeof(sa_family_t);
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0);
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, size), 0); /* the kernel names it */
    size = sizeof address;
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    CHECK_EQ(listen(listener, 1), 0);
}

static void call_accept(void) {
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    close(fd);
}

static void connects(void) {
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + 5); /* \0 and 5 digits */
    CHECK_EQ(connect(connection, (struct sockaddr *)&address, size), 0);
}

static void close_listener(void) {
    close(listener);
    close(connection);
}

/* A child that waits for the end of a pipe. */

static pid_t child;

static void make_child(void) {
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char c;
        close(ends[1]);
        ssize_t n = read(ends[0], &c, 1);
        _exit(n == 1 ? 3 : 4);
    }
}

static void call_waitpid(void) {
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

/* A reader that waits for a writer to open the other side. */

static char fifo[] = "/tmp/weft-retake-XXXXXX/fifo";
static int writer;

static void make_fifo(void) {
    char *slash = strrchr(fifo, '/');
    *slash = 0;
    CHECK(mkdtemp(fifo));
    *slash = '/';
    CHECK_EQ(mkfifo(fifo, 0600), 0);
}

static void call_open(void) {
    int fd = open(fifo, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    close(fd);
}

static void opens_to_write(void) {
    /* Without O_NONBLOCK it might wait itself, for who has not begun to open yet. */
    EVENTUALLY((writer = open(fifo, O_WRONLY | O_CLOEXEC | O_NONBLOCK)) >= 0);
}

static void remove_fifo(void) {
    close(writer);
    CHECK_EQ(unlink(fifo), 0);
    *strrchr(fifo, '/') = 0;
    CHECK_EQ(rmdir(fifo), 0);
}

/* A pipe that is full. */

static size_t filled;

static void fill(void) {
    static const char zeroes[4096];
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    for (ssize_t n; (n = write(ends[1], zeroes, sizeof zeroes)) > 0;)
        filled += (size_t)n;
    CHECK_EQ(fcntl(ends[1], F_SETFL, 0), 0);
}

static void call_write(void) {
    static const char more[20000];
    CHECK_EQ(write(ends[1], more, sizeof more), sizeof more);
}

static void drain(void) {
    static char into[4096];
    CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    for (size_t left = filled + 20000; left > 0; weft_yield()) {
        ssize_t n = read(ends[0], into, sizeof into);
        left -= n > 0 ? (size_t)n : 0;
    }
}

/* Locks of pthreads'. */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool flag; /* under mutex */
static sem_t sem;

static void call_cond_wait(void) {
    pthread_mutex_lock(&mutex);
    while (!flag)
        CHECK_EQ(pthread_cond_wait(&cond, &mutex), 0);
    pthread_mutex_unlock(&mutex);
}

static void signals_cond(void) {
    pthread_mutex_lock(&mutex);
    flag = true;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
}

static void make_sem(void) {
    CHECK_EQ(sem_init(&sem, 0, 0), 0);
}

static void call_sem_wait(void) {
    CHECK_EQ(sem_wait(&sem), 0);
}

static void posts(void) {
    CHECK_EQ(sem_post(&sem), 0);
}

static uint32_t word;

static void call_futex(void) {
    while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0) {
        long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
        CHECK(r == 0 || errno == EAGAIN);
    }
}

static void wakes_futex(void) {
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* A thread that is not weft's, to be waited for. */

static pthread_t thread;

static void *reads_once(void *arg) {
    char c;
    return read(ends[0], &c, 1) == 1 ? arg : NULL;
}

static void make_thread(void) {
    CHECK_EQ(pthread_create(&thread, NULL, reads_once, ends), 0);
}

static void call_join(void) {
    void *result = NULL;
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == ends);
}

/* A page that somebody else must bring: asleep, but in no call. */

static int faults = -1;
static char *page;
static size_t page_size;

static void make_page(void) {
    struct uffdio_api api = {.api = UFFD_API};
    faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* UFFD_USER_MODE_ONLY */);
    if (faults < 0 || ioctl(faults, UFFDIO_API, &api) != 0)
        test_skip("no userfaultfd here");
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    struct uffdio_register range = {.range = {.start = (uintptr_t)page, .len = page_size},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK_EQ(ioctl(faults, UFFDIO_REGISTER, &range), 0);
}

static void touches_page(void) {
    CHECK_EQ(*(volatile char *)page, 'y');
}

static void brings_page(void) {
    static char from[65536] __attribute__((aligned(65536))) = {'y'};
    struct uffdio_copy copy = {.dst = (uintptr_t)page, .src = (uintptr_t)from, .len = page_size};
    CHECK_EQ(ioctl(faults, UFFDIO_COPY, &copy), 0);
}

static void unmap_page(void) {
    close(faults);
    munmap(page, page_size);
}

/* ---- a call loses its P and is not disturbed ---- */

static void makes(const struct call *c) {
    long thread = thread_id();
    errno = 99;
    inside++;
    c->block();
    CHECK_EQ(thread_id(), thread);
    CHECK_EQ(errno, 99);
    done++;
}

/* One after the other, each with main to end it on the only P. */
static void loses_p(const struct call *c) {
    open_ends();
    if (c->before)
        c->before();
    CHECK_EQ(weft_go(makes, c), 0);
    EVENTUALLY(inside == 1); /* it runs, up to the call, and main comes back */
    weft_yield();
    CHECK_EQ(done, 0);
    c->unblock();
    EVENTUALLY(done == 1);
    if (c->after)
        c->after();
    close_ends();
}

#define LOSES_P(name, ...)                                                                         \
    TEST_ENV(P22_##name, WITHOUT_SIGNAL) {                                                         \
        static const struct call call = {__VA_ARGS__};                                             \
        loses_p(&call);                                                                            \
    }

LOSES_P(read, .block = takes_one, .unblock = writes_one)
LOSES_P(poll, .block = call_poll, .unblock = writes_one)
LOSES_P(select, .block = call_select, .unblock = writes_one)
LOSES_P(epoll_wait, .block = call_epoll, .unblock = writes_one)
LOSES_P(flock, .before = lock_file, .block = call_flock, .unblock = unlock_file,
        .after = close_files)
LOSES_P(accept, .before = make_listener, .block = call_accept, .unblock = connects,
        .after = close_listener)
LOSES_P(waitpid, .before = make_child, .block = call_waitpid, .unblock = writes_one)
LOSES_P(open_of_a_fifo, .before = make_fifo, .block = call_open, .unblock = opens_to_write,
        .after = remove_fifo)
LOSES_P(write_to_a_full_pipe, .before = fill, .block = call_write, .unblock = drain)
LOSES_P(pthread_cond_wait, .block = call_cond_wait, .unblock = signals_cond)
LOSES_P(sem_wait, .before = make_sem, .block = call_sem_wait, .unblock = posts)
LOSES_P(futex, .block = call_futex, .unblock = wakes_futex)
LOSES_P(pthread_join, .before = make_thread, .block = call_join, .unblock = writes_one)
LOSES_P(page_fault, .before = make_page, .block = touches_page, .unblock = brings_page,
        .after = unmap_page)

/* One whose end nobody brings: others live beside it. */
TEST_ENV(P22_usleep, WITHOUT_SIGNAL) {
    static const struct call call = {.block = call_usleep};
    long beside = 0;
    CHECK_EQ(weft_go(makes, &call), 0);
    for (; done == 0; beside++)
        weft_yield();
    CHECK(beside > 1); /* once for its turn, and once because it had none */
}

/* Who waits for the lock sleeps, and who has it sleeps, too. */
static void sleeps_with_mutex(void) {
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    read_byte();
    flag = true;
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    done++;
}

static void wants_mutex(void) {
    inside++;
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    CHECK(flag);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    inside--;
    done++;
}

TEST_ENV(P22_pthread_mutex, WITHOUT_SIGNAL) {
    enum { WAITERS = 4 };
    open_ends();
    weft_go(sleeps_with_mutex);
    EVENTUALLY(inside == 1);
    weft_yield();
    for (int i = 0; i < WAITERS; i++)
        weft_go(wants_mutex);
    EVENTUALLY(inside == 1 + WAITERS);
    CHECK_EQ(done, 0);
    write_bytes(1);
    EVENTUALLY(done == 1 + WAITERS);
    close_ends();
}
