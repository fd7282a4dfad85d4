/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/sasl_impl.h"

/*
 * Bearer tokens (RFC 6750) over SASL: OAUTHBEARER (RFC 7628) and the XOAUTH2
 * that was there before it. A client whose token is refused gets the reason
 * as JSON and must answer it before the exchange fails.
 */

enum { TOKEN, DUMMY };

/* b64token (RFC 6750 2.1), a little wider: printable without space. */
static bool
keep_token(struct sasl *s, struct span token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return false;
	buf_add(&s->token, token);
	return token.n > 0 && buf_ok(&s->token);
}

/* key=value fields that each end in ^A, the list in one more: finds auth. */
static bool
find_token(struct sasl *s, struct span rest)
{
	bool found = false;

	while (rest.n > 0 && rest.p[0] != '\001') {
		const size_t end = span_chr(rest, '\001');
		const struct span field = span_slice(rest, 0, end);

		if (end == SIZE_MAX || span_chr(field, '=') == SIZE_MAX)
			return false;
		rest = span_skip(rest, end + 1);
		if (!span_istarts(field, SPAN("auth=")))
			continue;
		if (found || !span_istarts(field, SPAN("auth=bearer ")) ||
		    !keep_token(s, span_trim(span_skip(field, 12))))
			return false;
		found = true;
	}
	return found && span_eq(rest, SPAN("\001"));
}

/* The client has read why. */
static enum sasl_result
step_dummy(void)
{
	return SASL_REFUSED;
}

enum sasl_result
sasl_step_oauth(struct sasl *s, struct span response)
{
	struct sasl_gs2 gs2;
	bool ok;

	if (s->stage == DUMMY)
		return step_dummy();
	ok = sasl_gs2_parse(&response, &gs2) && gs2.flag != 'p' &&
	    response.n > 0 && response.p[0] == '\001' &&
	    sasl_keep(&s->user, buf_span(&gs2.authzid)) &&
	    find_token(s, span_skip(response, 1));
	buf_release(&gs2.authzid);
	return ok ? SASL_TOKEN : sasl_bad(s, "malformed token message");
}

enum sasl_result
sasl_step_xoauth2(struct sasl *s, struct span response)
{
	size_t end;

	if (s->stage == DUMMY)
		return step_dummy();
	end = span_chr(response, '\001');
	if (!span_starts(response, SPAN("user=")) || end == SIZE_MAX ||
	    !sasl_keep(&s->user, span_slice(response, 5, end)) ||
	    s->user.n == 0 || !find_token(s, span_skip(response, end + 1)))
		return sasl_bad(s, "malformed token message");
	return SASL_TOKEN;
}

enum sasl_result
sasl_refuse_oauth(struct sasl *s, struct span detail)
{
	s->stage = DUMMY;
	buf_reset(&s->challenge);
	buf_add(&s->challenge, detail);
	return buf_ok(&s->challenge) ? SASL_CHALLENGE : SASL_REFUSED;
}
