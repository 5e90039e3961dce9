/* SPDX-License-Identifier: Apache-2.0 */
/* C++ exceptions: thrown through frames with destructors, caught, rethrown after a weft call. */
#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>

#include "soak.h"

namespace {

struct counts {
    long &n;
    explicit counts(long &at) : n(at) {
        n++;
    }
    ~counts() {
        n--;
    }
};

void throws_deep(int depth, uint32_t value, long &alive) {
    counts one(alive);
    std::string local = "a string that needs memory of its own " + std::to_string(depth);
    if (depth == 0)
        throw std::runtime_error("value " + std::to_string(value));
    throws_deep(depth - 1, value, alive);
    SOAK_CHECK(local.empty()); /* not reached */
}

void rethrows(soak_worker *w, uint32_t value, long &alive) {
    try {
        throws_deep(6, value, alive);
    } catch (...) {
        SOAK_CHECK(alive == 0 && std::uncaught_exceptions() == 0);
        soak_rest(w);
        throw;
    }
}

} // namespace

extern "C" void soak_throws(soak_worker *w) {
    long alive = 0;
    do {
        uint32_t value = soak_below(w, 1000000);
        bool caught = false;
        try {
            rethrows(w, value, alive);
        } catch (const std::exception &e) {
            caught = e.what() == "value " + std::to_string(value);
        }
        SOAK_CHECK(caught && alive == 0);
        w->done++;
    } while (soak_more());
}
