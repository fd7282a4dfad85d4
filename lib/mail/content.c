/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/content.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

struct content {
	struct content_rules *rules;
	struct content_conf conf;
	struct checks *checks; /* NULL: no checks */
	struct buf field;      /* a field's body rewritten */
	fixup_out_fn out;
	void *arg;
	bool failed;
	struct err fault;
};

/* ---- tables ---- */

int
content_rules_open(const struct common_conf *conf,
    const struct router *router, struct content_rules **out, struct err *e)
{
	struct content_rules *r = MEM_NEW(r);

	r->conf = conf;
	if (checks_open(conf, &r->checks, e) != 0 ||
	    rewrite_open(conf, router, &r->rewrite, e) != 0 ||
	    maps_open(conf->sender_bcc_maps, &r->sender_bcc, e) != 0 ||
	    maps_open(conf->recipient_bcc_maps, &r->recipient_bcc, e) != 0) {
		content_rules_free(&r);
		return -1;
	}
	*out = r;
	return 0;
}

void
content_rules_free(struct content_rules **r)
{
	if (*r == NULL)
		return;
	checks_free(&(*r)->checks);
	rewrite_free(&(*r)->rewrite);
	maps_free(&(*r)->sender_bcc);
	maps_free(&(*r)->recipient_bcc);
	mem_free(*r);
	*r = NULL;
}

int
content_bcc(struct content_rules *r, bool sender, struct span address,
    struct buf *out, struct err *e)
{
	struct maps *m = sender ? r->sender_bcc : r->recipient_bcc;
	struct buf value;
	enum map_result found;

	if (maps_empty(m) || address.n == 0)
		return 0;
	buf_init(&value, LIMIT_TABLE_VALUE);
	found = maps_get_address(m, address, r->conf->recipient_delimiter,
	    false, &value, e);
	if (found == MAP_FOUND)
		buf_add(out, span_trim(buf_span(&value)));
	buf_release(&value);
	return found == MAP_FOUND ? 1 : found == MAP_ABSENT ? 0 : -1;
}

/* ---- one message ---- */

static void
set_fault(struct content *m, const struct err *e)
{
	if (m->failed)
		return;
	m->failed = true;
	m->fault = *e;
}

static void
on_hit(void *arg, const struct check_hit *hit)
{
	struct content *m = arg;
	struct err e;

	if (hit->action == CHECK_FAILED) {
		err_set(&e, ERR_TEMP, "4.3.0", "%.*s", SPAN_FMT(hit->text));
		set_fault(m, &e);
		return;
	}
	m->conf.hit(m->arg, hit);
}

static void
pass_on(void *arg, struct span bytes)
{
	struct content *m = arg;

	m->out(m->arg, bytes);
}

struct content *
content_new(struct content_rules *rules, const struct content_conf *conf,
    fixup_out_fn out, void *arg)
{
	struct rewrite *r = rules->rewrite;
	const bool checks = conf->checks && checks_wanted(rules->checks);
	const bool rewriting = conf->how.local ||
	    conf->how.domain[0] != '\0' ||
	    (conf->mapping && (rewrite_wanted(r, REWRITE_HEADER_SENDER) ||
				  rewrite_wanted(r,
				      REWRITE_HEADER_RECIPIENT)));
	struct content *m;

	if (!checks && !rewriting)
		return NULL;
	m = MEM_NEW(m);
	m->rules = rules;
	m->conf = *conf;
	m->out = out;
	m->arg = arg;
	buf_init(&m->field, LIMIT_HEADER);
	if (checks)
		m->checks = checks_new(rules->checks, on_hit, pass_on, m);
	return m;
}

void
content_free(struct content **m)
{
	if (*m == NULL)
		return;
	checks_close(&(*m)->checks);
	buf_release(&(*m)->field);
	mem_free(*m);
	*m = NULL;
}

/* A field with its addresses rewritten, or as it is. */
static bool
rewrite(struct content *m, const struct header_field *field, struct buf *out)
{
	enum rewrite_class class;
	struct err e;
	int rc;

	if (!rewrite_field_class(field->name, &class))
		return false;
	buf_reset(&m->field);
	rc = rewrite_field(m->rules->rewrite, class, &m->conf.how,
	    m->conf.mapping, field->body, &m->field, &e);
	if (rc < 0)
		set_fault(m, &e);
	if (rc <= 0)
		return false;
	/* The name as it was written, then the body and the line end. */
	buf_add(out, span_slice(field->raw, 0,
	    (size_t)(field->body.p - field->raw.p)));
	buf_add(out, buf_span(&m->field));
	buf_str(out, "\r\n");
	return true;
}

bool
content_field(void *arg, const struct header_field *field,
    struct buf *instead)
{
	struct content *m = arg;
	struct header_field f;
	struct buf checked;
	struct span rest;

	if (m->checks == NULL)
		return rewrite(m, field, instead);
	buf_init(&checked, instead->max);
	if (!checks_header(m->checks, field, &checked)) {
		buf_release(&checked);
		return rewrite(m, field, instead);
	}
	rest = buf_span(&checked);
	while (header_next(&rest, &f))
		if (!rewrite(m, &f, instead))
			buf_add(instead, f.raw);
	buf_add(instead, rest);
	buf_release(&checked);
	return true;
}

void
content_body(void *arg, struct span bytes)
{
	struct content *m = arg;

	if (m->checks != NULL)
		checks_body(m->checks, bytes);
	else
		m->out(m->arg, bytes);
}

void
content_end(struct content *m)
{
	if (m->checks != NULL)
		checks_end(m->checks);
}

const struct err *
content_fault(const struct content *m)
{
	return m->failed ? &m->fault : NULL;
}
