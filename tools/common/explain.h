/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_EXPLAIN_H
#define CHAPPE_TOOLS_EXPLAIN_H

/* chappe explain: what the daemons' own router makes of an address, and which
 * lines of which files decided. Nothing is sent. */

#include "lib/conf/conf.h"

/* Prints it; 0 accepted, 1 refused. Users are asked from the running auth
 * service; where it can't be asked, that is said. */
int explain_address(struct conf *c, const struct common_conf *common,
    const char *address);

#endif
