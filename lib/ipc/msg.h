/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IPC_MSG_H
#define CHAPPE_IPC_MSG_H

/*
 * One message between our daemons: a datagram of at most LIMIT_IPC_MESSAGE
 * bytes with tagged fields, and up to LIMIT_IPC_FDS descriptors beside it.
 * The layout is in docs/FORMATS.md; the numbers in lib/ipc/schema.h. Unknown
 * fields are skipped. Reading has a sticky `bad`: absent or malformed values
 * read as 0 or empty, and one msg_done at the end tells.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/limits.h"
#include "lib/base/span.h"
#include "lib/ipc/schema.h"
#include "lib/os/range.h"

/* ---- writing ---- */
struct msg_out {
	struct buf bytes;
	int fds[LIMIT_IPC_FDS]; /* borrowed until sent */
	unsigned fd_count;
	size_t group_at[4]; /* open groups */
	unsigned group_depth;
};

/* Starts a message (release with msg_out_release, also after sending). id: 0
 * for a notice, else the number the answer will carry. */
void msg_begin(struct msg_out *m, enum msg_type type, uint32_t id,
    uint64_t trace);
/* Its bytes are overwritten. */
void msg_out_release(struct msg_out *m);
void msg_put(struct msg_out *m, enum msg_field f, struct span s);
void msg_put_str(struct msg_out *m, enum msg_field f, const char *s);
void msg_put_u64(struct msg_out *m, enum msg_field f, uint64_t v);
/* Adds a descriptor; it stays the caller's. */
void msg_put_fd(struct msg_out *m, int fd);
/* Fields put between belong to one element of a repeated group. */
void msg_group_begin(struct msg_out *m, enum msg_field f);
void msg_group_end(struct msg_out *m);
/* An error as fields F_ERR_KIND, F_DSN, F_TEXT, and F_STATUS: errno. */
void msg_put_err(struct msg_out *m, const struct err *e);
/* Where bytes are in a file that goes beside (its descriptor is not put), as
 * F_SIZE, F_CONTENT_AT and, when it is known, F_CONTENT_CRC. */
void msg_put_range(struct msg_out *m, const struct range *r);
/* False when it grew beyond the limit: nothing may be sent then. */
bool msg_ok(const struct msg_out *m);
/* Bytes still free, for filling a message with as many elements as fit. */
size_t msg_space(const struct msg_out *m);

/* ---- reading ---- */
struct msg_in {
	enum msg_type type;
	uint32_t id;
	uint64_t trace;
	struct span fields;
	int fds[LIMIT_IPC_FDS]; /* owned; msg_take_fd moves one out */
	unsigned fd_count;
	bool bad;
};

/* Parses a datagram (bytes are borrowed). 0, or -1 when the frame itself is
 * damaged. */
int msg_parse(struct msg_in *m, struct span datagram, struct err *e);
/* Closes the descriptors not taken. */
void msg_in_release(struct msg_in *m);
bool msg_has(const struct msg_in *m, enum msg_field f);
/* Empty when absent: that is bad only for msg_need. Longer than max: bad. */
struct span msg_get(struct msg_in *m, enum msg_field f, size_t max);
struct span msg_need(struct msg_in *m, enum msg_field f, size_t max);
uint64_t msg_get_u64(struct msg_in *m, enum msg_field f);
uint32_t msg_get_u32(struct msg_in *m, enum msg_field f);
/* Copies into out as a C string; absent: "". A NUL inside or too long: bad. */
void msg_get_str(struct msg_in *m, enum msg_field f, char *out, size_t size);
/* The next element of a repeated group; *cursor starts at 0. */
bool msg_next(const struct msg_in *m, enum msg_field f, size_t *cursor,
    struct msg_in *out_element);
/* The next value of a repeated plain field. */
bool msg_next_value(const struct msg_in *m, enum msg_field f, size_t *cursor,
    struct span *out);
/* A value of msg_next_value as a number; false when it is none. */
bool msg_value_u64(struct span value, uint64_t *out);
/* -1 (and bad) when there is none left. The caller closes it. */
int msg_take_fd(struct msg_in *m);
/* The error carried by F_ERR_KIND etc.; false when there is none. */
bool msg_get_err(struct msg_in *m, struct err *out);
/* What msg_put_range put; fd is -1. */
void msg_get_range(struct msg_in *m, struct range *out);
/* The single check: 0, or -1 when anything was bad. */
int msg_done(const struct msg_in *m, struct err *e);

#endif
