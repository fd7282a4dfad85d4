/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"
#include "lib/proto/policy.h"
#include "lib/proto/utf8.h"
#include "lib/proto/xtext.h"

/* check_policy_service: what is asked, and what comes of the answer. */

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
