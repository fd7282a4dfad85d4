/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/mime.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/header.h"

enum {
	/* RFC 2046 5.1.1 allows 70; longer ones are seen, absurd ones not. */
	BOUNDARY_MAX = 1000,
	FIELD_ARENA = 4 * LIMIT_HEADER_FIELD,
};

/* What a part is inside of, innermost last. */
struct open {
	uint32_t part;
	uint8_t *boundary; /* NULL: a message, or a multipart that was closed */
	size_t boundary_n;
};

struct parser {
	struct mime *m;
	size_t at;     /* where the current line begins */
	uint32_t line; /* line ends before it */
	uint32_t room; /* parts allocated */
	uint32_t cur;  /* the part whose lines these are */
	bool in_header;
	struct open open[LIMIT_MIME_DEPTH];
	size_t depth;
};

static uint32_t
add_part(struct parser *p, uint32_t parent)
{
	struct mime *m = p->m;
	struct mime_part *part;

	if (m->count == p->room) {
		p->room = p->room > 0 ? p->room * 2 : 1;
		m->parts = mem_resize(m->parts, p->room, sizeof(m->parts[0]));
	}
	part = &m->parts[m->count];
	*part = (struct mime_part){ .parent = parent,
		.first = MIME_NONE,
		.last = MIME_NONE,
		.next = MIME_NONE,
		.header = p->at,
		.body = p->at,
		.end = p->at,
		.depth = parent == MIME_NONE ? 0 : m->parts[parent].depth + 1 };
	if (parent != MIME_NONE) {
		struct mime_part *up = &m->parts[parent];

		if (up->first == MIME_NONE)
			up->first = m->count;
		else
			m->parts[up->last].next = m->count;
		up->last = m->count;
	}
	return m->count++;
}

static void
push(struct parser *p, uint32_t part, struct span boundary)
{
	struct open *o = &p->open[p->depth++];

	*o = (struct open){ .part = part };
	if (boundary.n > 0) {
		o->boundary = mem_alloc(boundary.n);
		memcpy(o->boundary, boundary.p, boundary.n);
		o->boundary_n = boundary.n;
	}
}

static void
pop(struct parser *p)
{
	mem_free(p->open[--p->depth].boundary);
}

static bool
is_identity(struct span header)
{
	struct header_field f;
	struct span e;

	if (!header_find(header, SPAN("Content-Transfer-Encoding"), &f))
		return true;
	e = span_trim(f.body);
	return !span_ieq(e, SPAN("base64")) &&
	       !span_ieq(e, SPAN("quoted-printable"));
}

/* Without a type of its own a part of a digest is a message (RFC 2046
 * 5.1.5). */
static bool
in_digest(const struct parser *p, uint32_t part)
{
	const uint32_t up = p->m->parts[part].parent;

	return up != MIME_NONE && p->m->parts[up].digest;
}

/* May one more level, with one more part, be opened? */
static bool
room_inside(struct parser *p)
{
	if (p->depth < LIMIT_MIME_DEPTH && p->m->count < LIMIT_MIME_PARTS)
		return true;
	p->m->truncated = true;
	return false;
}

static void
open_message(struct parser *p)
{
	struct mime_part *part = &p->m->parts[p->cur];

	part->opaque =
	    !room_inside(p) || !is_identity(mime_header(p->m, p->cur));
	if (part->opaque)
		return;
	part->kind = MIME_MESSAGE;
	push(p, p->cur, SPAN_EMPTY);
	p->cur = add_part(p, p->cur);
	p->in_header = true;
}

static void
open_multipart(struct parser *p, const struct mime_value *v)
{
	struct mime_part *part = &p->m->parts[p->cur];
	const struct span boundary = mime_param(v, SPAN("boundary"));

	part->opaque =
	    boundary.n == 0 || boundary.n > BOUNDARY_MAX || !room_inside(p);
	if (part->opaque)
		return;
	part->kind = MIME_MULTIPART;
	part->digest = span_ieq(v->subtype, SPAN("digest"));
	push(p, p->cur, boundary);
}

/* The current part's header has ended, its body begins at p->at. */
static void
header_done(struct parser *p)
{
	struct mime_part *part = &p->m->parts[p->cur];
	struct header_field f;
	struct mime_value v;
	struct arena a;

	p->in_header = false;
	part->body = part->end = p->at;
	part->lines = p->line;
	arena_init(&a, FIELD_ARENA);
	if (!header_find(mime_header(p->m, p->cur), SPAN("Content-Type"), &f)) {
		if (in_digest(p, p->cur))
			open_message(p);
	} else if (mime_type_parse(f.body, &a, &v)) {
		if (span_ieq(v.type, SPAN("multipart")))
			open_multipart(p, &v);
		else if (span_ieq(v.type, SPAN("message")) &&
			 span_ieq(v.subtype, SPAN("rfc822")))
			open_message(p);
	}
	arena_reset(&a);
}

/* The current part ends at `end`, after `lines` lines of the message. */
static void
end_part(struct parser *p, uint32_t index, size_t end, uint32_t lines)
{
	struct mime_part *part = &p->m->parts[index];

	if (p->in_header && index == p->cur) {
		part->body = end > part->header ? end : part->header;
		part->end = part->body;
		part->lines = 0;
		p->in_header = false;
		return;
	}
	part->end = end > part->body ? end : part->body;
	/* An empty part's blank line is also its boundary's line end. */
	if (part->last != MIME_NONE && p->m->parts[part->last].end > part->end)
		part->end = p->m->parts[part->last].end;
	part->lines = lines > part->lines ? lines - part->lines : 0;
}

/* Ends everything that is open down to, and without, level `keep`. */
static void
end_down_to(struct parser *p, size_t keep, size_t end, uint32_t lines)
{
	if (p->depth == 0 || p->cur != p->open[p->depth - 1].part)
		end_part(p, p->cur, end, lines);
	while (p->depth > keep) {
		end_part(p, p->open[p->depth - 1].part, end, lines);
		pop(p);
	}
}

/* Which open boundary is this line? Returns the level + 1, or 0. Blank at
 * the end of the line is not part of it (RFC 2046 5.1.1). */
static size_t
boundary_of(const struct parser *p, struct span line, bool *out_last)
{
	while (line.n > 0 &&
	       (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r' ||
		   line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	line = span_skip(line, 2);
	for (size_t level = p->depth; level > 0; level--) {
		const struct open *o = &p->open[level - 1];
		const struct span b = span_of(o->boundary, o->boundary_n);

		if (o->boundary == NULL || !span_starts(line, b))
			continue;
		*out_last = line.n == b.n + 2 && line.p[b.n] == '-' &&
			    line.p[b.n + 1] == '-';
		if (*out_last || line.n == b.n)
			return level;
	}
	return 0;
}

/* The line end before a boundary belongs to the boundary. */
static size_t
before_line(const struct parser *p, size_t at)
{
	const uint8_t *b = p->m->message.p;

	if (at > 0 && b[at - 1] == '\n')
		at--;
	if (at > 0 && b[at - 1] == '\r')
		at--;
	return at;
}

static void
on_boundary(struct parser *p, size_t level, bool last, size_t next)
{
	const uint32_t multi = p->open[level - 1].part;

	end_down_to(
	    p, level, before_line(p, p->at), p->line > 0 ? p->line - 1 : 0);
	p->at = next;
	p->line++;
	p->cur = multi;
	if (last) {
		mem_free(p->open[level - 1].boundary);
		p->open[level - 1].boundary = NULL;
	} else if (p->m->count < LIMIT_MIME_PARTS) {
		p->cur = add_part(p, multi);
		p->in_header = true;
	} else {
		p->m->truncated = true;
	}
}

static void
read_line(struct parser *p)
{
	const struct span rest = span_skip(p->m->message, p->at);
	const size_t eol = span_chr(rest, '\n');
	const size_t n = eol == SIZE_MAX ? rest.n : eol + 1;
	const struct span line = span_slice(rest, 0, n);
	size_t level = 0;
	bool last = false;

	if (p->depth > 0 && span_starts(line, SPAN("--")))
		level = boundary_of(p, line, &last);
	if (level > 0) {
		on_boundary(p, level, last, p->at + n);
		return;
	}
	p->at += n;
	p->line += eol != SIZE_MAX;
	if (p->in_header &&
	    (span_eq(line, SPAN("\r\n")) || span_eq(line, SPAN("\n"))))
		header_done(p);
}

void
mime_parse(struct span message, struct mime *out)
{
	struct parser *p = MEM_NEW(p);

	*out = (struct mime){ .message = message };
	p->m = out;
	p->cur = add_part(p, MIME_NONE);
	p->in_header = true;
	while (p->at < message.n) {
		/* Outside of any multipart no line matters any more. */
		if (!p->in_header && p->depth == 0)
			break;
		read_line(p);
	}
	for (; p->at < message.n; p->at++)
		p->line += message.p[p->at] == '\n';
	end_down_to(p, 0, message.n, p->line);
	mem_free(p);
}

void
mime_release(struct mime *m)
{
	mem_free(m->parts);
	*m = (struct mime){ 0 };
}

struct span
mime_header(const struct mime *m, uint32_t part)
{
	return span_slice(
	    m->message, m->parts[part].header, m->parts[part].body);
}

struct span
mime_body(const struct mime *m, uint32_t part)
{
	return span_slice(m->message, m->parts[part].body, m->parts[part].end);
}

/* The number-th child. */
static uint32_t
child(const struct mime *m, uint32_t part, uint32_t number)
{
	uint32_t at = m->parts[part].first;

	while (at != MIME_NONE && --number > 0)
		at = m->parts[at].next;
	return at;
}

uint32_t
mime_find(const struct mime *m, const uint32_t *numbers, size_t count,
    bool *out_message, uint32_t *out_inner)
{
	bool fresh = true; /* at a message whose part 1 may be itself */
	uint32_t at = 0;

	for (size_t i = 0; i < count; i++) {
		if (!fresh && m->parts[at].kind == MIME_MESSAGE) {
			at = m->parts[at].first;
			fresh = true;
		}
		if (m->parts[at].kind == MIME_MULTIPART)
			at = child(m, at, numbers[i]);
		else if (!fresh || numbers[i] != 1)
			return MIME_NONE;
		if (at == MIME_NONE)
			return MIME_NONE;
		fresh = false;
	}
	*out_message = count == 0 || m->parts[at].kind == MIME_MESSAGE;
	*out_inner = count == 0 ? 0 : m->parts[at].first;
	return at;
}
