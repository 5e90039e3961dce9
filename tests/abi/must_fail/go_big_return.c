/* expect: weft_go: the function returns more than 16 bytes: pass a pointer */
/* SPDX-License-Identifier: Apache-2.0 */
#include <weft.h>

struct big {
    long a[3];
};
struct big f(int n);

void g(void) {
    weft_go(f, 1);
}
