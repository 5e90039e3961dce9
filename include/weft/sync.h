/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/sync.h: locks and waiting: mutex, rwmutex, wg, once, cond, sem.
 *
 * All of them are ready for use when zeroed, as static storage is, and need no destroy. They must
 * not be moved or copied while in use, and may lie in any memory of the process. Their members are
 * private; they are in the header for their size alone. Waiters are goroutines, which park, or
 * threads, which block.
 */
#ifndef WEFT_SYNC_H
#define WEFT_SYNC_H

#include <weft/base.h>
#include <weft/go.h>

WEFT_BEGIN_DECLS

/* weft_mutex: mutual exclusion. It belongs to no goroutine: one may lock, another unlock it. */
typedef struct weft_mutex {
    uint32_t state;
    uint32_t lock;
    void *head;
    void *tail;
} weft_mutex;

/* weft_rwmutex: any number of readers, or one writer. It belongs to no goroutine. */
typedef struct weft_rwmutex {
    weft_mutex w;
    int32_t readers;
    int32_t leaving;
    uint32_t lock;
    uint32_t pad;
    void *rhead, *rtail;
    void *whead, *wtail;
} weft_rwmutex;

/* weft_wg: a count of things under way, and those who wait for it to reach 0. */
typedef struct weft_wg {
    uint64_t state;
    uint32_t lock;
    uint32_t pad;
    void *head, *tail;
} weft_wg;

/* weft_once: something to be done once. */
typedef struct weft_once {
    uint32_t done;
    uint32_t pad;
    weft_mutex m;
} weft_once;

/* weft_cond: a condition on data under a mutex. */
typedef struct weft_cond {
    uint32_t lock;
    uint32_t pad;
    void *head, *tail;
} weft_cond;

/* weft_sem: a count of permits, with waiters served first in, first out. */
typedef struct weft_sem {
    uint64_t count;
    uint32_t lock;
    uint32_t pad;
    void *head, *tail;
} weft_sem;

/*
 * Initialisers: all zeros, but for WEFT_SEM_INIT(n), with n permits. gcc takes {0} for an object
 * whose members are structs at the outermost level only, so two of them are written out.
 */
#define WEFT_MUTEX_INIT WEFT_IMPL_ZERO
#ifndef __cplusplus
#define WEFT_RWMUTEX_INIT                                                                          \
    { WEFT_MUTEX_INIT, 0, 0, 0, 0, NULL, NULL, NULL, NULL }
#define WEFT_ONCE_INIT                                                                             \
    { 0, 0, WEFT_MUTEX_INIT }
#else
#define WEFT_RWMUTEX_INIT WEFT_IMPL_ZERO
#define WEFT_ONCE_INIT WEFT_IMPL_ZERO
#endif
#define WEFT_WG_INIT WEFT_IMPL_ZERO
#define WEFT_COND_INIT WEFT_IMPL_ZERO
#define WEFT_SEM_INIT(n)                                                                           \
    { WEFT_IMPL_CAST(uint64_t, n), 0, 0, NULL, NULL }

/*
 * weft_mutex_lock locks m, and waits while it is locked. It is not recursive: a second lock by the
 * one who has it waits for ever. One who has waited for more than 1 ms gets it before newcomers.
 *
 * Traits:  parks ("sync.Mutex.Lock"), not cancellable; any thread; no memory.
 * Order:   unlock number n is before the return of lock number m, for n < m.
 * See:     weft_mutex_trylock, weft_mutex_timedlock, weft_mutex_unlock.
 * From:    Go, sync.Mutex.
 */
WEFT_API void weft_mutex_lock(weft_mutex *m);

/*
 * weft_mutex_trylock locks m if that can be done at once. It leaves errno alone, as all the try
 * locks do.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true when the caller has it; false when it is locked.
 * Order:   true: as weft_mutex_lock; false: none.
 * From:    Go, sync.Mutex.TryLock.
 */
WEFT_API bool weft_mutex_trylock(weft_mutex *m);

/*
 * weft_mutex_timedlock locks m, and waits for it until deadline at most. A free mutex is locked
 * even when the deadline has passed.
 *
 * Traits:  parks ("sync.Mutex.Lock"), not cancellable; any thread; no memory.
 * Returns: true when the caller has it; false, with errno, when not.
 * Errors:  ETIMEDOUT  the deadline has passed.
 * Order:   true: as weft_mutex_lock; false: none.
 * Example: if (!weft_mutex_timedlock(&m, weft_now() + WEFT_SECOND)) return -1;
 * From:    POSIX, pthread_mutex_timedlock.
 */
WEFT_API bool weft_mutex_timedlock(weft_mutex *m, weft_time deadline);

/*
 * weft_mutex_unlock unlocks m. Of an unlocked mutex it ends the program: "sync: unlock of unlocked
 * mutex".
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of every later lock.
 * From:    Go, sync.Mutex.
 */
WEFT_API void weft_mutex_unlock(weft_mutex *m);

/*
 * weft_rwmutex_rlock locks rw for reading, beside other readers. It waits while a writer has it or
 * waits for it; so it must not be nested: a writer that comes between would block both.
 *
 * Traits:  parks ("sync.RWMutex.RLock"), not cancellable; any thread; no memory.
 * Order:   every earlier weft_rwmutex_unlock is before the return.
 * See:     weft_rwmutex_tryrlock, weft_rwmutex_runlock.
 * From:    Go, sync.RWMutex.
 */
WEFT_API void weft_rwmutex_rlock(weft_rwmutex *rw);

/*
 * weft_rwmutex_tryrlock locks rw for reading if that can be done at once.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true when the caller has it; false when a writer has it or waits for it.
 * Order:   true: as weft_rwmutex_rlock; false: none.
 * From:    Go, sync.RWMutex.TryRLock.
 */
WEFT_API bool weft_rwmutex_tryrlock(weft_rwmutex *rw);

/*
 * weft_rwmutex_runlock gives a read lock back. Without one it ends the program: "sync: RUnlock of
 * unlocked RWMutex".
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of the next weft_rwmutex_lock.
 * From:    Go, sync.RWMutex.
 */
WEFT_API void weft_rwmutex_runlock(weft_rwmutex *rw);

/*
 * weft_rwmutex_lock locks rw for writing: it waits for those readers and that writer who have it,
 * and keeps new readers out meanwhile.
 *
 * Traits:  parks ("sync.RWMutex.Lock"), not cancellable; any thread; no memory.
 * Order:   every earlier unlock and runlock is before the return.
 * See:     weft_rwmutex_trylock, weft_rwmutex_unlock.
 * From:    Go, sync.RWMutex.
 */
WEFT_API void weft_rwmutex_lock(weft_rwmutex *rw);

/*
 * weft_rwmutex_trylock locks rw for writing if that can be done at once.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true when the caller has it; false when a reader or a writer has it.
 * Order:   true: as weft_rwmutex_lock; false: none.
 * From:    Go, sync.RWMutex.TryLock.
 */
WEFT_API bool weft_rwmutex_trylock(weft_rwmutex *rw);

/*
 * weft_rwmutex_unlock gives the write lock back; readers who waited go first. Without the lock it
 * ends the program: "sync: Unlock of unlocked RWMutex".
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of every later lock and rlock.
 * From:    Go, sync.RWMutex.
 */
WEFT_API void weft_rwmutex_unlock(weft_rwmutex *rw);

/*
 * weft_wg_add adds n, which may be negative, to the counter. When it reaches 0 all waiters wake.
 *
 * An add from 0 comes before the wait that is to see it. Below 0 the program ends: "sync: negative
 * WaitGroup counter"; an add from 0 that overlaps a wait ends it, when seen: "sync: WaitGroup
 * misuse: Add called concurrently with Wait".
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   one that takes the counter down is before the return of the waits that it releases.
 * See:     weft_wg_go, which adds by itself.
 * From:    Go, sync.WaitGroup.
 */
WEFT_API void weft_wg_add(weft_wg *wg, int n);

/*
 * weft_wg_done is weft_wg_add(wg, -1).
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of the waits that it releases.
 * From:    Go, sync.WaitGroup.
 */
WEFT_API void weft_wg_done(weft_wg *wg);

/*
 * weft_wg_wait waits until the counter is 0. Any number may wait; a cancelled context doesn't end
 * the wait.
 *
 * Traits:  parks ("sync.WaitGroup.Wait"), not cancellable; any thread; no memory.
 * Order:   every done that the wait was for is before the return.
 * From:    Go, sync.WaitGroup.
 */
WEFT_API void weft_wg_wait(weft_wg *wg);

/*
 * weft_wg_go adds 1 to wg and starts fn(args...) in a goroutine; when that ends, by return or by
 * weft_goexit, it counts as done. Arguments are those of weft_go.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: 0, or -1 with errno and the counter as it was.
 * Errors:  ENOMEM  as weft_go.
 * Order:   as weft_go; the end of fn is before the return of the waits that it releases.
 * Example: for (int i = 0; i < 4; i++) weft_wg_go(&wg, square, in, out);
 *          weft_wg_wait(&wg);
 * See:     weft_go, weft_group_go.
 * From:    Go, sync.WaitGroup.Go.
 *
 * int weft_wg_go(weft_wg *wg, fn, args...);
 */
#ifndef __cplusplus
#define weft_wg_go(wg, ...)                                                                        \
    WEFT_IMPL_GO_CALL(weft_impl_wg_go, WEFT_IMPL_ARG, (wg), "weft_wg_go", ANY, __VA_ARGS__)
#else
#define weft_wg_go(wg, ...)                                                                        \
    (weft_impl_launch<void>{weft_impl_start_wg{(wg), WEFT_IMPL_SITE_CXX(__VA_ARGS__)},             \
                            __VA_ARGS__}                                                           \
         .status())
#endif

WEFT_API int weft_impl_wg_go(weft_wg *wg, const struct weft_impl_site *site, void (*fn)(void),
                             const uint64_t *words);

/*
 * weft_once_do calls fn(arg) if it is the first call for this once; every call returns after that
 * run has ended. A fn that leaves by weft_goexit counts as done; one that calls weft_once_do on
 * the same once waits for ever.
 *
 * Traits:  parks while another runs fn ("sync.Mutex.Lock"), not cancellable; any thread; allocates
 *          a little around fn (without memory the program ends).
 * Order:   the end of fn is before the return of every call.
 * From:    Go, sync.Once.
 */
WEFT_API void weft_once_do(weft_once *once, void (*fn)(void *arg), void *arg);

/*
 * weft_cond_wait unlocks m, which the caller has locked, and waits for a signal or broadcast, as
 * one step, and returns with m locked. There are no wake-ups without a cause; but others may run
 * between the signal and the lock, so the condition is looked at in a loop.
 *
 * Traits:  parks ("sync.Cond.Wait"), not cancellable; any thread; no memory.
 * Order:   the signal or broadcast that wakes it is before the return; and as weft_mutex_lock.
 * Example: weft_mutex_lock(&m); while (!ready) weft_cond_wait(&cond, &m); weft_mutex_unlock(&m);
 * From:    Go, sync.Cond.
 */
WEFT_API void weft_cond_wait(weft_cond *cond, weft_mutex *m);

/*
 * weft_cond_timedwait waits as weft_cond_wait does, until deadline at most. m is locked when it
 * returns, in either case.
 *
 * Traits:  parks ("sync.Cond.Wait"), not cancellable; any thread; no memory.
 * Returns: true when it was woken; false, with errno, when not.
 * Errors:  ETIMEDOUT  the deadline has passed; no signal was used up.
 * Order:   as weft_cond_wait; false: as weft_mutex_lock.
 * From:    POSIX, pthread_cond_timedwait.
 */
WEFT_API bool weft_cond_timedwait(weft_cond *cond, weft_mutex *m, weft_time deadline);

/*
 * weft_cond_signal wakes the one who has waited longest, if there is one; otherwise it is
 * forgotten. The mutex may be held or not.
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of the wait that it wakes.
 * From:    Go, sync.Cond.
 */
WEFT_API void weft_cond_signal(weft_cond *cond);

/*
 * weft_cond_broadcast wakes all who wait at this moment. The mutex may be held or not.
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of the waits that it wakes.
 * From:    Go, sync.Cond.
 */
WEFT_API void weft_cond_broadcast(weft_cond *cond);

/*
 * weft_sem_init gives sem n permits and no waiters. Nobody may use sem meanwhile.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * See:     WEFT_SEM_INIT(n), for an initialiser.
 */
WEFT_API void weft_sem_init(weft_sem *sem, uint64_t n);

/*
 * weft_sem_acquire takes n permits, and waits until they are all there. Waiters are served in the
 * order in which they came: one that wants few waits behind one that wants many.
 *
 * Traits:  parks ("semacquire"), cancellable; any thread; no memory.
 * Returns: true when the caller has them; false, with errno, when it took none.
 * Errors:  ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the deadline of the goroutine's context has passed.
 * Order:   the releases of the permits taken are before the return.
 * See:     weft_sem_try_acquire, weft_sem_release.
 * From:    Go, x/sync/semaphore (which has a total size; this has none).
 */
WEFT_API bool weft_sem_acquire(weft_sem *sem, uint64_t n);

/*
 * weft_sem_try_acquire takes n permits if they are there and nobody waits.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: true when the caller has them; false, with errno, when it took none.
 * Errors:  EAGAIN.
 * Order:   true: as weft_sem_acquire; false: none.
 * From:    Go, x/sync/semaphore.
 */
WEFT_API bool weft_sem_try_acquire(weft_sem *sem, uint64_t n);

/*
 * weft_sem_release puts n permits into sem and wakes those whose turn it is. It need not be the
 * one who took them. More than 2^64 - 1 permits end the program.
 *
 * Traits:  never parks; any thread; no memory.
 * Order:   before the return of the acquires that get the permits.
 * From:    Go, x/sync/semaphore.
 */
WEFT_API void weft_sem_release(weft_sem *sem, uint64_t n);

WEFT_END_DECLS

#ifdef __cplusplus
struct weft_impl_start_wg {
    weft_wg *wg;
    const struct weft_impl_site *site;
    bool operator()(void (*entry)(void), uint64_t word) const {
        const uint64_t words[6] = {word, 0, 0, 0, 0, 0};
        return weft_impl_wg_go(wg, site, entry, words) == 0;
    }
};
#endif

#endif
