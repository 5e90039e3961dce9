/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dumps: a header line for each goroutine, as Go prints it, and where it was started.
 *
 *     goroutine 18 [chan receive, 5 minutes, locked to thread, "reader"]:
 *     created by serve in goroutine 1
 *     <tab>server.c:120
 *     <empty line>
 *
 * The dump of a fatal error with more than 100 goroutines shows one of each kind and says how many
 * more there are: a deadlock of a million is three lines, not three million. Of a kind are those
 * in the same state for the same number of minutes, from the same place, without a name. There is
 * no memory to sort them in, so a small table counts the kinds met first; what has no place in it
 * is printed one by one.
 *
 * The program may be in any state, and this in a fatal error: no lock, no memory, write(2) only.
 * Goroutines go on running meanwhile, so a field is loaded once and a G that ends under our eyes
 * gives a header that was true a moment ago. Gs are never freed, and what their sites and names
 * hold is static or inside the G.
 */

#include <weft/debug.h>
#include <weft/go.h>

#include "../base/fmt.h"
#include "../base/traceback.h"
#include "../sched/state.h"
#include "../stack/gslab.h"
#include "dump.h"

#define MINUTE 60000000000
#define BUFFER 2048
#define MANY 100 /* goroutines that are printed one by one */
#define KINDS 40

struct kind {
    struct g *first;
    const struct weft_impl_site *site;
    int64_t minutes;
    uint32_t status, reason;
    uint32_t locked;
    uint32_t more; /* besides first */
};

struct dump {
    struct wefti_out out;
    struct g *current; /* prints as running; NULL: none */
    bool system;       /* the runtime's own goroutines and addresses too */
    int64_t now;
    size_t n; /* goroutines counted */
    size_t nkinds;
    struct kind kinds[KINDS];
};

static const char *state_text(struct g *gp, uint32_t status) {
    switch (status) {
    case WEFTI_G_RUNNABLE:
        return "runnable";
    case WEFTI_G_RUNNING:
        return "running";
    case WEFTI_G_SYSCALL:
        return "syscall";
    case WEFTI_G_WAITING:
        break;
    default:
        return "???";
    }
    uint32_t reason = load_relaxed(&gp->reason);
    return reason == WEFTI_WAIT_NONE ? "waiting" : wefti_reason_text(reason);
}

/* Cut and cleaned: whoever parses headers is not to trip over it. */
void wefti_clean_name(const struct g *gp, char name[WEFTI_NAME_SIZE]) {
    for (size_t i = 0; i < WEFTI_NAME_SIZE; i++)
        name[i] = load_relaxed(&gp->name[i]);
    name[WEFTI_NAME_SIZE - 1] = '\0';
    for (char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == '"' || *c == ']' || *c == 0x7f)
            *c = '?';
}

static void put_name(struct wefti_out *out, struct g *gp) {
    char name[WEFTI_NAME_SIZE];
    wefti_clean_name(gp, name);
    if (name[0] != '\0')
        wefti_out(out, ", \"%s\"", name);
}

static void put_addresses(struct wefti_out *out, struct g *gp) {
    struct m *mp = wefti_g_m(gp);
    wefti_out(out, " gp=%p", (void *)gp);
    if (mp)
        wefti_out(out, " m=%u mp=%p", mp->id, (void *)mp);
    else
        wefti_out(out, " m=nil");
}

static int64_t minutes_of(const struct dump *d, struct g *gp, uint32_t status) {
    uint32_t since = load_relaxed(&gp->since);
    if ((status != WEFTI_G_WAITING && status != WEFTI_G_SYSCALL) || since == 0)
        return 0;
    uint32_t passed = (uint32_t)(d->now >> 20) - since; /* 52 days at most */
    if (passed > UINT32_MAX - 1000)                     /* the dump's clock is a little behind */
        return 0;
    return (int64_t)passed * (1 << 20) / MINUTE;
}

static void put_header(struct dump *d, struct g *gp, uint32_t status) {
    struct wefti_out *out = &d->out;
    int64_t minutes = minutes_of(d, gp, status);
    wefti_out(out, "goroutine %llu", (unsigned long long)load_relaxed(&gp->id));
    if (d->system)
        put_addresses(out, gp);
    wefti_out(out, " [%s", state_text(gp, status));
    if (minutes >= 1)
        wefti_out(out, ", %lld minutes", (long long)minutes);
    if (load_relaxed(&gp->locked) > 0)
        wefti_out(out, ", locked to thread");
    put_name(out, gp);
    wefti_out(out, "]:\n");
}

void wefti_put_creator(struct wefti_out *out, const struct g *gp) {
    const struct weft_impl_site *site = load_relaxed(&gp->site);
    if (load_relaxed(&gp->main) || !site)
        return;
    wefti_out(out, "created by %.200s", site->caller ? site->caller : site->func);
    uint64_t creator = load_relaxed(&gp->creator);
    if (creator != 0) /* 0: a timer, or a thread of the program's */
        wefti_out(out, " in goroutine %llu", (unsigned long long)creator);
    wefti_out(out, "\n\t%.1000s:%d\n", site->file, site->line);
}

static void put_g(struct dump *d, struct g *gp, uint32_t status) {
    put_header(d, gp, status);
    wefti_put_creator(&d->out, gp);
    wefti_out(&d->out, "\n");
}

/* Is gp to be shown, apart from the current one? Its status, or IDLE. */
static uint32_t shown(const struct dump *d, struct g *gp) {
    uint32_t status = load_acquire(&gp->status); /* pairs with the store at its birth */
    if (status == WEFTI_G_DEAD || gp == d->current || (!d->system && load_relaxed(&gp->system)))
        return WEFTI_G_IDLE;
    return status;
}

static bool put_other(struct g *gp, void *arg) {
    struct dump *d = arg;
    uint32_t status = shown(d, gp);
    if (status != WEFTI_G_IDLE)
        put_g(d, gp, status);
    return true;
}

static bool count(struct g *gp, void *arg) {
    struct dump *d = arg;
    d->n += shown(d, gp) != WEFTI_G_IDLE;
    return d->n <= MANY;
}

static bool same(const struct kind *a, const struct kind *b) {
    return a->site == b->site && a->minutes == b->minutes && a->status == b->status &&
           a->reason == b->reason && a->locked == b->locked;
}

static bool put_or_count(struct g *gp, void *arg) {
    struct dump *d = arg;
    uint32_t status = shown(d, gp);
    if (status == WEFTI_G_IDLE)
        return true;
    struct kind kind = {.first = gp,
                        .site = load_relaxed(&gp->site),
                        .minutes = minutes_of(d, gp, status),
                        .status = status,
                        .reason = status == WEFTI_G_WAITING ? load_relaxed(&gp->reason) : 0,
                        .locked = load_relaxed(&gp->locked) > 0};
    bool named = load_relaxed(&gp->name[0]) != '\0';
    for (size_t i = 0; i < d->nkinds && !named; i++) {
        if (same(&d->kinds[i], &kind)) {
            d->kinds[i].more++;
            return true;
        }
    }
    if (named || d->nkinds == KINDS)
        put_g(d, gp, status);
    else
        d->kinds[d->nkinds++] = kind;
    return true;
}

static void put_others_grouped(struct dump *d) {
    wefti_g_foreach(put_or_count, d);
    for (const struct kind *k = d->kinds; k < d->kinds + d->nkinds; k++) {
        put_header(d, k->first, k->status);
        if (k->more > 0)
            wefti_out(&d->out, "(and %u more like it)\n", k->more);
        wefti_put_creator(&d->out, k->first);
        wefti_out(&d->out, "\n");
    }
}

static void put_others(struct dump *d, bool group) {
    if (group)
        wefti_g_foreach(count, d);
    if (d->n > MANY)
        put_others_grouped(d);
    else
        wefti_g_foreach(put_other, d);
}

/* The goroutine on this thread: not g0, and not one that stands for a thread of the program's. */
static struct g *current_goroutine(void) {
    struct m *mp = arch_getm();
    struct g *gp = mp ? mp->curg : NULL;
    return gp && gp->id != 0 ? gp : NULL;
}

static void dump(int fd, enum wefti_traceback level, bool group) {
    char text[BUFFER];
    struct dump d;
    d.out = (struct wefti_out){fd, text, 0, sizeof text};
    d.current = current_goroutine();
    d.system = level >= WEFTI_TRACEBACK_SYSTEM;
    d.now = os_coarsetime();
    d.n = d.nkinds = 0;
    if (d.current)
        put_g(&d, d.current, WEFTI_G_RUNNING);
    if (!d.current || level != WEFTI_TRACEBACK_SINGLE)
        put_others(&d, group);
    wefti_out_flush(&d.out);
}

void weft_dump(int fd) {
    dump(fd, WEFTI_TRACEBACK_ALL, false);
}

static void dump_fatal(int fd) {
    dump(fd, wefti_traceback(), true);
}

void wefti_observe_init(void) {
    wefti_dump_hook = dump_fatal;
}
