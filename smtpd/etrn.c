/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "smtpd/session.h"

/*
 * ETRN (RFC 1985): the mail for a domain of fast_flush_domains is tried at
 * once. The queue manager does it.
 */

enum { FLUSH_MS = 30000 };

static void
flushed(void *arg, struct msg_in *in, const struct err *e)
{
	struct session *s = arg;

	(void)in;
	if (e == NULL) {
		session_answer(s, 250, "", "Queuing started");
		return;
	}
	log_warning(&s->log, "ETRN from %s: %s", session_client(s), e->text);
	session_answer(s, 458, "", "Unable to queue messages");
}

static void
etrn(struct session *s)
{
	const struct span domain = stage_cmd(s)->arg;
	struct err e;
	struct msg_out m;

	switch (match_list_domain_tree(
	    s->service->protocol->flush_domains, domain, &e)) {
	case 1:
		break;
	case 0:
		log_warning(&s->log, "reject: ETRN %s... from %s",
		    log_quote(domain, 100), session_client(s));
		session_answer(s, 459, "", "<%s>: service unavailable",
		    log_quote(domain, 255));
		return;
	default:
		log_warning(&s->log, "fast_flush_domains: %s", e.text);
		session_answer(s, 458, "", "Unable to queue messages");
		return;
	}
	if (s->service->flush == NULL)
		s->service->flush = daemon_connect(s->service->daemon, "qmgr");
	msg_begin(&m, MSG_QUEUE_FLUSH, 0, s->trace);
	msg_put(&m, F_DOMAIN, domain);
	client_call(s->service->flush, &m, FLUSH_MS, flushed, s);
	msg_out_release(&m);
}

void
etrn_event(struct session *s, const struct smtp_event *ev)
{
	stage_begin(s, STAGE_ETRN, ev->cmd, etrn);
}

void
etrn_forget(struct session *s)
{
	if (s->service->flush != NULL)
		client_cancel(s->service->flush, s);
}
