/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

int g(weft_chan(int) c, int *into, int *ok) {
    return weft_select(weft_case_recv_ok(c, into, ok));
}
