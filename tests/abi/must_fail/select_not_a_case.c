/* expect: int-conversion */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

int g(weft_chan(int) c, int *into) {
    return weft_select(weft_case_recv(c, into), c);
}
