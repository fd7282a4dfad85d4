/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_SIPHASH_H
#define CHAPPE_BASE_SIPHASH_H

/*
 * SipHash-2-4: a keyed hash whose collisions nobody can prepare who does not
 * know the key. For tables that strangers fill, and that several processes or
 * several runs must agree on (span_hash is for tables of one process).
 */

#include <stdint.h>

#include "lib/base/span.h"

uint64_t siphash(const uint64_t key[2], struct span s);

#endif
