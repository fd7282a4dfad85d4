/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/sasl.h"
#include "lib/proto/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Credentials never hold a NUL and are never empty. Responses are divided by
 * LF. */
static void
exchange(struct span mechanism, bool initial, struct span in)
{
	struct sasl *s = sasl_new(mechanism);
	enum sasl_result r = SASL_CHALLENGE;
	size_t lf = span_chr(in, '\n');

	if (!initial)
		r = sasl_start(s, false, SPAN_EMPTY);
	else
		r = sasl_start(s, true, span_slice(in, 0, lf));
	for (int i = 0; r == SASL_CHALLENGE && i < 10; i++) {
		lf = span_chr(in, '\n');
		r = sasl_step(s, span_slice(in, 0, lf));
		in = lf == SIZE_MAX ? SPAN_EMPTY : span_skip(in, lf + 1);
	}
	BUG_ON(r == SASL_CHALLENGE);
	if (r == SASL_DONE) {
		BUG_ON(sasl_user(s).n == 0 || sasl_password(s).n == 0);
		BUG_ON(span_chr(sasl_user(s), 0) != SIZE_MAX);
		BUG_ON(span_chr(sasl_password(s), 0) != SIZE_MAX);
		BUG_ON(span_chr(sasl_authzid(s), 0) != SIZE_MAX);
	}
	sasl_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct buf a, b;

	for (int initial = 0; initial < 2; initial++) {
		exchange(SPAN("PLAIN"), initial, in);
		exchange(SPAN("LOGIN"), initial, in);
	}
	buf_init(&a, size);
	buf_init(&b, 3 * size);
	if (xtext_decode(in, &a)) {
		xtext_encode(buf_span(&a), &b);
		buf_reset(&a);
		BUG_ON(!xtext_decode(buf_span(&b), &a));
	}
	buf_release(&a);
	buf_release(&b);
	return 0;
}
