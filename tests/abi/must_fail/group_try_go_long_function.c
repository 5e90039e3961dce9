/* expect: weft_group_try_go: the function must return int */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

long f(void);

bool g(weft_group *group) {
    return weft_group_try_go(group, f);
}
