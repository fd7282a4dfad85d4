/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/downgrade.h"
#include "lib/proto/utf8.h"
#include "smtp/smtp.h"
#include "smtp/tls_policy.h"

enum {
	TEXT_MAX = LIMIT_SMTP_REPLY + PEER_TEXT + 100,
	CONVERT_PIECE = 16384,
	/* A header may be held back, then comes at once. */
	CONVERTED_MAX = 2 * LIMIT_HEADER_FIELD + 8 * CONVERT_PIECE,
};

/* One request of qmgr, until each of its recipients has a result. */
struct delivery {
	struct smtp *smtp;
	struct agent_request *r;
	struct destination *destination;
	struct targets *look_up;
	struct target *list;
	size_t count, next;       /* targets; the next to be tried */
	size_t sessions;          /* that came as far as a transaction */
	struct session *session;
	struct tls_policy policy; /* of the destination, for this message */
	enum tls_level level;     /* its own */
	bool plain;               /* the next target without TLS */
	bool required;            /* RFC 8689: a verified server */
	bool passing;             /* last is a trouble that may pass */
	size_t *open;             /* recipients (of r) in this transaction */
	struct span *addresses;   /* theirs */
	size_t open_count;
	struct range_reader content; /* in this transaction */
	bool unreadable;          /* last says why: no other target helps */
	struct smtp_client_dsn *dsn; /* of the recipients in addresses */
	bool passes_dsn;          /* this server takes them over */
	struct downgrade *downgrade; /* of this transaction; NULL: none */
	struct buf converted;     /* what came out of it, not yet sent */
	int64_t began_us;         /* this attempt */
	struct err last;          /* why the last target failed */
	char remote[DNS_NAME_MAX];
	bool used_idle;
	struct smtp_forward forward;
};

static void try_next(struct delivery *d);

/* ---- results -------------------------------------------------------------------- */

static void
free_delivery(struct delivery *d)
{
	agent_done(&d->r);
	targets_cancel(&d->look_up);
	destination_put(d->smtp, d->destination);
	mem_free(d->list);
	mem_free(d->open);
	mem_free(d->addresses);
	mem_free(d->dsn);
	downgrade_free(&d->downgrade);
	buf_release(&d->converted);
	tls_policy_release(&d->policy);
	mem_free(d);
}

static size_t
left(const struct delivery *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->r->rcpt_count; i++)
		n += !d->r->rcpts[i].answered;
	return n;
}

static struct span
relay_of(const struct delivery *d)
{
	if (d->session == NULL || !session_connected(d->session))
		return SPAN("none");
	return span_str(session_target(d->session)->relay);
}

/* All that are left share this fate. */
static void
give_up(struct delivery *d)
{
	for (size_t i = 0; i < d->r->rcpt_count; i++)
		if (!d->r->rcpts[i].answered)
			agent_result_err(d->r, i, relay_of(d), &d->last);
	free_delivery(d);
}

static void
report(struct delivery *d, size_t rcpt, const struct smtp_reply *reply,
    enum rcpt_action action, const char *dsn, struct span text)
{
	const int64_t now = clock_wall_us();
	int64_t ready = session_ready_us(d->session);
	const struct agent_result result = {
		.action = action,
		.dsn = dsn,
		.text = text,
		.relay = relay_of(d),
		.conn_use = session_uses(d->session),
		.setup_us = ready > d->began_us ? ready - d->began_us : 0,
		.transmit_us = now > ready ? now - ready : 0,
		.remote = span_str(session_target(d->session)->host),
		.diagnostic = reply->code != 0 ? reply->text : SPAN_EMPTY,
		.passed_on = d->passes_dsn && action == RCPT_SENT,
	};

	agent_result(d->r, rcpt, &result);
}

/* May another target do better? */
static bool
has_another(const struct delivery *d)
{
	const int64_t max = d->smtp->conf->smtp_mx_session_limit;

	return d->next < d->count &&
	    (max == 0 || d->sessions < (size_t)max);
}

static void
on_result(void *arg, size_t i, const struct smtp_reply *reply,
    enum smtp_stage stage)
{
	struct delivery *d = arg;
	const size_t rcpt = d->open[i];
	const char *peer = session_target(d->session)->peer;
	enum rcpt_action action = RCPT_DEFERRED;
	struct buf text;

	if (reply->code / 100 == 2) {
		report(d, rcpt, reply, RCPT_SENT, reply->dsn, reply->text);
		return;
	}
	buf_init(&text, TEXT_MAX);
	if (reply->code != 0)
		buf_fmt(&text, "host %s said: %.*s (in reply to %s)", peer,
		    SPAN_FMT(reply->text), smtp_stage_text(stage));
	else
		buf_add(&text, reply->text);
	if (reply->dsn[0] == '5')
		action = RCPT_FAILED;
	if (action == RCPT_DEFERRED && has_another(d))
		log_info(&d->r->log, "%s", buf_cstr(&text));
	else
		report(d, rcpt, reply, action, reply->dsn, buf_span(&text));
	buf_release(&text);
}

/* ---- the message ---------------------------------------------------------------- */

static void
keep_converted(void *arg, struct span bytes)
{
	struct delivery *d = arg;

	buf_add(&d->converted, bytes);
}

/* Must the parts be encoded for this server (RFC 6152 3, RFC 3030 3)? *binary:
 * they can go as they are, by BDAT. */
static bool
must_convert(const struct delivery *d, const struct smtp_client *c,
    bool *out_binary)
{
	const struct span body = d->r->encoding;

	*out_binary = false;
	if (d->smtp->conf->disable_mime_output_conversion) {
		*out_binary = span_ieq(body, SPAN("BINARYMIME"));
		return false;
	}
	if (span_ieq(body, SPAN("8BITMIME")))
		return !smtp_client_offers(c, "8BITMIME", NULL);
	if (!span_ieq(body, SPAN("BINARYMIME")))
		return false;
	*out_binary = smtp_client_offers(c, "BINARYMIME", NULL) &&
	    smtp_client_offers(c, "CHUNKING", NULL);
	return !*out_binary;
}

static bool
needs_utf8(const struct delivery *d)
{
	bool ascii = utf8_is_ascii(d->r->sender);

	for (size_t i = 0; i < d->open_count; i++)
		ascii = ascii && utf8_is_ascii(d->addresses[i]);
	return d->r->smtputf8 || !ascii;
}

/* RFC 8689 4.2.1; notifications need not be offered it (5). */
static bool
lacks_requiretls(struct delivery *d, const struct target *t,
    const struct smtp_client *client)
{
	if (!d->required || d->r->sender.n == 0 ||
	    smtp_client_offers(client, "REQUIRETLS", NULL))
		return false;
	if (!d->passing)
		err_set(&d->last, ERR_PERM, "5.7.30",
		    "REQUIRETLS is required, but was not offered by host %s",
		    t->peer);
	return true;
}

static bool
on_ready(void *arg, const struct target *t, const struct smtp_client *client,
    struct smtp_client_message *out)
{
	struct delivery *d = arg;
	const struct agent_request *r = d->r;
	bool binary;

	if (lacks_requiretls(d, t, client))
		return false;
	d->open_count = 0;
	for (size_t i = 0; i < r->rcpt_count; i++) {
		if (r->rcpts[i].answered)
			continue;
		d->open[d->open_count] = i;
		d->dsn[d->open_count] = (struct smtp_client_dsn){
			.notify = r->rcpts[i].dsn_notify,
			.orcpt = r->rcpts[i].dsn_orcpt,
		};
		d->addresses[d->open_count++] = r->rcpts[i].address;
	}
	range_begin(&d->content, &r->content);
	d->passes_dsn = smtp_client_offers(client, "DSN", NULL);
	downgrade_free(&d->downgrade);
	buf_reset(&d->converted);
	if (must_convert(d, client, &binary))
		d->downgrade = downgrade_new(keep_converted, d);
	d->sessions++;
	*out = (struct smtp_client_message){
		.sender = r->sender,
		.rcpts = d->addresses,
		.rcpt_count = d->open_count,
		.size = d->downgrade != NULL ? 0 : r->content.size,
		.body_8bit = span_ieq(r->encoding, SPAN("8BITMIME")) &&
		    d->downgrade == NULL,
		.binary = binary,
		.smtputf8 = needs_utf8(d),
		.requiretls = r->requiretls &&
		    smtp_client_offers(client, "REQUIRETLS", NULL),
		.probe = r->probe,
		.ret_full = r->dsn_ret == DSN_RET_FULL,
		.ret_hdrs = r->dsn_ret == DSN_RET_HDRS,
		.envid = r->dsn_envid,
		.dsn = d->dsn,
		.forward = d->smtp->conf->smtp_send_xforward_command ?
		    &d->forward : NULL,
	};
	log_event(&r->log, "transmit", "%s",
	    d->session != NULL ? t->relay : "reused");
	return true;
}

static ssize_t
read_content(struct delivery *d, void *out, size_t size)
{
	struct err e;
	const ssize_t n = range_read(&d->content, out, size, &e);

	if (n < 0) {
		d->unreadable = true;
		d->last = e;
	}
	return n;
}

/* Until something comes out of the conversion, or all is in. */
static bool
convert(struct delivery *d)
{
	uint8_t piece[CONVERT_PIECE];

	while (d->converted.n == 0 && d->downgrade != NULL) {
		const ssize_t n = read_content(d, piece, sizeof(piece));

		if (n < 0)
			return false;
		if (n > 0) {
			downgrade_feed(d->downgrade, span_of(piece, (size_t)n));
			continue;
		}
		downgrade_end(d->downgrade);
		downgrade_free(&d->downgrade);
	}
	return buf_ok(&d->converted);
}

static ssize_t
on_read(void *arg, void *out, size_t size)
{
	struct delivery *d = arg;

	if (d->downgrade == NULL && d->converted.n == 0)
		return read_content(d, out, size);
	if (!convert(d))
		return -1;
	if (size > d->converted.n)
		size = d->converted.n;
	if (size > 0)
		memcpy(out, d->converted.p, size);
	buf_consume(&d->converted, size);
	return (ssize_t)size;
}

/* RFC 8689 4.2.1: no host of the destination will do, so the mail comes back;
 * but not while one of them could only not be asked. */
static void
note_unfit(struct delivery *d, const struct err *e)
{
	if (!d->required)
		d->last = *e;
	else if (!d->passing)
		err_set(&d->last, ERR_PERM, "5.7.10",
		    "REQUIRETLS needs a verified server: %s", e->text);
}

static void
on_end(void *arg, enum session_end how, const struct err *e)
{
	struct delivery *d = arg;

	switch (how) {
	case SESSION_DONE:
		break;
	case SESSION_RETRY:
		/* It was idle and is gone: as if it had not been there. */
		d->sessions--;
		break;
	case SESSION_PLAIN:
		BUG_ON(d->required);
		log_info(&d->r->log,
		    "Cannot start TLS with %s: trying without",
		    session_target(d->session)->relay);
		d->plain = true;
		d->next--;
		break;
	case SESSION_UNFIT:
		if (e != NULL)
			note_unfit(d, e);
		how = SESSION_FAILED;
		break;
	case SESSION_FAILED:
		if (e != NULL && !d->unreadable) {
			d->last = *e;
			d->passing = e->kind == ERR_TEMP;
		}
		break;
	}
	if (left(d) == 0) {
		free_delivery(d);
		return;
	}
	if (how == SESSION_FAILED && (d->unreadable || !has_another(d))) {
		give_up(d);
		return;
	}
	d->session = NULL;
	try_next(d);
}

static const struct session_user user = {
	.ready = on_ready,
	.result = on_result,
	.read = on_read,
	.end = on_end,
};

/* ---- one target after the other ---------------------------------------------------- */

static void
open_target(struct delivery *d)
{
	const struct target *t = &d->list[d->next++];

	d->policy.level = d->plain ? TLS_LEVEL_NONE : d->level;
	d->plain = false;
	d->session = session_open(d->smtp, d->destination, t, &d->policy,
	    &user, d);
}

static void
on_targets(void *arg, const struct target *list, size_t count,
    const struct err *e)
{
	struct delivery *d = arg;

	d->look_up = NULL;
	if (e != NULL) {
		d->last = *e;
		d->passing = e->kind == ERR_TEMP;
	}
	if (list == NULL) {
		give_up(d);
		return;
	}
	d->list = mem_alloc(count * sizeof(*list));
	memcpy(d->list, list, count * sizeof(*list));
	d->count = count;
	open_target(d);
}

static void
try_next(struct delivery *d)
{
	d->began_us = clock_wall_us();
	if (!d->used_idle) {
		d->session = session_reuse(d->destination, &d->policy,
		    &user, d);
		if (d->session != NULL)
			return;
		d->used_idle = true;
	}
	if (d->list == NULL)
		d->look_up = targets_find(d->smtp, d->r->nexthop,
		    d->r->log.trace, on_targets, d);
	else if (d->next < d->count)
		open_target(d);
	else
		give_up(d);
}

/* What the destination must show for this message. */
static int
find_policy(struct delivery *d)
{
	const struct agent_request *r = d->r;
	struct err e;

	/* A socket of this host is no way to be listened to on. */
	d->required = r->requiretls && !span_starts(r->nexthop, SPAN("unix:"));
	if (tls_policy_find(d->smtp, r->nexthop, &d->policy, &e) != 0) {
		log_warning(&r->log, "TLS policy of %s: %s",
		    log_quote(r->nexthop, 255), e.text);
		err_set(&d->last, ERR_TEMP, "4.7.5",
		    "client TLS configuration problem");
		return -1;
	}
	if (d->required)
		tls_policy_require(&d->policy,
		    d->smtp->conf->smtp_tls_secure_cert_match);
	else if (r->tls_optional)
		tls_policy_relax(&d->policy);
	d->level = d->policy.level;
	return 0;
}

void
delivery_start(struct smtp *s, struct agent_request *r)
{
	struct delivery *d = MEM_NEW(d);

	d->smtp = s;
	d->r = r;
	d->destination = destination_get(s, r->nexthop);
	d->open = mem_alloc((r->rcpt_count + 1) * sizeof(*d->open));
	d->addresses = mem_alloc((r->rcpt_count + 1) * sizeof(*d->addresses));
	d->dsn = mem_alloc((r->rcpt_count + 1) * sizeof(*d->dsn));
	buf_init(&d->converted, CONVERTED_MAX);
	d->forward = (struct smtp_forward){
		.name = r->client_name,
		.addr = r->client_addr,
		.helo = r->helo,
		.proto = r->protocol,
		.ident = span_str(r->log.qid),
		.source = r->client_addr.n > 0 &&
			!span_eq(r->client_addr, SPAN("local")) ?
		    SPAN("REMOTE") : SPAN("LOCAL"),
	};
	err_set(&d->last, ERR_TEMP, "4.4.1", "no host could be tried");
	if (find_policy(d) != 0)
		give_up(d);
	else
		try_next(d);
}
