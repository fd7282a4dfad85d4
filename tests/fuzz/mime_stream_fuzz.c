/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/mime_stream.h"

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_field(void *arg, enum mime_stream_class c, const struct header_field *f)
{
	(void)c;
	buf_add(arg, f->raw);
}

static void
on_line(void *arg, struct span line, uint64_t at)
{
	(void)at;
	buf_add(arg, line);
}

static void
on_other(void *arg, struct span bytes)
{
	buf_add(arg, bytes);
}

/* What comes out is what went in, however it is cut. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mime_stream_handler handler = { on_field, on_line,
		on_other };
	struct mime_stream *s;
	struct buf out;
	size_t step;

	if (size < 2 || size > 300000)
		return 0;
	step = (size_t)data[0] + 1;
	data++;
	size--;
	buf_init(&out, size);
	s = mime_stream_new(SPAN("multipart/mixed; boundary=b"), SPAN_EMPTY,
	    &handler, &out);
	for (size_t at = 0; at < size; at += step)
		mime_stream_feed(s,
		    span_slice(span_of(data, size), at, at + step));
	mime_stream_end(s);
	BUG_ON(!buf_ok(&out) || !span_eq(buf_span(&out), span_of(data, size)));
	mime_stream_free(&s);
	buf_release(&out);
	return 0;
}
