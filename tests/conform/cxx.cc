/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cxx.cc: weft from C++. Exceptions belong to the goroutine: each has its own stack of caught and
 * uncaught ones across parks and threads. Channels carry objects through pointers; goroutines are
 * lambdas. Each catch below parks while others throw and catch on the same thread: with one set of
 * the C++ runtime's globals per thread these tests abort.
 */
#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <unistd.h>

#include <weft.h>

#include "weft_test.h"

namespace {

std::atomic<int> failed{0};
std::atomic<int> count{0};

/* Loses the P in one of three ways. */
void park(int i) {
    if (i % 3 == 0)
        weft_sleep(1);
    else
        weft_yield();
}

void throws_deep(int depth, int value) {
    std::string local = "unwound " + std::to_string(depth); /* must be destroyed on the way */
    if (depth == 0)
        throw std::runtime_error("value " + std::to_string(value));
    park(depth);
    throws_deep(depth - 1, value);
}

void throws_and_catches(int value, int rounds) {
    for (int i = 0; i < rounds; i++) {
        std::string caught;
        try {
            throws_deep(5, value + i);
        } catch (const std::exception &e) {
            caught = e.what();
        }
        park(i);
        if (caught != "value " + std::to_string(value + i))
            failed = 1;
    }
}

void many(void (*fn)(int, int), int goroutines, int rounds) {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < goroutines; i++)
        CHECK_EQ(weft_wg_go(&wg, fn, i * 1000, rounds), 0);
    weft_wg_wait(&wg);
    CHECK_EQ(failed.load(), 0);
}

int rounds_of(int n) {
    return (n + test_slowness() - 1) / test_slowness();
}

TEST_ENV(cxx_exceptions_across_parks_1, "GOMAXPROCS=1") {
    many(throws_and_catches, 30, rounds_of(100));
}

TEST_ENV(cxx_exceptions_across_parks_4, "GOMAXPROCS=4") {
    many(throws_and_catches, 30, rounds_of(100));
}

void parks_in_catch_and_rethrows(int value, int rounds) {
    for (int i = 0; i < rounds; i++) {
        int seen = -1;
        try {
            try {
                throw value + i;
            } catch (...) {
                park(i);
                throw; /* the one that this goroutine caught, not the thread's last */
            }
        } catch (int &e) {
            park(i + 1);
            seen = e;
        }
        if (seen != value + i)
            failed = 1;
        if (std::current_exception() != nullptr || std::uncaught_exceptions() != 0)
            failed = 2;
    }
}

TEST_ENV(cxx_park_in_catch_then_rethrow_1, "GOMAXPROCS=1") {
    many(parks_in_catch_and_rethrows, 40, rounds_of(200));
}

TEST_ENV(cxx_park_in_catch_then_rethrow_4, "GOMAXPROCS=4") {
    many(parks_in_catch_and_rethrows, 40, rounds_of(200));
}

void nests_catches(int value, int rounds) {
    for (int i = 0; i < rounds; i++) {
        try {
            throw std::string("outer " + std::to_string(value));
        } catch (const std::string &outer) {
            park(i);
            try {
                throw value;
            } catch (int inner) {
                park(i + 1);
                std::exception_ptr held = std::current_exception();
                park(i + 2);
                try {
                    std::rethrow_exception(held);
                } catch (int again) {
                    if (again != value || inner != value)
                        failed = 1;
                }
            }
            park(i);
            if (outer != "outer " + std::to_string(value))
                failed = 2;
        }
    }
}

TEST_ENV(cxx_nested_catches_4, "GOMAXPROCS=4") {
    many(nests_catches, 30, rounds_of(100));
}

/* Parks while an exception is on its way: uncaught_exceptions() is the goroutine's own. */
struct parks_in_destructor {
    int expect;
    ~parks_in_destructor() {
        for (int i = 0; i < 4; i++) {
            park(i);
            if (std::uncaught_exceptions() != expect)
                failed = 1;
        }
    }
};

void unwinds_through_parks(int value, int rounds) {
    for (int i = 0; i < rounds; i++) {
        { parks_in_destructor calm{0}; }
        try {
            parks_in_destructor unwinding{1};
            throw value;
        } catch (int e) {
            if (e != value)
                failed = 2;
        }
    }
}

TEST_ENV(cxx_park_while_unwinding_1, "GOMAXPROCS=1") {
    many(unwinds_through_parks, 20, rounds_of(50));
}

TEST_ENV(cxx_park_while_unwinding_4, "GOMAXPROCS=4") {
    many(unwinds_through_parks, 20, rounds_of(50));
}

TEST_DIES(cxx_an_exception_that_leaves_the_function, 128 + 6,
          "terminate called after throwing an instance of 'int'") {
    weft_go([] { throw 1; });
    weft_sleep(WEFT_HOUR);
}

/* ---- channels ---- */

TEST(cxx_strings_through_a_channel) {
    weft_chan(std::string *) c = weft_chan_make(std::string *, 3);
    const int n = rounds_of(20000);
    weft_go([c, n] {
        for (int i = 0; i < n; i++) {
            auto text = std::make_unique<std::string>("number " + std::to_string(i));
            if (weft_send(c, text.get()))
                text.release(); /* it is the receiver's now */
            else
                failed = 1;
        }
        weft_chan_close(c);
        count++;
    });
    std::string *raw = nullptr;
    int i = 0;
    for (; weft_recv(c, &raw); i++) {
        std::unique_ptr<std::string> text(raw);
        CHECK(*text == "number " + std::to_string(i));
    }
    CHECK_EQ(i, n);
    while (count == 0)
        weft_yield();
    CHECK_EQ(failed.load(), 0);
    weft_chan_unref(c);
}

struct wide {
    int number;
    char text[1000];
};

TEST(cxx_select_with_wide_elements) {
    weft_chan(wide) in = weft_chan_make(wide, 0);
    weft_chan(wide) out = weft_chan_make(wide, 1);
    weft_wg wg = WEFT_WG_INIT;
    weft_wg_go(&wg, [=] {
        wide w;
        while (weft_recv(in, &w)) {
            w.number *= 2;
            if (weft_select(weft_case_send(out, w)) != 0)
                failed = 1;
        }
    });
    for (int i = 0; i < 1000; i++) {
        wide w = {i, {}}, back = {-1, {}};
        w.text[999] = static_cast<char>(i);
        bool ok = false;
        CHECK_EQ(weft_select(weft_case_recv(out, nullptr), weft_case_send_ok(in, w, &ok)), 1);
        CHECK(ok);
        CHECK_EQ(weft_select(weft_case_recv_ok(out, &back, &ok), weft_case_after(WEFT_HOUR)), 0);
        CHECK(ok);
        CHECK_EQ(back.number, 2 * i);
        CHECK_EQ(back.text[999], w.text[999]);
    }
    CHECK_EQ(weft_select(weft_case_recv(out, nullptr), weft_case_default()), 1);
    weft_chan_close(in);
    weft_wg_wait(&wg);
    CHECK(in != out && in != nullptr);
    weft_chan_unref(in);
    weft_chan_unref(out);
    CHECK_EQ(failed.load(), 0);
}

/* ---- goroutines ---- */

int nine(int a, int b, int c, int d, int e, int f, int g, int h, std::string i) {
    if (a + b + c + d + e + f + g + h != 36 || i != "nine")
        failed = 1;
    count++;
    return 0;
}

TEST(cxx_lambdas_and_arguments) {
    weft_wg wg = WEFT_WG_INIT;
    int local = 0;
    auto owned = std::make_unique<int>(5);
    CHECK_EQ(weft_wg_go(&wg, [&local] { local = 7; }), 0);
    weft_wg_wait(&wg);
    CHECK_EQ(local, 7);
    weft_wg_go(&wg, [p = std::move(owned)] { count += *p; });
    weft_wg_go(
        &wg, [](double d, float f, bool b) { count += d == 1.5 && f == 2.5f && b; }, 1.5, 2.5f,
        true);
    weft_wg_go(&wg, nine, 1, 2, 3, 4, 5, 6, 7, 8, "nine");
    weft_wg_go(
        &wg, [](int &there) { there = 8; }, std::ref(local));
    weft_wg_wait(&wg);
    CHECK_EQ(local, 8);
    CHECK_EQ(count.load(), 5 + 1 + 1);
    CHECK_EQ(failed.load(), 0);
    CHECK(owned == nullptr);
}

struct counted {
    static std::atomic<int> alive;
    counted() {
        alive++;
    }
    counted(const counted &) {
        alive++;
    }
    ~counted() {
        alive--;
    }
};
std::atomic<int> counted::alive{0};

TEST(cxx_captures_are_destroyed) {
    {
        counted c;
        for (int i = 0; i < 100; i++)
            weft_go([c](const counted &) { weft_yield(); }, c);
    }
    while (weft_num_goroutine() > 1)
        weft_yield();
    CHECK_EQ(counted::alive.load(), 0);
}

TEST(cxx_group_of_lambdas) {
    weft_group g = WEFT_GROUP_INIT;
    for (int i = 0; i < 10; i++)
        weft_group_go(&g, [i] { return i == 3 ? 33 : weft_sleep(WEFT_HOUR) ? -1 : 0; });
    CHECK_EQ(weft_group_wait(&g), 33);
}

TEST(cxx_exceptions_leave_scopes) {
    weft_ctx *before = weft_ctx_current();
    weft_ctx *ctx = weft_ctx_with_cancel(weft_ctx_background());
    for (int i = 0; i < 100; i++) {
        try {
            weft_scope_ctx(ctx);
            CHECK(weft_ctx_current() == ctx);
            weft_scope_timeout(WEFT_HOUR);
            CHECK(weft_ctx_current() != ctx);
            park(i);
            throw i;
        } catch (int e) {
            CHECK_EQ(e, i);
            CHECK(weft_ctx_current() == before);
        }
    }
    weft_ctx_unref(ctx);
}

TEST_ENV(cxx_weft_block_and_exceptions, "GOMAXPROCS=1") {
    int caught = 0;
    for (int i = 0; i < 20; i++) {
        try {
            weft_block(throw i); /* leaves the bracket */
        } catch (int e) {
            caught += e == i;
        }
        weft_yield();
    }
    CHECK_EQ(caught, 20);
    CHECK_EQ(weft_block(::close(-1)), -1);
    CHECK_EQ(errno, EBADF);
}

TEST(cxx_deferred_lambdas) {
    static std::atomic<int> order{0};
    weft_go([] {
        weft_defer([](void *) { order = order * 10 + 1; }, nullptr);
        weft_defer([](void *) { order = order * 10 + 2; }, nullptr);
        weft_goexit();
    });
    while (weft_num_goroutine() > 1)
        weft_yield();
    CHECK_EQ(order.load(), 21);
}

} // namespace
