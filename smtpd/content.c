/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/content.h"

/*
 * Tables and the message: canonical maps for the envelope, copies for others
 * (BCC), and what header and body checks say, noted in the transaction and
 * done at its end. receive_override_options switches parts of it off, for the
 * smtpd behind a content filter.
 */

static bool
override(const struct session *s, const char *word)
{
	return conf_list_has(s->service->conf->receive_override_options, word);
}

static bool
mapping(const struct session *s)
{
	return !override(s, "no_address_mappings");
}

unsigned
content_route_flags(const struct session *s)
{
	unsigned flags = 0;

	if (!override(s, "no_unknown_recipient_checks"))
		flags |= ROUTER_CHECK_USER;
	if (!mapping(s))
		flags |= ROUTER_NO_ALIASES;
	return flags;
}

/* ---- the envelope ---- */

int
content_envelope(struct session *s, enum rewrite_class class,
    struct span address, struct span *out, struct err *e)
{
	struct content_rules *rules = s->service->content;
	struct buf text;
	int rc;

	*out = address;
	if (!mapping(s) || !rewrite_wanted(rules->rewrite, class))
		return 0;
	buf_init(&text, LIMIT_ADDRESS * 2);
	rc = rewrite_address(rules->rewrite, class, address, &text, e);
	if (rc > 0)
		*out = arena_dup(&s->tx->arena, buf_span(&text));
	buf_release(&text);
	return rc;
}

int
content_copies(struct session *s, bool sender, struct span address,
    struct err *e)
{
	struct buf copy;
	int rc;

	if (!mapping(s))
		return 0;
	buf_init(&copy, LIMIT_TABLE_VALUE);
	rc = content_bcc(s->service->content, sender, address, &copy, e);
	if (rc > 0)
		check_actions_add(&s->tx->act, buf_span(&copy));
	buf_release(&copy);
	return rc < 0 ? -1 : 0;
}

/* ---- the message ---- */

/* "from N[A]; from=<s> to=<r> proto=ESMTP helo=<h>". */
static void
where_from(const struct session *s, struct buf *out)
{
	const struct transaction *tx = s->tx;

	buf_fmt(out, "from %s; from=<%s>", session_client(s),
	    log_quote(tx->env.sender, 500));
	if (tx->first_rcpt.n > 0)
		buf_fmt(out, " to=<%s>", log_quote(tx->first_rcpt, 500));
	buf_fmt(out, " proto=%s", session_protocol(s));
	if (s->helo != NULL)
		buf_fmt(out, " helo=<%s>", log_quote(span_str(s->helo), 200));
}

static void
note_reject(struct transaction *tx, const struct check_hit *hit)
{
	struct verdict *v = &tx->verdict;

	v->code = 550;
	snprintf(v->dsn, sizeof(v->dsn), "%s", hit->dsn);
	snprintf(v->text, sizeof(v->text), "%s", check_reject_text(hit));
}

void
content_hit(struct session *s, const char *whose, const struct check_hit *hit)
{
	struct transaction *tx = s->tx;
	struct buf where;

	buf_init(&where, LIMIT_LOG_LINE);
	where_from(s, &where);
	if (check_actions_note(&tx->act, hit, &s->log, whose,
	    buf_cstr(&where)))
		note_reject(tx, hit);
	buf_release(&where);
}

static void
on_hit(void *arg, const struct check_hit *hit)
{
	content_hit(arg, "", hit);
}

static void
to_message(void *arg, struct span bytes)
{
	struct session *s = arg;

	message_out(s->tx, bytes);
}

/* Whose bare names in headers are users of ours? */
static bool
is_local_client(const struct session *s)
{
	const char *list = s->service->common->local_header_rewrite_clients;

	return s->local ||
	    (conf_list_has(list, "permit_inet_interfaces") &&
		router_owns_address(s->service->router, s->addr,
		    NULL) > 0) ||
	    (conf_list_has(list, "permit_mynetworks") && s->trusted) ||
	    (conf_list_has(list, "permit_sasl_authenticated") &&
		s->sasl_user != NULL);
}

void
content_begin(struct session *s)
{
	const struct common_conf *common = s->service->common;
	struct transaction *tx = s->tx;
	const struct content_conf conf = {
		.checks = !override(s, "no_header_body_checks"),
		.mapping = mapping(s),
		.how = { .local = is_local_client(s),
		    .domain = common->remote_header_rewrite_domain },
		.hit = on_hit,
	};

	tx->fixup_conf.drop = common->message_drop_headers;
	tx->fixup_conf.undisclosed = common->undisclosed_recipients_header;
	tx->content = content_new(s->service->content, &conf, to_message, s);
	if (tx->content == NULL)
		return;
	tx->fixup_conf.field = content_field;
	tx->fixup_conf.body = content_body;
	tx->fixup_conf.hook_arg = tx->content;
}

bool
content_refuses(struct session *s)
{
	struct transaction *tx = s->tx;
	const struct err *fault = NULL;

	if (tx->content != NULL) {
		content_end(tx->content);
		fault = content_fault(tx->content);
	}
	if (tx->verdict.code != 0) {
		message_refuse(s, tx->verdict.code, tx->verdict.dsn,
		    span_str(tx->verdict.text));
		return true;
	}
	if (fault != NULL) {
		log_warning(&s->log, "%s", fault->text);
		message_refuse(s, 451, "4.3.0",
		    SPAN("Error: queue file write error"));
		return true;
	}
	if (s->service->common->always_bcc[0] != '\0' && mapping(s))
		check_actions_add(&tx->act,
		    span_str(s->service->common->always_bcc));
	return false;
}
