/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_TARGETS_H
#define CHAPPE_LOCAL_TARGETS_H

/*
 * What the right-hand side of an alias and a .forward file say: lists of
 * addresses, \user, "|command", /file/name and :include:/file/name, with
 * comment lines. Bytes in, values out.
 */

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

enum target_kind {
	TARGET_ADDRESS, /* text: an address in canonical form */
	TARGET_USER,    /* text: a local name that is not looked at further */
	TARGET_FILE,    /* text: an absolute path */
	TARGET_COMMAND, /* text: without the "|" */
	TARGET_INCLUDE, /* text: an absolute path */
	TARGET_BAD,     /* text: as it stands there */
};

struct target {
	enum target_kind kind;
	struct span text; /* in the arena */
};

/* Called for each target in order; -1 ends the parsing. */
typedef int (*target_fn)(void *arg, const struct target *t, struct err *e);

/* Parses a whole text: lines beginning with "#" are comments, one beginning
 * with white space goes on with the line before. 0, or what fn returned. */
int targets_parse(struct span text, struct arena *a, target_fn fn, void *arg,
    struct err *e);

#endif
