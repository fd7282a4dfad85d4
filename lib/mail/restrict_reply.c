/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"

/* What is said of whom: refusals, deferrals, permissions and their lines. */

/* ---- subjects ---- */

const char *
subject_class(enum subject subject)
{
	switch (subject) {
	case SUBJECT_CLIENT:
		return "Client host";
	case SUBJECT_REVERSE:
		return "Unverified Client host";
	case SUBJECT_HELO:
		return "Helo command";
	case SUBJECT_SENDER:
		return "Sender address";
	case SUBJECT_RCPT:
		return "Recipient address";
	case SUBJECT_ETRN:
		return "Etrn command";
	case SUBJECT_SASL:
		return "SASL login name";
	case SUBJECT_CCERT:
		return "Client certificate";
	case SUBJECT_DATA:
		return "Data command";
	case SUBJECT_END:
		return "End-of-data";
	}
	return "";
}

const char *
shown(struct span value)
{
	return log_quote(value, 500);
}

struct span
subject_name(const struct restrict_session *s, enum subject subject)
{
	static char client[DNS_NAME_MAX + SOCK_ADDR_TEXT + 8];
	const struct restrict_facts *f = s->f;

	switch (subject) {
	case SUBJECT_CLIENT:
		snprintf(client, sizeof(client), "%.*s[%s]",
		    DNS_NAME_MAX - 1, f->name, f->addr);
		return span_str(client);
	case SUBJECT_REVERSE:
		return span_str(f->reverse_name);
	case SUBJECT_HELO:
		return span_str(f->helo);
	case SUBJECT_SENDER:
		return f->sender;
	case SUBJECT_RCPT:
		return f->rcpt;
	case SUBJECT_ETRN:
		return span_str(f->etrn);
	case SUBJECT_SASL:
		return span_str(f->sasl_user);
	case SUBJECT_CCERT:
		return span_str(f->cert_subject);
	case SUBJECT_DATA:
		return SPAN("DATA");
	case SUBJECT_END:
		return SPAN("END-OF-MESSAGE");
	}
	return SPAN_EMPTY;
}

/* ---- refusing ---- */

void
step_log(struct restrict_session *s, const char *what, const char *fmt, ...)
{
	struct buf line;
	va_list ap;

	buf_init(&line, TEXT_MAX);
	va_start(ap, fmt);
	buf_vfmt(&line, fmt, ap);
	va_end(ap);
	s->world->log(s->ctx, what, buf_span(&line));
	buf_release(&line);
}

static bool
good_dsn(const char *dsn)
{
	char parsed[12];
	struct span rest;

	access_split_dsn(span_str(dsn), "", parsed, &rest);
	return parsed[0] != '\0' && rest.n == 0;
}

static void
set_verdict(struct restrict_session *s, unsigned code, const char *dsn)
{
	if (code < 400 || code > 599 || !good_dsn(dsn)) {
		log_warning(s->f->log, "SMTP reply code configuration error: "
		    "%u %s %s", code, dsn, buf_cstr(&s->text));
		code = 450;
		dsn = "4.7.1";
		buf_reset(&s->text);
		buf_str(&s->text, "Service unavailable");
	}
	s->verdict.code = code;
	/* The code counts; the enhanced one has to fit it. */
	snprintf(s->verdict.dsn, sizeof(s->verdict.dsn), "%u%s", code / 100,
	    dsn + 1);
	s->verdict.text = buf_span(&s->text);
}

static enum verdict __attribute__((format(printf, 5, 0)))
reject(struct restrict_session *s, bool hard, unsigned code, const char *dsn,
    const char *fmt, va_list ap)
{
	const bool warn = s->warn_if_reject != 0 && !hard;

	buf_reset(&s->text);
	buf_vfmt(&s->text, fmt, ap);
	set_verdict(s, code, dsn);
	if (!warn && s->if_reject.active && s->verdict.code >= 500) {
		const struct deferral *d = &s->if_reject;

		s->warn_if_reject = 0;
		buf_reset(&s->text);
		buf_str(&s->text, d->text);
		set_verdict(s, d->code, d->dsn);
		s->if_reject.active = false;
	}
	step_log(s, warn ? "reject_warning" : "reject", "%u %s %s",
	    s->verdict.code, s->verdict.dsn, buf_cstr(&s->text));
	return warn ? V_DUNNO : V_REJECT;
}

enum verdict
step_reject(struct restrict_session *s, unsigned code, const char *dsn,
    const char *fmt, ...)
{
	enum verdict v;
	va_list ap;

	va_start(ap, fmt);
	v = reject(s, false, code, dsn, fmt, ap);
	va_end(ap);
	return v;
}

enum verdict
step_reject_hard(struct restrict_session *s, unsigned code, const char *dsn,
    const char *fmt, ...)
{
	enum verdict v;
	va_list ap;

	va_start(ap, fmt);
	v = reject(s, true, code, dsn, fmt, ap);
	va_end(ap);
	return v;
}

enum verdict
step_config_error(struct restrict_session *s)
{
	return step_reject_hard(s, 451, "4.3.5", "Server configuration error");
}

enum verdict
step_table_error(struct restrict_session *s, struct span key,
    const struct err *e)
{
	log_warning(s->f->log, "%s", e->text);
	return step_reject_hard(s, 451, "4.3.0",
	    "<%s>: Temporary lookup failure", shown(key));
}

static void __attribute__((format(printf, 4, 0)))
set_deferral(struct deferral *d, unsigned code, const char *dsn,
    const char *fmt, va_list ap)
{
	struct buf text;

	/* The first reason stays, so that there is one story. */
	if (d->active)
		return;
	d->active = true;
	d->code = code;
	snprintf(d->dsn, sizeof(d->dsn), "%s", dsn);
	buf_init(&text, TEXT_MAX);
	buf_vfmt(&text, fmt, ap);
	mem_free(d->text);
	d->text = mem_strdup(buf_cstr(&text));
	buf_release(&text);
}

enum verdict
step_defer_if_permit(struct restrict_session *s, int act, unsigned code,
    const char *dsn, const char *fmt, ...)
{
	enum verdict v = V_DUNNO;
	va_list ap;

	va_start(ap, fmt);
	if (s->warn_if_reject == 0 && act == RESTRICT_TF_DEFER_IF_PERMIT)
		set_deferral(&s->if_permit, code, dsn, fmt, ap);
	else
		v = reject(s, false, code, dsn, fmt, ap);
	va_end(ap);
	return v;
}

void
step_defer_if_reject(struct restrict_session *s, unsigned code,
    const char *dsn, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_deferral(&s->if_reject, code, dsn, fmt, ap);
	va_end(ap);
}

/* Is the action in smtpd_log_access_permit_actions? */
static bool
logs_permit(const struct restrict_session *s, struct span action)
{
	struct span rest =
	    span_str(s->set->conf->smtpd_log_access_permit_actions);
	struct span word;

	while (span_token(&rest, ", \t\r\n", &word)) {
		const bool not = word.p[0] == '!';

		if (not)
			word = span_skip(word, 1);
		if (span_ieq(word, action) || span_ieq(word, SPAN("static:all")))
			return !not;
	}
	return false;
}

enum verdict
step_permit(struct restrict_session *s, const char *action,
    enum subject subject, const char *from)
{
	if (s->set->conf->smtpd_log_access_permit_actions[0] != '\0' &&
	    !s->if_permit.active && logs_permit(s, span_str(action)))
		step_log(s, "permit", "action=%s for %s=%s%s%s", action,
		    subject_class(subject), shown(subject_name(s, subject)),
		    from != NULL ? " from " : "", from != NULL ? from : "");
	return V_OK;
}
