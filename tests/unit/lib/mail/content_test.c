/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "tests/unit/lib/mail/conf_dir.h"

struct fixture {
	struct conf_dir dir;
	struct conf *conf;
	struct common_conf common;
	struct router *router;
	struct content_rules *rules;
	struct buf out, said;
};

static const char *const with_tables[] = { "myhostname=mx.ours.example",
	"mydomain=ours.example", "myorigin=ours.example",
	"mydestination=ours.example", "alias_maps=",
	"header_checks=pcre:header", "body_checks=pcre:body",
	"canonical_maps=inline:{old@ours.example=new@ours.example}",
	"sender_bcc_maps=inline:{watched@a.example=boss@ours.example}",
	"recipient_bcc_maps=fail:oops" };
static const char *const without_tables[] = { "myhostname=mx.ours.example",
	"mydomain=ours.example", "myorigin=ours.example",
	"mydestination=ours.example", "alias_maps=" };

static struct fixture *
begin(const char *const *lines, size_t n)
{
	struct fixture *f = MEM_NEW(f);
	struct err e;

	conf_dir_open(&f->dir, "");
	conf_dir_file(&f->dir, "header",
	    "/^X-Old:/ REPLACE To: old@ours.example\n"
	    "/^X-No:/ REJECT no\n/^X-Gone:/ IGNORE\n");
	conf_dir_file(&f->dir, "body", "/^bad$/ WARN bad\n");
	f->conf = conf_dir_load(&f->dir, lines, n, &f->common);
	assert_int_equal(router_open(f->conf, NULL, &f->router, &e), 0);
	assert_int_equal(
	    content_rules_open(&f->common, f->router, &f->rules, &e), 0);
	buf_init(&f->out, 10000);
	buf_init(&f->said, 10000);
	return f;
}

static void
end(struct fixture *f)
{
	content_rules_free(&f->rules);
	router_free(&f->router);
	conf_free(&f->conf);
	conf_dir_close(&f->dir);
	buf_release(&f->out);
	buf_release(&f->said);
	mem_free(f);
}

static void
out(void *arg, struct span bytes)
{
	struct fixture *f = arg;

	buf_add(&f->out, bytes);
}

static void
hit(void *arg, const struct check_hit *h)
{
	struct fixture *f = arg;

	buf_fmt(&f->said, "%s %s;", check_action_name(h->action), h->kind);
}

/* Sends a message through, as the completion of its header would. */
static void
feed(struct fixture *f, struct content *m, const char *header,
    const char *body)
{
	struct span rest = span_str(header);
	struct header_field field;
	struct buf instead;

	buf_init(&instead, 10000);
	while (header_next(&rest, &field)) {
		buf_reset(&instead);
		if (content_field(m, &field, &instead))
			out(f, buf_span(&instead));
		else
			out(f, field.raw);
	}
	content_body(m, span_str(body));
	content_end(m);
	buf_release(&instead);
}

static const struct content_conf all = { .checks = true,
	.mapping = true,
	.how = { .local = false, .domain = "" },
	.hit = hit };

static void
without_tables_nothing_is_in_the_way(void **state)
{
	struct fixture *f = begin(without_tables, COUNT_OF(without_tables));

	(void)state;
	assert_null(content_new(f->rules, &all, out, f));
	end(f);
}

/* What a check puts in is rewritten too. */
static void
checks_come_before_rewriting(void **state)
{
	struct fixture *f = begin(with_tables, COUNT_OF(with_tables));
	struct content *m = content_new(f->rules, &all, out, f);

	(void)state;
	assert_non_null(m);
	feed(f, m,
	    "X-Old: x\r\nX-Gone: 1\r\nFROM : Old <old@ours.example>\r\n"
	    "Subject: old@ours.example\r\n",
	    "bad\r\nlast");
	assert_string_equal(buf_cstr(&f->out),
	    "To: new@ours.example\r\nFROM : Old <new@ours.example>\r\n"
	    "Subject: old@ours.example\r\nbad\r\nlast");
	assert_string_equal(buf_cstr(&f->said), "replace header;warning body;");
	assert_null(content_fault(m));
	content_free(&m);
	end(f);
}

static void
each_half_can_be_left_out(void **state)
{
	struct fixture *f = begin(with_tables, COUNT_OF(with_tables));
	struct content_conf conf = all;
	struct content *m;

	(void)state;
	conf.checks = false;
	m = content_new(f->rules, &conf, out, f);
	feed(f, m, "X-No: 1\r\nTo: old@ours.example\r\n", "bad\r\n");
	assert_string_equal(buf_cstr(&f->out),
	    "X-No: 1\r\nTo: new@ours.example\r\nbad\r\n");
	content_free(&m);
	buf_reset(&f->out);
	conf = all;
	conf.mapping = false;
	m = content_new(f->rules, &conf, out, f);
	feed(f, m, "X-No: 1\r\nTo: old@ours.example\r\n", "");
	assert_string_equal(buf_cstr(&f->out),
	    "X-No: 1\r\nTo: old@ours.example\r\n");
	assert_string_equal(buf_cstr(&f->said), "reject header;");
	content_free(&m);
	conf.checks = false;
	assert_null(content_new(f->rules, &conf, out, f));
	end(f);
}

static void
copies_are_found(void **state)
{
	struct fixture *f = begin(with_tables, COUNT_OF(with_tables));
	struct buf copy;
	struct err e;

	(void)state;
	buf_init(&copy, 1000);
	assert_int_equal(content_bcc(f->rules, true,
	    SPAN("watched@a.example"), &copy, &e), 1);
	assert_string_equal(buf_cstr(&copy), "boss@ours.example");
	assert_int_equal(
	    content_bcc(f->rules, true, SPAN("x@a.example"), &copy, &e), 0);
	assert_int_equal(content_bcc(f->rules, true, SPAN_EMPTY, &copy, &e),
	    0);
	assert_int_equal(
	    content_bcc(f->rules, false, SPAN("x@a.example"), &copy, &e), -1);
	buf_release(&copy);
	end(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_tables_nothing_is_in_the_way),
		cmocka_unit_test(checks_come_before_rewriting),
		cmocka_unit_test(each_half_can_be_left_out),
		cmocka_unit_test(copies_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
