/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"
#include "lib/proto/policy.h"
#include "lib/proto/utf8.h"
#include "lib/proto/xtext.h"

/* check_policy_service: how services are written, what is asked, and what
 * comes of the answer. */

enum { REQUEST_MAX = 65536 };

static const char *
state_name(enum restrict_stage stage, const struct restrict_facts *f)
{
	switch (stage) {
	case RESTRICT_CONNECT:
		return "CONNECT";
	case RESTRICT_HELO:
		return f->protocol[0] == 'E' ? "EHLO" : "HELO";
	case RESTRICT_MAIL:
		return "MAIL";
	case RESTRICT_RCPT:
		return "RCPT";
	case RESTRICT_DATA:
		return "DATA";
	case RESTRICT_END:
		return "END-OF-MESSAGE";
	case RESTRICT_ETRN:
		return "ETRN";
	case RESTRICT_VRFY:
		return "VRFY";
	}
	return "";
}

/* Empty for what is not there. */
static const char *
text(const char *s)
{
	return s != NULL ? s : "";
}

static void
put_client(struct buf *out, const struct restrict_facts *f)
{
	policy_attr_str(out, "client_address", f->addr);
	policy_attr_str(out, "client_name", f->name);
	policy_attr_u64(out, "client_port", f->port);
	policy_attr_str(out, "reverse_client_name", f->reverse_name);
	policy_attr_str(out, "server_address", text(f->server_addr));
	policy_attr_u64(out, "server_port", f->server_port);
	policy_attr_str(out, "helo_name", text(f->helo));
}

static void
put_message(struct buf *out, const struct restrict_session *s)
{
	const struct restrict_facts *f = s->f;
	const bool late = s->stage == RESTRICT_DATA ||
	    s->stage == RESTRICT_END;

	policy_attr(out, "sender", f->has_sender ? f->sender : SPAN_EMPTY);
	policy_attr(out, "recipient", f->has_rcpt ? f->rcpt : SPAN_EMPTY);
	policy_attr_u64(out, "recipient_count", late ? f->rcpt_count : 0);
	policy_attr_str(out, "queue_id", text(f->qid));
	policy_attr_str(out, "instance", text(f->instance));
	policy_attr_u64(out, "size", f->size);
	policy_attr_str(out, "etrn_domain", text(f->etrn));
	policy_attr_str(out, "stress", "");
}

static void
put_xtext(struct buf *out, const char *name, const char *value, bool known)
{
	struct buf coded;

	buf_init(&coded, 4096);
	if (known && value != NULL)
		xtext_encode(span_str(value), &coded);
	policy_attr(out, name, buf_span(&coded));
	buf_release(&coded);
}

static void
put_security(struct buf *out, const struct restrict_facts *f)
{
	policy_attr_str(out, "sasl_method", text(f->sasl_method));
	policy_attr_str(out, "sasl_username", text(f->sasl_user));
	policy_attr_str(out, "sasl_sender", text(f->sasl_sender));
	put_xtext(out, "ccert_subject", f->cert_subject, f->cert_trusted);
	put_xtext(out, "ccert_issuer", f->cert_issuer, f->cert_trusted);
	policy_attr_str(out, "ccert_fingerprint", text(f->cert_print));
	policy_attr_str(out, "ccert_pubkey_fingerprint", text(f->key_print));
	policy_attr_str(out, "encryption_protocol", text(f->tls_protocol));
	policy_attr_str(out, "encryption_cipher", text(f->tls_cipher));
	policy_attr_u64(out, "encryption_keysize", f->tls_bits);
	policy_attr_str(out, "tls_sni", text(f->tls_sni));
}

static void
put_request(struct buf *out, const struct restrict_session *s,
    const struct restrict_policy *p)
{
	policy_attr_str(out, "request", "smtpd_access_policy");
	policy_attr_str(out, "protocol_state", state_name(s->stage, s->f));
	policy_attr_str(out, "protocol_name", s->f->protocol);
	put_client(out, s->f);
	put_message(out, s);
	put_security(out, s->f);
	policy_attr_str(out, "policy_context", p->context);
	policy_attr_str(out, "compatibility_level",
	    s->set->common->compatibility_level);
	policy_attr_str(out, "mail_version", s->set->common->mail_version);
	policy_end(out);
}

static void
answered(void *arg, const struct span *action)
{
	static const char last_resort[] =
	    "451 4.3.5 Server configuration problem";
	struct restrict_session *s = arg;
	const struct restrict_policy *p = s->work.step->arg.policy;
	struct span value = action != NULL ? *action : SPAN_EMPTY;

	if (action != NULL && !utf8_valid(value)) {
		log_warning(s->f->log, "malformed UTF-8 in policy server %s "
		    "response: \"%s\"", p->endpoint, shown(value));
		action = NULL;
	}
	/* A default action that asks a service has an end. */
	if (action == NULL)
		value = span_str(s->policy_nesting++ == 0 ?
			p->default_action : last_resort);
	log_event(s->f->log, "policy", "%s: %s", p->endpoint, shown(value));
	step_done(s, access_apply(s, p->endpoint, span_trim(value),
	    SPAN("policy query"), list_subject(s)));
}

enum verdict
run_policy(struct restrict_session *s, const struct step *step)
{
	struct buf request;

	buf_init(&request, REQUEST_MAX);
	put_request(&request, s, step->arg.policy);
	s->work = (struct work){ .step = step };
	s->waiting = true;
	s->world->policy(s->ctx, step->arg.policy, buf_span(&request),
	    answered, s);
	buf_release(&request);
	return V_WAIT;
}

/* ---- services in lists ---- */

/* "30s", "5m" in milliseconds; a bare number is in seconds. */
static bool
parse_time(struct span s, uint64_t *out_ms)
{
	static const char units[] = "smhdw";
	static const uint64_t factors[] = { 1, 60, 3600, 86400, 604800 };
	uint64_t n, factor = 1;

	if (s.n > 0 && strchr(units, s.p[s.n - 1]) != NULL) {
		factor = factors[strchr(units, s.p[s.n - 1]) - units];
		s.n--;
	}
	if (!span_u64(s, 1000000000, &n))
		return false;
	*out_ms = n * factor * 1000;
	return true;
}

/* One "name = value" of a service's own settings. */
static int
policy_setting(struct restrict_policy *p, struct span name, struct span value,
    struct err *e)
{
	const struct {
		const char *name;
		uint64_t *ms;
		unsigned *number;
		char **text;
	} settings[] = {
		{ "timeout", &p->timeout_ms, NULL, NULL },
		{ "max_idle", &p->max_idle_ms, NULL, NULL },
		{ "max_ttl", &p->max_ttl_ms, NULL, NULL },
		{ "retry_delay", &p->retry_delay_ms, NULL, NULL },
		{ "request_limit", NULL, &p->request_limit, NULL },
		{ "try_limit", NULL, &p->try_limit, NULL },
		{ "default_action", NULL, NULL, &p->default_action },
		{ "policy_context", NULL, NULL, &p->context },
	};
	uint64_t n;

	for (size_t i = 0; i < COUNT_OF(settings); i++) {
		if (!span_eq(name, span_str(settings[i].name)))
			continue;
		if (settings[i].ms != NULL &&
		    parse_time(value, settings[i].ms))
			return 0;
		if (settings[i].number != NULL &&
		    span_u64(value, 1000000, &n)) {
			*settings[i].number = (unsigned)n;
			return 0;
		}
		if (settings[i].text != NULL) {
			mem_free(*settings[i].text);
			*settings[i].text = span_dup(value);
			return 0;
		}
		return err_set(e, ERR_PERM, "4.3.5", "bad value of %s",
		    settings[i].name);
	}
	return err_set(e, ERR_PERM, "4.3.5",
	    "a policy service has no setting \"%.*s\"",
	    SPAN_FMT(span_slice(name, 0, 60)));
}

/* "name=value", "{ name = text with blanks }", or "name", "=", "value". */
static int
policy_settings(struct restrict_policy *p, struct span rest, struct err *e)
{
	struct span word;
	int more;

	while ((more = restrict_word(&rest, &word, e)) > 0) {
		struct span inner = word;
		size_t equals;

		if (restrict_braces(word))
			inner = span_slice(word, 1, word.n - 1);
		equals = span_chr(inner, '=');
		if (equals == SIZE_MAX)
			return err_set(e, ERR_PERM, "4.3.5",
			    "\"%.*s\" is not name=value",
			    SPAN_FMT(span_slice(word, 0, 60)));
		if (policy_setting(p, span_trim(span_slice(inner, 0, equals)),
			span_trim(span_skip(inner, equals + 1)), e) != 0)
			return -1;
	}
	return more;
}

static int
check_endpoint(const char *text, struct err *e)
{
	const struct span s = span_str(text);
	const size_t colon = span_rchr(s, ':');
	uint64_t port;

	if (span_starts(s, SPAN("unix:")) && s.n > 5)
		return 0;
	if (span_starts(s, SPAN("inet:")) && colon > 4 &&
	    span_u64(span_skip(s, colon + 1), 65535, &port) && port > 0)
		return 0;
	return err_set(e, ERR_PERM, "4.3.5",
	    "policy service \"%.100s\": need inet:host:port or unix:path",
	    text);
}

void
policy_free(struct restrict_policy *p)
{
	mem_free(p->name);
	mem_free(p->endpoint);
	mem_free(p->default_action);
	mem_free(p->context);
	mem_free(p);
}

static int
new_policy(struct restrict_set *set, struct span word,
    struct restrict_policy **out, struct err *e)
{
	const struct restrict_conf *c = set->conf;
	struct restrict_policy *p = MEM_NEW(p);
	struct span rest = word, endpoint = word;
	int rc = 1;

	p->name = span_dup(word);
	p->timeout_ms = (uint64_t)c->smtpd_policy_service_timeout;
	p->max_idle_ms = (uint64_t)c->smtpd_policy_service_max_idle;
	p->max_ttl_ms = (uint64_t)c->smtpd_policy_service_max_ttl;
	p->retry_delay_ms = (uint64_t)c->smtpd_policy_service_retry_delay;
	p->request_limit = (unsigned)c->smtpd_policy_service_request_limit;
	p->try_limit = (unsigned)c->smtpd_policy_service_try_limit;
	p->default_action =
	    mem_strdup(c->smtpd_policy_service_default_action);
	p->context = mem_strdup(c->smtpd_policy_service_policy_context);
	if (restrict_braces(word)) {
		rest = span_slice(word, 1, word.n - 1);
		rc = restrict_word(&rest, &endpoint, e);
		if (rc == 0)
			rc = err_set(e, ERR_PERM, "4.3.5",
			    "empty policy service");
		if (rc > 0)
			rc = policy_settings(p, rest, e);
	}
	p->endpoint = span_dup(endpoint);
	if (rc < 0 || check_endpoint(p->endpoint, e) != 0) {
		policy_free(p);
		return -1;
	}
	p->next = set->policies;
	set->policies = p;
	*out = p;
	return 0;
}

int
policy_find(struct restrict_set *set, struct span word,
    struct restrict_policy **out, struct err *e)
{
	for (struct restrict_policy *p = set->policies; p != NULL; p = p->next)
		if (span_eq(word, span_str(p->name))) {
			*out = p;
			return 0;
		}
	return new_policy(set, word, out, e);
}

struct restrict_policy *
restrict_policies(const struct restrict_set *set)
{
	return set->policies;
}
