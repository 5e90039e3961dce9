/* expect: too many arguments to function */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

bool g(weft_chan(int) c) {
    return weft_send(c, 1, 2);
}
