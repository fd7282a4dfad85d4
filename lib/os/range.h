/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_RANGE_H
#define CHAPPE_OS_RANGE_H

/*
 * Bytes of a file that are read once, from their first to their last, and
 * checked on the way: a message's content in its queue file. Whoever sends
 * them on gets the last bytes only when all of them fit the checksum, so what
 * was damaged is never complete at the other end. Reads with pread: the
 * descriptor's position is nobody's concern. Owns nothing.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"

struct range {
	int fd;
	uint64_t at, size; /* bytes, in the file */
	bool checked;	   /* is crc known? */
	uint32_t crc;	   /* CRC-32C of all of them */
};

struct range_reader {
	struct range range;
	uint64_t done;
	uint32_t crc; /* of these */
};

void range_begin(struct range_reader *r, const struct range *range);

/* The next bytes, at most size of them: how many, or 0 at the end. -1: the
 * file can't be read or ends early (temporary, 4.3.0); or, in place of the
 * last bytes, they are not what they were: e->sysno is EBADMSG then. */
ssize_t range_read(
    struct range_reader *r, void *out, size_t size, struct err *e);

#endif
