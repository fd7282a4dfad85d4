/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/mail/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a record holds, its line is one line and parses to the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_of(data, size);
	struct trace_line t;
	struct ring_record r = { .kind = LOG_K_LINE, .level = LOG_L_INFO,
		.time_us = 5, .trace = 6, .at = 7,
		.text = span_slice(s, 0, 4096) };
	struct buf line;

	(void)trace_parse(s, &t);
	r.tag = span_slice(s, 0, size % 100);
	r.what = span_slice(s, size % 7, size % 60);
	r.qid = span_slice(s, size % 5, size % 15);
	buf_init(&line, 3 * TRACE_LINE_MAX);
	trace_format(&line, &r, 8);
	BUG_ON(!buf_ok(&line));
	BUG_ON(span_chr(buf_span(&line), '\n') != line.n - 1);
	BUG_ON(!trace_parse(span_slice(buf_span(&line), 0, line.n - 1), &t));
	BUG_ON(t.time_us != 5 || t.trace != 6 || t.at != 7 || t.pid != 8);
	BUG_ON(t.text.n != r.text.n);
	buf_release(&line);
	return 0;
}
