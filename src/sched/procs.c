/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GOMAXPROCS: what it is when nobody sets it, how it follows the system, and who sets it.
 *
 * The default is the number of CPUs in the affinity mask, lowered by the cgroup quota
 * (os/linux/cgroup.c), which counts for at least two: a quota is a rate, and one P would give up
 * the overlap of two goroutines for nothing. The mask is that of the monitor's thread: a change for
 * the whole process (a cpuset, taskset -a) reaches it, and a goroutine that pins its own thread
 * does not.
 *
 * Following. Once a second, while the program runs, sysmon computes the default anew; reading files
 * is all it may do, for to stop the world takes a P. If the number is another one, it leaves it in
 * procs_due. An M with a P that looks for work sees the note and makes a goroutine of the runtime's
 * own, which stops the world. So that an M looks, sysmon wakes one if a P is idle and asks those
 * that run to give way if none is, as it does for descriptors that nobody looks at.
 *
 * Set by hand. A number from the environment or weft_gomaxprocs(n) ends the following, also when it
 * is the present one; weft_gomaxprocs_default begins it anew. Both change default_procs with a P in
 * hand, and the goroutine looks at it while the world is stopped, so a number that somebody set is
 * never overwritten by one that sysmon had found before. Nor is a default by an older one: sysmon's
 * counts only if procs_asked, read before it looked at the files, is still the same.
 */
#include <weft/go.h>

#include "state.h"

/* The monitor's mask; before it has said who it is, what there was at the start. */
static int cpus_now(void) {
    uint32_t tid = load_relaxed(&S.montid);
    bool starting = tid == 0 && load_relaxed(&S.phase) == WEFTI_UP;
    return starting ? (int)load_relaxed(&S.ncpu) : os_cpus(tid);
}

uint32_t wefti_default_procs(void) {
    int cpus = cpus_now(), quota = 0;
    if (wefti_knobs.containermaxprocs > 0)
        quota = os_cpu_quota();
    if (quota > 0 && quota < 2)
        quota = 2;
    int n = quota > 0 && quota < cpus ? quota : cpus;
    return n < WEFTI_MAXPROCS ? (uint32_t)n : WEFTI_MAXPROCS;
}

/* ---- following ---- */

void wefti_follow_procs(void) {
    if (!load_relaxed(&S.default_procs) || wefti_knobs.updatemaxprocs == 0)
        return;
    wefti_lock(&S.lock);
    uint32_t asked = S.procs_asked;
    wefti_unlock(&S.lock);
    uint32_t n = wefti_default_procs();
    wefti_lock(&S.lock);
    if (asked == S.procs_asked && load_relaxed(&S.default_procs))
        store_relaxed(&S.procs_due, n != S.nprocs ? n : 0);
    wefti_unlock(&S.lock);
}

/* A goroutine of the runtime's own. */
static void change_procs(void) {
    struct m *mp = wefti_stop_world(wefti_enter());
    uint32_t n = xchg_seqcst(&S.procs_due, 0);
    if (n != 0 && n != S.nprocs && load_relaxed(&S.default_procs))
        wefti_resize(mp, n);
    wefti_start_world(mp);
    store_release(&S.procs_busy, 0); /* pairs with the swap below */
    wefti_leave(mp);
}

void wefti_change_procs(struct m *mp) {
    static const struct weft_impl_site here = {__FILE__, "wefti_change_procs", __LINE__, 0, NULL};
    uint32_t free = 0;
    if (!cas_acquire(&S.procs_busy, &free, 1)) /* pairs with the release above */
        return;
    if (wefti_newproc_system(mp, "gomaxprocs", &here, change_procs) != 0) {
        store_relaxed(&S.procs_due, 0); /* no memory: sysmon asks again in a second */
        store_release(&S.procs_busy, 0);
    }
}

/* ---- set by hand ---- */

/* The number of Ps becomes n unless it is; what it was. `standard`: n is the default, and gives way
 * to a number that was set meanwhile. */
static int set_procs(struct m *mp, uint32_t n, bool standard) {
    uint32_t before = load_relaxed(&S.nprocs);
    if (!standard)
        store_relaxed(&S.default_procs, 0);
    if (n != before && !(mp = wefti_stop_world(mp))->outside) {
        before = S.nprocs;
        if (!standard || load_relaxed(&S.default_procs))
            wefti_resize(mp, n);
        wefti_start_world(mp);
    }
    wefti_leave(mp);
    return (int)before;
}

int weft_gomaxprocs(int n) {
    if (load_acquire(&S.phase) == WEFTI_OFF)
        return wefti_knobs.maxprocs > 0 ? (int)wefti_knobs.maxprocs : (int)wefti_default_procs();
    if (n > WEFTI_MAXPROCS)
        n = WEFTI_MAXPROCS;
    struct m *mp = wefti_enter();
    if (n >= 1 && !mp->outside)
        return set_procs(mp, (uint32_t)n, false);
    int before = (int)load_relaxed(&S.nprocs);
    wefti_leave(mp);
    return before;
}

int weft_gomaxprocs_default(void) {
    if (load_acquire(&S.phase) == WEFTI_OFF)
        return weft_gomaxprocs(0);
    struct m *mp = wefti_enter();
    bool up = !mp->outside;
    int before = (int)load_relaxed(&S.nprocs); /* from here on sysmon may change it too */
    if (up) {
        wefti_lock(&S.lock);
        S.procs_asked++;
        store_relaxed(&S.procs_due, 0);
        store_relaxed(&S.default_procs, 1);
        wefti_unlock(&S.lock);
    }
    wefti_leave(mp);
    uint32_t n = wefti_default_procs(); /* files are read outside */
    mp = wefti_enter();
    if (up && !mp->outside)
        set_procs(mp, n, true);
    else
        wefti_leave(mp);
    return before;
}

int weft_num_cpu(void) {
    uint32_t n = load_relaxed(&S.ncpu);
    return n != 0 ? (int)n : os_cpus(0);
}
