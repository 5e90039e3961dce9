/* expect: incompatible type */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

struct pt {
    int x, y;
};

bool g(weft_chan(struct pt) c) {
    return weft_send(c, 1);
}
