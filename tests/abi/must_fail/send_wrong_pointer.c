/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

bool g(weft_chan(int *) c, long *p) {
    return weft_send(c, p);
}
