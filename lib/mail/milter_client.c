/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_client.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/milter_client_impl.h"

enum { TEXT_MAX = 4096 };

struct milter_client *
milter_client_new(const struct milter_client_conf *conf)
{
	struct milter_client *c = MEM_NEW(c);

	c->conf = *conf;
	c->count = conf->list->count;
	c->filters = mem_zalloc((c->count + 1) * sizeof(*c->filters));
	for (size_t i = 0; i < c->count; i++) {
		c->filters[i].client = c;
		c->filters[i].spec = &conf->list->specs[i];
		buf_init(&c->filters[i].sticky.text, TEXT_MAX);
	}
	buf_init(&c->answer.text, TEXT_MAX);
	buf_init(&c->unknown, TEXT_MAX);
	arena_init(&c->arena, MILTER_CHANGES_MAX);
	c->changes_end = &c->changes;
	return c;
}

void
milter_client_free(struct milter_client **ref)
{
	struct milter_client *c = *ref;

	if (c == NULL)
		return;
	*ref = NULL;
	for (size_t i = 0; i < c->count; i++) {
		filter_close(&c->filters[i], true);
		buf_release(&c->filters[i].sticky.text);
	}
	buf_release(&c->answer.text);
	buf_release(&c->unknown);
	arena_reset(&c->arena);
	mem_free(c->filters);
	mem_free(c);
}

/* ---- answers --------------------------------------------------------------
 */

static void
set_refusal(struct answer *a, unsigned code, const char *dsn, struct span text)
{
	a->outcome = MILTER_REFUSED;
	a->code = code;
	snprintf(a->dsn, sizeof(a->dsn), "%s", dsn);
	buf_reset(&a->text);
	buf_add(&a->text, span_slice(text, 0, TEXT_MAX));
}

/* What stands in for a filter that has failed. */
static void
set_default(struct filter *f)
{
	struct answer *a = &f->sticky;

	f->state = FILTER_SET;
	a->outcome = MILTER_PASSED;
	switch (f->spec->default_action) {
	case MILTER_DEFAULT_ACCEPT:
		return;
	case MILTER_DEFAULT_REJECT:
		set_refusal(a, 550, "5.5.0", SPAN("Service unavailable"));
		return;
	case MILTER_DEFAULT_TEMPFAIL:
		set_refusal(a, 451, "4.7.1",
		    SPAN("Service unavailable - try again later"));
		return;
	case MILTER_DEFAULT_QUARANTINE:
		a->hold = true;
		return;
	case MILTER_DEFAULT_SHUTDOWN:
		set_refusal(a, 421, "4.7.1",
		    SPAN("Service unavailable - try again later"));
		return;
	}
}

/* The step is over. Calls out, which may free c: comes last. */
static void
finish(struct milter_client *c, const struct answer *a, const char *by)
{
	const struct milter_result r = {
		.outcome = a->outcome,
		.code = a->code,
		.dsn = a->dsn,
		.text = buf_span(&a->text),
		.by = by,
		.hold = c->hold[0] != '\0' ? c->hold : NULL,
		.changes = c->step == MILTER_EOM ? c->changes : NULL,
	};

	c->active = false;
	c->mail = NULL;
	c->fn(c->arg, &r);
}

void
filter_hold(struct milter_client *c, struct span why)
{
	if (c->hold[0] == '\0')
		snprintf(c->hold, sizeof(c->hold), "%s", log_quote(why, 100));
	if (c->hold[0] == '\0')
		snprintf(
		    c->hold, sizeof(c->hold), "milter triggers HOLD action");
}

/* ---- macros ---------------------------------------------------------------
 */

static void
put_macro(struct filter *f, struct span word, struct buf *out)
{
	struct milter_client *c = f->client;
	struct span name = word, fallback;
	struct buf value;
	char wire[200];

	if (name.n > 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		name = span_slice(name, 1, name.n - 1);
	snprintf(wire, sizeof(wire), name.n > 1 ? "{%.*s}" : "%.*s",
	    SPAN_FMT(span_slice(name, 0, 100)));
	buf_init(&value, LIMIT_HEADER_FIELD);
	if (c->conf.macro(c->conf.arg, name, &value))
		milter_macro(out, wire, buf_span(&value));
	else if (milter_list_macro_default(c->conf.list, name, &fallback))
		milter_macro(out, wire, fallback);
	buf_release(&value);
}

void
filter_macros(struct filter *f, enum milter_step step, struct buf *out)
{
	const char *list = milter_macro_list(f->engine, step);
	struct span word, rest;

	if (list == NULL)
		list = milter_list_macros(f->client->conf.list, step);
	rest = span_str(list);
	buf_init(out, MILTER_MACROS_MAX);
	while (span_token(&rest, ", \t\r\n", &word))
		put_macro(f, word, out);
}

/* ---- steps ----------------------------------------------------------------
 */

/* True: the filter will answer. */
static bool
send_step(struct filter *f)
{
	struct milter_client *c = f->client;
	struct span macros;
	struct buf b;
	bool wait = false;

	filter_macros(f, c->step, &b);
	macros = buf_span(&b);
	switch (c->step) {
	case MILTER_CONNECT:
		wait = milter_connect(
		    f->engine, macros, c->name, c->family, c->port, c->addr);
		break;
	case MILTER_HELO:
		wait = milter_helo(f->engine, macros, c->name);
		break;
	case MILTER_MAIL:
		f->in_message = true;
		wait = milter_mail(f->engine, macros, c->args, c->arg_count);
		break;
	case MILTER_RCPT:
		wait = milter_rcpt(f->engine, macros, c->args, c->arg_count);
		break;
	case MILTER_DATA:
		wait = milter_data(f->engine, macros);
		break;
	case MILTER_UNKNOWN:
		wait = milter_unknown(f->engine, macros, buf_span(&c->unknown));
		break;
	case MILTER_HEADER:
	case MILTER_EOH:
	case MILTER_BODY:
	case MILTER_EOM:
	case MILTER_STEPS:
		break; /* milter_message.c */
	}
	buf_release(&b);
	return wait;
}

/* Is this filter to be asked in this step? */
static bool
takes_part(const struct filter *f)
{
	const struct milter_client *c = f->client;

	if (f->state == FILTER_DONE)
		return false;
	switch (c->step) {
	case MILTER_CONNECT:
	case MILTER_HELO:
	case MILTER_MAIL:
		return true;
	case MILTER_RCPT:
		if (c->refused &&
		    (f->state != FILTER_OPEN || (milter_protocol(f->engine) &
						    MILTER_RCPT_REJECTED) == 0))
			return false;
		break;
	case MILTER_DATA:
	case MILTER_UNKNOWN:
	case MILTER_HEADER:
	case MILTER_EOH:
	case MILTER_BODY:
	case MILTER_EOM:
	case MILTER_STEPS:
		break;
	}
	return !f->accepted;
}

/* Asks one filter after the other, as long as none has to be waited for. */
static void
ask(struct milter_client *c)
{
	while (c->at < c->count) {
		struct filter *f = &c->filters[c->at];

		if (f->state == FILTER_SET) {
			if (f->sticky.hold)
				filter_hold(c, SPAN("default_action"));
			if (f->sticky.outcome != MILTER_PASSED &&
			    c->step != MILTER_UNKNOWN && !c->refused) {
				finish(c, &f->sticky, f->spec->name);
				return;
			}
		} else if (takes_part(f)) {
			if (f->state == FILTER_NEW) {
				filter_open(f);
				return;
			}
			if (c->step == MILTER_EOM) {
				message_begin(f);
				return;
			}
			if (send_step(f)) {
				f->waiting = true;
				filter_wait(f);
				return;
			}
			filter_flush(f);
		}
		c->at++;
	}
	if (c->tell_unknown) {
		c->tell_unknown = false;
		buf_reset(&c->unknown);
		c->step = c->after;
		c->at = 0;
		ask(c);
		return;
	}
	buf_reset(&c->answer.text);
	c->answer.outcome = MILTER_PASSED;
	finish(c, &c->answer, "");
}

void
filter_ready(struct filter *f)
{
	ask(f->client);
}

void
filter_passed(struct filter *f)
{
	f->client->at++;
	ask(f->client);
}

void
filter_fail(struct filter *f, const char *fmt, ...)
{
	struct milter_client *c = f->client;
	const bool asked = c->active && &c->filters[c->at] == f;
	char text[500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warning(c->conf.log, "%s", text);
	filter_close(f, false);
	set_default(f);
	if (!asked)
		return;
	if (c->mail != NULL) {
		/* Its next piece may be being read. */
		milter_mail_read_cancel(c->mail);
		milter_mail_replaced(c->mail, false);
	}
	ask(c);
}

static bool
in_connect(const struct milter_client *c)
{
	return c->step == MILTER_CONNECT || c->step == MILTER_HELO;
}

/* The filter says no: in the beginning, for good. */
static void
refuse(struct filter *f, unsigned code, const char *dsn, struct span text)
{
	struct milter_client *c = f->client;
	struct answer *a = in_connect(c) ? &f->sticky : &c->answer;

	if (c->step == MILTER_UNKNOWN || c->refused) {
		filter_passed(f);
		return;
	}
	set_refusal(a, code, dsn, text);
	if (code == 421 || in_connect(c)) {
		if (a != &f->sticky)
			set_refusal(&f->sticky, code, dsn, text);
		filter_close(f, true);
		f->state = FILTER_SET;
	}
	finish(c, a, f->spec->name);
}

static void
let_go(struct filter *f)
{
	if (in_connect(f->client)) {
		filter_close(f, true);
		f->state = FILTER_DONE;
	} else if (f->client->step != MILTER_UNKNOWN) {
		f->accepted = true;
	}
	filter_passed(f);
}

static void
discard(struct filter *f)
{
	struct milter_client *c = f->client;

	if (in_connect(c)) {
		log_warning(c->conf.log,
		    "milter %s: DISCARD action is not "
		    "allowed for connect or helo",
		    f->spec->name);
		filter_passed(f);
		return;
	}
	if (c->step == MILTER_UNKNOWN || c->refused) {
		filter_passed(f);
		return;
	}
	f->accepted = true;
	buf_reset(&c->answer.text);
	c->answer.outcome = MILTER_DISCARDED;
	finish(c, &c->answer, f->spec->name);
}

void
filter_verdict(struct filter *f, const struct milter_event *ev)
{
	struct milter_client *c = f->client;
	const bool ended = c->step == MILTER_EOM && f->phase == PHASE_EOM;

	if (ended)
		f->in_message = false;
	if (c->mail != NULL)
		milter_mail_replaced(c->mail, ended);
	log_event(c->conf.log, "milter", "%s: %s: verdict %d %u %s %s",
	    f->spec->name, filter_step_name(c->step), (int)ev->verdict,
	    ev->code, ev->dsn, log_quote(ev->text, 200));
	switch (ev->verdict) {
	case MILTER_CONTINUE:
	case MILTER_SKIP:
		if (c->step == MILTER_EOM && !ended)
			message_go(f);
		else
			filter_passed(f);
		return;
	case MILTER_ACCEPT:
		let_go(f);
		return;
	case MILTER_REJECT:
		refuse(f, 550, "5.7.1", SPAN("Command rejected"));
		return;
	case MILTER_DISCARD:
		discard(f);
		return;
	case MILTER_TEMPFAIL:
		refuse(f, 451, "4.7.1",
		    SPAN("Service unavailable - try again later"));
		return;
	case MILTER_REPLY:
		refuse(f, ev->code, ev->dsn, ev->text);
		return;
	case MILTER_SHUTDOWN:
		refuse(f, 421, "4.7.0", SPAN("Server closing connection"));
		return;
	case MILTER_CONNFAIL:
		filter_fail(
		    f, "milter %s: it can't do its work", f->spec->name);
		return;
	}
}

/* ---- what a session calls -------------------------------------------------
 */

static void
begin(struct milter_client *c, enum milter_step step, milter_fn fn, void *arg)
{
	BUG_ON(c->active);
	c->active = true;
	c->fn = fn;
	c->arg = arg;
	c->at = 0;
	c->step = step;
	c->refused = c->refused && step == MILTER_RCPT;
	if (c->unknown.n > 0) {
		c->tell_unknown = true;
		c->after = step;
		c->step = MILTER_UNKNOWN;
	}
	ask(c);
}

void
milter_client_connect(struct milter_client *c, struct span name,
    enum milter_family family, unsigned port, struct span addr, milter_fn fn,
    void *arg)
{
	c->name = name;
	c->family = family;
	c->port = port;
	c->addr = addr;
	begin(c, MILTER_CONNECT, fn, arg);
}

void
milter_client_helo(
    struct milter_client *c, struct span name, milter_fn fn, void *arg)
{
	c->name = name;
	begin(c, MILTER_HELO, fn, arg);
}

void
milter_client_mail(struct milter_client *c, const struct span *args,
    size_t count, milter_fn fn, void *arg)
{
	c->args = args;
	c->arg_count = count;
	begin(c, MILTER_MAIL, fn, arg);
}

void
milter_client_rcpt(struct milter_client *c, const struct span *args,
    size_t count, bool refused, milter_fn fn, void *arg)
{
	c->args = args;
	c->arg_count = count;
	c->refused = refused;
	begin(c, MILTER_RCPT, fn, arg);
}

void
milter_client_data(struct milter_client *c, milter_fn fn, void *arg)
{
	begin(c, MILTER_DATA, fn, arg);
}

void
milter_client_message(
    struct milter_client *c, struct milter_mail *mail, milter_fn fn, void *arg)
{
	c->mail = mail;
	begin(c, MILTER_EOM, fn, arg);
}

void
milter_client_unknown(struct milter_client *c, struct span line)
{
	buf_reset(&c->unknown);
	buf_add(&c->unknown, span_slice(line, 0, TEXT_MAX));
}

void
milter_client_abort(struct milter_client *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct filter *f = &c->filters[i];

		f->accepted = false;
		if (f->waiting || f->blocked || f->state == FILTER_OPENING) {
			/* Its answer would be taken for the next one's. */
			filter_close(f, false);
			set_default(f);
		} else if (f->state == FILTER_OPEN && f->in_message) {
			milter_abort(f->engine);
			filter_flush(f);
		}
		f->in_message = false;
	}
	c->active = c->tell_unknown = false;
	c->mail = NULL;
	c->hold[0] = '\0';
	c->changes = NULL;
	c->changes_end = &c->changes;
	arena_reset(&c->arena);
}

bool
milter_client_wants_refused(const struct milter_client *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct filter *f = &c->filters[i];

		if (f->state == FILTER_OPEN && !f->accepted &&
		    (milter_protocol(f->engine) & MILTER_RCPT_REJECTED) != 0)
			return true;
	}
	return false;
}

bool
milter_client_wants_message(const struct milter_client *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct filter *f = &c->filters[i];

		if (f->state == FILTER_OPEN && !f->accepted)
			return true;
	}
	return false;
}
