/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_CRC_H
#define CHAPPE_BASE_CRC_H

/*
 * CRC-32C (Castagnoli; RFC 3720 12.1, appendix B.4): what the files of the
 * queue and the indexes are checked with. It finds torn and decayed bytes; it
 * is no protection against anyone who means it.
 */

#include <stdint.h>

#include "lib/base/span.h"

/* Continues a checksum over more bytes; start with 0. */
uint32_t crc32c(uint32_t crc, struct span bytes);
/* The same, never by the processor's own instruction: what others are
 * compared with. */
uint32_t crc32c_tables(uint32_t crc, struct span bytes);

#endif
