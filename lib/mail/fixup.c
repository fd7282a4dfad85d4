/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/fixup.h"

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "lib/proto/header.h"

enum { MESSAGE_ID_MAX = 256 };

/* Fields that a submission must have, plain and resent. */
enum seen {
	SEEN_MESSAGE_ID = 1,
	SEEN_DATE = 2,
	SEEN_FROM = 4,
	SEEN_RCPT = 8, /* To, Cc or Bcc */
};

struct fixup {
	const struct fixup_conf *conf;
	fixup_out_fn out;
	void *arg;
	struct span *dropped; /* names of fields that are */
	size_t dropped_count;
	struct buf header; /* not yet passed on */
	size_t scanned;    /* complete lines of it that were looked at */
	bool in_body;
	bool resent;       /* has Resent-... fields: those count */
	unsigned seen, resent_seen;
	unsigned hops;
	struct buf instead; /* of the field at hand, says the hook */
	char message_id[MESSAGE_ID_MAX];
	struct buf from; /* bodies of From fields */
	bool complete;   /* the whole header was seen */
	bool tls_optional;
};

#define DROPPED "bcc, resent-bcc, return-path, content-length"

static void
read_dropped(struct fixup *f)
{
	struct span rest = span_str(
	    f->conf->drop != NULL ? f->conf->drop : DROPPED);

	/* There is at least one byte between two words. */
	f->dropped = mem_resize(NULL, rest.n / 2 + 1, sizeof(*f->dropped));
	while (span_token(&rest, ", \t\r\n", &f->dropped[f->dropped_count]))
		f->dropped_count++;
}

struct fixup *
fixup_new(const struct fixup_conf *conf, fixup_out_fn out, void *arg)
{
	struct fixup *f = MEM_NEW(f);

	f->conf = conf;
	f->out = out;
	f->arg = arg;
	read_dropped(f);
	buf_init(&f->header, LIMIT_HEADER);
	buf_init(&f->from, LIMIT_HEADER_FIELD);
	buf_init(&f->instead, 2 * LIMIT_HEADER);
	return f;
}

void
fixup_free(struct fixup **f)
{
	if (*f == NULL)
		return;
	mem_free((*f)->dropped);
	buf_release(&(*f)->header);
	buf_release(&(*f)->from);
	buf_release(&(*f)->instead);
	mem_free(*f);
	*f = NULL;
}

static void
emit(struct fixup *f, struct span bytes)
{
	if (bytes.n > 0)
		f->out(f->arg, bytes);
}

/* ---- where the header ends ----------------------------------------------- */

static bool
is_mailbox_line(struct span line)
{
	return span_starts(line, SPAN("From ")) ||
	    span_starts(line, SPAN(">From "));
}

bool
fixup_is_header_line(struct span line, bool first)
{
	size_t colon;

	if (!first && line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
		return true;
	if (first && is_mailbox_line(line))
		return true;
	colon = span_chr(line, ':');
	if (colon == SIZE_MAX)
		return false;
	while (colon > 0 &&
	    (line.p[colon - 1] == ' ' || line.p[colon - 1] == '\t'))
		colon--;
	return header_name_ok(span_slice(line, 0, colon));
}

/* Looks at complete lines. True when the header ends at f->scanned; *out_gap
 * then: the empty line is missing. With `last` an unended line counts too. */
static bool
find_end(struct fixup *f, bool last, bool *out_gap)
{
	struct span all = buf_span(&f->header);

	while (f->scanned < all.n) {
		struct span rest = span_skip(all, f->scanned);
		size_t lf = span_chr(rest, '\n');
		struct span line = rest;

		if (lf == SIZE_MAX && !last)
			return false;
		if (lf != SIZE_MAX)
			line = span_slice(rest, 0, lf + 1);
		if (span_eq(line, SPAN("\r\n")) || span_eq(line, SPAN("\n"))) {
			*out_gap = false;
			return true;
		}
		if (!fixup_is_header_line(line, f->scanned == 0)) {
			*out_gap = true;
			return true;
		}
		f->scanned += line.n;
	}
	return false;
}

/* ---- what goes out -------------------------------------------------------- */

static void
keep_message_id(struct fixup *f, struct span body)
{
	struct buf text;
	struct span id;
	char *p;

	buf_init(&text, LIMIT_HEADER_FIELD);
	header_unfold(body, &text);
	id = span_slice(buf_span(&text), 0, MESSAGE_ID_MAX - 1);
	if (span_copy(id, f->message_id, sizeof(f->message_id)))
		for (p = f->message_id; *p != '\0'; p++)
			if (*p < ' ' || *p > '~')
				*p = '?';
	buf_release(&text);
}

static unsigned
seen_bit(struct span name)
{
	if (span_ieq(name, SPAN("message-id")))
		return SEEN_MESSAGE_ID;
	if (span_ieq(name, SPAN("date")))
		return SEEN_DATE;
	if (span_ieq(name, SPAN("to")) || span_ieq(name, SPAN("cc")) ||
	    span_ieq(name, SPAN("bcc")))
		return SEEN_RCPT;
	return span_ieq(name, SPAN("from")) ? SEEN_FROM : 0;
}

/* A value other than "No" is none. */
static bool
says_no(struct span body)
{
	struct buf text;
	bool no;

	buf_init(&text, LIMIT_HEADER_FIELD);
	header_unfold(body, &text);
	no = span_ieq(buf_span(&text), SPAN("no"));
	buf_release(&text);
	return no;
}

static void
note_field(struct fixup *f, const struct header_field *field)
{
	struct span name = field->name;
	const bool resent = span_istarts(name, SPAN("resent-"));
	unsigned bit;

	if (span_ieq(name, SPAN("received")))
		f->hops++;
	if (span_ieq(name, SPAN("tls-required")) && says_no(field->body))
		f->tls_optional = true;
	if (resent) {
		name = span_skip(name, 7);
		f->resent = true;
	}
	bit = seen_bit(name);
	if (bit == SEEN_MESSAGE_ID)
		keep_message_id(f, field->body);
	if (bit == SEEN_FROM && !resent) {
		if (f->from.n > 0)
			buf_str(&f->from, ", ");
		header_unfold(field->body, &f->from);
	}
	*(resent ? &f->resent_seen : &f->seen) |= bit;
}

static bool
is_dropped(const struct fixup *f, struct span name)
{
	for (size_t i = 0; i < f->dropped_count; i++)
		if (span_ieq(name, f->dropped[i]))
			return true;
	return false;
}

/* Lets the hook have its say, then sends the field out. */
static void
emit_field(struct fixup *f, const struct header_field *field)
{
	if (f->conf->field != NULL) {
		buf_reset(&f->instead);
		if (f->conf->field(f->conf->hook_arg, field, &f->instead)) {
			emit(f, buf_span(&f->instead));
			return;
		}
	}
	emit(f, field->raw);
}

static void
emit_received(struct fixup *f)
{
	struct span rest = f->conf->received;
	struct header_field field;

	while (f->conf->field != NULL && header_next(&rest, &field))
		emit_field(f, &field);
	emit(f, rest);
}

static void
pass_fields(struct fixup *f, struct span header)
{
	struct header_field field;

	if (is_mailbox_line(header))
		emit(f, SPAN("X-Mailbox-Line: "));
	while (header_next(&header, &field)) {
		note_field(f, &field);
		if (!is_dropped(f, field.name))
			emit_field(f, &field);
	}
	emit(f, header);
}

static void
make_message_id(struct fixup *f)
{
	struct buf id;
	struct date d;

	buf_init(&id, MESSAGE_ID_MAX - 1);
	date_from_time(f->conf->time_s, 0, &d);
	buf_fmt(&id, "<%04d%02d%02d%02d%02d%02d.%s@%s>", d.year, d.month,
	    d.day, d.hour, d.minute, d.second, f->conf->qid,
	    f->conf->hostname);
	span_copy(buf_span(&id), f->message_id, sizeof(f->message_id));
	buf_release(&id);
}

/* Postfix's order: Message-Id, Date, From. */
static void
add_missing(struct fixup *f)
{
	const unsigned seen = f->resent ? f->resent_seen : f->seen;
	const char *prefix = f->resent ? "Resent-" : "";
	struct buf out;

	buf_init(&out, LIMIT_HEADER_FIELD);
	if ((seen & SEEN_MESSAGE_ID) == 0) {
		make_message_id(f);
		buf_fmt(&out, "%sMessage-Id: %s\r\n", prefix, f->message_id);
	}
	if ((seen & SEEN_DATE) == 0) {
		buf_fmt(&out, "%sDate: ", prefix);
		date_print_rfc5322(&out, f->conf->time_s, f->conf->offset_min,
		    NULL);
		buf_str(&out, "\r\n");
	}
	if ((seen & SEEN_FROM) == 0 && f->conf->from.n > 0) {
		buf_fmt(&out, "%sFrom: ", prefix);
		buf_add(&out, f->conf->from);
		buf_str(&out, "\r\n");
	}
	if (buf_ok(&out))
		emit(f, buf_span(&out));
	buf_release(&out);
}

static void
add_undisclosed(struct fixup *f)
{
	const char *field = f->conf->undisclosed;

	if (field == NULL || field[0] == '\0' ||
	    ((f->seen | f->resent_seen) & SEEN_RCPT) != 0)
		return;
	emit(f, span_str(field));
	emit(f, SPAN("\r\n"));
}

static void
emit_body(struct fixup *f, struct span bytes)
{
	if (bytes.n > 0 && f->conf->body != NULL)
		f->conf->body(f->conf->hook_arg, bytes);
	else
		emit(f, bytes);
}

/* What stands behind the header: an empty line, unless that is missing, then
 * the body. */
static void
begin_body(struct fixup *f, struct span rest, bool gap)
{
	size_t n = 0;

	if (gap)
		emit(f, SPAN("\r\n"));
	else if (span_starts(rest, SPAN("\r\n")))
		n = 2;
	else if (span_starts(rest, SPAN("\n")))
		n = 1;
	emit(f, span_slice(rest, 0, n));
	emit_body(f, span_skip(rest, n));
}

/* The header is complete (or too long to wait for its end). */
static void
pass_header(struct fixup *f, size_t end, bool complete, bool gap)
{
	struct span all = buf_span(&f->header);

	f->in_body = true;
	f->complete = complete;
	emit_received(f);
	pass_fields(f, span_slice(all, 0, end));
	if (complete && f->conf->submission)
		add_missing(f);
	if (complete)
		add_undisclosed(f);
	begin_body(f, span_skip(all, end), gap);
	buf_release(&f->header);
}

void
fixup_feed(struct fixup *f, struct span bytes)
{
	bool gap;

	if (f->in_body) {
		emit_body(f, bytes);
		return;
	}
	if (f->header.n + bytes.n > LIMIT_HEADER) {
		pass_header(f, f->scanned, false, false);
		emit_body(f, bytes);
		return;
	}
	buf_add(&f->header, bytes);
	if (find_end(f, false, &gap))
		pass_header(f, f->scanned, true, gap);
}

void
fixup_end(struct fixup *f)
{
	bool gap = false;

	if (f->in_body)
		return;
	if (!find_end(f, true, &gap))
		gap = true; /* nothing but header: it needs its end */
	pass_header(f, f->scanned, true, gap);
}

const char *
fixup_message_id(const struct fixup *f)
{
	return f->message_id;
}

struct span
fixup_from(const struct fixup *f, bool *out_complete)
{
	*out_complete = f->complete && buf_ok(&f->from);
	return buf_span(&f->from);
}

bool
fixup_tls_optional(const struct fixup *f)
{
	return f->tls_optional;
}

unsigned
fixup_hops(const struct fixup *f)
{
	return f->hops;
}
