/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/mbox_parse.h"

#include <time.h>

#include "lib/base/crc.h"
#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "lib/proto/header.h"
#include "lib/store/crlf.h"
#include "lib/store/store.h"

enum { SENDER_WORDS = 8, DATE_MAX = 80, KEYWORD_PAD = 40 };

/* ---- the From_ line ---- */
/* Local time, read as if it were UTC, to the instant. */
static int64_t
local_to_utc(int64_t t)
{
	const time_t at = (time_t)t;
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL)
		return t;
	tm.tm_isdst = -1;
	return mktime(&tm);
}

bool
mbox_from_line(struct span line, int64_t *out_date_s)
{
	int64_t t;

	if (!span_starts(line, SPAN("From ")))
		return false;
	line = span_skip(line, 5);
	/* The sender may hold spaces; the date is what follows. */
	for (int i = 0; i < SENDER_WORDS; i++) {
		const size_t space = span_chr(line, ' ');
		struct span date;

		if (space == SIZE_MAX)
			return false;
		line = span_skip(line, space + 1);
		date = span_trim(line);
		if (date.n <= DATE_MAX && date_parse_asctime(date, &t)) {
			*out_date_s = local_to_utc(t);
			return true;
		}
	}
	return false;
}

void
mbox_print_from(struct buf *out, struct span sender, int64_t date_s)
{
	const time_t at = (time_t)date_s;
	struct tm tm = { 0 };

	localtime_r(&at, &tm);
	buf_str(out, "From ");
	if (sender.n == 0)
		buf_str(out, "MAILER-DAEMON");
	for (size_t i = 0; i < sender.n; i++)
		buf_byte(out,
		    sender.p[i] <= ' ' || sender.p[i] == 0x7f ? '-' :
								sender.p[i]);
	buf_byte(out, ' ');
	/* One space more, as ctime would have it: "Sun Nov  2". */
	buf_byte(out, ' ');
	date_print_asctime(out, date_s, (int)(tm.tm_gmtoff / 60));
	buf_byte(out, '\n');
}

/* ---- fields ---- */
static struct span
chomp(struct span line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	while (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

bool
mbox_hidden(struct span name)
{
	static const char *const names[] = { "Content-Length", "Status",
		"X-IMAP", "X-IMAPbase", "X-Keywords", "X-Status", "X-UID" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (span_ieq(name, span_str(names[i])))
			return true;
	return false;
}

static bool
has(struct span s, uint8_t letter)
{
	return span_chr(s, letter) != SIZE_MAX;
}

static uint32_t
number(struct span s)
{
	uint64_t v;

	return span_u64(s, UINT32_MAX - 1, &v) ? (uint32_t)v : 0;
}

/* "1234567890 0000000012 work later": a base that lacks one is none. */
static void
read_base(struct mbox_list *l, struct span s)
{
	struct span validity, last;

	if (!span_token(&s, " \t\r\n", &validity) ||
	    !span_token(&s, " \t\r\n", &last))
		return;
	l->validity = number(validity);
	l->last_uid = number(last);
	l->keywords = span_trim(s);
}

enum { SEEN_UID = 1, SEEN_STATUS = 2, SEEN_X_STATUS = 4, SEEN_KEYWORDS = 8,
	SEEN_ALL = 15 };

static unsigned
read_mark(struct mbox_list *l, struct mbox_message *m,
    const struct header_field *f)
{
	const struct span v = span_trim(f->body);

	if (span_ieq(f->name, SPAN("Status"))) {
		m->flags |= has(v, 'R') ? FLAG_SEEN : 0;
		m->old = has(v, 'O');
		return SEEN_STATUS;
	}
	if (span_ieq(f->name, SPAN("X-Status"))) {
		m->flags |= has(v, 'A') ? FLAG_ANSWERED : 0;
		m->flags |= has(v, 'F') ? FLAG_FLAGGED : 0;
		m->flags |= has(v, 'T') ? FLAG_DRAFT : 0;
		m->flags |= has(v, 'D') ? FLAG_DELETED : 0;
		return SEEN_X_STATUS;
	}
	if (span_ieq(f->name, SPAN("X-UID"))) {
		m->uid = number(v);
		return SEEN_UID;
	}
	if (span_ieq(f->name, SPAN("X-Keywords"))) {
		m->keywords = v;
		return SEEN_KEYWORDS;
	}
	if (l->count == 0 && (span_ieq(f->name, SPAN("X-IMAPbase")) ||
				 span_ieq(f->name, SPAN("X-IMAP"))))
		read_base(l, f->body);
	return 0;
}

/* Goes through the header: the marks, and size and checksum of the rest. */
static void
read_header(struct mbox_list *l, struct mbox_message *m)
{
	struct span rest = m->header;
	struct header_field f;
	uint32_t crc = crc32c(0, m->from);
	unsigned seen = 0;
	uint8_t last = 0;

	m->size = 0;
	while (header_next(&rest, &f)) {
		if (mbox_hidden(f.name)) {
			seen |= read_mark(l, m, &f);
			continue;
		}
		crc = crc32c(crc, chomp(f.raw));
		m->size += crlf_size(f.raw, &last);
	}
	m->ours = seen == SEEN_ALL;
	m->size += 2; /* the empty line */
	last = '\n';
	m->size += crlf_size(m->body, &last);
	/* A last line end may be added when the file is written. */
	m->ident = (uint64_t)crc << 32 |
	    (uint32_t)(m->body.n +
		(m->body.n > 0 && m->body.p[m->body.n - 1] != '\n'));
}

/* ---- messages ---- */
/* Length of the line at the start of s, with its end. */
static size_t
line_length(struct span s)
{
	const size_t lf = span_chr(s, '\n');

	return lf == SIZE_MAX ? s.n : lf + 1;
}

/* Where the next message begins: at an empty line's end that a From_ line
 * follows; else the length. s begins with a line start. */
static size_t
next_message(struct span s)
{
	size_t at = 0;
	int64_t date;

	for (;;) {
		const size_t found =
		    span_find(span_skip(s, at), SPAN("\nFrom "));
		size_t from;

		if (found == SIZE_MAX)
			return s.n;
		from = at + found + 1;
		/* The line before must be empty. */
		if (from >= 2 &&
		    (s.p[from - 2] == '\n' ||
			(from > 2 && s.p[from - 2] == '\r' &&
			    s.p[from - 3] == '\n')) &&
		    mbox_from_line(chomp(span_slice(s, from,
				       from + line_length(span_skip(s, from)))),
			&date))
			return from;
		at = from;
	}
}

/* Without the one empty line that stands before the next message. */
static struct span
without_separator(struct span body)
{
	if (body.n >= 2 && body.p[body.n - 1] == '\n' &&
	    body.p[body.n - 2] == '\n')
		body.n--;
	else if (body.n >= 4 && span_ends(body, SPAN("\r\n\r\n")))
		body.n -= 2;
	else if (body.n == 1 && body.p[0] == '\n')
		body.n = 0;
	return body;
}

static void
add_message(struct mbox_list *l, struct span raw, int64_t date_s)
{
	const size_t from = line_length(raw);
	const struct span text = span_skip(raw, from);
	struct mbox_message *m;
	size_t body;

	if (l->count == l->cap) {
		l->cap = l->cap * 2 + 64;
		l->at = mem_resize(l->at, l->cap, sizeof(*l->at));
	}
	m = &l->at[l->count];
	*m = (struct mbox_message){ .raw = raw, .date_s = date_s };
	m->from = chomp(span_slice(raw, 0, from));
	if (header_end(text, &body) == PARSE_OK) {
		m->header = span_slice(text, 0, body);
		m->body = without_separator(span_skip(text, body));
		/* The empty line is not a field. */
		m->header.n -= span_ends(m->header, SPAN("\r\n")) ? 2 : 1;
	} else {
		m->header = text;
	}
	read_header(l, m);
	l->count++;
}

bool
mbox_parse(struct span file, struct mbox_list *out)
{
	int64_t date;

	*out = (struct mbox_list){ 0 };
	while (file.n > 0 && (file.p[0] == '\n' || file.p[0] == '\r'))
		file = span_skip(file, 1);
	while (file.n > 0) {
		const size_t first = line_length(file);
		size_t next;

		if (!mbox_from_line(chomp(span_slice(file, 0, first)), &date)) {
			mbox_list_release(out);
			return false;
		}
		/* From the line end on, so that a message without anything
		 * in it is seen to end. */
		next = first - 1 + next_message(span_skip(file, first - 1));
		add_message(out, span_slice(file, 0, next), date);
		file = span_skip(file, next);
	}
	return true;
}

void
mbox_list_release(struct mbox_list *l)
{
	mem_free(l->at);
	*l = (struct mbox_list){ 0 };
}

void
mbox_text(const struct mbox_message *m, struct buf *out)
{
	struct span rest = m->header;
	struct header_field f;
	uint8_t last = 0;

	while (header_next(&rest, &f))
		if (!mbox_hidden(f.name))
			crlf_add(out, f.raw, &last);
	buf_str(out, "\r\n");
	last = '\n';
	crlf_add(out, m->body, &last);
}

/* ---- marks ---- */
static void
pad(struct buf *out, size_t from, size_t width)
{
	while (buf_ok(out) && out->n < from + width)
		buf_byte(out, ' ');
}

void
mbox_print_marks(struct buf *out, const struct mbox_marks *marks)
{
	size_t at;

	if (marks->validity != 0) {
		at = out->n;
		buf_fmt(out, "X-IMAPbase: %u %010u ", marks->validity,
		    marks->last_uid);
		buf_add(out, marks->all_keywords);
		pad(out, at, 34 + KEYWORD_PAD);
		buf_byte(out, '\n');
	}
	buf_fmt(out, "X-UID: %-10u\nStatus: %s%s", marks->uid,
	    (marks->flags & FLAG_SEEN) != 0 ? "R" : "",
	    marks->old ? "O" : "");
	pad(out, out->n,
	    ((marks->flags & FLAG_SEEN) == 0 ? 1U : 0U) +
		(marks->old ? 0U : 1U));
	at = out->n + 11;
	buf_fmt(out, "\nX-Status: %s%s%s%s",
	    (marks->flags & FLAG_ANSWERED) != 0 ? "A" : "",
	    (marks->flags & FLAG_FLAGGED) != 0 ? "F" : "",
	    (marks->flags & FLAG_DRAFT) != 0 ? "T" : "",
	    (marks->flags & FLAG_DELETED) != 0 ? "D" : "");
	pad(out, at, 4);
	buf_str(out, "\nX-Keywords: ");
	at = out->n;
	buf_add(out, marks->keywords);
	pad(out, at, KEYWORD_PAD);
	buf_byte(out, '\n');
}

void
mbox_print_header(struct buf *out, const struct mbox_message *m,
    const struct mbox_marks *marks)
{
	struct span rest = m->header;
	struct header_field f;

	buf_add(out, m->from);
	buf_byte(out, '\n');
	while (header_next(&rest, &f)) {
		/* A lone CR would become an empty line. */
		if (mbox_hidden(f.name) || chomp(f.raw).n == 0)
			continue;
		buf_add(out, f.raw);
		if (f.raw.p[f.raw.n - 1] != '\n')
			buf_byte(out, '\n');
	}
	mbox_print_marks(out, marks);
	buf_byte(out, '\n');
}
