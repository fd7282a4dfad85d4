/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/checks.h"

#include <stdio.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/proto/mime_stream.h"

struct checks_tables {
	struct maps *header, *mime, *nested, *body;
	uint64_t body_max; /* bytes of each part that are looked at */
};

struct checks {
	struct checks_tables *t;
	check_fn fn;
	fixup_out_fn out;
	void *arg;
	struct mime_stream *mime; /* from the body on, if it is looked at */
	struct buf type, encoding;
	struct buf key, value, edit;
	bool failed; /* said once */
};

/* ---- tables ---- */

int
checks_open(const struct common_conf *c, struct checks_tables **out,
    struct err *e)
{
	struct checks_tables *t = MEM_NEW(t);

	t->body_max = (uint64_t)c->body_checks_size_limit;
	if (maps_open(c->header_checks, &t->header, e) != 0 ||
	    maps_open(c->mime_header_checks, &t->mime, e) != 0 ||
	    maps_open(c->nested_header_checks, &t->nested, e) != 0 ||
	    maps_open(c->body_checks, &t->body, e) != 0) {
		checks_free(&t);
		return -1;
	}
	*out = t;
	return 0;
}

void
checks_free(struct checks_tables **t)
{
	if (*t == NULL)
		return;
	maps_free(&(*t)->header);
	maps_free(&(*t)->mime);
	maps_free(&(*t)->nested);
	maps_free(&(*t)->body);
	mem_free(*t);
	*t = NULL;
}

static bool
body_wanted(const struct checks_tables *t)
{
	return !maps_empty(t->mime) || !maps_empty(t->nested) ||
	       !maps_empty(t->body);
}

bool
checks_wanted(const struct checks_tables *t)
{
	return !maps_empty(t->header) || body_wanted(t);
}

/* ---- what a table says ---- */

static const struct {
	const char *word, *log;
	enum check_action action;
	bool needs_text;
} actions[] = {
	{ "REJECT", "reject", CHECK_REJECT, false },
	{ "DISCARD", "discard", CHECK_DISCARD, false },
	{ "HOLD", "hold", CHECK_HOLD, false },
	{ "FILTER", "filter", CHECK_FILTER, true },
	{ "REDIRECT", "redirect", CHECK_REDIRECT, true },
	{ "BCC", "bcc", CHECK_BCC, true },
	{ "WARN", "warning", CHECK_WARN, false },
	{ "INFO", "info", CHECK_INFO, false },
	{ "PREPEND", "prepend", CHECK_PREPEND, true },
	{ "REPLACE", "replace", CHECK_REPLACE, true },
	{ "STRIP", "strip", CHECK_STRIP, false },
	{ "IGNORE", "", CHECK_IGNORE, false },
	{ "DUNNO", "", CHECK_NOTHING, false },
	{ "OK", "", CHECK_NOTHING, false },
};

const char *
check_action_name(enum check_action a)
{
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (actions[i].action == a)
			return actions[i].log;
	return "";
}

/* "5.7.1 text" (RFC 3463): the code goes into dsn, the text remains. */
static void
split_dsn(struct check_hit *hit)
{
	struct span rest = hit->text, word;
	const uint8_t *p;

	snprintf(hit->dsn, sizeof(hit->dsn), "5.7.1");
	if (!span_token(&rest, " \t", &word) || word.n < 5 ||
	    word.n >= sizeof(hit->dsn))
		return;
	p = word.p;
	if (p[0] != '5' || p[1] != '.' || !ascii_digit(p[2]))
		return;
	for (size_t i = 2; i < word.n; i++)
		if (!ascii_digit(p[i]) && p[i] != '.')
			return;
	span_copy(word, hit->dsn, sizeof(hit->dsn));
	hit->text = span_trim(rest);
}

bool
check_parse(struct span value, struct check_hit *out)
{
	struct span rest = span_trim(value), word;

	out->action = CHECK_NOTHING;
	out->dsn[0] = '\0';
	if (!span_token(&rest, " \t", &word))
		return false;
	for (size_t i = 0; i < COUNT_OF(actions); i++) {
		if (!span_ieq(word, span_str(actions[i].word)))
			continue;
		out->text = span_trim(rest);
		if (actions[i].needs_text && out->text.n == 0)
			return false;
		out->action = actions[i].action;
		if (out->action == CHECK_REJECT)
			split_dsn(out);
		return true;
	}
	return false;
}

/* ---- fields of filters ---- */

bool
checks_filter_field(struct maps *m, struct span name, struct span value,
    check_fn fn, void *arg, struct buf *instead, struct buf *before)
{
	struct check_hit hit = { .action = CHECK_NOTHING, .kind = "header" };
	struct buf line, verdict;
	struct err e;

	buf_init(&line, LIMIT_HEADER);
	buf_init(&verdict, LIMIT_TABLE_VALUE);
	buf_add(&line, name);
	buf_str(&line, ": ");
	buf_add(&line, value);
	hit.line = buf_span(&line);
	switch (maps_get(m, hit.line, &verdict, &e)) {
	case MAP_ABSENT:
		break;
	case MAP_FAILED:
		hit.action = CHECK_FAILED;
		hit.text = span_str(e.text);
		break;
	case MAP_FOUND:
		if (!check_parse(buf_span(&verdict), &hit))
			log_warning(NULL, "%s: no such action: \"%s\"",
			    maps_where(m), log_quote(buf_span(&verdict), 100));
		break;
	}
	if (hit.action != CHECK_NOTHING && hit.action != CHECK_IGNORE)
		fn(arg, &hit);
	if (hit.action == CHECK_REPLACE)
		buf_add(instead, hit.text);
	if (hit.action == CHECK_PREPEND)
		buf_add(before, hit.text);
	buf_release(&line);
	buf_release(&verdict);
	return hit.action != CHECK_IGNORE && hit.action != CHECK_STRIP;
}

/* ---- one look-up ---- */

/* The field or line as tables see it: folds as LF, no last line end. */
static struct span
key_of(struct checks *c, struct span raw)
{
	buf_reset(&c->key);
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] != '\r' || i + 1 >= raw.n || raw.p[i + 1] != '\n')
			buf_byte(&c->key, raw.p[i]);
	if (c->key.n > 0 && c->key.p[c->key.n - 1] == '\n')
		buf_truncate(&c->key, c->key.n - 1);
	return buf_span(&c->key);
}

static void
tell(struct checks *c, struct check_hit *hit)
{
	if (hit->action == CHECK_FAILED) {
		if (c->failed)
			return;
		c->failed = true;
	}
	c->fn(c->arg, hit);
}

static void
edit_line(struct checks *c, const struct check_hit *hit, struct span raw)
{
	if (hit->action == CHECK_PREPEND || hit->action == CHECK_REPLACE) {
		buf_add(&c->edit, hit->text);
		buf_str(&c->edit, "\r\n");
	}
	if (hit->action == CHECK_PREPEND)
		buf_add(&c->edit, raw);
}

/* Looks raw up. True: c->edit goes in its place. */
static bool
check(struct checks *c, struct maps *m, const char *kind, struct span raw)
{
	struct check_hit hit = { .kind = kind, .line = key_of(c, raw) };
	struct err e;

	if (maps_empty(m))
		return false;
	switch (maps_get(m, hit.line, &c->value, &e)) {
	case MAP_ABSENT:
		return false;
	case MAP_FAILED:
		hit.action = CHECK_FAILED;
		hit.text = span_str(e.text);
		tell(c, &hit);
		return false;
	case MAP_FOUND:
		break;
	}
	if (!check_parse(buf_span(&c->value), &hit)) {
		log_warning(NULL, "%s: no such action: \"%s\"", maps_where(m),
		    log_quote(buf_span(&c->value), 100));
		return false;
	}
	buf_reset(&c->edit);
	edit_line(c, &hit, raw);
	if (hit.action != CHECK_NOTHING && hit.action != CHECK_IGNORE)
		tell(c, &hit);
	return hit.action == CHECK_PREPEND || hit.action == CHECK_REPLACE ||
	       hit.action == CHECK_STRIP || hit.action == CHECK_IGNORE;
}

/* ---- the message's own header ---- */

bool
checks_header(struct checks *c, const struct header_field *field,
    struct buf *instead)
{
	if (span_ieq(field->name, SPAN("content-type"))) {
		buf_reset(&c->type);
		buf_add(&c->type, field->body);
	} else if (span_ieq(field->name,
		       SPAN("content-transfer-encoding"))) {
		buf_reset(&c->encoding);
		buf_add(&c->encoding, field->body);
	}
	if (!check(c, c->t->header, "header", field->raw))
		return false;
	buf_add(instead, buf_span(&c->edit));
	return true;
}

/* ---- the body ---- */

static void
pass(struct checks *c, struct maps *m, const char *kind, struct span raw)
{
	if (check(c, m, kind, raw))
		raw = buf_span(&c->edit);
	if (raw.n > 0)
		c->out(c->arg, raw);
}

static void
on_field(void *arg, enum mime_stream_class class,
    const struct header_field *field)
{
	struct checks *c = arg;

	pass(c, class == MIME_STREAM_PART ? c->t->mime : c->t->nested,
	    "header", field->raw);
}

static void
on_line(void *arg, struct span line, uint64_t at)
{
	struct checks *c = arg;

	if (at < c->t->body_max)
		pass(c, c->t->body, "body", line);
	else
		c->out(c->arg, line);
}

static void
on_other(void *arg, struct span bytes)
{
	struct checks *c = arg;

	c->out(c->arg, bytes);
}

void
checks_body(struct checks *c, struct span bytes)
{
	static const struct mime_stream_handler handler = { on_field, on_line,
		on_other };

	if (!body_wanted(c->t)) {
		c->out(c->arg, bytes);
		return;
	}
	if (c->mime == NULL)
		c->mime = mime_stream_new(buf_span(&c->type),
		    buf_span(&c->encoding), &handler, c);
	mime_stream_feed(c->mime, bytes);
}

void
checks_end(struct checks *c)
{
	if (c->mime != NULL)
		mime_stream_end(c->mime);
}

struct checks *
checks_new(struct checks_tables *t, check_fn fn, fixup_out_fn out, void *arg)
{
	struct checks *c = MEM_NEW(c);

	c->t = t;
	c->fn = fn;
	c->out = out;
	c->arg = arg;
	buf_init(&c->type, LIMIT_HEADER);
	buf_init(&c->encoding, LIMIT_HEADER);
	buf_init(&c->key, LIMIT_HEADER);
	buf_init(&c->value, LIMIT_TABLE_VALUE);
	buf_init(&c->edit, LIMIT_HEADER + LIMIT_TABLE_VALUE);
	return c;
}

void
checks_close(struct checks **c)
{
	if (*c == NULL)
		return;
	mime_stream_free(&(*c)->mime);
	buf_release(&(*c)->type);
	buf_release(&(*c)->encoding);
	buf_release(&(*c)->key);
	buf_release(&(*c)->value);
	buf_release(&(*c)->edit);
	mem_free(*c);
	*c = NULL;
}
