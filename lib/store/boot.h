/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_BOOT_H
#define CHAPPE_STORE_BOOT_H

/*
 * Which boot of the machine this is. What was written without a flush in the
 * same boot is all there; of another boot's, nobody knows.
 */

#include <stdbool.h>
#include <stdint.h>

/* From the kernel's random boot id, with the highest bit set; where that is
 * hidden, the second at which the machine started. Never 0. */
uint64_t boot_mark(void);
bool boot_same(uint64_t a, uint64_t b);

#endif
