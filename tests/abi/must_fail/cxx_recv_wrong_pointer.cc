/* expect: weft_impl_same_t */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

bool g(weft_chan(int) c, long *into) {
    return weft_recv(c, into);
}
