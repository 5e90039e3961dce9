/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways to stop waiting: a time-out in a select, a scope, and a context that somebody cancels.
 *
 * No blocking call has a time-out parameter. A select says what else it waits for; everything else
 * obeys the context that the goroutine runs under.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

/* A service that answers after a while. `reply` has room for one, so an answer that nobody waits
 * for any more does not keep this goroutine. The reference is its own. */
static void service(weft_chan(int) reply, weft_duration after) {
    if (weft_sleep(after))
        weft_send(reply, 42);
    weft_chan_unref(reply);
}

static weft_chan(int) ask(weft_duration after) {
    weft_chan(int) reply = weft_chan_make(int, 1);
    weft_go(service, weft_chan_ref(reply), after);
    return reply;
}

/* 1. The select is patient for 50 ms. */
static void with_select(const char *what, weft_duration after) {
    weft_chan(int) reply = ask(after);
    int answer;
    switch (weft_select(weft_case_recv(reply, &answer), weft_case_after(50 * WEFT_MILLISECOND))) {
    case 0:
        printf("select, %s service: the answer is %d\n", what, answer);
        break;
    case 1:
        printf("select, %s service: no answer in 50 ms\n", what);
        break;
    }
    weft_chan_unref(reply);
}

/* A function that knows nothing of time-outs, its callers' or anybody's. */
static int two_questions(weft_duration after) {
    int sum = 0;
    for (int i = 0; i < 2; i++) {
        int answer;
        weft_chan(int) reply = ask(after);
        bool ok = weft_recv(reply, &answer);
        weft_chan_unref(reply);
        if (!ok)
            return -1; /* errno from weft_recv */
        sum += answer;
    }
    return sum;
}

/* 2. The scope lasts until the end of the block: whatever waits inside of it, however deep, has
 * 50 ms together. */
static void with_scope(const char *what, weft_duration after) {
    weft_scope_timeout(50 * WEFT_MILLISECOND);
    int sum = two_questions(after);
    if (sum >= 0)
        printf("scope, %s service: two answers make %d\n", what, sum);
    else
        printf("scope, %s service: %s\n", what, strerror(errno));
}

/* 3. Somebody else decides. */
static void impatient(weft_ctx *ctx) {
    weft_sleep(20 * WEFT_MILLISECOND);
    weft_ctx_cancel(ctx, EINTR); /* the cause, for those who ask for it */
    weft_ctx_unref(ctx);
}

static void with_context(weft_duration after) {
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_current());
    weft_go(impatient, weft_ctx_ref(ctx));
    {
        weft_scope_ctx(ctx);
        if (two_questions(after) < 0)
            printf("context: %s, because: %s\n", strerror(errno), strerror(weft_ctx_cause(ctx)));
    }
    weft_ctx_unref(ctx);
}

static int app(int argc, char **argv) {
    (void)argc, (void)argv;
    with_select("quick", WEFT_MILLISECOND);
    with_select("slow", WEFT_SECOND);
    with_scope("quick", WEFT_MILLISECOND);
    with_scope("slow", WEFT_SECOND);
    with_context(WEFT_SECOND);
    return 0;
}

WEFT_MAIN(app)
