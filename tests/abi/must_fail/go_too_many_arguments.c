/* expect: too many arguments to function */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(int a);

void g(void) {
    weft_go(f, 1, 2);
}
