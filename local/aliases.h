/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_ALIASES_H
#define CHAPPE_LOCAL_ALIASES_H

/* Looking a local part up in alias_maps, as aliases(5) says. */

#include "lib/map/map.h"
#include "local/expand.h"

struct alias_result {
	struct span address;        /* that was looked up */
	bool found;
	struct expansion expansion; /* own: the alias names itself */
	struct buf owner;           /* new envelope sender, when the table has
	                               owner-NAME; else empty */
};

void alias_result_init(struct alias_result *r, struct span address,
    const struct log_ctx *log);
void alias_result_release(struct alias_result *r);

/* Looks up the local part in lower case, whole and then without its
 * extension, and expands what stands there. Sets found, owner and the
 * expansion. -1 is always temporary: 4.3.0 when the table can't be asked. */
int alias_expand(struct maps *maps, const char *delimiter,
    struct alias_result *r, struct err *e);

#endif
