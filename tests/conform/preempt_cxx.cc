/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C++ exceptions in goroutines that are stopped by signal in the middle of them: thrown, caught and
 * rethrown by more goroutines than there are Ps, without a weft call.
 */
#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>

#include <weft.h>

#include "weft_test.h"

namespace {

std::atomic<bool> stop{false};
std::atomic<int> failed{0};
std::atomic<long> thrown{0};

void throws_deep(int depth, int value) {
    std::string local = "unwound " + std::to_string(depth); /* must be destroyed on the way */
    if (depth == 0)
        throw std::runtime_error("value " + std::to_string(value));
    throws_deep(depth - 1, value);
}

void rethrows(int value) {
    try {
        throws_deep(5, value);
    } catch (...) {
        if (std::uncaught_exceptions() != 0)
            failed = 1;
        throw;
    }
}

void throws_until_stopped(int me) {
    for (int i = 0; !stop; i++) {
        try {
            rethrows(me * 1000 + i % 1000);
            failed = 1;
        } catch (const std::exception &e) {
            if (e.what() != "value " + std::to_string(me * 1000 + i % 1000))
                failed = 1;
        }
        thrown++;
    }
}

void many() {
    weft_wg wg = WEFT_WG_INIT;
    for (int i = 0; i < 8; i++)
        CHECK_EQ(weft_wg_go(&wg, throws_until_stopped, i), 0);
    weft_sleep(500 * WEFT_MILLISECOND);
    stop = true;
    weft_wg_wait(&wg);
    CHECK_EQ(failed, 0);
    CHECK(thrown > 8);
}

} /* namespace */

TEST_ENV(exceptions_in_preempted_goroutines, "GOMAXPROCS=2") {
    many();
}

TEST_ENV(exceptions_in_preempted_goroutines_1, "GOMAXPROCS=1") {
    many();
}
