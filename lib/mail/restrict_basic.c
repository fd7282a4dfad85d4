/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <arpa/inet.h>

#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"
#include "lib/proto/address.h"

/* Restrictions that need no look-up. */

static const struct restrict_conf *
conf(const struct restrict_session *s)
{
	return s->set->conf;
}

/* ---- of any list ---- */

enum verdict
run_permit(struct restrict_session *s, const struct step *step)
{
	return step_permit(s, step->name, list_subject(s), NULL);
}

enum verdict
run_reject(struct restrict_session *s, const struct step *step)
{
	const enum subject subject = list_subject(s);

	(void)step;
	return step_reject(s, (unsigned)conf(s)->reject_code, "5.7.1",
	    "<%s>: %s rejected: Access denied",
	    shown(subject_name(s, subject)), subject_class(subject));
}

enum verdict
run_defer(struct restrict_session *s, const struct step *step)
{
	const enum subject subject = list_subject(s);

	(void)step;
	return step_reject(s, (unsigned)conf(s)->defer_code, "4.3.2",
	    "<%s>: %s rejected: Try again later",
	    shown(subject_name(s, subject)), subject_class(subject));
}

enum verdict
run_defer_if_permit(struct restrict_session *s, const struct step *step)
{
	const enum subject subject = list_subject(s);

	(void)step;
	return step_defer_if_permit(s, RESTRICT_TF_DEFER_IF_PERMIT, 450,
	    "4.7.0", "<%s>: %s rejected: defer_if_permit requested",
	    shown(subject_name(s, subject)), subject_class(subject));
}

enum verdict
run_defer_if_reject(struct restrict_session *s, const struct step *step)
{
	const enum subject subject = list_subject(s);

	(void)step;
	step_defer_if_reject(s, 450, "4.7.0",
	    "<%s>: %s rejected: defer_if_reject requested",
	    shown(subject_name(s, subject)), subject_class(subject));
	return V_DUNNO;
}

enum verdict
run_warn_if_reject(struct restrict_session *s, const struct step *step)
{
	const struct frame *f = &s->frames[s->frame_count - 1];

	(void)step;
	if (s->warn_if_reject == 0)
		s->warn_if_reject = s->frame_count;
	/* It holds for the next one: nothing is settled yet. */
	return f->next < f->list->count ? V_CALLED : V_DUNNO;
}

enum verdict
run_class(struct restrict_session *s, const struct step *step)
{
	return step_call(s, step->arg.class->list, NULL);
}

static void
slept(void *arg)
{
	step_done(arg, V_DUNNO);
}

enum verdict
run_sleep(struct restrict_session *s, const struct step *step)
{
	if (step->arg.seconds == 0)
		return V_DUNNO;
	s->waiting = true;
	s->world->sleep(s->ctx, step->arg.seconds, slept, s);
	return V_WAIT;
}

enum verdict
run_pipelining(struct restrict_session *s, const struct step *step)
{
	const enum subject subject = list_subject(s);

	(void)step;
	if (!s->f->pipelining)
		return V_DUNNO;
	return step_reject(s, 503, "5.5.0",
	    "<%s>: %s rejected: Improper use of SMTP command pipelining",
	    shown(subject_name(s, subject)), subject_class(subject));
}

enum verdict
run_plaintext(struct restrict_session *s, const struct step *step)
{
	(void)step;
	if (s->f->tls_protocol != NULL)
		return V_DUNNO;
	return step_reject(s, (unsigned)conf(s)->plaintext_reject_code,
	    "4.7.1", "Session encryption is required");
}

enum verdict
run_multi_bounce(struct restrict_session *s, const struct step *step)
{
	const struct restrict_facts *f = s->f;
	const unsigned allowed = s->stage == RESTRICT_RCPT ? 0 : 1;
	const enum subject subject = list_subject(s);

	(void)step;
	if (!f->has_sender || f->sender.n > 0 || f->rcpt_count <= allowed)
		return V_DUNNO;
	return step_reject(s,
	    (unsigned)conf(s)->multi_recipient_bounce_reject_code, "5.5.3",
	    "<%s>: %s rejected: Multi-recipient bounce",
	    shown(subject_name(s, subject)), subject_class(subject));
}

/* ---- the client ---- */

/* step->op->detail of the reverse name: 1 asks whether it has an address. */
enum verdict
run_unknown_client(struct restrict_session *s, const struct step *step)
{
	const struct restrict_facts *f = s->f;
	const bool reverse = step->op->subject == SUBJECT_REVERSE;
	const bool forward = step->op->detail == 1;
	enum restrict_name_status status = f->name_status;

	if (reverse && !forward)
		status = f->reverse_status;
	else if (forward && f->reverse_status != RESTRICT_NAME_OK)
		status = RESTRICT_NAME_OK; /* another restriction's affair */
	if (status == RESTRICT_NAME_OK)
		return V_DUNNO;
	return step_reject(s, status == RESTRICT_NAME_TEMP ? 450 :
	    (unsigned)conf(s)->unknown_client_reject_code,
	    reverse ? "4.7.1" : "4.7.25",
	    "Client host rejected: cannot find your %shostname, [%s]",
	    !reverse ? "" : forward ? "forward " : "reverse ", f->addr);
}

/* permit_tls_clientcerts asks relay_clientcerts, which the world has put
 * into the facts. */
enum verdict
run_permit_client(struct restrict_session *s, const struct step *step)
{
	const struct restrict_facts *f = s->f;
	bool may = false;

	switch (step->op->detail) {
	case PERMIT_MYNETWORKS:
		may = f->trusted;
		break;
	case PERMIT_OWN:
		may = s->world->own_address(s->ctx, f->addr);
		break;
	case PERMIT_SASL:
		may = f->sasl_user != NULL;
		break;
	case PERMIT_CERT:
		may = f->cert_listed;
		break;
	case PERMIT_ANY_CERT:
		may = f->cert_trusted || f->cert_listed;
		break;
	}
	return may ? step_permit(s, step->name, SUBJECT_CLIENT, NULL) :
		     V_DUNNO;
}

/* ---- names ---- */

static bool
all_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 128)
			return false;
	return true;
}

bool
valid_hostname(struct span name)
{
	return all_ascii(name) && domain_valid(name);
}

bool
is_numeric_address(struct span name)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t address[16];

	return span_copy(name, text, sizeof(text)) &&
	    (inet_pton(AF_INET, text, address) == 1 ||
		inet_pton(AF_INET6, text, address) == 1);
}

/* Without the one dot that may end a name. */
static struct span
without_dot(struct span name)
{
	if (name.n > 1 && name.p[name.n - 1] == '.' &&
	    name.p[name.n - 2] != '.')
		name.n--;
	return name;
}

/* An address literal: the verdict on it. False: it is a name. */
bool
helo_literal(struct restrict_session *s, const struct step *step,
    enum verdict *out)
{
	const struct span helo = span_str(s->f->helo);

	if (helo.n == 0 || helo.p[0] != '[')
		return false;
	*out = domain_literal_valid(helo) ? V_DUNNO :
	    step_reject(s,
		(unsigned)conf(s)->invalid_hostname_reject_code, "5.5.2",
		"<%s>: %s rejected: invalid ip address", shown(helo),
		subject_class(step->op->subject));
	return true;
}

enum verdict
run_bad_helo(struct restrict_session *s, const struct step *step)
{
	const char *class = subject_class(SUBJECT_HELO);
	const struct span helo = span_str(s->f->helo);
	const struct span name = without_dot(helo);
	enum verdict v = V_DUNNO;

	if (s->f->helo == NULL || helo_literal(s, step, &v))
		return v;
	if (step->op->detail == HELO_INVALID) {
		if (valid_hostname(name) || is_numeric_address(name))
			return V_DUNNO;
		return step_reject(s,
		    (unsigned)conf(s)->invalid_hostname_reject_code, "5.5.2",
		    "<%s>: %s rejected: Invalid name", shown(helo), class);
	}
	if (domain_valid(name) && (s->f->smtputf8 || all_ascii(name)) &&
	    span_chr(name, '.') != SIZE_MAX)
		return V_DUNNO;
	return step_reject(s, (unsigned)conf(s)->non_fqdn_reject_code,
	    "5.5.2", "<%s>: %s rejected: need fully-qualified hostname",
	    shown(helo), class);
}

enum verdict
run_non_fqdn_address(struct restrict_session *s, const struct step *step)
{
	const enum subject subject = step->op->subject;
	const bool sender = subject == SUBJECT_SENDER;
	const struct span address = subject_name(s, subject);
	const size_t at = span_rchr(address, '@');
	const struct span domain = without_dot(
	    at == SIZE_MAX ? SPAN_EMPTY : span_skip(address, at + 1));

	if (sender ? !s->f->has_sender || address.n == 0 : !s->f->has_rcpt)
		return V_DUNNO;
	if (domain.n > 1 && domain.p[0] == '[' &&
	    domain.p[domain.n - 1] == ']')
		return V_DUNNO;
	if (domain_valid(domain) && (s->f->smtputf8 || all_ascii(domain)) &&
	    span_chr(domain, '.') != SIZE_MAX)
		return V_DUNNO;
	return step_reject(s, (unsigned)conf(s)->non_fqdn_reject_code,
	    "4.5.2", "<%s>: %s rejected: need fully-qualified address",
	    shown(address), subject_class(subject));
}

/* ---- who sends ---- */

static enum verdict
check_logged_in(struct restrict_session *s, bool unknown_ok)
{
	const struct restrict_facts *f = s->f;
	struct err e;
	int owner;

	if (f->sasl_user == NULL)
		return V_DUNNO;
	owner = s->world->owner(s->ctx, f->sender, f->sasl_user, &e);
	if (owner < 0)
		return step_table_error(s, f->sender, &e);
	if (owner == 1 || (owner == 2 && unknown_ok))
		return V_DUNNO;
	return step_reject(s, 553, "5.7.1",
	    "<%s>: Sender address rejected: not owned by user %s",
	    shown(f->sender), shown(span_str(f->sasl_user)));
}

static enum verdict
check_not_logged_in(struct restrict_session *s)
{
	const struct restrict_facts *f = s->f;
	struct err e;
	int owner;

	if (f->sasl_user != NULL)
		return V_DUNNO;
	owner = s->world->owner(s->ctx, f->sender, NULL, &e);
	if (owner < 0)
		return step_table_error(s, f->sender, &e);
	if (owner == 2)
		return V_DUNNO;
	return step_reject(s, 553, "5.7.1",
	    "<%s>: Sender address rejected: not logged in", shown(f->sender));
}

enum verdict
run_login_mismatch(struct restrict_session *s, const struct step *step)
{
	const bool auth = s->f->sasl_user != NULL;

	if (!s->f->sasl_enabled) {
		log_warning(s->f->log,
		    "restriction `%s' ignored: no SASL support", step->name);
		return V_DUNNO;
	}
	if (!s->f->has_sender || s->f->sender.n == 0)
		return V_DUNNO;
	switch (step->op->detail) {
	case MISMATCH_BOTH:
		return auth ? check_logged_in(s, false) :
			      check_not_logged_in(s);
	case MISMATCH_AUTH:
		return check_logged_in(s, false);
	case MISMATCH_KNOWN:
		return auth ? check_logged_in(s, true) :
			      check_not_logged_in(s);
	case MISMATCH_UNAUTH:
		return check_not_logged_in(s);
	}
	return V_DUNNO;
}
