/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goroutine stacks.
 *
 *   reserve  address space of 1 GB at a time (less when the process has little), never given back
 *   slab     2 MB of it, cut into slots of one size class; a larger class has slabs of one slot
 *   slot     a stack: 64 KB << class, memory committed by touch; its lowest 16 KB are the guard
 *
 *        lo                 lo + GUARD                                   lo + size
 *        | guard: no access |  usable, grows down  <----------------------- sp   |
 *
 * A goroutine gets its slot at its first run, not when it is made: a million unstarted goroutines
 * need none, and those that run to completion share a hot one. What wefti_stack_promise counts is
 * that a slot can be had then: the reserve holds at least as many slots of each class as goroutines
 * were promised one.
 *
 * Guards, two ways, chosen once per process:
 *   install  madvise(MADV_GUARD_INSTALL): no mapping is split (Linux 6.13 and later)
 *   protect  mprotect(PROT_NONE): two mappings a slot, of which the kernel allows some 65,000. Slabs
 *            made when half of those are used have one guard, below their lowest slot, and none once
 *            three quarters are; their goroutines' stack pointers are checked whenever they switch
 *            away (WEFTI_SPECIAL_UNGUARDED), so that an overflow is found late there, but found.
 *
 * Free slots are last in, first out: per P for the default class, then in the slabs' bitmaps.
 */
#ifndef WEFTI_STACK_STACK_H
#define WEFTI_STACK_STACK_H

#include "../base/sanitize.h"
#include "../rt/rt.h"

#define WEFTI_STACK_MIN ((size_t)65536)
#define WEFTI_STACK_GUARD ((size_t)16384)
#define WEFTI_STACK_CLASSES 15 /* up to 1 GB */

struct wefti_slab {
    char *start;
    size_t slot_size;
    uint32_t free; /* bitmap of free slots; stack lock */
    uint8_t class;
    uint8_t guarded;         /* each slot has a guard */
    uint8_t listed;          /* on the class's list of slabs with free slots; stack lock */
    struct wefti_slab *next; /* that list */
};

/* Before the first use in a process; `protect` takes the second way of guarding. */
void wefti_stack_init(bool protect);
/* The class of a stack of at least `size` bytes (0: the default, WEFT_STACK or 64 KB); -1 when over
 * 1 GB. */
int wefti_stack_class(size_t size);
void wefti_stack_set_default(size_t size);

extern unsigned wefti_stack_default; /* the default class; constant during a run */

bool wefti_stack_promise_slow(struct p *pp, unsigned class);
void wefti_stack_unpromise_slow(unsigned class);
bool wefti_stack_bind_slow(struct p *pp, struct g *gp);
void wefti_stack_unbind_slow(struct p *pp, struct g *gp);
#define WEFTI_STACK_PROMISES 128 /* that a P keeps at most */

/* Makes sure that one more stack of the class can be had later; false when there is no room. */
static inline bool wefti_stack_promise(struct p *pp, unsigned class) {
    if (unlikely(class != wefti_stack_default || pp->promises == 0))
        return wefti_stack_promise_slow(pp, class);
    pp->promises--;
    return true;
}

static inline void wefti_stack_unpromise(struct p *pp, unsigned class) {
    if (unlikely(class != wefti_stack_default || pp->promises >= WEFTI_STACK_PROMISES))
        wefti_stack_unpromise_slow(class);
    else
        pp->promises++;
}

/* Binds a promised stack. False when the system refuses (limits of mappings): try again later. */
static inline bool wefti_stack_bind(struct p *pp, struct g *gp) {
    if (unlikely(gp->stack_class != wefti_stack_default || pp->nstacks == 0 ||
                 !pp->stacks[pp->nstacks - 1].slab->guarded))
        return wefti_stack_bind_slow(pp, gp);
    gp->stack = pp->stacks[--pp->nstacks];
    return true;
}

/* Its stack goes to the P's own list, where nobody else takes it: who still stands on it may do
 * this. */
static inline bool wefti_stack_stays_local(const struct g *gp) {
    return gp->stack_class == wefti_stack_default;
}

static inline void wefti_stack_unbind(struct p *pp, struct g *gp) {
    wefti_unpoison(gp->stack.lo + WEFTI_STACK_GUARD,
                   (WEFTI_STACK_MIN << gp->stack_class) - WEFTI_STACK_GUARD);
    if (unlikely(!wefti_stack_stays_local(gp) || pp->nstacks == WEFTI_STACK_CACHE)) {
        wefti_stack_unbind_slow(pp, gp);
        return;
    }
    pp->stacks[pp->nstacks++] = gp->stack;
    gp->stack.slab = NULL;
}

/* A P goes: its cached stacks and promises return to the reserve. */
void wefti_stack_flush(struct p *pp);
/* In a fork's child: all stacks but gp's (NULL: none) are forgotten. */
void wefti_stack_after_fork(const struct g *gp);

static inline size_t wefti_stack_size(const struct g *gp) {
    return WEFTI_STACK_MIN << gp->stack_class;
}
static inline char *wefti_stack_top(const struct g *gp) {
    return gp->stack.lo + wefti_stack_size(gp);
}
/* A goroutine of an unguarded slab whose stack pointer is below its usable range has overflowed. */
static inline bool wefti_stack_overflowed(const struct g *gp, const void *sp) {
    return unlikely(!gp->stack.slab->guarded) &&
           (const char *)sp < gp->stack.lo + WEFTI_STACK_GUARD;
}
/* True when a fault at `address` is a goroutine's overflow into its guard. */
static inline bool wefti_stack_in_guard(const struct g *gp, const void *address) {
    return gp->stack.slab && (const char *)address >= gp->stack.lo - WEFTI_STACK_GUARD &&
           (const char *)address < gp->stack.lo + WEFTI_STACK_GUARD;
}

#endif
