/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/mime_stream.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/mime.h"

enum { BOUNDARY_MAX = 255 };

struct level {
	uint8_t boundary[BOUNDARY_MAX];
	size_t n;
	bool digest; /* its parts are messages unless they say otherwise */
};

/* What a header says of the body that follows. */
struct type {
	enum { TYPE_TEXT, TYPE_MULTIPART, TYPE_MESSAGE } kind;
	bool encoded; /* a message in base64 can't be looked into */
	struct level level;
};

struct mime_stream {
	const struct mime_stream_handler *handler;
	void *arg;
	struct level *levels;
	size_t depth;
	bool in_header;
	enum mime_stream_class class;
	struct type type; /* as far as the header was read */
	struct buf line;  /* the line that is being read */
	bool inside_line; /* the first piece of a long line went out */
	struct buf field; /* the field that is being read */
	bool cut;	  /* it has its maximum */
	uint64_t at;	  /* bytes of this part's text */
};

/* ---- what a header says ---- */

static void
take_type(struct span body, struct type *out)
{
	struct mime_value value;
	struct arena a;
	struct span boundary;

	arena_init(&a, LIMIT_HEADER_FIELD * 2);
	out->kind = TYPE_TEXT;
	if (mime_type_parse(body, &a, &value)) {
		boundary = mime_param(&value, SPAN("boundary"));
		if (span_ieq(value.type, SPAN("multipart")) &&
		    boundary.n > 0 && boundary.n <= BOUNDARY_MAX) {
			out->kind = TYPE_MULTIPART;
			out->level.n = boundary.n;
			memcpy(out->level.boundary, boundary.p, boundary.n);
			out->level.digest =
			    span_ieq(value.subtype, SPAN("digest"));
		} else if (span_ieq(value.type, SPAN("message")) &&
			   (span_ieq(value.subtype, SPAN("rfc822")) ||
			       span_ieq(value.subtype, SPAN("global")))) {
			out->kind = TYPE_MESSAGE;
		}
	}
	arena_reset(&a);
}

static bool
is_encoded(struct span body)
{
	struct mime_value value;
	struct arena a;
	bool yes;

	arena_init(&a, LIMIT_HEADER_FIELD * 2);
	yes = mime_disposition_parse(body, &a, &value) &&
	      (span_ieq(value.type, SPAN("base64")) ||
		  span_ieq(value.type, SPAN("quoted-printable")));
	arena_reset(&a);
	return yes;
}

static void
note_field(struct mime_stream *s, const struct header_field *f)
{
	if (span_ieq(f->name, SPAN("content-type")))
		take_type(f->body, &s->type);
	else if (span_ieq(f->name, SPAN("content-transfer-encoding")))
		s->type.encoded = is_encoded(f->body);
}

/* ---- from one state to the other ---- */

static void
begin_header(struct mime_stream *s, enum mime_stream_class class)
{
	s->in_header = true;
	s->class = class;
	s->type = (struct type){ .kind = TYPE_TEXT };
	if (class == MIME_STREAM_PART && s->levels[s->depth - 1].digest)
		s->type.kind = TYPE_MESSAGE;
}

/* The header is over: what it said decides what comes. */
static void
begin_body(struct mime_stream *s)
{
	s->in_header = false;
	s->at = 0;
	if (s->type.kind == TYPE_MULTIPART && s->depth < LIMIT_MIME_DEPTH) {
		s->levels = mem_resize(s->levels,
		    s->depth + 1, sizeof(*s->levels));
		s->levels[s->depth++] = s->type.level;
	} else if (s->type.kind == TYPE_MESSAGE && !s->type.encoded) {
		begin_header(s, MIME_STREAM_NESTED);
	}
}

static void
flush_field(struct mime_stream *s)
{
	struct span rest = buf_span(&s->field);
	struct header_field f;

	if (rest.n == 0)
		return;
	while (header_next(&rest, &f)) {
		note_field(s, &f);
		s->handler->field(s->arg, s->class, &f);
	}
	if (rest.n > 0)
		s->handler->other(s->arg, rest);
	buf_release(&s->field);
	s->cut = false;
}

/* ---- lines ---- */

static bool
is_boundary(const struct level *l, struct span line, bool *out_last)
{
	struct span rest;

	if (!span_starts(line, SPAN("--")) ||
	    !span_starts(span_skip(line, 2), span_of(l->boundary, l->n)))
		return false;
	rest = span_skip(line, 2 + l->n);
	*out_last = span_starts(rest, SPAN("--"));
	if (*out_last)
		rest = span_skip(rest, 2);
	while (rest.n > 0 && (rest.p[0] == ' ' || rest.p[0] == '\t' ||
			       rest.p[0] == '\r' || rest.p[0] == '\n'))
		rest = span_skip(rest, 1);
	return rest.n == 0;
}

/* Which of the open multiparts does this line end a part of? It closes all
 * that are open within. False: none. */
static bool
take_boundary(struct mime_stream *s, struct span line)
{
	bool last;

	if (line.n < 2 || line.p[0] != '-' || line.p[1] != '-')
		return false;
	for (size_t i = s->depth; i > 0; i--) {
		if (!is_boundary(&s->levels[i - 1], line, &last))
			continue;
		flush_field(s);
		s->in_header = false;
		s->handler->line(s->arg, line, s->at);
		s->at = 0;
		s->depth = last ? i - 1 : i;
		if (!last)
			begin_header(s, MIME_STREAM_PART);
		return true;
	}
	return false;
}

static bool
is_field(struct span line)
{
	const size_t colon = span_chr(line, ':');

	return colon != SIZE_MAX &&
	       header_name_ok(span_trim(span_slice(line, 0, colon)));
}

static void
body_line(struct mime_stream *s, struct span line)
{
	s->handler->line(s->arg, line, s->at);
	s->at += line.n;
}

/* A further line of the field, or as much of it as there is room for. */
static void
extend_field(struct mime_stream *s, struct span line)
{
	if (!s->cut && s->field.n + line.n <= LIMIT_HEADER_FIELD) {
		buf_add(&s->field, line);
		return;
	}
	if (!s->cut) {
		flush_field(s);
		s->cut = true;
	}
	s->handler->other(s->arg, line);
}

static void
header_line(struct mime_stream *s, struct span line)
{
	const bool folded = line.p[0] == ' ' || line.p[0] == '\t';

	if (span_eq(line, SPAN("\r\n")) || span_eq(line, SPAN("\n"))) {
		flush_field(s);
		s->handler->other(s->arg, line);
		begin_body(s);
	} else if (folded && (s->field.n > 0 || s->cut)) {
		extend_field(s, line);
	} else if (is_field(line)) {
		flush_field(s);
		s->cut = false;
		extend_field(s, line);
	} else {
		/* No field: the empty line is missing. */
		flush_field(s);
		begin_body(s);
		if (s->in_header)
			header_line(s, line);
		else
			body_line(s, line);
	}
}

/* A line, or (more) a piece of one that is too long to wait for its end. */
static void
take_line(struct mime_stream *s, bool more)
{
	const struct span line = buf_span(&s->line);

	if (s->inside_line && s->in_header)
		s->handler->other(s->arg, line);
	else if (s->inside_line)
		body_line(s, line);
	else if (take_boundary(s, line))
		;
	else if (s->in_header)
		header_line(s, line);
	else
		body_line(s, line);
	s->inside_line = more;
	buf_reset(&s->line);
}

void
mime_stream_feed(struct mime_stream *s, struct span bytes)
{
	while (bytes.n > 0) {
		const size_t room = LIMIT_SMTP_TEXT_LINE - s->line.n;
		const size_t lf = span_chr(bytes, '\n');
		size_t n = lf == SIZE_MAX ? bytes.n : lf + 1;
		const bool whole = lf != SIZE_MAX && n <= room;

		if (n > room)
			n = room;
		buf_add(&s->line, span_slice(bytes, 0, n));
		bytes = span_skip(bytes, n);
		if (whole)
			take_line(s, false);
		else if (s->line.n == LIMIT_SMTP_TEXT_LINE)
			take_line(s, true);
	}
}

void
mime_stream_end(struct mime_stream *s)
{
	if (s->line.n > 0)
		take_line(s, false);
	flush_field(s);
}

struct mime_stream *
mime_stream_new(struct span content_type, struct span encoding,
    const struct mime_stream_handler *handler, void *arg)
{
	struct mime_stream *s = MEM_NEW(s);

	s->handler = handler;
	s->arg = arg;
	buf_init(&s->line, LIMIT_SMTP_TEXT_LINE);
	buf_init(&s->field, LIMIT_HEADER_FIELD + LIMIT_SMTP_TEXT_LINE);
	if (content_type.n > 0)
		take_type(content_type, &s->type);
	s->type.encoded = encoding.n > 0 && is_encoded(encoding);
	begin_body(s);
	return s;
}

void
mime_stream_free(struct mime_stream **s)
{
	if (*s == NULL)
		return;
	buf_release(&(*s)->line);
	buf_release(&(*s)->field);
	mem_free((*s)->levels);
	mem_free(*s);
	*s = NULL;
}
