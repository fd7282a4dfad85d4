/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_CONF_MASTER_CF_H
#define CHAPPE_CONF_MASTER_CF_H

/*
 * master.cf: one service a logical line, with Postfix's columns: service,
 * type (inet or unix), private, unpriv, chroot (accepted and ignored), wakeup,
 * maxproc, command with arguments; "-" is the default; lines that begin with
 * white space continue the last; "-o name=value" (also "-o { name = v }")
 * overrides a parameter for the service.
 */

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"

struct master_service {
	const char *name;    /* "smtp", "127.0.0.1:2525", "submission" */
	enum service_type { SERVICE_INET, SERVICE_UNIX } type;
	bool private_;       /* socket in private/ (default y), else public/ */
	int wakeup_s;        /* 0 never */
	bool wakeup_if_used; /* "60?" */
	int process_limit;   /* 0 none; -1 "-": the default */
	const char *program; /* "smtpd" */
	const char **args;   /* the rest of the command but -o, NULL-ended */
	const char **overrides; /* "name=value", NULL-ended */
	const char *file;
	unsigned line;
	struct master_service *next;
};

/* Parses a file; the list and its strings live in the arena, whose maximum is
 * at least 256 KiB (a file that fills it is an error). text may come with
 * extra lines (tests/instance -M). Errors: "FILE: line N: ...". */
int master_cf_load(const char *file, struct arena *a,
    struct master_service **out, struct err *e);
int master_cf_parse(const char *file, struct span text, struct arena *a,
    struct master_service **out, struct err *e);

#endif
