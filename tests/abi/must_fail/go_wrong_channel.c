/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(weft_chan(long) c);

void g(weft_chan(int) c) {
    weft_go(f, c);
}
