/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/sasl_policy.h"

#include "lib/base/mem.h"

static const struct {
	const char *name;
	unsigned option;
} options[] = { { "noplaintext", SASL_NOPLAINTEXT },
	{ "noactive", SASL_NOACTIVE }, { "nodictionary", SASL_NODICTIONARY },
	{ "noanonymous", SASL_NOANONYMOUS },
	{ "forward_secrecy", SASL_FORWARD_SECRECY },
	{ "mutual_auth", SASL_MUTUAL_AUTH } };

/* What each has, by the beginning of its name. */
static const struct {
	const char *name;
	unsigned has;
} properties[] = {
	{ "PLAIN", SASL_NOANONYMOUS },
	{ "LOGIN", SASL_NOANONYMOUS },
	{ "OAUTHBEARER", SASL_NOANONYMOUS | SASL_NODICTIONARY },
	{ "XOAUTH2", SASL_NOANONYMOUS | SASL_NODICTIONARY },
	{ "SCRAM-", SASL_NOANONYMOUS | SASL_NOPLAINTEXT | SASL_NOACTIVE |
		SASL_MUTUAL_AUTH },
	{ "EXTERNAL", SASL_NOANONYMOUS | SASL_NOPLAINTEXT |
		SASL_NODICTIONARY },
};

int
sasl_options_parse(const char *text, unsigned *out, struct err *e)
{
	struct span rest = span_str(text), word;
	unsigned found = 0;

	while (span_token(&rest, ", \t", &word)) {
		size_t i = 0;

		while (i < COUNT_OF(options) &&
		    !span_ieq(word, span_str(options[i].name)))
			i++;
		if (i == COUNT_OF(options))
			return err_set(e, ERR_PERM, "4.3.5",
			    "unknown SASL security option \"%.*s\"",
			    SPAN_FMT(span_slice(word, 0, 40)));
		found |= options[i].option;
	}
	*out = found;
	return 0;
}

bool
sasl_options_allow(unsigned wanted, struct span mechanism)
{
	for (size_t i = 0; i < COUNT_OF(properties); i++)
		if (span_istarts(mechanism, span_str(properties[i].name)))
			return (wanted & ~properties[i].has) == 0;
	return false;
}

static bool
filter_allows(struct match_list *filter, struct span mechanism)
{
	uint8_t lower[64];
	struct err e;

	if (filter == NULL)
		return true;
	if (mechanism.n > sizeof(lower))
		return false;
	for (size_t i = 0; i < mechanism.n; i++)
		lower[i] = ascii_lower(mechanism.p[i]);
	return match_list_domain(filter, span_of(lower, mechanism.n), &e) > 0;
}

static bool
works(const struct sasl_offer *o, struct span mechanism)
{
	if (span_iends(mechanism, SPAN("-PLUS")) && !o->binding)
		return false;
	if (span_ieq(mechanism, SPAN("EXTERNAL")) && !o->cert)
		return false;
	return sasl_options_allow(o->options, mechanism) &&
	    filter_allows(o->filter, mechanism);
}

void
sasl_offer_print(const struct sasl_offer *o, struct buf *out, bool *out_plus)
{
	struct span rest = span_str(o->mechanisms), word;
	bool first = true;

	*out_plus = false;
	while (span_token(&rest, ", \t", &word)) {
		if (!works(o, word))
			continue;
		if (!first)
			buf_byte(out, ' ');
		first = false;
		for (size_t i = 0; i < word.n; i++)
			buf_byte(out, ascii_upper(word.p[i]));
		*out_plus |= span_iends(word, SPAN("-PLUS"));
	}
}

char *
sasl_offer_find(const char *offer, struct span mechanism)
{
	struct span rest = span_str(offer), word;

	while (span_token(&rest, " ", &word))
		if (span_ieq(word, mechanism))
			return span_dup(word);
	return NULL;
}
