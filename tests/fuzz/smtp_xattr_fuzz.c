/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/proto/smtp_xattr.h"
#include "lib/proto/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, written again, is read as the same. */
static void
again(enum smtp_verb verb, const struct smtp_xattrs *x)
{
	static const char *const names[] = { "NAME", "REVERSE_NAME", "ADDR",
		"PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT",
		"IDENT", "SOURCE" };
	struct smtp_cmd cmd = { .verb = verb };
	struct smtp_xattrs y;
	struct smtp_reject why;
	struct buf b, value;

	buf_init(&b, 1 << 16);
	buf_init(&value, 1 << 12);
	for (int a = 0; a < XATTR_COUNT; a++) {
		const char *text = smtp_xattr_text(x, (enum smtp_xattr)a);

		if (text == NULL)
			continue;
		BUG_ON(text[0] == '\0');
		buf_reset(&value);
		xtext_encode(span_str(text), &value);
		if (value.n > XATTR_VALUE_MAX)
			continue;
		buf_reset(&b);
		buf_fmt(&b, "%s=", names[a]);
		buf_add(&b, buf_span(&value));
		cmd.arg = buf_span(&b);
		BUG_ON(smtp_xattr_parse(&cmd, &y, &why) != PARSE_OK);
		BUG_ON(!span_eq(span_str(text),
		    span_str(smtp_xattr_text(&y, (enum smtp_xattr)a))));
	}
	buf_release(&b);
	buf_release(&value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_cmd cmd;
	struct smtp_xattrs x;
	struct smtp_reject why;

	if (size == 0)
		return 0;
	cmd = (struct smtp_cmd){ .verb = data[0] & 1 ? SMTP_XCLIENT
						      : SMTP_XFORWARD,
		.arg = span_of(data + 1, size - 1) };
	if (smtp_xattr_parse(&cmd, &x, &why) == PARSE_OK)
		again(cmd.verb, &x);
	else
		BUG_ON(why.code != 501);
	return 0;
}
