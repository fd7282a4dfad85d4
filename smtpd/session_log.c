/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session_log.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "smtpd/session.h"

const char *
session_client(const struct session *s)
{
	static struct buf ring[4];
	static unsigned next;
	struct buf *out = &ring[next++ % COUNT_OF(ring)];

	if (out->max == 0)
		buf_init(out, 400);
	buf_reset(out);
	buf_strs(out, s->name != NULL ? s->name : "unknown", "[", s->addr,
	    "]", NULL);
	if (s->service->conf->smtpd_client_port_logging && s->port > 0) {
		buf_byte(out, ':');
		buf_u64(out, s->port);
	}
	return buf_cstr(out);
}

const char *
session_protocol(const struct session *s)
{
	static const char *const names[2][2][2] = {
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "LMTP", "LMTPA" }, { "LMTPS", "LMTPSA" } },
	};
	const bool lmtp = s->service->engine.lmtp;

	if (!smtp_server_extended(s->engine))
		return "SMTP";
	return names[lmtp][session_tls(s)][s->sasl_user != NULL];
}

void
session_log_what(struct session *s, const char *what, const char *command,
    struct span text, struct span rcpt)
{
	const struct log_ctx ctx = { .trace = s->log.trace };
	char from[600] = "", to[600] = "";

	if (s->tx != NULL)
		snprintf(from, sizeof(from), " from=<%s>",
		    log_quote(s->tx->env.sender, 500));
	if (rcpt.n > 0)
		snprintf(to, sizeof(to), " to=<%s>", log_quote(rcpt, 500));
	log_info(&ctx, "%s: %s: %s from %s: %s;%s%s proto=%s%s%s%s",
	    s->log.qid[0] != '\0' ? s->log.qid : "NOQUEUE", what, command,
	    session_client(s), log_quote(text, 1000), from, to,
	    session_protocol(s), s->helo != NULL ? " helo=<" : "",
	    s->helo != NULL ? log_quote(span_str(s->helo), 200) : "",
	    s->helo != NULL ? ">" : "");
}

void
session_log_reject(struct session *s, const char *what,
    const char *command, unsigned code, const char *dsn, struct span text,
    struct span rcpt)
{
	char line[1024];

	snprintf(line, sizeof(line), "%u%s%s %s", code,
	    dsn[0] != '\0' ? " " : "", dsn, log_quote(text, 900));
	session_log_what(s, what, command, span_str(line), rcpt);
}

void
session_log_bad(struct session *s, const struct smtp_event *ev)
{
	const struct smtp_reject *r = &ev->reject;
	char text[600];
	bool any;

	switch (ev->bad) {
	case SMTP_BAD_FOREIGN:
		log_warning(&s->log, "non-SMTP command from %s: %s",
		    session_client(s), log_quote(r->detail, 100));
		return;
	case SMTP_BAD_SYNC:
		log_info(&s->log, "improper command pipelining after %s from "
		    "%s", smtp_verb_name(smtp_server_last(s->engine, &any)),
		    session_client(s));
		return;
	case SMTP_BAD_CANCELLED:
		return;
	case SMTP_BAD_SYNTAX:
	case SMTP_BAD_UNKNOWN:
	case SMTP_BAD_STATE:
	case SMTP_BAD_LINE:
		/* The client's own fault, and its log's affair. */
		log_event(&s->log, "refuse", "%s: %u %s %s%s",
		    smtp_verb_name(r->verb), r->code, r->dsn, r->text,
		    log_quote(r->detail, 200));
		return;
	case SMTP_BAD_BARE:
	case SMTP_BAD_SIZE:
		break;
	}
	snprintf(text, sizeof(text), "%s%s", r->text,
	    log_quote(r->detail, 200));
	session_log_reject(s, "reject", smtp_verb_name(r->verb), r->code,
	    r->dsn, span_str(text), SPAN_EMPTY);
}

/* " NAME=OK", or " NAME=OK/TOTAL" */
static void
add_count(struct buf *line, const char *name, unsigned ok, unsigned total,
    bool both)
{
	buf_strs(line, " ", name, "=", NULL);
	buf_u64(line, ok);
	if (!both && ok == total)
		return;
	buf_byte(line, '/');
	buf_u64(line, total);
}

void
session_log_end(struct session *s)
{
	unsigned ok, total, all_ok = 0, all = 0;
	struct buf line;
	bool any;

	/* Without queue id, as fail2ban knows these lines. */
	s->log.qid[0] = '\0';
	if (s->end_note != NULL) {
		const enum smtp_verb last = smtp_server_last(s->engine, &any);
		char size[48] = "";

		if (smtp_server_in_data(s->engine))
			snprintf(size, sizeof(size), " (%llu bytes)",
			    (unsigned long long)smtp_server_data_size(
				s->engine));
		log_info(&s->log, "%s after %s%s from %s", s->end_note,
		    any ? smtp_verb_name(last) : "CONNECT", size,
		    session_client(s));
	}
	buf_init(&line, LIMIT_LOG_LINE);
	for (int v = 0; v <= SMTP_UNKNOWN; v++) {
		smtp_server_count(s->engine, (enum smtp_verb)v, &ok, &total);
		all_ok += ok;
		all += total;
		if (total == 0)
			continue;
		add_count(&line, smtp_verb_lower((enum smtp_verb)v), ok,
		    total, false);
	}
	add_count(&line, "commands", all_ok, all, all == 0);
	buf_str(&line, protocol_notes(s));
	log_info(&s->log, "disconnect from %s%s", session_client(s),
	    buf_cstr(&line));
	buf_release(&line);
}
