/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/downgrade.h"

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/base64.h"
#include "lib/proto/header.h"
#include "lib/proto/mime.h"

enum {
	PIECE_MAX = 8192, /* of a line that goes on and on */
	QP_LINE = 75,	  /* RFC 2045 6.7: 76 with the soft break's "=" */
	B64_LINE = 57,	  /* bytes that make a line of 76 */
	BOUNDARY_MAX = 200,
};

enum encoding { AS_IT_IS, QUOTED_PRINTABLE, BASE64 };

struct downgrade {
	downgrade_fn out;
	void *arg;
	struct buf line;   /* being collected */
	bool middle;	   /* the line's first piece has been dealt with */
	bool in_header;	   /* the header of a part is being collected */
	struct buf header;
	enum encoding encoding; /* of the body being passed on */
	unsigned column;	/* of quoted-printable */
	struct buf rest;	/* base64: bytes not yet written */
	struct buf held; /* base64: a line end that may be the boundary's */
	struct buf boundaries[LIMIT_MIME_DEPTH];
	size_t depth;
};

struct downgrade *
downgrade_new(downgrade_fn out, void *arg)
{
	struct downgrade *d = MEM_NEW(d);

	d->out = out;
	d->arg = arg;
	d->in_header = true;
	buf_init(&d->line, PIECE_MAX);
	buf_init(&d->header, LIMIT_HEADER_FIELD);
	buf_init(&d->rest, 2 * PIECE_MAX);
	buf_init(&d->held, 2);
	return d;
}

static void
pop_to(struct downgrade *d, size_t depth)
{
	while (d->depth > depth)
		buf_release(&d->boundaries[--d->depth]);
}

void
downgrade_free(struct downgrade **p)
{
	struct downgrade *d = *p;

	*p = NULL;
	if (d == NULL)
		return;
	pop_to(d, 0);
	buf_release(&d->line);
	buf_release(&d->header);
	buf_release(&d->rest);
	buf_release(&d->held);
	mem_free(d);
}

static void
put(struct downgrade *d, struct span bytes)
{
	if (bytes.n > 0)
		d->out(d->arg, bytes);
}

/* ---- the two encodings ---- */

static void
quoted_byte(struct downgrade *d, uint8_t c, bool last_of_line)
{
	static const char hex[] = "0123456789ABCDEF";
	const bool blank = c == ' ' || c == '\t';
	const bool plain = (c > ' ' && c < 127 && c != '=') ||
			   (blank && !last_of_line);
	const uint8_t coded[] = { '=', (uint8_t)hex[c >> 4],
		(uint8_t)hex[c & 15] };
	const size_t n = plain ? 1 : 3;

	if (d->column + n > QP_LINE) {
		put(d, SPAN("=\r\n"));
		d->column = 0;
	}
	put(d, plain ? span_of(&c, 1) : span_of(coded, 3));
	d->column += (unsigned)n;
}

static void
quoted(struct downgrade *d, struct span line, struct span end)
{
	for (size_t i = 0; i < line.n; i++)
		quoted_byte(d, line.p[i], i + 1 == line.n);
	if (end.n > 0) {
		put(d, SPAN("\r\n"));
		d->column = 0;
	}
}

static void
base64_lines(struct downgrade *d, bool all)
{
	struct span s = buf_span(&d->rest);
	struct buf b;

	buf_init(&b, 100);
	while (s.n >= B64_LINE || (all && s.n > 0)) {
		const struct span part = span_slice(s, 0, B64_LINE);

		buf_reset(&b);
		base64_encode(part, &b);
		buf_str(&b, "\r\n");
		put(d, buf_span(&b));
		s = span_skip(s, part.n);
	}
	buf_release(&b);
	buf_consume(&d->rest, d->rest.n - s.n);
}

static void
based(struct downgrade *d, struct span line, struct span end)
{
	buf_add(&d->rest, buf_span(&d->held));
	buf_reset(&d->held);
	buf_add(&d->rest, line);
	buf_add(&d->held, end);
	base64_lines(d, false);
}

/* The part is over: at_boundary, the last line end was not its own. */
static void
end_part(struct downgrade *d, bool at_boundary)
{
	if (d->encoding == BASE64) {
		if (!at_boundary)
			buf_add(&d->rest, buf_span(&d->held));
		base64_lines(d, true);
	}
	buf_reset(&d->held);
	d->column = 0;
	d->encoding = AS_IT_IS;
}

/* ---- headers ---- */

static bool
is_word(struct span body, struct span word)
{
	const struct span s = span_trim(body);

	return span_istarts(s, word) &&
	       (s.n == word.n || s.p[word.n] == ' ' || s.p[word.n] == ';' ||
		   s.p[word.n] == '(');
}

/* The header again, but with another Content-Transfer-Encoding. */
static void
put_header(struct downgrade *d, const char *encoding)
{
	struct span rest = buf_span(&d->header);
	struct header_field f;

	while (encoding != NULL && header_next(&rest, &f)) {
		if (span_ieq(f.name, SPAN("Content-Transfer-Encoding"))) {
			put(d, SPAN("Content-Transfer-Encoding: "));
			put(d, span_str(encoding));
			put(d, SPAN("\r\n"));
		} else {
			put(d, f.raw);
		}
	}
	put(d, rest);
}

static bool
push_boundary(struct downgrade *d, struct span boundary)
{
	struct buf *b = &d->boundaries[d->depth];

	if (boundary.n == 0 || boundary.n > BOUNDARY_MAX ||
	    d->depth == LIMIT_MIME_DEPTH)
		return false;
	buf_init(b, BOUNDARY_MAX);
	buf_add(b, boundary);
	d->depth++;
	return true;
}

/* What the part is: a container (its parts will be looked at) or a leaf. */
static bool
is_container(struct downgrade *d, bool *out_message)
{
	const struct span header = buf_span(&d->header);
	struct header_field f;
	struct mime_value v;
	struct arena a;
	bool container = false;

	*out_message = false;
	if (!header_find(header, SPAN("Content-Type"), &f))
		return false;
	arena_init(&a, LIMIT_HEADER_FIELD * 4);
	if (mime_type_parse(f.body, &a, &v)) {
		*out_message =
		    span_ieq(v.type, SPAN("message")) &&
		    (span_ieq(v.subtype, SPAN("rfc822")) ||
			span_ieq(v.subtype, SPAN("global")));
		container = *out_message ||
		    (span_ieq(v.type, SPAN("multipart")) &&
			push_boundary(d, mime_param(&v, SPAN("boundary"))));
	}
	arena_reset(&a);
	return container;
}

/* The header is complete, with its empty line. */
static void
end_header(struct downgrade *d)
{
	struct header_field f;
	bool eight = false, binary = false, message = false;

	d->in_header = false;
	if (header_find(buf_span(&d->header),
		SPAN("Content-Transfer-Encoding"), &f)) {
		eight = is_word(f.body, SPAN("8bit"));
		binary = is_word(f.body, SPAN("binary"));
	}
	if (is_container(d, &message)) {
		put_header(d, eight || binary ? "7bit" : NULL);
		d->in_header = message;
	} else if (binary) {
		put_header(d, "base64");
		d->encoding = BASE64;
	} else {
		put_header(d, eight ? "quoted-printable" : NULL);
		d->encoding = eight ? QUOTED_PRINTABLE : AS_IT_IS;
	}
	buf_reset(&d->header);
}

static void
header_line(struct downgrade *d, struct span line, struct span end)
{
	if (buf_ok(&d->header)) {
		struct buf *h = &d->header;

		if (h->n + line.n + end.n <= LIMIT_HEADER_FIELD) {
			buf_add(h, line);
			buf_add(h, end);
			if (line.n == 0 && !d->middle)
				end_header(d);
			return;
		}
	}
	/* Larger than headers are: it passes, and so does its body. */
	put(d, buf_span(&d->header));
	buf_reset(&d->header);
	put(d, line);
	put(d, end);
	d->in_header = false;
}

/* ---- lines ---- */

/* Is it one of the boundaries? Then the parts inside it are over. */
static bool
is_boundary(struct downgrade *d, struct span line)
{
	if (!span_starts(line, SPAN("--")))
		return false;
	for (size_t i = d->depth; i-- > 0;) {
		const struct span b = buf_span(&d->boundaries[i]);
		struct span behind;
		bool last;

		if (!span_starts(span_skip(line, 2), b))
			continue;
		behind = span_skip(line, 2 + b.n);
		last = span_starts(behind, SPAN("--"));
		if (span_trim(span_skip(behind, last ? 2 : 0)).n > 0)
			continue;
		/* A header that has no end is passed on as it is. */
		put(d, buf_span(&d->header));
		buf_reset(&d->header);
		end_part(d, true);
		pop_to(d, last ? i : i + 1);
		d->in_header = !last;
		return true;
	}
	return false;
}

/* A line, or a piece of a long one: end is its line end, if it has one. */
static void
one_line(struct downgrade *d, struct span line, struct span end)
{
	if (!d->middle && is_boundary(d, line)) {
		put(d, line);
		put(d, end);
	} else if (d->in_header) {
		header_line(d, line, end);
	} else {
		switch (d->encoding) {
		case AS_IT_IS:
			put(d, line);
			put(d, end);
			break;
		case QUOTED_PRINTABLE:
			quoted(d, line, end);
			break;
		case BASE64:
			based(d, line, end);
			break;
		}
	}
	d->middle = end.n == 0;
}

static void
collected(struct downgrade *d, bool whole)
{
	struct span line = buf_span(&d->line);
	size_t end = whole ? 1 : 0;

	if (whole && line.n > 1 && line.p[line.n - 2] == '\r')
		end = 2;
	one_line(d, span_slice(line, 0, line.n - end),
	    span_skip(line, line.n - end));
	buf_reset(&d->line);
}

void
downgrade_feed(struct downgrade *d, struct span bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		const uint8_t c = bytes.p[i];

		/* A CR may belong to the LF behind it: it stays. */
		if (d->line.n >= PIECE_MAX - 2 && c != '\n')
			collected(d, false);
		buf_byte(&d->line, c);
		if (c == '\n')
			collected(d, true);
	}
}

void
downgrade_end(struct downgrade *d)
{
	if (d->line.n > 0)
		collected(d, false);
	put(d, buf_span(&d->header));
	buf_reset(&d->header);
	end_part(d, false);
}
