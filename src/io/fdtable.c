/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of descriptors: pages of records in a table of pages, made when a number is first met
 * and kept for the life of the process, so that a record may be looked at without a lock.
 */
#include "fdtable.h"

#include "../sched/netpoll.h"

#define PAGE 256u
#define PAGES ((1u << 31) / PAGE)

static struct wefti_fd *
    *pages;              /* room for every number there can be; committed by touch (atomic) */
static uint32_t highest; /* pages up to here may exist (atomic) */

static struct wefti_fd **page_slot(int fd) {
    struct wefti_fd **table = load_acquire(&pages); /* pairs with the swap in make_table */
    return table ? &table[(uint32_t)fd / PAGE] : NULL;
}

struct wefti_fd *wefti_fd_find(int fd) {
    struct wefti_fd **slot = page_slot(fd);
    struct wefti_fd *page = slot ? load_acquire(slot) : NULL; /* pairs with the swap in make_page */
    return page ? &page[(uint32_t)fd % PAGE] : NULL;
}

static struct wefti_fd **make_table(void) {
    size_t size = PAGES * sizeof *pages;
    struct wefti_fd **made = os_reserve(size, 4096), **none = NULL;
    if (made && !cas_acqrel(&pages, &none, made)) /* pairs with the load in page_slot */
        os_release(made, size);
    return load_acquire(&pages); /* another's, or this one */
}

static struct wefti_fd *make_page(struct wefti_fd **slot) {
    size_t size = PAGE * sizeof(struct wefti_fd);
    struct wefti_fd *made = os_reserve(size, 4096), *none = NULL;
    if (made && !cas_acqrel(slot, &none, made)) /* pairs with the load in wefti_fd_find */
        os_release(made, size);
    return load_acquire(slot); /* another's, or this one */
}

struct wefti_fd *wefti_fd_make(int fd) {
    struct wefti_fd *d = wefti_fd_find(fd);
    if (d)
        return d;
    if (!load_relaxed(&pages) && !make_table())
        return NULL;
    uint32_t page = (uint32_t)fd / PAGE, seen = load_relaxed(&highest);
    while (page > seen && !cas_relaxed(&highest, &seen, page))
        continue;
    if (!make_page(page_slot(fd)))
        return NULL;
    return wefti_fd_find(fd);
}

static void empty(struct wefti_waitq *q) {
    while (wefti_waitq_pop(q))
        continue;
}

static void forget_dir(struct wefti_fd_dir *dir) {
    dir->busy = dir->dry = dir->wary = false;
    dir->turn = dir->io = (struct wefti_waitq){0};
    store_relaxed(&dir->deadline, 0);
}

/* Threads that are in no call of the run's may look at what is atomic. Edges and generations go on. */
static void forget(struct wefti_fd *d, bool forked) {
    for (int i = 0; i < 2; i++) {
        if (!forked) {
            empty(&d->dir[i].io);
            empty(&d->dir[i].turn);
        }
        forget_dir(&d->dir[i]);
    }
    if (!forked)
        empty(&d->polls);
    d->lock = 0;
    store_relaxed(&d->gen, d->gen + 1);
    store_relaxed(&d->kind, WEFTI_FD_FOREIGN);
    d->state = WEFTI_FD_OPEN;
    d->known = false;
    d->refs = 0;
    d->closer = NULL;
    d->polls = (struct wefti_waitq){0};
    d->device = 0;
    d->inode = 0;
}

void wefti_fd_forget_all(bool forked) {
    for (uint32_t i = 0; pages && i <= highest; i++)
        for (uint32_t j = 0; pages[i] && j < PAGE; j++)
            forget(&pages[i][j], forked);
}
