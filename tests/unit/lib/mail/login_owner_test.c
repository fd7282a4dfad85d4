/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/login_owner.h"

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

static const char *const settings[] = {
	"myhostname=mx.ours.example",
	"mydomain=ours.example",
	"myorigin=ours.example",
	"mydestination=ours.example, localhost",
	"recipient_delimiter=+",
	"alias_maps=inline:{info=alice, {sales=alice, bob}, "
	"{team=sales, carol@virtual.example}, {pipe=|/bin/bob}, "
	"{circle=circle2}, {circle2=circle}, {far=bob@other.example}, "
	"{taken=bob}}",
	"virtual_alias_domains=alias.example",
	"virtual_alias_maps=inline:{shop@alias.example=bob, "
	"{all@alias.example=team@ours.example, dave@virtual.example}, "
	"taken@ours.example=alice}",
	"virtual_mailbox_domains=virtual.example",
	"relay_domains=backend.example",
};

struct fixture {
	struct conf_dir dir;
	struct conf *conf;
	struct router *r;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	conf_dir_open(&f->dir, "# nothing\n");
	f->conf = conf_dir_load(&f->dir, settings, COUNT_OF(settings), NULL);
	conf_add_params(f->conf, common_params);
	if (router_open(f->conf, NULL, &f->r, &e) != 0)
		return -1;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	router_free(&f->r);
	conf_free(&f->conf);
	conf_dir_close(&f->dir);
	free(f);
	return 0;
}

static void
own_rule(void **state)
{
	static const struct {
		const char *login, *sender;
		int owns;
	} rows[] = {
		{ "bob", "bob@ours.example", 1 },
		{ "bob", "BOB@Ours.Example", 1 },
		{ "bob", "bob@localhost", 1 },
		{ "bob", "bob", 1 },
		{ "bob", "bob+list@ours.example", 1 },
		{ "bob", "\"bob\"@ours.example", 1 },
		{ "bob", "alice@ours.example", 0 },
		{ "bob", "bobby@ours.example", 0 },
		{ "bob", "bob@virtual.example", 0 },
		{ "bob", "bob@backend.example", 0 },
		{ "bob", "bob@other.example", 2 },
		{ "bob", "alice@ours.example@other.example", 2 },
		/* with a domain */
		{ "bob@ours.example", "bob@ours.example", 1 },
		{ "bob@ours.example", "bob@localhost", 1 },
		{ "bob@evil.example", "bob@ours.example", 0 },
		{ "carol@virtual.example", "carol@virtual.example", 1 },
		{ "carol@virtual.example", "Carol+x@virtual.example", 1 },
		{ "carol@virtual.example", "dave@virtual.example", 0 },
		{ "carol@virtual.example", "carol@ours.example", 0 },
		{ "carol", "carol@virtual.example", 0 },
		/* aliases */
		{ "alice", "info@ours.example", 1 },
		{ "alice", "info+x@ours.example", 1 },
		{ "bob", "info@ours.example", 0 },
		{ "bob", "sales@ours.example", 1 },
		{ "bob", "team@ours.example", 1 },
		{ "carol@virtual.example", "team@ours.example", 1 },
		{ "dave@virtual.example", "team@ours.example", 0 },
		{ "bob", "pipe@ours.example", 0 },
		{ "bob", "circle@ours.example", 0 },
		{ "bob", "far@ours.example", 0 },
		{ "bob", "shop@alias.example", 1 },
		{ "alice", "shop@alias.example", 0 },
		{ "alice", "all@alias.example", 1 },
		{ "dave@virtual.example", "all@alias.example", 1 },
		{ "erin", "all@alias.example", 0 },
		{ "alice", "taken@ours.example", 1 },
		{ "taken", "taken@ours.example", 1 },
		{ "erin", "taken@ours.example", 0 },
	};
	const struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const int owns = login_owner_check(f->r, NULL,
		    span_str(rows[i].sender), rows[i].login, &e);

		if (owns != rows[i].owns)
			fail_msg("%s as %s: %d", rows[i].login,
			    rows[i].sender, owns);
	}
	assert_int_equal(login_owner_check(f->r, NULL,
			     SPAN("bob@ours.example"), NULL, &e), 2);
}

static void
table(void **state)
{
	static const struct {
		const char *login, *sender;
		int owns;
	} rows[] = {
		{ "bob", "sales@ours.example", 1 },
		{ "BOB", "Sales@ours.example", 1 },
		{ "alice", "sales@ours.example", 1 },
		{ "erin", "sales@ours.example", 0 },
		{ NULL, "sales@ours.example", 0 },
		{ "erin", "anyone@shop.example", 1 },
		{ "bob", "anyone@shop.example", 0 },
		/* not in the table: nobody's, also one's own */
		{ "bob", "bob@ours.example", 2 },
		{ NULL, "bob@ours.example", 2 },
	};
	const struct fixture *f = *state;
	struct maps *maps, *broken;
	struct err e;

	assert_int_equal(
	    maps_open("inline:{{sales@ours.example=bob, alice}, "
		      "@shop.example=erin}", &maps, &e), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (login_owner_check(f->r, maps, span_str(rows[i].sender),
			rows[i].login, &e) != rows[i].owns)
			fail_msg("%s", rows[i].sender);
	assert_int_equal(maps_open("fail:x", &broken, &e), 0);
	assert_int_equal(login_owner_check(f->r, broken,
			     SPAN("bob@ours.example"), "bob", &e), -1);
	maps_free(&maps);
	maps_free(&broken);
}

static void
from_fields(void **state)
{
	static const struct {
		const char *body;
		int owns;
		const char *address;
	} rows[] = {
		{ "Bob <bob@ours.example>", 1, "" },
		{ "bob@ours.example (Bob), \"S\" <sales@ours.example>", 1, "" },
		{ "alice@ours.example", 0, "alice@ours.example" },
		{ "Bob <bob@ours.example>, alice@ours.example", 0,
		    "alice@ours.example" },
		{ "\"bob@ours.example\" <x@other.example>", 0,
		    "x@other.example" },
		{ "bob", 1, "" },
		{ "us: bob@ours.example;", 1, "" },
		{ "us:;", 0, "" },
		{ "", 0, "" },
		{ "<>", 0, "<>" },
		{ "<bob@ours.example> <x@other.example>", 0, NULL },
	};
	const struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf address;

		buf_init(&address, 2048);
		if (login_owner_from(f->r, NULL, span_str(rows[i].body),
			"bob", &address, &e) != rows[i].owns)
			fail_msg("%s", rows[i].body);
		if (rows[i].address != NULL)
			assert_string_equal(
			    buf_cstr(&address), rows[i].address);
		buf_release(&address);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(own_rule, set_up, tear_down),
		cmocka_unit_test_setup_teardown(table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    from_fields, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("login_owner", tests, NULL, NULL);
}
