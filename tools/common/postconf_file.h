/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_POSTCONF_FILE_H
#define CHAPPE_TOOLS_POSTCONF_FILE_H

/*
 * A configuration file that is edited: read whole, and replaced by one
 * written beside it and renamed, with mode and owner kept. Where the name is
 * a symbolic link, what it points to is replaced. Faults end the process.
 */

#include <limits.h>
#include <sys/stat.h>

#include "lib/base/buf.h"

struct postconf_file {
	char real[PATH_MAX];
	struct stat st;
	struct buf text; /* the caller puts the new text here */
};

void postconf_file_read(struct postconf_file *f, const char *path, size_t max);
/* Releases the text. */
void postconf_file_replace(struct postconf_file *f);

#endif
