/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutex and RW lock: group L of the behaviours that weft shares with Go.
 *
 * "One P" tests stand on a fact of the scheduler: with GOMAXPROCS=1 a few yields let every
 * goroutine that was started before run until it parks.  No test here measures a time span.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conform.h"

/* ---- mutex ---- */

static weft_mutex static_mutex;

TEST(L1_zeroed_mutex_is_unlocked) {
    weft_mutex local = WEFT_MUTEX_INIT;
    weft_mutex zeroed;
    memset(&zeroed, 0, sizeof zeroed);
    weft_mutex *all[] = {&static_mutex, &local, &zeroed};
    for (int i = 0; i < 3; i++) {
        CHECK(weft_mutex_trylock(all[i]));
        weft_mutex_unlock(all[i]);
        weft_mutex_lock(all[i]);
        CHECK(!weft_mutex_trylock(all[i]));
        weft_mutex_unlock(all[i]);
    }
}

struct turnstile {
    weft_mutex m;
    _Atomic int inside, passed;
    weft_wg wg;
};

static void pass(struct turnstile *t) {
    weft_mutex_lock(&t->m);
    CHECK_EQ(atomic_fetch_add(&t->inside, 1), 0);
    weft_yield();
    CHECK_EQ(atomic_fetch_sub(&t->inside, 1), 1);
    atomic_fetch_add(&t->passed, 1);
    weft_mutex_unlock(&t->m);
}

TEST_ENV(L2_lock_waits_and_excludes, "GOMAXPROCS=1") {
    static struct turnstile t;
    weft_mutex_lock(&t.m);
    for (int i = 0; i < 10; i++)
        weft_wg_go(&t.wg, pass, &t);
    settle();
    CHECK_EQ(atomic_load(&t.passed), 0);
    weft_mutex_unlock(&t.m);
    weft_wg_wait(&t.wg);
    CHECK_EQ(atomic_load(&t.passed), 10);
}

TEST(L3_trylock_never_waits) {
    weft_mutex m = WEFT_MUTEX_INIT;
    for (int i = 0; i < 100; i++) {
        CHECK(weft_mutex_trylock(&m));
        for (int k = 0; k < 10; k++)
            CHECK(!weft_mutex_trylock(&m));
        weft_mutex_unlock(&m);
    }
}

TEST(L3_timedlock_gives_up_and_takes) {
    weft_mutex m = WEFT_MUTEX_INIT;
    CHECK(weft_mutex_timedlock(&m, weft_now() + WEFT_HOUR));
    weft_time until = weft_now() + 5 * WEFT_MILLISECOND;
    CHECK(!weft_mutex_timedlock(&m, until));
    CHECK(weft_now() >= until);
    CHECK(!weft_mutex_timedlock(&m, weft_now() - WEFT_SECOND));
    weft_mutex_unlock(&m);
    /* A free lock is taken even when the moment has passed: a call that can finish does. */
    CHECK(weft_mutex_timedlock(&m, weft_now() - WEFT_SECOND));
    weft_mutex_unlock(&m);
    CHECK(weft_mutex_trylock(&m)); /* no waiter was left behind that takes the lock */
}

static void unlock_it(weft_mutex *m, _Atomic int *done) {
    weft_mutex_unlock(m);
    atomic_store(done, 1);
}

TEST(L4_another_goroutine_may_unlock) {
    static weft_mutex m;
    static _Atomic int done;
    weft_mutex_lock(&m);
    weft_go(unlock_it, &m, &done);
    weft_mutex_lock(&m);
    CHECK(!weft_mutex_trylock(&m));
    EVENTUALLY(atomic_load(&done) == 1);
    weft_mutex_unlock(&m);
}

TEST_DIES(L5_unlock_of_unlocked, 2, "fatal error: sync: unlock of unlocked mutex") {
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_mutex_unlock(&m);
}

TEST_DIES(L6_second_unlock, 2, "fatal error: sync: unlock of unlocked mutex") {
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_mutex_lock(&m);
    weft_mutex_unlock(&m);
    weft_mutex_unlock(&m);
}

TEST_DIES(L7_mutex_is_not_recursive, 2, "fatal error: all goroutines are asleep - deadlock!") {
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_mutex_lock(&m);
    weft_mutex_lock(&m);
}

struct hammer {
    weft_mutex m;
    weft_wg wg;
    int plain; /* guarded by m, so lost updates show */
    _Atomic int taken;
};

static void hammer_mutex(struct hammer *h) {
    for (int i = 0; i < 1000; i++) {
        if (i % 3 == 0) {
            if (!weft_mutex_trylock(&h->m)) {
                weft_yield();
                continue;
            }
        } else {
            weft_mutex_lock(&h->m);
        }
        h->plain++;
        if (i % 16 == 0)
            weft_yield();
        atomic_fetch_add(&h->taken, 1);
        weft_mutex_unlock(&h->m);
    }
}

static void run_hammer(void) {
    static struct hammer h;
    for (int i = 0; i < 10; i++)
        weft_wg_go(&h.wg, hammer_mutex, &h);
    weft_wg_wait(&h.wg);
    CHECK_EQ(h.plain, atomic_load(&h.taken));
    CHECK(h.plain >= 10 * 666); /* the locks that were not tries */
}

TEST(L8_hammer) {
    run_hammer();
}

TEST_ENV(L8_hammer_on_one_P, "GOMAXPROCS=1") {
    run_hammer();
}

TEST_ENV(L8_hammer_on_eight_Ps, "GOMAXPROCS=8") {
    run_hammer();
}

/* ---- RW lock ---- */

struct readers {
    weft_rwmutex rw;
    weft_wg wg;
    _Atomic int inside;
};

static void read_until_all_do(struct readers *r, int all) {
    weft_rwmutex_rlock(&r->rw);
    atomic_fetch_add(&r->inside, 1);
    EVENTUALLY(atomic_load(&r->inside) == all); /* ends only when all hold the lock at once */
    weft_wg_done(&r->wg);
    weft_wg_wait(&r->wg); /* nobody leaves before all have seen it */
    weft_rwmutex_runlock(&r->rw);
}

static void run_parallel_readers(int n) {
    static struct readers r;
    weft_wg_add(&r.wg, n);
    for (int i = 0; i < n; i++)
        weft_go(read_until_all_do, &r, n);
    weft_wg_wait(&r.wg);
    weft_rwmutex_lock(&r.rw); /* free again once they left */
    weft_rwmutex_unlock(&r.rw);
}

TEST(L9_readers_share) {
    run_parallel_readers(20);
}

TEST_ENV(L9_readers_share_on_one_P, "GOMAXPROCS=1") {
    run_parallel_readers(20);
}

enum { A_WRITER = 10000 };

struct rw_hammer {
    weft_rwmutex rw;
    weft_wg wg;
    _Atomic int activity; /* readers + A_WRITER * writers */
    int plain;
};

static void hammer_read(struct rw_hammer *h) {
    for (int i = 0; i < 300; i++) {
        if (i % 8 != 0)
            weft_rwmutex_rlock(&h->rw);
        else if (!weft_rwmutex_tryrlock(&h->rw))
            continue;
        int now = atomic_fetch_add(&h->activity, 1) + 1;
        CHECK(now >= 1 && now < A_WRITER);
        if (i % 4 == 0)
            weft_yield();
        atomic_fetch_sub(&h->activity, 1);
        weft_rwmutex_runlock(&h->rw);
    }
}

static void hammer_write(struct rw_hammer *h, _Atomic int *written) {
    for (int i = 0; i < 300; i++) {
        if (i % 8 != 0)
            weft_rwmutex_lock(&h->rw);
        else if (!weft_rwmutex_trylock(&h->rw))
            continue;
        CHECK_EQ(atomic_fetch_add(&h->activity, A_WRITER), 0);
        h->plain++;
        if (i % 4 == 0)
            weft_yield();
        CHECK_EQ(atomic_fetch_sub(&h->activity, A_WRITER), A_WRITER);
        atomic_fetch_add(written, 1);
        weft_rwmutex_unlock(&h->rw);
    }
}

static void run_rw_hammer(int readers) {
    static struct rw_hammer h;
    static _Atomic int written;
    for (int i = 0; i < readers; i++) {
        weft_wg_go(&h.wg, hammer_read, &h);
        if (i % 4 == 0)
            weft_wg_go(&h.wg, hammer_write, &h, &written);
    }
    weft_wg_wait(&h.wg);
    CHECK_EQ(h.plain, atomic_load(&written));
    CHECK(h.plain > 0);
    CHECK_EQ(atomic_load(&h.activity), 0);
}

TEST_ENV(L10_writers_exclude, "GOMAXPROCS=10") {
    run_rw_hammer(20);
}

TEST_ENV(L10_writers_exclude_on_one_P, "GOMAXPROCS=1") {
    run_rw_hammer(10);
}

TEST_DIES(L11_unlock_of_unlocked_rw, 2, "fatal error: sync: Unlock of unlocked RWMutex") {
    weft_rwmutex rw = WEFT_RWMUTEX_INIT;
    weft_rwmutex_unlock(&rw);
}

TEST_DIES(L11_unlock_of_read_locked_rw, 2, "fatal error: sync: Unlock of unlocked RWMutex") {
    weft_rwmutex rw = WEFT_RWMUTEX_INIT;
    weft_rwmutex_rlock(&rw);
    weft_rwmutex_unlock(&rw);
}

TEST_DIES(L12_runlock_of_unlocked_rw, 2, "fatal error: sync: RUnlock of unlocked RWMutex") {
    weft_rwmutex rw = WEFT_RWMUTEX_INIT;
    weft_rwmutex_runlock(&rw);
}

TEST_DIES(L12_runlock_of_write_locked_rw, 2, "fatal error: sync: RUnlock of unlocked RWMutex") {
    weft_rwmutex rw = WEFT_RWMUTEX_INIT;
    weft_rwmutex_lock(&rw);
    weft_rwmutex_runlock(&rw);
}

TEST(L13_L14_try_on_rw) {
    weft_rwmutex rw = WEFT_RWMUTEX_INIT;
    CHECK(weft_rwmutex_tryrlock(&rw));
    CHECK(weft_rwmutex_tryrlock(&rw)); /* beside another reader */
    CHECK(!weft_rwmutex_trylock(&rw));
    weft_rwmutex_runlock(&rw);
    CHECK(!weft_rwmutex_trylock(&rw)); /* one reader is still there */
    weft_rwmutex_runlock(&rw);
    CHECK(weft_rwmutex_trylock(&rw));
    CHECK(!weft_rwmutex_trylock(&rw));
    CHECK(!weft_rwmutex_tryrlock(&rw)); /* beside a writer */
    weft_rwmutex_unlock(&rw);
    CHECK(weft_rwmutex_tryrlock(&rw));
    weft_rwmutex_runlock(&rw);
}

static void write_lock(weft_rwmutex *rw, _Atomic int *got) {
    weft_rwmutex_lock(rw);
    atomic_store(got, 1);
    weft_rwmutex_unlock(rw);
}

TEST_ENV(L13_tryrlock_fails_beside_a_parked_writer, "GOMAXPROCS=1") {
    static weft_rwmutex rw;
    static _Atomic int got;
    weft_rwmutex_rlock(&rw);
    weft_go(write_lock, &rw, &got);
    settle();
    CHECK_EQ(atomic_load(&got), 0);
    CHECK(!weft_rwmutex_tryrlock(&rw));
    weft_rwmutex_runlock(&rw);
    EVENTUALLY(atomic_load(&got) == 1);
    weft_rwmutex_rlock(&rw);
    weft_rwmutex_runlock(&rw);
}

static void runlock_it(weft_rwmutex *rw, _Atomic int *done) {
    weft_rwmutex_runlock(rw);
    atomic_store(done, 1);
}

TEST(L15_another_goroutine_may_runlock) {
    static weft_rwmutex rw;
    static _Atomic int done;
    weft_rwmutex_rlock(&rw);
    weft_go(runlock_it, &rw, &done);
    weft_rwmutex_lock(&rw); /* waits for the other goroutine's unlock */
    weft_rwmutex_unlock(&rw);
    EVENTUALLY(atomic_load(&done) == 1);
}

static void read_lock(weft_rwmutex *rw, _Atomic int *got) {
    weft_rwmutex_rlock(rw);
    atomic_fetch_add(got, 1);
    weft_rwmutex_runlock(rw);
}

TEST_ENV(L16_writer_waits_for_the_last_reader, "GOMAXPROCS=1") {
    static weft_rwmutex rw;
    static _Atomic int wrote, later;
    for (int i = 0; i < 3; i++)
        weft_rwmutex_rlock(&rw);
    weft_go(write_lock, &rw, &wrote);
    settle();
    weft_go(read_lock, &rw, &later); /* comes after the writer and must let it go first */
    for (int i = 0; i < 3; i++) {
        settle();
        CHECK_EQ(atomic_load(&wrote), 0);
        CHECK_EQ(atomic_load(&later), 0);
        weft_rwmutex_runlock(&rw);
    }
    EVENTUALLY(atomic_load(&wrote) == 1);
    EVENTUALLY(atomic_load(&later) == 1);
}

/* ---- reasons ---- */

static void park_in_lock(void *m) {
    weft_mutex_lock(m);
}

static void park_in_rlock(void *rw) {
    weft_rwmutex_rlock(rw);
}

static void park_in_wlock(void *rw) {
    weft_rwmutex_lock(rw);
}

TEST_ENV(L17_reason_of_mutex_waiter, TRACE_ENV) {
    static weft_mutex m;
    weft_mutex_lock(&m);
    CHECK(trace_sees(park_in_lock, &m, "sync.Mutex.Lock"));
}

TEST_ENV(L17_reason_of_read_waiter, TRACE_ENV) {
    static weft_rwmutex rw;
    weft_rwmutex_lock(&rw);
    CHECK(trace_sees(park_in_rlock, &rw, "sync.RWMutex.RLock"));
}

TEST_ENV(L17_reason_of_write_waiter, TRACE_ENV) {
    static weft_rwmutex rw;
    weft_rwmutex_rlock(&rw);
    CHECK(trace_sees(park_in_wlock, &rw, "sync.RWMutex.Lock"));
}

/* ---- no kernel, one wake-up ---- */

/* From here on every system call of this thread but exit_group ends the process by SIGSYS. */
static bool forbid_system_calls(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { NO_SECCOMP = 77 };

static void lock_without_kernel(void) {
    weft_mutex m = WEFT_MUTEX_INIT;
    weft_rwmutex rw = WEFT_RWMUTEX_INIT;
    if (!forbid_system_calls())
        _exit(NO_SECCOMP);
    for (int i = 0; i < 1000; i++) {
        weft_mutex_lock(&m);
        weft_mutex_unlock(&m);
        weft_rwmutex_rlock(&rw);
        weft_rwmutex_runlock(&rw);
        weft_rwmutex_lock(&rw);
        weft_rwmutex_unlock(&rw);
    }
    _exit(0);
}

/*
 * A thread that the kernel takes the CPU from for a whole time slice meets a request to yield in
 * its next call, and so the scheduler.  That is rare in 50 us: one clean pass of several proves it.
 */
TEST_PLAIN(L18_uncontended_lock_stays_out_of_the_kernel) {
    int status = -1;
    if (SANITIZED)
        test_skip("a sanitizer makes system calls of its own");
    for (int i = 0; i < 8 && status != 0; i++) {
        struct test_output r = test_run_child(lock_without_kernel, NULL);
        status = r.status;
        test_output_free(&r);
        if (status == NO_SECCOMP)
            test_skip("no seccomp here");
    }
    CHECK_EQ(status, 0);
}

enum { WAITERS = 5 };

static void lock_and_keep(weft_mutex *m, _Atomic int *holders) {
    weft_mutex_lock(m);
    atomic_fetch_add(holders, 1);
    weft_recv((weft_chan(int))NULL, NULL); /* keeps it */
}

TEST_ENV(L19_unlock_wakes_at_most_one, "GOMAXPROCS=1", TRACE_ENV ",asyncpreemptoff=1") {
    static weft_mutex m;
    static _Atomic int holders;
    weft_mutex_lock(&m);
    for (int i = 0; i < WAITERS; i++)
        weft_go(lock_and_keep, &m, &holders);
    struct trace_capture c = trace_capture();
    bool parked = trace_await_reason(&c, "sync.Mutex.Lock", WAITERS);
    weft_mutex_unlock(&m);
    /* Main keeps the P, so nobody that the unlock woke could have parked again by now. */
    long index = 0;
    char *text = trace_await_group(&c, &index);
    int waiting = text != NULL ? trace_count_reason(text, index, "sync.Mutex.Lock") : -1;
    free(text);
    settle();
    trace_end(&c);
    CHECK(parked);
    CHECK(waiting >= WAITERS - 1);
    CHECK_EQ(atomic_load(&holders), 1);
}
