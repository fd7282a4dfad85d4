/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_DAEMON_PROGRAMS_H
#define CHAPPE_DAEMON_PROGRAMS_H

/*
 * The one table of our daemons: what master must know to start each (user,
 * capabilities, kind of socket), and where its parameters are, for postconf
 * and chappe check. Delete a daemon's folder and its row is what breaks. The
 * same table, with the reasons, is in docs/DESIGN.md.
 */

#include <stdbool.h>

#include "lib/conf/conf.h"

struct program {
	const char *name;        /* file in $daemon_directory */
	const char *user_param;  /* parameter that names its user; NULL: root */
	const int *caps;         /* capabilities kept, ended by -1; NULL none */
	bool stream_socket;      /* its unix listeners are SOCK_STREAM */
	/* One unix listener of a program whose others are not: the name of the
	 * service that is SOCK_STREAM; or NULL. */
	const char *stream_name;
	bool single;             /* never more than one living process */
	bool per_core;           /* "-" in master.cf: a process for each core */
	bool needs_keys;         /* gets MSG_KEYS */
	bool needs_slot;         /* gets MSG_SLOT: it accepts mail */
	bool needs_shared;       /* gets -m: the table of all servers */
	bool is_agent;           /* registers with qmgr: named in MSG_PIDS */
	const struct param *params; /* its table, or NULL */
};

/* The row of a program, or NULL. */
const struct program *program_find(const char *name);
/* Steps through all rows, ended by a row without a name. */
extern const struct program programs[];

/* Adds the tables of all programs, and the common one, to c. */
void programs_add_params(struct conf *c);

#endif
