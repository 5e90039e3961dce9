/* SPDX-License-Identifier: Apache-2.0 */
#include "compile_short.c"
