/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/*
 * From DATA to the answer that counts: the message goes through the header
 * fix-up into the queue writer, is made durable, and only then answered 250;
 * only then qmgr is told. Once the end of data was read the message goes its
 * way whether the client stays or not.
 */

/* A message on its way to the disk. */
struct commit {
	struct service *service;
	struct session *session; /* NULL once it is gone */
	struct log_ctx log;
	uint64_t size;
	uint32_t rcpt_count;
	unsigned answers;        /* LMTP: one for each recipient */
	uint64_t chunk_bytes;    /* by BDAT: what the client sent */
	bool chunked;
};

void
message_out(struct transaction *tx, struct span bytes)
{
	if (tx->mail != NULL)
		milter_mail_feed(tx->mail, bytes);
	else
		queue_writer_body(tx->writer, bytes);
}

static void
header_out(void *arg, struct span bytes)
{
	message_out(arg, bytes);
}

static void
take_message(struct session *s)
{
	struct transaction *tx = s->tx;
	const int64_t now_s = clock_wall_us() / 1000000;

	recipients_write(tx);
	buf_init(&tx->received, 4096 + LIMIT_HEADER_FIELD);
	buf_add(&tx->received, buf_span(&tx->prepend));
	received_field(s, tx->rcpt_count == 1 ? tx->first_rcpt : SPAN_EMPTY,
	    s->log.qid, now_s, &tx->received);
	tx->fixup_conf = (struct fixup_conf){
		.received = buf_span(&tx->received),
		.submission = s->local || s->sasl_user != NULL ||
		    s->service->common->always_add_missing_headers,
		.from = tx->env.sender,
		.qid = s->log.qid,
		.hostname = s->service->common->myhostname,
		.time_s = now_s,
		.offset_min = received_date(s->service, now_s)->zone_min,
	};
	content_begin(s);
	tx->fixup = fixup_new(&tx->fixup_conf, header_out, tx);
	session_answer(s, 354, "", "End data with <CR><LF>.<CR><LF>");
}

void
message_data(struct session *s, const struct smtp_event *ev)
{
	s->tx->chunked = ev->chunked;
	stage_begin(s, STAGE_DATA, NULL, take_message);
}

static void
writer_ready(void *arg)
{
	struct session *s = arg;

	s->paused = false;
	s->progress = true;
	session_run(s);
}

/* smtpd_forbid_bare_newline = normalize; but what was announced as binary is
 * not touched. */
static bool
mends_newlines(const struct session *s)
{
	return (s->bare == SMTPD_BARE_NORMALIZE ||
		   s->bare == SMTPD_BARE_YES) &&
	    !span_eq(s->tx->env.encoding, SPAN("BINARYMIME"));
}

static void
to_fixup(void *arg, struct span bytes)
{
	struct transaction *tx = arg;

	fixup_feed(tx->fixup, bytes);
}

void
message_chunk(struct session *s, struct span bytes)
{
	struct transaction *tx = s->tx;

	if (mends_newlines(s))
		newline_feed(&tx->newline, bytes, to_fixup, tx);
	else
		fixup_feed(tx->fixup, bytes);
	if (tx->mail != NULL ?
		!milter_mail_busy(tx->mail, writer_ready, s) :
		!queue_writer_busy(tx->writer, writer_ready, s))
		return;
	s->paused = s->progress = true;
}

static void
answer_all(struct session *s, unsigned count, unsigned code, const char *dsn,
    const char *text)
{
	for (unsigned i = 0; i + 1 < count; i++)
		smtp_server_answer(s->engine, code, dsn, span_str(text));
	session_answer(s, code, dsn, "%s", text);
}

static void
ok_text(bool chunked, uint64_t bytes, const char *qid, char *out, size_t size)
{
	if (chunked)
		snprintf(out, size, "Ok: %llu bytes queued as %s",
		    (unsigned long long)bytes, qid);
	else
		snprintf(out, size, "Ok: queued as %s", qid);
}

static void
committed(void *arg, struct queue_id id, const struct err *e)
{
	struct commit *c = arg;
	struct service *service = c->service;
	struct session *s = c->session;
	char text[300];

	service->commits--;
	if (e == NULL) {
		log_event(&c->log, "accept", "durable, %llu bytes, %u "
		    "recipients", (unsigned long long)c->size, c->rcpt_count);
		qmgr_client_message(service->qmgr, id, c->size,
		    c->rcpt_count, c->log.trace);
		ok_text(c->chunked, c->chunk_bytes, c->log.qid, text,
		    sizeof(text));
	} else {
		log_warning(&c->log, "message not queued: %s", e->text);
	}
	if (s != NULL) {
		s->committing = NULL;
		s->log.qid[0] = '\0';
		s->log.trace = s->trace;
	}
	if (s != NULL && e == NULL)
		answer_all(s, c->answers, 250, "2.0.0", text);
	else if (s != NULL && strcmp(e->dsn, "4.3.1") == 0)
		answer_all(s, c->answers, 452, "4.3.1",
		    "Error: insufficient system storage");
	else if (s != NULL)
		answer_all(s, c->answers, 451, "4.3.0",
		    "Error: queue file write error");
	mem_free(c);
	service_maybe_end(service);
}

/* What was decided on the way, into the envelope. */
static void
apply_actions(struct session *s, struct transaction *tx)
{
	struct queue_envelope *env = queue_writer_envelope(tx->writer);

	if (tx->act.hold)
		env->birth = QUEUE_HOLD;
	if (tx->act.filter.n > 0)
		env->filter = queue_writer_keep(tx->writer, tx->act.filter);
	else
		env->filter = span_str(s->service->conf->content_filter);
	recipients_write(tx);
}

static void
commit(struct session *s)
{
	struct transaction *tx = s->tx;
	struct commit *c = MEM_NEW(c);

	*c = (struct commit){ .service = s->service,
		.session = s,
		.log = s->log,
		.size = queue_writer_size(tx->writer),
		.rcpt_count = tx->rcpts.count,
		.answers = s->service->engine.lmtp ? tx->rcpt_count : 1,
		.chunk_bytes = smtp_server_data_size(s->engine),
		.chunked = tx->chunked };
	xforward_forget(s);
	apply_actions(s, tx);
	s->service->commits++;
	s->committing = c;
	stage_reset(s);
	s->tx = NULL;
	queue_writer_commit(&tx->writer, committed, c);
	transaction_free(s, tx);
}

void
message_forget(struct session *s)
{
	if (s->committing != NULL)
		s->committing->session = NULL;
	s->committing = NULL;
}

void
message_refuse(struct session *s, unsigned code, const char *dsn,
    struct span text)
{
	const unsigned count =
	    s->service->engine.lmtp ? s->tx->rcpt_count : 1;
	char copy[1024];

	snprintf(copy, sizeof(copy), "%.*s", SPAN_FMT(text));
	envelope_abort(s);
	answer_all(s, count, code, dsn, copy);
}

static void
refuse(struct session *s, unsigned code, const char *dsn, const char *text)
{
	session_log_reject(s, "reject", "END-OF-MESSAGE", code, dsn,
	    span_str(text), SPAN_EMPTY);
	message_refuse(s, code, dsn, span_str(text));
}

/* To be lost, says a table: the client hears what it would hear else. */
static void
discard(struct session *s)
{
	const unsigned count =
	    s->service->engine.lmtp ? s->tx->rcpt_count : 1;
	char text[100];

	ok_text(s->tx->chunked, smtp_server_data_size(s->engine), s->log.qid,
	    text, sizeof(text));
	envelope_abort(s);
	answer_all(s, count, 250, "2.0.0", text);
}

/* A proxy has it, and this is what it said. */
static void
taken(struct session *s)
{
	const unsigned count =
	    s->service->engine.lmtp ? s->tx->rcpt_count : 1;
	char text[1024];

	snprintf(text, sizeof(text), "%.*s", SPAN_FMT(s->tx->taken));
	xforward_forget(s);
	envelope_abort(s);
	answer_all(s, count, 250, "", text);
}

static void finish(struct session *s);

static void
rcpt_added(struct session *s, const struct err *e)
{
	if (e != NULL)
		message_refuse(s, 451, "4.3.0",
		    SPAN("Error: queue file write error"));
	else
		finish(s);
}

/* The next recipient that a table adds: as recipients_add, or 2: there is
 * none. */
static int
add_next(struct session *s, struct err *e)
{
	struct check_actions *act = &s->tx->act;
	struct span address = act->redirect;

	if (address.n > 0) {
		act->redirect = SPAN_EMPTY;
		recipients_clear(s);
		return recipients_add(s, address, 0, rcpt_added, e);
	}
	if (act->added == NULL)
		return 2;
	address = act->added->address;
	act->added = act->added->next;
	return recipients_add(s, address, DSN_NOTIFY_NEVER, rcpt_added, e);
}

/* The gates let it through: the recipients that tables add are routed, one
 * after the other, then it goes to the disk. */
static void
finish(struct session *s)
{
	struct err e;
	int r = 0;

	if (s->tx->act.discard) {
		discard(s);
		return;
	}
	if (s->tx->proxied) {
		taken(s);
		return;
	}
	while (r == 0)
		r = add_next(s, &e);
	if (r < 0)
		rcpt_added(s, &e);
	else if (r == 2 && s->tx->rcpts.count == 0)
		discard(s); /* a filter took them all away */
	else if (r == 2)
		commit(s);
}

void
message_end(struct session *s)
{
	struct transaction *tx = s->tx;
	const char *message_id;

	newline_end(&tx->newline, to_fixup, tx);
	fixup_end(tx->fixup);
	if (content_refuses(s))
		return;
	message_id = fixup_message_id(tx->fixup);
	if (!proxy_wanted(s))
		log_info(&s->log, "message-id=%s", message_id[0] == '\0' ? "<>" :
	    log_quote(span_str(message_id), 900));
	if (fixup_hops(tx->fixup) > s->service->conf->hopcount_limit) {
		refuse(s, 554, "5.4.0", "Error: too many hops");
		return;
	}
	queue_writer_message_id(tx->writer, span_str(message_id));
	queue_writer_envelope(tx->writer)->tls_optional =
	    s->service->common->tls_required_enable &&
	    !tx->env.requiretls && fixup_tls_optional(tx->fixup);
	stage_begin(s, STAGE_END, NULL, finish);
}
