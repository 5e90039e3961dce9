/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: send, receive, close.
 *
 * A send finds, under the lock, in this order: the channel closed (fails); a receiver waiting
 * (hands the element over and readies it; the buffer never sees it); room (puts it in); else it
 * queues and parks with the element in its sudog. A receive mirrors that; from a full buffer with a
 * sender waiting it takes the oldest element and puts the sender's at the tail, so order is kept.
 * Waiters are served first come, first served.
 *
 * Park against wake. The waiter publishes PARKING and queues its sudog in one section under the
 * lock; whoever finds it there claims it by its ticket. A cancel may claim it first: then the one
 * who popped it goes on to the next waiter, and the cancelled one, awake, finds itself either
 * popped (queued is false) or still queued, and takes itself off under the lock. So an element is
 * handed only to a wait that was won, and stays with its sender otherwise.
 *
 * Happens-before. Sender's writes come before its unlock or its claim and ready; the receiver's
 * lock or wake comes after: M3, M4. For an unbuffered channel the same holds the other way round
 * (M5), since the sender returns after the receiver's claim of it, or after it claimed the
 * receiver.
 *
 * Rejected: elements copied straight between the two stacks, as Go does: it saves a copy of large
 * elements, but a waker would touch a stack that may be compacted, or take a page fault that user
 * code handles, inside the runtime.
 */
#include "chan.h"

#include <errno.h>
#include <string.h>

#include "../sched/state.h"

/* ---- elements ---- */

static bool pack_box(struct chan *c, const void *value, struct words *v) {
    struct m *mp = wefti_enter();
    void *box = wefti_alloc(mp, c->elem);
    if (!box)
        *mp->errnop = ENOMEM;
    wefti_leave(mp);
    if (!box)
        return false;
    memcpy(box, value, c->elem);
    v->w[0] = (uint64_t)(uintptr_t)box;
    v->w[1] = 0;
    return true;
}

bool wefti_chan_pack_slow(struct chan *c, const void *value, struct words *v) {
    if (c->boxed)
        return pack_box(c, value, v);
    v->w[0] = v->w[1] = 0;
    memcpy(v->w, value, c->elem);
    return true;
}

static void unpack_box(struct chan *c, struct words v, void *into) {
    void *box = (void *)(uintptr_t)v.w[0];
    if (into) {
        if (box)
            memcpy(into, box, c->elem);
        else
            memset(into, 0, c->elem);
    }
    struct m *mp = wefti_enter();
    wefti_free(mp, box, c->elem);
    wefti_leave(mp);
}

void wefti_chan_unpack_slow(struct chan *c, struct words v, void *into) {
    if (c->boxed)
        unpack_box(c, v, into);
    else if (into)
        memcpy(into, v.w, c->elem);
}

void wefti_chan_drop(struct m *mp, struct chan *c, struct words v) {
    if (c->boxed)
        wefti_free(mp, (void *)(uintptr_t)v.w[0], c->elem);
}

/* ---- failing ---- */

void wefti_chan_fail(struct m *mp, int err) {
    *mp->errnop = err;
}

int wefti_cancel_errno(struct g *gp) {
    int err = wefti_ambient_err(gp);
    return err ? err : ECANCELED;
}

static bool park_for_ever(enum wefti_reason reason) {
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    int err = wefti_ambient_err(gp);
    if (!err) {
        mp = wefti_wait_forever(mp, reason, true);
        err = wefti_cancel_errno(gp);
    }
    wefti_chan_fail(mp, err);
    wefti_leave(mp);
    return false;
}

/* ---- what need not wait; with the lock ---- */

static inline __attribute__((always_inline)) enum chan_result send_now(struct m *mp, struct chan *c,
                                                                       struct words v) {
    if (unlikely(c->closed)) {
        wefti_chan_unlock(mp, c);
        return CHAN_CLOSED;
    }
    struct sudog *sg = wefti_chan_claim(mp, c, &c->recvq);
    if (sg) {
        wefti_chan_unlock(mp, c);
        sg->word[0] = v.w[0];
        sg->word[1] = v.w[1];
        wefti_chan_wake(mp, sg, WEFTI_WAKE_OK);
        return CHAN_DONE;
    }
    if (c->count < c->cap) {
        wefti_chan_put(c, v);
        wefti_chan_unlock(mp, c);
        return CHAN_DONE;
    }
    return CHAN_WAIT;
}

static inline __attribute__((always_inline)) enum chan_result recv_now(struct m *mp, struct chan *c,
                                                                       struct words *v) {
    struct sudog *sg = wefti_chan_claim(mp, c, &c->sendq);
    if (sg) {
        struct words sent = {{sg->word[0], sg->word[1]}};
        if (c->count == 0) {
            *v = sent;
        } else {
            *v = wefti_chan_get(c);
            wefti_chan_put(c, sent);
        }
        wefti_chan_unlock(mp, c);
        wefti_chan_wake(mp, sg, WEFTI_WAKE_OK);
        return CHAN_DONE;
    }
    if (c->count > 0) {
        *v = wefti_chan_get(c);
        wefti_chan_unlock(mp, c);
        return CHAN_DONE;
    }
    if (unlikely(c->closed)) {
        wefti_chan_unlock(mp, c);
        return CHAN_CLOSED;
    }
    return CHAN_WAIT;
}

enum chan_result wefti_chan_send_now(struct m *mp, struct chan *c, struct words v) {
    return send_now(mp, c, v);
}

/* ---- waiting ---- */

/* Queues and parks with the lock held, which it gives back; *mpp is the M afterwards. How it ended.
 */
static enum wefti_wake wait_on(struct m **mpp, struct chan *c, struct wefti_waitq *q,
                               struct words v, enum wefti_reason reason) {
    struct m *mp = *mpp;
    struct g *gp = mp->curg;
    struct sudog *sg = &gp->sudog;
    sg->g = gp;
    sg->word[0] = v.w[0];
    sg->word[1] = v.w[1];
    sg->object = c;
    sg->ticket = wefti_wait_begin(mp, gp, reason, true);
    wefti_chan_forget(c);
    wefti_waitq_push(q, sg);
    wefti_chan_unlock(mp, c);
    *mpp = mp = wefti_wait(mp, gp);
    if (unlikely(gp->wake == WEFTI_WAKE_CANCELED)) {
        wefti_chan_lock(mp, c);
        if (sg->queued)
            wefti_waitq_remove(q, sg);
        wefti_chan_unlock(mp, c);
    }
    return (enum wefti_wake)gp->wake;
}

static inline __attribute__((always_inline)) bool send_words(struct chan *c, struct words v,
                                                             bool wait) {
    struct m *mp = wait ? wefti_enter_park() : wefti_enter();
    wefti_chan_lock(mp, c);
    enum chan_result r = send_now(mp, c, v);
    if (likely(r == CHAN_DONE)) {
        wefti_leave(mp);
        return true;
    }
    int err = EPIPE;
    if (r == CHAN_WAIT) {
        struct g *gp = mp->curg;
        if (!wait || (err = wefti_ambient_err(gp)) != 0) {
            wefti_chan_unlock(mp, c);
            err = wait ? err : EAGAIN;
        } else {
            enum wefti_wake wake = wait_on(&mp, c, &c->sendq, v, WEFTI_WAIT_CHAN_SEND);
            if (likely(wake == WEFTI_WAKE_OK)) {
                wefti_leave(mp);
                return true;
            }
            err = wake == WEFTI_WAKE_CLOSED ? EPIPE : wefti_cancel_errno(gp);
        }
    }
    wefti_chan_drop(mp, c, v);
    wefti_chan_fail(mp, err);
    wefti_leave(mp);
    return false;
}

static inline __attribute__((always_inline)) bool recv_words(struct chan *c, struct words *v,
                                                             bool wait) {
    struct m *mp = wait ? wefti_enter_park() : wefti_enter();
    wefti_chan_lock(mp, c);
    enum chan_result r = recv_now(mp, c, v);
    if (likely(r == CHAN_DONE)) {
        wefti_leave(mp);
        return true;
    }
    int err = EPIPE;
    if (r == CHAN_WAIT) {
        struct g *gp = mp->curg;
        if (!wait || (err = wefti_ambient_err(gp)) != 0) {
            wefti_chan_unlock(mp, c);
            err = wait ? err : EAGAIN;
        } else {
            enum wefti_wake wake =
                wait_on(&mp, c, &c->recvq, (struct words){{0, 0}}, WEFTI_WAIT_CHAN_RECEIVE);
            if (likely(wake == WEFTI_WAKE_OK)) {
                v->w[0] = gp->sudog.word[0];
                v->w[1] = gp->sudog.word[1];
                wefti_leave(mp);
                return true;
            }
            err = wake == WEFTI_WAKE_CLOSED ? EPIPE : wefti_cancel_errno(gp);
        }
    }
    wefti_chan_fail(mp, err);
    wefti_leave(mp);
    return false;
}

/* ---- public ---- */

bool weft_impl_send(void *chan, const void *value) {
    struct words v;
    if (unlikely(!chan))
        return park_for_ever(WEFTI_WAIT_CHAN_SEND_NIL);
    return wefti_chan_pack(chan, value, &v) && send_words(chan, v, true);
}

bool weft_impl_try_send(void *chan, const void *value) {
    struct words v;
    if (unlikely(!chan)) {
        weft_set_errno(EAGAIN);
        return false;
    }
    return wefti_chan_pack(chan, value, &v) && send_words(chan, v, false);
}

static inline __attribute__((always_inline)) bool receive(struct chan *c, void *into, bool wait) {
    struct words v = {{0, 0}};
    bool ok = recv_words(c, &v, wait);
    if (likely(ok))
        wefti_chan_unpack(c, v, into);
    else if (into && (wait || errno == EPIPE))
        memset(into, 0, c->elem);
    return ok;
}

bool weft_impl_recv(void *chan, void *into, size_t elem_size) {
    if (likely(chan != NULL))
        return receive(chan, into, true);
    park_for_ever(WEFTI_WAIT_CHAN_RECEIVE_NIL); /* until it is cancelled */
    if (into)
        memset(into, 0, elem_size);
    return false;
}

bool weft_impl_try_recv(void *chan, void *into) {
    if (likely(chan != NULL))
        return receive(chan, into, false);
    weft_set_errno(EAGAIN);
    return false;
}
