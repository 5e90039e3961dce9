/* expect: weft_go_with: an argument is neither an integer nor a pointer: pass a pointer */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

void f(float x);

void g(const struct weft_attr *attr) {
    weft_go_with(attr, f, 1.5f);
}
