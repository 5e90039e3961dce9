/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest C++ user of an installed weft; tools/install-check builds it. */
#include <stdio.h>
#include <weft.h>

static void answer(weft_chan(int) c) {
    weft_send(c, 42);
}

static int app(int argc, char **argv) {
    (void)argc;
    (void)argv;
    weft_chan(int) c = weft_chan_make(int, 0);
    int v = 0;
    if (weft_go(answer, c) != 0 || !weft_recv(c, &v))
        return 1;
    printf("%d from a goroutine\n", v);
    weft_chan_unref(c);
    return 0;
}

WEFT_MAIN(app)
