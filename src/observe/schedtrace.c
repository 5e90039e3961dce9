/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GODEBUG=schedtrace=MS and scheddetail=1: what the scheduler does, a line at a time. Names, order
 * and blanks are Go's, less what weft's SCHED line leaves out (needspinning is in the detail form
 * only): tools cut these lines at fixed words.
 *
 * The monitor thread alone calls this, hence one static buffer and no lock for it. Counts, P and M
 * lines are taken under the scheduler's lock, so they agree with each other; but Ps, Ms and Gs
 * change under their owners' hands without it. So each field is loaded once and what it points to
 * is of the kind that is never freed: a line may be of two moments, never of a dangling pointer.
 * The text goes out after the unlock, in one write where it fits. G lines are taken without the
 * lock: there may be a million.
 *
 * Field by field, where weft's differs from Go's:
 *   locks         1 while the M is inside the runtime
 *   mallocing, throwing, dying, preemptoff   always 0 or empty
 *   nmidlelocked  Ms that sleep because their bound goroutine waits
 * The monitor and the spawner of threads have no record: their M lines, numbers 1 up to S.nsys, say
 * that they hold nothing.
 */
#include "../base/fmt.h"
#include "../runq/runq.h"
#include "../sched/state.h"
#include "../stack/gslab.h"
#include "../timer/timer.h"

#define STDERR 2
#define BUFFER 65536

static const char *truth(bool value) {
    return value ? "true" : "false";
}

/* "7", or "nil" */
struct id_text {
    char text[24];
};

static struct id_text id_or_nil(bool there, uint64_t id) {
    struct id_text t;
    if (there)
        wefti_fmt(t.text, sizeof t.text, "%llu", (unsigned long long)id);
    else
        wefti_fmt(t.text, sizeof t.text, "nil");
    return t;
}

static struct id_text m_id(const struct m *mp) {
    return id_or_nil(mp != NULL, mp ? mp->id : 0);
}

static struct id_text p_id(const struct p *pp) {
    return id_or_nil(pp != NULL, pp ? pp->id : 0);
}

static struct id_text g_id(const struct g *gp) {
    return id_or_nil(gp != NULL, gp ? load_relaxed(&gp->id) : 0);
}

/* Whole milliseconds since the first line of this run. */
static long long stamp(void) {
    static uint64_t run;
    static int64_t first;
    int64_t now = os_nanotime();
    if (run != S.run + 1) {
        run = S.run + 1;
        first = now;
    }
    return (now - first) / 1000000;
}

static void sched_line(struct wefti_out *out, bool detailed) {
    wefti_out(out, "SCHED %lldms: gomaxprocs=%u idleprocs=%u threads=%u spinningthreads=%u",
              stamp(), S.nprocs, load_relaxed(&S.npidle), load_relaxed(&S.nm) + S.nsys,
              load_relaxed(&S.nmspinning));
    if (detailed)
        wefti_out(out, " needspinning=%u", load_relaxed(&S.needspinning) != 0);
    wefti_out(out, " idlethreads=%u runqueue=%u", load_relaxed(&S.nmidle), S.global.n);
    if (detailed) {
        wefti_out(out, " gcwaiting=%s nmidlelocked=%u stopwait=%u sysmonwait=%s\n",
                  truth(load_relaxed(&S.stopping)), load_relaxed(&S.nmblocked), S.stopwait,
                  truth(S.monsleep));
        return;
    }
    for (uint32_t i = 0; i < S.nprocs; i++)
        wefti_out(out, "%s%u", i == 0 ? " [" : " ", wefti_runq_len(&S.allp[i]->runq));
    wefti_out(out, "]\n");
}

static void p_line(struct wefti_out *out, struct p *pp) {
    wefti_out(out,
              "  P%u: status=%u schedtick=%u syscalltick=%u m=%s runqsize=%u gfreecnt=%u "
              "timerslen=%u\n",
              pp->id, load_relaxed(&pp->status), load_relaxed(&pp->schedtick),
              load_relaxed(&pp->syscalltick), m_id(load_acquire(&pp->m)).text,
              wefti_runq_len(&pp->runq), load_relaxed(&pp->gfree.n), load_relaxed(&pp->timers->n));
}

/* An M that sleeps in the kernel does not know yet that its P was taken (stray.c). */
static struct p *p_of(struct m *mp) {
    return load_relaxed(&mp->attn.is.stolen) == WEFTI_TAKEN ? NULL : load_relaxed(&mp->p);
}

static void m_line(struct wefti_out *out, struct m *mp) {
    wefti_out(out,
              "  M%u: p=%s curg=%s mallocing=0 throwing=0 preemptoff= locks=%u dying=0 spinning=%s "
              "blocked=%s lockedg=%s\n",
              mp->id, p_id(p_of(mp)).text, g_id(load_relaxed(&mp->curg)).text,
              load_relaxed(&mp->inrt) != 0, truth(load_relaxed(&mp->spinning)),
              truth(load_relaxed(&mp->blocked)), g_id(load_relaxed(&mp->lockedg)).text);
}

static void m_lines(struct wefti_out *out) {
    struct m *mp = S.allm; /* the newest first */
    for (; mp && mp->id > S.nsys; mp = mp->alllink)
        if (!load_relaxed(&mp->attn.is.foreign))
            m_line(out, mp);
    for (uint32_t id = S.nsys; id > 0; id--)
        wefti_out(out,
                  "  M%u: p=nil curg=nil mallocing=0 throwing=0 preemptoff= locks=0 dying=0 "
                  "spinning=false blocked=false lockedg=nil\n",
                  id);
    for (; mp; mp = mp->alllink)
        if (!load_relaxed(&mp->attn.is.foreign))
            m_line(out, mp);
}

static bool g_line(struct g *gp, void *arg) {
    uint64_t id = load_relaxed(&gp->id);
    if (id == 0) /* has never been anybody */
        return true;
    uint32_t status = load_relaxed(&gp->status);
    const char *why = "";
    if (status == WEFTI_G_WAITING)
        why = wefti_reason_text(load_relaxed(&gp->reason));
    struct m *bound = load_relaxed(&gp->locked) > 0 ? load_relaxed(&gp->bound) : NULL;
    wefti_out(arg, "  G%llu: status=%u(%s) m=%s lockedm=%s\n", (unsigned long long)id, status, why,
              m_id(wefti_g_m(gp)).text, m_id(bound).text);
    return true;
}

void wefti_schedtrace(bool detailed) {
    static char text[BUFFER];
    struct wefti_out out = {STDERR, text, 0, sizeof text};
    wefti_lock(&S.lock);
    sched_line(&out, detailed);
    for (uint32_t i = 0; detailed && i < S.nprocs; i++)
        p_line(&out, S.allp[i]);
    if (detailed)
        m_lines(&out);
    wefti_unlock(&S.lock);
    if (detailed)
        wefti_g_foreach(g_line, &out);
    wefti_out_flush(&out);
}
