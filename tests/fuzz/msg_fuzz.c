/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/ipc/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum msg_field fields[] = {
#define FIELD(name, number) name,
	MSG_FIELDS(FIELD)
};

static void
read_fields(struct msg_in *m, int depth)
{
	char text[32];
	struct span value;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		size_t cursor = 0, count = 0;
		struct msg_in element;

		(void)msg_get_u64(m, fields[i]);
		(void)msg_get_u32(m, fields[i]);
		msg_get_str(m, fields[i], text, sizeof(text));
		BUG_ON(strlen(text) >= sizeof(text));
		while (msg_next_value(m, fields[i], &cursor, &value)) {
			BUG_ON(value.n > m->fields.n);
			count++;
		}
		BUG_ON((count > 0) != msg_has(m, fields[i]));
		cursor = 0;
		while (depth < 3 && msg_next(m, fields[i], &cursor, &element))
			read_fields(&element, depth + 1);
	}
	if (msg_get_err(m, &e))
		BUG_ON(e.dsn[0] != '4' && e.dsn[0] != '5');
}

/* What was read can be written again and is then the same bytes. */
static void
write_again(const struct msg_in *m, struct span datagram)
{
	struct msg_out out;
	struct span rest = m->fields;

	msg_begin(&out, m->type, m->id, m->trace);
	while (rest.n > 0) {
		size_t n = rest.p[2] | (size_t)rest.p[3] << 8;

		msg_put(&out,
		    (enum msg_field)(rest.p[0] | (unsigned)rest.p[1] << 8),
		    span_slice(rest, 4, 4 + n));
		rest = span_skip(rest, 4 + n);
	}
	BUG_ON(!msg_ok(&out));
	BUG_ON(!span_eq(buf_span(&out.bytes), datagram));
	msg_out_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_in m;

	if (msg_parse(&m, span_of(data, size), NULL) != 0)
		return 0;
	write_again(&m, span_of(data, size));
	read_fields(&m, 0);
	return 0;
}
