/* SPDX-License-Identifier: Apache-2.0 */
/* What a goroutine may ask about itself and of the scheduler: public calls that are a few lines
 * each. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <weft/go.h>

#include "state.h"

/* The calling goroutine; NULL on another thread. Without entering: only its own fields may be
 * touched. */
static struct g *self(void) {
    struct m *mp = arch_getm();
    return mp && !load_relaxed(&mp->attn.is.foreign) ? mp->curg : NULL;
}

uint64_t weft_id(void) {
    struct g *gp = self();
    return gp ? gp->id : 0;
}

const char *weft_name(void) {
    struct g *gp = self();
    return gp ? gp->name : "";
}

void weft_set_name(const char *format, ...) {
    char name[WEFTI_NAME_SIZE] = "";
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    struct g *gp = self(); /* after vsnprintf: a user's printf hook may have parked */
    for (size_t i = 0; gp && i < sizeof name; i++)
        store_relaxed(&gp->name[i], name[i]); /* a dump may read it meanwhile */
}

int weft_num_goroutine(void) {
    return load_acquire(&S.phase) == WEFTI_OFF ? 0 : wefti_live_goroutines();
}

int weft_defer(void (*fn)(void *), void *arg) {
    if (!self()) {
        errno = EPERM;
        return -1;
    }
    struct m *mp = wefti_enter();
    struct wefti_defer *d = wefti_alloc(mp, sizeof *d);
    if (d) {
        *d = (struct wefti_defer){mp->curg->defers, fn, arg};
        mp->curg->defers = d;
    } else {
        *mp->errnop = ENOMEM;
    }
    wefti_leave(mp);
    return d ? 0 : -1;
}

void weft_lock_os_thread(void) {
    struct m *mp = wefti_enter_goroutine("weft_lock_os_thread");
    struct g *gp = mp->curg;
    store_relaxed(&gp->locked, gp->locked + 1);
    if (gp->locked == 1) {
        wefti_bind(gp, mp);
        store_relaxed(&mp->lockedg, gp);
        mp->inner_bound = 1;
    }
    wefti_leave(mp);
}

void weft_unlock_os_thread(void) {
    struct m *mp = wefti_enter_goroutine("weft_unlock_os_thread");
    struct g *gp = mp->curg;
    if (gp->locked == 0) {
        wefti_leave(mp);
        return;
    }
    store_relaxed(&gp->locked, gp->locked - 1);
    if (gp->locked == 0) {
        wefti_bind(gp, NULL);
        store_relaxed(&mp->lockedg, NULL);
        mp->inner_bound = 0;
    }
    wefti_leave(mp);
}

int weft_set_max_threads(int n) {
    uint32_t before = load_relaxed(&S.max_threads);
    if (before == 0)
        before = WEFTI_MAX_THREADS;
    if (n >= 1)
        store_relaxed(&S.max_threads, (uint32_t)n);
    return (int)before;
}

int *weft_errno_location(void) {
    return __errno_location();
}

/* Through the accessor: this thread's errno is looked up after the value has been computed, not
 * before. */
void weft_set_errno(int value) {
    *weft_errno_location() = value;
}

const char *weft_version(void) {
    return "0.1.0";
}
