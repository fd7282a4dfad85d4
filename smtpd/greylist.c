/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/greylist.h"

#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "smtpd/session.h"

/* The gate of lib/mail/greylist.h: asked after the restriction lists, of
 * strangers' mail for recipients that would be taken. */

static bool
listed(struct session *s, int r, const struct err *e)
{
	if (r < 0)
		log_warning(&s->log, "smtpd_greylist_exceptions: %s", e->text);
	return r > 0;
}

/* By the client's address or name, the recipient or its domain. */
static bool
is_exempt(struct session *s)
{
	struct match_list *list = s->service->greylist_exceptions;
	const struct span rcpt = s->tx->route->address;
	const size_t at = span_rchr(rcpt, '@');
	struct err e = { 0 };

	return listed(s, match_list_address(list, s->addr, &e), &e) ||
	    (s->name != NULL && listed(s, match_list_domain_tree(list,
		span_str(s->name), &e), &e)) ||
	    listed(s, match_list_domain(list, rcpt, &e), &e) ||
	    (at != SIZE_MAX && listed(s, match_list_domain(list,
		span_skip(rcpt, at + 1), &e), &e));
}

static bool
concerns(struct session *s, enum stage stage)
{
	const struct route_result *r = s->tx != NULL ? s->tx->route : NULL;

	return stage == STAGE_RCPT && s->service->conf->smtpd_greylist &&
	    s->inet && !s->trusted && s->sasl_user == NULL && r != NULL &&
	    r->code == 0 && r->ours && !is_exempt(s);
}

static enum grey_answer
ask_table(struct session *s, int64_t *out_s)
{
	const struct smtpd_conf *c = s->service->conf;
	const struct greylist conf = {
		.delay_s = c->smtpd_greylist_delay / 1000,
		.retry_s = c->smtpd_greylist_retry_window / 1000,
		.lifetime_s = c->smtpd_greylist_lifetime / 1000,
		.auto_allow = (uint32_t)c->smtpd_greylist_auto_allow,
	};
	char net[SOCK_ADDR_TEXT];
	struct grey_mail mail = { .sender = s->tx->env.sender,
		.rcpt = s->tx->route->address };

	limits_network(s->addr,
	    (unsigned)c->smtpd_greylist_ipv4_prefix_length,
	    (unsigned)c->smtpd_greylist_ipv6_prefix_length, net);
	mail.client = span_str(net);
	return greylist_ask(s->service->shared, &conf, &mail,
	    clock_wall_us() / 1000000, out_s);
}

static void
ask(struct session *s, enum stage stage)
{
	int64_t seconds;

	if (!concerns(s, stage)) {
		stage_pass(s);
		return;
	}
	if (ask_table(s, &seconds) == GREY_WAIT) {
		log_event(&s->log, "greylist", "%lld seconds to wait",
		    (long long)seconds);
		stage_reject(s, 450, "4.2.0",
		    "<%s>: Recipient address rejected: %s",
		    log_quote(s->tx->rcpt, 500),
		    s->service->conf->smtpd_greylist_text);
		return;
	}
	if (seconds > 0)
		log_event(&s->log, "greylist", "delayed %lld seconds",
		    (long long)seconds);
	stage_pass(s);
}

const struct gate greylist_gate = { .name = "greylist", .ask = ask };
