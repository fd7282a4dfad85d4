/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_client_impl.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/*
 * A message on its way to one filter, and what the filter makes of it.
 */

/* Unsent bytes at which a filter that does not answer each piece is waited
 * for. */
enum { OUTPUT_HIGH = 512 << 10 };

void
message_begin(struct filter *f)
{
	f->phase = PHASE_HEADER;
	f->field = 0;
	f->body_at = 0;
	message_go(f);
}

void
message_broken(struct filter *f, const struct err *e)
{
	const struct milter_event no = { .type = MILTER_VERDICT,
		.verdict = MILTER_REPLY,
		.code = 451,
		.dsn = "4.3.0",
		.text = SPAN("Error: queue file write error") };

	log_warning(f->client->conf.log, "message not shown to milter %s: %s",
	    f->spec->name, e->text);
	filter_verdict(f, &no);
}

static void
on_body(void *arg, struct span bytes, const struct err *e)
{
	struct filter *f = arg;

	if (e != NULL) {
		message_broken(f, e);
		return;
	}
	if (bytes.n == 0) {
		f->phase = PHASE_EOM;
	} else {
		f->body_at += bytes.n;
		f->waiting = milter_body(f->engine, bytes);
	}
	if (f->waiting)
		filter_wait(f);
	else
		message_go(f);
}

/* The next field; false when there is none. */
static bool
send_field(struct filter *f)
{
	const struct milter_mail *c = f->client->mail;
	const struct milter_mail_field *field;

	if (f->field == milter_mail_field_count(c) ||
	    !milter_wants(f->engine, MILTER_HEADER))
		return false;
	field = milter_mail_field(c, f->field++);
	if (!field->own && field->name.n > 0)
		f->waiting = milter_header(f->engine, field->name, field->body);
	return true;
}

static void
send_end(struct filter *f, enum milter_step step)
{
	struct buf macros;

	filter_macros(f, step, &macros);
	f->waiting = step == MILTER_EOH
			 ? milter_eoh(f->engine, buf_span(&macros))
			 : milter_eom(f->engine, buf_span(&macros));
	buf_release(&macros);
}

void
message_go(struct filter *f)
{
	while (!f->waiting) {
		filter_flush(f);
		if (stream_pending(f->stream) > OUTPUT_HIGH) {
			f->blocked = true;
			stream_timeout(f->stream, f->spec->content_ms);
			return;
		}
		switch (f->phase) {
		case PHASE_HEADER:
			if (send_field(f))
				break;
			/* The answer that comes next is to the end. */
			f->phase = PHASE_EOH;
			break;
		case PHASE_EOH:
			send_end(f, MILTER_EOH);
			f->phase = PHASE_BODY;
			break;
		case PHASE_BODY:
			if (milter_wants(f->engine, MILTER_BODY)) {
				milter_mail_read_body(f->client->mail,
				    f->body_at, MILTER_CHUNK, on_body, f);
				return;
			}
			f->phase = PHASE_EOM;
			break;
		case PHASE_EOM:
			send_end(f, MILTER_EOM);
			break;
		}
	}
	filter_wait(f);
}

/* ---- modifications --------------------------------------------------------
 */

/* False: there is no room for it. */
static bool
change_envelope(struct milter_client *c, const struct milter_event *ev)
{
	struct milter_change *change;

	if (c->arena.used + sizeof(*change) + ev->name.n + ev->value.n >
	    MILTER_CHANGES_MAX)
		return false;
	change = ARENA_NEW(&c->arena, change);
	change->edit = ev->edit;
	change->address = arena_dup(&c->arena, ev->name);
	change->args = arena_dup(&c->arena, ev->value);
	*c->changes_end = change;
	c->changes_end = &change->next;
	return true;
}

static bool
split_line(const struct buf *line, struct span *name, struct span *value)
{
	const struct span all = buf_span(line);
	const size_t colon = span_chr(all, ':');

	if (colon == SIZE_MAX)
		return false;
	*name = span_slice(all, 0, colon);
	*value = span_trim(span_skip(all, colon + 1));
	return true;
}

/* A field as the filter, or a table, has it: where it goes, and whether there
 * was room for it. */
static bool
put_field(struct milter_client *c, const struct milter_event *ev,
    struct span name, struct span value, bool raw, size_t *out_at)
{
	const size_t count = milter_mail_field_count(c->mail);
	size_t at = count;

	if (ev->edit == MILTER_INSERT_HEADER) {
		*out_at = ev->index < count ? ev->index : count;
		return milter_mail_insert(
		    c->mail, ev->index, name, value, raw);
	}
	if (ev->edit == MILTER_CHANGE_HEADER)
		at = milter_mail_find(c->mail, ev->index, ev->name);
	*out_at = at < count ? at : count;
	if (at >= count)
		return milter_mail_add(c->mail, name, value, raw);
	if (span_ieq(name, ev->name))
		return milter_mail_change(
		    c->mail, ev->index, name, value, raw);
	if (!milter_mail_insert(c->mail, at, name, value, raw))
		return false;
	milter_mail_delete(c->mail, ev->index, ev->name);
	return true;
}

/* False: there is no room for it. */
static bool
edit_header(struct filter *f, const struct milter_event *ev)
{
	struct milter_client *c = f->client;
	bool raw = (milter_protocol(f->engine) & MILTER_LEADING_SPACE) != 0;
	struct span name = ev->name, value = ev->value;
	struct buf instead, before;
	bool ok = true;
	size_t at;

	buf_init(&instead, LIMIT_HEADER_FIELD);
	buf_init(&before, LIMIT_HEADER_FIELD);
	if (c->conf.field == NULL ||
	    c->conf.field(c->conf.arg, name, value, &instead, &before)) {
		if (split_line(&instead, &name, &value))
			raw = false;
		ok = put_field(c, ev, name, value, raw, &at);
		if (ok && split_line(&before, &name, &value))
			ok = milter_mail_insert(
			    c->mail, at, name, value, false);
	}
	buf_release(&instead);
	buf_release(&before);
	return ok;
}

bool
message_edit(struct filter *f, const struct milter_event *ev)
{
	struct milter_client *c = f->client;
	bool ok = true;

	log_event(c->conf.log, "milter", "%s: edit %d %u %s: %s", f->spec->name,
	    (int)ev->edit, ev->index, log_quote(ev->name, 100),
	    log_quote(ev->value, 200));
	switch (ev->edit) {
	case MILTER_ADD_HEADER:
	case MILTER_INSERT_HEADER:
		ok = edit_header(f, ev);
		break;
	case MILTER_CHANGE_HEADER:
		if (ev->value.n == 0)
			milter_mail_delete(c->mail, ev->index, ev->name);
		else
			ok = edit_header(f, ev);
		break;
	case MILTER_REPLACE_BODY:
		if (milter_mail_replace(c->mail, ev->value, c->conf.body_max))
			break;
		filter_fail(f,
		    "milter %s: its new body is larger than message_size_limit",
		    f->spec->name);
		return false;
	case MILTER_ADD_RCPT:
	case MILTER_DELETE_RCPT:
	case MILTER_CHANGE_FROM:
		if (change_envelope(c, ev))
			break;
		filter_fail(f,
		    "milter %s: it wants too many changes of the envelope",
		    f->spec->name);
		return false;
	case MILTER_QUARANTINE:
		filter_hold(c, ev->value);
		break;
	}
	if (!ok)
		log_warning(c->conf.log,
		    "milter %s: no room for a header "
		    "field \"%s\"",
		    f->spec->name, log_quote(ev->name, 100));
	return true;
}
