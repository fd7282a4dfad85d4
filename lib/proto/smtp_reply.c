/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_reply.h"

#include "lib/base/limits.h"

void
smtp_reply_init(struct smtp_reply_reader *r)
{
	*r = (struct smtp_reply_reader){ 0 };
	buf_init(&r->line, LIMIT_SMTP_REPLY_LINE);
	buf_init(&r->text, LIMIT_SMTP_REPLY);
}

void
smtp_reply_release(struct smtp_reply_reader *r)
{
	buf_release(&r->line);
	buf_release(&r->text);
}

/* One line without its end. MORE: another one follows. */
static enum parse
take_line(struct smtp_reply_reader *r, struct span line)
{
	uint64_t code;
	bool more;

	if (line.n < 3 || !span_u64(span_slice(line, 0, 3), 599, &code) ||
	    code < 200 || (r->code != 0 && r->code != code))
		return PARSE_BAD;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return PARSE_BAD;
	more = line.n > 3 && line.p[3] == '-';
	if (r->code != 0)
		buf_byte(&r->text, '\n');
	r->code = (unsigned)code;
	for (size_t i = 4; i < line.n; i++)
		buf_byte(&r->text,
		    line.p[i] < ' ' || line.p[i] > 126 ? '?' : line.p[i]);
	if (!buf_ok(&r->text))
		return PARSE_BAD;
	return more ? PARSE_MORE : PARSE_OK;
}

enum parse
smtp_reply_read(struct smtp_reply_reader *r, struct span *in,
    unsigned *out_code, struct span *out_text)
{
	if (r->given) {
		buf_reset(&r->text);
		r->code = 0;
		r->given = false;
	}
	while (in->n > 0) {
		const size_t lf = span_chr(*in, '\n');
		struct span line;
		enum parse got;

		buf_add(&r->line, span_slice(*in, 0, lf));
		*in = lf == SIZE_MAX ? SPAN_EMPTY : span_skip(*in, lf + 1);
		if (!buf_ok(&r->line))
			return PARSE_BAD;
		if (lf == SIZE_MAX)
			return PARSE_MORE;
		line = buf_span(&r->line);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		got = take_line(r, line);
		buf_reset(&r->line);
		if (got == PARSE_BAD)
			return got;
		if (got == PARSE_OK) {
			r->given = true;
			*out_code = r->code;
			*out_text = buf_span(&r->text);
			return PARSE_OK;
		}
	}
	return PARSE_MORE;
}
