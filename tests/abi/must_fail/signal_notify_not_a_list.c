/* expect: int-conversion */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

int g(weft_chan(int) c) {
    return weft_signal_notify(c, SIGINT, 1);
}
