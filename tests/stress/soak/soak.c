/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soak: goroutines that do, all together and preempted anywhere, what C programs do without a
 * thought of goroutines.  Each checks what it gets: nothing is corrupted, no call fails with an EINTR
 * that the program did not ask for, nobody waits for ever, and two that hand on to each other go on.
 *
 * It runs for WEFT_STRESS_SECONDS, at the time slice that GODEBUG=preemptslice says.
 */
#include "../stress.h"

#include "soak.h"

struct soak_part {
    const char *name;
    int goroutines; /* of a group; half of that, but a pair at least, under a sanitizer */
    int groups;
    void (*run)(struct soak_worker *);
    void *(*make)(void);
    void (*end)(void *);
};

static const struct soak_part soak_parts[] = {
    {"malloc", 4, 1, soak_allocates, NULL, NULL},
    {"qsort", 2, 1, soak_sorts, NULL, NULL},
    {"memcpy", 1, 1, soak_copies, NULL, NULL},
    {"fprintf", 4, 1, soak_prints, NULL, NULL}, /* its file is made apart, for the reader */
    {"cond", 4, 1, soak_produces_and_consumes, soak_queue_make, soak_queue_end},
    {"mutex", 3, 1, soak_locks, soak_mutex_make, soak_mutex_end},
    {"naps", 4, 1, soak_naps, NULL, NULL},
    {"pipe", 2, 2, soak_passes_bytes, soak_pipes_make, soak_pipes_end},
    {"flock", 3, 1, soak_locks_file, soak_flock_make, soak_flock_end},
    {"spawn", 2, 1, soak_spawns, NULL, NULL},
    {"vfork", 2, 1, soak_vforks, NULL, NULL},
    {"thread", 2, 1, soak_makes_threads, NULL, NULL},
    {"dlopen", 2, 1, soak_loads, NULL, NULL},
    {"getaddrinfo", 2, 1, soak_looks_up, NULL, NULL},
    {"throw", 3, 1, soak_throws, NULL, NULL},
};
enum { SOAK_PARTS = sizeof soak_parts / sizeof *soak_parts, SOAK_WORKERS = 64 };

static struct timespec soak_end;
static _Atomic bool soak_over;
static _Atomic long soak_handed;

#ifdef __SANITIZE_THREAD__
/* The dynamic linker frees threads' data under locks of its own, which ThreadSanitizer can't see. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "race:rtld-malloc.h\nrace:ld-linux\n";
}
#endif

/* ---- for the parts ---- */

bool soak_more(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < soak_end.tv_sec ||
           (now.tv_sec == soak_end.tv_sec && now.tv_nsec < soak_end.tv_nsec);
}

uint32_t soak_below(struct soak_worker *w, uint32_t n) {
    struct stress_rand r = {w->random};
    uint64_t z = stress_next(&r);
    w->random = r.state;
    return (uint32_t)((z >> 32) % n);
}

void soak_compute(uint32_t steps) {
    for (uint32_t i = 0; i < steps; i++)
        __asm__ volatile("" : "+r"(i));
}

void soak_rest(struct soak_worker *w) {
    switch (soak_below(w, 16)) {
    case 0:
        weft_yield();
        break;
    case 1:
        weft_sleep(soak_below(w, 200) * WEFT_MICROSECOND);
        break;
    case 2:
        weft_num_goroutine();
        break;
    default:
        break;
    }
}

void soak_fail(const char *file, int line, const char *format, ...) {
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    stress_fail(file, line, "%s", text);
}

/* ---- what must go on ---- */

static void soak_hands_on(weft_chan(int) in, weft_chan(int) out) {
    int v = 0;
    while (weft_recv(in, &v)) {
        atomic_fetch_add_explicit(&soak_handed, 1, memory_order_relaxed);
        if (soak_over) {
            weft_chan_close(out);
            return;
        }
        weft_send(out, v + 1);
    }
}

/* A line each minute, so that somebody who waits sees it live. */
static void soak_reports(void) {
    long before = 0;
    for (int ticks = 1; !soak_over; ticks++) {
        weft_sleep(100 * WEFT_MILLISECOND);
        if (ticks % 600 != 0)
            continue;
        long handed = soak_handed;
        dprintf(2, "soak: %d minutes, %ld messages\n", ticks / 600, handed - before);
        STRESS_CHECK(handed > before);
        before = handed;
    }
}

/* ---- starting and ending ---- */

static struct soak_worker soak_workers[SOAK_WORKERS];
static int soak_started;

static struct soak_worker *soak_worker(struct stress_rand *rand, void *shared, int me) {
    STRESS_CHECK(soak_started < SOAK_WORKERS);
    struct soak_worker *w = &soak_workers[soak_started++];
    *w = (struct soak_worker){.random = stress_next(rand), .shared = shared, .me = me};
    return w;
}

/*
 * AddressSanitizer's part of a switch looks at a thread-local variable of its own, for which the
 * dynamic linker takes a lock once for each thread, and again after each dlopen; inside the
 * runtime, where nobody takes the P away. So under it the parts that are preempted with that lock
 * held are left out.
 */
static bool soak_left_out(const struct soak_part *part) {
#ifdef __SANITIZE_ADDRESS__
    return part->run == soak_loads || part->run == soak_makes_threads;
#else
    (void)part;
    return false;
#endif
}

static int soak_goroutines(const struct soak_part *part) {
    if (soak_left_out(part))
        return 0;
    if (!STRESS_SANITIZED || part->goroutines < 4)
        return part->goroutines;
    return part->make == soak_queue_make ? part->goroutines : part->goroutines / 2;
}

/* All parts' goroutines have ended when this returns; done[i] is how much part i did. */
static void soak_run(struct stress_rand *rand, void *file, long done[SOAK_PARTS]) {
    struct soak_worker *first[SOAK_PARTS];
    void *shared[SOAK_PARTS][2] = {0};
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < SOAK_PARTS; i++) {
        const struct soak_part *part = &soak_parts[i];
        first[i] = &soak_workers[soak_started];
        for (int group = 0; group < part->groups; group++) {
            shared[i][group] = part->make ? part->make() : file;
            for (int me = 0; me < soak_goroutines(part); me++)
                STRESS_CHECK(weft_wg_go(&wg, part->run, soak_worker(rand, shared[i][group], me)) ==
                             0);
        }
    }
    weft_wg_wait(&wg);
    for (int i = 0; i < SOAK_PARTS; i++) {
        const struct soak_part *part = &soak_parts[i];
        for (int me = 0; me < part->groups * soak_goroutines(part); me++)
            done[i] += first[i][me].done;
        for (int group = 0; part->end && group < part->groups; group++)
            part->end(shared[i][group]);
    }
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    struct stress_rand rand = stress_begin("soak");
    long seconds = stress_env("WEFT_STRESS_SECONDS", 1), done[SOAK_PARTS] = {0};
    clock_gettime(CLOCK_MONOTONIC, &soak_end);
    soak_end.tv_sec += seconds;
    weft_chan(int) a = weft_chan_make(int, 1), b = weft_chan_make(int, 1);
    weft_wg reader = WEFT_WG_INIT, others = WEFT_WG_INIT;
    void *file = soak_file_make();
    STRESS_CHECK(weft_wg_go(&reader, soak_reads_lines, soak_worker(&rand, file, 0)) == 0);
    STRESS_CHECK(weft_wg_go(&others, soak_hands_on, a, b) == 0);
    STRESS_CHECK(weft_wg_go(&others, soak_hands_on, b, a) == 0);
    STRESS_CHECK(weft_wg_go(&others, soak_reports) == 0);
    weft_send(a, 0);
    soak_run(&rand, file, done);
    soak_file_close(file);
    weft_wg_wait(&reader);
    soak_file_end(file);
    soak_over = true;
    weft_wg_wait(&others);
    weft_chan_unref(a);
    weft_chan_unref(b);
    char text[512] = "";
    for (int i = 0; i < SOAK_PARTS; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " %s %ld", soak_parts[i].name, done[i]);
    }
    return stress_passed("%ld messages beside%s", (long)soak_handed, text);
}
WEFT_MAIN(app)
