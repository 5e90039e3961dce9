/* SPDX-License-Identifier: Apache-2.0 */
/* The short names, compiled as C and, through compile_short.cc, as C++. */
#include <weft/short.h>

static void count(chan(int) c) {
    for (int i = 0; i < 9; i++)
        chsend(c, i);
    chclose(c);
}

static int app(int argc, char **argv) {
    int n = 0;
    chan(int) c = chmake(int, 2);
    (void)argc;
    (void)argv;
    go(count, c);
    while (chrecv(c, &n))
        yield_();
    msleep(1);
    return choose(weft_case_recv(c, &n), weft_case_default());
}

WEFT_MAIN(app)
