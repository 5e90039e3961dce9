/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fork's child made a runtime of its own.
 *
 * fork() copies one thread. The others, sysmon and spawner among them, are gone, wherever they
 * were: inside a lock, half through a list. The handler before the fork takes no lock of weft's and
 * stops nothing (a lock that a stopped goroutine holds would stop the fork), so the child believes
 * nothing that any other thread may have been changing:
 *
 *   locks      free
 *   memory     blocks and chunks of before stay mapped and are never used again; the lists start
 *              empty, with fresh chunks: heap, stacks, slabs of Gs, Ps, records of Ms
 *   goroutines void but for the caller's, whose G and stack are in the old memory and go on
 *   contexts   void: the caller's goroutine runs under the background. Scopes that it is in put
 *              back what was before them when they are left; a context knows how many forks ago it
 *              was made, so that is the background, too (context/scope.c)
 *   keys       stay: their table changes by single stores
 *
 * What is the caller's own was not being changed: its M, its G with its deferred calls and values.
 *
 * Which thread it was decides what the child becomes. weft_run's own thread has the frame of
 * weft_run below everything, which returns in the child as it does in the parent. Another M has no
 * such frame, so the process ends when goroutine 1 returns, as under WEFT_MAIN. A thread of the
 * program's becomes the thread that called weft_start.
 *
 * Rejected: a handler before the fork that takes all locks, as malloc has one. It makes fork wait
 * for whoever holds a lock without a CPU, and P-locks belong to objects that no handler knows.
 */
#include <errno.h>
#include <weft/go.h>

#include "../stack/gslab.h"
#include "../stack/stack.h"
#include "keys.h"
#include "state.h"

uint32_t wefti_forks;

/* The state of every module but init.c's, as if nothing had been made yet. */
static void forget(struct g *gp) {
    wefti_forks++;
    wefti_heap_after_fork();
    wefti_stack_after_fork(gp);
    wefti_g_after_fork(gp);
    wefti_keys_after_fork();
    wefti_enter_after_fork();
    wefti_netpoll_close(
        true); /* it is the parent's too, and would tell each of the other's events */
}

static void reset_g(struct g *gp, struct m *mp) {
    wefti_bind(gp, gp->locked > 0 || gp->foreign ? mp : NULL);
    gp->m = mp;
    gp->wait = 0;
    gp->captive = gp->straggler = 0;
    gp->ambient = NULL;
    gp->ambient_next = gp->ambient_prev = NULL;
    gp->timer = (struct wefti_timer){0};
    gp->done = NULL;
    gp->done_arg = NULL;
    gp->site = NULL;
    gp->creator = 0;
    gp->status = WEFTI_G_RUNNING;
}

static void reset_m(struct m *mp) {
    mp->attn.word = 0;
    mp->giveback = mp->spinning = mp->blocked = 0;
    mp->p = mp->offer = mp->oldp = NULL;
    mp->after = mp->wanted = NULL;
    mp->idlelink = mp->idleprev = mp->alllink = NULL;
    mp->park = mp->signalled = mp->straying = 0;
    mp->strayp = NULL;
    mp->run = 0;
    mp->dying = mp->straggler = mp->idle = mp->retired = mp->revoked = 0;
    mp->blocked_counted = 0;
    mp->first = 1;
    mp->ranks = 0;
    mp->tid = os_gettid();
}

/* A thread of the program's, with a record or without: the caller of weft_start. */
static int start_again(struct m *mp) {
    forget(NULL);
    if (mp) {
        reset_m(mp);
        mp->attn.is.foreign = 1;
        reset_g(&mp->foreign, mp);
    }
    return wefti_start_after_fork();
}

/* An M's thread: its goroutine is the main one. */
static int run_again(struct m *mp) {
    struct g *gp = mp->curg;
    uint32_t depth = mp->depth;
    forget(gp);
    reset_m(mp);
    reset_g(gp, mp);
    mp->inrt = 1;
    mp->depth = 0;
    mp->id = 0;
    mp->lockedg = gp->locked > 0 ? gp : NULL;
    mp->inner_bound = gp->locked > 0;
    gp->id = 1;
    if (!gp->main)
        gp->main = WEFTI_MAIN_BY_FORK;
    int err = wefti_run_after_fork(mp);
    if (err) {
        mp->attn.is.forked = 1;
        mp->depth = depth;
        mp->inrt = 0;
        return err;
    }
    wefti_leave(mp);
    for (; depth > 0; depth--)
        weft_block_enter(); /* called in a bracket: in it again */
    return 0;
}

int weft_after_fork(void) {
    struct m *mp = arch_getm();
    bool ours = mp && !load_relaxed(&mp->attn.is.foreign);
    int err = EPERM;
    /* A fork by a signal handler that interrupted weft has the caller's own things half changed. */
    if (load_relaxed(&S.phase) == WEFTI_FORKED && !(mp && mp->inrt) && !(ours && !mp->curg))
        err = ours ? run_again(mp) : start_again(mp);
    if (err)
        errno = err;
    return err ? -1 : 0;
}
