/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/smtp_cmd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
within(struct span line, struct span s)
{
	BUG_ON(s.n > 0 && (s.p < line.p || s.p + s.n > line.p + line.n));
}

/* Spans stay in the line; a refusal has a code and a text. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span line = span_of(data, size);
	struct smtp_reject why;
	struct smtp_cmd cmd;

	if (smtp_cmd_parse(line, &cmd, &why) == PARSE_OK) {
		BUG_ON(cmd.verb == SMTP_UNKNOWN);
		within(line, cmd.arg);
		within(line, cmd.mech);
		within(line, cmd.path.text);
		within(line, cmd.path.local);
		within(line, cmd.path.domain);
		for (size_t i = 0; i < cmd.param_count; i++) {
			within(line, cmd.params[i].key);
			within(line, cmd.params[i].value);
			BUG_ON(cmd.params[i].key.n == 0);
		}
	} else {
		BUG_ON(why.code < 400 || why.code > 599);
		BUG_ON(why.text == NULL || why.dsn == NULL);
		within(line, why.detail);
	}
	return 0;
}
