/* expect: weft_go: an argument is neither an integer nor a pointer: pass a pointer */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(__int128 n);

void g(__int128 n) {
    weft_go(f, n);
}
