/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels inside: the object, and what other parts of the runtime do with one.
 *
 * How elements travel. Values of up to 8 and up to 16 bytes go as one or two words; larger ones in
 * a box, a block of the runtime's memory whose address is the word. So no waker ever touches
 * another goroutine's stack, and the user's memory is read before a call enters the runtime and
 * written after it has left it.
 */
#ifndef WEFTI_CHAN_CHAN_H
#define WEFTI_CHAN_CHAN_H

#include <string.h>
#include <weft/chan.h>

#include "../sched/sched.h"
#include "../sched/state.h"

/*
 * Invariants, under the lock:
 *   - with buffered elements no receiver waits; with room in the buffer no sender waits
 *   - sendq and recvq are not both non-empty, but for selects that wait on both sides of one channel
 *   - a closed channel has no unclaimed waiters
 * A queue may hold sudogs whose wait another has won (cancelled, or a select gone elsewhere): they
 * are skipped.
 */
struct chan {
    uint32_t lock; /* P-lock, rank WEFTI_RANK_CHAN; guards all but what says otherwise */
    uint8_t closed;
    uint8_t two;   /* an element is two words; constant */
    uint8_t boxed; /* an element is a box; constant */
    uint8_t pad;
    uint32_t elem;  /* size of an element in bytes; constant */
    uint32_t cap;   /* constant */
    uint32_t count; /* elements in the ring */
    uint32_t head;  /* the oldest */
    uint64_t *ring; /* cap elements of one or two words; constant */
    struct wefti_waitq recvq, sendq;

    uint64_t refs; /* atomic */
    uint64_t run;  /* the run that its waiters are of */
    char name[WEFTI_NAME_SIZE];
} __attribute__((aligned(16)));

struct words {
    uint64_t w[2];
};

static inline void wefti_chan_lock(struct m *mp, struct chan *c) {
    wefti_plock(mp, &c->lock, WEFTI_RANK_CHAN);
}

static inline void wefti_chan_unlock(struct m *mp, struct chan *c) {
    wefti_punlock(mp, &c->lock, WEFTI_RANK_CHAN);
}

/* Waiters of an earlier run are gone, and their sudogs with them. With the lock, before a queue is
 * touched. */
static inline void wefti_chan_forget(struct chan *c) {
    if (unlikely(c->run != load_relaxed(&S.run))) {
        c->recvq = c->sendq = (struct wefti_waitq){0};
        c->run = load_relaxed(&S.run);
    }
}

/* The first waiter whose wait this call wins; NULL if there is none. With the lock. */
static inline struct sudog *wefti_chan_claim(struct m *mp, struct chan *c, struct wefti_waitq *q) {
    struct sudog *sg;
    if (q->first)
        wefti_chan_forget(c);
    while ((sg = wefti_waitq_pop(q)) != NULL)
        if (likely(wefti_claim(mp, sg->g, sg->ticket)))
            return sg;
    return NULL;
}

static inline uint64_t *wefti_chan_slot(struct chan *c, uint32_t i) {
    return c->ring + ((size_t)i << c->two);
}

static inline void wefti_chan_put(struct chan *c, struct words v) {
    uint32_t at = c->head + c->count;
    if (at >= c->cap || at < c->head)
        at -= c->cap;
    uint64_t *slot = wefti_chan_slot(c, at);
    slot[0] = v.w[0];
    if (c->two)
        slot[1] = v.w[1];
    store_relaxed(&c->count, c->count + 1); /* weft_chan_len looks without the lock */
}

static inline struct words wefti_chan_get(struct chan *c) {
    uint64_t *slot = wefti_chan_slot(c, c->head);
    struct words v = {{slot[0], c->two ? slot[1] : 0}};
    if (++c->head == c->cap)
        c->head = 0;
    store_relaxed(&c->count, c->count - 1);
    return v;
}

/* Ends a claimed wait: it may run from here on, and nothing of it may be touched any more. */
static inline void wefti_chan_wake(struct m *mp, struct sudog *sg, enum wefti_wake wake) {
    sg->g->wake = (uint8_t)wake;
    sg->g->woke = sg;
    wefti_ready(mp, sg->g);
}

/*
 * The core of an operation that need not wait, with the lock, which it gives back. SENT and GOT: it
 * is done. WAIT: it could not be done, and the lock is still held. CLOSED: the channel is closed
 * (and empty).
 */
enum chan_result { CHAN_DONE, CHAN_CLOSED, CHAN_WAIT };
enum chan_result wefti_chan_send_now(struct m *mp, struct chan *c, struct words v);

bool wefti_chan_pack_slow(struct chan *c, const void *value, struct words *v);
void wefti_chan_unpack_slow(struct chan *c, struct words v, void *into);

/* User memory to words and back; outside the runtime. pack: false without memory for a box. */
static inline bool wefti_chan_pack(struct chan *c, const void *value, struct words *v) {
    if (unlikely(c->elem != 8))
        return wefti_chan_pack_slow(c, value, v);
    memcpy(v->w, value, 8);
    v->w[1] = 0;
    return true;
}

static inline void wefti_chan_unpack(struct chan *c, struct words v, void *into) {
    if (unlikely(c->elem != 8 || !into))
        wefti_chan_unpack_slow(c, v, into);
    else
        memcpy(into, v.w, 8);
}

/* Words that reached nobody. */
void wefti_chan_drop(struct m *mp, struct chan *c, struct words v);
/* Sets errno for a wait that was cancelled, or a closed channel. */
void wefti_chan_fail(struct m *mp, int err);
int wefti_cancel_errno(struct g *gp);

/* ---- for timers, contexts, signals: with a P; none of these parks ---- */

void *wefti_chan_make_internal(struct m *mp, size_t elem, size_t cap);
void wefti_chan_ref_internal(void *chan);
void wefti_chan_unref_internal(struct m *mp, void *chan);
void wefti_chan_close_internal(struct m *mp, void *chan);
/* A send of one word that doesn't wait: false when there is no room. */
bool wefti_chan_post(struct m *mp, void *chan, uint64_t value);
/* Takes back a buffered element: true if there was one. */
bool wefti_chan_drain(struct m *mp, void *chan);
/* Somebody may be waiting to receive. Without the lock: for the deadlock check. */
bool wefti_chan_has_waiter(void *chan);

#endif
