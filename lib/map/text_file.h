/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAP_TEXT_FILE_H
#define CHAPPE_MAP_TEXT_FILE_H

/*
 * Reading configuration and table text: whole, into memory, following
 * symbolic links (configuration may be a farm of them), which the durable
 * steps of lib/os/fs.h never do.
 */

#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Reads the file into out, which is initialised here with a maximum of max
 * bytes and released by the caller, also after an error. A larger file, a
 * directory, or a read error is an error "open PATH: ...". out_stat (may be
 * NULL) gets the file's facts. */
int text_file_read(const char *path, size_t max, struct buf *out,
    struct stat *out_stat, struct err *e);

enum { TEXT_FILE_MAX = 256 << 20 };

#endif
