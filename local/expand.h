/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOCAL_EXPAND_H
#define CHAPPE_LOCAL_EXPAND_H

/*
 * Where mail goes according to an alias or a .forward file, with its
 * :include: files read. Runs as the user that the files are read as.
 */

#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/os/log.h"

struct strings {
	struct span *at;
	size_t count, cap;
};

/* Sorted out by what has to be done. All spans live in the arena. */
struct expansion {
	struct arena arena;
	/* Whose own mailbox is meant by its own name: the alias's or the
	 * user's name, and the domain it was addressed under. */
	struct span own_name, own_domain;
	bool own;            /* into the own mailbox */
	bool own_direct;     /* written as \name: no .forward then */
	struct strings addresses; /* to be sent on to */
	struct strings users;     /* \user other than own_name */
	struct strings files;
	struct strings commands;
	const struct log_ctx *log; /* for warnings; may be NULL */
	unsigned depth;
};

void expansion_init(struct expansion *x, struct span own_name,
    struct span own_domain);
void expansion_release(struct expansion *x);
bool expansion_empty(const struct expansion *x);

/* Adds what the text says. Bad items are left out with a warning; an
 * include file that can't be read, too many targets (EXPANSION_MAX) or too
 * deep includes are an error, always temporary. */
int expansion_add(struct expansion *x, struct span text, struct err *e);

/* Looks for ~/.forward+EXTENSION (if extension is not empty), then for
 * ~/.forward, and adds what it says. 1 found, 0 none that counts: one that
 * belongs to neither uid nor root, or that others may write, is left out
 * with a warning. */
int expansion_forward(struct expansion *x, const char *home, uid_t uid,
    const char *delimiter, struct span extension, struct err *e);

enum { EXPANSION_MAX = 10000, EXPANSION_DEPTH = 10 };

#endif
