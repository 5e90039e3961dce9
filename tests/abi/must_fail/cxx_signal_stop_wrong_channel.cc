/* expect: weft_signal_stop */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void g(weft_chan(char) c) {
    weft_signal_stop(c);
}
