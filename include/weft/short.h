/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/short.h: short names for short programs, on request: <weft.h> doesn't include this file.
 *
 *   go(fn, args...)    weft_go          chan(T)            weft_chan
 *   chmake(T, n)       weft_chan_make   chsend(c, value)   weft_send
 *   chrecv(c, into)    weft_recv        chclose(c)         weft_chan_close
 *   choose(cases...)   weft_select      yield_()           weft_yield
 *   msleep(n)          weft_sleep, of n milliseconds
 *
 * Example: void count(chan(int) c) { for (int i = 0; i < 9; i++) chsend(c, i); chclose(c); }
 */
#ifndef WEFT_SHORT_H
#define WEFT_SHORT_H

#include <weft.h>

#define go(...) weft_go(__VA_ARGS__)
#define chan(...) weft_chan(__VA_ARGS__)
#define chmake(T, capacity) weft_chan_make(T, capacity)
#define chsend(c, ...) weft_send(c, __VA_ARGS__)
#define chrecv(c, into) weft_recv(c, into)
#define chclose(c) weft_chan_close(c)
#define choose(...) weft_select(__VA_ARGS__)
#define yield_() weft_yield()
#define msleep(milliseconds) weft_sleep((weft_duration)(milliseconds)*WEFT_MILLISECOND)

#endif
