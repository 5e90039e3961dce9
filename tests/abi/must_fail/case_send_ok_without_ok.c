/* expect: too few arguments to function */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

int g(weft_chan(int) c) {
    return weft_select(weft_case_send_ok(c, 1));
}
