/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/sasl.h"

#include "lib/base/mem.h"
#include "lib/proto/utf8.h"

struct mechanism {
	const char *name;
	/* Takes one response. */
	enum sasl_result (*step)(struct sasl *s, struct span response);
	/* Sent to a client that gave no initial response. */
	const char *first_challenge;
};

struct sasl {
	const struct mechanism *mechanism;
	struct span challenge;
	struct buf authzid, user, password;
	bool over;
};

/* Takes a value over: no NUL, valid UTF-8, not too long. */
static bool
keep(struct buf *b, struct span value)
{
	if (span_chr(value, '\0') != SIZE_MAX || !utf8_valid(value))
		return false;
	buf_add(b, value);
	return buf_ok(b);
}

/* "authzid NUL user NUL password" (RFC 4616 2). */
static enum sasl_result
step_plain(struct sasl *s, struct span response)
{
	const size_t first = span_chr(response, '\0');
	struct span rest;
	size_t second;

	if (first == SIZE_MAX)
		return SASL_BAD;
	rest = span_skip(response, first + 1);
	second = span_chr(rest, '\0');
	if (second == SIZE_MAX ||
	    !keep(&s->authzid, span_slice(response, 0, first)) ||
	    !keep(&s->user, span_slice(rest, 0, second)) ||
	    !keep(&s->password, span_skip(rest, second + 1)))
		return SASL_BAD;
	if (s->user.n == 0 || s->password.n == 0)
		return SASL_BAD;
	if (span_eq(buf_span(&s->authzid), buf_span(&s->user)))
		buf_reset(&s->authzid);
	return SASL_DONE;
}

/* The user's name, then the password: never written down in an RFC, but the
 * only thing some clients know. */
static enum sasl_result
step_login(struct sasl *s, struct span response)
{
	if (response.n == 0)
		return SASL_BAD;
	if (s->user.n == 0) {
		if (!keep(&s->user, response))
			return SASL_BAD;
		s->challenge = SPAN("Password:");
		return SASL_CHALLENGE;
	}
	return keep(&s->password, response) ? SASL_DONE : SASL_BAD;
}

static const struct mechanism mechanisms[] = {
	{ "PLAIN", step_plain, "" },
	{ "LOGIN", step_login, "Username:" },
};

struct sasl *
sasl_new(struct span mechanism)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		struct sasl *s;

		if (!span_ieq(mechanism, span_str(mechanisms[i].name)))
			continue;
		s = MEM_NEW(s);
		s->mechanism = &mechanisms[i];
		buf_init(&s->authzid, SASL_NAME_MAX);
		buf_init(&s->user, SASL_NAME_MAX);
		buf_init(&s->password, SASL_PASSWORD_MAX);
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
	mem_free(s);
}

const char *
sasl_mechanism(const struct sasl *s)
{
	return s->mechanism->name;
}

enum sasl_result
sasl_step(struct sasl *s, struct span response)
{
	enum sasl_result r;

	BUG_ON(s->over);
	r = s->mechanism->step(s, response);
	s->over = r != SASL_CHALLENGE;
	return r;
}

enum sasl_result
sasl_start(struct sasl *s, bool has_initial, struct span initial)
{
	if (has_initial)
		return sasl_step(s, initial);
	s->challenge = span_str(s->mechanism->first_challenge);
	return SASL_CHALLENGE;
}

struct span
sasl_challenge(const struct sasl *s)
{
	return s->challenge;
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
