/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guided tour of weft: goroutines, channels, select, locks, groups with contexts, timers.
 *
 * All the while a few dozen goroutines in the background keep every P busy. Under
 * GODEBUG=schedtrace=1000 the tour shows what the scheduler does with them (`make run` does that):
 *
 * SCHED 1001ms: gomaxprocs=2 idleprocs=0 threads=4 spinningthreads=0 idlethreads=0 runqueue=5 [7 3]
 *
 * It lasts about five seconds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

static void station(int number, const char *title) {
    weft_sleep(400 * WEFT_MILLISECOND);
    printf("\n%d. %s\n", number, title);
    fflush(stdout);
}

/* ---- the background: work that comes in bursts ---- */

static void crunch(unsigned steps) {
    volatile unsigned x = 2463534242u;
    for (unsigned i = 0; i < steps; i++) {
        unsigned y = x;
        y ^= y << 13, y ^= y >> 17, y ^= y << 5;
        x = y;
    }
}

/* Starts a burst of goroutines, waits for them, and again, until its context is done. */
static int burst(unsigned size) {
    while (weft_ctx_err(weft_ctx_current()) == 0) {
        weft_wg wg = WEFT_WG_INIT;
        for (unsigned i = 0; i < size; i++)
            weft_wg_go(&wg, crunch, 20000u + 2000u * i);
        weft_wg_wait(&wg);
        weft_yield(); /* to the tail of the global queue */
    }
    return 0;
}

/* ---- 1 ---- */

static void add(_Atomic long *sum, long n) {
    *sum += n;
}

static void goroutines(void) {
    station(1, "Goroutines: weft_go(fn, arguments...), ten thousand times");
    _Atomic long sum = 0;
    weft_wg wg = WEFT_WG_INIT;
    weft_time start = weft_now();
    for (long n = 1; n <= 10000; n++)
        weft_wg_go(&wg, add, &sum, n);
    weft_wg_wait(&wg);
    printf("   10,000 goroutines added the numbers up: %ld, in %.1f ms\n", (long)sum,
           (double)(weft_now() - start) / WEFT_MILLISECOND);
    printf("   this is goroutine %d; %d of them exist, on %d Ps\n", (int)weft_id(),
           weft_num_goroutine(), weft_gomaxprocs(0));
}

/* ---- 2 ---- */

static void relay(weft_chan(int) in, weft_chan(int) out) {
    int n;
    if (weft_recv(in, &n))
        weft_send(out, n + 1);
    weft_chan_unref(in);
    weft_chan_unref(out);
}

static void channels(void) {
    station(2, "Channels: a chain of 1,000 goroutines, and each adds one");
    weft_chan(int) first = weft_chan_make(int, 0);
    weft_chan(int) last = weft_chan_ref(first);
    for (int i = 0; i < 1000; i++) {
        weft_chan(int) next = weft_chan_make(int, 0);
        weft_go(relay, last, weft_chan_ref(next)); /* the references move to the relay */
        last = next;
    }
    int n = 0;
    weft_send(first, n);
    weft_recv(last, &n);
    printf("   sent 0, received %d\n", n);
    weft_chan_unref(first);
    weft_chan_unref(last);
}

/* ---- 3 ---- */

static void reporter(weft_chan(const char *) news, const char *text, weft_duration every) {
    while (weft_sleep(every) && weft_send(news, text))
        continue;
    weft_chan_unref(news);
}

static void selecting(void) {
    station(3, "Select: two reporters, and a limit to our patience");
    weft_chan(const char *) weather = weft_chan_make(const char *, 0);
    weft_chan(const char *) sport = weft_chan_make(const char *, 0);
    weft_go(reporter, weft_chan_ref(weather), "rain", 110 * WEFT_MILLISECOND);
    weft_go(reporter, weft_chan_ref(sport), "a goal", 170 * WEFT_MILLISECOND);
    weft_chan(weft_time) enough = weft_after(600 * WEFT_MILLISECOND);
    for (bool open = true; open;) {
        const char *text;
        switch (weft_select(weft_case_recv(weather, &text), weft_case_recv(sport, &text),
                            weft_case_recv(enough, NULL))) {
        case 0:
            printf("   weather: %s\n", text);
            break;
        case 1:
            printf("   sport: %s\n", text);
            break;
        default:
            printf("   enough of that\n");
            open = false;
        }
    }
    weft_chan_close(weather); /* the reporters' next send fails with EPIPE, and they go home */
    weft_chan_close(sport);
    weft_chan_unref(weather);
    weft_chan_unref(sport);
    weft_chan_unref(enough);
}

/* ---- 4 ---- */

struct account {
    weft_mutex lock;
    weft_cond deposited;
    long money;
};

static void spend(struct account *account, long amount) {
    weft_mutex_lock(&account->lock);
    while (account->money < amount)
        weft_cond_wait(&account->deposited, &account->lock);
    account->money -= amount;
    weft_mutex_unlock(&account->lock);
}

static void earn(struct account *account, long amount) {
    weft_mutex_lock(&account->lock);
    account->money += amount;
    weft_mutex_unlock(&account->lock);
    weft_cond_broadcast(&account->deposited);
}

static void locks(void) {
    station(4, "Locks: a mutex and a condition, zeroed and ready; 100 spend what 100 others earn");
    struct account account = {0};
    weft_wg wg = WEFT_WG_INIT;
    for (long i = 1; i <= 100; i++) {
        weft_wg_go(&wg, spend, &account, i);
        weft_wg_go(&wg, earn, &account, 101 - i);
    }
    weft_wg_wait(&wg);
    printf("   all is spent: %ld left\n", account.money);
}

/* ---- 5 ---- */

static int search(int seat, int lucky) {
    if (!weft_sleep((50 + 10 * seat) * WEFT_MILLISECOND))
        return 0; /* called off */
    return seat == lucky ? EEXIST : 0;
}

static void groups(void) {
    station(5, "Groups and contexts: 1,000 search, the first who finds something ends it for all");
    weft_group group = WEFT_GROUP_INIT;
    weft_time start = weft_now();
    for (int seat = 0; seat < 1000; seat++)
        weft_group_go(&group, search, seat, 20);
    int error = weft_group_wait(&group);
    printf("   after %d ms: %s\n", (int)((weft_now() - start) / WEFT_MILLISECOND), strerror(error));

    weft_chan(int) nobody = weft_chan_make(int, 0);
    {
        weft_scope_timeout(100 * WEFT_MILLISECOND); /* for all calls in this block */
        if (!weft_recv(nobody, NULL))
            printf("   a receive under a scope of 100 ms: %s\n", strerror(errno));
    }
    weft_chan_unref(nobody);
}

/* ---- 6 ---- */

static void ring(void *bell) {
    weft_chan(char) c = bell;
    weft_try_send(c, '!');
    weft_chan_unref(c);
}

static void timers(void) {
    station(6, "Timers: a ticker each 100 ms until the alarm after 550 ms");
    weft_chan(char) bell = weft_chan_make(char, 1);
    weft_timer *alarm = weft_after_func(550 * WEFT_MILLISECOND, ring, weft_chan_ref(bell));
    weft_ticker *ticker = weft_ticker_new(100 * WEFT_MILLISECOND);
    int ticks = 0;
    printf("  ");
    while (weft_select(weft_case_recv(weft_ticker_chan(ticker), NULL),
                       weft_case_recv(bell, NULL)) == 0) {
        printf(" tick");
        fflush(stdout);
        ticks++;
    }
    printf(" and the alarm, after %d ticks\n", ticks);
    weft_ticker_stop(ticker);
    weft_ticker_unref(ticker);
    weft_timer_unref(alarm);
    weft_chan_unref(bell);
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    printf("weft %s: a tour. Lines that begin with SCHED are the scheduler's own.\n",
           weft_version());
    weft_group load = WEFT_GROUP_INIT;
    for (int i = 0; i < 3 * weft_gomaxprocs(0); i++)
        weft_group_go(&load, burst, 6u + (unsigned)i);
    goroutines();
    channels();
    selecting();
    locks();
    groups();
    timers();
    station(7, "The end: the load is called off; the last of it goes home");
    weft_group_cancel(&load);
    weft_group_wait(&load);
    printf("   %d goroutine left\n", weft_num_goroutine());
    return 0;
}

WEFT_MAIN(app)
