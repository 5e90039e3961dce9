/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleep: a wait that only the goroutine's own timer or its context ends.
 *
 * The wait is published before the timer is armed, since another M may fire it at once. When the
 * timer won, it was disarmed before the claim (timer/timer.h), so the goroutine owns it again.
 * When the context won, the timer may be armed or just firing; disarm leaves neither.
 */
#include <errno.h>

#include <weft/time.h>

#include "../sched/sched.h"
#include "../timer/timer.h"

/* Parks the caller; 0 when the time is over, else what its context ended with. */
static int sleep_until(struct m **mpp, struct g *gp, int64_t when) {
    struct m *mp = *mpp;
    struct wefti_timer *t = &gp->timer;
    t->fire = wefti_timer_wakes;
    t->arg = gp;
    t->seq = wefti_wait_begin(mp, gp, WEFTI_WAIT_SLEEP, true);
    wefti_timer_arm(mp, t, when, 0);
    *mpp = mp = wefti_wait(mp, gp);
    if (likely(gp->wake == WEFTI_WAKE_TIMEOUT))
        return 0;
    wefti_timer_disarm(mp, t);
    int err = wefti_ambient_err(gp);
    return err ? err
               : ECANCELED; /* without a context: the run ended under a thread of the program's */
}

bool weft_sleep(weft_duration d) {
    if (d <= 0)
        return true;
    struct m *mp = wefti_enter_park();
    struct g *gp = mp->curg;
    int err = wefti_ambient_err(gp);
    if (err == 0)
        err = sleep_until(&mp, gp, wefti_timer_when(wefti_nanotime(), d));
    wefti_leave(mp);
    if (likely(err == 0))
        return true;
    weft_set_errno(err);
    return false;
}
