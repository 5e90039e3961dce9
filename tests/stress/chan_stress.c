/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels of every capacity under senders, receivers, selects and closes, all at random.
 *
 * Each value says who sent it, through which channel, and its number with that sender.  A sender
 * notes for every number whether its send succeeded; receivers count every arrival.  When a round
 * is over, each number must have arrived exactly once when its send succeeded, and never when it
 * failed.  Moreover each receiver must see the numbers of one sender through one channel in rising
 * order, whatever happened in between.
 *
 * Rounds alternate between 8-byte values, which travel by value, and 40-byte ones, which do not.
 * Each channel has one receiver of its own that stays to the close, so nobody is stuck.
 */
#include "stress.h"

enum { CHAN_MOST = 8, CHAN_SENDERS = 12, CHAN_SELECTORS = 6, CHAN_NUMBERS = 400 };

struct chan_large {
    uint64_t tag, pad[3], copy;
};

/* Channels of one round are all of one kind. */
struct chan_round {
    bool large;
    int channels, senders, numbers;
    weft_chan(uint64_t) small[CHAN_MOST];
    weft_chan(struct chan_large) big[CHAN_MOST];
    _Atomic bool closed[CHAN_MOST];
    _Atomic uint8_t sent[CHAN_SENDERS][CHAN_NUMBERS], arrived[CHAN_SENDERS][CHAN_NUMBERS];
    weft_wg senders_wg, receivers_wg;
};

struct chan_worker {
    struct chan_round *round;
    struct stress_rand rand;
    int me;
    int last[CHAN_SENDERS][CHAN_MOST]; /* of a receiver: the highest number seen, plus 1 */
};

static _Atomic uint64_t chan_moved;

static uint64_t chan_tag(int sender, int channel, int number) {
    return (uint64_t)sender << 40 | (uint64_t)channel << 32 | (uint64_t)number;
}

static struct chan_large chan_grow(uint64_t tag) {
    return (struct chan_large){tag, {tag + 1, tag + 2, tag + 3}, tag};
}

static void chan_arrive(struct chan_worker *w, int channel, uint64_t tag) {
    struct chan_round *r = w->round;
    int sender = (int)(tag >> 40), through = (int)(tag >> 32 & 0xff), number = (int)(uint32_t)tag;
    if (sender >= r->senders || through != channel || number >= r->numbers)
        STRESS_FAIL("channel %d brought a value that nobody sent: %#" PRIx64, channel, tag);
    if (number < w->last[sender][channel])
        STRESS_FAIL("channel %d, sender %d: number %d after %d", channel, sender, number,
                    w->last[sender][channel] - 1);
    w->last[sender][channel] = number + 1;
    atomic_fetch_add(&r->arrived[sender][number], 1);
    atomic_fetch_add_explicit(&chan_moved, 1, memory_order_relaxed);
}

static void chan_arrive_large(struct chan_worker *w, int channel, const struct chan_large *v) {
    struct chan_large whole = chan_grow(v->tag);
    if (memcmp(&whole, v, sizeof whole) != 0)
        STRESS_FAIL("channel %d brought a torn value", channel);
    chan_arrive(w, channel, v->tag);
}

/* ---- receivers ---- */

static void chan_check_zeroed(const struct chan_large *v) {
    static const struct chan_large zero;
    STRESS_CHECK(memcmp(v, &zero, sizeof zero) == 0);
}

/* One receive; false when the channel is closed and empty. */
static bool chan_receive(struct chan_worker *w, int c) {
    struct chan_round *r = w->round;
    struct chan_large v = chan_grow(77);
    bool ok = r->large ? weft_recv(r->big[c], &v) : weft_recv(r->small[c], &v.tag);
    if (!ok) {
        STRESS_CHECK(errno == EPIPE);
        STRESS_CHECK(v.tag == 0);
        if (r->large)
            chan_check_zeroed(&v);
        return false;
    }
    if (r->large)
        chan_arrive_large(w, c, &v);
    else
        chan_arrive(w, c, v.tag);
    return true;
}

static void chan_stay_at_one(struct chan_worker *w) {
    while (chan_receive(w, w->me))
        stress_rest(&w->rand);
}

static void chan_try(struct chan_worker *w, int c) {
    struct chan_round *r = w->round;
    struct chan_large v;
    if (r->large ? weft_try_recv(r->big[c], &v) : weft_try_recv(r->small[c], &v.tag)) {
        if (r->large)
            chan_arrive_large(w, c, &v);
        else
            chan_arrive(w, c, v.tag);
    } else {
        STRESS_CHECK(errno == EAGAIN || errno == EPIPE);
    }
}

/* A random part of the channels that are open for this receiver, in random order. */
static int chan_pick(struct chan_worker *w, const bool *over, int *picked) {
    int n = 0;
    for (int c = 0; c < w->round->channels; c++)
        if (!over[c] && !stress_one_in(&w->rand, 3))
            picked[n++] = c;
    for (int i = n - 1; i > 0; i--) {
        int k = stress_below(&w->rand, i + 1), other = picked[i];
        picked[i] = picked[k];
        picked[k] = other;
    }
    return n;
}

static void chan_select_receive(struct chan_worker *w, bool *over, int *left) {
    struct chan_round *r = w->round;
    struct weft_case cases[CHAN_MOST + 1];
    struct chan_large v[CHAN_MOST];
    bool ok[CHAN_MOST];
    int picked[CHAN_MOST], n = chan_pick(w, over, picked), all = n;
    for (int i = 0; i < n; i++) {
        v[i] = chan_grow(5);
        cases[i] = r->large ? weft_case_recv_ok(r->big[picked[i]], &v[i], &ok[i])
                            : weft_case_recv_ok(r->small[picked[i]], &v[i].tag, &ok[i]);
    }
    if (n == 0 || stress_one_in(&w->rand, 4))
        cases[all++] = weft_case_default();
    else if (stress_one_in(&w->rand, 4))
        cases[all++] = weft_case_after(stress_below(&w->rand, 300) * WEFT_MICROSECOND);
    int chosen = weft_select_n(cases, (size_t)all);
    STRESS_CHECK(chosen >= 0 && chosen < all);
    for (int i = 0; i < n; i++)
        if (i != chosen)
            STRESS_CHECK(v[i].tag == 5); /* only the chosen case writes */
    if (chosen >= n)
        return;
    if (!ok[chosen]) {
        STRESS_CHECK(v[chosen].tag == 0);
        over[picked[chosen]] = true;
        --*left;
    } else if (r->large) {
        chan_arrive_large(w, picked[chosen], &v[chosen]);
    } else {
        chan_arrive(w, picked[chosen], v[chosen].tag);
    }
}

static void chan_roam(struct chan_worker *w) {
    bool over[CHAN_MOST] = {false};
    int left = w->round->channels;
    while (left > 0) {
        if (stress_one_in(&w->rand, 5))
            chan_try(w, stress_below(&w->rand, w->round->channels));
        chan_select_receive(w, over, &left);
        stress_rest(&w->rand);
    }
}

/* ---- senders ---- */

enum chan_answer { CHAN_SENT, CHAN_CLOSED, CHAN_NOT_NOW };

static enum chan_answer chan_send_to(struct chan_worker *w, int c, int number, bool try) {
    struct chan_round *r = w->round;
    uint64_t tag = chan_tag(w->me, c, number);
    bool ok;
    if (r->large)
        ok = try ? weft_try_send(r->big[c], chan_grow(tag)) : weft_send(r->big[c], chan_grow(tag));
    else
        ok = try ? weft_try_send(r->small[c], tag) : weft_send(r->small[c], tag);
    if (ok)
        return CHAN_SENT;
    STRESS_CHECK(errno == EPIPE || (try && errno == EAGAIN));
    if (errno == EAGAIN)
        return CHAN_NOT_NOW;
    STRESS_CHECK(atomic_load(&r->closed[c]));
    return CHAN_CLOSED;
}

static enum chan_answer chan_select_send(struct chan_worker *w, bool *over, int *left, int number) {
    struct chan_round *r = w->round;
    struct weft_case cases[CHAN_MOST + 1];
    struct chan_large v[CHAN_MOST];
    bool ok[CHAN_MOST];
    int picked[CHAN_MOST], n = chan_pick(w, over, picked), all = n;
    bool answers = !r->large; /* a send_from has no answer of its own: EPIPE ends the select */
    for (int i = 0; i < n; i++) {
        uint64_t tag = chan_tag(w->me, picked[i], number);
        v[i] = chan_grow(tag);
        cases[i] = r->large ? weft_case_send_from(r->big[picked[i]], &v[i])
                            : weft_case_send_ok(r->small[picked[i]], tag, &ok[i]);
    }
    if (n == 0 || stress_one_in(&w->rand, 4))
        cases[all++] = weft_case_default();
    int chosen = weft_select_n(cases, (size_t)all);
    if (chosen == -1) {
        STRESS_CHECK(!answers && errno == EPIPE);
        return CHAN_NOT_NOW;
    }
    if (chosen >= n)
        return CHAN_NOT_NOW;
    if (!answers || ok[chosen])
        return CHAN_SENT;
    STRESS_CHECK(atomic_load(&r->closed[picked[chosen]]));
    over[picked[chosen]] = true;
    --*left;
    return CHAN_NOT_NOW;
}

static bool chan_send_number(struct chan_worker *w, bool *over, int *left, int number) {
    while (*left > 0) {
        int c = stress_below(&w->rand, w->round->channels);
        enum chan_answer a;
        if (stress_one_in(&w->rand, 3))
            a = chan_select_send(w, over, left, number);
        else if (over[c])
            continue;
        else
            a = chan_send_to(w, c, number, stress_one_in(&w->rand, 4));
        if (a == CHAN_SENT)
            return true;
        if (a == CHAN_CLOSED) {
            over[c] = true;
            --*left;
        }
        weft_yield();
    }
    return false;
}

static void chan_send_all(struct chan_worker *w) {
    bool over[CHAN_MOST] = {false};
    int left = w->round->channels;
    for (int i = 0; i < w->round->numbers; i++) {
        if (!chan_send_number(w, over, &left, i))
            break;
        atomic_store(&w->round->sent[w->me][i], 1);
        stress_rest(&w->rand);
    }
}

/* ---- a round ---- */

static void chan_close_one(struct chan_round *r, int c) {
    if (atomic_exchange(&r->closed[c], true))
        return;
    if (r->large)
        weft_chan_close(r->big[c]);
    else
        weft_chan_close(r->small[c]);
}

static void chan_close_early(struct chan_worker *w) {
    for (int i = 0; i < w->round->channels; i++) {
        weft_sleep(stress_below(&w->rand, 1500) * WEFT_MICROSECOND);
        chan_close_one(w->round, stress_below(&w->rand, w->round->channels));
    }
}

static void chan_account(struct chan_round *r) {
    for (int s = 0; s < r->senders; s++)
        for (int i = 0; i < r->numbers; i++)
            if (atomic_load(&r->sent[s][i]) != atomic_load(&r->arrived[s][i]))
                STRESS_FAIL("sender %d, number %d: sent %d times, arrived %d times", s, i,
                            atomic_load(&r->sent[s][i]), atomic_load(&r->arrived[s][i]));
}

static struct chan_worker *chan_worker(struct chan_worker *w, struct chan_round *r,
                                       struct stress_rand *rand, int me) {
    memset(w, 0, sizeof *w);
    w->round = r;
    w->rand = stress_split(rand);
    w->me = me;
    return w;
}

static void chan_open(struct chan_round *r, struct stress_rand *rand) {
    memset(r, 0, sizeof *r);
    r->large = stress_one_in(rand, 2);
    r->channels = 1 + stress_below(rand, CHAN_MOST);
    r->senders = 1 + stress_below(rand, CHAN_SENDERS);
    r->numbers = 1 + stress_below(rand, stress_scale(CHAN_NUMBERS));
    for (int c = 0; c < r->channels; c++) {
        size_t capacity = stress_one_in(rand, 2) ? 0 : (size_t)stress_below(rand, 17);
        if (r->large)
            r->big[c] = weft_chan_make(struct chan_large, capacity);
        else
            r->small[c] = weft_chan_make(uint64_t, capacity);
    }
}

static void chan_round(struct chan_round *r, struct chan_worker *workers,
                       struct stress_rand *rand) {
    int used = 0;
    chan_open(r, rand);
    for (int c = 0; c < r->channels; c++)
        weft_wg_go(&r->receivers_wg, chan_stay_at_one, chan_worker(&workers[used++], r, rand, c));
    for (int i = stress_below(rand, CHAN_SELECTORS + 1); i > 0; i--)
        weft_wg_go(&r->receivers_wg, chan_roam, chan_worker(&workers[used++], r, rand, i));
    for (int s = 0; s < r->senders; s++)
        weft_wg_go(&r->senders_wg, chan_send_all, chan_worker(&workers[used++], r, rand, s));
    if (stress_one_in(rand, 3))
        weft_wg_go(&r->senders_wg, chan_close_early, chan_worker(&workers[used++], r, rand, 0));
    weft_wg_wait(&r->senders_wg);
    for (int c = 0; c < r->channels; c++)
        chan_close_one(r, c);
    weft_wg_wait(&r->receivers_wg);
    chan_account(r);
    for (int c = 0; c < r->channels; c++) {
        if (r->large)
            weft_chan_unref(r->big[c]);
        else
            weft_chan_unref(r->small[c]);
    }
}

static int chan_rounds(struct stress_rand rand) {
    struct chan_round *round = malloc(sizeof *round);
    struct chan_worker *workers =
        calloc(CHAN_MOST + CHAN_SELECTORS + CHAN_SENDERS + 1, sizeof *workers);
    int rounds = 0;
    do {
        chan_round(round, workers, &rand);
        rounds++;
    } while (stress_more());
    free(workers);
    free(round);
    return rounds;
}

#ifndef STRESS_MIXED
static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    int rounds = chan_rounds(stress_begin("chan_stress"));
    return stress_passed("%d rounds, %" PRIu64 " values", rounds, atomic_load(&chan_moved));
}
WEFT_MAIN(app)
#endif
