/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: a thread that needs no P and looks at the Ps from outside.
 *
 *   retake   a P left in a bracket for a tick, when there is other work, or for 10 ms in any case; the
 *            same for one whose goroutine sleeps in the kernel without a bracket (retake.c)
 *   preempt  a goroutine that has run for 10 ms while others wait: its M's attention byte, and the
 *            signal (preempt.c); one whose P was taken in a system call and that computes on
 *   cut      the same before the end of the slice, when a timer is due or descriptors are ready and all
 *            Ps are busy (slice.c)
 *   poll     descriptors that are ready and that nobody looked at for 10 ms (netpoll.c)
 *   rescue   a goroutine in front of a P that computes on without getting to it, while another P is
 *            idle; a queue that no thread could be had for; timers due with nobody to run them
 *   retire   threads that have been idle for seconds (spares.c)
 *   procs    GOMAXPROCS, when affinity mask or cgroup quota changed (procs.c)
 *   threads  a P offered to a thread that does not come up (mthread.c), or that is held (revoke.c)
 *   trace    GODEBUG=schedtrace
 *   stalls   GODEBUG=stall (observe/stall.c)
 *
 * It looks every 20 µs; after 50 looks in a row that found nothing to do it doubles the pause up to
 * 10 ms, but wakes at the end of the slice of a goroutine that others wait for (next_end), so that
 * a slice is 10 ms long and not up to 20. When all Ps have been idle for 5 ms it sleeps until one
 * is taken from the idle list (or a trace line is due): an idle program costs nothing, and one
 * whose Ps are idle for microseconds between two packets need not wake it each time.
 *
 * It owns no lock while it reads the Ps: status and ticks are atomic, and what it decides by them
 * it does by compare-and-swap (retake) or as a hint that may come in vain (preempt).
 */
#include <errno.h>

#include "../runq/runq.h"
#include "../timer/timer.h"
#include "state.h"

#define SHORTEST 20000
#define LONGEST 10000000
#define IDLE_LOOKS 50
#define SOON 200000       /* nanoseconds after a signal: by then a new slice has begun, mostly */
#define QUIET 5000000     /* nanoseconds without a busy P before it sleeps for long */
#define FOLLOW 1000000000 /* nanoseconds between looks at CPUs and quotas */
#define LINGER 1000000000 /* a thread that was joined is out of /proc after that */

void wefti_sysmon_kick(void) {
    store_relaxed(&S.monsleep, 0);
    store_release(&S.monwake, 1); /* pairs with the look before it sleeps */
    os_futex_wake(&S.monwake, 1);
}

void wefti_sysmon_kick_locked(void) {
    wefti_lock(&S.lock);
    if (S.monsleep)
        wefti_sysmon_kick();
    wefti_unlock(&S.lock);
}

/* The same time slice for 10 ms: one goroutine, however many brackets it went through. */
static bool slice_over(struct p *pp, int64_t now) {
    uint32_t tick = load_relaxed(&pp->schedtick);
    if (pp->mon.schedtick != tick) {
        pp->mon.schedtick = tick;
        pp->mon.schedwhen = now;
        if (load_acquire(&pp->slicetick) == tick) /* pairs with wefti_slice_begins */
            pp->mon.schedwhen = load_relaxed(&pp->slicewhen);
    }
    return now - pp->mon.schedwhen >= S.slice;
}

static int64_t next_end; /* when a slice is over that others wait for; 0: none */

static void ends_at(int64_t when) {
    if (next_end == 0 || when < next_end)
        next_end = when;
}

/* Somebody is there to take what comes. */
static bool idle_elsewhere(void) {
    return load_relaxed(&S.nmspinning) + load_relaxed(&S.npidle) > 0;
}

/* True when it took the P. */
static bool retake_bracket(struct m *self, struct p *pp, int64_t now) {
    bool others = wefti_work_waits(pp), over = slice_over(pp, now);
    uint32_t tick = load_relaxed(&pp->syscalltick);
    if (pp->mon.syscalltick != tick && !(over && others)) {
        pp->mon.syscalltick = tick;
        pp->mon.syscallwhen = now;
        return false;
    }
    if (!others && idle_elsewhere() && now - pp->mon.syscallwhen < S.slice)
        return false;
    uint32_t syscall = WEFTI_P_SYSCALL;
    struct m *mp = load_relaxed(&pp->m);
    if (!cas_seqcst(&pp->status, &syscall,
                    WEFTI_P_IDLE)) /* pairs with the store in weft_block_enter */
        return false;
    if (mp)
        wefti_see_inside(mp);
    store_relaxed(&pp->m, NULL);
    wefti_hand_off(self, pp);
    return true;
}

/* Nanoseconds until it is told again. Without the signal its next weft call can't be hastened. */
static int64_t retry(void) {
    return S.preempt_signal ? WEFTI_RETRY : S.slice;
}

/* It was not told to end its slice, or did not hear it. */
static bool retry_due(struct p *pp, int64_t now) {
    return pp->mon.told != pp->mon.schedtick || now - pp->mon.toldwhen >= retry();
}

/* When the goroutine that runs here is to give way to a timer or to descriptors before its slice is
 * over, if one is due; 0: not before. `still`: no switch since the look before. */
static int64_t cut_from(struct p *pp, bool still, int64_t now) {
    int64_t first = load_relaxed(&pp->timers->first), from = 0;
    if (load_relaxed(&S.netready))
        first = now;
    if (first == 0 || !wefti_knobs.earlycut || idle_elsewhere())
        return 0;
    if (load_relaxed(&pp->slicetick) == pp->mon.schedtick) { /* acquired in slice_over */
        if (load_relaxed(&pp->sliceswitch) == pp->mon.globaltick)
            from = load_relaxed(&pp->cutafter);
    } else if (still) {
        from = pp->mon.schedwhen + WEFTI_UNCUT;
    }
    return from == 0 || from > first ? from : first;
}

/* Nobody waits for pp yet, but a timer will be due. */
static void plan(struct p *pp, int64_t cut) {
    int64_t first = load_relaxed(&pp->timers->first), end = pp->mon.schedwhen + S.slice;
    if (first != 0)
        ends_at(cut != 0 ? cut : first > end ? first : end);
}

/* Every 61st switch looks at the global queue; with milliseconds between switches that is not often
 * enough. A store that the P's own overwrites is made again at the next look. */
static void global_turn(struct p *pp, int64_t now) {
    uint32_t turns = load_relaxed(&pp->turns);
    if (load_relaxed(&S.global.n) == 0 || pp->mon.turns != turns) {
        pp->mon.turns = turns;
        pp->mon.turnwhen = now;
    } else if (now - pp->mon.turnwhen >= S.slice) {
        store_relaxed(&pp->globaltick, 1);
    }
    if (load_relaxed(&S.global.n) != 0)
        ends_at(now - pp->mon.turnwhen < S.slice ? pp->mon.turnwhen + S.slice : now + WEFTI_RETRY);
}

/* True when it found something to do. */
static bool look_at_running(struct m *self, struct p *pp, int64_t now) {
    bool over = slice_over(pp, now);
    uint32_t switches = load_relaxed(&pp->globaltick);
    bool still = switches == pp->mon.globaltick, stuck = still && !wefti_runq_empty(&pp->runq);
    pp->mon.globaltick = switches;
    if (stuck && load_relaxed(&S.npidle) != 0) {
        wefti_wakep(self);
        return true;
    }
    bool others = wefti_others_wait(pp);
    int64_t cut = cut_from(pp, still, now);
    bool early = !over && cut != 0 && cut <= now;
    bool due = (over || early) && others && retry_due(pp, now);
    if ((others || over || !idle_elsewhere()) && wefti_retake(pp, due)) {
        wefti_hand_off(self, pp);
        return true;
    }
    if (S.seeded)
        return false;
    global_turn(pp, now);
    if (!others) {
        plan(pp, cut);
    } else if (due) {
        store_relaxed(&pp->cutbegan, pp->mon.schedwhen);
        wefti_preempt_p(pp, early ? WEFTI_CUT : WEFTI_SLICE_OVER);
        pp->mon.told = pp->mon.schedtick;
        pp->mon.toldwhen = now;
        ends_at(now + (WEFTI_RETRY < SOON ? WEFTI_RETRY : SOON));
    } else {
        ends_at(over || early ? now + retry() : pp->mon.schedwhen + S.slice);
        if (cut > now)
            ends_at(cut);
    }
    return false;
}

/* Nobody has the P: idle, or offered. True when it took it back. */
static bool look_at_offer(struct m *self, struct p *pp, int64_t now) {
    int64_t due = wefti_offer_due(pp, now);
    if (due == 0)
        return false;
    if (due <= now && wefti_revoke(self, pp, now))
        return true;
    ends_at(due > now ? due : wefti_offer_due(pp, now));
    return false;
}

static bool look(struct m *self, int64_t now) {
    bool did = false;
    next_end = 0;
    for (uint32_t i = 0; i < load_acquire(&S.nprocs); i++) {
        struct p *pp = S.allp[i];
        uint32_t status = load_acquire(&pp->status);
        if (status == WEFTI_P_SYSCALL)
            did |= retake_bracket(self, pp, now);
        else if (status == WEFTI_P_RUNNING)
            did |= look_at_running(self, pp, now);
        else if (status == WEFTI_P_IDLE)
            did |= look_at_offer(self, pp, now);
    }
    wefti_netpoll_neglected(now);
    if (load_relaxed(&S.nstrays) != 0 || load_relaxed(&S.new_strays) != NULL)
        wefti_watch_strays(now);
    if (load_relaxed(&S.nspawn) != 0)
        wefti_rescue_spawned(now);
    if (load_relaxed(&S.npidle) != 0 &&
        (load_relaxed(&S.global.n) != 0 || load_relaxed(&S.netready) != 0 ||
         load_relaxed(&S.procs_due) != 0 ||
         (!load_relaxed(&S.timekeeper) &&
          (wefti_oldest_timer_due(now) || load_relaxed(&S.netwaiters) != 0))))
        wefti_wakep(self);
    return did;
}

/* ---- pausing ---- */

/* Since when all Ps are idle, as far as looks can tell; 0: they are not. */
static int64_t quiet_since(int64_t before, int64_t now) {
    static uint32_t taken; /* Ps taken from the idle list, at the last look */
    uint32_t before_taken = taken;
    taken = load_relaxed(&S.ptaken);
    bool idle = load_relaxed(&S.npidle) == load_relaxed(&S.nprocs);
    return !idle ? 0 : before == 0 || taken != before_taken ? now : before;
}

static void pause_until(int64_t when) {
    if (load_acquire(&S.monwake) == 0 &&
        !load_acquire(&S.monend)) /* pairs with wefti_sysmon_kick */
        os_futex_wait(&S.monwake, 0, when);
    store_relaxed(&S.monwake, 0);
}

static int64_t earlier(int64_t a, int64_t b) { /* -1: never */
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* With the lock: when an idle program needs the monitor again. */
static int64_t next_duty(int64_t now) {
    int64_t due = wefti_retire_due(), soonest = now + wefti_retire_every();
    if (due >= 0 && due < soonest)
        due = soonest; /* several at a time */
    if (S.joined != 0 && now - S.joined < LINGER)
        due = earlier(due, S.joined + LINGER);
    return due;
}

/* All Ps idle: until something happens. False: something does already. */
static bool sleep_long(int64_t now, int64_t until) {
    wefti_lock(&S.lock);
    bool idle =
        S.npidle == S.nprocs && S.global.n == 0 && !S.stopping &&
        load_relaxed(&S.phase) == WEFTI_UP &&
        (load_relaxed(&S.timekeeper) || (!wefti_timers_left() && load_relaxed(&S.netwaiters) == 0));
    if (idle)
        wefti_check_deadlock(0); /* the Ms' own checks may have met a thread that is gone now */
    if (idle) {
        store_relaxed(&S.monsleep, 1);
        store_relaxed(&S.monwake, 0);
        until = earlier(until, next_duty(now));
    }
    wefti_unlock(&S.lock);
    if (!idle)
        return false;
    pause_until(until);
    wefti_lock(&S.lock);
    store_relaxed(&S.monsleep, 0);
    wefti_unlock(&S.lock);
    return true;
}

void *wefti_sysmon_main(void *arg) {
    struct m *self = arg;
    self->errnop = &errno;
    store_relaxed(&S.montid, os_gettid());
    os_thread_name("weft-sysmon");
    os_exact_timers();
    if (S.preempt_signal && wefti_knobs.wakepin && os_unrestricted())
        store_relaxed(&S.unrestricted, os_gettid());
    int64_t period = wefti_knobs.schedtrace * 1000000;
    if (period > 0)
        wefti_schedtrace(wefti_knobs.scheddetail);
    int64_t traced = os_nanotime();
    int64_t pause = SHORTEST;
    int64_t quiet = 0, retire_at = 0, follow_at = os_nanotime() + FOLLOW;
    int64_t stalls_at = wefti_knobs.stall > 0 ? traced : -1;
    int idle_looks = 0;
    while (!load_acquire(&S.monend)) {
        int64_t now = os_nanotime();
        int64_t report_at = earlier(period > 0 ? traced + period : -1, stalls_at);
        quiet = quiet_since(quiet, now);
        bool slept = quiet != 0 && now - quiet >= QUIET && sleep_long(now, report_at);
        if (!slept) {
            int64_t wake = now + pause;
            if (next_end != 0 && next_end < wake)
                wake = next_end > now + SHORTEST ? next_end : now + SHORTEST;
            wake = earlier(report_at, wake);
            store_relaxed(&S.monuntil, wake);
            pause_until(wake);
        }
        store_seqcst(&S.monuntil, INT64_MAX); /* pairs with the fence in wefti_slice_begins */
        now = os_nanotime();
        store_relaxed(&S.now, now);
        if (period > 0 && now - traced >= period && !load_acquire(&S.monend)) {
            wefti_schedtrace(wefti_knobs.scheddetail);
            traced = os_nanotime();
        }
        if (load_acquire(&S.phase) != WEFTI_UP) { /* pairs with tell_all in init.c */
            wefti_name_first(now);
            continue;
        }
        if (now >= retire_at) {
            wefti_retire(now);
            retire_at = now + wefti_retire_every();
        }
        if (now >= follow_at) {
            wefti_follow_procs();
            follow_at = now + FOLLOW;
        }
        if (wefti_knobs.stall > 0 && (slept || now >= stalls_at || load_relaxed(&S.shown)))
            stalls_at = wefti_look_for_stalls(now);
        if (look(self, now) || slept) {
            idle_looks = 0;
            pause = SHORTEST;
        } else if (++idle_looks > IDLE_LOOKS && pause < LONGEST) {
            pause = pause * 2 < LONGEST ? pause * 2 : LONGEST;
        }
    }
    return NULL;
}
