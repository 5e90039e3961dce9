/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GODEBUG=stall=MS: goroutines that stay on their thread for longer than that, without parking or
 * yielding, whether they compute, wait in a system call, announced or not, or wait for their turn
 * as captives. The monitor looks at all Ms each 10 ms (a tenth of MS if that is less) and prints
 *
 *     STALL 1034ms: goroutine 18 "reader": 104 ms so far, system call read, in weft_block (…)
 *     <tab>frames, then where it was made, as in a dump
 *     STALL 2138ms: goroutine 18 "reader": ended after 1204 ms, system call read, in weft_block
 *
 * the first when the time is over, the last, without frames, if it took at least twice that time.
 *
 * The same stretch. Nothing is counted at a switch for the sake of this. An M's stretch goes on from
 * one look to the next if its goroutine is the same, has not parked nor entered a bracket (`since`),
 * and the counters of its P stand still, which change with every switch and yield; if they did not
 * because a captive got another turn, they are as they were at its return (`resumed`). Inside a bracket
 * `since` alone counts: each bracket sets it anew.
 *
 * The cause is what took most of the time between the second look and the report: on a CPU; runnable
 * without one, or a captive without a P; or neither, which is a system call. Computing is named page
 * faults when the kernel had at least half of it and there was a fault for each 50 µs of that.
 *
 * The frames. A goroutine that computes is asked for them by the preemption signal, whose handler
 * wakes the monitor and waits until the stack has been read (preempt.c); a captive is in that
 * handler anyway, which left its registers. Of one that is blocked, /proc has sp and pc; if it is
 * still at the same place afterwards, its stack was at rest. What was not is not printed.
 *
 * Only the monitor gets here, so the memory is static. It takes the scheduler's lock to walk the Ms,
 * and no other. A report costs it a fraction of a millisecond, more when a symbol table is large;
 * there are REPORTS of them a second at most, and the rest is counted.
 */
#include "../stack/stack.h"
#include "../sched/state.h"
#include "dump.h"
#include "frames.h"

#define STDERR 2
#define MS 1000000
#define LONGEST (10 * MS) /* between looks */
#define REPORTS 10
#define EVENTS 64 /* that one look can find; others wait for the next */
#define FRAMES 32
#define PATIENCE (50 * MS) /* for a goroutine to show its frames */
#define A_FAULT 50000      /* nanoseconds of the kernel's for each page fault */

#ifdef WEFTI_TSAN
#define UNWATCHED __attribute__((no_sanitize("thread")))
#else
#define UNWATCHED
#endif

enum told { SILENT, ASKING, TOLD, LEFT_OUT };
enum how { NOTHING, COMPUTES, QUEUED, STRAY, BRACKET };
enum cause { CPU, CALL, FAULTS, TURN, KERNEL };

struct event {
    struct m *mp;
    struct g *gp;
    uint64_t id;
    enum { MEASURE, TELL, FINISH, ENDED } what;
    struct wefti_stall stall; /* as it was */
};

static struct event events[EVENTS];
static size_t nevents;
static struct wefti_code *code; /* NULL: not yet, or no memory */
static char text[8192];
static int64_t this_second;
static uint32_t reports, hidden;

/* ---- looking ---- */

UNWATCHED static struct wefti_stretch copy_stretch(const struct wefti_stretch *from) {
    return (struct wefti_stretch){load_relaxed(&from->p), load_relaxed(&from->schedtick),
                                  load_relaxed(&from->globaltick), load_relaxed(&from->yields)};
}

UNWATCHED static bool equal(const struct wefti_stretch *a, const struct wefti_stretch *b) {
    return a->p == b->p && a->schedtick == b->schedtick && a->globaltick == b->globaltick &&
           a->yields == b->yields;
}

/* What mp's goroutine gp is at; *now: its P's counters, if it has one. */
UNWATCHED static enum how how_of(struct m *mp, struct g *gp, struct wefti_stretch *now) {
    uint32_t status = load_relaxed(&gp->status);
    struct p *pp = load_relaxed(&mp->p);
    *now = (struct wefti_stretch){0};
    if (load_relaxed(&mp->attn.is.foreign) || gp->system || load_relaxed(&gp->id) == 0 ||
        status == WEFTI_G_WAITING || status == WEFTI_G_DEAD)
        return NOTHING;
    if (load_relaxed(&mp->attn.is.bracket))
        return BRACKET;
    if (load_relaxed(&mp->attn.is.stolen) == WEFTI_TAKEN)
        return STRAY;
    if (!pp)
        return load_relaxed(&gp->captive) ? QUEUED : NOTHING;
    *now = (struct wefti_stretch){pp, load_relaxed(&pp->schedtick), load_relaxed(&pp->globaltick),
                                  load_relaxed(&pp->yields)};
    return status == WEFTI_G_RUNNING ? COMPUTES : NOTHING;
}

/* It has not parked, yielded, entered or left a bracket since the last look. */
UNWATCHED static bool goes_on(struct m *mp, struct g *gp, enum how how,
                              const struct wefti_stretch *now) {
    const struct wefti_stall *w = &mp->stall;
    if (how == NOTHING || w->g != gp || w->id != load_relaxed(&gp->id) ||
        (how == BRACKET) != (w->how == BRACKET))
        return false;
    if (w->since != load_relaxed(&gp->since) && (how != STRAY || w->how == STRAY))
        return false;
    struct wefti_stretch resumed = copy_stretch(&mp->resumed);
    return how != COMPUTES || equal(now, &w->stretch) || equal(now, &resumed);
}

UNWATCHED static void add_event(struct m *mp, int what) {
    if (nevents == EVENTS)
        return;
    struct event *e = &events[nevents++];
    e->mp = mp;
    e->gp = mp->stall.g;
    e->id = mp->stall.id;
    e->what = what;
    e->stall = mp->stall;
}

static int64_t threshold(void) {
    return wefti_knobs.stall * MS;
}

UNWATCHED static void over(struct m *mp) {
    struct wefti_stall *w = &mp->stall;
    if (w->g && w->told == ASKING)
        wefti_preempt_let_go(mp);
    if (w->g && (w->told == ASKING || (w->told == TOLD && w->looked - w->begun >= 2 * threshold())))
        add_event(mp, ENDED);
    w->g = NULL;
}

UNWATCHED static void begin(struct wefti_stall *w, struct g *gp, int64_t now) {
    w->g = gp;
    w->id = load_relaxed(&gp->id);
    w->told = SILENT;
    w->captive = 0;
    w->begun = w->looked = now;
    w->queued = w->measured = 0;
    w->call = -1;
}

/* What there is to do for a stretch that goes on. */
UNWATCHED static void due(struct m *mp, int64_t now) {
    struct wefti_stall *w = &mp->stall;
    uint32_t shown = load_acquire(&mp->spot.state); /* pairs with the handler's swap (preempt.c) */
    if (w->measured == 0) {
        add_event(mp, MEASURE);
    } else if (w->told == ASKING) {
        if (shown == WEFTI_SPOT_SHOWN || now - w->asked >= PATIENCE)
            add_event(mp, FINISH);
        else if (shown == WEFTI_SPOT_NONE)
            add_event(mp, TELL); /* it was inside the runtime: once more */
    } else if (w->told == SILENT && now - w->begun >= threshold()) {
        add_event(mp, TELL);
    }
}

/* With the lock; true when there is a stretch to look at again. */
UNWATCHED static bool look_at(struct m *mp, int64_t now) {
    struct g *gp = load_relaxed(&mp->curg);
    struct wefti_stall *w = &mp->stall;
    struct wefti_stretch stretch;
    enum how how = gp ? how_of(mp, gp, &stretch) : NOTHING;
    bool on = gp && goes_on(mp, gp, how, &stretch);
    if (!on)
        over(mp);
    if (how == NOTHING)
        return false;
    if (!on)
        begin(w, gp, now);
    if (how == QUEUED)
        w->queued += now - w->looked;
    w->captive |= how == QUEUED || (on && how == COMPUTES && !equal(&stretch, &w->stretch));
    w->looked = now;
    w->how = (uint8_t)how;
    w->stretch = stretch;
    w->since = load_relaxed(&gp->since);
    if (on)
        due(mp, now);
    return true;
}

/* ---- the cause ---- */

UNWATCHED static uint32_t tid_of(struct m *mp) {
    return load_relaxed(&mp->tid);
}

static void sample(struct m *mp, struct wefti_stall *w, enum os_task *doing,
                   struct os_call *place) {
    *doing = os_thread_state(tid_of(mp), place);
    if (*doing == OS_TASK_BLOCKED && place->number >= 0 && w->how != QUEUED)
        w->call = place->number;
}

UNWATCHED static void measure(struct m *mp, int64_t now) {
    struct wefti_stall *w = &mp->stall;
    enum os_task doing;
    struct os_call place;
    sample(mp, w, &doing, &place);
    w->queued = 0;
    w->measured = os_thread_usage(tid_of(mp), &w->used) ? now : -1;
}

static int64_t at_least_0(int64_t n) {
    return n > 0 ? n : 0;
}

/* Blocked, but not in a call: for a page. */
static bool in_fault(enum os_task doing, const struct os_call *place) {
    return doing == OS_TASK_BLOCKED && place->number < 0 && place->sp != 0;
}

static enum cause cause_now(const struct wefti_stall *w, enum os_task doing,
                            const struct os_call *place) {
    if (w->how == QUEUED)
        return TURN;
    if (doing != OS_TASK_BLOCKED)
        return CPU;
    return place->number >= 0 ? CALL : in_fault(doing, place) ? FAULTS : KERNEL;
}

/* What took most of the time since `measure`; w->used becomes what was used in it. */
static enum cause cause_of(struct m *mp, struct wefti_stall *w, enum os_task doing,
                           const struct os_call *place, int64_t now) {
    struct os_usage used;
    if (w->measured < 0 || !os_thread_usage(tid_of(mp), &used)) {
        w->measured = -1;
        return cause_now(w, doing, place);
    }
    int64_t cpu = w->used.cpu = at_least_0(used.cpu - w->used.cpu);
    int64_t system = w->used.system = at_least_0(used.system - w->used.system);
    int64_t waited = w->used.waited = at_least_0(used.waited - w->used.waited) + w->queued;
    uint64_t faults = w->used.faults = used.faults - w->used.faults;
    bool reads = used.reads > w->used.reads;
    int64_t blocked = at_least_0(now - w->measured - cpu - waited);
    if (waited >= cpu && waited >= blocked)
        return TURN;
    if (cpu >= blocked)
        return system >= cpu / 2 && faults > 0 && (int64_t)faults >= system / A_FAULT ? FAULTS
                                                                                      : CPU;
    if (in_fault(doing, place) || (w->call < 0 && reads))
        return FAULTS;
    if (w->call >= 0)
        return CALL;
    return w->captive || doing == OS_TASK_RUNS ? TURN : KERNEL; /* or its cgroup is throttled */
}

/* ---- frames ---- */

UNWATCHED static struct os_regs shown_by(struct m *mp) {
    const struct os_regs *at = &mp->spot.at;
    return (struct os_regs){load_relaxed(&at->pc), load_relaxed(&at->fp), load_relaxed(&at->sp)};
}

UNWATCHED static size_t walk(const struct event *e, const struct os_regs *at,
                             struct wefti_frame *frames) {
    struct wefti_stack stack = e->gp->stack;
    uintptr_t lo = (uintptr_t)stack.lo + WEFTI_STACK_GUARD;
    uintptr_t hi = (uintptr_t)stack.lo + wefti_stack_size(e->gp);
    bool own = stack.slab && at->sp >= lo && at->sp < hi;
    return wefti_frames(code, at, own ? hi : 0, frames, FRAMES);
}

UNWATCHED static bool on_alternate_stack(struct m *mp, uintptr_t sp) {
    return sp - (uintptr_t)mp->alt_lo < mp->alt_size;
}

static bool same_place(const struct os_call *a, const struct os_call *b) {
    return a->number == b->number && a->sp == b->sp && a->pc == b->pc;
}

/* Of a thread that is blocked at `place`. */
static size_t frames_at(const struct event *e, enum os_task doing, const struct os_call *place,
                        struct wefti_frame *frames) {
    struct os_regs at = {place->pc, 0, place->sp};
    struct os_call after;
    if (doing != OS_TASK_BLOCKED)
        return 0;
    if (on_alternate_stack(e->mp, place->sp)) /* a captive in the signal's handler */
        at = shown_by(e->mp);
    size_t n = walk(e, &at, frames);
    return os_thread_state(tid_of(e->mp), &after) == doing && same_place(place, &after) ? n : 0;
}

/* Of one that shows them, or whatever it does instead. */
static size_t frames_of(const struct event *e, struct wefti_frame *frames) {
    if (load_acquire(&e->mp->spot.state) == WEFTI_SPOT_SHOWN) { /* pairs with the handler's swap */
        struct os_regs at = shown_by(e->mp);
        size_t n = walk(e, &at, frames);
        return wefti_preempt_let_go(e->mp) ? n : 0;
    }
    struct os_call place;
    wefti_preempt_let_go(e->mp);
    enum os_task doing = os_thread_state(tid_of(e->mp), &place);
    return frames_at(e, doing, &place, frames);
}

/* ---- printing ---- */

static void put_cause(struct wefti_out *out, const struct wefti_stall *w) {
    char call[32];
    switch ((enum cause)w->cause) {
    case CPU:
        wefti_out(out, "CPU");
        break;
    case CALL:
        if (os_call_name(w->call, call, sizeof call))
            wefti_out(out, "system call %s", call);
        else
            wefti_out(out, "system call %lld", (long long)w->call);
        break;
    case FAULTS:
        wefti_out(out, "page faults");
        break;
    case TURN:
        wefti_out(out, "waiting for a CPU");
        break;
    case KERNEL:
        wefti_out(out, "blocked in the kernel");
        break;
    }
    if (w->bracket)
        wefti_out(out, ", in weft_block");
}

static void put_who(struct wefti_out *out, const struct wefti_stall *w, int64_t now) {
    wefti_out(out, "STALL %lldms: goroutine %llu", (long long)((now - S.started) / MS),
              (unsigned long long)w->id);
    if (w->name[0])
        wefti_out(out, " \"%s\"", w->name);
}

/* A new second: what the last one left out is counted. */
static void roll(struct wefti_out *out, int64_t now) {
    if (now - this_second < 1000 * MS)
        return;
    if (hidden > 0)
        wefti_out(out, "STALL %lldms: %u more, not shown\n", (long long)((now - S.started) / MS),
                  hidden);
    this_second = now;
    reports = hidden = 0;
}

/* May one more report go out in this second? */
static bool may_report(void) {
    bool may = reports < REPORTS;
    reports += may;
    hidden += !may;
    return may;
}

/* gp still is where it was: the report is of it, not of what came after. */
UNWATCHED static bool still(const struct event *e) {
    struct wefti_stretch now;
    struct g *gp = load_relaxed(&e->mp->curg);
    return gp == e->gp && goes_on(e->mp, gp, how_of(e->mp, gp, &now), &now);
}

static struct wefti_frame frames[FRAMES];

UNWATCHED static void put_report(const struct event *e, struct wefti_out *out, size_t n) {
    struct wefti_stall *w = &e->mp->stall;
    w->told = TOLD;
    put_who(out, w, w->looked);
    wefti_out(out, ": %lld ms so far, ", (long long)((w->looked - w->begun) / MS));
    put_cause(out, w);
    if (w->measured > 0)
        wefti_out(out, " (CPU %lld ms, waiting for one %lld ms, page faults %llu)",
                  (long long)(w->used.cpu / MS), (long long)(w->used.waited / MS),
                  (unsigned long long)w->used.faults);
    wefti_out(out, "\n");
    wefti_symbolize(code, frames, n);
    wefti_frames_print(out, frames, wefti_frames_settle(frames, n));
    wefti_put_creator(out, e->gp);
}

UNWATCHED static void finish(const struct event *e, struct wefti_out *out, int64_t now) {
    wefti_code_read(code, now);
    size_t n = frames_of(e, frames);
    put_report(e, out, still(e) ? n : 0);
}

UNWATCHED static void tell(const struct event *e, struct wefti_out *out, int64_t now) {
    struct wefti_stall *w = &e->mp->stall;
    struct os_call place;
    enum os_task doing;
    if (!still(e))
        return;
    if (w->told == ASKING) {
        wefti_preempt_ask(e->mp);
        return;
    }
    if (!may_report()) {
        w->told = LEFT_OUT;
        return;
    }
    sample(e->mp, w, &doing, &place);
    w->bracket = w->how == BRACKET;
    w->cause = (uint8_t)cause_of(e->mp, w, doing, &place, now);
    wefti_clean_name(e->gp, w->name);
    if (doing == OS_TASK_RUNS && wefti_preempt_ask(e->mp)) {
        w->told = ASKING;
        w->asked = now;
        return;
    }
    wefti_code_read(code, now);
    size_t n = frames_at(e, doing, &place, frames);
    put_report(e, out, still(e) ? n : 0);
}

static void tell_end(const struct wefti_stall *w, struct wefti_out *out, int64_t now) {
    if (w->told != ASKING && !may_report())
        return;
    put_who(out, w, now);
    wefti_out(out, ": ended after %lld ms, ", (long long)((w->looked - w->begun) / MS));
    put_cause(out, w);
    wefti_out(out, "\n");
}

int64_t wefti_look_for_stalls(int64_t now) {
    struct wefti_out out = {STDERR, text, 0, sizeof text};
    if (!code && !(code = os_reserve(sizeof *code, 4096)))
        return now + LONGEST;
    bool any = false;
    roll(&out, now);
    nevents = 0;
    store_relaxed(&S.shown, 0);
    wefti_lock(&S.lock);
    for (struct m *mp = S.allm; mp; mp = mp->alllink)
        any |= look_at(mp, now);
    wefti_unlock(&S.lock);
    for (const struct event *e = events; e < events + nevents; e++) {
        if (e->what == MEASURE)
            measure(e->mp, now);
        else if (e->what == TELL)
            tell(e, &out, now);
        else if (e->what == FINISH)
            finish(e, &out, now);
        else
            tell_end(&e->stall, &out, now);
    }
    wefti_out_flush(&out);
    int64_t pause = threshold() / 10;
    pause = pause > LONGEST ? LONGEST : pause < MS ? MS : pause;
    return any || hidden > 0 ? now + pause : -1;
}
