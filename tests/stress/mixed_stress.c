/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All parts at once in one process: each disturbs the scheduling, the timers, the stacks and the
 * number of Ps of the others, and each still has to keep its own account.
 */
#define STRESS_MIXED 1
#include "block_stress.c"
#include "cancel_stress.c"
#include "chan_stress.c"
#include "lock_stress.c"
#include "spawn_stress.c"
#include "timer_stress.c"

struct mixed_part {
    const char *name;
    int (*rounds)(struct stress_rand);
    struct stress_rand rand;
    int done;
};

static void mixed_run(struct mixed_part *p) {
    p->done = p->rounds(p->rand);
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    struct mixed_part parts[] = {
        {.name = "block", .rounds = block_rounds}, {.name = "cancel", .rounds = cancel_rounds},
        {.name = "chan", .rounds = chan_rounds},   {.name = "lock", .rounds = lock_rounds},
        {.name = "spawn", .rounds = spawn_rounds}, {.name = "timer", .rounds = timer_rounds},
    };
    struct stress_rand rand = stress_begin("mixed_stress");
    weft_wg wg = WEFT_WG_INIT;
    char text[256] = "";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        parts[i].rand = stress_split(&rand);
        STRESS_CHECK(weft_wg_go(&wg, mixed_run, &parts[i]) == 0);
    }
    weft_wg_wait(&wg);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        STRESS_CHECK(parts[i].done > 0);
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " %s %d", parts[i].name, parts[i].done);
    }
    return stress_passed("rounds:%s", text);
}
WEFT_MAIN(app)
