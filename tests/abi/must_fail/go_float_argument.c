/* expect: weft_go: an argument is neither an integer nor a pointer: pass a pointer */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(double x);

void g(void) {
    weft_go(f, 1.5);
}
