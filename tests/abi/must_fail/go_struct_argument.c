/* expect: weft_go: an argument is neither an integer nor a pointer: pass a pointer */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

struct pt {
    int x, y;
};
void f(int n, struct pt p);

void g(struct pt p) {
    weft_go(f, 1, p);
}
