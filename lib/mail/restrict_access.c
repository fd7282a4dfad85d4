/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"
#include "lib/proto/address.h"

/* What access(5) tables and policy services say, and what comes of it. */

/* ---- enhanced codes ---- */

/* A code about an address is made to fit what is refused: 5.1.1 in a table
 * that is asked about senders becomes a sender's code, and nothing about
 * addresses is said of hosts. */
static void
fit_dsn(struct restrict_session *s, enum subject subject, char dsn[12])
{
	static const struct {
		const char *last, *sender, *rcpt;
	} fits[] = {
		{ "1", "1.7", "1.1" }, { "2", "1.8", "1.2" },
		{ "3", "1.7", "1.3" }, { "4", "1.7", "1.4" },
		{ "5", "1.0", "1.5" }, { "6", "1.7", "1.6" },
		{ "7", "1.7", "1.3" }, { "8", "1.8", "1.2" },
	};
	const char *fit = "0.0";
	char old[12];

	if (!span_starts(span_str(dsn + 1), SPAN(".1.")))
		return;
	snprintf(old, sizeof(old), "%s", dsn);
	if (subject == SUBJECT_SENDER || subject == SUBJECT_RCPT) {
		fit = "1.0";
		for (size_t i = 0; i < COUNT_OF(fits); i++)
			if (strcmp(old + 4, fits[i].last) == 0)
				fit = subject == SUBJECT_SENDER ?
				    fits[i].sender : fits[i].rcpt;
	}
	snprintf(dsn, 12, "%c.%s", old[0], fit);
	if (strcmp(old, dsn) != 0)
		log_info(s->f->log, "mapping DSN status %s into %s status %s",
		    old, subject_class(subject), dsn);
}

/* ---- actions ---- */

/* Actions on a message need one: before MAIL there is none, and none comes
 * of ETRN. */
static bool
has_message(struct restrict_session *s, const char *table, const char *action)
{
	if (s->stage == RESTRICT_ETRN) {
		log_warning(s->f->log, "access table %s: action %s is "
		    "unavailable in smtpd_etrn_restrictions", table, action);
		return false;
	}
	if (s->f->has_sender)
		return true;
	log_warning(s->f->log, "access table %s: with smtpd_delay_reject=no, "
	    "action %s is always skipped in Client host or Helo command "
	    "restrictions", table, action);
	return false;
}

static bool
is_header(struct span text)
{
	const size_t colon = span_chr(text, ':');

	if (colon == SIZE_MAX || colon == 0)
		return false;
	for (size_t i = 0; i < colon; i++)
		if (text.p[i] <= 32 || text.p[i] >= 127)
			return false;
	return true;
}

static enum verdict
prepend(struct restrict_session *s, const char *table, struct span text,
    struct span key)
{
	if (!has_message(s, table, "PREPEND"))
		return V_DUNNO;
	if (s->stage == RESTRICT_END)
		log_warning(s->f->log, "access table %s: action PREPEND must "
		    "be used before smtpd_end_of_data_restrictions", table);
	else if (!is_header(text))
		log_warning(s->f->log, "access table %s entry \"%s\" requires "
		    "header: text", table, shown(key));
	else
		s->world->act(s->ctx, RESTRICT_PREPEND, text);
	return V_DUNNO;
}

/* FILTER, REDIRECT, BCC: the text says where to. */
static enum verdict
send_to(struct restrict_session *s, const char *table,
    const struct access_value *v, struct span key, enum subject subject)
{
	static const struct {
		enum access_action action;
		enum restrict_act act;
		const char *word, *log, *need;
		uint8_t mark;
	} rows[] = {
		{ ACCESS_FILTER, RESTRICT_FILTER, "FILTER", "filter",
		    "transport:destination", ':' },
		{ ACCESS_REDIRECT, RESTRICT_REDIRECT, "REDIRECT", "redirect",
		    "user@domain target", '@' },
		{ ACCESS_BCC, RESTRICT_BCC, "BCC", "bcc",
		    "user@domain target", '@' },
	};
	size_t i = 0;

	while (rows[i].action != v->action)
		i++;
	if (!has_message(s, table, rows[i].word))
		return V_DUNNO;
	if (span_chr(v->text, rows[i].mark) == SIZE_MAX) {
		log_warning(s->f->log, "access table %s entry \"%s\" requires "
		    "%s", table, shown(key), rows[i].need);
		return V_DUNNO;
	}
	step_log(s, rows[i].log, "<%s>: %s triggers %s %s",
	    shown(subject_name(s, subject)), subject_class(subject),
	    rows[i].word, shown(v->text));
	s->world->act(s->ctx, rows[i].act, v->text);
	return V_DUNNO;
}

static enum verdict
hold_or_discard(struct restrict_session *s, const char *table,
    const struct access_value *v, enum subject subject)
{
	const bool hold = v->action == ACCESS_HOLD;
	const char *word = hold ? "HOLD" : "DISCARD";

	if (!has_message(s, table, word))
		return V_DUNNO;
	if (v->text.n > 0)
		step_log(s, hold ? "hold" : "discard", "<%s>: %s %s",
		    shown(subject_name(s, subject)), subject_class(subject),
		    shown(v->text));
	else
		step_log(s, hold ? "hold" : "discard",
		    "<%s>: %s triggers %s action",
		    shown(subject_name(s, subject)), subject_class(subject),
		    word);
	s->world->act(s->ctx, hold ? RESTRICT_HOLD : RESTRICT_DISCARD,
	    v->text);
	if (hold)
		return V_DUNNO;
	s->discard = true;
	return step_permit(s, "DISCARD", subject, table);
}

static enum verdict
refuse(struct restrict_session *s, const struct access_value *v,
    enum subject subject)
{
	const struct restrict_conf *c = s->set->conf;
	const struct span name = subject_name(s, subject);
	const char *class = subject_class(subject);
	const unsigned defer_code = (unsigned)c->access_map_defer_code;
	struct span text, why;
	char dsn[12];

	access_split_dsn(v->text,
	    v->action == ACCESS_REJECT ||
		    (v->action == ACCESS_CODE && v->code >= 500) ? "5.7.1" :
								   "4.7.1",
	    dsn, &text);
	fit_dsn(s, subject, dsn);
	why = text.n > 0 ? text : SPAN("Access denied");
	if (v->action == ACCESS_DEFER_IF_PERMIT ||
	    v->action == ACCESS_DEFER_IF_REJECT) {
		why = text.n > 0 ? text : SPAN("Service unavailable");
		if (v->action == ACCESS_DEFER_IF_PERMIT)
			return step_defer_if_permit(s,
			    RESTRICT_TF_DEFER_IF_PERMIT, defer_code, dsn,
			    "<%s>: %s rejected: %s", shown(name), class,
			    shown(why));
		step_defer_if_reject(s, defer_code, dsn,
		    "<%s>: %s rejected: %s", shown(name), class, shown(why));
		return V_DUNNO;
	}
	return step_reject(s, v->action == ACCESS_CODE ? v->code :
		v->action == ACCESS_REJECT ?
		(unsigned)c->access_map_reject_code : defer_code, dsn,
	    "<%s>: %s rejected: %s", shown(name), class, shown(why));
}

/* The value is a list of restrictions. */
static enum verdict
call_list(struct restrict_session *s, const char *table, struct span value,
    enum subject subject)
{
	/* It is compiled where it is found: one that has changed counts at
	 * once. What it opens would have to wait, so nothing may. */
	struct restrict_list *list = MEM_NEW(list);
	enum verdict v;
	struct err e;

	if (restrict_parse(s->set, value, 0, list, &e) != 0) {
		log_warning(s->f->log, "access table %s has entry \"%s\": %s",
		    table, shown(value), e.text);
		mem_free(list);
		return step_config_error(s);
	}
	if (list->count == 0) {
		log_warning(s->f->log, "access table %s has an empty value",
		    table);
		mem_free(list);
		return V_OK;
	}
	v = step_call(s, list, list);
	if (v == V_CALLED)
		s->frames[s->frame_count - 1].subject = subject;
	return v;
}

enum verdict
access_apply(struct restrict_session *s, const char *table, struct span value,
    struct span key, enum subject subject)
{
	struct access_value v;
	char word[40];

	access_value_parse(value, &v);
	switch (v.action) {
	case ACCESS_DUNNO:
		return V_DUNNO;
	case ACCESS_OK:
		snprintf(word, sizeof(word), "%.*s",
		    (int)(v.word.n < 30 ? v.word.n : 30),
		    (const char *)v.word.p);
		return step_permit(s, word, subject, table);
	case ACCESS_REJECT:
	case ACCESS_DEFER:
	case ACCESS_DEFER_IF_PERMIT:
	case ACCESS_DEFER_IF_REJECT:
	case ACCESS_CODE:
		return refuse(s, &v, subject);
	case ACCESS_INFO:
	case ACCESS_WARN:
		step_log(s, v.action == ACCESS_INFO ? "info" : "warn", "%s",
		    shown(v.text));
		return V_DUNNO;
	case ACCESS_FILTER:
	case ACCESS_REDIRECT:
	case ACCESS_BCC:
		return send_to(s, table, &v, key, subject);
	case ACCESS_HOLD:
	case ACCESS_DISCARD:
		return hold_or_discard(s, table, &v, subject);
	case ACCESS_PREPEND:
		return prepend(s, table, v.text, key);
	case ACCESS_LIST:
		return call_list(s, table, value, subject);
	}
	return V_DUNNO;
}

/* ---- looking up ---- */

enum verdict
access_forbid_ok(struct restrict_session *s, const struct step *step,
    enum verdict v)
{
	struct frame *f;

	if (v == V_CALLED) {
		f = &s->frames[s->frame_count - 1];
		f->forbid_ok = true;
		f->forbid_name = step->name;
	}
	if (v != V_OK || s->discard)
		return v;
	log_warning(s->f->log, "restriction %s returns OK, which is not "
	    "allowed for security reasons; use DUNNO to make an exception",
	    step->name);
	return step_config_error(s);
}

/* A table that fails is an entry of its own. */
static enum verdict
apply_result(struct restrict_session *s, struct map *m, enum map_result r,
    struct span value, struct span key, enum subject subject,
    const struct err *e, bool *out_found)
{
	*out_found = r != MAP_ABSENT;
	switch (r) {
	case MAP_FOUND:
		log_event(s->f->log, "access", "%s: %s: %s",
		    map_where(m), shown(key), shown(value));
		return access_apply(s, map_name(m), value, key, subject);
	case MAP_ABSENT:
		return V_DUNNO;
	case MAP_FAILED:
		log_warning(s->f->log, "%s", e->text);
		return access_apply(s, map_name(m),
		    SPAN("451 4.3.5 Server configuration error"), key,
		    subject);
	}
	return V_DUNNO;
}

enum verdict
access_check(struct restrict_session *s, const struct step *step,
    enum access_kind kind, struct span key, bool *out_found)
{
	struct map *m = step->arg.table;
	enum map_result r = MAP_ABSENT;
	enum verdict v;
	struct buf value;
	struct err e;

	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (kind) {
	case KEY_PLAIN:
		r = access_get(m, key, &value, &e);
		break;
	case KEY_DOMAIN:
		r = access_get_domain(m, key, s->set->parents, &value, &e);
		break;
	case KEY_IP:
		r = access_get_ip(m, key, &value, &e);
		break;
	}
	v = apply_result(s, m, r, span_trim(buf_span(&value)), key,
	    step->op == &op_bare ? phase_subject(s) : step->op->subject, &e,
	    out_found);
	buf_release(&value);
	return v;
}

static enum verdict
check_host(struct restrict_session *s, const struct step *step,
    const char *name)
{
	bool found;
	enum verdict v =
	    access_check(s, step, KEY_DOMAIN, span_str(name), &found);

	return found ? v :
	    access_check(s, step, KEY_IP, span_str(s->f->addr), &found);
}

/* What stands before the domain of a recipient may name another host: OK
 * for such an address is no more than DUNNO. */
static enum verdict
distrust(struct restrict_session *s, enum verdict v)
{
	if (v == V_CALLED)
		s->frames[s->frame_count - 1].suspicious = true;
	return v == V_OK && !s->discard ? V_DUNNO : v;
}

static bool
routes_on(const struct restrict_session *s, struct span address)
{
	const struct span local = address_local_of(address);

	return !s->set->common->allow_untrusted_routing &&
	    (span_chr(local, '%') != SIZE_MAX ||
		span_chr(local, '!') != SIZE_MAX ||
		span_chr(local, '@') != SIZE_MAX);
}

struct mail_check {
	struct restrict_session *s;
	const struct step *step;
	enum subject subject;
	enum verdict v;
};

static void
check_routed(void *arg, const struct route_result *r)
{
	struct mail_check *c = arg;
	struct restrict_session *s = c->s;
	struct map *m = c->step->arg.table;
	enum map_result result;
	struct buf value;
	struct err e;
	bool found;

	buf_init(&value, LIMIT_TABLE_VALUE);
	result = access_get_mail(m, r->address,
	    s->set->common->recipient_delimiter, s->set->parents, &value,
	    &e);
	c->v = apply_result(s, m, result, span_trim(buf_span(&value)),
	    r->address, c->subject, &e, &found);
	buf_release(&value);
	if (c->subject == SUBJECT_RCPT && routes_on(s, r->address))
		c->v = distrust(s, c->v);
}

/* Routing without users never waits. */
static enum verdict
check_mail(struct restrict_session *s, const struct step *step,
    enum subject subject)
{
	struct mail_check c = { s, step, subject, V_DUNNO };

	if (subject == SUBJECT_RCPT && s->f->route != NULL)
		check_routed(&c, s->f->route);
	else
		s->world->route(s->ctx, subject_name(s, subject), 0,
		    check_routed, &c);
	return c.v;
}

/* By fingerprints: the certificate's, then its key's. */
static enum verdict
check_cert(struct restrict_session *s, const struct step *step)
{
	const char *const prints[] = { s->f->cert_print, s->f->key_print };
	enum verdict v = V_DUNNO;
	bool found = false;

	for (size_t i = 0; i < COUNT_OF(prints) && v == V_DUNNO; i++)
		if (prints[i] != NULL && prints[i][0] != '\0')
			v = access_check(s, step, KEY_PLAIN,
			    span_str(prints[i]), &found);
	return v;
}

enum verdict
run_access(struct restrict_session *s, const struct step *step)
{
	const enum subject subject =
	    step->op == &op_bare ? phase_subject(s) : step->op->subject;
	const struct restrict_facts *f = s->f;
	bool found;

	switch (subject) {
	case SUBJECT_CLIENT:
		return check_host(s, step, f->name);
	case SUBJECT_REVERSE:
		return access_forbid_ok(s, step,
		    check_host(s, step, f->reverse_name));
	case SUBJECT_HELO:
		return f->helo == NULL ? V_DUNNO :
		    access_check(s, step, KEY_DOMAIN, span_str(f->helo),
			&found);
	case SUBJECT_SENDER:
		if (!f->has_sender)
			return V_DUNNO;
		return f->sender.n > 0 ? check_mail(s, step, subject) :
		    access_check(s, step, KEY_PLAIN, span_str(
			s->set->conf->smtpd_null_access_lookup_key), &found);
	case SUBJECT_RCPT:
		return f->has_rcpt ? check_mail(s, step, subject) : V_DUNNO;
	case SUBJECT_ETRN:
		return f->etrn == NULL ? V_DUNNO :
		    access_check(s, step, KEY_DOMAIN, span_str(f->etrn),
			&found);
	case SUBJECT_SASL:
		if (!f->sasl_enabled)
			log_warning(f->log, "restriction `%s' ignored: no "
			    "SASL support", step->name);
		return !f->sasl_enabled || f->sasl_user == NULL ||
			f->sasl_user[0] == '\0' ? V_DUNNO :
		    access_check(s, step, KEY_PLAIN, span_str(f->sasl_user),
			&found);
	case SUBJECT_CCERT:
		return check_cert(s, step);
	case SUBJECT_DATA:
	case SUBJECT_END:
		/* A bare table in a class that such a list names. */
		log_warning(f->log, "specify one of (check_client_access, "
		    "check_helo_access, check_sender_access, "
		    "check_recipient_access) before %s restriction \"%s\"",
		    subject_class(subject), step->name);
		return step_config_error(s);
	}
	return V_DUNNO;
}
