/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/sasl.h"

#include "lib/base/mem.h"
#include "lib/proto/sasl_impl.h"
#include "lib/proto/utf8.h"

enum sasl_result
sasl_bad(struct sasl *s, const char *fault)
{
	s->fault = fault;
	return SASL_BAD;
}

bool
sasl_keep(struct buf *b, struct span value)
{
	if (span_chr(value, '\0') != SIZE_MAX || !utf8_valid(value))
		return false;
	buf_add(b, value);
	return buf_ok(b);
}

/* ---- mechanisms of one or two steps ---- */

/* "authzid NUL user NUL password" (RFC 4616 2). */
static enum sasl_result
step_plain(struct sasl *s, struct span response)
{
	const size_t first = span_chr(response, '\0');
	struct span rest;
	size_t second;

	if (first == SIZE_MAX)
		return sasl_bad(s, "no NUL in the response");
	rest = span_skip(response, first + 1);
	second = span_chr(rest, '\0');
	if (second == SIZE_MAX ||
	    !sasl_keep(&s->authzid, span_slice(response, 0, first)) ||
	    !sasl_keep(&s->user, span_slice(rest, 0, second)) ||
	    !sasl_keep(&s->password, span_skip(rest, second + 1)))
		return sasl_bad(s, "malformed response");
	if (s->user.n == 0 || s->password.n == 0)
		return sasl_bad(s, "empty name or password");
	if (span_eq(buf_span(&s->authzid), buf_span(&s->user)))
		buf_reset(&s->authzid);
	return SASL_PASSWORD;
}

/* The user's name, then the password: never written down in an RFC, but the
 * only thing some clients know. */
static enum sasl_result
step_login(struct sasl *s, struct span response)
{
	if (response.n == 0)
		return sasl_bad(s, "empty name or password");
	if (s->user.n == 0) {
		if (!sasl_keep(&s->user, response))
			return sasl_bad(s, "malformed response");
		buf_reset(&s->challenge);
		buf_str(&s->challenge, "Password:");
		return SASL_CHALLENGE;
	}
	return sasl_keep(&s->password, response) ?
	    SASL_PASSWORD : sasl_bad(s, "malformed response");
}

/* The name to act as, or nothing: whom the certificate names. */
static enum sasl_result
step_external(struct sasl *s, struct span response)
{
	return sasl_keep(&s->authzid, response) ?
	    SASL_CERT : sasl_bad(s, "malformed response");
}

static const struct sasl_mechanism mechanisms[] = {
	{ .name = "PLAIN", .step = step_plain, .first_challenge = "" },
	{ .name = "LOGIN", .step = step_login, .first_challenge = "Username:" },
	{ .name = "EXTERNAL", .step = step_external, .first_challenge = "" },
	{ .name = "OAUTHBEARER",
	    .step = sasl_step_oauth,
	    .refuse = sasl_refuse_oauth,
	    .first_challenge = "" },
	{ .name = "XOAUTH2",
	    .step = sasl_step_xoauth2,
	    .refuse = sasl_refuse_oauth,
	    .first_challenge = "" },
	{ .name = "SCRAM-SHA-1",
	    .step = sasl_step_scram,
	    .accept = sasl_accept_scram,
	    .first_challenge = "",
	    .hash = SASL_HASH_SHA1 },
	{ .name = "SCRAM-SHA-1-PLUS",
	    .step = sasl_step_scram,
	    .accept = sasl_accept_scram,
	    .first_challenge = "",
	    .hash = SASL_HASH_SHA1,
	    .plus = true },
	{ .name = "SCRAM-SHA-256",
	    .step = sasl_step_scram,
	    .accept = sasl_accept_scram,
	    .first_challenge = "",
	    .hash = SASL_HASH_SHA256 },
	{ .name = "SCRAM-SHA-256-PLUS",
	    .step = sasl_step_scram,
	    .accept = sasl_accept_scram,
	    .first_challenge = "",
	    .hash = SASL_HASH_SHA256,
	    .plus = true },
};

/* ---- life ---- */

struct sasl *
sasl_new(struct span mechanism)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		struct sasl *s;

		if (!span_ieq(mechanism, span_str(mechanisms[i].name)))
			continue;
		s = MEM_NEW(s);
		s->mechanism = &mechanisms[i];
		s->fault = "malformed response";
		buf_init(&s->authzid, SASL_NAME_MAX);
		buf_init(&s->user, SASL_NAME_MAX);
		buf_init(&s->password, SASL_PASSWORD_MAX);
		buf_init(&s->token, SASL_TOKEN_MAX);
		buf_init(&s->challenge, SASL_SCRAM_MESSAGE_MAX);
		buf_init(&s->exporter, SASL_BINDING_MAX);
		buf_init(&s->end_point, SASL_BINDING_MAX);
		buf_init(&s->gs2, SASL_SCRAM_MESSAGE_MAX);
		buf_init(&s->nonce, 2 * SASL_NONCE_MAX);
		buf_init(&s->message, 4 * SASL_SCRAM_MESSAGE_MAX);
		buf_init(&s->proof, SASL_BINDING_MAX);
		return s;
	}
	return NULL;
}

void
sasl_free(struct sasl **sp)
{
	struct sasl *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	buf_wipe(&s->authzid);
	buf_wipe(&s->user);
	buf_wipe(&s->password);
	buf_wipe(&s->token);
	buf_wipe(&s->challenge);
	buf_wipe(&s->exporter);
	buf_wipe(&s->end_point);
	buf_wipe(&s->gs2);
	buf_wipe(&s->nonce);
	buf_wipe(&s->message);
	buf_wipe(&s->proof);
	mem_free(s);
}

void
sasl_bind(struct sasl *s, const struct sasl_binding *b)
{
	buf_add(&s->exporter, b->exporter);
	buf_add(&s->end_point, b->end_point);
	s->plus_offered = b->plus_offered;
}

/* ---- steps ---- */

/* Notes what is to come after r. */
static enum sasl_result
went(struct sasl *s, enum sasl_result r)
{
	switch (r) {
	case SASL_CHALLENGE:
		break;
	case SASL_PASSWORD:
	case SASL_SALT:
	case SASL_PROOF:
	case SASL_TOKEN:
	case SASL_CERT:
		s->asked = true;
		break;
	case SASL_OK:
	case SASL_REFUSED:
	case SASL_BAD:
		s->over = true;
		break;
	}
	return r;
}

enum sasl_result
sasl_step(struct sasl *s, struct span response)
{
	BUG_ON(s->over || s->asked);
	return went(s, s->mechanism->step(s, response));
}

enum sasl_result
sasl_start(struct sasl *s, bool has_initial, struct span initial)
{
	if (has_initial)
		return sasl_step(s, initial);
	buf_str(&s->challenge, s->mechanism->first_challenge);
	return SASL_CHALLENGE;
}

enum sasl_result
sasl_accept(struct sasl *s, struct span signature)
{
	BUG_ON(!s->asked);
	s->asked = false;
	return went(s, s->mechanism->accept != NULL ?
	    s->mechanism->accept(s, signature) : SASL_OK);
}

enum sasl_result
sasl_refuse(struct sasl *s, struct span detail)
{
	BUG_ON(!s->asked);
	s->asked = false;
	return went(s, s->mechanism->refuse != NULL ?
	    s->mechanism->refuse(s, detail) : SASL_REFUSED);
}

/* ---- what there is ---- */

const char *
sasl_mechanism(const struct sasl *s)
{
	return s->mechanism->name;
}

enum sasl_hash
sasl_scram_hash(const struct sasl *s)
{
	return s->mechanism->hash;
}

const char *
sasl_fault(const struct sasl *s)
{
	return s->fault;
}

struct span
sasl_challenge(const struct sasl *s)
{
	return buf_span(&s->challenge);
}

struct span
sasl_authzid(const struct sasl *s)
{
	return buf_span(&s->authzid);
}

struct span
sasl_user(const struct sasl *s)
{
	return buf_span(&s->user);
}

struct span
sasl_password(const struct sasl *s)
{
	return buf_span(&s->password);
}

struct span
sasl_token(const struct sasl *s)
{
	return buf_span(&s->token);
}

struct span
sasl_scram_proof(const struct sasl *s)
{
	return buf_span(&s->proof);
}

struct span
sasl_scram_message(const struct sasl *s)
{
	return buf_span(&s->message);
}
