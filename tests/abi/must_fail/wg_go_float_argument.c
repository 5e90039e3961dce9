/* expect: weft_wg_go: an argument is neither an integer nor a pointer: pass a pointer */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(double x);

void g(weft_wg *wg) {
    weft_wg_go(wg, f, 1.5);
}
