/* expect: incompatible-pointer-types */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(void);

void g(const char *name) {
    weft_go_with(name, f);
}
