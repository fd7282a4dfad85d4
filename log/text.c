/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Local time without locale; syslog's own shape. Many lines are of the same
 * second: its text is kept. */
static void
stamp(struct buf *out, int64_t time_us)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static time_t kept = -1;
	static char text[40];
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;

	if (seconds != kept || text[0] == '\0') {
		if (localtime_r(&seconds, &tm) == NULL)
			memset(&tm, 0, sizeof(tm));
		snprintf(text, sizeof(text), "%.3s %2d %02d:%02d:%02d ",
		    months + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
		    tm.tm_sec);
		kept = seconds;
	}
	buf_str(out, text);
}

/* The daemons have quoted what came from peers; a byte that could break the
 * line or a terminal can only be a daemon gone wrong. */
static void
message(struct buf *out, const struct ring_record *r,
    const struct origin *o)
{
	buf_clean(out, r->tag);
	buf_byte(out, '[');
	buf_u64(out, o->pid);
	buf_str(out, "]: ");
	buf_str(out, log_level_prefix(r->level));
	if (r->qid.n > 0) {
		buf_clean(out, r->qid);
		buf_str(out, ": ");
	}
	buf_clean(out, r->text);
}

void
text_line(struct buf *out, const struct ring_record *r,
    const struct origin *o)
{
	if (r->kind == LOG_K_EVENT)
		return;
	stamp(out, r->time_us);
	buf_str(out, o->host);
	buf_byte(out, ' ');
	message(out, r, o);
	buf_byte(out, '\n');
}

void
text_syslog(struct buf *out, const struct ring_record *r,
    const struct origin *o)
{
	static const int severity[] = { 7, 6, 4, 3, 2, 2 };
	const int mail = 2 << 3;

	if (r->kind == LOG_K_EVENT)
		return;
	buf_fmt(out, "<%d>", mail | severity[r->level]);
	stamp(out, r->time_us);
	message(out, r, o);
}

/* ---- JSON (RFC 8259) ---- */

/* The length of the valid UTF-8 character (RFC 3629 4) at p, or 0. */
static size_t
utf8_length(struct span s)
{
	uint8_t c = s.p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 :
	    c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] > 0x9f) ||
	    (c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] > 0x8f))
		return 0;
	return n;
}

static void
json_string(struct buf *out, struct span s)
{
	buf_byte(out, '"');
	while (s.n > 0) {
		size_t n = utf8_length(s);

		if (n == 0) {
			buf_str(out, "\\ufffd");
			n = 1;
		} else if (s.p[0] < ' ' || s.p[0] == 0x7f) {
			buf_fmt(out, "\\u%04x", s.p[0]);
		} else {
			if (s.p[0] == '"' || s.p[0] == '\\')
				buf_byte(out, '\\');
			buf_add(out, span_slice(s, 0, n));
		}
		s = span_skip(s, n);
	}
	buf_byte(out, '"');
}

static void
json_member(struct buf *out, const char *name, struct span value)
{
	if (value.n == 0)
		return;
	buf_fmt(out, ",\"%s\":", name);
	json_string(out, value);
}

void
text_json(struct buf *out, const struct ring_record *r,
    const struct origin *o)
{
	static const char *const levels[] = { "debug", "info", "warning",
		"error", "fatal", "panic" };
	time_t seconds = (time_t)(r->time_us / 1000000);
	char when[32];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_fmt(out, "{\"time\":\"%s.%06dZ\"", when,
	    (int)(r->time_us % 1000000));
	json_member(out, "host", span_str(o->host));
	json_member(out, "program", r->tag);
	buf_fmt(out, ",\"pid\":%" PRIu64, o->pid);
	if (r->kind == LOG_K_LINE)
		json_member(out, "level", span_str(levels[r->level]));
	if (r->trace != 0)
		buf_fmt(out, ",\"trace\":\"%016" PRIx64 "\"", r->trace);
	json_member(out, "queue_id", r->qid);
	json_member(out, "event", r->what);
	json_member(out, "text", r->text);
	buf_str(out, "}\n");
}
