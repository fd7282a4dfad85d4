/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/tls.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/mem.h"
#include "lib/os/tls_policy.h"
#include "lib/os/tls_tickets.h"
#include "smtpd/session.h"

enum { TIDY_MS = 500, TIDY_COUNT = 256 };

/* ---- parameters ---- */

/* What smtpd_tls_loglevel asks for, of what there is to say. */
enum {
	LOG_SUMMARY = 1,
	LOG_UNTRUSTED = 2,
	LOG_CERT = 4,
	LOG_RESUMED = 8,
	LOG_DETAILS = LOG_SUMMARY | LOG_UNTRUSTED | LOG_CERT | LOG_RESUMED,
};

static const struct {
	const char *word;
	unsigned bits;
} log_words[] = {
	{ "0", 0 }, { "none", 0 }, { "1", LOG_SUMMARY },
	{ "routine", LOG_SUMMARY }, { "summary", LOG_SUMMARY },
	{ "untrusted", LOG_UNTRUSTED }, { "peercert", LOG_CERT },
	{ "cache", LOG_RESUMED }, { "2", LOG_DETAILS },
	{ "debug", LOG_DETAILS }, { "verbose", LOG_DETAILS },
	{ "3", LOG_DETAILS }, { "ssl-expert", LOG_DETAILS },
	{ "4", LOG_DETAILS }, { "ssl-developer", LOG_DETAILS },
	/* OpenSSL's own tracing: there is none here. */
	{ "certmatch", 0 }, { "dane", 0 }, { "ssl-debug", 0 },
	{ "ssl-handshake-packet-dump", 0 }, { "ssl-session-packet-dump", 0 },
	{ "trace", 0 },
};

static bool
log_word(const char *word, size_t n, unsigned *bits)
{
	for (size_t i = 0; i < COUNT_OF(log_words); i++)
		if (strlen(log_words[i].word) == n &&
		    strncasecmp(log_words[i].word, word, n) == 0) {
			*bits |= log_words[i].bits;
			return true;
		}
	return false;
}

static int
log_bits(const char *list, unsigned *out, struct err *e)
{
	unsigned bits = 0;

	for (const char *at = list; *at != '\0';) {
		const size_t n = strcspn(at, " \t,");

		if (n > 0 && !log_word(at, n, &bits))
			return err_set(e, ERR_PERM, "5.3.5",
			    "smtpd_tls_loglevel: unknown: %s", at);
		at += n > 0 ? n : 1;
	}
	*out = bits;
	return 0;
}

/* Is TLS a must here? Then the "mandatory" parameters count. */
static bool
mandatory(const struct smtpd_conf *c)
{
	return c->smtpd_tls_security_level == SMTPD_TLS_ENCRYPT ||
	    c->smtpd_tls_wrappermode;
}

static bool
asks_cert(const struct smtpd_conf *c)
{
	return c->smtpd_tls_ask_ccert || c->smtpd_tls_req_ccert;
}

static bool
needs_cert(const struct smtpd_conf *c)
{
	return c->smtpd_tls_req_ccert && mandatory(c);
}

int
tls_verify(struct conf *c, struct smtpd_conf *conf, struct err *e)
{
	const char *origin =
	    conf_origin(c, "smtpd_tls_security_level").file;
	struct tls_versions versions;
	uint64_t options;
	unsigned bits;

	/* The older way to say it; the newer one wins. */
	if (conf->smtpd_enforce_tls && strcmp(origin, "default") == 0)
		conf->smtpd_tls_security_level = SMTPD_TLS_ENCRYPT;
	if (tls_protocols_parse(conf->smtpd_tls_protocols, &versions, e) != 0)
		return err_wrap(e, "smtpd_tls_protocols");
	if (tls_protocols_parse(conf->smtpd_tls_mandatory_protocols,
		&versions, e) != 0)
		return err_wrap(e, "smtpd_tls_mandatory_protocols");
	if (tls_options_parse(conf->tls_ssl_options, &options, e) != 0)
		return err_wrap(e, "tls_ssl_options");
	if (tls_options_parse(conf->tls_disable_workarounds, &options, e) != 0)
		return err_wrap(e, "tls_disable_workarounds");
	if (tls_tickets_cipher(conf->tls_session_ticket_cipher, e) != 0)
		return err_wrap(e, "tls_session_ticket_cipher");
	if (tls_digest_check(conf->smtpd_tls_fingerprint_digest, e) != 0)
		return err_wrap(e, "smtpd_tls_fingerprint_digest");
	return log_bits(conf->smtpd_tls_loglevel, &bits, e);
}

/* ---- the context ---- */

static const char *
grade_list(const struct smtpd_conf *c, int grade)
{
	switch ((enum smtpd_tls_grade)grade) {
	case SMTPD_TLS_HIGH:
		return c->tls_high_cipherlist;
	case SMTPD_TLS_NULL:
		return c->tls_null_cipherlist;
	case SMTPD_TLS_EXPORT: /* there are none any more */
	case SMTPD_TLS_LOW:
	case SMTPD_TLS_MEDIUM:
		break;
	}
	return c->tls_medium_cipherlist;
}

static void
ciphers(const struct smtpd_conf *c, struct buf *out)
{
	const bool must = mandatory(c);
	const char *const excluded[] = {
		c->smtpd_tls_exclude_ciphers,
		must ? c->smtpd_tls_mandatory_exclude_ciphers : "",
		asks_cert(c) ? "aNULL" : "",
		c->smtpd_tls_eecdh_grade == SMTPD_EECDH_NONE ? "kEECDH" : "",
	};

	tls_cipher_list(
	    grade_list(c, must ? c->smtpd_tls_mandatory_ciphers :
		    c->smtpd_tls_ciphers),
	    excluded, COUNT_OF(excluded), out);
}

static void
groups(const struct smtpd_conf *c, struct buf *out)
{
	switch ((enum smtpd_eecdh_grade)c->smtpd_tls_eecdh_grade) {
	case SMTPD_EECDH_NONE:
	case SMTPD_EECDH_AUTO:
		buf_str(out, c->tls_eecdh_auto_curves);
		break;
	case SMTPD_EECDH_STRONG:
		buf_str(out, c->tls_eecdh_strong_curve);
		break;
	case SMTPD_EECDH_ULTRA:
		buf_str(out, c->tls_eecdh_ultra_curve);
		break;
	}
	buf_fmt(out, " %s", c->tls_ffdhe_auto_groups);
}

int
tls_context(const struct smtpd_conf *c, const char *name,
    struct tls_keys *keys, struct tls_ctx **out, struct err *e)
{
	struct buf cipher_list, group_list;
	struct tls_ctx *ctx;

	buf_init(&cipher_list, 65536);
	buf_init(&group_list, 4096);
	ciphers(c, &cipher_list);
	groups(c, &group_list);
	{
		const struct tls_server_options o = {
			.protocols = mandatory(c) ?
			    c->smtpd_tls_mandatory_protocols :
			    c->smtpd_tls_protocols,
			.ciphers = buf_cstr(&cipher_list),
			.groups = buf_cstr(&group_list),
			.options = c->tls_ssl_options,
			.workarounds = c->tls_disable_workarounds,
			.session_context = name,
			.ticket_lifetime_s =
			    c->smtpd_tls_session_cache_timeout / 1000,
			.verify_depth = (int)c->smtpd_tls_ccert_verifydepth,
			.client_order = !c->tls_preempt_cipherlist,
			.always_session_ids =
			    c->smtpd_tls_always_issue_session_ids,
			.ask_cert = asks_cert(c),
		};

		ctx = tls_server_open(keys, &o, e);
	}
	buf_release(&cipher_list);
	buf_release(&group_list);
	if (ctx == NULL)
		return -1;
	*out = ctx;
	return 0;
}

/* ---- what is said of a handshake ---- */

static void
log_summary(struct session *s, const struct tls_facts *f)
{
	struct buf b;

	buf_init(&b, LIMIT_LOG_LINE);
	buf_fmt(&b, "%s TLS connection established from %s",
	    !f->has_cert ? "Anonymous" : f->verified ? "Trusted" : "Untrusted",
	    session_client(s));
	if (f->name_matched)
		buf_fmt(&b, " to %s",
		    log_quote(span_str(f->asked_name), 255));
	buf_str(&b, ": ");
	tls_facts_print(f, " ", &b);
	log_info(&s->log, "%s", buf_cstr(&b));
	buf_release(&b);
}

static void
log_certificate(struct session *s, unsigned bits)
{
	const struct tls_cert *c = s->ccert;
	const char *client = session_client(s);

	if (bits & LOG_CERT)
		log_info(&s->log, "%s: subject_CN=%s, issuer=%s, "
		    "cert fingerprint=%s, pkey fingerprint=%s", client,
		    c->subject, c->issuer, c->fingerprint,
		    c->pkey_fingerprint);
	if ((bits & LOG_UNTRUSTED) && !c->trusted)
		log_info(&s->log, "certificate verification failed for %s: "
		    "%s", client, c->reason);
}

/* A handshake needs some 50 kilobytes for a moment; where many were under
 * way together the heap stays that large, though what they leave is small.
 * Free pages in its midst go back to the system. */
static void
on_tidy(void *arg)
{
	struct service *service = arg;

	service->untidy = 0;
	malloc_trim(0);
}

static void
tidy_later(struct service *service)
{
	if (service->tidy == NULL)
		service->tidy = timer_new(service->loop, on_tidy, service);
	if (!timer_active(service->tidy))
		timer_start(service->tidy, TIDY_MS);
}

void
tls_ended(struct session *s)
{
	if (session_tls(s))
		tidy_later(s->service);
}

/* Is a fingerprint in relay_clientcerts? Tables made from text have their
 * keys in lower case. */
static bool
listed(struct session *s, const char *fingerprint)
{
	struct maps *maps = s->service->clientcerts;
	const struct span key = span_str(fingerprint);
	enum map_result result;
	char lower[200];
	struct buf value;
	struct err e;

	if (key.n == 0 || key.n >= sizeof(lower))
		return false;
	for (size_t i = 0; i < key.n; i++)
		lower[i] = (char)ascii_lower(key.p[i]);
	buf_init(&value, LIMIT_TABLE_VALUE);
	result = maps_get(maps, key, &value, &e);
	if (result == MAP_ABSENT)
		result = maps_get(maps, span_of((uint8_t *)lower, key.n),
		    &value, &e);
	buf_release(&value);
	if (result == MAP_FAILED)
		log_warning(&s->log, "relay_clientcerts: %s", e.text);
	return result == MAP_FOUND;
}

void
tls_established(struct session *s)
{
	const struct smtpd_conf *c = s->service->conf;
	struct tls_cert cert;

	if (++s->service->untidy >= TIDY_COUNT)
		on_tidy(s->service);
	tidy_later(s->service);
	s->tls_unsaid = true;
	mem_free(s->ccert);
	s->ccert = NULL;
	s->ccert_listed = false;
	if (!stream_tls_cert(
		s->stream, c->smtpd_tls_fingerprint_digest, &cert))
		return;
	s->ccert = MEM_NEW(s->ccert);
	*s->ccert = cert;
	s->ccert_listed = !maps_empty(s->service->clientcerts) &&
	    (listed(s, cert.fingerprint) || listed(s, cert.pkey_fingerprint));
}

void
tls_log(struct session *s)
{
	const struct smtpd_conf *c = s->service->conf;
	struct tls_facts f;
	unsigned bits = 0;

	if (!s->tls_unsaid || !stream_tls_facts(s->stream, &f))
		return;
	s->tls_unsaid = false;
	(void)log_bits(c->smtpd_tls_loglevel, &bits, NULL);
	if (needs_cert(c))
		bits |= LOG_UNTRUSTED;
	if ((bits & LOG_RESUMED) && f.resumed)
		log_info(&s->log, "%s: Reusing old session",
		    session_client(s));
	if ((bits & LOG_SUMMARY) && f.asked_name != NULL && !f.name_matched)
		log_info(&s->log, "TLS SNI %s from %s not matched, using "
		    "default chain", log_quote(span_str(f.asked_name), 255),
		    session_client(s));
	if (s->ccert != NULL)
		log_certificate(s, bits);
	if (bits & LOG_SUMMARY)
		log_summary(s, &f);
	if (needs_cert(c) && !f.verified)
		log_info(&s->log, "NOQUEUE: abort: TLS from %s: %s",
		    session_client(s), f.has_cert ?
		    "Client certificate not trusted" :
		    "No client certificate presented");
}

void
tls_failed(struct session *s, const struct err *e)
{
	const char *client = session_client(s);

	if (e == NULL)
		log_info(&s->log, "SSL_accept error from %s: "
		    "Connection timed out", client);
	else if (e->sysno != 0)
		log_info(&s->log, "SSL_accept error from %s: %s", client,
		    strerror(e->sysno));
	else if (strcmp(e->dsn, "4.7.5") != 0)
		log_info(&s->log, "SSL_accept error from %s: lost connection",
		    client);
	else
		log_info(&s->log, "SSL_accept error from %s: -1: %s", client,
		    e->text);
}

/* ---- a client certificate that is a must ---- */

static void
ask(struct session *s, enum stage stage)
{
	(void)stage;
	if (!needs_cert(s->service->conf) || !session_tls(s) ||
	    (s->ccert != NULL && s->ccert->trusted)) {
		stage_pass(s);
		return;
	}
	{
		char text[LIMIT_DOMAIN + 100];

		snprintf(text, sizeof(text), "%s Error: %s",
		    s->service->common->myhostname, s->ccert != NULL ?
		    "Client certificate not trusted" :
		    "No client certificate presented");
		stage_refuse(s, &(struct refusal){ 421, "4.7.1",
					span_str(text), NULL });
	}
}

const struct gate tls_gate = {
	.name = "tls",
	.ask = ask,
};

/* ---- Received ---- */

/* What may stand in a comment (RFC 5322 3.2.2), and in a quoted string in
 * it. */
static const char *
commentable(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (; *text != '\0' && n + 1 < size; text++) {
		const bool odd = strchr("()\\\"", *text) != NULL ||
		    (unsigned char)*text < ' ' || (unsigned char)*text >= 127;

		out[n++] = odd ? '?' : *text;
	}
	out[n] = '\0';
	return out;
}

static void
received_certificate(
    const struct session *s, const struct tls_facts *f, struct buf *out)
{
	char subject[256], issuer[256];

	if (s->ccert != NULL)
		buf_fmt(out, "\t(Client CN \"%s\", Issuer \"%s\" (%s))\r\n",
		    commentable(s->ccert->subject, subject, sizeof(subject)),
		    commentable(s->ccert->issuer, issuer, sizeof(issuer)),
		    s->ccert->trusted ? "verified OK" : "not verified");
	else
		buf_str(out, f->asked_cert ?
			"\t(Client did not present a certificate)\r\n" :
			"\t(No client certificate requested)\r\n");
}

void
tls_received(const struct session *s, struct buf *out)
{
	struct tls_facts f;

	if (!s->service->conf->smtpd_tls_received_header ||
	    !stream_tls_facts(s->stream, &f))
		return;
	buf_str(out, "\t(using ");
	tls_facts_print(&f, "\r\n\t ", out);
	buf_str(out, ")\r\n");
	received_certificate(s, &f, out);
}
