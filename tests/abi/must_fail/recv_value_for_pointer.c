/* expect: int-conversion */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

bool g(weft_chan(int) c, int into) {
    return weft_recv(c, into);
}
