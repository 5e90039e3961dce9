/* expect: an element must be trivially copyable: send a pointer */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

#include <string>

bool g(weft_chan(std::string) c, const std::string &text) {
    return weft_send(c, text);
}
