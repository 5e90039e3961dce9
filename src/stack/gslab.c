/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs of Gs and the free lists over them; gslab.h says why they are never given back. */
#include "gslab.h"

#include "../base/sanitize.h"
#include "../os/os.h"

#define SLAB ((size_t)1 << 20)
#define BATCH 64u

struct gslab {
    struct gslab *next; /* in order of carving (atomic: read without the lock) */
    uint32_t carved;    /* Gs handed out of it so far (atomic) */
    uint32_t fits;
    struct g g[];
};

static struct {
    struct wefti_lock lock; /* guards all of it; rank WEFTI_RANK_GS */
    struct wefti_glist free;
    struct gslab *first, *last;
    struct g *kept; /* the one of a slab of before a fork */
} gs;

static bool add_slab(void) {
    struct gslab *slab = os_reserve(SLAB, 4096);
    if (!slab)
        return false;
    wefti_root_region(slab, SLAB);
    slab->fits = (uint32_t)((SLAB - offsetof(struct gslab, g)) / sizeof(struct g));
    if (gs.last)
        store_release(&gs.last->next, slab); /* pairs with wefti_g_foreach */
    else
        store_release(&gs.first, slab); /* pairs with wefti_g_foreach */
    gs.last = slab;
    return true;
}

static struct g *carve(void) {
    if ((!gs.last || gs.last->carved == gs.last->fits) && !add_slab())
        return NULL;
    struct g *gp = &gs.last->g[gs.last->carved];
    store_release(&gs.last->carved, gs.last->carved + 1); /* pairs with wefti_g_foreach */
    return gp;
}

#define push wefti_gfree_push
#define pop wefti_gfree_pop

struct g *wefti_g_refill(struct p *pp) {
    wefti_lock(&gs.lock);
    struct g *gp = gs.free.n > 0 ? pop(&gs.free) : carve();
    for (uint32_t i = 1; i < BATCH && gs.free.n > 0; i++)
        push(&pp->gfree, pop(&gs.free));
    wefti_unlock(&gs.lock);
    return gp;
}

void wefti_g_spill(struct p *pp) {
    struct g *newest = pop(&pp->gfree); /* a goroutine that ends may still stand on its stack */
    wefti_lock(&gs.lock);
    for (uint32_t i = 0; i < BATCH; i++)
        push(&gs.free, pop(&pp->gfree));
    wefti_unlock(&gs.lock);
    push(&pp->gfree, newest);
}

void wefti_g_flush(struct p *pp) {
    wefti_lock(&gs.lock);
    while (pp->gfree.n > 0)
        push(&gs.free, pop(&pp->gfree));
    wefti_unlock(&gs.lock);
}

void wefti_g_after_fork(struct g *gp) {
    gs.lock = (struct wefti_lock){0};
    gs.free = (struct wefti_glist){0};
    gs.first = gs.last = NULL;
    gs.kept = gp;
}

void wefti_g_foreach(bool (*fn)(struct g *gp, void *arg), void *arg) {
    if (gs.kept && !fn(gs.kept, arg))
        return;
    for (struct gslab *s = load_acquire(&gs.first); s;
         s = load_acquire(&s->next)) {         /* pairs with add_slab */
        uint32_t n = load_acquire(&s->carved); /* pairs with carve */
        for (uint32_t i = 0; i < n; i++)
            if (!fn(&s->g[i], arg))
                return;
    }
}
