/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

weft_chan(long) g(void) {
    return weft_chan_make(int, 1);
}
