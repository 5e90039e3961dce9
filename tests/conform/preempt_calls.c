/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The preemption signal in system calls and in waits for locks of pthreads': what is left of it
 * where the monitor does not take the P from outside (retake.c). The goroutine gives its P away
 * (P22), the call goes on or is made again, and nobody sees an EINTR that is not the program's own.
 */
#include "hogs.h" /* first: it asks for the GNU extensions */

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define TEST_BY_SIGNAL(name) TEST_ENV(name, "GOMAXPROCS=1", "GODEBUG=retake=0")

/* ---- P22 ---- */

static atomic_int done;

static void naps(void) {
    struct timespec span = {0, 100 * 1000000}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    errno = 0;
    CHECK_EQ(nanosleep(&span, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    int64_t took = (after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec;
    CHECK(took >= 100 * 1000000);
    done++;
}

TEST_BY_SIGNAL(P22_an_unannounced_sleep_holds_no_P) {
    static atomic_long n;
    weft_go(beside, &n);
    for (int i = 0; i < 8; i++)
        weft_go(naps);
    EVENTUALLY(done == 8);
    CHECK(n > 50); /* eight slices, were it not for preemption */
    stop_hogs();
}

static int ends[2];

static void open_ends(void) {
    CHECK_EQ(pipe(ends), 0);
}

static void close_ends(void) {
    close(ends[0]);
    close(ends[1]);
}

static void reads_late_byte(void) {
    char c = 0;
    CHECK_EQ(read(ends[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    done++;
}

TEST_BY_SIGNAL(P22_an_unannounced_read_holds_no_P) {
    static atomic_long n;
    open_ends();
    weft_go(beside, &n);
    for (int i = 0; i < 4; i++)
        weft_go(reads_late_byte);
    weft_sleep(50 * WEFT_MILLISECOND);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(write(ends[1], "x", 1), 1);
    EVENTUALLY(done == 4);
    stop_hogs();
    close_ends();
}

/* Each of these fails with EINTR when a signal comes, whatever SA_RESTART says. */

#define SPAN_MS 60

static void call_poll(void) {
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    CHECK_EQ(poll(&fd, 1, SPAN_MS), 0);
}

static void call_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    struct timeval span = {0, SPAN_MS * 1000};
    CHECK_EQ(select(ends[0] + 1, &set, NULL, NULL, &span), 0);
}

static void call_ppoll(void) {
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    struct timespec span = {0, SPAN_MS * 1000000};
    CHECK_EQ(ppoll(&fd, 1, &span, NULL), 0);
}

static void call_epoll(void) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &e), 0);
    CHECK_EQ(epoll_wait(ep, &e, 1, SPAN_MS), 0);
    close(ep);
}

static void call_usleep(void) {
    CHECK_EQ(usleep(SPAN_MS * 1000), 0);
}

static void call_clock_nanosleep(void) {
    struct timespec span = {0, SPAN_MS * 1000000};
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL), 0);
}

static void call_sem_timedwait(void) {
    sem_t sem;
    struct timespec until;
    sem_init(&sem, 0, 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SPAN_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    CHECK_EQ(sem_timedwait(&sem, &until), -1);
    CHECK_EQ(errno, ETIMEDOUT);
}

static void call_cond_timedwait(void) {
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t c = PTHREAD_COND_INITIALIZER;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SPAN_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&m);
    CHECK_EQ(pthread_cond_timedwait(&c, &m, &until), ETIMEDOUT);
    pthread_mutex_unlock(&m);
}

static void runs_call(void (*call)(void)) {
    for (int i = 0; i < 3; i++) {
        int64_t before = nanos();
        call();
        CHECK(nanos() - before >= (SPAN_MS - 1) * 1000000ll);
    }
    done++;
}

TEST_BY_SIGNAL(interrupted_system_calls_are_made_again) {
    static void (*const calls[])(void) = {
        call_poll,   call_select,          call_ppoll,         call_epoll,
        call_usleep, call_clock_nanosleep, call_sem_timedwait, call_cond_timedwait,
    };
    const int n = sizeof calls / sizeof *calls;
    open_ends();
    start_hogs(2);
    for (int i = 0; i < n; i++)
        weft_go(runs_call, calls[i]);
    EVENTUALLY(done == n);
    stop_hogs();
    close_ends();
}

static void nothing(int sig) {
    (void)sig;
}

/* The program's own signals still interrupt. */
static void is_interrupted(pthread_t *self) {
    *self = pthread_self();
    done = 1;
    int r = usleep(30 * 1000000), err = errno;
    CHECK_EQ(r, -1);
    CHECK_EQ(err, EINTR);
    done = 2;
}

TEST_BY_SIGNAL(the_programs_own_signal_interrupts) {
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_ONSTACK};
    pthread_t thread;
    sigaction(SIGUSR2, &action, NULL);
    start_hogs(2);
    weft_go(is_interrupted, &thread);
    EVENTUALLY(done == 1);
    weft_sleep(50 * WEFT_MILLISECOND);
    while (done != 2) {
        pthread_kill(thread, SIGUSR2);
        weft_sleep(5 * WEFT_MILLISECOND);
    }
    stop_hogs();
}

/* A goroutine that comes back from a call and computes on shares its P as all do. */
static void naps_then_computes(int i) {
    usleep(30000);
    hog(i);
}

TEST_BY_SIGNAL(one_that_computes_after_a_system_call) {
    start_hogs(2);
    weft_go(naps_then_computes, 2);
    EVENTUALLY(counted[2] > 0);
    weft_sleep(100 * WEFT_MILLISECOND);
    stop_hogs();
}

/* ---- locks of pthreads' ---- */

static pthread_mutex_t section = PTHREAD_MUTEX_INITIALIZER;
static int inside, sections;

static void holds_long(int times) {
    for (int i = 0; i < times; i++) {
        pthread_mutex_lock(&section);
        CHECK_EQ(inside++, 0);
        hog_for(30000000);
        CHECK_EQ(--inside, 0);
        sections++;
        pthread_mutex_unlock(&section);
    }
    done++;
}

static void mutex_held_over_slices(void) {
    static atomic_long n;
    for (int i = 0; i < 4; i++)
        weft_go(holds_long, 4);
    weft_go(beside, &n);
    EVENTUALLY(done == 4);
    CHECK_EQ(sections, 16);
    CHECK(n > 16);
    stop_hogs();
}

TEST_BY_SIGNAL(a_mutex_held_by_one_that_is_preempted) {
    mutex_held_over_slices();
}

TEST_ENV(a_mutex_held_by_one_that_is_preempted_2, "GOMAXPROCS=2") {
    mutex_held_over_slices();
}
