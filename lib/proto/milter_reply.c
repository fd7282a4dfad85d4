/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/milter_impl.h"

#include "lib/base/mem.h"

/*
 * What a filter's packets mean.
 */

bool
milter_take_u32(struct span *s, uint32_t *out)
{
	if (s->n < 4)
		return false;
	*out = (uint32_t)s->p[0] << 24 | (uint32_t)s->p[1] << 16 |
	       (uint32_t)s->p[2] << 8 | s->p[3];
	*s = span_skip(*s, 4);
	return true;
}

bool
milter_take_text(struct span *s, struct span *out)
{
	const size_t nul = span_chr(*s, 0);

	if (nul == SIZE_MAX)
		return false;
	*out = span_slice(*s, 0, nul);
	*s = span_skip(*s, nul + 1);
	return true;
}

/* Takes "X.Y.Z " off the front of a line whose code begins with digit. */
static bool
take_dsn(struct span *line, uint8_t digit, char out[12])
{
	const size_t n =
	    span_chr(*line, ' ') == SIZE_MAX ? line->n : span_chr(*line, ' ');
	unsigned dots = 0;

	if (n < 5 || n > 9 || line->p[0] != digit || line->p[1] != '.')
		return false;
	for (size_t i = 1; i < n; i++) {
		const bool dot = line->p[i] == '.';

		if (!dot && !ascii_digit(line->p[i]))
			return false;
		if (dot && (i + 1 == n || line->p[i + 1] == '.'))
			return false;
		dots += dot;
	}
	if (dots != 2)
		return false;
	span_copy(span_slice(*line, 0, n), out, 12);
	*line = span_skip(*line, n < line->n ? n + 1 : n);
	return true;
}

/* libmilter hands a format string on: "%%" is a percent sign, and one alone
 * is nothing. */
static void
put_line(struct buf *b, struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '%' && ++i == line.n)
			return;
		buf_byte(b, line.p[i]);
	}
}

bool
milter_take_reply(struct span all, struct buf *text, struct milter_event *out)
{
	struct span line, first = span_slice(all, 0, 3);
	uint64_t code;
	char dsn[12];

	if (first.n < 3 || !span_u64(first, 599, &code) || code < 400)
		return false;
	buf_reset(text);
	for (bool more = true; more;) {
		const size_t lf = span_chr(all, '\n');

		more = lf != SIZE_MAX && lf + 1 < all.n;
		line =
		    span_trim(span_slice(all, 0, lf != SIZE_MAX ? lf : all.n));
		all = span_skip(all, lf != SIZE_MAX ? lf + 1 : all.n);
		if (line.n < 3 || !span_eq(span_slice(line, 0, 3), first) ||
		    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
			return false;
		line = span_skip(line, 4);
		if (take_dsn(&line, first.p[0], dsn) && out->dsn[0] == '\0')
			memcpy(out->dsn, dsn, sizeof(dsn));
		if (text->n > 0)
			buf_byte(text, '\n');
		put_line(text, line);
	}
	out->code = (unsigned)code;
	out->text = buf_span(text);
	return true;
}

static bool
edit_header(uint8_t letter, struct span data, struct milter_event *out)
{
	if (letter != 'h' && !milter_take_u32(&data, &out->index))
		return false;
	if (!milter_take_text(&data, &out->name) ||
	    !milter_take_text(&data, &out->value) || data.n > 0 ||
	    out->name.n == 0 || out->index > INT32_MAX - 1)
		return false;
	out->edit = letter == 'h'   ? MILTER_ADD_HEADER
		    : letter == 'i' ? MILTER_INSERT_HEADER
				    : MILTER_CHANGE_HEADER;
	/* As Sendmail has it. */
	if (letter == 'm' && out->index == 0)
		out->index = 1;
	return true;
}

static bool
edit_address(uint8_t letter, struct span data, struct milter_event *out)
{
	const bool args = letter == '2' || letter == 'e';

	out->edit = letter == '-'   ? MILTER_DELETE_RCPT
		    : letter == 'e' ? MILTER_CHANGE_FROM
				    : MILTER_ADD_RCPT;
	if (!milter_take_text(&data, &out->name))
		return false;
	if (args && data.n > 0 && !milter_take_text(&data, &out->value))
		return false;
	return data.n == 0;
}

enum parse
milter_take_edit(uint8_t letter, struct span data, struct milter_event *out)
{
	bool ok;

	switch (letter) {
	case 'h':
	case 'i':
	case 'm':
		ok = edit_header(letter, data, out);
		break;
	case '+':
	case '2':
	case '-':
	case 'e':
		ok = edit_address(letter, data, out);
		break;
	case 'b':
		out->edit = MILTER_REPLACE_BODY;
		out->value = data;
		ok = true;
		break;
	case 'q':
		out->edit = MILTER_QUARANTINE;
		ok = milter_take_text(&data, &out->value);
		break;
	default:
		return PARSE_MORE;
	}
	out->type = MILTER_EDIT;
	return ok ? PARSE_OK : PARSE_BAD;
}

bool
milter_take_verdict(uint8_t letter, enum milter_verdict *out)
{
	static const struct {
		char letter;
		enum milter_verdict verdict;
	} words[] = {
		{ 'c', MILTER_CONTINUE },
		{ 'a', MILTER_ACCEPT },
		{ 'r', MILTER_REJECT },
		{ 'd', MILTER_DISCARD },
		{ 't', MILTER_TEMPFAIL },
		{ 's', MILTER_SKIP },
		{ '4', MILTER_SHUTDOWN },
		{ 'f', MILTER_CONNFAIL },
	};

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (words[i].letter != (char)letter)
			continue;
		*out = words[i].verdict;
		return true;
	}
	return false;
}
