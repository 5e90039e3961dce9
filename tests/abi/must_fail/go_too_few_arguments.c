/* expect: too few arguments to function */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(int a, int b);

void g(void) {
    weft_go(f, 1);
}
