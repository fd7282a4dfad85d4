/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_TRACE_H
#define CHAPPE_MAIL_TRACE_H

/*
 * The trace store: what every stage decided about every mail, as lines of
 * text in a bounded set of segment files (docs/FORMATS.md). The log daemon
 * writes it; whoever may read the directory searches it, others ask the
 * daemon. Lines stand in the order in which the log daemon got them; results
 * are in the order of time.
 */

#include <stdint.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/ipc/ring.h"

enum {
	TRACE_LINE_MAX = 8192 + 512,   /* one line, with its end */
	TRACE_RESULT_MAX = 8 << 20,    /* bytes of one search's result */
	TRACE_SEGMENTS = 16,
	TRACE_SEGMENT_NAME = 20,
};

struct trace_line {
	int64_t time_us;
	uint64_t trace;
	uint64_t pid, at; /* together: which record of which process */
	struct span qid;   /* empty: none */
	struct span level; /* "info" ..., or "event" */
	struct span tag;   /* "postfix/smtpd" */
	struct span what;  /* the stage, of events */
	struct span text;
};

/* Appends the line of a record, with its end. */
void trace_format(struct buf *out, const struct ring_record *record,
    uint64_t pid);
/* Parses a line without its end; the spans borrow. False when it is none. */
bool trace_parse(struct span line, struct trace_line *out);

/* The name of a segment, and back; false for other names. */
void trace_segment_name(uint64_t number, char out[TRACE_SEGMENT_NAME]);
bool trace_segment_number(const char *name, uint64_t *out);
/* The segments there are, in order (mem_free). */
int trace_segments(int dir_fd, uint64_t **out, size_t *out_count,
    struct err *e);

/* What is looked for: exactly one member is set. */
struct trace_query {
	struct span qid;
	uint64_t trace;      /* of a message, or of a whole connection */
	struct span address; /* mails whose lines have <address> */
};
/* All lines about the mails found and the connections they came over, each
 * with its end, in out (initialised with TRACE_RESULT_MAX; `spilt` when there
 * was more). Blocks. */
int trace_search(int dir_fd, const struct trace_query *q, struct buf *out,
    struct err *e);

/* The same from the log daemon, at its socket public/trace. */
int trace_ask(const char *socket_path, const struct trace_query *q,
    struct buf *out, struct err *e);

/* Prints a result for a reader: for each line its time, the milliseconds
 * since the first, trace id, program, stage and text. Returns the number of lines. */
size_t trace_print(FILE *f, struct span lines);

#endif
