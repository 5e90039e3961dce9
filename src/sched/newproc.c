/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The birth and the end of a goroutine.
 *
 * A G on a free list keeps these invariants, so that making one sets only what is its own: park
 * word 0, no stack, not bound, not locked, no defers, no keys, no context, no interest in its end,
 * timer disarmed, not one of the runtime's own. Its arguments wait in the G (they share room with
 * the sudog, which an unstarted goroutine has no use for).
 *
 * At its end a goroutine runs its deferred calls, last first, then the destructors of its
 * goroutine-local values, both as ordinary goroutine code; then, inside the runtime, what its group
 * or wait group has to say; and then its stack and G are free while it still stands on that stack:
 * both go on its own P's lists, which nobody else looks at before this M has left the stack. A
 * stack of another size goes to a list that all Ps share, so that one is freed by whoever runs next
 * on this M (WEFTI_POST_FREE).
 */
#include <string.h>
#include <weft/go.h>

#include "../base/sanitize.h"
#include "../runq/runq.h"
#include "../stack/gslab.h"
#include "../stack/stack.h"
#include "keys.h"
#include "state.h"

/* ---- birth ---- */

static uint64_t id_block(struct p *pp) {
    uint64_t n = S.seeded || pp->single ? 1u << 20 : 64;
    pp->goid = add_relaxed(&S.goids, n) + 1;
    pp->goid_end = pp->goid + n;
    return pp->goid++;
}

static void copy_name(char *to, const char *name) {
    size_t n = strnlen(name, WEFTI_NAME_SIZE - 1);
    for (size_t i = 0; i < n; i++)
        store_relaxed(&to[i], name[i]); /* a dump may read it meanwhile */
    store_relaxed(&to[n], 0);
}

/* A dead G made into a new one of the given stack class; NULL without memory or stacks. */
static inline struct g *birth(struct m *mp, unsigned class, const struct weft_impl_site *site,
                              void (*fn)(void)) {
    struct p *pp = mp->p;
    if (unlikely(mp->outside))
        wefti_fatal(
            "a goroutine can't be started: no runtime is running (weft_run or weft_start first)");
    if (unlikely(!wefti_stack_promise(pp, class)))
        return NULL;
    struct g *gp = wefti_g_take(pp);
    if (unlikely(!gp)) {
        wefti_stack_unpromise(pp, class);
        return NULL;
    }
    gp->stack_class = (uint8_t) class;
    gp->fn = fn;
    store_relaxed(&gp->site, site);
    store_relaxed(&gp->id, likely(pp->goid < pp->goid_end) ? pp->goid++ : id_block(pp));
    store_relaxed(&gp->creator, mp->curg ? mp->curg->id : 0);
    gp->special = WEFTI_SPECIAL_FRESH;
    gp->blocky = 0;
    store_relaxed(&gp->reason, WEFTI_WAIT_NONE);
    store_relaxed(&gp->name[0], 0);
    store_relaxed(&gp->status, WEFTI_G_RUNNABLE);
#ifdef WEFTI_TSAN
    if (gp->fiber) /* a goroutine's end never returns from its frames: its shadow stack is used up */
        __tsan_destroy_fiber(gp->fiber);
    gp->fiber = __tsan_create_fiber(0);
#endif
    struct wefti_ambient *ambient = mp->curg ? mp->curg->ambient : NULL;
    if (unlikely(ambient != NULL)) {
        wefti_ambient_ref(ambient);
        wefti_ambient_set(mp, gp, ambient);
    }
    return gp;
}

struct g *wefti_new_g(struct m *mp, const struct weft_attr *attr, const struct weft_impl_site *site,
                      void (*fn)(void), const uint64_t words[6]) {
    int class = wefti_stack_class(attr ? attr->stack_size : 0);
    if (class < 0)
        return NULL;
    struct g *gp = birth(mp, (unsigned)class, site, fn);
    if (!gp)
        return NULL;
    memcpy(gp->words, words, sizeof gp->words);
    if (attr && attr->name)
        copy_name(gp->name, attr->name);
    if (attr && attr->ctx) {
        wefti_ambient_ref((struct wefti_ambient *)attr->ctx);
        wefti_ambient_set(mp, gp, (struct wefti_ambient *)attr->ctx);
    }
    return gp;
}

static inline void submit(struct m *mp, struct g *gp) {
    store_relaxed(&mp->p->created, mp->p->created + 1);
    wefti_runq_add(mp, gp);
}

int wefti_newproc(struct m *mp, const struct weft_attr *attr, const struct weft_impl_site *site,
                  void (*fn)(void), const uint64_t words[6],
                  void (*done)(struct m *, struct g *, int), void *done_arg) {
    struct g *gp = wefti_new_g(mp, attr, site, fn, words);
    if (!gp)
        return ENOMEM;
    gp->done = done;
    gp->done_arg = done_arg;
    submit(mp, gp);
    return 0;
}

int wefti_newproc_system(struct m *mp, const char *name, const struct weft_impl_site *site,
                         void (*fn)(void)) {
    static const uint64_t none[6];
    const struct weft_attr attr = {.name = name};
    struct g *gp = wefti_new_g(mp, &attr, site, fn, none);
    if (!gp)
        return ENOMEM;
    wefti_ambient_set(mp, gp, NULL);
    store_relaxed(&gp->system, 1);
    wefti_runq_add(mp, gp);
    return 0;
}

static void check_fn(void (*fn)(void)) {
    if (unlikely(fn == NULL))
        wefti_fatal("go of nil func value");
}

int weft_impl_go(const struct weft_impl_site *site, void (*fn)(void), uint64_t a0, uint64_t a1,
                 uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) {
    check_fn(fn);
    struct m *mp = wefti_enter();
    struct g *gp = birth(mp, wefti_stack_default, site, fn);
    if (likely(gp != NULL)) {
        gp->words[0] = a0;
        gp->words[1] = a1;
        gp->words[2] = a2;
        gp->words[3] = a3;
        gp->words[4] = a4;
        gp->words[5] = a5;
        submit(mp, gp);
    } else {
        *mp->errnop = ENOMEM;
    }
    wefti_leave(mp);
    return gp ? 0 : -1;
}

int weft_impl_go_with(const struct weft_attr *attr, const struct weft_impl_site *site,
                      void (*fn)(void), const uint64_t *words) {
    check_fn(fn);
    struct weft_attr copy = attr ? *attr : (struct weft_attr){0};
    int err = copy.flags != 0 || copy.stack_size > WEFTI_STACK_MIN << (WEFTI_STACK_CLASSES - 1)
                  ? EINVAL
                  : 0;
    char name[WEFTI_NAME_SIZE];
    if (copy.name) {
        copy_name(name, copy.name);
        copy.name = name;
    }
    struct m *mp = wefti_enter();
    if (!err)
        err = wefti_newproc(mp, &copy, site, fn, words, NULL, NULL);
    if (err)
        *mp->errnop = err;
    wefti_leave(mp);
    return err ? -1 : 0;
}

/* ---- the end ---- */

static inline void count_end(struct m *mp, struct g *gp) {
    if (likely(!gp->system))
        store_release(&mp->p->ended, mp->p->ended + 1); /* pairs with wefti_live_goroutines */
    else
        store_relaxed(&gp->system, 0);
}

int wefti_live_goroutines(void) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < load_acquire(&S.nallp); i++)
        n += load_relaxed(&S.allp[i]->created) -
             load_acquire(&S.allp[i]->ended); /* what they did is seen by who sees them gone */
    return (int)n;
}

static inline void free_g(struct m *mp, struct g *gp) {
    struct p *pp = mp->p;
    store_relaxed(&gp->status, WEFTI_G_DEAD);
    gp->done = NULL;
    store_relaxed(&gp->main, 0);
    gp->special = 0;
    wefti_stack_unpromise(pp, gp->stack_class);
    if (gp->stack.slab)
        wefti_stack_unbind(pp, gp);
    wefti_g_give(pp, gp);
}

void wefti_free_g(struct m *mp, struct g *gp) {
    free_g(mp, gp);
}

static void run_defers(struct g *gp) {
    struct wefti_defer *d;
    while ((d = gp->defers) != NULL) {
        gp->defers = d->next;
        d->fn(d->arg);
        struct m *mp = wefti_enter();
        wefti_free(mp, d, sizeof *d);
        wefti_leave(mp);
    }
}

static inline void free_at_end(struct m *mp, struct g *gp) {
    if (likely(wefti_stack_stays_local(gp))) {
        free_g(mp, gp);
    } else {
        gp->post = WEFTI_POST_FREE;
        mp->after = gp;
    }
}

/* A locked goroutine takes its thread along; weft_run's own thread is needed at the end and only
 * parks. */
static void end_locked(struct m *mp, struct g *gp) {
    store_relaxed(&gp->locked, 0);
    wefti_bind(gp, NULL);
    store_relaxed(&mp->lockedg, NULL);
    mp->dying = 1;
    free_at_end(mp, gp);
    wefti_switch_to_g0(mp);
}

__attribute__((noreturn)) static void end_goroutine(struct g *gp, int result, bool returned) {
    if (unlikely(gp->defers != NULL))
        run_defers(gp);
    if (unlikely(gp->keys != NULL))
        wefti_keys_destroy(gp);
    struct m *mp = wefti_enter_park();
    if (unlikely(gp->done != NULL))
        gp->done(mp, gp, result);
    if (unlikely(gp->ambient != NULL))
        wefti_ambient_set(mp, gp, NULL);
    if (unlikely(gp->main)) {
        if (returned)
            wefti_end_run(mp, gp->main == WEFTI_MAIN_BY_FORK ? 0 : result);
        S.main_goexit = 1;
    }
    count_end(mp, gp);
    if (unlikely(gp->locked > 0))
        end_locked(mp, gp);
    free_at_end(mp, gp);
    wefti_switch_exit(mp, gp);
}

void wefti_goroutine_main(struct g *gp) {
    wefti_goroutine_begin(gp);
    wefti_leave(arch_getm());
    end_goroutine(gp, arch_call(gp->fn, gp->words), true);
}

void weft_goexit(void) {
    struct m *mp = wefti_enter_goroutine("weft_goexit");
    struct g *gp = mp->curg;
    if (mp->giveback == WEFTI_GIVEBACK || mp->depth > 0)
        wefti_fatal("weft_goexit inside weft_block");
    wefti_leave(mp);
    end_goroutine(gp, 0, false);
}

/* At the end of a run: the goroutine goes no further, whatever it was doing. */
void wefti_discard_g(struct m *mp, struct g *gp) {
    struct wefti_defer *d;
    while ((d = gp->defers) != NULL) {
        gp->defers = d->next;
        wefti_free(mp, d, sizeof *d);
    }
    wefti_keys_free(mp, gp);
    if (gp->ambient)
        wefti_ambient_set(mp, gp, NULL);
    gp->special = 0;
    gp->bound = NULL;
    store_relaxed(&gp->locked, 0);
    store_relaxed(&gp->captive, 0);
    gp->used = gp->away = 0;
    gp->timer.heap = NULL;
    store_relaxed(&gp->wait, 0);
    count_end(mp, gp);
    wefti_free_g(mp, gp);
}
