/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle Ms: kept for the next P, ended when nobody needed them for long.
 *
 * Each idle P may need an M at once, and blocking calls need one more each; so npidle + SPARES idle
 * Ms are kept (the keeper is one of them), GOMAXPROCS + SPARES when all is quiet. A program that had
 * five hundred calls under way has as many idle Ms when they are over. The list is last in, first
 * out: who is used stays in front, and who is not sinks to its end. There the monitor takes those
 * that have been idle for UNUSED, and they end. It looks once a second while it is awake; before it
 * sleeps for long it asks when the next one is due. So an idle program wakes a few times, about
 * UNUSED after its last work, and then not any more.
 *
 * An M leaves the list under the lock, by one hand: wefti_midle_get, whose caller grants it a P,
 * pick below, which marks it as retired, or its own when the run is over. So a retired M has no
 * offer and will get none, and an M that is granted a P is never retired. It sleeps on its park
 * word in either case and is woken in the same way; a wake-up that comes late, when its record
 * serves another thread, does no harm, since every sleeper looks again at why it sleeps.
 *
 * What counts Ms, and why it stays right: a retired M is one that is awake (it is in nm, no more in
 * nmidle), until it has taken itself off in m_main, under the lock. In between the deadlock report
 * is not made, and m_main makes it then; should a thread on its way out of the process keep it from
 * that, the spawner tells the monitor once the thread is joined. The end of a run waits for nm to
 * fall, so for retired Ms as for all others. With nm at the limit (weft_set_max_threads), work that
 * comes while Ms are retired finds one of the spares, or waits for sysmon to see an idle P and a
 * queue, as work does that waits for a thread.
 *
 * Rejected: a time-out on each idle M's own sleep. It wakes every M that stays, once each time it
 * has been used, and an M that sleeps without a time-out, since it was no spare when it went to
 * sleep, stays for ever when GOMAXPROCS sinks.
 */
#include "state.h"

#define SPARES 2
#define UNUSED 5000000000 /* nanoseconds; GODEBUG=threadidle for tests */
#define OFTEN 1000000000
#define BATCH 64

static int64_t unused(void) {
    return wefti_knobs.threadidle > 0 ? wefti_knobs.threadidle * 1000000 : UNUSED;
}

int64_t wefti_retire_every(void) {
    int64_t quarter = unused() / 4;
    return quarter < OFTEN ? quarter : OFTEN;
}

void wefti_midle_put(struct m *mp, int64_t now) {
    mp->idlesince = now;
    mp->idleprev = NULL;
    mp->idlelink = S.midle;
    if (S.midle)
        S.midle->idleprev = mp;
    else
        S.midle_last = mp;
    S.midle = mp;
    mp->idle = 1;
    store_relaxed(&S.nmidle, S.nmidle + 1);
}

void wefti_midle_leave(struct m *mp) {
    if (!mp->idle)
        return;
    if (mp->idleprev)
        mp->idleprev->idlelink = mp->idlelink;
    else
        S.midle = mp->idlelink;
    if (mp->idlelink)
        mp->idlelink->idleprev = mp->idleprev;
    else
        S.midle_last = mp->idleprev;
    mp->idle = 0;
    store_relaxed(&S.nmidle, S.nmidle - 1);
}

/* After a stop of the world the M that had the P goes on with it, if it is there by now. */
struct m *wefti_midle_get(struct p *pp) {
    struct m *mp = pp->stopm && pp->stopm->idle ? pp->stopm : S.midle;
    pp->stopm = NULL;
    if (mp)
        wefti_midle_leave(mp);
    return mp;
}

/* With the lock: how many are more than are kept. While the world stops no P is idle, and all of
 * them soon will be. */
static uint32_t surplus(void) {
    uint32_t idle = S.nmidle + S.keeping, kept = S.npidle + SPARES;
    if (S.stopping || load_relaxed(&S.phase) != WEFTI_UP)
        return 0;
    return idle > kept ? idle - kept : 0;
}

/* With the lock: takes those that went idle before `limit`, the oldest first. */
static uint32_t pick(struct m *picked[BATCH], int64_t limit) {
    uint32_t n = 0, most = surplus();
    most = most < BATCH ? most : BATCH;
    for (struct m *mp = S.midle_last, *newer; mp && n < most; mp = newer) {
        newer = mp->idleprev;
        if (mp->idlesince > limit)
            break;
        if (mp->first)
            continue;
        wefti_midle_leave(mp);
        store_relaxed(&mp->retired, 1);
        picked[n++] = mp;
    }
    return n;
}

void wefti_retire(int64_t now) {
    struct m *picked[BATCH];
    uint32_t n;
    do {
        wefti_lock(&S.lock);
        n = pick(picked, now - unused());
        wefti_unlock(&S.lock);
        for (uint32_t i = 0; i < n; i++) {
            store_seqcst(&picked[i]->park, 1); /* pairs with the swap in wefti_sleep_for_p */
            os_futex_wake(&picked[i]->park, 1);
        }
    } while (n == BATCH);
}

int64_t wefti_retire_due(void) {
    struct m *mp = S.midle_last;
    if (mp && mp->first)
        mp = mp->idleprev;
    return mp && surplus() > 0 ? mp->idlesince + unused() : -1;
}
