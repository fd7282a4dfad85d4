/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_PROC_H
#define CHAPPE_OS_PROC_H

/*
 * Starting other programs with exactly the descriptors, environment and
 * identity that they are meant to have. For processes without threads only.
 */

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"

struct proc_spec {
	const char *path;
	char *const *argv; /* ended by NULL */
	char *const *env;  /* the whole of it, ended by NULL */
	const int *fds;	   /* fds[i] becomes descriptor i; -1: /dev/null */
	size_t fd_count;   /* all others are closed */
	/* Called in the child before exec, with descriptors in place: changes
	 * identity, sets limits. May be NULL. */
	int (*prepare)(void *arg, struct err *e);
	void *arg;
};

/* Starts it: signals at their defaults, in a session of its own. Returns when
 * the program runs or has failed to: then -1 with the reason. */
int proc_spawn(const struct proc_spec *spec, pid_t *out_pid, struct err *e);

/* Waits for the child. status as waitpid(2). */
int proc_wait(pid_t pid, int *out_status, struct err *e);

/* "exit status 1", "killed by signal 9", for a status of waitpid(2). */
enum { PROC_STATUS_TEXT = 48 };
void proc_status_text(int status, char out[PROC_STATUS_TEXT]);

/* The process's open files limit is raised to its hard limit. */
int proc_raise_files(struct err *e);

#endif
