/* expect: weft_go: more than 6 arguments */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(int a, int b, int c, int d, int e, int f, int g);

void g(void) {
    weft_go(f, 1, 2, 3, 4, 5, 6, 7);
}
