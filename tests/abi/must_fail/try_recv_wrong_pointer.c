/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

bool g(weft_chan(char) c, int *into) {
    return weft_try_recv(c, into);
}
