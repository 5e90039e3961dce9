/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strays: Ms that lost their P outside of the runtime, in a system call that no bracket announced.
 *
 * Two ways lead here. The monitor took the P from outside (retake.c); or the preemption signal found
 * the goroutine in a system call, and its handler left the P in state SYSCALL for others, as the
 * beginning of a bracket does (preempt.c). In both, `stolen` is TAKEN, and the goroutine needs no P
 * while it is in the kernel. What comes then:
 *
 *   a weft call        sees `stolen` and gets a P first, as the end of a bracket does: the one it
 *                      left, if nobody took it, an idle one, or its turn in the global queue. In a call
 *                      that may park, the goroutine moves to whatever M comes to it
 *   it computes on     without a P, so more goroutines compute than there are Ps; the monitor sees
 *                      that by the thread's CPU clock and signals it, and the handler makes it a
 *                      captive, which waits for a P where it is
 *   it blocks again    it has no P to lose
 *
 * So a lock of pthreads' that a captive holds stops nobody for ever: those who wait for it lose
 * their Ps, one after the other, until the captive gets one.
 *
 * `stolen` of an M: 0; ASKED: the monitor looks whether it can take the P; TAKEN. Only the monitor
 * writes ASKED, by compare-and-swap from 0, and TAKEN from ASKED. The M itself, inside, takes ASKED
 * back to 0 (wefti_lost_p): then the monitor's swap fails, and the P stays. The handler writes TAKEN
 * itself where it is 0, and the M inside clears it once it is on no list and has given up its old P.
 * With TAKEN by the monitor `p` of the M still names the P that was taken: the M alone writes its p.
 *
 * Blocky goroutines. One that lost its P in the kernel twice in a row will do so again, and each
 * time the P stands still until the monitor has seen it. So it is marked, and from then on leaves
 * its next call into weft after which it could run on without its P, if others wait for that: it is
 * a stray from the start, and another M goes on with the P at once. It stays so until it was back
 * within BRIEF, or was on its CPU meanwhile, for then it did not block, or until the monitor sees
 * that it computes on. The mark is looked at where a goroutine comes back from a switch, together
 * with others (load_special in proc.c); a goroutine that never parks loses its P once and stays a
 * stray.
 *
 * The list has all strays, in the order in which they were looked at last. The handler may not take
 * the lock (it may have interrupted a function that ThreadSanitizer wraps); it puts its M on a stack,
 * and whoever has the lock moves that to the list. `straying` says that the M is on the stack; it is
 * cleared before `stolen` is looked at, and set after `stolen` is, so a stray is not missed.
 */
#include "state.h"

#define BLOCKY 2                    /* losses in a row from which on a goroutine is blocky */
#define BRIEF 20000                 /* nanoseconds within which nothing blocks that is worth it */
#define AT_ONCE 16                  /* strays looked at in one go */
#define COMPUTES(span) ((span) / 4) /* so much of a span on the CPU is not waiting */

/* ---- the list ---- */

void wefti_add_stray(struct m *mp, int64_t now) {
    mp->looked_at = now;
    mp->cpu = os_thread_cpu(load_relaxed(&mp->tid));
    mp->stray = NULL;
    mp->strayp = S.strays_end;
    *S.strays_end = mp;
    S.strays_end = &mp->stray;
    store_relaxed(&S.nstrays, S.nstrays + 1);
}

static void remove_stray(struct m *mp) {
    if (!mp->strayp)
        return;
    *mp->strayp = mp->stray;
    if (mp->stray)
        mp->stray->strayp = mp->strayp;
    else
        S.strays_end = mp->strayp;
    mp->strayp = NULL;
    store_relaxed(&S.nstrays, S.nstrays - 1);
}

static void push_stray(struct m *mp) {
    if (xchg_seqcst(&mp->straying, 1) != 0) /* pairs with the one in collect_strays */
        return;
    struct m *first = load_relaxed(&S.new_strays);
    do
        store_relaxed(&mp->newstray, first);
    while (!cas_seqcst(&S.new_strays, &first, mp)); /* pairs with the exchange */
}

/* With the lock: new ones are on the list afterwards. */
static void collect_strays(void) {
    if (load_relaxed(&S.new_strays) == NULL)
        return;
    struct m *next, *mp = xchg_seqcst(&S.new_strays, NULL); /* pairs with push_stray */
    for (; mp; mp = next) {
        next = load_relaxed(&mp->newstray);
        xchg_seqcst(&mp->straying, 0); /* pairs with the one in push_stray */
        if (load_relaxed(&mp->attn.is.stolen) == WEFTI_TAKEN && !mp->strayp && !mp->straggler &&
            load_relaxed(&mp->tid) != 0)
            wefti_add_stray(mp, os_nanotime());
    }
}

void wefti_forget_stray(struct m *mp) {
    collect_strays();
    remove_stray(mp);
}

/* ---- going and coming back ---- */

void wefti_become_stray(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    mp->oldp = pp;
    store_relaxed(&pp->syscalltick, load_relaxed(&pp->syscalltick) + 1);
    store_relaxed(&gp->status, WEFTI_G_SYSCALL);
    store_relaxed(&gp->since, wefti_stamp());
    store_relaxed(&mp->attn.is.stolen, WEFTI_TAKEN);
    store_relaxed(&mp->p, NULL);
    push_stray(mp);
    store_seqcst(&pp->status, WEFTI_P_SYSCALL); /* pairs with the takers' swaps (syscall.c) */
    store_seqcst(&S.monwake, 1);
    os_futex_wake(&S.monwake, 1); /* the monitor takes it */
}

bool wefti_lost_p(struct m *mp) {
    uint8_t stolen = load_relaxed(&mp->attn.is.stolen);
    if (stolen == WEFTI_ASKED &&
        cas_seqcst(&mp->attn.is.stolen, &stolen, 0)) /* pairs with the swap in wefti_retake */
        return false;
    if (likely(stolen != WEFTI_TAKEN)) /* by now: the monitor gave up its look, too */
        return false;
    if (mp->p) { /* the monitor's by now */
        store_relaxed(&mp->p, NULL);
        mp->oldp = NULL;
    }
    return true;
}

/* With the lock. A blocky goroutine is back, and it did not block: it was short, or computed. */
static bool in_vain(struct m *mp) {
    int64_t now = os_nanotime();
    if (now - mp->strayed_at < BRIEF)
        return true;
    int64_t cpu = os_thread_cpu(load_relaxed(&mp->tid));
    return cpu >= 0 && mp->cpu >= 0 && cpu - mp->cpu >= COMPUTES(now - mp->looked_at);
}

/* With the lock. */
static void count_return(struct m *mp, struct g *gp) {
    if (mp->strayed_at != 0 && gp->blocky > 0 && in_vain(mp))
        gp->blocky--;
    mp->strayed_at = 0;
    if (gp->blocky >= BLOCKY && !gp->bound)
        gp->special |= WEFTI_SPECIAL_BLOCKY;
    else
        gp->special &= (uint8_t)~WEFTI_SPECIAL_BLOCKY;
}

void wefti_count_loss(struct g *gp) {
    if (gp->blocky < WEFTI_BLOCKY_MOST)
        gp->blocky++;
}

void wefti_leave_blocky(struct m *mp) {
    struct g *gp = mp->curg;
    struct p *pp = mp->p;
    if (!(gp->special & WEFTI_SPECIAL_BLOCKY) || gp->bound || !wefti_others_wait(pp))
        return;
    int64_t now = os_nanotime();
    wefti_lock(&S.lock);
    bool up = load_relaxed(&S.phase) == WEFTI_UP;
    if (up) {
        wefti_release_p(mp);
        mp->oldp = NULL;
        mp->strayed_at = now;
        store_relaxed(&gp->status, WEFTI_G_SYSCALL);
        store_relaxed(&gp->since, wefti_stamp());
        store_relaxed(&mp->attn.is.stolen, WEFTI_TAKEN);
        collect_strays();
        if (!mp->strayp)
            wefti_add_stray(mp, now);
    }
    wefti_unlock(&S.lock);
    if (up)
        wefti_hand_off(mp, pp);
}

void wefti_forget_blocky(struct g *gp) {
    wefti_lock(&S.lock);
    gp->blocky = 0;
    wefti_unlock(&S.lock);
    gp->special &= (uint8_t)~WEFTI_SPECIAL_BLOCKY;
}

bool wefti_stray_back(struct m *mp) {
    struct p *pp = mp->oldp;
    uint32_t syscall = WEFTI_P_SYSCALL;
    /* Who is set aside at the end of a run is so under the lock; the P may be the next run's then. */
    wefti_lock(&S.lock);
    bool kept = pp && !load_relaxed(&mp->attn.is.ended) &&
                cas_seqcst(&pp->status, &syscall, WEFTI_P_RUNNING); /* with become_stray */
    remove_stray(mp);
    store_relaxed(&mp->attn.is.stolen, 0);
    count_return(mp, mp->curg);
    wefti_unlock(&S.lock);
    if (kept) {
        wefti_see_inside(load_relaxed(&pp->m));
        store_relaxed(&mp->p, pp);
        store_release(&pp->m, mp); /* as in wefti_acquire_p */
        store_relaxed(&pp->syscalltick, load_relaxed(&pp->syscalltick) + 1);
        store_relaxed(&mp->curg->status, WEFTI_G_RUNNING);
    }
    return kept;
}

/* ---- watching ---- */

void wefti_watch_strays(int64_t now) {
    wefti_lock(&S.lock);
    collect_strays();
    struct m *mp;
    for (int n = 0; n < AT_ONCE && (mp = S.strays) != NULL && now - mp->looked_at >= S.slice; n++) {
        int64_t cpu = mp->cpu, span = now - mp->looked_at;
        remove_stray(mp);
        wefti_add_stray(mp, now); /* at the end, and its clock is read */
        if (mp->cpu - cpu >= COMPUTES(span))
            wefti_preempt_m(mp, WEFTI_SLICE_OVER, now);
    }
    wefti_unlock(&S.lock);
}
