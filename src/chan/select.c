/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Select: the first of several channel operations that can be carried out.
 *
 * All channels of a select are locked at once, in order of address, so it decides on the state of
 * one moment. Of the ready cases one is drawn, each with the same chance (the k-th ready one
 * replaces the choice with probability 1/k: no shuffle, and no question to the oracle when only one
 * is ready). If none is, the goroutine queues a sudog on every channel under those same locks, all
 * with the ticket of one wait, and parks.
 *
 * One winner. Whoever pops one of the sudogs claims the wait by its ticket; the others, finding the
 * ticket claimed or gone, skip theirs. gp->woke tells which one won. Awake, the goroutine takes the
 * remaining sudogs off their queues, channel by channel, before their memory goes back: a waker
 * touches a sudog only under its channel's lock, or as the winner, so none does afterwards.
 *
 * The time-out case is the goroutine's own timer, armed after the locks are given back (its heap's
 * lock ranks below them) and before the park: the wait is published by then, so it may fire at
 * once.
 *
 * With one P the locks are nothing, so the order is not even computed.
 */
#include <errno.h>
#include <string.h>
#include <weft/select.h>
#include <weft/time.h>

#include "../sched/state.h"
#include "../timer/timer.h"
#include "chan.h"

#define SMALL 8

/* A case, copied from the user's memory before the runtime is entered. */
struct entry {
    struct chan *c; /* NULL: never ready */
    struct words v; /* what to send; what was received */
    uint32_t op;    /* WEFT_CASE_SEND, _RECV; 0: none of the two */
};

struct selection {
    struct entry *entry;
    struct chan **order; /* the channels in order of address, doubles included */
    size_t n, norder;
    int after, deflt; /* index of the nearest time-out, of the default; -1 */
    int64_t duration;
    int chosen;
    bool closed; /* the chosen case found its channel closed */
    int err;     /* when none was chosen */
};

/* ---- before entering ---- */

static bool read_send(struct entry *e, const struct weft_case *uc) {
    const void *from = uc->op & WEFT_CASE_HELD ? uc->value : uc->from;
    return wefti_chan_pack(e->c, from, &e->v);
}

static bool read_case(struct selection *s, const struct weft_case *uc, int i) {
    struct entry *e = &s->entry[i];
    uint32_t op = uc->op & WEFT_CASE_OP_MASK;
    *e = (struct entry){0};
    if (op == WEFT_CASE_AFTER) {
        if (s->after < 0 || uc->duration < s->duration) {
            s->after = i;
            s->duration = uc->duration;
        }
    } else if (op == WEFT_CASE_DEFAULT) {
        s->deflt = i;
    } else {
        e->op = op;
        e->c = uc->chan;
        if (e->c && op == WEFT_CASE_SEND)
            return read_send(e, uc);
    }
    return true;
}

/* ---- locking ---- */

static void sift_down(struct chan **a, size_t i, size_t n) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && a[child] < a[child + 1])
            child++;
        if (a[i] >= a[child])
            return;
        struct chan *t = a[i];
        a[i] = a[child];
        a[child] = t;
    }
}

/* Heap sort: no recursion, no memory, and no bad case that a program could hit. */
static void sort(struct chan **a, size_t n) {
    for (size_t i = n / 2; i-- > 0;)
        sift_down(a, i, n);
    for (size_t end = n; end-- > 1;) {
        struct chan *t = a[0];
        a[0] = a[end];
        a[end] = t;
        sift_down(a, 0, end);
    }
}

static void lock_all(struct m *mp, struct selection *s) {
    if (mp->p->single)
        return;
    if (s->norder == 0) {
        for (size_t i = 0; i < s->n; i++)
            if (s->entry[i].c)
                s->order[s->norder++] = s->entry[i].c;
        sort(s->order, s->norder);
    }
    for (size_t i = 0; i < s->norder; i++)
        if (i == 0 || s->order[i] != s->order[i - 1])
            wefti_chan_lock(mp, s->order[i]);
}

static void unlock_all(struct m *mp, struct selection *s) {
    if (mp->p->single)
        return;
    for (size_t i = s->norder; i-- > 0;)
        if (i == 0 || s->order[i] != s->order[i - 1])
            wefti_chan_unlock(mp, s->order[i]);
}

/* ---- choosing; with all locks ---- */

/* An unclaimed waiter may be claimed by a cancel at any moment: ready means likely, and carrying
 * out may still fail. */
static bool ready(const struct entry *e) {
    const struct chan *c = e->c;
    if (!c)
        return false;
    if (e->op == WEFT_CASE_SEND)
        return c->closed || c->recvq.first || c->count < c->cap;
    return c->closed || c->sendq.first || c->count > 0;
}

static int draw(struct m *mp, struct selection *s) {
    int chosen = -1;
    uint32_t k = 0;
    for (size_t i = 0; i < s->n; i++)
        if (ready(&s->entry[i]) && (++k == 1 || wefti_rand_below(wefti_oracle(mp), k) == 0))
            chosen = (int)i;
    return chosen;
}

/* The partner of the chosen case, claimed; or NULL when it works on buffer or closed channel.
 * *gone: neither. */
static struct sudog *carry_out(struct m *mp, struct entry *e, bool *closed, bool *gone) {
    struct chan *c = e->c;
    struct sudog *sg = NULL;
    *closed = *gone = false;
    if (e->op == WEFT_CASE_SEND) {
        if (c->closed)
            *closed = true;
        else if ((sg = wefti_chan_claim(mp, c, &c->recvq)) != NULL)
            sg->word[0] = e->v.w[0], sg->word[1] = e->v.w[1];
        else if (c->count < c->cap)
            wefti_chan_put(c, e->v);
        else
            *gone = true;
        return sg;
    }
    if ((sg = wefti_chan_claim(mp, c, &c->sendq)) != NULL) {
        struct words sent = {{sg->word[0], sg->word[1]}};
        if (c->count == 0) {
            e->v = sent;
        } else {
            e->v = wefti_chan_get(c);
            wefti_chan_put(c, sent);
        }
    } else if (c->count > 0) {
        e->v = wefti_chan_get(c);
    } else if (c->closed) {
        *closed = true;
    } else {
        *gone = true;
    }
    return sg;
}

/* True when a case was carried out; the locks are given back then. */
static bool try_all(struct m *mp, struct selection *s) {
    int i;
    while ((i = draw(mp, s)) >= 0) {
        bool gone;
        struct sudog *sg = carry_out(mp, &s->entry[i], &s->closed, &gone);
        if (gone)
            continue; /* its waiters had been claimed: they are off the queue now */
        unlock_all(mp, s);
        if (sg)
            wefti_chan_wake(mp, sg, WEFTI_WAKE_OK);
        s->chosen = i;
        return true;
    }
    return false;
}

/* ---- waiting ---- */

static struct wefti_waitq *queue_of(struct entry *e) {
    return e->op == WEFT_CASE_SEND ? &e->c->sendq : &e->c->recvq;
}

static void enqueue_all(struct selection *s, struct g *gp, struct sudog *sgs, uint64_t ticket) {
    for (size_t i = 0; i < s->n; i++) {
        struct entry *e = &s->entry[i];
        struct sudog *sg = &sgs[i];
        sg->queued = false;
        if (!e->c)
            continue;
        sg->g = gp;
        sg->ticket = ticket;
        sg->word[0] = e->v.w[0];
        sg->word[1] = e->v.w[1];
        sg->object = e->c;
        sg->index = (uint32_t)i;
        wefti_chan_forget(e->c);
        wefti_waitq_push(queue_of(e), sg);
    }
}

static void dequeue_all(struct m *mp, struct selection *s, struct sudog *sgs,
                        const struct sudog *won) {
    for (size_t i = 0; i < s->n; i++) {
        struct entry *e = &s->entry[i];
        if (!e->c || &sgs[i] == won)
            continue;
        wefti_chan_lock(mp, e->c);
        if (sgs[i].queued)
            wefti_waitq_remove(queue_of(e), &sgs[i]);
        wefti_chan_unlock(mp, e->c);
    }
}

static void arm(struct m *mp, struct selection *s, struct g *gp, uint64_t ticket) {
    if (s->after < 0)
        return;
    wefti_timer_init(&gp->timer, wefti_timer_wakes, NULL, gp);
    gp->timer.seq = ticket;
    wefti_timer_arm(mp, &gp->timer, wefti_timer_when(wefti_nanotime(), s->duration), 0);
}

static struct m *wait_all(struct m *mp, struct selection *s, struct g *gp, struct sudog *sgs) {
    uint64_t ticket = wefti_wait_begin(mp, gp, WEFTI_WAIT_SELECT, true);
    enqueue_all(s, gp, sgs, ticket);
    unlock_all(mp, s);
    arm(mp, s, gp, ticket);
    mp = wefti_wait(mp, gp);
    if (s->after >= 0 && gp->wake != WEFTI_WAKE_TIMEOUT)
        wefti_timer_disarm(mp, &gp->timer);
    struct sudog *won = NULL;
    switch ((enum wefti_wake)gp->wake) {
    case WEFTI_WAKE_OK:
    case WEFTI_WAKE_CLOSED:
        won = gp->woke;
        s->chosen = (int)won->index;
        s->closed = gp->wake == WEFTI_WAKE_CLOSED;
        s->entry[s->chosen].v = (struct words){{won->word[0], won->word[1]}};
        break;
    case WEFTI_WAKE_TIMEOUT:
        s->chosen = s->after;
        break;
    case WEFTI_WAKE_CANCELED:
        s->err = wefti_cancel_errno(gp);
        break;
    }
    dequeue_all(mp, s, sgs, won);
    return mp;
}

static struct m *choose(struct m *mp, struct selection *s) {
    struct g *gp = mp->curg;
    struct sudog *sgs = NULL;
    lock_all(mp, s);
    if (try_all(mp, s))
        return mp;
    bool wait = false;
    if (s->deflt >= 0)
        s->chosen = s->deflt;
    else if (s->after >= 0 && s->duration <= 0)
        s->chosen = s->after;
    else if ((s->err = wefti_ambient_err(gp)) == 0)
        wait = (sgs = wefti_alloc(mp, s->n * sizeof *sgs)) != NULL;
    if (!wait) {
        unlock_all(mp, s);
        if (s->chosen < 0 && s->err == 0)
            wefti_fatal("out of memory: no room for a select of %zu cases", s->n);
        return mp;
    }
    mp = wait_all(mp, s, gp, sgs);
    wefti_free(mp, sgs, s->n * sizeof *sgs);
    return mp;
}

/* ---- after leaving ---- */

static int finish(struct selection *s, struct weft_case *cases) {
    if (s->chosen < 0) {
        weft_set_errno(s->err);
        return -1;
    }
    struct entry *e = &s->entry[s->chosen];
    struct weft_case *uc = &cases[s->chosen];
    if (e->op == WEFT_CASE_RECV) {
        if (!s->closed)
            wefti_chan_unpack(e->c, e->v, uc->into);
        else if (uc->into)
            memset(uc->into, 0, e->c->elem);
    }
    if (e->op && (uc->op & WEFT_CASE_OK)) {
        if (uc->ok)
            *uc->ok = !s->closed;
    } else if (e->op == WEFT_CASE_SEND && s->closed) {
        weft_set_errno(EPIPE);
        return -1;
    }
    return s->chosen;
}

/* Boxes of send cases that were not carried out. */
static void drop_unsent(struct m *mp, struct selection *s) {
    for (size_t i = 0; i < s->n; i++) {
        struct entry *e = &s->entry[i];
        if (e->c && e->op == WEFT_CASE_SEND && e->c->boxed && ((int)i != s->chosen || s->closed))
            wefti_chan_drop(mp, e->c, e->v);
    }
}

static int select_no_cases(void) {
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    int err = wefti_ambient_err(gp);
    if (!err) {
        mp = wefti_wait_forever(mp, WEFTI_WAIT_SELECT_NO_CASES, true);
        err = wefti_cancel_errno(gp);
    }
    wefti_chan_fail(mp, err);
    wefti_leave(mp);
    return -1;
}

static int select_with(struct weft_case *cases, size_t n, struct entry *entry,
                       struct chan **order) {
    struct selection s = {
        .entry = entry, .order = order, .n = n, .after = -1, .deflt = -1, .chosen = -1};
    for (size_t i = 0; i < n; i++)
        if (!read_case(&s, &cases[i], (int)i))
            wefti_fatal("out of memory: no box for a value of a select");
    struct m *mp = wefti_enter_park();
    mp = choose(mp, &s);
    drop_unsent(mp, &s);
    wefti_leave(mp);
    return finish(&s, cases);
}

static int select_many(struct weft_case *cases, size_t n) {
    struct m *mp = wefti_enter();
    struct entry *entry = wefti_alloc(mp, n * sizeof *entry);
    struct chan **order = wefti_alloc(mp, n * sizeof *order);
    wefti_leave(mp);
    if (!entry || !order)
        wefti_fatal("out of memory: no room for a select of %zu cases", n);
    int chosen = select_with(cases, n, entry, order);
    mp = wefti_enter();
    wefti_free(mp, entry, n * sizeof *entry);
    wefti_free(mp, order, n * sizeof *order);
    wefti_leave(mp);
    return chosen;
}

int weft_select_n(struct weft_case *cases, size_t n) {
    if (n == 0)
        return select_no_cases();
    if (n > SMALL)
        return select_many(cases, n);
    struct entry entry[SMALL];
    struct chan *order[SMALL];
    return select_with(cases, n, entry, order);
}
