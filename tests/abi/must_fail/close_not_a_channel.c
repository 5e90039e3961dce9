/* expect: subscripted value */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void g(int *p) {
    weft_chan_close(p);
}
