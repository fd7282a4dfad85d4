/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtp/fault.h"

#include <string.h>

static const char *
during(enum smtp_stage stage)
{
	switch (stage) {
	case SMTP_STAGE_GREETING:
		return "receiving the initial server greeting";
	case SMTP_STAGE_HELLO:
		return "performing the HELO handshake";
	case SMTP_STAGE_STARTTLS:
	case SMTP_STAGE_TLS:
		return "performing the TLS handshake";
	case SMTP_STAGE_AUTH:
		return "performing the AUTH handshake";
	case SMTP_STAGE_XFORWARD:
		return "sending XFORWARD";
	case SMTP_STAGE_MAIL:
		return "sending MAIL FROM";
	case SMTP_STAGE_RCPT:
		return "sending RCPT TO";
	case SMTP_STAGE_DATA:
		return "sending DATA command";
	case SMTP_STAGE_BODY:
		return "sending message body";
	case SMTP_STAGE_DATA_END:
		return "sending end of data -- message may be sent more than "
		       "once";
	case SMTP_STAGE_IDLE:
	case SMTP_STAGE_RSET:
	case SMTP_STAGE_QUIT:
	case SMTP_STAGE_CLOSED:
		break;
	}
	return "being idle";
}

void
fault_lost(const struct target *t, enum smtp_stage stage, const char *how,
    struct err *out_why)
{
	err_set(out_why, ERR_TEMP, "4.4.2", "%s %s while %s", how, t->peer,
	    during(stage));
}

/* We end it: the host broke the protocol, or lacks what it must have. */
static enum fault
by_own_verdict(const struct target *t, const struct smtp_reply *r,
    const char *dsn, struct err *out_why)
{
	const bool no_tls = strcmp(r->dsn, "4.7.4") == 0;

	if (no_tls)
		err_set(out_why, ERR_TEMP, dsn, "%.*s by host %s",
		    SPAN_FMT(r->text), t->peer);
	else
		err_set(out_why, ERR_TEMP, dsn, "%s: %.*s", t->peer,
		    SPAN_FMT(r->text));
	return no_tls ? FAULT_NO_TLS : FAULT_REPLY;
}

enum fault
fault_by_reply(const struct target *t, const struct smtp_client_event *ev,
    struct err *out_why)
{
	const struct smtp_reply *r = &ev->reply;
	const bool greeting = ev->stage == SMTP_STAGE_GREETING;
	const bool early = greeting || ev->stage == SMTP_STAGE_HELLO;
	const bool starttls = ev->stage == SMTP_STAGE_STARTTLS;
	/* A 5xx greeting is a host that is not there today. */
	const bool perm = r->code >= 500 && !greeting && !starttls &&
	    ev->stage != SMTP_STAGE_AUTH;
	char dsn[sizeof(r->dsn)] = "4.5.0";

	if (r->dsn[0] != '\0')
		memcpy(dsn, r->dsn, sizeof(dsn));
	dsn[0] = perm ? '5' : '4';
	if (r->code == 0)
		return by_own_verdict(t, r, dsn, out_why);
	if (early)
		err_set(out_why, perm ? ERR_PERM : ERR_TEMP, dsn,
		    "host %s refused to talk to me: %.*s", t->peer,
		    SPAN_FMT(r->text));
	else
		err_set(out_why, perm ? ERR_PERM : ERR_TEMP, dsn,
		    "host %s said: %.*s (in reply to %s)", t->peer,
		    SPAN_FMT(r->text), smtp_stage_text(ev->stage));
	return starttls && r->code >= 500 ? FAULT_NO_TLS : FAULT_REPLY;
}
