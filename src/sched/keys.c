/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goroutine-local values, as pthread keys are for threads.
 *
 * A key is an index and a generation: a deleted key's index is used again, and a value stored under
 * the old generation then reads as none. The table of keys is the process's and has a lock of its
 * own; a goroutine's values are its own, an array that grows to the highest key it has set.
 */
#include "keys.h"

#include <errno.h>
#include <string.h>
#include <weft/go.h>

#include "state.h"

#define MAX_KEYS 1024
#define ROUNDS                                                                                     \
    4 /* destructors may set values again, as POSIX allows; after some rounds they are left */

struct value {
    void *value;
    uint32_t generation;
};

static struct {
    struct wefti_lock lock;
    uint32_t used; /* indices ever given */
    struct {
        void (*destroy)(void *);
        uint32_t generation; /* odd: in use (atomic) */
    } key[MAX_KEYS];
} table;

static uint32_t index_of(weft_key key) {
    return (uint32_t)key & 0xffff;
}

static uint32_t generation_of(weft_key key) {
    return (uint32_t)(key >> 16);
}

static bool valid(weft_key key) {
    uint32_t i = index_of(key);
    return i < MAX_KEYS && (generation_of(key) & 1) &&
           (load_acquire(&table.key[i].generation) & 0xffff) ==
               (generation_of(key) & 0xffff); /* pairs with create */
}

int weft_key_create(weft_key *key, void (*destroy)(void *)) {
    struct m *mp = wefti_enter();
    uint32_t found = MAX_KEYS;
    wefti_lock(&table.lock);
    for (uint32_t i = 0; i < MAX_KEYS && found == MAX_KEYS; i++)
        if (!(table.key[i].generation & 1))
            found = i;
    uint32_t generation = 0;
    if (found < MAX_KEYS) {
        table.key[found].destroy = destroy;
        generation = table.key[found].generation + 1;
        store_release(&table.key[found].generation, generation); /* pairs with valid */
        if (found >= table.used)
            table.used = found + 1;
    }
    wefti_unlock(&table.lock);
    if (found == MAX_KEYS)
        *mp->errnop = EAGAIN;
    wefti_leave(mp);
    if (found == MAX_KEYS)
        return -1;
    *key = (weft_key)((generation & 0xffff) << 16 | found);
    return 0;
}

int weft_key_delete(weft_key key) {
    struct m *mp = wefti_enter();
    wefti_lock(&table.lock);
    bool ok = valid(key);
    if (ok)
        store_release(&table.key[index_of(key)].generation,
                      table.key[index_of(key)].generation + 1);
    wefti_unlock(&table.lock);
    if (!ok)
        *mp->errnop = EINVAL;
    wefti_leave(mp);
    return ok ? 0 : -1;
}

static struct g *current(void) {
    struct m *mp = arch_getm();
    return mp && !load_relaxed(&mp->attn.is.foreign) ? mp->curg : NULL;
}

void *weft_key_get(weft_key key) {
    struct g *gp = current();
    uint32_t i = index_of(key);
    if (!gp || i >= gp->nkeys || !valid(key))
        return NULL;
    struct value *v = &((struct value *)gp->keys)[i];
    return v->generation == generation_of(key) ? v->value : NULL;
}

/* Room for index i; false without memory. */
static bool grow(struct m *mp, struct g *gp, uint32_t i) {
    uint32_t n = gp->nkeys ? gp->nkeys : 4;
    while (n <= i)
        n *= 2;
    struct value *values = wefti_zalloc(mp, n * sizeof *values);
    if (!values)
        return false;
    if (gp->keys)
        memcpy(values, gp->keys, gp->nkeys * sizeof *values);
    wefti_keys_free(mp, gp);
    gp->keys = (void **)values;
    gp->nkeys = n;
    return true;
}

int weft_key_set(weft_key key, void *value) {
    struct g *gp = current();
    int err = !gp ? EPERM : !valid(key) ? EINVAL : 0;
    uint32_t i = index_of(key);
    if (!err && i >= gp->nkeys) {
        struct m *mp = wefti_enter();
        if (!grow(mp, gp, i))
            err = ENOMEM;
        wefti_leave(mp);
    }
    if (err) {
        errno = err;
        return -1;
    }
    ((struct value *)gp->keys)[i] = (struct value){value, generation_of(key)};
    return 0;
}

/* One round: true if a destructor was called. */
static bool destroy_values(struct g *gp) {
    bool called = false;
    for (uint32_t i = 0; i < gp->nkeys; i++) {
        struct value *v = &((struct value *)gp->keys)[i], old = *v;
        *v = (struct value){0};
        if (!old.value || !valid((weft_key)(old.generation << 16 | i)))
            continue;
        void (*destroy)(void *) = table.key[i].destroy;
        if (destroy) {
            destroy(old.value);
            called = true;
        }
    }
    return called;
}

void wefti_keys_destroy(struct g *gp) {
    for (int round = 0; round < ROUNDS && destroy_values(gp); round++)
        ;
    struct m *mp = wefti_enter();
    wefti_keys_free(mp, gp);
    wefti_leave(mp);
}

void wefti_keys_after_fork(void) {
    table.lock = (struct wefti_lock){0};
}

void wefti_keys_free(struct m *mp, struct g *gp) {
    if (gp->keys)
        wefti_free(mp, gp->keys, gp->nkeys * sizeof(struct value));
    gp->keys = NULL;
    gp->nkeys = 0;
}
