/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

int g(weft_chan(int) c, long *into) {
    return weft_select(weft_case_recv(c, into));
}
