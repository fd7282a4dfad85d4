/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/rewrite.h"

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
	struct conf *conf;
	struct common_conf common;
	struct router *router;
	struct rewrite *r;
};

static void
load(struct fixture *f, const char *const *lines, size_t n)
{
	struct conf_dir dir;

	conf_dir_open(&dir, "");
	f->conf = conf_dir_load(&dir, lines, n, &f->common);
	conf_dir_close(&dir);
}

static const char *const lines[] = { "myhostname=mx.ours.example",
	"mydomain=ours.example", "myorigin=ours.example",
	"mydestination=ours.example", "alias_maps=",
	"recipient_delimiter=+",
	"canonical_maps=inline:{old@ours.example=new@ours.example, "
	"new@ours.example=newest, bare=First.Last@ours.example, "
	"@gone.example=@here.example, loop@a.example=pool@a.example, "
	"pool@a.example=loop@a.example, bad@a.example=<>}",
	"sender_canonical_maps=inline:{s@ours.example=old@ours.example}",
	"recipient_canonical_maps=inline:{r@ours.example=old@ours.example}",
	"masquerade_domains=!not.cut.example cut.example",
	"masquerade_exceptions=root" };

static int
set_up(void **state)
{
	struct fixture *f = MEM_NEW(f);
	struct err e;

	load(f, lines, COUNT_OF(lines));
	if (router_open(f->conf, NULL, &f->router, &e) != 0 ||
	    rewrite_open(&f->common, f->router, &f->r, &e) != 0)
		return -1;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	rewrite_free(&f->r);
	router_free(&f->router);
	conf_free(&f->conf);
	mem_free(f);
	return 0;
}

static void
check(struct fixture *f, enum rewrite_class class, const char *in,
    const char *wanted)
{
	struct buf out;
	struct err e;
	int rc;

	buf_init(&out, 1000);
	rc = rewrite_address(f->r, class, span_str(in), &out, &e);
	assert_string_equal(buf_cstr(&out), wanted);
	assert_int_equal(rc, !span_eq(span_str(in), span_str(wanted)));
	buf_release(&out);
}

static void
canonical_maps_go_on_until_nothing_changes(void **state)
{
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "old@ours.example",
	    "newest@ours.example");
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "x@ours.example",
	    "x@ours.example");
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "bare@ours.example",
	    "First.Last@ours.example");
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "bare@other.example",
	    "bare@other.example");
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "any.one@gone.example",
	    "any.one@here.example");
	check(*state, REWRITE_ENVELOPE_SENDER, "", "");
}

static void
extensions_are_kept(void **state)
{
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "old+x@ours.example",
	    "newest+x@ours.example");
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "a+x@gone.example",
	    "a+x@here.example");
}

static void
a_circle_ends(void **state)
{
	struct fixture *f = *state;
	struct buf out;
	struct err e;

	buf_init(&out, 1000);
	assert_true(rewrite_address(f->r, REWRITE_HEADER_SENDER,
			SPAN("loop@a.example"), &out, &e) >= 0);
	buf_release(&out);
	check(*state, REWRITE_HEADER_SENDER, "bad@a.example", "bad@a.example");
}

static void
classes_tell_what_applies(void **state)
{
	struct fixture *f = *state;

	check(f, REWRITE_ENVELOPE_SENDER, "s@ours.example",
	    "newest@ours.example");
	check(f, REWRITE_HEADER_SENDER, "s@ours.example",
	    "newest@ours.example");
	check(f, REWRITE_ENVELOPE_RECIPIENT, "s@ours.example",
	    "s@ours.example");
	check(f, REWRITE_HEADER_RECIPIENT, "r@ours.example",
	    "newest@ours.example");
	check(f, REWRITE_ENVELOPE_SENDER, "r@ours.example", "r@ours.example");
}

static void
domains_are_masqueraded(void **state)
{
	check(*state, REWRITE_ENVELOPE_SENDER, "a@host.cut.example",
	    "a@cut.example");
	check(*state, REWRITE_HEADER_RECIPIENT, "a@x.host.cut.example",
	    "a@cut.example");
	check(*state, REWRITE_ENVELOPE_RECIPIENT, "a@host.cut.example",
	    "a@host.cut.example");
	check(*state, REWRITE_ENVELOPE_SENDER, "root@host.cut.example",
	    "root@host.cut.example");
	check(*state, REWRITE_ENVELOPE_SENDER, "a@b.not.cut.example",
	    "a@b.not.cut.example");
	check(*state, REWRITE_ENVELOPE_SENDER, "a@uncut.example",
	    "a@uncut.example");
}

static void
field(struct fixture *f, bool local, const char *domain, const char *in,
    const char *wanted)
{
	const struct rewrite_header how = { .local = local,
		.domain = domain };
	struct buf out;
	struct err e;
	int rc;

	buf_init(&out, 1000);
	rc = rewrite_field(f->r, REWRITE_HEADER_RECIPIENT, &how, true,
	    span_str(in), &out, &e);
	if (wanted == NULL) {
		assert_int_equal(rc, 0);
		assert_int_equal(out.n, 0);
	} else {
		assert_int_equal(rc, 1);
		assert_string_equal(buf_cstr(&out), wanted);
	}
	buf_release(&out);
}

static void
only_addresses_change_in_a_field(void **state)
{
	struct fixture *f = *state;

	field(f, false, "", " a@b.example", NULL);
	field(f, false, "",
	    " \"O, ld\" <old@ours.example> (c),\r\n\tx@y.example,"
	    " old@ours.example (old@ours.example)",
	    " \"O, ld\" <newest@ours.example> (c),\r\n\tx@y.example,"
	    " newest@ours.example (old@ours.example)");
	field(f, false, "", " team: old@ours.example, <a@gone.example>;",
	    " team: newest@ours.example, <a@here.example>;");
	field(f, false, "", " (\"<\") old@ours.example",
	    " (\"<\") newest@ours.example");
	field(f, false, "", " \"a>b\" <\"x y\"@gone.example>",
	    " \"a>b\" <\"x y\"@here.example>");
	field(f, false, "", " undisclosed-recipients:;", NULL);
	field(f, false, "", " <<>> ,,; @", NULL);
}

static void
bare_names_are_completed(void **state)
{
	struct fixture *f = *state;

	field(f, true, "", " root, Bob <bob>",
	    " root@ours.example, Bob <bob@ours.example>");
	field(f, true, "", " a@b.example, c@d.example.",
	    " a@b.example, c@d.example");
	field(f, false, "", " root", NULL);
	field(f, false, "invalid.example", " root",
	    " root@invalid.example");
	field(f, false, "invalid.example", " a@b.example", NULL);
}

static void
fields_have_classes(void **state)
{
	enum rewrite_class c;

	(void)state;
	assert_true(rewrite_field_class(SPAN("Resent-Sender"), &c));
	assert_int_equal(c, REWRITE_HEADER_SENDER);
	assert_true(rewrite_field_class(SPAN("CC"), &c));
	assert_int_equal(c, REWRITE_HEADER_RECIPIENT);
	assert_false(rewrite_field_class(SPAN("Subject"), &c));
}

static void
an_unknown_class_is_an_error(void **state)
{
	static const char *const bad[] = { "myhostname=mx.ours.example",
		"mydomain=ours.example", "alias_maps=",
		"canonical_classes=envelope" };
	struct fixture f = { 0 };
	struct err e;

	(void)state;
	load(&f, bad, COUNT_OF(bad));
	assert_int_equal(router_open(f.conf, NULL, &f.router, &e), 0);
	assert_int_equal(rewrite_open(&f.common, f.router, &f.r, &e), -1);
	assert_string_equal(e.text,
	    "canonical_classes: unknown class \"envelope\"");
	router_free(&f.router);
	conf_free(&f.conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_maps_go_on_until_nothing_changes),
		cmocka_unit_test(extensions_are_kept),
		cmocka_unit_test(a_circle_ends),
		cmocka_unit_test(classes_tell_what_applies),
		cmocka_unit_test(domains_are_masqueraded),
		cmocka_unit_test(only_addresses_change_in_a_field),
		cmocka_unit_test(bare_names_are_completed),
		cmocka_unit_test(fields_have_classes),
		cmocka_unit_test(an_unknown_class_is_an_error),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
