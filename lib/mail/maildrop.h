/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_MAILDROP_H
#define CHAPPE_MAIL_MAILDROP_H

/*
 * The files in maildrop/: what sendmail leaves there while the suite is
 * down, and pickup takes in later. docs/FORMATS.md has the bytes. Whoever
 * may write to the directory wrote them, so the reader trusts nothing: each
 * length is bounded, and a file is believed only when it is complete and its
 * checksum fits the bytes that were read.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/queue/queue.h"

enum {
	MAILDROP_HEAD = 32,               /* bytes before the envelope */
	MAILDROP_ENVELOPE_MAX = 32 << 20, /* LIMIT_RCPT short addresses fit */
};

struct maildrop_envelope {
	struct span sender; /* qualified, or empty */
	struct span *rcpts; /* qualified */
	size_t rcpt_count;
	uint32_t dsn_notify; /* DSN_NOTIFY_*, of all recipients; 0 default */
	enum dsn_ret dsn_ret;
	struct span dsn_envid;
	bool eight_bit; /* the content has bytes above 127 */
};

/* Writes a file with the content of content_fd (from its start, content_size
 * bytes, lines ending in LF) into the directory, durably, mode 0640, and
 * gives its name to *out_name (mem_free). Needs only the right to enter and
 * to write the directory. */
int maildrop_write(int dir_fd, const struct maildrop_envelope *env,
    int content_fd, uint64_t content_size, char **out_name, struct err *e);

/* Are hard links to others' files forbidden (protected_hardlinks)? Without
 * that anyone could put another user's file into maildrop/ under its owner's
 * name. */
bool maildrop_links_safe(void);

/* Is this the name of a finished file? Others are left alone: those being
 * written have a dot in front. */
bool maildrop_name_ok(const char *name);

struct maildrop_reader {
	int fd; /* the caller's */
	struct maildrop_envelope env;
	uint64_t content_size;
	uint64_t left; /* of the content, not yet read */
	uint32_t crc, crc_wanted;
};

/* Reads and checks head and envelope of an open regular file of size bytes;
 * spans live in the arena. -1: permanent err when it is no complete file. */
int maildrop_open(int fd, uint64_t size, struct arena *a,
    struct maildrop_reader *out, struct err *e);
/* Reads the next bytes of the content, at most `size`: their number, 0 at the
 * end when all fits, -1 when it does not (permanent) or can't be read. */
ssize_t maildrop_read(struct maildrop_reader *r, void *out, size_t size,
    struct err *e);

#endif
