/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/protocol.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "smtpd/session.h"

enum { FOOTER_MAX = 4096 };

/* ---- keywords ---- */

/* The bits that a list of keywords names; false for an unknown word. */
static bool
keywords(struct span list, unsigned *out, struct span *out_bad)
{
	static const struct {
		const char *word;
		unsigned cap;
	} known[] = { { "8bitmime", SMTP_CAP_8BITMIME },
		{ "auth", SMTP_CAP_AUTH },
		{ "binarymime", SMTP_CAP_BINARYMIME },
		{ "chunking", SMTP_CAP_CHUNKING }, { "dsn", SMTP_CAP_DSN },
		{ "enhancedstatuscodes", SMTP_CAP_ENHANCEDSTATUSCODES },
		{ "etrn", SMTP_CAP_ETRN },
		{ "futurerelease", SMTP_CAP_FUTURERELEASE },
		{ "limits", SMTP_CAP_LIMITS },
		{ "pipelining", SMTP_CAP_PIPELINING },
		{ "requiretls", SMTP_CAP_REQUIRETLS },
		{ "size", SMTP_CAP_SIZE }, { "smtputf8", SMTP_CAP_SMTPUTF8 },
		{ "starttls", SMTP_CAP_STARTTLS }, { "vrfy", SMTP_CAP_VRFY },
		{ "xclient", SMTP_CAP_XCLIENT },
		{ "xforward", SMTP_CAP_XFORWARD }, { "xverp", 0 },
		{ "silent-discard", 0 } };
	struct span word;

	*out = 0;
	while (span_token(&list, ", \t\r\n", &word)) {
		size_t i = 0;

		while (i < COUNT_OF(known) &&
		    !span_ieq(word, span_str(known[i].word)))
			i++;
		*out_bad = word;
		if (i == COUNT_OF(known))
			return false;
		*out |= known[i].cap;
	}
	return true;
}

static unsigned
discarded(struct session *s)
{
	struct protocol *p = s->service->protocol;
	unsigned bits = p->discard;
	struct span bad;
	struct buf value;
	struct err e;

	if (maps_empty(p->discard_maps))
		return bits;
	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (maps_get(p->discard_maps, span_str(s->addr), &value, &e)) {
	case MAP_FOUND:
		if (!keywords(buf_span(&value), &bits, &bad))
			log_warning(&s->log, "%s: unknown EHLO keyword \"%s\"",
			    maps_where(p->discard_maps), log_quote(bad, 60));
		break;
	case MAP_ABSENT:
		break;
	case MAP_FAILED:
		log_warning(&s->log,
		    "smtpd_discard_ehlo_keyword_address_maps: %s", e.text);
		break;
	}
	buf_release(&value);
	return bits;
}

/* The latest moment that HOLDUNTIL may name, for the reply to EHLO. */
static void
set_until(struct session *s)
{
	struct protocol *p = s->service->protocol;
	const int64_t until_s = clock_wall_us() / 1000000 +
	    s->service->engine.future_s;
	struct date d;

	smtp_server_future_until(s->engine, p->until);
	if (until_s == p->until_s)
		return;
	p->until_s = until_s;
	date_from_time(until_s, 0, &d);
	snprintf(p->until, sizeof(p->until),
	    "%04d-%02d-%02dT%02d:%02d:%02dZ", d.year, d.month, d.day, d.hour,
	    d.minute, d.second);
}

static bool
on_list(struct session *s, struct match_list *list, const char *name)
{
	struct err e;
	int found = 0;

	if (s->name != NULL)
		found = match_list_domain(list, span_str(s->name), &e);
	if (found == 0)
		found = match_list_address(list, s->addr, &e);
	if (found < 0)
		log_warning(&s->log, "%s: %s", name, e.text);
	return found > 0;
}

unsigned
protocol_caps(struct session *s, unsigned caps)
{
	const struct smtpd_conf *c = s->service->conf;
	struct protocol *p = s->service->protocol;

	caps |= SMTP_CAP_PIPELINING | SMTP_CAP_SIZE | SMTP_CAP_8BITMIME |
	    SMTP_CAP_ENHANCEDSTATUSCODES | SMTP_CAP_DSN | SMTP_CAP_CHUNKING |
	    SMTP_CAP_BINARYMIME | SMTP_CAP_LIMITS;
	if (!c->smtpd_lmtp)
		caps |= SMTP_CAP_ETRN;
	if (c->smtputf8_enable)
		caps |= SMTP_CAP_SMTPUTF8;
	if (c->requiretls_enable && session_tls(s))
		caps |= SMTP_CAP_REQUIRETLS;
	if (s->service->engine.future_s > 0 &&
	    (s->trusted || s->sasl_user != NULL || c->smtpd_sasl_auth_enable)) {
		caps |= SMTP_CAP_FUTURERELEASE;
		set_until(s);
	}
	if (on_list(s, p->xclient_hosts, "smtpd_authorized_xclient_hosts"))
		caps |= SMTP_CAP_XCLIENT;
	if (on_list(s, p->xforward_hosts, "smtpd_authorized_xforward_hosts"))
		caps |= SMTP_CAP_XFORWARD;
	return caps & ~discarded(s);
}

/* ---- hooks ---- */

static bool
rewrite(void *arg, struct span line, struct buf *out)
{
	struct session *s = arg;
	struct err e;

	switch (maps_get(s->service->protocol->command_filter, line, out,
	    &e)) {
	case MAP_FOUND:
		log_info(&s->log, "%s: replacing command \"%s\" with \"%s\"",
		    session_client(s), log_quote(line, 100),
		    log_quote(buf_span(out), 100));
		return true;
	case MAP_ABSENT:
		return false;
	case MAP_FAILED:
		break;
	}
	log_warning(&s->log, "smtpd_command_filter: %s", e.text);
	return false;
}

static void
add_value(struct session *s, struct span name, struct buf *out)
{
	char when[40];
	struct buf b;

	if (span_eq(name, SPAN("client_address"))) {
		buf_str(out, s->addr);
	} else if (span_eq(name, SPAN("client_name"))) {
		buf_str(out, s->name != NULL ? s->name : "unknown");
	} else if (span_eq(name, SPAN("client"))) {
		buf_str(out, session_client(s));
	} else if (span_eq(name, SPAN("helo_name"))) {
		buf_str(out, s->helo != NULL ? s->helo : "");
	} else if (span_eq(name, SPAN("server_name"))) {
		buf_str(out, s->service->common->myhostname);
	} else if (span_eq(name, SPAN("sender")) && s->tx != NULL) {
		buf_str(out, log_quote(s->tx->env.sender, 500));
	} else if (span_eq(name, SPAN("recipient")) && s->tx != NULL) {
		buf_str(out, log_quote(s->tx->rcpt, 500));
	} else if (span_eq(name, SPAN("localtime"))) {
		const int64_t now_s = clock_wall_us() / 1000000;

		/* "Sun Nov 22 14:34:22 2026" without its ends. */
		buf_init(&b, sizeof(when));
		date_print_asctime(&b, now_s,
		    received_date(s->service, now_s)->zone_min);
		buf_add(out, span_slice(buf_span(&b), 4, 19));
		buf_release(&b);
	}
}

/* A template with its $names filled in. */
static void
add_footer(struct session *s, struct span text, struct buf *out)
{
	while (text.n > 0) {
		const size_t dollar = span_chr(text, '$');
		size_t n = 0;

		buf_add(out, span_slice(text, 0, dollar));
		if (dollar == SIZE_MAX)
			break;
		text = span_skip(text, dollar + 1);
		if (text.n > 0 && (text.p[0] == '{' || text.p[0] == '(')) {
			const uint8_t close = text.p[0] == '{' ? '}' : ')';

			text = span_skip(text, 1);
			n = span_chr(text, close);
			n = n == SIZE_MAX ? text.n : n;
			add_value(s, span_slice(text, 0, n), out);
			text = span_skip(text, n + 1);
			continue;
		}
		while (n < text.n && (ascii_alpha(text.p[n]) ||
			text.p[n] == '_'))
			n++;
		add_value(s, span_slice(text, 0, n), out);
		text = span_skip(text, n);
	}
}

/* What the tables have for this reply, or smtpd_reject_footer. */
static void
footer(void *arg, struct span reply, struct buf *out)
{
	struct session *s = arg;
	struct maps *maps = s->service->protocol->reject_footers;
	struct span text = span_str(s->service->conf->smtpd_reject_footer);
	struct buf own;
	struct err e;

	buf_init(&own, LIMIT_TABLE_VALUE);
	switch (maps_get(maps, reply, &own, &e)) {
	case MAP_FOUND:
		text = buf_span(&own);
		break;
	case MAP_ABSENT:
		break;
	case MAP_FAILED:
		log_warning(&s->log, "smtpd_reject_footer_maps: %s", e.text);
		break;
	}
	add_footer(s, text, out);
	buf_release(&own);
}

void
protocol_client(struct session *s)
{
	const struct service *service = s->service;
	const struct smtpd_conf *c = service->conf;
	const bool filter = !maps_empty(service->protocol->command_filter);
	const bool foot = c->smtpd_reject_footer[0] != '\0' ||
	    !maps_empty(service->protocol->reject_footers);

	s->bare = (enum smtpd_bare)c->smtpd_forbid_bare_newline;
	if (s->bare != SMTPD_BARE_NO &&
	    on_list(s, service->protocol->bare_exclusions,
		"smtpd_forbid_bare_newline_exclusions"))
		s->bare = SMTPD_BARE_NO;
	smtp_server_bare_newline(s->engine, s->bare != SMTPD_BARE_REJECT);
	if (!filter && !foot)
		return;
	s->hooks = (struct smtp_server_hooks){ .rewrite =
						   filter ? rewrite : NULL,
		.footer = foot ? footer : NULL,
		.arg = s };
	smtp_server_hook(s->engine, &s->hooks);
}

const char *
protocol_notes(const struct session *s)
{
	return s->bare == SMTPD_BARE_NOTE &&
		    smtp_server_saw_bare_newline(s->engine) ?
		" notes=bare_lf" : "";
}

/* ---- start ---- */

void
protocol_engine(const struct smtpd_conf *c, struct smtp_server_conf *out)
{
	out->bare_code =
	    (unsigned)c->smtpd_forbid_bare_newline_reject_code;
	out->pipelining_ok = !c->smtpd_forbid_unauth_pipelining;
	out->strict_envelopes = c->strict_rfc821_envelopes;
	out->strict_smtputf8 = c->strict_smtputf8;
	out->noop_commands = c->smtpd_noop_commands;
	out->forbidden_commands = c->smtpd_forbidden_commands;
	out->future_s = (uint32_t)(c->smtpd_future_release_limit / 1000);
}

int
protocol_open(struct service *s, struct err *e)
{
	const struct smtpd_conf *c = s->conf;
	struct protocol *p = MEM_NEW(p);
	const struct {
		const char *name, *value;
		struct match_list **out;
	} lists[] = {
		{ "smtpd_authorized_xclient_hosts",
		    c->smtpd_authorized_xclient_hosts, &p->xclient_hosts },
		{ "smtpd_authorized_xforward_hosts",
		    c->smtpd_authorized_xforward_hosts, &p->xforward_hosts },
		{ "smtpd_forbid_bare_newline_exclusions",
		    c->smtpd_forbid_bare_newline_exclusions,
		    &p->bare_exclusions },
		{ "fast_flush_domains", c->fast_flush_domains,
		    &p->flush_domains },
	};
	struct span bad;

	s->protocol = p;
	for (size_t i = 0; i < COUNT_OF(lists); i++)
		if (match_list_open(lists[i].value, lists[i].out, e) != 0) {
			err_wrap(e, "%s", lists[i].name);
			return -1;
		}
	if (!keywords(span_str(c->smtpd_discard_ehlo_keywords), &p->discard,
		&bad))
		return err_set(e, ERR_PERM, "5.3.5",
		    "smtpd_discard_ehlo_keywords: unknown EHLO keyword "
		    "\"%s\"", log_quote(bad, 60));
	if (maps_open(c->smtpd_discard_ehlo_keyword_address_maps,
		&p->discard_maps, e) != 0)
		return -1;
	if (maps_open(c->smtpd_reject_footer_maps, &p->reject_footers, e) != 0)
		return err_wrap(e, "smtpd_reject_footer_maps");
	return maps_open(c->smtpd_command_filter, &p->command_filter, e);
}
