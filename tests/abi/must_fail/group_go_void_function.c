/* expect: weft_group_go: the function must return int */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(int n);

void g(weft_group *group) {
    weft_group_go(group, f, 1);
}
