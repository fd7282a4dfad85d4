/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_run.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

enum run_step {
	RUN_CONNECT,
	RUN_HELO,
	RUN_MAIL,
	RUN_RCPT,
	RUN_DATA,
	RUN_MESSAGE,
	RUN_END
};

struct milter_run {
	struct milter_client *client;
	struct milter_message message;
	enum run_step step; /* the next one */
	size_t rcpt;
	struct buf address; /* in angle brackets */
	struct span arg1;
	milter_fn fn;
	void *arg;
};

static void answered(void *arg, const struct milter_result *r);

static const struct span *
bracketed(struct milter_run *r, struct span address)
{
	buf_reset(&r->address);
	buf_byte(&r->address, '<');
	buf_add(&r->address, address);
	buf_byte(&r->address, '>');
	r->arg1 = buf_span(&r->address);
	return &r->arg1;
}

static void
go_on(void *arg)
{
	struct milter_run *r = arg;

	switch (r->step) {
	case RUN_CONNECT:
		r->step = RUN_HELO;
		milter_client_connect(r->client, SPAN("localhost"),
		    MILTER_FAMILY_INET, 0, SPAN("127.0.0.1"), answered, r);
		return;
	case RUN_HELO:
		r->step = RUN_MAIL;
		milter_client_helo(r->client, SPAN("localhost"), answered, r);
		return;
	case RUN_MAIL:
		r->step = r->message.rcpt_count > 0 ? RUN_RCPT : RUN_DATA;
		milter_client_mail(
		    r->client, bracketed(r, r->message.sender), 1, answered, r);
		return;
	case RUN_RCPT:
		if (r->rcpt + 1 == r->message.rcpt_count)
			r->step = RUN_DATA;
		milter_client_rcpt(r->client,
		    bracketed(r, r->message.rcpts[r->rcpt++]), 1, false,
		    answered, r);
		return;
	case RUN_DATA:
		r->step = RUN_MESSAGE;
		milter_client_data(r->client, answered, r);
		return;
	case RUN_MESSAGE:
		r->step = RUN_END;
		milter_client_message(r->client, r->message.mail, answered, r);
		return;
	case RUN_END:
		return;
	}
}

static void
answered(void *arg, const struct milter_result *result)
{
	struct milter_run *r = arg;

	if (result->outcome == MILTER_PASSED && r->step != RUN_END)
		go_on(r);
	else
		r->fn(r->arg, result);
}

struct milter_run *
milter_run_start(const struct milter_client_conf *conf,
    const struct milter_message *message, milter_fn fn, void *arg)
{
	struct milter_run *r = MEM_NEW(r);

	r->client = milter_client_new(conf);
	r->message = *message;
	r->fn = fn;
	r->arg = arg;
	buf_init(&r->address, LIMIT_ADDRESS * 2);
	loop_later(conf->loop, go_on, r);
	return r;
}

void
milter_run_free(struct milter_run **ref)
{
	struct milter_run *r = *ref;

	if (r == NULL)
		return;
	milter_client_free(&r->client);
	buf_release(&r->address);
	mem_free(r);
	*ref = NULL;
}

bool
milter_run_macro(const struct milter_settings *settings, const char *hostname,
    const char *qid, struct span sender, struct span rcpt, struct span name,
    struct buf *out)
{
	const struct {
		const char *name;
		struct span value;
		bool defined;
	} rows[] = {
		{ "i", span_str(qid), true },
		{ "j", span_str(hostname), true },
		{ "v", span_str(settings->milter_macro_v), true },
		{ "daemon_name", span_str(settings->milter_macro_daemon_name),
		    true },
		{ "_", SPAN("localhost [127.0.0.1]"), true },
		{ "client_addr", SPAN("127.0.0.1"), true },
		{ "client_name", SPAN("localhost"), true },
		{ "client_ptr", SPAN("localhost"), true },
		{ "client_port", SPAN("0"), true },
		{ "client_resolve", SPAN("OK"), true },
		{ "mail_addr", sender, true },
		{ "rcpt_addr", rcpt, rcpt.n > 0 },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!rows[i].defined || !span_eq(name, span_str(rows[i].name)))
			continue;
		buf_add(out, rows[i].value);
		return true;
	}
	return false;
}
