/* SPDX-License-Identifier: Apache-2.0 */
/* Channels as objects: making, counting, closing, asking; and the operations of timers and contexts
 * on them. */
#include <errno.h>
#include <string.h>

#include "../sched/state.h"
#include "chan.h"

/* ---- making and freeing ---- */

static size_t ring_bytes(const struct chan *c) {
    return ((size_t)c->cap << c->two) * sizeof(uint64_t);
}

static bool size_in_range(size_t elem, size_t cap) {
    size_t bytes, most = PTRDIFF_MAX;
    return elem <= UINT32_MAX && cap <= UINT32_MAX / 2 &&
           !__builtin_mul_overflow(elem > 16 ? elem : 16, cap, &bytes) && bytes <= most;
}

void *wefti_chan_make_internal(struct m *mp, size_t elem, size_t cap) {
    if (!size_in_range(elem, cap))
        wefti_fatal("makechan: size out of range");
    struct chan *c = wefti_zalloc(mp, sizeof *c);
    if (!c)
        return NULL;
    c->elem = (uint32_t)elem;
    c->two = elem > 8 && elem <= 16;
    c->boxed = elem > 16;
    c->cap = (uint32_t)cap;
    c->refs = 1;
    c->run = S.run;
    if (cap > 0 && !(c->ring = wefti_alloc(mp, ring_bytes(c)))) {
        wefti_free(mp, c, sizeof *c);
        return NULL;
    }
    return c;
}

static bool waited_for(const struct chan *c) {
    return c->run == S.run && (c->recvq.first || c->sendq.first);
}

static void free_chan(struct m *mp, struct chan *c) {
    wefti_chan_lock(mp, c); /* whoever else held a reference has left */
    bool waiters = waited_for(c);
    wefti_chan_unlock(mp, c);
    if (waiters)
        wefti_fatal("free of channel with waiters");
    while (c->count > 0)
        wefti_chan_drop(mp, c, wefti_chan_get(c));
    wefti_free(mp, c->ring, ring_bytes(c));
    wefti_free(mp, c, sizeof *c);
}

void wefti_chan_unref_internal(struct m *mp, void *chan) {
    struct chan *c = chan;
    if (add_acqrel(&c->refs, (uint64_t)-1) ==
        1) /* pairs with itself: others' uses come before the free */
        free_chan(mp, c);
}

void *weft_impl_chan_make(size_t elem_size, size_t capacity) {
    struct m *mp = wefti_enter();
    void *c = wefti_chan_make_internal(mp, elem_size, capacity);
    if (!c)
        *mp->errnop = ENOMEM;
    wefti_leave(mp);
    return c;
}

void wefti_chan_ref_internal(void *chan) {
    add_relaxed(&((struct chan *)chan)->refs, 1);
}

void *weft_impl_chan_ref(void *chan) {
    if (chan)
        wefti_chan_ref_internal(chan);
    return chan;
}

void weft_impl_chan_unref(void *chan) {
    if (!chan)
        return;
    struct m *mp = wefti_enter();
    wefti_chan_unref_internal(mp, chan);
    wefti_leave(mp);
}

/* ---- closing ---- */

/* Claims all of a queue; a list by next. With the lock. */
static struct sudog *claim_all(struct m *mp, struct chan *c, struct wefti_waitq *q,
                               struct sudog *list) {
    struct sudog *sg;
    struct wefti_waitq won = {0};
    while ((sg = wefti_chan_claim(mp, c, q)) != NULL) {
        wefti_waitq_push(&won, sg);
        sg->queued = false;
    }
    if (!won.first)
        return list;
    won.last->next = list;
    return won.first;
}

void wefti_chan_close_internal(struct m *mp, void *chan) {
    struct chan *c = chan;
    wefti_chan_lock(mp, c);
    if (c->closed)
        wefti_fatal("close of closed channel");
    c->closed = 1;
    struct sudog *list = claim_all(mp, c, &c->recvq, claim_all(mp, c, &c->sendq, NULL));
    wefti_chan_unlock(mp, c);
    while (list) {
        struct sudog *sg = list;
        list = sg->next;
        sg->g->wake = WEFTI_WAKE_CLOSED;
        sg->g->woke = sg;
        wefti_ready_tail(mp, sg->g);
    }
}

void weft_impl_chan_close(void *chan) {
    if (!chan)
        wefti_fatal("close of nil channel");
    struct m *mp = wefti_enter();
    wefti_chan_close_internal(mp, chan);
    wefti_leave(mp);
}

/* ---- asking ---- */

size_t weft_impl_chan_len(void *chan) {
    return chan ? load_relaxed(&((struct chan *)chan)->count) : 0;
}

size_t weft_impl_chan_cap(void *chan) {
    return chan ? ((struct chan *)chan)->cap : 0;
}

void weft_impl_chan_set_name(void *chan, const char *name) {
    if (!chan)
        return;
    char copy[WEFTI_NAME_SIZE] = {0};
    memcpy(copy, name, strnlen(name, sizeof copy - 1));
    struct m *mp = wefti_enter();
    struct chan *c = chan;
    wefti_chan_lock(mp, c);
    memcpy(c->name, copy, sizeof copy);
    wefti_chan_unlock(mp, c);
    wefti_leave(mp);
}

/* ---- for timers ---- */

bool wefti_chan_post(struct m *mp, void *chan, uint64_t value) {
    struct chan *c = chan;
    wefti_chan_lock(mp, c);
    enum chan_result r = wefti_chan_send_now(mp, c, (struct words){{value, 0}});
    if (r == CHAN_WAIT)
        wefti_chan_unlock(mp, c);
    return r == CHAN_DONE;
}

bool wefti_chan_drain(struct m *mp, void *chan) {
    struct chan *c = chan;
    wefti_chan_lock(mp, c);
    bool had = c->count > 0;
    if (had)
        wefti_chan_drop(mp, c, wefti_chan_get(c));
    wefti_chan_unlock(mp, c);
    return had;
}

bool wefti_chan_has_waiter(void *chan) {
    return load_relaxed(&((struct chan *)chan)->recvq.first) != NULL;
}
