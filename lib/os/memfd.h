/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_MEMFD_H
#define CHAPPE_OS_MEMFD_H

/*
 * Bytes handed to another process as a descriptor: a memory file that nobody,
 * its maker included, can change any more.
 */

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

/* name is only for /proc. The descriptor is close-on-exec. */
int memfd_seal(const char *name, struct span bytes, int *out_fd, struct err *e);

/* Fails unless fd is a memory file that nobody can change any more. */
int memfd_sealed(int fd, struct err *e);

/* Appends the bytes of a sealed memory file to out (initialised, room for
 * max); fails when it is longer than max, or not sealed. */
int memfd_read(int fd, size_t max, struct buf *out, struct err *e);

#endif
