/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/proto/sasl.h"
#include "lib/proto/saslprep.h"
#include "lib/proto/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Answers the machine's questions as a server would, the last byte of the
 * input deciding. */
static enum sasl_result
answer(struct sasl *s, enum sasl_result r, bool good)
{
	static const uint8_t signature[32];
	const enum sasl_hash hash = sasl_scram_hash(s);
	const size_t n = hash == SASL_HASH_NONE ? 0 :
	    hash == SASL_HASH_SHA1		? 20 : 32;

	switch (r) {
	case SASL_SALT:
		BUG_ON(sasl_user(s).n == 0);
		return sasl_salt(s, SPAN("salt"), 4096, SPAN("nonce"));
	case SASL_PROOF:
		BUG_ON(sasl_scram_proof(s).n != n);
		BUG_ON(!span_starts(sasl_scram_message(s), SPAN("n=")));
		break;
	case SASL_PASSWORD:
		BUG_ON(sasl_user(s).n == 0 || sasl_password(s).n == 0);
		BUG_ON(span_chr(sasl_password(s), 0) != SIZE_MAX);
		break;
	case SASL_TOKEN:
		BUG_ON(sasl_token(s).n == 0);
		break;
	case SASL_CERT:
	case SASL_CHALLENGE:
	case SASL_OK:
	case SASL_REFUSED:
	case SASL_BAD:
		break;
	}
	BUG_ON(span_chr(sasl_user(s), 0) != SIZE_MAX);
	BUG_ON(span_chr(sasl_authzid(s), 0) != SIZE_MAX);
	return good ? sasl_accept(s, span_of(signature, n)) :
		      sasl_refuse(s, SPAN("{}"));
}

static bool
asks(enum sasl_result r)
{
	return r == SASL_SALT || r == SASL_PROOF || r == SASL_PASSWORD ||
	    r == SASL_TOKEN || r == SASL_CERT;
}

/* Responses are divided by LF. */
static void
exchange(struct span mechanism, bool initial, struct span in)
{
	const struct sasl_binding binding = { SPAN("exporter"),
		SPAN("endpoint"), initial };
	const bool good = in.n > 0 && (in.p[in.n - 1] & 1) != 0;
	struct sasl *s = sasl_new(mechanism);
	enum sasl_result r = SASL_CHALLENGE;
	bool first = true;

	sasl_bind(s, &binding);
	for (int i = 0; i < 20 && (asks(r) || r == SASL_CHALLENGE); i++) {
		const size_t lf = span_chr(in, '\n');
		const struct span line = span_slice(in, 0, lf);

		if (asks(r)) {
			r = answer(s, r, good);
			continue;
		}
		if (first && !initial) {
			r = sasl_start(s, false, SPAN_EMPTY);
			first = false;
			continue;
		}
		r = first ? sasl_start(s, true, line) : sasl_step(s, line);
		first = false;
		in = lf == SIZE_MAX ? SPAN_EMPTY : span_skip(in, lf + 1);
	}
	BUG_ON(r == SASL_CHALLENGE || asks(r));
	BUG_ON(r == SASL_BAD && sasl_fault(s)[0] == '\0');
	sasl_free(&s);
}

/* What is prepared stays as it is when it is prepared again. */
static void
prepare(struct span in)
{
	struct buf once, twice;

	buf_init(&once, 20 * SASLPREP_MAX);
	buf_init(&twice, 20 * SASLPREP_MAX);
	if (saslprep(in, &once) && once.n <= SASLPREP_MAX &&
	    saslprep(buf_span(&once), &twice))
		BUG_ON(!span_eq(buf_span(&once), buf_span(&twice)));
	buf_release(&once);
	buf_release(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct buf a, b;

	static const char *const mechanisms[] = { "PLAIN", "LOGIN",
		"EXTERNAL", "OAUTHBEARER", "XOAUTH2", "SCRAM-SHA-1",
		"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS" };

	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		exchange(span_str(mechanisms[i]), false, in);
		exchange(span_str(mechanisms[i]), true, in);
	}
	prepare(in);
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
