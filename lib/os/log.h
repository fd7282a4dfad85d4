/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_LOG_H
#define CHAPPE_OS_LOG_H

/*
 * What a process says: log lines in Postfix's shapes and trace events. Both
 * go to the process's one sink (by default stderr; lib/daemon sets the
 * shared ring that the log daemon empties) and never block. Bytes that came
 * from a peer must pass log_quote first. This is one of the few modules with
 * state of its own: the sink and the tag, set once at start.
 *
 * Trace ids: a connection, a maildrop file or a tool's request gets 48 random
 * bits above 16 zero bits; each message on it the same number with 1, 2, ...
 * in the low 16 bits. So `id >> 16` tells what belongs together. 0: none.
 */

#include <stdint.h>

#include "lib/base/span.h"

enum log_level { LOG_L_DEBUG, LOG_L_INFO, LOG_L_WARNING, LOG_L_ERROR,
	LOG_L_FATAL, LOG_L_PANIC };

/* What a line is about; both members may be empty. */
struct log_ctx {
	uint64_t trace;
	char qid[16]; /* queue id, or "" */
};

enum log_kind { LOG_K_LINE, LOG_K_EVENT };

struct log_record {
	enum log_kind kind;
	enum log_level level;
	int64_t time_us;  /* wall clock, Unix epoch */
	const struct log_ctx *ctx;
	const char *what; /* LOG_K_EVENT: the stage, e.g. "accept" */
	const char *text; /* one line, without "QID: " and without level */
};

typedef void (*log_sink_fn)(const struct log_record *record, void *arg);

/* Sets the sink (NULL: stderr) and the program tag, e.g. "postfix/smtpd". */
void log_set_sink(log_sink_fn sink, void *arg);
void log_set_tag(const char *tag);
const char *log_tag(void);

/* Debug lines are dropped unless their class is switched on (-v, -d smtp). */
void log_set_debug(const char *classes);
bool log_debug_on(const char *class);

/* One line. With a queue id in ctx the text is shown as "QID: text". Levels
 * from warning up are shown as "warning: ", "error: ", "fatal: ". ctx may be
 * NULL. A line of more than LIMIT_LOG_LINE bytes is cut. */
void log_line(const struct log_ctx *ctx, enum log_level level, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
#define log_info(ctx, ...) log_line((ctx), LOG_L_INFO, __VA_ARGS__)
#define log_warning(ctx, ...) log_line((ctx), LOG_L_WARNING, __VA_ARGS__)
#define log_error(ctx, ...) log_line((ctx), LOG_L_ERROR, __VA_ARGS__)
#define log_debug(ctx, class, ...)                                             \
	do {                                                                   \
		if (log_debug_on(class))                                       \
			log_line((ctx), LOG_L_DEBUG, __VA_ARGS__);             \
	} while (0)

/* What stands in front of a line of that level: "", "warning: ", ... */
const char *log_level_prefix(enum log_level level);

/* One trace event: what stage, and what was decided; only for chappe trace
 * and the JSON log, never in the text log. */
void log_event(const struct log_ctx *ctx, const char *what, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

/* Says why on stderr (and in the log), then exits with the status. */
_Noreturn void log_fatal(int status, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Peer bytes made safe: control and non-ASCII bytes other than valid UTF-8
 * become \ooo, at most max bytes are shown. The result lives in a small ring
 * of static buffers: good for the arguments of one call. */
const char *log_quote(struct span s, size_t max);

/* A fresh connection-level trace id. */
uint64_t log_trace_new(void);

#endif
