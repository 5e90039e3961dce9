/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of arch/arch.h, without the scheduler: this file stands in for the two things that
 * src/arch needs of it, wefti_goroutine_main and wefti_m. tests/arch/run builds it for the other
 * architectures too.
 */
#define WEFT_NO_ERRNO 1
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unwind.h>

#include "arch/arch.h"
#include "base/sanitize.h"
#include "weft_test.h"

#include "switch_arch.h"

#define STACK_SIZE 65536
#define CONTEXTS 16
#define ROUNDS (20000 / test_slowness())

struct g {
    void (*body)(void);
};

struct m {
    int number;
};

struct context {
    void *sp; /* NULL: not started */
    struct g g;
};

__thread struct m *wefti_m;

/* Context 0 is the test's own. */
static struct context contexts[CONTEXTS], *current;
static char stacks[CONTEXTS][STACK_SIZE] __attribute__((aligned(16)));

static void begin(void) {
#ifdef WEFTI_TSAN
    test_skip("ThreadSanitizer has to be told of each switch");
#endif
    current = contexts;
}

static char *top_of(const struct context *c) {
    return stacks[c - contexts + 1];
}

static void make(struct context *c, void (*body)(void)) {
    c->sp = NULL;
    c->g.body = body;
}

static void switch_to(struct context *to) {
    struct context *from = current;
    current = to;
    if (to->sp)
        arch_switch(&from->sp, to->sp);
    else
        arch_start(&from->sp, top_of(to), &to->g);
}

void wefti_goroutine_main(struct g *gp) {
    CHECK_EQ(gp, &current->g);
    gp->body();
    FAIL("a body returned");
}

/* ---- there and back ---- */

static void on_own_stack(void) {
    char *sp = arch_sp();
    CHECK(sp < top_of(current) && sp > top_of(current) - 4096);
}

static void body_once(void) {
    on_own_stack();
    switch_to(&contexts[0]);
    on_own_stack();
    switch_to(&contexts[0]);
}

TEST_PLAIN(start_and_switch) {
    begin();
    char *sp = arch_sp();
    CHECK(sp < stacks[0] || sp > top_of(&contexts[CONTEXTS - 1]));
    make(&contexts[1], body_once);
    switch_to(&contexts[1]);
    switch_to(&contexts[1]);
    CHECK_EQ(current, &contexts[0]);
}

static int jumps;

static void body_jumping(void) {
    on_own_stack();
    jumps++;
    struct context *next = current + 1;
    if (next == contexts + CONTEXTS)
        next = contexts;
    current = next;
    if (next == contexts)
        arch_jump(next->sp);
    arch_start_jump(top_of(next), &next->g);
}

TEST_PLAIN(start_jump_and_jump) {
    begin();
    for (int round = 1; round <= 100; round++) {
        for (int i = 1; i < CONTEXTS; i++)
            make(&contexts[i], body_jumping);
        switch_to(&contexts[1]);
        CHECK_EQ(jumps, round * (CONTEXTS - 1));
        CHECK_EQ(current, &contexts[0]);
    }
}

/* ---- registers ---- */

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Calls fn, which goes elsewhere, with random registers; they must be the same when it is back. */
static void check_around(uint64_t *seed, void (*fn)(void), const void *a, const void *b,
                         const void *c) {
    uint64_t before[TEST_REGISTERS], after[TEST_REGISTERS];
    for (size_t i = 0; i < TEST_REGISTERS; i++)
        after[i] = before[i] = next_random(seed);
    test_around(after, fn, a, b, c);
    for (size_t i = 0; i < TEST_REGISTERS; i++)
        if (before[i] != after[i])
            FAIL("%s is 0x%llx, not 0x%llx", test_register_names[i], (unsigned long long)after[i],
                 (unsigned long long)before[i]);
}

static void check_switch_to(struct context *to, uint64_t *seed) {
    struct context *from = current;
    current = to;
    if (to->sp)
        check_around(seed, (void (*)(void))arch_switch, &from->sp, to->sp, NULL);
    else
        check_around(seed, (void (*)(void))arch_start, &from->sp, top_of(to), &to->g);
}

static void body_registers(void) {
    uint64_t seed = (uintptr_t)current;
    for (;;) {
        check_switch_to(&contexts[0], &seed);
        check_switch_to(&contexts[2 + next_random(&seed) % (CONTEXTS - 2)], &seed);
    }
}

static void body_registers_back(void) {
    uint64_t seed = (uintptr_t)current;
    for (;;)
        check_switch_to(&contexts[1], &seed);
}

TEST_PLAIN(registers_are_kept) {
    begin();
    uint64_t seed = 12345;
    make(&contexts[1], body_registers);
    for (int i = 2; i < CONTEXTS; i++)
        make(&contexts[i], body_registers_back);
    for (int i = 0; i < ROUNDS; i++)
        check_switch_to(&contexts[1], &seed);
}

static void body_jump_home(void) {
    current = contexts;
    arch_jump(contexts[0].sp);
}

TEST_PLAIN(registers_are_kept_by_jumps) {
    begin();
    uint64_t seed = 54321;
    for (int i = 0; i < 1000; i++) {
        make(&contexts[1], body_jump_home);
        check_switch_to(&contexts[1], &seed);
    }
}

/* ---- many switches ---- */

static int switches_left;

/* Each context keeps a few values in locals, which the compiler spreads over registers and stack.
 */
static void wander(uint64_t seed) {
    uint64_t a = seed, b = ~seed, c = seed * 3;
    volatile double d = (double)(seed % 1000);
    double e = d * 0.5;
    while (switches_left > 0) {
        switches_left--;
        uint64_t to = next_random(&seed) % CONTEXTS;
        if (&contexts[to] != current)
            switch_to(&contexts[to]);
        a++;
        b--;
        c += 3;
        e += 0.5;
        d += 1;
        CHECK_EQ(a, ~b);
        CHECK_EQ(c, a * 3);
        CHECK(e == d * 0.5);
    }
}

static void body_wander(void) {
    wander((uintptr_t)current * 77);
    current = contexts;
    arch_jump(contexts[0].sp);
}

TEST_PLAIN(many_switches) {
    begin();
    switches_left = 10 * ROUNDS;
    for (int i = 1; i < CONTEXTS; i++)
        make(&contexts[i], body_wander);
    wander(4711);
    CHECK_EQ(switches_left, 0);
    CHECK_EQ(current, &contexts[0]);
}

/* ---- floating-point control words ---- */

static const uint64_t words_of[] = {TEST_CONTROL_DEFAULT, TEST_CONTROL_UP, TEST_CONTROL_DOWN};

static double third(void) {
    static volatile double one = 1, three = 3;
    return one / three;
}

static void check_words(int n) {
    CHECK_EQ(test_control(), words_of[n]);
    if (words_of[n] == TEST_CONTROL_UP)
        CHECK(third() * 3 > 1 && third() > 0.333333333333333314);
    else
        CHECK(third() <= 0.333333333333333315);
}

static void body_control(void) {
    int n = (int)(current - contexts);
    check_words(0);
    test_set_control(words_of[n % 3]);
    for (;;) {
        switch_to(&contexts[0]);
        check_words(n % 3);
        switch_to(n == CONTEXTS - 1 ? &contexts[0] : current + 1);
        check_words(n % 3);
    }
}

TEST_PLAIN(control_words_belong_to_the_context) {
    begin();
    CHECK_EQ(test_control(), TEST_CONTROL_DEFAULT);
    for (int round = 0; round < ROUNDS / 100 + 3; round++) {
        int mine = round % 3;
        test_set_control(words_of[mine]);
        for (int i = 1; i < CONTEXTS; i++) {
            if (round == 0)
                make(&contexts[i], body_control);
            switch_to(&contexts[i]);
            check_words(mine);
        }
    }
    test_set_control(TEST_CONTROL_DEFAULT);
}

static void body_default_words(void) {
    check_words(0);
    test_set_control(TEST_CONTROL_DOWN);
    if (++current == contexts + CONTEXTS) {
        current = contexts;
        arch_jump(contexts[0].sp);
    }
    arch_start_jump(top_of(current), &current->g);
}

TEST_PLAIN(control_words_of_a_start) {
    begin();
    for (int i = 1; i < CONTEXTS; i++)
        make(&contexts[i], body_default_words);
    test_set_control(TEST_CONTROL_UP);
    switch_to(&contexts[1]);
    check_words(1);
    test_set_control(TEST_CONTROL_DEFAULT);
}

/* ---- calls ---- */

static void check_aligned(const void *frame) {
    /* the frame pointer is 16-aligned where, at a function's entry, the stack was as the ABI says
     */
    CHECK_EQ((uintptr_t)frame % 16, 0);
}

static __attribute__((noinline)) int six(uint64_t a, void *b, int64_t c, uint32_t d, int e,
                                         uint64_t f) {
    check_aligned(__builtin_frame_address(0));
    CHECK_EQ(a, 0x123456789abcdef0);
    CHECK_EQ(b, stacks);
    CHECK_EQ(c, INT64_MIN);
    CHECK_EQ(d, 7);
    CHECK_EQ(e, -5);
    CHECK_EQ(f, UINT64_MAX);
    return -42;
}

static int sum(int n, ...) {
    va_list ap;
    va_start(ap, n);
    int total = 0;
    for (int i = 0; i < n; i++)
        total += va_arg(ap, int);
    va_end(ap);
    return total;
}

static void calls(void) {
    /* static, so that building them leaves them in no register */
    static const uint64_t words[] = {0x123456789abcdef0, (uintptr_t)stacks, (uint64_t)INT64_MIN, 7,
                                     (uint64_t)-5,       UINT64_MAX};
    CHECK_EQ(arch_call((void (*)(void))six, words), -42);
    static const uint64_t five[] = {5, 10, 20, (uint64_t)-30, 40, 50};
    CHECK_EQ(arch_call((void (*)(void))sum, five), 90);
    uint64_t seed = 99;
    check_around(&seed, (void (*)(void))arch_call, (void *)sum, five, NULL);
}

static void body_calls(void) {
    check_aligned(__builtin_frame_address(0));
    calls();
    switch_to(&contexts[0]);
    check_aligned(__builtin_frame_address(0));
    calls();
    current = contexts;
    arch_jump(contexts[0].sp);
}

TEST_PLAIN(six_words_and_an_aligned_stack) {
    begin();
    calls();
    make(&contexts[1], body_calls);
    switch_to(&contexts[1]);
    switch_to(&contexts[1]);
}

/* ---- unwinding ---- */

struct walk {
    int frames;
    uintptr_t last, before; /* return addresses */
};

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg) {
    struct walk *w = arg;
    w->before = w->last;
    w->last = _Unwind_GetIP(context);
    return ++w->frames < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void check_unwind(void) {
    struct walk w = {0, 0, 0};
    CHECK_EQ(_Unwind_Backtrace(count_frame, &w), _URC_END_OF_STACK);
    CHECK(w.frames >= 4 && w.frames < 10);
    /* the outermost frame has no return address, which libgcc counts as a frame at 0 */
    CHECK_EQ(w.last, 0);
    /* it lies between these in switch.S */
    CHECK(w.before > (uintptr_t)arch_start_jump && w.before < (uintptr_t)arch_call);
}

static void check_frame_pointers(void) {
    int frames = 0;
    for (void **fp = __builtin_frame_address(0); fp; fp = test_caller_frame(fp)) {
        CHECK((char *)fp <= top_of(current) && (char *)fp > top_of(current) - 8192);
        CHECK(++frames < 10);
    }
    CHECK(frames >= 3);
}

static void body_unwind(void) {
    check_unwind();
    check_frame_pointers();
    switch_to(&contexts[0]);
    check_unwind();
    check_frame_pointers();
    struct context *next = current + 1;
    current = next;
    arch_start_jump(top_of(next), &next->g);
}

static void body_unwind_last(void) {
    check_unwind();
    check_frame_pointers();
    current = contexts;
    arch_jump(contexts[0].sp);
}

TEST_PLAIN(backtraces_end) {
    begin();
    make(&contexts[1], body_unwind);
    make(&contexts[2], body_unwind_last);
    memset(stacks[2], 0x5a, 256); /* above the tops, where nothing may look like an end */
    memset(stacks[3], 0x5a, 256);
    switch_to(&contexts[1]);
    switch_to(&contexts[1]);
    CHECK_EQ(current, &contexts[0]);
}

/* ---- threads ---- */

static struct m ms[2] = {{0}, {1}};

/* One function, so that the compiler might remember what it read on the first thread. */
static void body_migrating(void) {
    for (int i = 0;; i ^= 1) {
        CHECK_EQ(arch_getm(), &ms[i]);
        CHECK_EQ(arch_getm()->number, i);
        switch_to(&contexts[0]);
    }
}

static void *other_thread(void *arg) {
    (void)arg;
    CHECK(!arch_getm());
    wefti_m = &ms[1];
    CHECK_EQ(arch_getm(), &ms[1]);
    switch_to(&contexts[1]);
    CHECK_EQ(arch_getm(), &ms[1]);
    return NULL;
}

TEST_PLAIN(m_is_the_threads) {
    begin();
    CHECK(!arch_getm());
    wefti_m = &ms[0];
    make(&contexts[1], body_migrating);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(arch_getm(), &ms[0]);
        switch_to(&contexts[1]);
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, other_thread, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    arch_pause();
}
