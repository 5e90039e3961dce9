/* expect: the function can't be called with copies of these arguments */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(int *p);

void g(long *p) {
    weft_go(f, p);
}
