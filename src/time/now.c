/* SPDX-License-Identifier: Apache-2.0 */
#include <weft/time.h>

#include "../sched/sched.h"

weft_time weft_now(void) {
    return wefti_nanotime();
}
