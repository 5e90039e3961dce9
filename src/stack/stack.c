/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack reserve; stack.h has the layout and the two ways of guarding.
 *
 * One lock (rank WEFTI_RANK_STACK) guards the reserve, the slabs and their bitmaps. A P's cache is
 * the P's own. Slots move between the two in batches of half a cache, so the lock is rare where
 * goroutines come and go.
 *
 * Invariant: for each class, slots made or still uncut in `ranges` >= promises given. Promises of
 * the default class are taken by a P in batches of PROMISE_BATCH, so that making a goroutine is a
 * decrement.
 */
#include "stack.h"

#include <string.h>

#include "../base/heap.h"
#include "../base/sanitize.h"
#include "../os/os.h"

#define SLAB ((size_t)2 << 20)
#define RANGE ((size_t)1 << 30)
#define PROMISE_BATCH 32
#define MAX_SLOTS (SLAB / WEFTI_STACK_MIN)

static struct {
    struct wefti_lock lock;
    bool ready, protect, executable;
    char *range, *range_end; /* not yet cut into slabs */
    char *range_start;
    struct wefti_slab *partial[WEFTI_STACK_CLASSES]; /* slabs with free slots, guards in place */
    struct wefti_slab *fresh[WEFTI_STACK_CLASSES];   /* slabs that only back promises so far */
    int64_t slots[WEFTI_STACK_CLASSES];              /* cut or set aside */
    int64_t promised[WEFTI_STACK_CLASSES];
    long mappings;     /* still to be spent on mprotect guards … */
    long mappings_few; /* … from here on, on one guard a slab */
} reserve;

unsigned wefti_stack_default;

static size_t class_bytes(unsigned class) {
    return WEFTI_STACK_MIN << class;
}

static size_t slab_bytes(unsigned class) {
    return class_bytes(class) > SLAB ? class_bytes(class) : SLAB;
}

static unsigned slab_slots(unsigned class) {
    return (unsigned)(slab_bytes(class) / class_bytes(class));
}

void wefti_stack_init(bool protect) {
    reserve.executable = os_executable_stacks();
    if (reserve.ready)
        return;
    reserve.ready = true;
    reserve.protect = true;
    long most = os_max_mappings();
    reserve.mappings = most / 4 * 3; /* the program has some of its own */
    reserve.mappings_few = most / 4;
/* LeakSanitizer reads whole slabs, and only mappings tell it what it may not. */
#ifndef WEFTI_ASAN
    if (!protect) {
        char *probe = os_reserve(4096, 4096);
        if (probe) {
            reserve.protect = !os_guard_install(probe, 4096);
            os_release(probe, 4096);
        }
    }
#else
    (void)protect;
#endif
}

void wefti_stack_set_default(size_t size) {
    int class = size ? wefti_stack_class(size) : 0;
    wefti_stack_default = class > 0 ? (unsigned)class : 0;
}

int wefti_stack_class(size_t size) {
    if (size == 0)
        return (int)wefti_stack_default;
    for (int c = 0; c < WEFTI_STACK_CLASSES; c++)
        if (class_bytes((unsigned)c) >= size)
            return c;
    return -1;
}

/* ---- the reserve; all under the lock ---- */

static bool grow_range(size_t need) {
    for (size_t size = RANGE; size >= need; size /= 4) {
        char *start = os_reserve(size, SLAB);
        if (start) {
            os_no_huge_pages(start, size);
            reserve.range = reserve.range_start = start;
            reserve.range_end = start + size;
            return true;
        }
    }
    return false;
}

/* LeakSanitizer reads the list of all mappings once for each root region: one region for all slabs
 * of a range. */
static void extend_root_region(char *end) {
    size_t before = (size_t)(reserve.range - reserve.range_start);
    if (before > 0)
        wefti_root_region_gone(reserve.range_start, before);
    wefti_root_region(reserve.range_start, (size_t)(end - reserve.range_start));
}

static char *cut_range(size_t size) {
    if (size > RANGE / 4) {
        char *start = os_reserve(size, SLAB);
        if (start)
            wefti_root_region(start, size);
        return start;
    }
    if ((size_t)(reserve.range_end - reserve.range) < size && !grow_range(size))
        return NULL;
    char *start = reserve.range;
    extend_root_region(start + size);
    reserve.range += size;
    return start;
}

static void list_slab(struct wefti_slab *slab) {
    if (slab->listed)
        return;
    slab->listed = 1;
    slab->next = reserve.partial[slab->class];
    reserve.partial[slab->class] = slab;
}

static struct wefti_slab *make_slab(unsigned class) {
    struct wefti_slab *slab = wefti_heap_alloc(NULL, sizeof *slab);
    if (!slab)
        return NULL;
    memset(slab, 0, sizeof *slab);
    slab->start = cut_range(slab_bytes(class));
    if (!slab->start) {
        wefti_heap_free(NULL, slab, sizeof *slab);
        return NULL;
    }
    slab->class = (uint8_t) class;
    slab->slot_size = class_bytes(class);
    unsigned n = slab_slots(class);
    slab->free = n == 32 ? UINT32_MAX : (1u << n) - 1;
    reserve.slots[class] += n;
    slab->next = reserve.fresh[class];
    reserve.fresh[class] = slab;
    return slab;
}

static bool guard(char *lo) {
    if (!reserve.protect)
        return os_guard_install(lo, WEFTI_STACK_GUARD);
    reserve.mappings -= 2;
    return os_guard_protect(lo, WEFTI_STACK_GUARD);
}

/* How many slots of a new slab get a guard: each; the lowest alone; none when mappings run out. */
static unsigned guards_for(unsigned slots) {
    if (!reserve.protect || reserve.mappings >= reserve.mappings_few + 2 * (long)slots)
        return slots;
    return reserve.mappings >= 2 ? 1 : 0;
}

/* Guards a slab when its first slot is bound: one that only backs promises costs no system call. */
static bool guard_slab(struct wefti_slab *slab) {
    unsigned slots = slab_slots(slab->class), n = guards_for(slots);
    if (reserve.executable && !os_make_executable(slab->start, slab_bytes(slab->class)))
        return false;
    for (unsigned i = 0; i < n; i++)
        if (!guard(slab->start + i * slab->slot_size))
            return false;
    slab->guarded = n == slots;
    return true;
}

/* A slab with a free slot, its guards in place. */
static struct wefti_slab *usable_slab(unsigned class) {
    if (reserve.partial[class])
        return reserve.partial[class];
    struct wefti_slab *slab = reserve.fresh[class];
    if (!slab && !(slab = make_slab(class)))
        return NULL;
    if (!guard_slab(slab))
        return NULL;
    reserve.fresh[class] = slab->next;
    list_slab(slab);
    return slab;
}

static bool take_slot(unsigned class, struct wefti_stack *stack) {
    struct wefti_slab *slab = usable_slab(class);
    if (!slab)
        return false;
    unsigned i = (unsigned)__builtin_ctz(slab->free);
    slab->free &= slab->free - 1;
    if (slab->free == 0) {
        reserve.partial[class] = slab->next;
        slab->listed = 0;
    }
    stack->lo = slab->start + i * slab->slot_size;
    stack->slab = slab;
    return true;
}

static void give_slot(struct wefti_stack *stack) {
    struct wefti_slab *slab = stack->slab;
    slab->free |= 1u << (unsigned)((size_t)(stack->lo - slab->start) / slab->slot_size);
    list_slab(slab);
}

static bool promise(unsigned class, int64_t n) {
    while (reserve.promised[class] + n > reserve.slots[class])
        if (!make_slab(class))
            return false;
    reserve.promised[class] += n;
    return true;
}

/* ---- promises ---- */

bool wefti_stack_promise_slow(struct p *pp, unsigned class) {
    bool batch = class == wefti_stack_default;
    wefti_lock(&reserve.lock);
    bool ok = batch && promise(class, PROMISE_BATCH);
    if (ok)
        pp->promises += PROMISE_BATCH - 1;
    else
        ok = promise(class, 1);
    wefti_unlock(&reserve.lock);
    return ok;
}

void wefti_stack_unpromise_slow(unsigned class) {
    wefti_lock(&reserve.lock);
    reserve.promised[class]--;
    wefti_unlock(&reserve.lock);
}

/* ---- binding ---- */

static bool refill(struct p *pp) {
    wefti_lock(&reserve.lock);
    while (pp->nstacks < WEFTI_STACK_CACHE / 2 &&
           take_slot(wefti_stack_default, &pp->stacks[pp->nstacks]))
        pp->nstacks++;
    wefti_unlock(&reserve.lock);
    return pp->nstacks > 0;
}

static bool bind_other(struct g *gp) {
    wefti_lock(&reserve.lock);
    bool ok = take_slot(gp->stack_class, &gp->stack);
    wefti_unlock(&reserve.lock);
    return ok;
}

bool wefti_stack_bind_slow(struct p *pp, struct g *gp) {
    if (gp->stack_class != wefti_stack_default) {
        if (!bind_other(gp))
            return false;
    } else {
        if (pp->nstacks == 0 && !refill(pp))
            return false;
        gp->stack = pp->stacks[--pp->nstacks];
    }
    if (!gp->stack.slab->guarded)
        gp->special |= WEFTI_SPECIAL_UNGUARDED;
    return true;
}

/* The oldest of a full cache go, so that the newest stay hot. */
static void spill(struct p *pp) {
    wefti_lock(&reserve.lock);
    for (unsigned i = 0; i < WEFTI_STACK_CACHE / 2; i++)
        give_slot(&pp->stacks[i]);
    wefti_unlock(&reserve.lock);
    memmove(pp->stacks, pp->stacks + WEFTI_STACK_CACHE / 2, sizeof pp->stacks / 2);
    pp->nstacks = WEFTI_STACK_CACHE / 2;
}

void wefti_stack_unbind_slow(struct p *pp, struct g *gp) {
    if (gp->stack_class != wefti_stack_default) {
        wefti_lock(&reserve.lock);
        give_slot(&gp->stack);
        wefti_unlock(&reserve.lock);
    } else {
        spill(pp);
        pp->stacks[pp->nstacks++] = gp->stack;
    }
    gp->stack.slab = NULL;
}

void wefti_stack_flush(struct p *pp) {
    wefti_lock(&reserve.lock);
    while (pp->nstacks > 0)
        give_slot(&pp->stacks[--pp->nstacks]);
    reserve.promised[wefti_stack_default] -= pp->promises;
    pp->promises = 0;
    wefti_unlock(&reserve.lock);
}

void wefti_stack_after_fork(const struct g *gp) {
    reserve.lock = (struct wefti_lock){0};
    reserve.range = reserve.range_end = NULL;
    memset(reserve.partial, 0, sizeof reserve.partial);
    memset(reserve.fresh, 0, sizeof reserve.fresh);
    memset(reserve.slots, 0, sizeof reserve.slots);
    memset(reserve.promised, 0, sizeof reserve.promised);
    if (gp && gp->stack.slab) {
        gp->stack.slab->listed = 0; /* its free slots may be used: nobody else knows of them */
        reserve.slots[gp->stack_class] = reserve.promised[gp->stack_class] = 1;
    }
}
