/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/loop.h"

enum {
	QUOTE_RING = 8,
	QUOTE_SIZE = 1024,
	TAG_SIZE = 64,
	CLASSES_SIZE = 256,
};

/* Set once at start, before there are threads. */
static struct {
	log_sink_fn sink;
	void *arg;
	char tag[TAG_SIZE];
	char debug[CLASSES_SIZE]; /* ",smtp,ipc," or "" */
	bool debug_all;
} the_log = { .tag = "chappe" };

void
log_set_sink(log_sink_fn sink, void *arg)
{
	the_log.sink = sink;
	the_log.arg = arg;
}

void
log_set_tag(const char *tag)
{
	snprintf(the_log.tag, sizeof(the_log.tag), "%s", tag);
}

const char *
log_tag(void)
{
	return the_log.tag;
}

void
log_set_debug(const char *classes)
{
	the_log.debug[0] = '\0';
	the_log.debug_all = false;
	if (classes == NULL || classes[0] == '\0')
		return;
	snprintf(the_log.debug, sizeof(the_log.debug), ",%s,", classes);
	the_log.debug_all = strstr(the_log.debug, ",all,") != NULL;
}

bool
log_debug_on(const char *class)
{
	char needle[40];

	if (the_log.debug[0] == '\0')
		return false;
	if (the_log.debug_all)
		return true;
	snprintf(needle, sizeof(needle), ",%s,", class);
	return strstr(the_log.debug, needle) != NULL;
}

const char *
log_level_prefix(enum log_level level)
{
	switch (level) {
	case LOG_L_DEBUG:
	case LOG_L_INFO:
		return "";
	case LOG_L_WARNING:
		return "warning: ";
	case LOG_L_ERROR:
		return "error: ";
	case LOG_L_FATAL:
		return "fatal: ";
	case LOG_L_PANIC:
		return "panic: ";
	}
	return "";
}

static void
to_stderr(const struct log_record *r)
{
	const bool qid = r->ctx != NULL && r->ctx->qid[0] != '\0';
	char line[LIMIT_LOG_LINE + 128];
	size_t n;
	ssize_t put;

	if (r->kind == LOG_K_EVENT)
		return;
	snprintf(line, sizeof(line) - 1, "%s[%d]: %s%s%s%s", the_log.tag,
	    (int)getpid(), log_level_prefix(r->level), qid ? r->ctx->qid : "",
	    qid ? ": " : "", r->text);
	n = strlen(line);
	line[n] = '\n';
	/* One call for the whole line, so that lines of several processes on
	 * one terminal do not mix; nobody is left to tell of a failure. */
	put = write(STDERR_FILENO, line, n + 1);
	(void)put;
}

/* A line must stay one line whatever its arguments were. */
static void
one_line(char *s)
{
	for (; *s != '\0'; s++)
		if (*s == '\n' || *s == '\r')
			*s = ' ';
}

static void emit(enum log_kind kind, enum log_level level,
    const struct log_ctx *ctx, const char *what, const char *fmt, va_list ap)
    __attribute__((format(printf, 5, 0)));

static void
emit(enum log_kind kind, enum log_level level, const struct log_ctx *ctx,
    const char *what, const char *fmt, va_list ap)
{
	static const struct log_ctx none;
	const int saved = errno;
	char text[LIMIT_LOG_LINE + 1];
	struct log_record r = {
		.kind = kind,
		.level = level,
		.time_us = clock_wall_us(),
		.ctx = ctx != NULL ? ctx : &none,
		.what = what,
		.text = text,
	};

	vsnprintf(text, sizeof(text), fmt, ap);
	one_line(text);
	if (the_log.sink != NULL)
		the_log.sink(&r, the_log.arg);
	else
		to_stderr(&r);
	if (level >= LOG_L_FATAL && the_log.sink != NULL)
		to_stderr(&r);
	errno = saved;
}

void
log_line(const struct log_ctx *ctx, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_K_LINE, level, ctx, "", fmt, ap);
	va_end(ap);
}

void
log_event(const struct log_ctx *ctx, const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_K_EVENT, LOG_L_INFO, ctx, what, fmt, ap);
	va_end(ap);
}

void
log_fatal(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_K_LINE, LOG_L_FATAL, NULL, "", fmt, ap);
	va_end(ap);
	exit(status);
}

/* The length of the printable UTF-8 character (RFC 3629 4) of more than one
 * byte at the start of s; 0 when there is none. C1 controls do not count. */
static size_t
utf8_char(struct span s)
{
	const uint8_t c = s.p[0];
	const size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	uint32_t v = c & (0x7fu >> n);

	if (c < 0xc2 || c > 0xf4 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (s.p[i] & 0x3f);
	}
	if (v < 0xa0 || (n == 3 && v < 0x800) || (v >= 0xd800 && v <= 0xdfff) ||
	    (n == 4 && (v < 0x10000 || v > 0x10ffff)))
		return 0;
	return n;
}

/* How many bytes at the front are printable ASCII. */
static size_t
plain_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= ' ' && s.p[n] < 0x7f)
		n++;
	return n;
}

const char *
log_quote(struct span s, size_t max)
{
	static _Thread_local char ring[QUOTE_RING][QUOTE_SIZE];
	static _Thread_local unsigned next;
	char *out = ring[next++ % QUOTE_RING];
	size_t n = 0;

	if (max > QUOTE_SIZE - 1)
		max = QUOTE_SIZE - 1;
	while (s.n > 0 && n < max) {
		size_t take = plain_length(s);

		if (take > max - n)
			take = max - n;
		if (take == 0 && s.p[0] >= 0x80)
			take = utf8_char(s);
		if (n + (take > 0 ? take : 4) > max)
			break;
		if (take > 0) {
			memcpy(out + n, s.p, take);
			n += take;
			s = span_skip(s, take);
			continue;
		}
		snprintf(out + n, 5, "\\%03o", s.p[0]);
		n += 4;
		s = span_skip(s, 1);
	}
	out[n] = '\0';
	return out;
}

uint64_t
log_trace_new(void)
{
	uint64_t id = 0;

	while (id >> 16 == 0)
		BUG_ON(getrandom(&id, sizeof(id), 0) != sizeof(id));
	return id & ~(uint64_t)0xffff;
}
