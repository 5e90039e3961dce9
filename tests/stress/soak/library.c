/* SPDX-License-Identifier: Apache-2.0 */
/* What the soak loads and unloads: built twice, so that there are two of it. */
static __thread unsigned own;
static __thread char padding[2000] = {1}; /* so that the block is not small */

unsigned *soak_library_own(unsigned value);

unsigned *soak_library_own(unsigned value) {
    own = value;
    padding[value % sizeof padding]++;
    return &own;
}
