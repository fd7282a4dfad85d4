/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_body.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/envelope.h"
#include "lib/proto/header.h"
#include "lib/proto/imap_print.h"

enum { FIELDS_ARENA = 8 * LIMIT_HEADER_FIELD };

/* What a part's header says about it. */
struct facts {
	struct arena arena;
	struct mime_value type, disposition;
	bool has_disposition;
	struct span id, description, encoding, md5, language, location;
};

static void
set_type(const struct mime *m, uint32_t part, struct span body, struct facts *f)
{
	const struct mime_part *p = &m->parts[part];
	const bool known = mime_type_parse(body, &f->arena, &f->type);

	/* A multipart that is not one for us is text to the client too. */
	if (p->kind == MIME_MESSAGE && !known) {
		f->type = (struct mime_value){ .type = SPAN("message"),
			.subtype = SPAN("rfc822") };
	} else if (!known || (p->opaque && p->kind == MIME_LEAF &&
				 span_ieq(f->type.type, SPAN("multipart")))) {
		struct mime_param *us_ascii = ARENA_NEW(&f->arena, us_ascii);

		*us_ascii =
		    (struct mime_param){ SPAN("charset"), SPAN("us-ascii") };
		f->type = (struct mime_value){ .type = SPAN("text"),
			.subtype = SPAN("plain"),
			.params = us_ascii,
			.param_count = 1 };
	} else if (p->opaque && span_ieq(f->type.type, SPAN("message"))) {
		f->type = (struct mime_value){ .type = SPAN("application"),
			.subtype = SPAN("octet-stream") };
	}
}

static void
facts_read(const struct mime *m, uint32_t part, struct facts *f)
{
	const struct {
		struct span name;
		struct span *to;
	} wanted[] = {
		{ SPAN("Content-ID"), &f->id },
		{ SPAN("Content-Description"), &f->description },
		{ SPAN("Content-Transfer-Encoding"), &f->encoding },
		{ SPAN("Content-MD5"), &f->md5 },
		{ SPAN("Content-Language"), &f->language },
		{ SPAN("Content-Location"), &f->location },
	};
	struct span rest = mime_header(m, part), type = SPAN_EMPTY;
	struct header_field field;

	*f = (struct facts){ 0 };
	arena_init(&f->arena, FIELDS_ARENA);
	while (header_next(&rest, &field)) {
		const struct span body =
		    span_slice(field.body, 0, LIMIT_HEADER_FIELD);

		if (!span_istarts(field.name, SPAN("Content-")))
			continue;
		for (size_t i = 0; i < COUNT_OF(wanted); i++) {
			if (span_ieq(field.name, wanted[i].name) &&
			    wanted[i].to->p == NULL)
				*wanted[i].to = body;
		}
		if (type.p == NULL &&
		    span_ieq(field.name, SPAN("Content-Type")))
			type = body;
		if (!f->has_disposition &&
		    span_ieq(field.name, SPAN("Content-Disposition")))
			f->has_disposition = mime_disposition_parse(
			    body, &f->arena, &f->disposition);
	}
	set_type(m, part, type, f);
}

static void
facts_release(struct facts *f)
{
	arena_reset(&f->arena);
}

static void
print_params(const struct mime_value *v, struct buf *out)
{
	if (v->param_count == 0) {
		buf_str(out, "NIL");
		return;
	}
	for (size_t i = 0; i < v->param_count; i++) {
		buf_byte(out, i == 0 ? '(' : ' ');
		imap_print_string(out, v->params[i].name);
		buf_byte(out, ' ');
		imap_print_string(out, v->params[i].value);
	}
	buf_byte(out, ')');
}

/* An unstructured field as nstring. */
static void
print_field(struct span body, struct buf *out)
{
	struct buf line;

	if (span_trim(body).n == 0) {
		buf_str(out, "NIL");
		return;
	}
	buf_init(&line, LIMIT_HEADER_FIELD + 1);
	header_unfold(body, &line);
	imap_print_string(out, buf_span(&line));
	buf_release(&line);
}

static void
print_encoding(struct facts *f, struct buf *out)
{
	struct span rest = f->encoding, word;

	if (mime_token(&rest, &f->arena, &word))
		imap_print_string(out, word);
	else
		buf_str(out, "\"7bit\"");
}

static void
print_disposition(const struct facts *f, struct buf *out)
{
	if (!f->has_disposition) {
		buf_str(out, " NIL");
		return;
	}
	buf_str(out, " (");
	imap_print_string(out, f->disposition.type);
	buf_byte(out, ' ');
	print_params(&f->disposition, out);
	buf_byte(out, ')');
}

/* body-fld-lang: NIL, one string, or a list. */
static void
print_language(struct facts *f, struct buf *out)
{
	struct span rest = f->language, word;
	int count = 0;

	buf_byte(out, ' ');
	while (count < MIME_PARAMS_MAX && mime_token(&rest, &f->arena, &word)) {
		buf_byte(out, count++ == 0 ? '(' : ' ');
		imap_print_string(out, word);
		if (rest.n > 0 && rest.p[0] == ',')
			rest = span_skip(rest, 1);
	}
	buf_str(out, count > 0 ? ")" : "NIL");
}

static void
print_extension(struct facts *f, bool multipart, struct buf *out)
{
	buf_byte(out, ' ');
	if (multipart)
		print_params(&f->type, out);
	else
		print_field(f->md5, out);
	print_disposition(f, out);
	print_language(f, out);
	buf_byte(out, ' ');
	print_field(f->location, out);
}

/* "type" "subtype" params id description encoding size */
static void
print_basic(
    const struct mime *m, uint32_t part, struct facts *f, struct buf *out)
{
	const struct mime_part *p = &m->parts[part];

	buf_byte(out, '(');
	imap_print_string(out, f->type.type);
	buf_byte(out, ' ');
	imap_print_string(out, f->type.subtype);
	buf_byte(out, ' ');
	print_params(&f->type, out);
	buf_byte(out, ' ');
	print_field(f->id, out);
	buf_byte(out, ' ');
	print_field(f->description, out);
	buf_byte(out, ' ');
	print_encoding(f, out);
	buf_fmt(out, " %zu", p->end - p->body);
}

static void
print_leaf(const struct mime *m, uint32_t part, bool extended, struct buf *out)
{
	struct facts f;

	facts_read(m, part, &f);
	print_basic(m, part, &f, out);
	if (span_ieq(f.type.type, SPAN("text")))
		buf_fmt(out, " %u", m->parts[part].lines);
	if (extended)
		print_extension(&f, false, out);
	buf_byte(out, ')');
	facts_release(&f);
}

static void
print_enter(const struct mime *m, uint32_t part, struct buf *out)
{
	struct facts f;

	if (m->parts[part].kind == MIME_MULTIPART) {
		buf_byte(out, '(');
		/* The grammar wants one part at least. */
		if (m->parts[part].first == MIME_NONE)
			buf_str(out, "(\"text\" \"plain\" NIL NIL NIL "
				     "\"7bit\" 0 0)");
		return;
	}
	facts_read(m, part, &f);
	print_basic(m, part, &f, out);
	facts_release(&f);
	buf_byte(out, ' ');
	envelope_print(mime_header(m, m->parts[part].first), out);
	buf_byte(out, ' ');
}

static void
print_leave(const struct mime *m, uint32_t part, bool extended, struct buf *out)
{
	const bool multi = m->parts[part].kind == MIME_MULTIPART;
	struct facts f;

	facts_read(m, part, &f);
	buf_byte(out, ' ');
	if (multi)
		imap_print_string(out, f.type.subtype);
	else
		buf_fmt(out, "%u", m->parts[part].lines);
	if (extended)
		print_extension(&f, multi, out);
	buf_byte(out, ')');
	facts_release(&f);
}

/* Down and up the tree by its links: no stack. */
void
imap_body_structure(const struct mime *m, bool extended, struct buf *out)
{
	uint32_t at = 0;

	for (;;) {
		if (m->parts[at].kind == MIME_LEAF) {
			print_leaf(m, at, extended, out);
		} else {
			print_enter(m, at, out);
			if (m->parts[at].first != MIME_NONE) {
				at = m->parts[at].first;
				continue;
			}
			print_leave(m, at, extended, out);
		}
		while (at != 0 && m->parts[at].next == MIME_NONE) {
			at = m->parts[at].parent;
			print_leave(m, at, extended, out);
		}
		if (at == 0)
			return;
		at = m->parts[at].next;
	}
}

static bool
named(struct span name, const struct imap_section *s)
{
	for (size_t i = 0; i < s->field_count; i++) {
		if (span_ieq(name, s->fields[i]))
			return true;
	}
	return false;
}

void
imap_body_fields(
    struct span header, const struct imap_section *s, struct buf *out)
{
	const bool want = s->kind == SECTION_FIELDS;
	struct header_field f;

	while (header_next(&header, &f)) {
		if (named(f.name, s) == want)
			buf_add(out, f.raw);
	}
	buf_str(out, "\r\n");
}

bool
imap_body_section(const struct mime *m, const struct imap_section *s,
    struct buf *scratch, struct span *out)
{
	uint32_t part, inner;
	bool message;

	part = mime_find(m, s->part, s->part_count, &message, &inner);
	if (part == MIME_NONE ||
	    (s->kind != SECTION_ALL && s->kind != SECTION_MIME && !message))
		return false;
	switch (s->kind) {
	case SECTION_ALL:
		*out = s->part_count == 0 ? m->message : mime_body(m, part);
		return true;
	case SECTION_MIME:
		*out = mime_header(m, part);
		return true;
	case SECTION_HEADER:
		*out = mime_header(m, inner);
		return true;
	case SECTION_TEXT:
		*out = mime_body(m, inner);
		return true;
	case SECTION_FIELDS:
	case SECTION_FIELDS_NOT:
		buf_reset(scratch);
		imap_body_fields(mime_header(m, inner), s, scratch);
		*out = buf_span(scratch);
		return true;
	}
	return false;
}
