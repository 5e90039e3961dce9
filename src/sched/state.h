/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler's own state and the calls among its files.
 *
 *   proc.c      the switch: park, ready, yield, the scheduling loop
 *   idle.c      finding work, spinning, going idle, keeping watch, the deadlock report
 *   netpoll.c   the poller among the Ms
 *   mthread.c   threads: making, waking, sleeping, ending; the spawner
 *   pin.c       on which CPU an M wakes
 *   spares.c    idle threads, and the end of those that nobody needed for long
 *   bound.c     goroutines bound to a thread: locked, foreign, captive; they wait as threads
 *   enter.c     the slow ways in and out of the runtime
 *   syscall.c   brackets around blocking calls
 *   world.c     stopping and starting the world, and the number of Ps meanwhile
 *   procs.c     GOMAXPROCS: its default, how it follows CPUs and quotas, who sets it
 *   preempt.c   the preemption signal: goroutines stopped in the middle of anything
 *   revoke.c    Ps offered to threads that do not run
 *   retake.c    Ps taken from goroutines that sleep in the kernel without a bracket
 *   stray.c     Ms that lost their P outside of the runtime
 *   slice.c     how long a goroutine runs
 *   sysmon.c    the monitor thread
 *   newproc.c   the birth and the end of a goroutine
 *   init.c      runs: their start and end
 *   fork.c      a fork's child made a runtime of its own
 *
 * Idle states and wake-ups. Submitting work is: put it on a queue, full fence, look at idle Ps and
 * spinning Ms, wake one if there is an idle P and no spinner. Going idle is: stop spinning (or give
 * up the P), full fence, look at all queues again. So one of the two sees the other (StoreLoad on
 * both sides), and no work is left with an idle P. A goroutine in `next` alone is not worth waking
 * an M for: it runs when its waker parks; should the waker compute on instead, sysmon sees that and
 * wakes one.
 */
#ifndef WEFTI_SCHED_STATE_H
#define WEFTI_SCHED_STATE_H

#include "../base/knobs.h"
#include "../os/os.h"
#include "sched.h"

enum wefti_phase {
    WEFTI_OFF,    /* no runtime: calls that need none work by the outside M */
    WEFTI_UP,     /* running */
    WEFTI_ENDING, /* main has returned: Ms stop at their next call */
    WEFTI_FORKED, /* a fork's child */
};

struct wefti_sched {
    struct wefti_lock lock; /* guards what says so below; rank WEFTI_RANK_SCHED */
    uint32_t phase;         /* enum wefti_phase; changed under lock (atomic) */
    uint32_t stopping;      /* the world stops or is stopped (atomic) */
    uint32_t netready;      /* descriptors are ready and nobody is about to look (atomic) */
    uint32_t background;    /* weft_start, not weft_run */
    uint32_t seeded;        /* GODEBUG=schedseed */
    uint32_t nprocs;        /* GOMAXPROCS; changed with the world stopped */
    int64_t now;     /* a moment in the last milliseconds: sysmon and waking Ms keep it (atomic) */
    uint32_t nallp;  /* Ps ever made */
    struct p **allp; /* room for WEFTI_MAXPROCS; never moves */

    struct wefti_glist global; /* the global queue; lock (n is atomic) */
    struct p *pidle;           /* lock */
    uint32_t npidle;           /* lock (atomic) */
    uint32_t ptaken;           /* how many were taken from there; lock (atomic) */
    struct m *midle;           /* idle Ms, the last one first; lock */
    struct m *midle_last;      /* … and the one that has been idle for longest; lock */
    uint32_t nmidle;           /* lock (atomic) */
    uint32_t nmspinning;       /* atomic */
    uint32_t needspinning;     /* an M that found work for no idle P asks the next idle one to spin
                                  (atomic) */
    struct m *allm;            /* every M of this run, newest first; lock */
    struct m *foreign;         /* Ms of the program's threads, by alllink; lock */
    uint32_t nm;               /* Ms with a thread of weft's or weft_run's; lock (atomic) */
    uint32_t nmblocked;        /* of those, asleep with a bound goroutine or for good; lock */
    uint32_t nsys;             /* other threads of weft's: sysmon, spawner */
    uint32_t nforeign;         /* threads of the program's that have an M; lock */
    uint32_t inside;           /* of those, in a call; lock */
    uint32_t mids;             /* ids given to Ms; lock */
    uint32_t max_threads;      /* atomic */
    uint32_t warned_threads;   /* lock */

    struct m *freem;    /* records of ended Ms; lock */
    struct m *zombies;  /* ended threads to be joined, by idlelink; lock */
    int64_t joined;     /* when one was; lock */
    struct m *spawn;    /* records whose thread has not come up yet, by idlelink; lock */
    uint32_t nspawn;    /* how many; lock (atomic) */
    int64_t spawn_at;   /* when the oldest of them was queued, or that before it came up; lock */
    uint32_t spawn_seq; /* futex: the spawner sleeps on it */

    struct m *strays, **strays_end; /* Ms whose P was taken in a system call, by stray; lock */
    uint32_t nstrays;               /* how many; lock (atomic) */
    struct m *new_strays;           /* not on the list yet, by newstray (atomic) */
    int preempt_signal;             /* 0: none; constant during a run */
    int64_t slice; /* nanoseconds a goroutine may run while others wait; constant during a run */
    int64_t pin_after;     /* no wake-up is kept to a CPU before (atomic; mthread.c) */
    uint32_t unrestricted; /* sysmon's thread if it may run on all CPUs (atomic) */

    uint32_t timekeeper;  /* an M is the keeper: sleeps until a timer is due or a descriptor is
                             ready (atomic) */
    uint32_t keeper_wake; /* futex: it sleeps on it, or in the poller; 1: it is to wake up */
    uint32_t keeping;     /* it counts as asleep; lock */
    int64_t until;        /* when it wakes; 0 none (atomic) */

    uint32_t netwaiters; /* goroutines that wait for descriptors (atomic) */
    uint32_t polling;    /* an M collects events (atomic) */
    int64_t polled;      /* when one did last (atomic) */

    uint32_t stopwait;      /* Ps that have not stopped yet; lock */
    uint32_t stopnote;      /* futex: 1 when stopwait is 0 */
    uint32_t worldlock;     /* futex: one stopper of the world at a time */
    uint32_t default_procs; /* GOMAXPROCS was not set by anybody: it follows the system (atomic) */
    uint32_t procs_asked;   /* counts weft_gomaxprocs_default; lock */
    uint32_t procs_due;     /* what it shall become, by a goroutine; 0: no change (atomic) */
    uint32_t procs_busy;    /* that goroutine exists (atomic) */
    uint32_t montid;        /* sysmon's thread (atomic) */
    uint32_t ncpu;          /* CPUs in the affinity mask at the start (atomic) */

    uint32_t monsleep; /* sysmon sleeps for long; lock */
    uint32_t monwake;  /* futex: it sleeps on it */
    uint32_t monend;
    uint32_t shown;   /* an M shows where it is (atomic) */
    int64_t monuntil; /* when it looks again by itself (atomic) */

    uint32_t stragglers;       /* Ms were set aside, in this run or before */
    uint32_t main_goexit;      /* main left by weft_goexit */
    uint32_t hasty;            /* the end of main ends the process (atomic) … */
    uint32_t exiting;          /* … and is doing so (atomic) */
    int status;                /* what main returned */
    int64_t ended_at;          /* when; 0: m0's goroutine was named (atomic) */
    uint32_t endnote;          /* futex: counts Ms that have ended */
    uint64_t run;              /* counts runs */
    uint64_t tickets, goids;   /* blocks given out (atomic) */
    int64_t started;           /* nanoseconds at start */
    struct wefti_rand rand;    /* seeded: the one generator */
    struct os_sigmask sigmask; /* of weft_run's caller: goroutines run under it */
    struct m *m0;
    struct os_thread sysmon, spawner;
};

extern struct wefti_sched wefti_sched;
#define S wefti_sched

#define WEFTI_MAXPROCS 4096
#define WEFTI_MAX_THREADS 10000
#define WEFTI_GLOBAL_EVERY 61
#define WEFTI_SLICE 10000000 /* S.slice, unless GODEBUG=preemptslice says otherwise */
/* Nanoseconds after which an M that was told to give way and was inside is told again. It is
 * nearly always inside ThreadSanitizer, where there is one. */
#ifdef WEFTI_TSAN
#define WEFTI_RETRY 50000
#else
#define WEFTI_RETRY 1000000
#endif

/* The oracle: whom to ask. */
static inline struct wefti_rand *wefti_oracle(struct m *mp) {
    return unlikely(S.seeded) ? &S.rand : &mp->rand;
}

/* ---- proc.c ---- */
void wefti_schedule(struct m *mp); /* on g0; returns when this M shall end */
void wefti_runq_add(struct m *mp, struct g *gp);
/* With the lock: to the tail of the global queue, or to its head when its slice goes on (slice.c). */
void wefti_line_up(struct g *gp);
struct m *wefti_switch_away(struct m *mp, struct g *gp, enum wefti_post post);
__attribute__((noreturn)) void wefti_switch_exit(struct m *mp, struct g *gp);
__attribute__((noreturn)) void wefti_switch_to_g0(struct m *mp); /* never to come back */
void wefti_goroutine_begin(struct g *gp);
void wefti_wait_commit(struct m *mp, struct g *gp);
void wefti_resume(struct m *mp); /* after a switch back: what the one before left to do */

/* ---- idle.c ---- */
struct g *wefti_find_runnable(struct m *mp, bool *inherit); /* NULL: this M shall end */
void wefti_wakep(struct m *mp);
void wefti_flush_yielded(struct p *pp); /* with the lock */
bool wefti_timers_left(void);           /* any armed */
void wefti_check_deadlock(
    uint32_t awake); /* with the lock; how many Ms may be awake: 1, the caller, or 0 */
void wefti_run_timers(struct m *mp, struct p *pp);
void wefti_timer_earlier(struct m *mp, int64_t when);
bool wefti_oldest_timer_due(int64_t now);

void wefti_wake_keeper(void);
void wefti_need_keeper(struct m *mp);

/* ---- netpoll.c ---- */
bool wefti_netpoll_due(void);     /* worth asking the poller */
bool wefti_netpoll(struct m *mp); /* takes and delivers events that are there */
bool wefti_netpoll_neglected(int64_t now);
void wefti_netpoll_close(bool forked); /* nobody else is left */

/* ---- mthread.c ---- */
struct p *wefti_pidle_get(void);    /* with the lock */
void wefti_pidle_put(struct p *pp); /* with the lock; its queues are empty */
void wefti_acquire_p(struct m *mp, struct p *pp);
struct p *wefti_release_p(struct m *mp);
void wefti_start_m(struct p *pp,
                   bool spinning); /* some M runs pp (NULL: an idle one if there is) */
void wefti_hand_off(struct m *mp,
                    struct p *pp); /* pp lost its M: start one if there is work, else idle */
bool wefti_stop_m(struct m *mp);   /* sleeps until given a P; false: the run is over */
void wefti_grant(struct m *mp, struct p *pp); /* hands pp to a sleeping M and wakes it */
struct p *wefti_sleep_for_p(
    struct m *mp);           /* the other side; NULL: the run is over, or the offer was revoked */
struct m *wefti_new_m(void); /* a record, counted in nothing yet; with the lock */
void wefti_thread_begin(
    struct m *mp); /* on the new thread: TLS, errno, exception globals; inside */
void wefti_thread_end(struct m *mp);
void wefti_release_m(struct m *mp); /* the record of an ended M; with the lock */
void *wefti_spawner_main(void *arg);
void wefti_rescue_spawned(int64_t now); /* Ps offered to threads that don't come up */
void wefti_stop_world_p(struct p *pp);  /* counts pp as stopped; with the lock */

/* ---- pin.c ---- */
void wefti_pin_here(struct m *mp);   /* by who sleeps soon: mp, which gets a P, wakes on this CPU */
void wefti_pin_sleeps(struct m *mp); /* on mp's thread, before it sleeps … */
void wefti_pin_woken(struct m *mp, bool has_p); /* … and after */
void wefti_unpin(struct m *mp, uint32_t then);  /* by mp, or by the monitor in its place */

/* ---- spares.c ---- */
void wefti_midle_put(struct m *mp, int64_t now); /* with the lock */
struct m *wefti_midle_get(struct p *pp);         /* with the lock: for pp; NULL: none */
void wefti_midle_leave(struct m *mp);            /* with the lock: if it is there */
void wefti_retire(int64_t now);                  /* ends Ms that have been spare for long */
int64_t wefti_retire_due(void);                  /* with the lock: when the next one will; -1 */
int64_t wefti_retire_every(void);                /* how often to look */

/* ---- bound.c ---- */
struct m *wefti_wait_bound(struct m *mp, struct g *gp);
struct m *wefti_requeue_bound(struct m *mp,
                              struct g *gp); /* gives the P up, waits for one at the global tail */
bool wefti_need_p(struct m *mp,
                  struct g *gp); /* without one: an idle P, or waits as above; false: over */
struct m *wefti_captive(struct m *mp,
                        struct g *gp); /* requeue_bound for a goroutine that is not bound */
/* The same for a signal's handler: comes back without a P, and false, when the run is over. With
 * `has_p` false it comes without one, and takes an idle one if there is. */
bool wefti_captive_here(struct m *mp, struct g *gp, bool has_p);
void wefti_begin_in_global(struct p *pp); /* the next search of pp's does; see hand_on */
bool wefti_work_waits(struct p *pp);  /* for pp: a goroutine could run there, or a timer is due */
bool wefti_others_wait(struct p *pp); /* the same, or somebody must look for work at all */
struct m *wefti_foreign_over(struct m *mp);
struct m *wefti_foreign_wait_over(struct m *mp,
                                  struct g *gp); /* enter.c: the run ended under a foreign thread */

/* ---- slice.c ---- */
#define WEFTI_UNCUT 500000 /* nanoseconds that a goroutine runs at least, whatever comes due */
/* gp begins a slice on pp, or goes on with one. */
void wefti_slice_begins(struct p *pp, struct g *gp);
/* gp, which runs on pp, was told to give way: its slice is over, or cut. False: in vain, it stays.
 * With gp->used set the slice is to go on, and gp is queued in front. */
bool wefti_gives_way(struct p *pp, struct g *gp, bool cut);
bool wefti_something_due(struct p *pp); /* a timer of its own, or descriptors */

/* ---- enter.c ---- */
void wefti_fork_setup(void);
void wefti_not_in_child(void); /* ends the program in a fork's child */
void wefti_enter_after_fork(void);
void wefti_close_outside(void); /* the phase becomes UP, with no call outside under way */
__attribute__((noreturn)) void
wefti_abandon(struct m *mp); /* the run is over: this M leaves its goroutine for good */

/* ---- newproc.c ---- */
struct g *wefti_new_g(struct m *mp, const struct weft_attr *attr, const struct weft_impl_site *site,
                      void (*fn)(void), const uint64_t words[6]);
void wefti_free_g(struct m *mp, struct g *gp);
int wefti_live_goroutines(void);
void wefti_discard_g(struct m *mp, struct g *gp); /* at the end of a run: whatever it was doing */

/* ---- syscall.c ---- */
void wefti_leave_bracket(struct m *mp);
/* Its P was taken: on with another one, here when the goroutine may not move or is bound, else
 * wherever it is picked up. */
struct m *wefti_without_p(struct m *mp, bool may_move);

/* ---- world.c ---- */
struct m *wefti_stop_world(
    struct m *mp); /* the M afterwards: the outside one when the run is over, nothing stopped */
void wefti_start_world(struct m *mp);
bool wefti_resize(struct m *mp, uint32_t n);
void wefti_first_slice(struct p *pp); /* of a run; nobody has the P */

/* ---- procs.c ---- */
uint32_t wefti_default_procs(void);    /* as CPUs and quotas are now */
void wefti_follow_procs(void);         /* by sysmon: notes a change */
void wefti_change_procs(struct m *mp); /* by an M with a P that sees the note */

/* ---- preempt.c ---- */
int wefti_preempt_signal(void); /* that GODEBUG asks for; 0: none */
void wefti_preempt_install(void);
void wefti_preempt_remove(void);
void wefti_preempt_after_fork(void); /* in the child: the disposition as before */
/* Whoever runs on pp shall give way; no lock held. */
void wefti_preempt_p(struct p *pp, enum wefti_preempt how);
void wefti_preempt_listen(struct m *mp); /* a deaf M, on its thread */
void wefti_preempt_m(struct m *mp, enum wefti_preempt how, int64_t now); /* with the lock */
/* On the thread of an M that is sent no signal any more: one that was sent is handled afterwards. */
void wefti_preempt_settle(struct m *mp);

/* ---- stray.c ---- */
/* On the M's thread, inside: it has lost its P, and none is left. Ends a look of the monitor's. */
bool wefti_lost_p(struct m *mp);
void wefti_become_stray(struct m *mp, struct g *gp); /* by the signal's handler, in a system call */
void wefti_add_stray(struct m *mp, int64_t now);     /* with the lock: its P is the caller's */
/* A stray M is back in the runtime: true when it has its P back, false when it has none. */
bool wefti_stray_back(struct m *mp);
void wefti_leave_blocky(struct m *mp);  /* leaving: without the P, if others wait for it */
void wefti_count_loss(struct g *gp);    /* its P was taken; with the lock */
void wefti_forget_blocky(struct g *gp); /* it computes */
void wefti_forget_stray(struct m *mp);  /* with the lock: the M ends, or is set aside */
void wefti_watch_strays(int64_t now);
/* By the monitor, with GODEBUG=stall: mp, which computes, shall show where it is, in mp->spot. False:
 * it can't be asked. Once the spot's state is SHOWN it waits until it is let go, or for 20 ms. */
bool wefti_preempt_ask(struct m *mp);
bool wefti_preempt_let_go(struct m *mp); /* true: it has waited until now */

/* ---- retake.c ---- */
/* By the monitor: takes pp from an M whose goroutine sleeps in the kernel, for its own. `look` even
 * if it did not stand still since the last time. */
bool wefti_retake(struct p *pp, bool look);

/* ---- revoke.c ---- */
/* By the monitor, for a P that nobody has: when its offer has been out for long; 0: it has none. */
int64_t wefti_offer_due(struct p *pp, int64_t now);
/* Takes it back, and hands it on, if that M's thread does not run. */
bool wefti_revoke(struct m *self, struct p *pp, int64_t now);

/* ---- sysmon.c ---- */
void *wefti_sysmon_main(void *arg);
void wefti_sysmon_kick(void);        /* with the lock */
void wefti_sysmon_kick_locked(void); /* takes it */

/* ---- init.c ---- */
__attribute__((noreturn)) void wefti_end_run(struct m *mp,
                                             int status); /* main has returned: on its stack */

/* In a fork's child, where the rest was reset: up again, with mp's goroutine as the main one … */
int wefti_run_after_fork(struct m *mp);
/* … or in the background; 0 or an errno. */
int wefti_start_after_fork(void);
void wefti_name_first(int64_t now);  /* by sysmon: whoever keeps weft_run from returning */
bool wefti_starting_or_ending(void); /* some thread is in weft_start, weft_stop, weft_run */

/* ---- fault.c ---- */
__attribute__((noreturn)) void wefti_report_overflow(const struct g *gp);
#define WEFTI_ALT_STACK ((size_t)65536)
void wefti_fault_install(void);
void wefti_fault_remove(void);
void wefti_fault_stack(struct m *mp);
void wefti_fault_stack_gone(struct m *mp);

/* ---- signal ---- */
void wefti_signals_end(struct m *mp); /* the run is over: dispositions as before, nobody is told */
void wefti_signals_after_fork(void);  /* the same in a child, at once */

/* ---- observe ---- */
void wefti_schedtrace(bool detailed);
int64_t wefti_look_for_stalls(int64_t now); /* by sysmon; when to look again, -1: no need */

#endif
