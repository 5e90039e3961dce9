/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dining philosophers: five goroutines, five forks, each fork a mutex between two neighbours.
 *
 * Everybody takes the fork with the lower number first, so there is no circle of waiting.
 * `philosophers deadlock` lets everybody take the left one first and think for a moment. Then all
 * five hold one fork and wait for the next, and the runtime says so:
 *
 *     fatal error: all goroutines are asleep - deadlock!
 *
 * followed by every goroutine, with what it waits for: [sync.Mutex.Lock].
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { SEATS = 5, MEALS = 3 };

static weft_mutex fork_at[SEATS]; /* zeroed: unlocked, ready for use */
static int eaten[SEATS];          /* each belongs to its philosopher until wait returns */
static int naive;

static void dine(int seat) {
    weft_set_name("philosopher %d", seat);
    int left = seat, right = (seat + 1) % SEATS;
    int first = naive || left < right ? left : right;
    int second = left + right - first;
    for (int meal = 0; meal < MEALS; meal++) {
        weft_mutex_lock(&fork_at[first]);
        if (naive)
            weft_sleep(10 * WEFT_MILLISECOND);
        weft_mutex_lock(&fork_at[second]);
        eaten[seat]++;
        weft_sleep(WEFT_MILLISECOND); /* enjoys it, forks in hand */
        weft_mutex_unlock(&fork_at[second]);
        weft_mutex_unlock(&fork_at[first]);
    }
}

static int app(int argc, char **argv) {
    naive = argc > 1 && strcmp(argv[1], "deadlock") == 0;
    weft_wg table = WEFT_WG_INIT;
    for (int seat = 0; seat < SEATS; seat++)
        weft_wg_go(&table, dine, seat);
    weft_wg_wait(&table);
    for (int seat = 0; seat < SEATS; seat++)
        printf("philosopher %d ate %d times\n", seat, eaten[seat]);
    return 0;
}

WEFT_MAIN(app)
