/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Once: Go's, a flag and a mutex that is held while the function runs.
 *
 * `done` is set after the function has ended and before the mutex is unlocked; so one that finds it
 * set sees all that the function did (release and acquire on done), and one that came too early
 * waits at the mutex, with a mutex's reason. A once within itself waits there for ever.
 *
 * A function that leaves by weft_goexit counts as done. A record among the goroutine's deferred
 * calls sees to that; it is taken out again when the function returns. The function may have added
 * deferred calls of its own, so the record is not always the first. It lies in the runtime's
 * memory, because a goroutine's end gives back each record that it ran. On a thread that is no
 * goroutine there is no weft_goexit, and nothing to prepare.
 *
 * The last touch is the unlock of the mutex. One that finds `done` may return before it, so a once
 * may not lie in memory that goes as soon as one of several callers has returned.
 *
 * Rejected: a state word of three values with a queue of its own; waiters of a once are rare, and
 * the mutex has the queue already.
 */
#include "sync.h"

_Static_assert(sizeof(weft_once) == 32, "weft_once is part of the binary interface");

static void finish(void *arg) {
    weft_once *once = arg;
    store_release(&once->done, 1); /* pairs with the load in weft_once_do */
    weft_mutex_unlock(&once->m);
}

/* Has finish run if the goroutine ends: the record, or NULL on a thread that is no goroutine. */
static struct wefti_defer *guard(weft_once *once) {
    struct m *mp = wefti_enter();
    struct g *gp = mp->curg;
    struct wefti_defer *d = NULL;
    if (!gp->foreign) {
        d = wefti_alloc(mp, sizeof *d);
        if (d == NULL)
            wefti_fatal("out of memory");
        *d = (struct wefti_defer){.next = gp->defers, .fn = finish, .arg = once};
        gp->defers = d;
    }
    wefti_leave(mp);
    return d;
}

static void unguard(struct wefti_defer *d) {
    if (d == NULL)
        return;
    struct m *mp = wefti_enter();
    struct wefti_defer **at = &mp->curg->defers;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    wefti_free(mp, d, sizeof *d);
    wefti_leave(mp);
}

static __attribute__((noinline)) void do_slow(weft_once *once, void (*fn)(void *), void *arg) {
    weft_mutex_lock(&once->m);
    if (load_relaxed(&once->done)) { /* the mutex orders it */
        weft_mutex_unlock(&once->m);
        return;
    }
    struct wefti_defer *d = guard(once);
    fn(arg);
    unguard(d);
    finish(once);
}

void weft_once_do(weft_once *once, void (*fn)(void *), void *arg) {
    if (unlikely(!load_acquire(&once->done))) /* pairs with the store in finish */
        do_slow(once, fn, arg);
}
