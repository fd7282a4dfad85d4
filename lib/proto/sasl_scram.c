/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/sasl_impl.h"

#include "lib/base/mem.h"
#include "lib/proto/base64.h"
#include "lib/proto/saslprep.h"

/*
 * SCRAM (RFC 5802, RFC 7677), the messages of it: which bytes the proof is
 * over, and whether the client is bound to this TLS connection. The keys are
 * somebody else's.
 */

enum { FIRST, FINAL, LAST };

/* ---- pieces ---- */

/* The bytes up to the next comma, off the front of *rest, with the comma. */
static struct span
take(struct span *rest)
{
	const size_t comma = span_chr(*rest, ',');
	const struct span part = span_slice(*rest, 0, comma);

	*rest = comma == SIZE_MAX ? SPAN_EMPTY : span_skip(*rest, comma + 1);
	return part;
}

/* saslname (RFC 5802 5.1): "=2C" is a comma, "=3D" an equals sign. */
static bool
decode_name(struct span text, struct buf *out)
{
	while (text.n > 0) {
		size_t n = 1;

		if (span_starts(text, SPAN("=2C"))) {
			buf_byte(out, ',');
			n = 3;
		} else if (span_starts(text, SPAN("=3D"))) {
			buf_byte(out, '=');
			n = 3;
		} else if (text.p[0] == '=' || text.p[0] == '\0') {
			return false;
		} else {
			buf_byte(out, text.p[0]);
		}
		text = span_skip(text, n);
	}
	return buf_ok(out);
}

bool
sasl_gs2_parse(struct span *rest, struct sasl_gs2 *out)
{
	struct span flag, name;

	*out = (struct sasl_gs2){ .flag = 0 };
	buf_init(&out->authzid, SASL_NAME_MAX);
	if (span_chr(*rest, ',') == SIZE_MAX)
		return false;
	flag = take(rest);
	if (span_chr(*rest, ',') == SIZE_MAX)
		return false;
	name = take(rest);
	if (span_starts(flag, SPAN("p=")) && flag.n > 2)
		out->binding = span_skip(flag, 2);
	else if (!span_eq(flag, SPAN("n")) && !span_eq(flag, SPAN("y")))
		return false;
	out->flag = flag.p[0];
	if (name.n == 0)
		return true;
	return span_starts(name, SPAN("a=")) && name.n > 2 &&
	    decode_name(span_skip(name, 2), &out->authzid);
}

static bool
nonce_ok(struct span nonce)
{
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e ||
		    nonce.p[i] == ',')
			return false;
	return nonce.n > 0 && nonce.n <= SASL_NONCE_MAX;
}

/* ---- the client's first message ---- */

/* Which binding the client asks for, and may it (RFC 5802 6)? NULL: yes. */
static const char *
choose_binding(struct sasl *s, const struct sasl_gs2 *gs2)
{
	s->bind = SASL_BIND_NONE;
	if (!s->mechanism->plus) {
		if (gs2->flag == 'p')
			return "channel binding without -PLUS";
		/* The client could bind and believes that we can't: somebody
		 * has taken -PLUS out of the list on its way. */
		if (gs2->flag == 'y' && s->plus_offered)
			return "channel binding downgrade detected";
		return NULL;
	}
	if (gs2->flag != 'p')
		return "-PLUS without channel binding";
	if (span_eq(gs2->binding, SPAN("tls-exporter")) && s->exporter.n > 0)
		s->bind = SASL_BIND_EXPORTER;
	else if (span_eq(gs2->binding, SPAN("tls-server-end-point")) &&
	    s->end_point.n > 0)
		s->bind = SASL_BIND_END_POINT;
	else
		return "unsupported channel binding";
	return NULL;
}

static enum sasl_result
take_names(struct sasl *s, const struct sasl_gs2 *gs2, struct span name)
{
	struct buf raw;
	bool ok;

	if (!sasl_keep(&s->authzid, buf_span(&gs2->authzid)))
		return sasl_bad(s, "bad authorization name");
	buf_init(&raw, SASL_NAME_MAX);
	ok = decode_name(name, &raw) && raw.n > 0 &&
	    saslprep(buf_span(&raw), &s->user) && s->user.n > 0;
	buf_release(&raw);
	if (!ok)
		return sasl_bad(s, "bad user name");
	if (span_eq(buf_span(&s->authzid), buf_span(&s->user)))
		buf_reset(&s->authzid);
	return SASL_SALT;
}

/* client-first-message = gs2-header n=user,r=nonce[,extensions] */
static enum sasl_result
take_first(struct sasl *s, const struct sasl_gs2 *gs2, struct span whole,
    struct span bare)
{
	const char *fault = choose_binding(s, gs2);
	struct span rest = bare, name, nonce;

	if (fault != NULL)
		return sasl_bad(s, fault);
	if (span_starts(bare, SPAN("m=")))
		return sasl_bad(s, "unknown mandatory extension");
	name = take(&rest);
	nonce = take(&rest);
	if (!span_starts(name, SPAN("n=")) ||
	    !span_starts(nonce, SPAN("r=")) ||
	    !nonce_ok(span_skip(nonce, 2)))
		return sasl_bad(s, "malformed first message");
	buf_add(&s->gs2, span_slice(whole, 0, whole.n - bare.n));
	buf_add(&s->nonce, span_skip(nonce, 2));
	buf_add(&s->message, bare);
	if (!buf_ok(&s->gs2) || !buf_ok(&s->message))
		return sasl_bad(s, "message too long");
	s->stage = FINAL;
	return take_names(s, gs2, span_skip(name, 2));
}

static enum sasl_result
step_first(struct sasl *s, struct span response)
{
	struct span rest = response;
	struct sasl_gs2 gs2;
	enum sasl_result r;

	if (response.n > SASL_SCRAM_MESSAGE_MAX)
		return sasl_bad(s, "message too long");
	if (!sasl_gs2_parse(&rest, &gs2))
		r = sasl_bad(s, "malformed GS2 header");
	else
		r = take_first(s, &gs2, response, rest);
	buf_release(&gs2.authzid);
	return r;
}

/* server-first-message = r=nonces,s=salt,i=iterations */
enum sasl_result
sasl_salt(struct sasl *s, struct span salt, unsigned iterations,
    struct span nonce)
{
	BUG_ON(!s->asked || s->stage != FINAL || !nonce_ok(nonce));
	BUG_ON(salt.n == 0 || salt.n > 255 || iterations == 0);
	s->asked = false;
	buf_add(&s->nonce, nonce);
	buf_reset(&s->challenge);
	buf_str(&s->challenge, "r=");
	buf_add(&s->challenge, buf_span(&s->nonce));
	buf_str(&s->challenge, ",s=");
	base64_encode(salt, &s->challenge);
	buf_fmt(&s->challenge, ",i=%u", iterations);
	buf_byte(&s->message, ',');
	buf_add(&s->message, buf_span(&s->challenge));
	BUG_ON(!buf_ok(&s->challenge) || !buf_ok(&s->message));
	return SASL_CHALLENGE;
}

/* ---- the client's final message ---- */

/* Is c= the header of before and this connection's binding? */
static bool
binding_fits(const struct sasl *s, struct span text)
{
	struct buf got, want;
	bool fits;

	buf_init(&got, SASL_SCRAM_MESSAGE_MAX + SASL_BINDING_MAX);
	buf_init(&want, SASL_SCRAM_MESSAGE_MAX + SASL_BINDING_MAX);
	buf_add(&want, buf_span(&s->gs2));
	switch (s->bind) {
	case SASL_BIND_NONE:
		break;
	case SASL_BIND_EXPORTER:
		buf_add(&want, buf_span(&s->exporter));
		break;
	case SASL_BIND_END_POINT:
		buf_add(&want, buf_span(&s->end_point));
		break;
	}
	fits = base64_decode(text, &got) &&
	    span_eq(buf_span(&got), buf_span(&want));
	buf_release(&got);
	buf_release(&want);
	return fits;
}

static size_t
hash_size(enum sasl_hash hash)
{
	return hash == SASL_HASH_SHA1 ? 20 : 32;
}

/* client-final-message = c=binding,r=nonces[,extensions],p=proof */
static enum sasl_result
step_final(struct sasl *s, struct span response)
{
	const size_t last = span_rchr(response, ',');
	struct span rest, binding, nonce, proof;

	if (last == SIZE_MAX || response.n > SASL_SCRAM_MESSAGE_MAX)
		return sasl_bad(s, "malformed final message");
	rest = span_slice(response, 0, last);
	proof = span_skip(response, last + 1);
	buf_byte(&s->message, ',');
	buf_add(&s->message, rest);
	binding = take(&rest);
	nonce = take(&rest);
	if (!span_starts(binding, SPAN("c=")) ||
	    !span_starts(nonce, SPAN("r=")) ||
	    !span_starts(proof, SPAN("p=")) ||
	    !base64_decode(span_skip(proof, 2), &s->proof) ||
	    s->proof.n != hash_size(s->mechanism->hash))
		return sasl_bad(s, "malformed final message");
	if (!span_eq(span_skip(nonce, 2), buf_span(&s->nonce)))
		return sasl_bad(s, "wrong nonce");
	if (!binding_fits(s, span_skip(binding, 2)))
		return sasl_bad(s, "channel binding does not fit");
	s->stage = LAST;
	return SASL_PROOF;
}

/* server-final-message = v=signature */
enum sasl_result
sasl_accept_scram(struct sasl *s, struct span signature)
{
	BUG_ON(s->stage != LAST);
	BUG_ON(signature.n != hash_size(s->mechanism->hash));
	buf_reset(&s->challenge);
	buf_str(&s->challenge, "v=");
	base64_encode(signature, &s->challenge);
	return SASL_CHALLENGE;
}

enum sasl_result
sasl_step_scram(struct sasl *s, struct span response)
{
	if (s->stage == FIRST)
		return step_first(s, response);
	if (s->stage == FINAL)
		return step_final(s, response);
	return response.n == 0 ? SASL_OK :
				 sasl_bad(s, "something after the end");
}
