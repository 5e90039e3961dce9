/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking the P of a goroutine that sleeps in the kernel without having said so: a read of a pipe,
 * usleep, a lock of pthreads' that is taken, a page that comes from a disk.
 *
 * The M takes no part. It is somewhere in the program's code, where it never synchronizes; it
 * learns of its loss at its next weft call (stray.c). The monitor, alone, does it in five steps:
 *
 *   1  the thread's CPU clock stood still from one look to the next. That is half a microsecond, and
 *      spares those who compute the rest. It does not prove anything: the thread may wait for a CPU
 *   2  `stolen` becomes ASKED, by a compare-and-swap, which is a full fence
 *   3  the kernel says that the thread is asleep. So it came off its CPU after step 2 or before,
 *      and either way sees ASKED from when it goes on. If it says anything else: back to 0
 *   4  the M is outside, still has this P, and is outside (in this order). If not: back to 0
 *   5  `stolen` becomes TAKEN, by compare-and-swap. If that succeeds the P is the monitor's
 *
 * Why nobody else uses the P after step 5. The M touches it inside only, and between two times
 * inside it passes an entry, which looks at `stolen` after `inrt` is set. Entries that begin after
 * the sleep see ASKED (they take it back, and step 5 fails) or TAKEN (they let go of the P). So
 * only what the M does without a further entry can be wrong, and that is:
 *   - an entry from before the sleep, which may have been the sleep (it waited for the lock, or for a
 *     P, as a captive), and did not see ASKED. It ends, perhaps by giving up the P as the beginning
 *     of a bracket. The first look at inrt finds it under way, or finds it over, and then p is read
 *     after it was over
 *   - the end of a bracket, which goes inside without a look. Within the bracket p is NULL; if the
 *     end gives it the P while the monitor looks, then p was written after inrt was set, and
 *     the second look at inrt finds that, or finds it over. An end of a bracket that does not get its P
 *     back needs the lock, which the monitor has
 * The preemption signal's handler looks at `stolen` as an entry does, and leaves inrt 1 while it
 * waits as a captive.
 *
 * That step 4 reads p again is no luxury: between step 1 and the sleep the M may have come inside
 * (without seeing ASKED), given this P away and gone out with another.
 *
 * Steps 4 and 5 hold sched.lock, so that the M, which takes it to come back, finds itself on the
 * list of strays; at the end of a run nothing is taken.
 *
 * Where the kernel does not tell (no /proc), no P is taken this way. The slice's end takes it, by
 * the signal, 10 ms later.
 *
 * Rejected: the CPU clock alone. On a machine with more to do than CPUs a thread that waits for one
 * stands still for milliseconds: thousands of false retakes a minute, and step 3's fence is
 * missing. Rejected: a descriptor kept open for each M (os/linux/task.c).
 */
#include "state.h"

/* The M's thread did not compute since the last look, in the same slice. */
static bool stood_still(struct p *pp, struct m *mp) {
    int64_t cpu = os_thread_cpu(load_relaxed(&mp->tid));
    uint32_t tick = load_relaxed(&pp->schedtick);
    bool still = pp->mon.cputick == tick && pp->mon.cpu == cpu && cpu >= 0;
    pp->mon.cputick = tick;
    pp->mon.cpu = cpu;
    return still;
}

static bool may_ask(struct m *mp) {
    return !load_relaxed(&mp->inrt) && !load_relaxed(&mp->attn.is.bracket) &&
           !load_relaxed(&mp->attn.is.foreign) && load_relaxed(&mp->tid) != 0;
}

/* With the lock: steps 4 and 5. */
static bool take(struct p *pp, struct m *mp) {
    uint8_t asked = WEFTI_ASKED;
    return load_relaxed(&S.phase) == WEFTI_UP && !load_relaxed(&mp->attn.is.foreign) &&
           load_acquire(&mp->inrt) == 0 && load_acquire(&mp->p) == pp &&
           load_relaxed(&pp->status) == WEFTI_P_RUNNING && load_acquire(&mp->inrt) == 0 &&
           cas_seqcst(&mp->attn.is.stolen, &asked, WEFTI_TAKEN); /* pairs with wefti_lost_p */
}

static void taken(struct p *pp, struct m *mp) {
    struct g *gp = load_relaxed(&mp->curg);
    store_relaxed(&gp->status, WEFTI_G_SYSCALL);
    store_relaxed(&gp->since, wefti_stamp());
    wefti_count_loss(gp);
    store_relaxed(&pp->m, NULL);
    store_relaxed(&pp->status, WEFTI_P_IDLE);
    if (!mp->strayp)
        wefti_add_stray(mp, os_nanotime());
}

bool wefti_retake(struct p *pp, bool look) {
    struct m *mp = load_acquire(&pp->m); /* pairs with wefti_acquire_p: its record is new */
    if (!wefti_knobs.retake || S.seeded || !mp || !may_ask(mp) || (!stood_still(pp, mp) && !look))
        return false;
    uint8_t none = 0;
    if (!cas_seqcst(&mp->attn.is.stolen, &none, WEFTI_ASKED)) /* pairs with the look at an entry */
        return false;
    bool asleep = os_thread_state(load_relaxed(&mp->tid), NULL) == OS_TASK_BLOCKED, mine = false;
    if (asleep) {
        wefti_lock(&S.lock);
        mine = take(pp, mp);
        if (mine)
            taken(pp, mp);
        wefti_unlock(&S.lock);
    }
    if (!mine) {
        uint8_t asked = WEFTI_ASKED;
        cas_seqcst(&mp->attn.is.stolen, &asked, 0); /* or it did so itself */
    }
    return mine;
}
