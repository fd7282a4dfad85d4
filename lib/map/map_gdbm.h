/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAP_MAP_GDBM_H
#define CHAPPE_MAP_MAP_GDBM_H

/* Bytes as GDBM has them; for lib/map only. */

#include <gdbm.h>

#include "lib/base/span.h"

/* GDBM wants keys it could write to, but does not. */
static inline datum
datum_of(struct span s)
{
	union {
		const uint8_t *from;
		char *to;
	} p = { .from = s.p };

	return (datum){ .dptr = p.to, .dsize = (int)s.n };
}

#endif
