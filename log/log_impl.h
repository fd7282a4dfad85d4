/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_LOG_LOG_IMPL_H
#define CHAPPE_LOG_LOG_IMPL_H

/*
 * The log daemon's parts: sources (the rings of all processes), outputs (log
 * file or the system's log, JSON lines), the trace store, and its queries.
 */

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/daemon/daemon.h"
#include "lib/ipc/ring.h"

struct log_conf {
	const char *maillog_json_file;
	int64_t trace_size_limit;
};

/* ---- text.c: one record as a line, with its end ---- */
/* Where a record comes from. */
struct origin {
	const char *host; /* first label */
	uint64_t pid;
};
/* "Nov 22 17:00:01 host postfix/smtpd[12]: QID: text"; events give nothing. */
void text_line(struct buf *out, const struct ring_record *r,
    const struct origin *o);
/* The same as a datagram for syslog, without host and end. */
void text_syslog(struct buf *out, const struct ring_record *r,
    const struct origin *o);
void text_json(struct buf *out, const struct ring_record *r,
    const struct origin *o);

/* ---- output.c: a file that grows, with its path watched for rotation ---- */
struct output;
/* Opens (makes, 0640) the file. */
int output_open(const char *path, struct output **out, struct err *e);
void output_free(struct output **o);
/* The file as it was when opened, to compare a ring's note with. */
bool output_has(const struct output *o, const struct ring_intent *note);
/* Looks whether the path is another file by now, at most once a second, and
 * gives the note for writing n more bytes. */
void output_prepare(struct output *o, size_t n, struct ring_intent *out);
/* Appends all bytes, or none. */
int output_write(struct output *o, struct span bytes, struct err *e);
/* Opens the path anew: after a rotation. */
int output_reopen(struct output *o, struct err *e);

/* ---- store.c: the trace store ---- */
struct store;
/* Opens the directory. limit: bytes of all segments together. */
int store_open(const char *dir, uint64_t limit, struct store **out,
    struct err *e);
void store_free(struct store **s);
int store_write(struct store *s, struct span lines, struct err *e);
int store_dir(const struct store *s);

/* ---- source.c: the rings ---- */
struct sinks {
	struct loop *loop;
	const char *host;
	struct output *text; /* or NULL: the system's log */
	struct output *json; /* or NULL */
	struct store *store; /* or NULL */
	int syslog_fd;       /* connected, or -1 */
	bool complained;     /* a failure was told on stderr */
	struct list awake;   /* struct source, with something to be read */
	struct timer *round; /* the next look at them */
};
void sinks_init(struct sinks *k, struct loop *loop);
void sinks_release(struct sinks *k);

struct source;
/* Takes over the descriptors. NULL and err when they are no ring. */
struct source *source_new(struct sinks *sinks, int memory_fd, int event_fd,
    uint64_t pid, struct err *e);
/* Writes out all that is in it, then frees. */
void source_free(struct source **s);

/* ---- query.c ---- */
/* Handler of MSG_TRACE_QUERY; arg: struct querier. */
struct querier {
	struct loop *loop;
	int dir_fd;
};
int query_handle(struct request *r, struct msg_in *m, struct querier *q);

#endif
