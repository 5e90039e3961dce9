/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

int g(const struct weft_attr *opts) {
    return weft_listen_with(opts, "tcp", ":0");
}
