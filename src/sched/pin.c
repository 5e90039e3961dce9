/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pinned wake-ups: an M that is given a P by one that goes to sleep wakes on that one's CPU.
 *
 * The giver is about to sleep, so its CPU is free; left to itself the kernel may wake the other M
 * on another CPU, behind a goroutine that computes, for the rest of a tick. So it is kept to this
 * CPU while it wakes. It puts its mask back before it does anything else: nobody sees it pinned but
 * who looks at it from another thread in between.
 *
 * `pinned` of an M: 0; 1 + the CPU that it is kept to; PIN_OVER: it goes without a P, at the end of
 * the run. The giver pins first and then writes the word by compare-and-swap from 0, the M takes it
 * back by exchange. So if the M was faster, and left PIN_OVER, the giver finds that and puts the
 * mask back; and a revoked offer's pin is taken back by the monitor in the M's place (revoke.c).
 *
 * Only captives and idle Ms are pinned: the masks of foreign and locked threads are the program's.
 * No pin is made where another P's M is, for two Ps whose Ms came to be on one CPU would stay
 * there.
 *
 * A pinned wake-up that takes PIN_LATE says that this CPU is not free: the machine has more to do
 * than CPUs. Then pins would only keep the threads from the CPU where their turn comes first (seen:
 * a third of the throughput), so there are none for PIN_PAUSE.
 */
#include "state.h"

#define PIN_OVER UINT32_MAX
#define PIN_LATE 500000
#define PIN_PAUSE 500000000

static void unpin(struct m *mp, uint32_t tid, uint32_t pinned) {
    if (pinned != 0 && pinned != PIN_OVER && tid != 0)
        os_unpin(tid, (int)pinned - 1, &mp->unpinned);
}

static bool another_runs_on(struct m *self, int cpu) {
    for (uint32_t i = 0; i < load_relaxed(&S.nprocs); i++) {
        struct m *mp = load_acquire(&S.allp[i]->m); /* pairs with wefti_acquire_p */
        if (mp && mp != self && load_relaxed(&mp->cpu_at) == cpu)
            return true;
    }
    return false;
}

void wefti_pin_here(struct m *mp) {
    struct m *self = arch_getm();
    uint32_t none = 0, tid = load_relaxed(&mp->tid); /* once: at the end of the run mp ends, too */
    struct g *gp = load_relaxed(&mp->curg);
    if (!self || !self->leaving || !wefti_knobs.wakepin || tid == 0 ||
        (gp && !load_relaxed(&gp->captive)))
        return;
    int here = os_cpu();
    if (load_relaxed(&mp->cpu_at) == here || another_runs_on(self, here) ||
        load_relaxed(&mp->pinned) != 0 ||
        (mp->pinned_at = os_nanotime()) < load_relaxed(&S.pin_after) ||
        !os_pin(tid, here, load_relaxed(&S.unrestricted), &mp->unpinned))
        return;
    if (!cas_acqrel(&mp->pinned, &none, (uint32_t)here + 1)) /* pairs with wefti_unpin */
        unpin(mp, tid, (uint32_t)here + 1);
}

void wefti_unpin(struct m *mp, uint32_t then) {
    unpin(mp, load_relaxed(&mp->tid),
          xchg_acqrel(&mp->pinned, then)); /* pairs with wefti_pin_here */
}

void wefti_pin_sleeps(struct m *mp) {
    store_relaxed(&mp->cpu_at, os_cpu());
}

void wefti_pin_woken(struct m *mp, bool has_p) {
    store_relaxed(&mp->cpu_at, os_cpu());
    if (likely(has_p && load_relaxed(&mp->pinned) == 0))
        return;
    if (has_p) {
        int64_t now = os_nanotime();
        if (now - mp->pinned_at >= PIN_LATE)
            store_relaxed(&S.pin_after, now + PIN_PAUSE);
    }
    wefti_unpin(mp, has_p || load_relaxed(&mp->revoked) ? 0 : PIN_OVER);
}
