/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

int g(weft_chan(long) c, const int *signals) {
    return weft_signal_notify(c, signals, 1);
}
