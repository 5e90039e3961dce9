/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts' hold on goroutines: which goroutines run under a context, and the end of their waits
 * when it ends.
 *
 * A goroutine that runs under a context is on its list of members and holds one reference. Only
 * the goroutine itself changes that, or its maker before anybody else knows it; so gp->ambient
 * is plain, and the list has the lock. The background has no members: gp->ambient is NULL for
 * it. An ambient without a release function is the background written as an object; every call
 * here takes it for NULL, so that weft_attr's context can be passed as it is.
 *
 * No cancel is lost. Ending is: store err (mark); full fence; look at each member's park word
 * (wake). Waiting is: store PARKING (wefti_wait_begin); full fence; look at err (wefti_wait).
 * Take a member and one of its waits.
 *   - The waker's look meets this wait: it claims by the ticket that it saw. Won: the wait ends
 *     with CANCELED. Lost: somebody else won it, so it ends with that one's result, as it
 *     should.
 *   - The look meets something older (another wait, or 0): then the waker's load comes before
 *     the goroutine's store in the order of that word, hence its fence before the goroutine's,
 *     and the goroutine's look sees err. A claim with the older ticket fails, for tickets are
 *     never used twice.
 *   - The look meets something newer: this wait is over.
 *   - The goroutine isn't on the list yet when the waker walks it: it takes the list's lock
 *     after the waker let go of it, so it sees err in every wait thereafter.
 *   - It isn't on the list any more: it runs under another context now.
 * CANCELLABLE is part of the word that publishes PARKING, so whoever sees the wait knows whether
 * it may be ended.
 *
 * The claimed are put on a list of the waker's by schedlink, which a parked goroutine has no use
 * for, and readied when the lock is free: those readied run at once elsewhere, and the first
 * thing that many of them do is to end and take themselves off the members. Nothing of a claimed
 * goroutine goes away before it is readied.
 *
 * Rejected: joining the list only for the length of a wait. It would spare goroutines that never
 * wait a lock, and cost one at each wait of those that do.
 */
#include "sched.h"

static inline bool is_background(const struct wefti_ambient *a) {
    return a == NULL || a->release == NULL;
}

void wefti_ambient_ref(struct wefti_ambient *a) {
    if (!is_background(a))
        add_relaxed(&a->refs, 1);
}

void wefti_ambient_unref(struct m *mp, struct wefti_ambient *a) {
    if (is_background(a))
        return;
    if (add_acqrel(&a->refs, -1) ==
        1) /* pairs with itself: all that others did to it comes before its release */
        a->release(mp, a);
}

static void join(struct m *mp, struct wefti_ambient *a, struct g *gp) {
    wefti_plock(mp, &a->lock, WEFTI_RANK_CTX);
    gp->ambient_prev = NULL;
    gp->ambient_next = a->members;
    if (a->members)
        a->members->ambient_prev = gp;
    a->members = gp;
    wefti_punlock(mp, &a->lock, WEFTI_RANK_CTX);
}

static void part(struct m *mp, struct wefti_ambient *a, struct g *gp) {
    wefti_plock(mp, &a->lock, WEFTI_RANK_CTX);
    if (gp->ambient_prev)
        gp->ambient_prev->ambient_next = gp->ambient_next;
    else
        a->members = gp->ambient_next;
    if (gp->ambient_next)
        gp->ambient_next->ambient_prev = gp->ambient_prev;
    gp->ambient_next = gp->ambient_prev = NULL;
    wefti_punlock(mp, &a->lock, WEFTI_RANK_CTX);
}

void wefti_ambient_set(struct m *mp, struct g *gp, struct wefti_ambient *a) {
    struct wefti_ambient *old = gp->ambient;
    if (is_background(a))
        a = NULL;
    if (old != a) {
        if (old)
            part(mp, old, gp);
        gp->ambient = a;
        if (a)
            join(mp, a, gp);
    }
    wefti_ambient_unref(mp, old); /* the same one: one reference of the two */
}

bool wefti_ambient_mark(struct m *mp, struct wefti_ambient *a, int err) {
    (void)mp;
    int none = 0;
    return cas_release(&a->err, &none, err); /* pairs with wefti_ambient_err and wefti_wait */
}

/* Wins gp's wait if it is one that a context may end. */
static bool cancels(struct m *mp, struct g *gp) {
    uint64_t word = load_acquire(&gp->wait); /* pairs with wefti_wait_begin */
    if (!(word & WEFTI_CANCELLABLE) || !(word & (WEFTI_PARKING | WEFTI_PARKED)) ||
        (word & WEFTI_CLAIMED))
        return false;
    return wefti_claim(mp, gp, word >> WEFTI_TICKET_SHIFT);
}

void wefti_ambient_wake(struct m *mp, struct wefti_ambient *a) {
    struct g *first = NULL, **last = &first;
    fence_seqcst(); /* pairs with the one in wefti_wait: see above */
    wefti_plock(mp, &a->lock, WEFTI_RANK_CTX);
    for (struct g *gp = a->members; gp; gp = gp->ambient_next) {
        if (!cancels(mp, gp))
            continue;
        gp->wake = WEFTI_WAKE_CANCELED;
        *last = gp;
        last = &gp->schedlink;
    }
    *last = NULL;
    wefti_punlock(mp, &a->lock, WEFTI_RANK_CTX);
    while (first) {
        struct g *gp = first;
        first = gp->schedlink;
        gp->schedlink = NULL;
        wefti_ready_tail(mp, gp);
    }
}
