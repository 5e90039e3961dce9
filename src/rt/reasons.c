/* SPDX-License-Identifier: Apache-2.0 */
/* What a waiting goroutine waits for, in Go's words: tools and people know them. */
#include "rt.h"

static const char *const texts[WEFTI_WAIT_REASONS] = {
    [WEFTI_WAIT_NONE] = "",
    [WEFTI_WAIT_CHAN_RECEIVE] = "chan receive",
    [WEFTI_WAIT_CHAN_SEND] = "chan send",
    [WEFTI_WAIT_CHAN_RECEIVE_NIL] = "chan receive (nil chan)",
    [WEFTI_WAIT_CHAN_SEND_NIL] = "chan send (nil chan)",
    [WEFTI_WAIT_SELECT] = "select",
    [WEFTI_WAIT_SELECT_NO_CASES] = "select (no cases)",
    [WEFTI_WAIT_SLEEP] = "sleep",
    [WEFTI_WAIT_IO] = "IO wait",
    [WEFTI_WAIT_SEMACQUIRE] = "semacquire",
    [WEFTI_WAIT_MUTEX_LOCK] = "sync.Mutex.Lock",
    [WEFTI_WAIT_RWMUTEX_RLOCK] = "sync.RWMutex.RLock",
    [WEFTI_WAIT_RWMUTEX_LOCK] = "sync.RWMutex.Lock",
    [WEFTI_WAIT_COND_WAIT] = "sync.Cond.Wait",
    [WEFTI_WAIT_WG_WAIT] = "sync.WaitGroup.Wait",
    [WEFTI_WAIT_GROUP_WAIT] = "sync.WaitGroup.Wait",
    [WEFTI_WAIT_GROUP_GO] = "semacquire",
    [WEFTI_WAIT_PREEMPTED] = "preempted",
};

const char *wefti_reason_text(enum wefti_reason reason) {
    unsigned i = reason; /* read without a lock, it may be anything */
    return i < WEFTI_WAIT_REASONS && texts[i] ? texts[i] : "unknown wait reason";
}
