/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(int *p);

void g(long *p) {
    weft_go(f, p);
}
