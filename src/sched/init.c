/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs: how the runtime comes up and how it goes down.
 *
 * weft_run lends the calling thread to the runtime as its first M (m0), makes goroutine 1, and
 * schedules until the run is over. weft_start brings up the same without an m0: the calling thread
 * stays the program's.
 *
 * The end. When main returns the phase becomes ENDING and every M is told (attention byte `ended`;
 * those asleep are woken). From then on an M that looks for work, wakes, or calls into weft leaves
 * its goroutine where it is and its thread ends. Goroutines that were parked or runnable are taken
 * apart when no M is left that could run them. An M that computes or blocks in foreign code can't
 * be told: after a second it is set aside, and named. Its record, goroutine and stack stay, it
 * never enters the runtime again, and its thread ends at its next weft call.
 * Captives are woken without a P and let go first (preempt.c). Only weft_run's own thread can't be set
 * aside, for it is to return: a goroutine that computes on it is named after a second, and waited for.
 *
 * Between runs the memory stays reserved: Ps, slabs of Gs and stacks serve the next run.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <weft/go.h>

#include "../base/fmt.h"
#include "../base/traceback.h"
#include "../runq/runq.h"
#include "../stack/gslab.h"
#include "../stack/stack.h"
#include "../timer/timer.h"
#include "state.h"

#define HELPER_STACK ((size_t)128 << 10)
#define MAIN_STACK                                                                                 \
    ((size_t)8 << 20)       /* what a C program's main has; only pages touched are paid for */
#define PATIENCE 1000000000 /* for Ms in user code at the end, … */
#define INSIDE 20000000000  /* … and for those inside */

static struct wefti_lock run_lock; /* rank WEFTI_RANK_RUN: one start or end at a time */
static uint32_t start_count;       /* of weft_start; run_lock */
static struct m sysmon_m;          /* what sysmon's calls say they are */

/* ---- coming up ---- */

static void reset(bool background) {
    S.background = background;
    S.stopping = S.stopwait = S.stopnote = S.worldlock = 0;
    S.global = (struct wefti_glist){0};
    S.pidle = NULL;
    S.joined = 0;
    S.procs_due = S.procs_busy = S.montid = S.unrestricted = 0;
    S.midle = S.midle_last = S.allm = S.spawn = S.zombies = S.foreign = NULL;
    S.npidle = S.nmidle = S.nmspinning = S.needspinning = 0;
    S.nm = S.nmblocked = S.nforeign = S.nspawn = 0;
    S.strays = S.new_strays = NULL;
    S.nstrays = 0;
    S.strays_end = &S.strays;
    S.timekeeper = S.keeper_wake = S.keeping = 0;
    S.netwaiters = S.netready = S.polling = 0;
    S.until = 0;
    S.monsleep = S.monwake = S.monend = 0;
    S.ended_at = 0;
    S.main_goexit = S.warned_threads = 0;
    S.inside = S.exiting = 0;
    S.endnote = 0;
    S.goids = 0;
    S.status = 0;
    S.nprocs = 0;
    S.nsys = 2;
    S.mids = 1 + S.nsys;
    S.run++;
    S.started = S.now = S.polled = os_nanotime();
    S.seeded = wefti_knobs.seeded != 0;
    S.rand.state = S.seeded ? (uint64_t)wefti_knobs.schedseed
                            : (uint64_t)S.started ^ (uint64_t)os_gettid() << 32;
    if (S.max_threads == 0)
        S.max_threads = WEFTI_MAX_THREADS;
    os_sigmask_get(&S.sigmask);
    S.slice = WEFTI_SLICE;
    if (wefti_knobs.preemptslice > 0 && wefti_knobs.preemptslice < INT64_MAX / 1000)
        S.slice = wefti_knobs.preemptslice * 1000;
    S.preempt_signal = wefti_preempt_signal();
    if (S.preempt_signal)
        os_sigmask_without(&S.sigmask, S.preempt_signal);
}

static int start_helpers(void) {
    int err = os_thread_create(&S.spawner, HELPER_STACK, wefti_spawner_main, NULL);
    if (err)
        return err;
    err = os_thread_create(&S.sysmon, HELPER_STACK, wefti_sysmon_main, &sysmon_m);
    if (err) {
        store_release(&S.monend, 1);
        add_seqcst(&S.spawn_seq, 1);
        os_futex_wake(&S.spawn_seq, 1);
        os_thread_join(&S.spawner, true);
    }
    return err;
}

/* All but threads and phase; the caller's M (m0, or one that only sets things up) has P0 when this
 * returns 0. */
static int prepare(struct m *mp, bool background) {
    wefti_knobs_read();
    wefti_observe_init();
    wefti_fork_setup();
    wefti_stack_init(wefti_knobs.guardprotect != 0);
    wefti_stack_set_default((size_t)wefti_knobs.stack);
    wefti_lock(&S.lock);
    reset(background);
    wefti_unlock(&S.lock);
    if (!S.allp && !(S.allp = os_reserve(WEFTI_MAXPROCS * sizeof *S.allp, 4096)))
        return ENOMEM;
    store_relaxed(&S.ncpu, (uint32_t)os_cpus(0));
    store_relaxed(&S.default_procs, wefti_knobs.maxprocs <= 0);
    uint32_t n = S.default_procs ? wefti_default_procs() : (uint32_t)wefti_knobs.maxprocs;
    if (!wefti_resize(mp, n < WEFTI_MAXPROCS ? n : WEFTI_MAXPROCS))
        return ENOMEM;
    wefti_lock(&S.lock);
    for (uint32_t i = S.nprocs; i-- > 1;)
        wefti_pidle_put(S.allp[i]);
    wefti_unlock(&S.lock);
    return 0;
}

/* From here on others may call in. */
static int bring_up(void) {
    wefti_preempt_install();
    int err = start_helpers();
    if (!err)
        wefti_close_outside();
    else
        wefti_preempt_remove();
    return err;
}

/* ---- going down ---- */

static void tell(struct m *list) {
    for (struct m *mp = list; mp; mp = mp->alllink) {
        if (!load_relaxed(&mp->attn.is.foreign))
            store_release(&mp->attn.is.ended,
                          1); /* pairs with the looks in wefti_enter_slow and wefti_sleep_for_p */
        store_seqcst(&mp->park, 1);
        os_futex_wake(&mp->park, 1);
    }
}

static void tell_all(void) {
    wefti_lock(&S.lock);
    store_relaxed(&S.ended_at, os_nanotime());
    store_seqcst(&S.phase, WEFTI_ENDING);
    tell(S.allm);
    tell(S.foreign);
    wefti_wake_keeper();
    wefti_unlock(&S.lock);
    add_seqcst(&S.endnote, 1);
    os_futex_wake(&S.endnote, 1);
}

void wefti_end_run(struct m *mp, int status) {
    S.status = status;
    store_relaxed(&S.exiting, load_relaxed(&S.hasty));
    tell_all();
    if (S.hasty) {
        wefti_m = NULL; /* atexit handlers may call weft: as from a thread without a run */
        exit(status);
    }
    wefti_switch_to_g0(mp);
}

/* With the lock. An M without a goroutine is on its way in or out, and ends by itself. One that is
 * inside will, too, as soon as it gets a CPU; set aside it would go on with what is the next run's. */
static void name_stragglers(struct m *self, bool inside_too) {
    for (struct m **link = &S.allm, *mp; (mp = *link) != NULL;) {
        struct g *gp = load_relaxed(&mp->curg);
        if (mp == self || !gp || (load_relaxed(&mp->inrt) != 0 && !inside_too)) {
            link = &mp->alllink;
            continue;
        }
        wefti_warn(
            "weft_run ends while goroutine %llu%s%s still runs on thread %u: it is set aside",
            (unsigned long long)gp->id, gp->name[0] ? " " : "", gp->name, load_relaxed(&mp->tid));
        wefti_forget_stray(mp);
        mp->straggler = 1;
        S.stragglers = 1;
        gp->straggler = 1;
        *link = mp->alllink;
        os_thread_detach(&mp->thread);
        store_relaxed(&S.nm, S.nm - 1);
    }
}

/* By sysmon, while the run ends: weft_run's own thread can't be set aside. */
void wefti_name_first(int64_t now) {
    struct m *mp = S.m0;
    int64_t ended = load_relaxed(&S.ended_at);
    struct g *gp = mp && ended != 0 && !S.hasty ? load_relaxed(&mp->curg) : NULL;
    if (!gp || now - ended < PATIENCE)
        return;
    store_relaxed(&S.ended_at, 0);
    wefti_warn(
        "weft_run can't return: goroutine %llu%s%s still runs on its thread and makes no weft "
        "call",
        (unsigned long long)gp->id, gp->name[0] ? " " : "", gp->name);
}

static void await_ms(struct m *self) {
    int64_t begun = os_nanotime(), patience = begun + PATIENCE;
    uint32_t mine = self->counted;
    for (;;) {
        uint32_t seen = load_acquire(&S.endnote); /* pairs with m_main's end */
        wefti_lock(&S.lock);
        int64_t now = os_nanotime();
        if (S.nm != mine && now >= patience) {
            name_stragglers(self, now - begun >= INSIDE);
            patience = now + PATIENCE;
        }
        bool threads = S.nm != mine, done = !threads && S.inside == 0;
        wefti_unlock(&S.lock);
        if (done)
            return;
        os_futex_wait(&S.endnote, seen, threads ? patience : -1);
    }
}

static void stop_helpers(void) {
    store_release(&S.monend, 1);
    store_release(&S.monwake, 1);
    os_futex_wake(&S.monwake, 1);
    add_seqcst(&S.spawn_seq, 1);
    os_futex_wake(&S.spawn_seq, 1);
    os_thread_join(&S.sysmon, true);
    os_thread_join(&S.spawner, true);
}

static bool discard(struct g *gp, void *arg) {
    uint32_t status = load_relaxed(&gp->status);
    if (status != WEFTI_G_DEAD && status != WEFTI_G_IDLE && !gp->straggler)
        wefti_discard_g(arg, gp);
    return true;
}

/* Nobody but the caller is left. What goroutines hold goes back; then all Ps are emptied for the
 * next run. */
static void take_down(struct m *mp) {
    mp->p = S.allp[0];
    mp->p->single = 1;
    mp->curg = NULL;
    wefti_signals_end(mp);
    for (uint32_t i = 0; i < S.nallp; i++) {
        struct p *pp = S.allp[i];
        wefti_timers_clear(mp, pp->timers);
        pp->runq.head = pp->runq.tail = 0;
        pp->runq.next = NULL;
        pp->yielded = (struct wefti_glist){0};
        pp->goid = pp->goid_end = 0;
    }
    S.global = (struct wefti_glist){0};
    wefti_netpoll_close(false);
    wefti_g_foreach(discard, mp);
    for (uint32_t i = 0; i < S.nallp; i++) {
        struct p *pp = S.allp[i];
        wefti_g_flush(pp);
        wefti_stack_flush(pp);
        wefti_heap_flush(&pp->mem);
        pp->created = pp->ended = 0;
        wefti_first_slice(pp);
        pp->m = pp->stopm = pp->offered = NULL;
        pp->status = WEFTI_P_DEAD;
    }
    mp->p = NULL;
    S.nprocs = 0;
    S.montid = 0;
    S.pidle = NULL;
    S.midle = S.midle_last = NULL;
}

/* ---- weft_run ---- */

static int run_app(int (*app)(int, char **), int argc, char **argv) {
    return app(argc, argv);
}

static bool make_main(struct m *mp, int (*app)(int, char **), int argc, char **argv) {
    static const struct weft_impl_site site = {.file = "", .func = "main", .line = 0, .nargs = 3};
    const uint64_t words[6] = {(uint64_t)(uintptr_t)app, (uint64_t)argc, (uint64_t)(uintptr_t)argv};
    struct weft_attr attr = {.stack_size = MAIN_STACK};
    struct g *gp = wefti_new_g(mp, &attr, &site, (void (*)(void))run_app, words);
    if (!gp)
        return false;
    store_relaxed(&gp->site, NULL); /* nobody created it */
    store_relaxed(&gp->main, 1);
    mp->p->created++;
    mp->wanted = gp; /* not in a queue, where a thief might find it: it begins on this thread */
    return true;
}

/* The first thread's M after a goroutine ended locked on it: asleep until the end of the run. */
static void sleep_to_the_end(struct m *mp) {
    mp->dying = 0;
    wefti_hand_off(mp, wefti_release_p(mp));
    wefti_lock(&S.lock);
    if (load_relaxed(&S.phase) == WEFTI_UP)
        wefti_check_deadlock(1);
    add_seqcst(&S.nmblocked, 1);
    wefti_unlock(&S.lock);
    while (load_acquire(&S.phase) == WEFTI_UP) {
        uint32_t seen = load_acquire(&S.endnote); /* pairs with tell_all */
        if (load_acquire(&S.phase) == WEFTI_UP)
            os_futex_wait(&S.endnote, seen, -1);
    }
}

static void down(void) {
    store_release(&S.phase, WEFTI_OFF); /* pairs with await_end in enter.c */
    os_futex_wake(&S.phase, INT_MAX);
}

/* m0, when the run is over: until nobody else is left, and nothing of theirs. */
static void finish(struct m *mp) {
    if (mp->dying)
        sleep_to_the_end(mp);
    while (load_relaxed(&S.exiting))
        os_futex_wait(&(uint32_t){0}, 0, -1); /* main's thread ends the process */
    await_ms(mp);
    stop_helpers();
    wefti_lock(&run_lock);
    take_down(mp);
    wefti_preempt_settle(mp); /* sysmon is gone */
    wefti_preempt_remove();
    wefti_fault_remove();
}

/* The calling thread's M. run_lock is held, and again when this returns. 0 or an errno. */
static int run_on(struct m *mp, int (*app)(int, char **), int argc, char **argv) {
    int err = prepare(mp, false);
    if (err)
        return err;
    S.allm = mp;
    S.nm = 1;
    struct os_sigmask mask;
    os_sigmask_get(&mask);
    if (!make_main(mp, app, argc, argv))
        err = ENOMEM;
    else
        err = bring_up();
    if (err) {
        take_down(mp);
        return err;
    }
    wefti_fault_install();
    os_sigmask_set(&S.sigmask);
    wefti_unlock(&run_lock);
    wefti_schedule(mp);
    finish(mp);
    os_sigmask_set(&mask);
    return 0;
}

static int run(int (*app)(int, char **), int argc, char **argv, bool hasty) {
    wefti_not_in_child();
    struct m *caller = arch_getm();
    if (caller && !load_relaxed(&caller->attn.is.foreign)) { /* a goroutine, perhaps set aside */
        errno = EBUSY;
        return -1;
    }
    wefti_lock(&run_lock);
    wefti_lock(&S.lock);
    int err = load_relaxed(&S.phase) != WEFTI_OFF ? EBUSY : 0;
    struct m *mp = err ? NULL : wefti_new_m();
    wefti_unlock(&S.lock);
    if (!mp) {
        wefti_unlock(&run_lock);
        errno = err ? err : ENOMEM;
        return -1;
    }
    struct m *foreign = wefti_m; /* this thread made weft calls before */
    wefti_thread_begin(mp);
    mp->id = 0;
    mp->counted = mp->first = 1;
    S.m0 = mp;
    store_relaxed(&S.hasty, hasty);
    err = run_on(mp, app, argc, argv);
    wefti_thread_end(mp);
    wefti_m = foreign;
    wefti_lock(&S.lock);
    wefti_release_m(mp);
    wefti_unlock(&S.lock);
    down();
    wefti_unlock(&run_lock);
    if (err)
        errno = err;
    return err ? -1 : S.status;
}

int weft_run(int (*app)(int argc, char **argv), int argc, char **argv) {
    return run(app, argc, argv, false);
}

int weft_impl_main(int (*app)(int argc, char **argv), int argc, char **argv) {
    run(app, argc, argv,
        true); /* comes back only when it could not start: the end of main ends the process */
    wefti_fatal("weft_run: the runtime could not be started (errno %d)", errno);
}

/* ---- weft_start ---- */

/* What a start or stop without an m0 is done by. Static: sysmon may look at it through its P for a
 * moment. */
static struct m setup_m;

static struct m *setup(void) {
    memset(&setup_m, 0, sizeof setup_m);
    setup_m.errnop = &errno;
    return &setup_m;
}

static int start_background(void) {
    struct m *mp = setup();
    store_relaxed(&S.hasty, 0);
    S.m0 = NULL;
    int err = prepare(mp, true);
    if (err)
        return err;
    struct p *pp = wefti_release_p(mp);
    wefti_lock(&S.lock);
    wefti_pidle_put(pp);
    wefti_unlock(&S.lock);
    if ((err = bring_up()) != 0)
        take_down(mp);
    return err;
}

int weft_start(void) {
    wefti_not_in_child();
    wefti_lock(&run_lock);
    while (load_acquire(&S.phase) == WEFTI_ENDING) { /* pairs with down() */
        wefti_unlock(&run_lock);
        os_futex_wait(&S.phase, WEFTI_ENDING, -1);
        wefti_lock(&run_lock);
    }
    int err = load_relaxed(&S.phase) == WEFTI_OFF ? start_background() : 0;
    if (!err)
        start_count++;
    wefti_unlock(&run_lock);
    if (err)
        errno = err;
    return err ? -1 : 0;
}

static int stop_error(void) {
    struct m *mp = arch_getm();
    if (mp && !load_relaxed(&mp->attn.is.foreign))
        return EPERM;
    if (start_count == 0)
        return EINVAL;
    return start_count == 1 && S.background && wefti_live_goroutines() > 0 ? EBUSY : 0;
}

int weft_stop(void) {
    wefti_not_in_child();
    wefti_lock(&run_lock);
    int err = stop_error();
    if (!err && --start_count == 0 && S.background) {
        struct m *mp = setup();
        tell_all();
        await_ms(mp);
        stop_helpers();
        take_down(mp);
        wefti_preempt_remove();
        down();
    }
    wefti_unlock(&run_lock);
    if (err)
        errno = err;
    return err ? -1 : 0;
}

/* ---- a fork's child ---- */

bool wefti_starting_or_ending(void) {
    return run_lock.word != 0;
}

static void forget(void) {
    run_lock = S.lock = (struct wefti_lock){0};
    start_count = 0;
    memset(&sysmon_m, 0, sizeof sysmon_m);
    S.nallp = 0;
    S.freem = S.m0 = NULL;
}

int wefti_run_after_fork(struct m *mp) {
    forget();
    int err = prepare(mp, false);
    if (err)
        return err;
    if (mp->counted)
        S.m0 = mp;
    else
        S.hasty = 1; /* no weft_run is there to return from */
    S.allm = mp;
    S.nm = 1;
    S.goids = 1; /* the caller's */
    mp->p->created = 1;
    if ((err = bring_up()) != 0)
        return err;
    wefti_fault_install();
    return 0;
}

int wefti_start_after_fork(void) {
    forget();
    wefti_fault_remove();
    int err = start_background();
    if (!err)
        start_count = 1;
    return err;
}
