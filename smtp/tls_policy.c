/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtp/tls_policy.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "smtp/smtp.h"

/* ---- what is asked for ---- */

static const char *const level_words[] = {
	[TLS_LEVEL_NONE] = "none",
	[TLS_LEVEL_MAY] = "may",
	[TLS_LEVEL_ENCRYPT] = "encrypt",
	[TLS_LEVEL_FINGERPRINT] = "fingerprint",
	[TLS_LEVEL_VERIFY] = "verify",
	[TLS_LEVEL_SECURE] = "secure",
};

static bool
level_of(struct span word, enum tls_level *out)
{
	for (size_t i = 0; i < COUNT_OF(level_words); i++)
		if (span_ieq(word, span_str(level_words[i]))) {
			*out = (enum tls_level)i;
			return true;
		}
	return false;
}

int
tls_policy_parse(struct span value, struct tls_policy *out, struct err *e)
{
	const struct span match = SPAN("match=");
	struct tls_policy p = { .level = TLS_LEVEL_NONE };
	struct span rest = value, word = SPAN_EMPTY;
	bool ok;

	buf_init(&p.match, LIMIT_TABLE_VALUE);
	ok = span_token(&rest, ", \t", &word) && level_of(word, &p.level);
	while (ok && span_token(&rest, ", \t", &word)) {
		ok = span_istarts(word, match) && word.n > match.n &&
		    p.level >= TLS_LEVEL_FINGERPRINT;
		if (p.match.n > 0)
			buf_str(&p.match, "|");
		if (ok)
			buf_add(&p.match, span_skip(word, match.n));
	}
	if (!ok) {
		buf_release(&p.match);
		return err_set(e, ERR_TEMP, "4.7.5", "bad TLS policy at \"%s\"",
		    log_quote(word, 100));
	}
	*out = p;
	return 0;
}

/* What the parameters have for a level, where the policy says nothing. */
static int
fill_match(const struct smtp_conf *c, struct tls_policy *p, struct err *e)
{
	if (p->match.n > 0)
		return 0;
	switch (p->level) {
	case TLS_LEVEL_NONE:
	case TLS_LEVEL_MAY:
	case TLS_LEVEL_ENCRYPT:
		return 0;
	case TLS_LEVEL_FINGERPRINT:
		buf_str(&p->match, c->smtp_tls_fingerprint_cert_match);
		break;
	case TLS_LEVEL_VERIFY:
		buf_str(&p->match, c->smtp_tls_verify_cert_match);
		break;
	case TLS_LEVEL_SECURE:
		buf_str(&p->match, c->smtp_tls_secure_cert_match);
		break;
	}
	if (p->match.n == 0)
		return err_set(e, ERR_TEMP, "4.7.5",
		    "nothing to match certificates with");
	return 0;
}

/* The entry of a next hop as it stands, or, for a bare domain, of the nearest
 * domain above it. */
static enum map_result
look_up(struct maps *maps, struct span nexthop, struct buf *out, struct err *e)
{
	const bool domain = span_chr(nexthop, '[') == SIZE_MAX &&
	    span_chr(nexthop, ':') == SIZE_MAX &&
	    span_chr(nexthop, '/') == SIZE_MAX;
	enum map_result found;
	struct buf key;
	struct span at;

	buf_init(&key, LIMIT_ADDRESS);
	for (size_t i = 0; i < nexthop.n; i++)
		buf_byte(&key, ascii_lower(nexthop.p[i]));
	at = buf_span(&key);
	while ((found = maps_get(maps, at, out, e)) == MAP_ABSENT && domain) {
		const size_t dot = span_chr(span_skip(at, 1), '.');

		if (dot == SIZE_MAX)
			break;
		at = span_skip(at, dot + 1);
	}
	buf_release(&key);
	return found;
}

int
tls_policy_find(struct smtp *s, struct span nexthop, struct tls_policy *out,
    struct err *e)
{
	struct tls_policy p = {
		.level = (enum tls_level)s->conf->smtp_tls_security_level,
	};
	enum map_result found = MAP_ABSENT;
	struct buf value;
	int rc = 0;

	buf_init(&p.match, LIMIT_TABLE_VALUE);
	buf_init(&value, LIMIT_TABLE_VALUE);
	if (s->tls_policies != NULL)
		found = look_up(s->tls_policies, nexthop, &value, e);
	if (found == MAP_FAILED)
		rc = -1;
	else if (found == MAP_FOUND)
		rc = tls_policy_parse(buf_span(&value), &p, e);
	if (rc == 0)
		rc = fill_match(s->conf, &p, e);
	buf_release(&value);
	if (rc != 0)
		tls_policy_release(&p);
	else
		*out = p;
	return rc;
}

void
tls_policy_release(struct tls_policy *p)
{
	buf_release(&p->match);
}

void
tls_policy_require(struct tls_policy *p, const char *secure_match)
{
	if (p->level >= TLS_LEVEL_FINGERPRINT)
		return;
	p->level = TLS_LEVEL_SECURE;
	p->trust_mx = true;
	buf_reset(&p->match);
	buf_str(&p->match, secure_match);
}

void
tls_policy_relax(struct tls_policy *p)
{
	if (p->level > TLS_LEVEL_MAY)
		p->level = TLS_LEVEL_MAY;
}

/* ---- what is there ---- */

const char *
tls_trust_word(enum tls_trust t)
{
	switch (t) {
	case TLS_TRUST_NONE:
		break;
	case TLS_TRUST_ANONYMOUS:
		return "Anonymous";
	case TLS_TRUST_UNTRUSTED:
		return "Untrusted";
	case TLS_TRUST_TRUSTED:
		return "Trusted";
	case TLS_TRUST_VERIFIED:
		return "Verified";
	}
	return "No";
}

static bool
covers_below(const struct stream *stream, const char *domain)
{
	char name[DNS_NAME_MAX + 1];

	snprintf(name, sizeof(name), ".%s", domain);
	return stream_tls_covers(stream, span_str(name));
}

static bool
covers(const struct stream *stream, struct span word, const char *host,
    const char *domain)
{
	if (span_ieq(word, SPAN("hostname")))
		return stream_tls_covers(stream, span_str(host));
	if (span_ieq(word, SPAN("nexthop")))
		return stream_tls_covers(stream, span_str(domain));
	if (span_ieq(word, SPAN("dot-nexthop")))
		return covers_below(stream, domain);
	return stream_tls_covers(stream, word);
}

static bool
named(const struct tls_policy *p, const struct stream *stream,
    const struct target *t, struct span nexthop)
{
	struct span rest = buf_span(&p->match), word;
	struct nexthop hop;

	if (!nexthop_parse(nexthop, false, 25, &hop))
		return false;
	if (p->trust_mx && t->mx_secure &&
	    stream_tls_covers(stream, span_str(t->host)))
		return true;
	while (span_token(&rest, "|:, \t", &word))
		if (covers(stream, word, t->host, hop.host))
			return true;
	return false;
}

static bool
has_print(const struct tls_policy *p, const struct tls_cert *cert)
{
	struct span rest = buf_span(&p->match), word;

	while (span_token(&rest, "|, \t", &word))
		if (span_ieq(word, span_str(cert->fingerprint)) ||
		    span_ieq(word, span_str(cert->pkey_fingerprint)))
			return true;
	return false;
}

enum tls_trust
tls_policy_trust(const struct tls_policy *p, const struct stream *stream,
    const struct target *t, struct span nexthop, const char *digest)
{
	struct tls_cert cert;

	if (!stream_tls(stream))
		return TLS_TRUST_NONE;
	if (!stream_tls_cert(stream, digest, &cert))
		return TLS_TRUST_ANONYMOUS;
	if (p->level == TLS_LEVEL_FINGERPRINT && has_print(p, &cert))
		return TLS_TRUST_VERIFIED;
	if (!cert.trusted)
		return TLS_TRUST_UNTRUSTED;
	if (p->level >= TLS_LEVEL_VERIFY && named(p, stream, t, nexthop))
		return TLS_TRUST_VERIFIED;
	return TLS_TRUST_TRUSTED;
}

bool
tls_policy_content(const struct tls_policy *p, enum tls_trust t)
{
	switch (p->level) {
	case TLS_LEVEL_NONE:
	case TLS_LEVEL_MAY:
		return true;
	case TLS_LEVEL_ENCRYPT:
		return t != TLS_TRUST_NONE;
	case TLS_LEVEL_FINGERPRINT:
	case TLS_LEVEL_VERIFY:
	case TLS_LEVEL_SECURE:
		break;
	}
	return t == TLS_TRUST_VERIFIED;
}

static void
log_certificate(const struct tls_policy *p, enum tls_trust trust,
    const struct tls_cert *c, const struct target *t, bool all)
{
	const bool must = p->level >= TLS_LEVEL_VERIFY;

	if (all)
		log_info(NULL, "%s: subject_CN=%s, issuer=%s, "
		    "cert fingerprint=%s, pkey fingerprint=%s", t->relay,
		    c->subject, c->issuer, c->fingerprint,
		    c->pkey_fingerprint);
	if (trust == TLS_TRUST_UNTRUSTED && (all || must))
		log_info(NULL, "certificate verification failed for %s: %s",
		    t->relay, c->reason);
	if (trust == TLS_TRUST_TRUSTED && must)
		log_info(NULL, "certificate verification failed for %s: it is "
		    "for %s, not for any of: %.*s", t->relay,
		    c->subject[0] != '\0' ? c->subject : "another name",
		    SPAN_FMT(buf_span(&p->match)));
}

void
tls_policy_log(const struct tls_policy *p, enum tls_trust trust,
    const struct stream *stream, const struct target *t,
    const struct smtp_conf *conf)
{
	const int64_t level = conf->smtp_tls_loglevel;
	struct tls_facts f;
	struct tls_cert c;
	struct buf text;

	if (stream_tls_cert(stream, conf->smtp_tls_fingerprint_digest, &c))
		log_certificate(p, trust, &c, t, level > 1);
	if (level < 1 || !stream_tls_facts(stream, &f))
		return;
	buf_init(&text, LIMIT_LOG_LINE);
	tls_facts_print(&f, " ", &text);
	log_info(NULL, "%s TLS connection established to %s: %s",
	    tls_trust_word(trust), t->relay, buf_cstr(&text));
	buf_release(&text);
}
