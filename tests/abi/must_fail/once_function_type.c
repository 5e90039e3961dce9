/* expect: pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(int n);

void g(weft_once *once) {
    weft_once_do(once, f, NULL);
}
