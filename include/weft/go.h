/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/go.h: running the scheduler, starting goroutines, and what a goroutine may ask and set
 * about itself.
 */
#ifndef WEFT_GO_H
#define WEFT_GO_H

#include <weft/base.h>

#ifdef __cplusplus
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>
#endif

WEFT_BEGIN_DECLS

/*
 * weft_run runs app(argc, argv) as goroutine 1 of a fresh runtime and returns when app returned.
 *
 * The calling thread lends itself to the runtime. When app returns, goroutines that are parked or
 * runnable never execute another statement; running ones stop at their next weft call. When app
 * leaves by weft_goexit instead, the run goes on for as long as other goroutines exist. Several
 * runs may follow one another in a process; objects of an earlier run are void.
 *
 * A thread of the program's that is in a waiting call when the run ends gets ECANCELED from it if
 * it is cancellable, and what comes of a time-out if it is a timed one; in any other it sleeps for
 * good.
 *
 * app begins on the calling thread, and stays there if its first call is weft_lock_os_thread.
 *
 * Where no runtime is running, objects can be made, used and freed. Starting a goroutine there ends
 * the program: "a goroutine can't be started: no runtime is running (weft_run or weft_start
 * first)". So does arming a timer, as sleeps, time-outs and contexts with a deadline do. A call
 * that would have to wait fails with ECANCELED if it is cancellable, else it ends the program.
 * Calls on descriptors work there as POSIX's (weft/io.h), and a run's end leaves these open.
 *
 * Traits:  blocks the thread; threads that are no goroutine; allocates.
 * Returns: app's value; or -1 with errno when the runtime could not be started.
 * Errors:  EBUSY   a runtime is running in this process already.
 *          ENOMEM, EAGAIN   no memory or no thread to be had.
 * Order:   what app and every goroutine that was waited for wrote is seen after the return.
 * Example: int main(int argc, char **argv) { return weft_run(app, argc, argv); }
 * See:     WEFT_MAIN, weft_start.
 * From:    Go, "Program execution".
 */
WEFT_API int weft_run(int (*app)(int argc, char **argv), int argc, char **argv);

/*
 * WEFT_MAIN defines main(): it runs app(argc, argv) as goroutine 1 and ends the process with
 * app's value, through exit(), without waiting for other goroutines. No semicolon follows.
 *
 * Example: static int app(int argc, char **argv) { ...; return 0; }
 *          WEFT_MAIN(app)
 * See:     weft_run, for a main of your own.
 * From:    Go, "Program execution".
 */
#define WEFT_MAIN(app)                                                                             \
    int main(int argc, char **argv) {                                                              \
        return weft_impl_main((app), argc, argv);                                                  \
    }

WEFT_API int weft_impl_main(int (*app)(int argc, char **argv), int argc, char **argv);

/*
 * weft_start starts the runtime in the background of a program that keeps its own main. It is
 * counted: each successful call wants one weft_stop.
 *
 * The calling thread stays what it is: no goroutine, but free to make weft calls. The runtime
 * installs no signal handler but the one of its preemption signal, which passes on signals that
 * are not its own, and does not report deadlocks.
 *
 * Traits:  never parks; any thread, any time; allocates.
 * Returns: 0, or -1 with errno.
 * Errors:  ENOMEM, EAGAIN   no memory or no thread to be had.
 * Order:   before every goroutine's first statement.
 * See:     weft_stop, weft_run.
 */
WEFT_API int weft_start(void);

/*
 * weft_stop takes back one weft_start; the last one ends the runtime.
 *
 * Traits:  blocks until the runtime's threads have ended; threads that are no goroutine; no memory.
 * Returns: 0, or -1 with errno.
 * Errors:  EBUSY   goroutines exist.
 *          EINVAL  there was no weft_start to take back.
 *          EPERM   the caller is a goroutine.
 * See:     weft_start.
 */
WEFT_API int weft_stop(void);

/*
 * struct weft_attr: how weft_go_with starts a goroutine. Zero in a field means the default.
 */
struct weft_attr {
    const char *name;  /* shown in dumps; copied, 31 bytes of it at most */
    size_t stack_size; /* in bytes, rounded up to what the runtime offers */
    weft_ctx *ctx;     /* the context to run under, borrowed; default: the caller's */
    unsigned flags;    /* must be 0 */
};

/*
 * weft_go starts fn(args...) in a new goroutine and returns without waiting for it.
 *
 * Takes up to 6 arguments. They are evaluated in the caller, each once, in the order written, and
 * copied; the compiler checks them against fn's prototype. What fn returns is thrown away. The
 * goroutine inherits the caller's context. What the arguments point to is borrowed: it must live
 * until the goroutine is through with it.
 *
 * In C each parameter must be a pointer or an integer of int's size or more (8 bytes at most). An
 * argument that is floating or a struct, or a return type over 16 bytes, is a compile-time error
 * that says "pass a pointer". What C can't detect is a parameter of type double, float, bool, char
 * or short that is given an int: declare such parameters as int, or pass a pointer. On RISC-V an
 * unsigned int that a parameter of 8 bytes is to hold needs a cast to the parameter's type. A
 * literal with commas among the arguments needs parentheses: weft_go(f, (&(struct pt){1, 2})).
 *
 * In C++ fn is anything callable, lambdas with captures among them, and the arguments are any
 * number of anything movable; they are copied or moved to the heap, as std::thread does (std::ref
 * for references). An exception that leaves fn calls std::terminate.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: 0, or -1 with errno. A fn of NULL ends the program: "go of nil func value"; so does a
 *          call while no runtime is running (weft_run).
 * Errors:  ENOMEM  no memory for one more goroutine. Nothing was started, nothing leaked.
 * Order:   what the caller wrote before is seen by the new goroutine. The end of a goroutine is
 *          before nothing by itself: use a channel, a weft_wg or a weft_group.
 * Example: weft_go(square, in, out);
 * See:     weft_go_with, weft_wg_go, weft_group_go.
 * From:    Go, "Go statements"; memory model, "Goroutine creation".
 *
 * int weft_go(fn, args...);
 */
#ifndef __cplusplus
#define weft_go(...)                                                                               \
    WEFT_IMPL_GO_CALL(weft_impl_go_words, WEFT_IMPL_NO_ARG, , "weft_go", ANY, __VA_ARGS__)
#else
#define weft_go(...)                                                                               \
    (weft_impl_launch<void>{weft_impl_start_go{nullptr, WEFT_IMPL_SITE_CXX(__VA_ARGS__)},          \
                            __VA_ARGS__}                                                           \
         .status())
#endif

/*
 * weft_go_with starts fn(args...) as weft_go does, with a name, a stack size or a context of its
 * own. attr is read before the call returns; NULL stands for all defaults.
 *
 * An attribute literal with commas needs parentheses: (&(struct weft_attr){.name = "a", .ctx = c}).
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: 0, or -1 with errno.
 * Errors:  ENOMEM  as weft_go.
 *          EINVAL  a stack_size beyond what the runtime offers, or flags not 0.
 * Order:   as weft_go.
 * Example: weft_go_with(&(struct weft_attr){.name = "reaper"}, reap, queue);
 * See:     weft_go.
 *
 * int weft_go_with(const struct weft_attr *attr, fn, args...);
 */
#ifndef __cplusplus
#define weft_go_with(attr, ...)                                                                    \
    WEFT_IMPL_GO_CALL(weft_impl_go_with, WEFT_IMPL_ARG, (attr), "weft_go_with", ANY, __VA_ARGS__)
#else
#define weft_go_with(attr, ...)                                                                    \
    (weft_impl_launch<void>{weft_impl_start_go{(attr), WEFT_IMPL_SITE_CXX(__VA_ARGS__)},           \
                            __VA_ARGS__}                                                           \
         .status())
#endif

/*
 * weft_yield lets other goroutines run: the caller goes to the tail of the global queue. On a
 * thread that is no goroutine it is sched_yield().
 *
 * Traits:  yields, not cancellable; any thread; no memory.
 * From:    Go, runtime.Gosched.
 */
WEFT_API void weft_yield(void);

/*
 * weft_goexit ends the calling goroutine, from any call depth, after running its deferred calls.
 *
 * It unwinds nothing: no C++ destructor and no __attribute__((cleanup)) of the frames it leaves is
 * run, but scopes (weft_scope_ctx) need none. In goroutine 1 the run goes on until the other
 * goroutines are done; when they are all gone the program ends: "no goroutines (main called
 * runtime.Goexit) - deadlock!".
 *
 * Traits:  never returns; goroutines (elsewhere it ends the program with a message); no memory.
 * See:     weft_defer.
 * From:    Go, runtime.Goexit.
 */
WEFT_API void weft_goexit(void) __attribute__((__noreturn__));

/*
 * weft_defer has fn(arg) called when the calling goroutine ends, by return or by weft_goexit;
 * several are called last first, in the goroutine, and may make any weft call.
 *
 * It is bound to the goroutine, not to the calling function (Go's defer is bound to the function).
 * A run that ends because app returned does not end its goroutines and calls nothing.
 *
 * Traits:  never parks; goroutines; allocates.
 * Returns: 0, or -1 with errno.
 * Errors:  ENOMEM  nothing was registered.
 *          EPERM   the caller is no goroutine.
 * See:     weft_goexit, weft_key_create.
 * From:    Go, defer and runtime.Goexit.
 */
WEFT_API int weft_defer(void (*fn)(void *), void *arg);

/*
 * weft_id returns the calling goroutine's id: positive, never given out twice in a run, 1 for the
 * goroutine that runs app.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: the id; 0 on a thread that is no goroutine.
 * See:     weft_name, weft_dump.
 */
WEFT_API uint64_t weft_id(void);

/*
 * weft_name returns the calling goroutine's name.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: a string that is good until the goroutine's next weft_set_name or its end; "" where
 *          there is no name, or on a thread that is no goroutine.
 * See:     weft_set_name, struct weft_attr.
 */
WEFT_API const char *weft_name(void);

/*
 * weft_set_name names the calling goroutine, for dumps and traces; format is printf's. 31 bytes
 * are kept. On a thread that is no goroutine it does nothing.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Example: weft_set_name("conn %d", fd);
 * See:     weft_name.
 */
WEFT_API void weft_set_name(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/*
 * weft_num_goroutine returns how many goroutines exist. Those that the runtime keeps for itself
 * are not counted.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: the count, 1 in a program that started none; 0 when no runtime is running.
 * From:    Go, runtime.NumGoroutine.
 */
WEFT_API int weft_num_goroutine(void);

/*
 * weft_num_cpu returns how many CPUs the process may use: those in its affinity mask when the
 * runtime started.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * From:    Go, runtime.NumCPU.
 */
WEFT_API int weft_num_cpu(void);

/*
 * weft_gomaxprocs sets how many goroutines run at the same time, and returns what it was; n < 1
 * only asks. The start value is GOMAXPROCS (or WEFT_MAXPROCS) of the environment, else the CPUs in
 * the affinity mask, lowered by the CPU quota of the process's cgroup and those above it (rounded
 * up, never below 2).
 *
 * A number that nobody set follows the mask and the quota while the program runs, at most once a
 * second. Setting one ends that, also when it is the present one.
 *
 * Traits:  parks until running goroutines have reached a stop, not cancellable; any thread;
 *          allocates.
 * Returns: the previous number.
 * See:     weft_gomaxprocs_default.
 * From:    Go, runtime.GOMAXPROCS.
 */
WEFT_API int weft_gomaxprocs(int n);

/*
 * weft_gomaxprocs_default sets the number that weft_gomaxprocs documents as the start value, as mask
 * and quota are now and whatever the environment says, and lets it follow them again. Without a
 * runtime it changes nothing.
 *
 * Traits:  parks until running goroutines have reached a stop, not cancellable; any thread;
 *          allocates; reads files of /proc and /sys.
 * Returns: the previous number.
 * From:    Go, runtime.SetDefaultGOMAXPROCS.
 */
WEFT_API int weft_gomaxprocs_default(void);

/*
 * weft_lock_os_thread ties the calling goroutine to the thread that it runs on: it runs on no
 * other, and the thread runs nobody else, not even while the goroutine is parked. It is counted.
 * A goroutine that ends locked takes its thread with it.
 *
 * That is what code needs which keeps state in its thread (__thread, a GL context, a namespace)
 * across calls that park.
 *
 * Traits:  never parks; goroutines (elsewhere it ends the program with a message); no memory.
 * See:     weft_unlock_os_thread.
 * From:    Go, runtime.LockOSThread.
 */
WEFT_API void weft_lock_os_thread(void);

/*
 * weft_unlock_os_thread takes back one weft_lock_os_thread; without one it does nothing.
 *
 * Traits:  never parks; goroutines (elsewhere it ends the program with a message); no memory.
 * From:    Go, runtime.UnlockOSThread.
 */
WEFT_API void weft_unlock_os_thread(void);

/*
 * weft_set_max_threads sets how many threads the runtime may have, 10,000 at the start. Past the
 * limit work waits for a thread, and one line on stderr says so.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: the previous limit; n < 1 only asks.
 * From:    Go, debug.SetMaxThreads (which ends the program past the limit).
 */
WEFT_API int weft_set_max_threads(int n);

/*
 * weft_block_enter tells the runtime that the calling goroutine is about to block its thread in
 * foreign code, so that others may run meanwhile. Each is followed by one weft_block_exit in the
 * same goroutine. weft_block() does both and is the better choice.
 *
 * Between the two any weft call may be made. On a thread that is no goroutine both do nothing.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * See:     weft_block.
 * From:    Go, runtime.entersyscall.
 */
WEFT_API void weft_block_enter(void);

/*
 * weft_block_exit ends what weft_block_enter began; the goroutine may wait for its turn to run, and
 * then goes on, on another thread perhaps, unless weft_lock_os_thread keeps it on this one. errno
 * stays as the foreign code left it.
 *
 * Traits:  waits for a turn to run, not cancellable; any thread, any time; no memory.
 * See:     weft_block.
 * From:    Go, runtime.exitsyscall.
 */
WEFT_API void weft_block_exit(void);

/*
 * weft_block evaluates an expression that may block the thread, a system call or a library's
 * function, while other goroutines run. Its value is the expression's (void too), and errno is
 * what the expression left.
 *
 * However the expression is left (return or goto in a statement expression, a C++ exception), the
 * bracket is closed; longjmp and weft_goexit out of it are not allowed. The expression is evaluated
 * on one thread; what follows may run on another, as after any call that parks.
 *
 * Traits:  blocks the thread, not cancellable; any thread, any time; no memory.
 * Example: n = weft_block(read(fd, buf, sizeof buf));
 * See:     weft_block_enter.
 *
 * weft_block(expression)
 */
#define weft_block(...)                                                                            \
    (__extension__({                                                                               \
        __attribute__((__cleanup__(weft_impl_block_leave), __unused__)) int weft_impl_block_open = \
            (weft_block_enter(), 0);                                                               \
        __VA_ARGS__;                                                                               \
    }))

WEFT_IMPL_INLINE void weft_impl_block_leave(int *open) {
    (void)open;
    weft_block_exit();
}

/* A goroutine-local variable: its value differs from goroutine to goroutine. */
typedef unsigned int weft_key;

/*
 * weft_key_create makes a goroutine-local variable. Its value is NULL in every goroutine until it
 * is set there. When a goroutine ends with a value that is not NULL, destroy(value) is called in
 * it, after its deferred calls, unless destroy is NULL.
 *
 * Traits:  never parks; any thread; allocates.
 * Returns: 0, or -1 with errno.
 * Errors:  EAGAIN  all keys are in use.
 *          ENOMEM.
 * See:     weft_key_delete, weft_key_get, weft_key_set.
 * From:    POSIX, pthread_key_create.
 */
WEFT_API int weft_key_create(weft_key *key, void (*destroy)(void *));

/*
 * weft_key_delete gives a key back. No destroy function is called; values still set are lost.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: 0, or -1 with errno.
 * Errors:  EINVAL  no such key.
 * From:    POSIX, pthread_key_delete.
 */
WEFT_API int weft_key_delete(weft_key key);

/*
 * weft_key_get returns the calling goroutine's value of key.
 *
 * Traits:  never parks; any thread; no memory.
 * Returns: the value; NULL when it was never set, and on a thread that is no goroutine.
 * From:    POSIX, pthread_getspecific.
 */
WEFT_API void *weft_key_get(weft_key key);

/*
 * weft_key_set sets the calling goroutine's value of key. The old value is not destroyed.
 *
 * Traits:  never parks; goroutines; allocates.
 * Returns: 0, or -1 with errno.
 * Errors:  EINVAL  no such key.
 *          ENOMEM.
 *          EPERM   the caller is no goroutine.
 * From:    POSIX, pthread_setspecific.
 */
WEFT_API int weft_key_set(weft_key key, void *value);

/*
 * weft_after_fork makes a fork's child a runtime of its own, in which the goroutine that called
 * fork goes on as goroutine 1. Objects made before the fork, goroutines and contexts among them,
 * are void in the child; the caller's deferred calls, goroutine-local values and name stay, it runs
 * under the background context, and the number of Ps is that of a start.
 *
 * When the fork was made on the thread that called weft_run, the end of goroutine 1 has weft_run
 * return in the child. On another thread of the runtime there is nothing to return to: the end of
 * goroutine 1 ends the process by exit(), with app's value, or with 0 for any other goroutine. A
 * thread that is no goroutine becomes the one that called weft_start, once.
 *
 * Without it the child may do what POSIX allows the child of a program with threads, and exec; a
 * weft call ends it with a message. Before the first run, and between two, a child needs no
 * weft_after_fork. A vfork's child may exec or _exit.
 *
 * Descriptors stay open, and those that weft made count as foreign ones in the child. It closes the
 * two that weft itself used, by their numbers: a child that closes all it inherited and opens others
 * does so after this call.
 *
 * Traits:  never parks; a fork's child, as its first weft call; allocates.
 * Returns: 0, or -1 with errno.
 * Errors:  EPERM   this process is not such a child, or is one already made a runtime; or a signal
 *                  handler that interrupted weft has forked.
 *          ENOMEM, EAGAIN   no memory or no thread to be had.
 * Example: if (fork() == 0) { weft_after_fork(); serve(listener); _exit(0); }
 * From:    POSIX, fork.
 */
WEFT_API int weft_after_fork(void);

/*
 * Below: what the macros are made of.
 */

/* One static const object for each place that starts goroutines. */
struct weft_impl_site {
    const char *file;
    const char *func; /* the text of fn, "square" */
    int line;
    unsigned char nargs; /* words that are in use */
    const char *caller;  /* the function that the place is in; NULL: the runtime, for func */
};

WEFT_API int weft_impl_go(const struct weft_impl_site *site, void (*fn)(void), uint64_t a0,
                          uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
WEFT_API int weft_impl_go_with(const struct weft_attr *attr, const struct weft_impl_site *site,
                               void (*fn)(void), const uint64_t *words);

WEFT_END_DECLS

#ifndef __cplusplus

WEFT_IMPL_INLINE int weft_impl_go_words(const struct weft_impl_site *site, void (*fn)(void),
                                        const uint64_t *words) {
    return weft_impl_go(site, fn, words[0], words[1], words[2], words[3], words[4], words[5]);
}

/*
 * WEFT_IMPL_GO_CALL(entry, X, first, name, kind, fn, args...) expands to
 * entry(X(first) site, fn, words), where X puts a comma after first or drops it. It is an
 * expression and no block, and the words are in a compound literal: so literals among the arguments
 * live to the end of the block that encloses the call, as C promises, and not only until the
 * goroutine was started.
 */
#define WEFT_IMPL_ARG(first) first,
#define WEFT_IMPL_NO_ARG(nothing)
#define WEFT_IMPL_GO_CALL(entry, X, first, name, kind, ...)                                        \
    WEFT_IMPL_GO_PASTE(                                                                            \
        WEFT_IMPL_COUNT(__VA_ARGS__, M, M, M, M, M, M, M, M, M, 6, 5, 4, 3, 2, 1, 0, 0))           \
    (entry, X, first, name, kind, __VA_ARGS__)
#define WEFT_IMPL_COUNT(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, n,   \
                        ...)                                                                       \
    n
#define WEFT_IMPL_GO_PASTE(n) WEFT_IMPL_GO_PASTE_(n)
#define WEFT_IMPL_GO_PASTE_(n) WEFT_IMPL_GO_##n

#define WEFT_IMPL_GO_0(e, X, v, name, kind, fn)                                                    \
    e(X(v) WEFT_IMPL_SITE(fn, 0, WEFT_IMPL_RETURN_##kind(name, (fn)())), WEFT_IMPL_FN_##kind(fn),  \
      (const uint64_t[6]){0})
#define WEFT_IMPL_GO_1(e, X, v, name, kind, fn, a)                                                 \
    e(X(v) WEFT_IMPL_SITE(fn, 1,                                                                   \
                          WEFT_IMPL_RETURN_##kind(name, (fn)(a)) WEFT_IMPL_IS_WORD(name, a)),      \
      WEFT_IMPL_FN_##kind(fn), (const uint64_t[6]){WEFT_IMPL_WORD(a)})
#define WEFT_IMPL_GO_2(e, X, v, name, kind, fn, a, b)                                              \
    e(X(v) WEFT_IMPL_SITE(fn, 2,                                                                   \
                          WEFT_IMPL_RETURN_##kind(name, (fn)(a, b)) WEFT_IMPL_IS_WORD(name, a)     \
                              WEFT_IMPL_IS_WORD(name, b)),                                         \
      WEFT_IMPL_FN_##kind(fn), (const uint64_t[6]){WEFT_IMPL_WORD(a), WEFT_IMPL_WORD(b)})
#define WEFT_IMPL_GO_3(e, X, v, name, kind, fn, a, b, c)                                           \
    e(X(v) WEFT_IMPL_SITE(fn, 3,                                                                   \
                          WEFT_IMPL_RETURN_##kind(name, (fn)(a, b, c)) WEFT_IMPL_IS_WORD(name, a)  \
                              WEFT_IMPL_IS_WORD(name, b) WEFT_IMPL_IS_WORD(name, c)),              \
      WEFT_IMPL_FN_##kind(fn),                                                                     \
      (const uint64_t[6]){WEFT_IMPL_WORD(a), WEFT_IMPL_WORD(b), WEFT_IMPL_WORD(c)})
#define WEFT_IMPL_GO_4(e, X, v, name, kind, fn, a, b, c, d)                                        \
    e(X(v) WEFT_IMPL_SITE(fn, 4,                                                                   \
                          WEFT_IMPL_RETURN_##kind(name, (fn)(a, b, c, d))                          \
                              WEFT_IMPL_IS_WORD(name, a) WEFT_IMPL_IS_WORD(name, b)                \
                                  WEFT_IMPL_IS_WORD(name, c) WEFT_IMPL_IS_WORD(name, d)),          \
      WEFT_IMPL_FN_##kind(fn),                                                                     \
      (const uint64_t[6]){WEFT_IMPL_WORD(a), WEFT_IMPL_WORD(b), WEFT_IMPL_WORD(c),                 \
                          WEFT_IMPL_WORD(d)})
#define WEFT_IMPL_GO_5(e, X, v, name, kind, fn, a, b, c, d, f)                                     \
    e(X(v) WEFT_IMPL_SITE(fn, 5,                                                                   \
                          WEFT_IMPL_RETURN_##kind(name, (fn)(a, b, c, d, f)) WEFT_IMPL_IS_WORD(    \
                              name, a) WEFT_IMPL_IS_WORD(name, b) WEFT_IMPL_IS_WORD(name, c)       \
                              WEFT_IMPL_IS_WORD(name, d) WEFT_IMPL_IS_WORD(name, f)),              \
      WEFT_IMPL_FN_##kind(fn),                                                                     \
      (const uint64_t[6]){WEFT_IMPL_WORD(a), WEFT_IMPL_WORD(b), WEFT_IMPL_WORD(c),                 \
                          WEFT_IMPL_WORD(d), WEFT_IMPL_WORD(f)})
#define WEFT_IMPL_GO_6(e, X, v, name, kind, fn, a, b, c, d, f, g)                                  \
    e(X(v) WEFT_IMPL_SITE(fn, 6,                                                                   \
                          WEFT_IMPL_RETURN_##kind(name, (fn)(a, b, c, d, f, g))                    \
                              WEFT_IMPL_IS_WORD(name, a) WEFT_IMPL_IS_WORD(name, b)                \
                                  WEFT_IMPL_IS_WORD(name, c) WEFT_IMPL_IS_WORD(name, d)            \
                                      WEFT_IMPL_IS_WORD(name, f) WEFT_IMPL_IS_WORD(name, g)),      \
      WEFT_IMPL_FN_##kind(fn),                                                                     \
      (const uint64_t[6]){WEFT_IMPL_WORD(a), WEFT_IMPL_WORD(b), WEFT_IMPL_WORD(c),                 \
                          WEFT_IMPL_WORD(d), WEFT_IMPL_WORD(f), WEFT_IMPL_WORD(g)})
#define WEFT_IMPL_GO_M(e, X, v, name, kind, ...)                                                   \
    (__extension__({                                                                               \
        _Static_assert(0, name ": more than 6 arguments: pass a pointer to a struct");             \
        -1;                                                                                        \
    }))

#define WEFT_IMPL_SITE(fn, n, checks)                                                              \
    __extension__({                                                                                \
        checks static const struct weft_impl_site weft_impl_here = {__FILE__, #fn, __LINE__, n,    \
                                                                    __func__};                     \
        &weft_impl_here;                                                                           \
    })

/* The type of an argument after decay; a bit-field's is allowed. Nothing is evaluated. */
#define WEFT_IMPL_TYPE(a) __typeof__(((void)0, (a)))
/* An argument as a register holds it. The ABI of RISC-V wants 4 bytes, unsigned ones too, with
 * their upper bit in all bits above. */
#ifdef __riscv
#define WEFT_IMPL_SPARE(a) (sizeof(WEFT_IMPL_TYPE(a)) == 4 ? 32 : 0)
#define WEFT_IMPL_WORD(a)                                                                          \
    ((uint64_t)((int64_t)((uint64_t)(a) << WEFT_IMPL_SPARE(a)) >> WEFT_IMPL_SPARE(a)))
#else
#define WEFT_IMPL_WORD(a) ((uint64_t)(a))
#endif
/* 1 to 5 are gcc's numbers for integer, character, enumeration, bool and pointer types. */
#define WEFT_IMPL_CLASS(a) __builtin_classify_type(*(WEFT_IMPL_TYPE(a) *)0)
#define WEFT_IMPL_IS_WORD(name, a)                                                                 \
    _Static_assert(WEFT_IMPL_CLASS(a) >= 1 && WEFT_IMPL_CLASS(a) <= 5 &&                           \
                       sizeof(WEFT_IMPL_TYPE(a)) <= sizeof(uint64_t),                              \
                   name ": an argument is neither an integer nor a pointer: pass a pointer");
#define WEFT_IMPL_RETURN_ANY(name, call)                                                           \
    _Static_assert(sizeof(__typeof__(call)) <= 16,                                                 \
                   name ": the function returns more than 16 bytes: pass a pointer");
#define WEFT_IMPL_RETURN_INT(name, call)                                                           \
    _Static_assert(__builtin_types_compatible_p(__typeof__(call), int),                            \
                   name ": the function must return int");
#define WEFT_IMPL_FN_ANY(fn) (void (*)(void))(fn)
#define WEFT_IMPL_FN_INT(fn) (int (*)(void))(void (*)(void))(fn)

#else /* C++ */

#define WEFT_IMPL_FIRST_TEXT(...) WEFT_IMPL_FIRST_TEXT_(__VA_ARGS__, )
#define WEFT_IMPL_FIRST_TEXT_(first, ...) #first
#define WEFT_IMPL_SITE_CXX(...)                                                                    \
    __extension__({                                                                                \
        static const struct weft_impl_site weft_impl_here = {                                      \
            __FILE__,                                                                              \
            WEFT_IMPL_FIRST_TEXT(__VA_ARGS__)[0] == '[' ? "lambda"                                 \
                                                        : WEFT_IMPL_FIRST_TEXT(__VA_ARGS__),       \
            __LINE__, 1, __func__};                                                                \
        &weft_impl_here;                                                                           \
    })

/*
 * A callable and its arguments on their way to a goroutine. They move from the heap to the
 * goroutine's stack before the call, so that a weft_goexit leaves nothing behind on the heap.
 */
template <class R, class F, class... A> struct weft_impl_task {
    F fn;
    std::tuple<A...> args;

    template <class G, class... B>
    explicit weft_impl_task(G &&g, B &&...b) : fn(std::forward<G>(g)), args(std::forward<B>(b)...) {
    }

    static R run(weft_impl_task *task) noexcept {
        F call(std::move(task->fn));
        std::tuple<A...> with(std::move(task->args));
        delete task;
        if constexpr (std::is_void_v<R>)
            (void)std::apply(std::move(call), std::move(with));
        else
            return static_cast<R>(std::apply(std::move(call), std::move(with)));
    }
};

template <class F> bool weft_impl_is_null(const F &fn) {
    if constexpr (std::is_pointer_v<F>)
        return fn == nullptr;
    else
        return (void)fn, false;
}

/*
 * Starts a goroutine that calls fn(args...), whose result is taken as an R. The braces of
 * weft_impl_launch<R>{...} have the arguments evaluated in the order written. start(entry, word)
 * returns whether the goroutine exists; a null function pointer gives a null entry.
 */
template <class R> class weft_impl_launch {
    bool ok_;

    template <class Start, class F, class... A>
    static bool launch(Start start, F &&fn, A &&...args) {
        using Task = weft_impl_task<R, std::decay_t<F>, std::decay_t<A>...>;
        std::decay_t<F> held(std::forward<F>(fn));
        if (weft_impl_is_null(held))
            return start(nullptr, 0u);
        Task *task = new (std::nothrow) Task(std::move(held), std::forward<A>(args)...);
        if (task == nullptr) {
            weft_set_errno(ENOMEM);
            return false;
        }
        if (start(reinterpret_cast<void (*)(void)>(&Task::run), reinterpret_cast<uintptr_t>(task)))
            return true;
        int why = *weft_errno_location();
        delete task;
        weft_set_errno(why);
        return false;
    }

  public:
    template <class Start, class F, class... A>
    weft_impl_launch(Start start, F &&fn, A &&...args) : ok_(false) {
        constexpr bool callable = std::is_invocable_v<std::decay_t<F>, std::decay_t<A>...>;
        static_assert(callable,
                      "weft: the function can't be called with copies of these arguments");
        if constexpr (callable) {
            constexpr bool fits =
                std::is_void_v<R> || std::is_invocable_r_v<R, std::decay_t<F>, std::decay_t<A>...>;
            static_assert(fits, "weft_group_go: the function must return int");
            if constexpr (fits)
                ok_ = launch(start, std::forward<F>(fn), std::forward<A>(args)...);
        }
    }
    int status() const noexcept {
        return ok_ ? 0 : -1;
    }
    bool started() const noexcept {
        return ok_;
    }
};

struct weft_impl_start_go {
    const struct weft_attr *attr;
    const struct weft_impl_site *site;
    bool operator()(void (*entry)(void), uint64_t word) const {
        const uint64_t words[6] = {word, 0, 0, 0, 0, 0};
        if (attr == nullptr)
            return weft_impl_go(site, entry, word, 0, 0, 0, 0, 0) == 0;
        return weft_impl_go_with(attr, site, entry, words) == 0;
    }
};

#endif

#endif
