/* expect: subscripted value */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

bool g(int *p) {
    return weft_send(p, 1);
}
