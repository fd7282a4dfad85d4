/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "tests/unit/lib/mail/conf_dir.h"
#include "lib/queue/queue.h"

/* ---- a configuration of inline tables -------------------------------------
 */

static const char *const base[] = {
	"myhostname=mx.ours.example",
	"mydomain=ours.example",
	"myorigin=ours.example",
	"mydestination=ours.example, localhost, localhost.ours.example",
	"inet_interfaces=192.0.2.1, [2001:db8::1]",
	"recipient_delimiter=+",
	"alias_maps=inline:{info=alice, root=alice, list+x=alice}",
	"virtual_mailbox_domains=virtual.example",
	"relay_domains=backend.example",
};

enum { TRACE = 0x1234 };

struct fixture {
	struct conf_dir dir;
	struct conf *conf;
	struct router *r;
	/* users */
	const char *users; /* "alice bob full!" */
	bool broken, later;
	router_user_fn waiting;
	void *waiting_arg;
	char waiting_name[200];
	unsigned lookups, cancels;
	uint64_t trace; /* of the last look-up */
};

static void
answer(struct fixture *f)
{
	struct router_user u = { 0 };
	struct span rest = span_str(f->users), word;
	struct err e;

	if (f->broken) {
		err_set(&e, ERR_TEMP, "4.3.0", "auth is away");
		f->waiting(f->waiting_arg, NULL, &e);
		return;
	}
	while (span_token(&rest, " ", &word)) {
		const bool full = span_ends(word, SPAN("!"));
		if (span_eq(span_slice(word, 0, word.n - full),
			span_str(f->waiting_name))) {
			u.found = true;
			u.over_quota = full;
		}
	}
	f->waiting(f->waiting_arg, &u, NULL);
}

static void
lookup(void *ctx, struct span name, uint64_t trace, router_user_fn fn,
    void *arg)
{
	struct fixture *f = ctx;

	f->trace = trace;
	f->lookups++;
	f->waiting = fn;
	f->waiting_arg = arg;
	assert_true(span_copy(name, f->waiting_name, sizeof(f->waiting_name)));
	if (!f->later)
		answer(f);
}

static void
cancel(void *ctx, const void *arg)
{
	struct fixture *f = ctx;

	assert_ptr_equal(arg, f->waiting_arg);
	f->cancels++;
}

static struct router_users users = { lookup, cancel, NULL };

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	conf_dir_open(&f->dir,
	    "# nothing\n\nvirtual_alias_domains = alias.example\n");
	f->users = "alice bob carol@virtual.example full!";
	users.ctx = f;
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

/* Opens a router with the settings above and more. */
static void
start(struct fixture *f, const char *const *more)
{
	const char *all[40];
	size_t n = 0;
	struct err e;

	for (; n < COUNT_OF(base); n++)
		all[n] = base[n];
	for (; more != NULL && *more != NULL; more++)
		all[n++] = *more;
	router_free(&f->r);
	conf_free(&f->conf);
	f->conf = conf_dir_load(&f->dir, all, n, NULL);
	if (router_open(f->conf, &users, &f->r, &e) < 0)
		fail_msg("%s", e.text);
}

/* ---- one line for a result ------------------------------------------------
 */

struct seen {
	char text[2000], reason[2000];
	unsigned calls;
};

static void
note(void *arg, const struct route_result *r)
{
	struct seen *s = arg;
	size_t n = 0;

	s->calls++;
	if (r->code != 0)
		n += (size_t)snprintf(s->text, sizeof(s->text), "%u %s %s%s",
		    r->code, r->err.dsn, r->err.text,
		    r->class_known && !r->ours ? " (not ours)" : "");
	for (size_t i = 0; i < r->count; i++) {
		const struct route *t = &r->routes[i];
		n += (size_t)snprintf(s->text + n, sizeof(s->text) - n,
		    "%s%.*s %s %.*s:%.*s%s", i > 0 ? " | " : "",
		    SPAN_FMT(t->address), route_class_name(t->class),
		    SPAN_FMT(t->transport), SPAN_FMT(t->nexthop),
		    t->flags & RCPT_ALIAS ? " alias" : "");
	}
	if (r->code == 0 && !r->ours)
		snprintf(s->text + n, sizeof(s->text) - n, " (not ours)");
	snprintf(s->reason, sizeof(s->reason), "%.*s",
	    SPAN_FMT(r->count > 0 ? r->routes[0].reason : r->reason));
}

static const char *
resolve(struct fixture *f, const char *address, unsigned flags)
{
	static struct seen s;

	s = (struct seen){ 0 };
	router_resolve(f->r, span_str(address), flags, TRACE, note, &s);
	assert_true(f->lookups == 0 || f->trace == TRACE);
	assert_int_equal(s.calls, 1);
	return s.text;
}

struct row {
	const char *address, *result;
};

static void
check_rows(
    struct fixture *f, const struct row *rows, size_t count, unsigned flags)
{
	for (size_t i = 0; i < count; i++) {
		const char *got = resolve(f, rows[i].address, flags);
		if (strcmp(got, rows[i].result) != 0)
			fail_msg("%s: got      %s\n     expected %s",
			    rows[i].address, got, rows[i].result);
	}
}

/* ---- tests ----------------------------------------------------------------
 */

static void
classes_and_next_hops(void **state)
{
	static const struct row rows[] = {
		{ "alice@ours.example",
		    "alice@ours.example local local:mx.ours.example" },
		{ "Alice@OURS.example",
		    "Alice@OURS.example local local:mx.ours.example" },
		{ "alice", "alice@ours.example local local:mx.ours.example" },
		{ "alice@localhost",
		    "alice@localhost local local:mx.ours.example" },
		{ "alice@[192.0.2.1]",
		    "alice@[192.0.2.1] local local:mx.ours.example" },
		{ "alice@[IPv6:2001:db8::1]",
		    "alice@[IPv6:2001:db8::1] local local:mx.ours.example" },
		{ "alice@[192.0.2.2]",
		    "alice@[192.0.2.2] default smtp:[192.0.2.2] (not ours)" },
		{ "alice+tag@ours.example",
		    "alice+tag@ours.example local local:mx.ours.example" },
		{ "carol@Virtual.example",
		    "carol@Virtual.example virtual virtual:virtual.example" },
		{ "x@backend.example",
		    "x@backend.example relay relay:backend.example" },
		{ "x@sub.backend.example",
		    "x@sub.backend.example relay relay:sub.backend.example" },
		{ "x@Other.Example",
		    "x@Other.Example default smtp:other.example (not ours)" },
		{ "info@ours.example",
		    "info@ours.example local local:mx.ours.example alias" },
		{ "list+x@ours.example",
		    "list+x@ours.example local local:mx.ours.example alias" },
		{ "info+x@ours.example",
		    "info+x@ours.example local local:mx.ours.example alias" },
		{ "a b@ours.example", "501 5.1.3 Bad recipient address "
				      "syntax" },
		{ "x@", "501 5.1.3 Bad recipient address syntax" },
		{ "", "501 5.1.3 Bad recipient address syntax" },
		{ "\"a b\"@other.example",
		    "\"a b\"@other.example default smtp:other.example "
		    "(not ours)" },
	};
	struct fixture *f = *state;

	start(f, NULL);
	check_rows(f, rows, COUNT_OF(rows), 0);
	assert_int_equal(f->lookups, 0);
}

/* Tables of those who exist, beside or in place of the user database. */
static void
tables_of_recipients(void **state)
{
	static const struct row rows[] = {
		{ "listed@ours.example",
		    "listed@ours.example local local:mx.ours.example" },
		{ "listed+x@ours.example",
		    "listed+x@ours.example local local:mx.ours.example" },
		{ "alice@ours.example",
		    "alice@ours.example local local:mx.ours.example" },
		{ "nobody@ours.example",
		    "550 5.1.1 User unknown in local recipient table" },
		{ "box@virtual.example",
		    "box@virtual.example virtual virtual:virtual.example" },
		{ "carol@virtual.example",
		    "550 5.1.1 User unknown in virtual mailbox table" },
		{ "who@backend.example",
		    "who@backend.example relay relay:backend.example" },
		{ "other@backend.example",
		    "550 5.1.1 User unknown in relay recipient table" },
		{ "any@all.backend.example",
		    "any@all.backend.example relay relay:all.backend.example" },
	};
	static const char *const tables[] = {
		"local_recipient_maps=proxy:unix:passwd.byname $alias_maps "
		"inline:{listed=x}",
		"virtual_mailbox_maps=inline:{box@virtual.example=x}",
		"relay_recipient_maps=inline:{who@backend.example=x, "
		"@all.backend.example=x}", NULL };
	static const char *const only[] = { "local_recipient_maps="
		"$alias_maps inline:{listed=x}", NULL };
	static const char *const aliases[] = {
		"local_recipient_maps=$alias_maps", NULL };
	static const char *const broken[] = { "relay_recipient_maps=fail:no",
		NULL };
	struct fixture *f = *state;

	start(f, tables);
	check_rows(f, rows, COUNT_OF(rows), ROUTER_CHECK_USER);
	start(f, only);
	check_rows(f, rows, 2, ROUTER_CHECK_USER);
	assert_string_equal(
	    resolve(f, "alice@ours.example", ROUTER_CHECK_USER),
	    "550 5.1.1 User unknown in local recipient table");
	start(f, aliases);
	assert_string_equal(
	    resolve(f, "alice@ours.example", ROUTER_CHECK_USER),
	    "550 5.1.1 User unknown in local recipient table");
	assert_string_equal(
	    resolve(f, "info@ours.example", ROUTER_CHECK_USER),
	    "info@ours.example local local:mx.ours.example alias");
	start(f, broken);
	assert_true(strncmp(
	    resolve(f, "who@backend.example", ROUTER_CHECK_USER),
	    "451 4.3.0 ", 10) == 0);
}

static void
users_are_asked_when_wanted(void **state)
{
	static const struct row rows[] = {
		{ "alice@ours.example",
		    "alice@ours.example local local:mx.ours.example" },
		{ "ALICE+x@ours.example",
		    "ALICE+x@ours.example local local:mx.ours.example" },
		{ "nobody@ours.example",
		    "550 5.1.1 User unknown in local recipient table" },
		{ "nobody+x@ours.example",
		    "550 5.1.1 User unknown in local recipient table" },
		{ "info@ours.example",
		    "info@ours.example local local:mx.ours.example alias" },
		{ "full@ours.example", "452 4.2.2 Mailbox is over quota" },
		{ "carol@virtual.example",
		    "carol@virtual.example virtual virtual:virtual.example" },
		{ "carol+x@virtual.example", "carol+x@virtual.example virtual "
					     "virtual:virtual.example" },
		{ "alice@virtual.example",
		    "550 5.1.1 User unknown in virtual mailbox table" },
		{ "who@alias.example",
		    "550 5.1.1 User unknown in virtual alias table" },
		{ "who@backend.example",
		    "who@backend.example relay relay:backend.example" },
	};
	struct fixture *f = *state;

	start(f, NULL);
	check_rows(f, rows, COUNT_OF(rows), ROUTER_CHECK_USER);
	f->broken = true;
	assert_string_equal(resolve(f, "alice@ours.example", ROUTER_CHECK_USER),
	    "451 4.3.0 auth is away");

	static const char *const open[] = { "local_recipient_maps=", NULL };
	start(f, open);
	assert_string_equal(
	    resolve(f, "nobody@ours.example", ROUTER_CHECK_USER),
	    "nobody@ours.example local local:mx.ours.example");
}

static void
postmaster_is_always_there(void **state)
{
	struct fixture *f = *state;

	start(f, NULL);
	f->broken = true;
	assert_string_equal(
	    resolve(f, "Postmaster@ours.example", ROUTER_CHECK_USER),
	    "root@ours.example local local:mx.ours.example alias");
	assert_string_equal(resolve(f, "postmaster", ROUTER_CHECK_USER),
	    "root@ours.example local local:mx.ours.example alias");

	static const char *const own[] = { "alias_maps=inline:{postmaster=x}",
		NULL };
	start(f, own);
	assert_string_equal(
	    resolve(f, "postmaster@ours.example", ROUTER_CHECK_USER),
	    "postmaster@ours.example local local:mx.ours.example alias");
}

static void
routed_local_parts_are_never_relayed(void **state)
{
	static const struct row rows[] = {
		{ "u%other.example@ours.example",
		    "550 5.1.1 User unknown in local recipient table "
		    "(not ours)" },
		{ "other.example!u@ours.example",
		    "550 5.1.1 User unknown in local recipient table "
		    "(not ours)" },
		{ "\"u@other.example\"@ours.example",
		    "550 5.1.1 User unknown in local recipient table "
		    "(not ours)" },
		{ "u%other.example@backend.example",
		    "u%other.example@backend.example relay "
		    "relay:backend.example (not ours)" },
		/* Without "@" they are a way to write an address. */
		{ "u%other.example",
		    "u@other.example default smtp:other.example (not ours)" },
		{ "other.example!u",
		    "u@other.example default smtp:other.example (not ours)" },
		{ "ours.example!alice",
		    "alice@ours.example local local:mx.ours.example" },
		{ "bad_!", "550 5.1.1 User unknown in local recipient table "
			   "(not ours)" },
	};
	struct fixture *f = *state;

	start(f, NULL);
	check_rows(f, rows, COUNT_OF(rows), ROUTER_CHECK_USER);
	static const char *const trust[] = { "allow_untrusted_routing=yes",
		NULL };
	start(f, trust);
	assert_string_equal(resolve(f, "u%x@backend.example", 0),
	    "u%x@backend.example relay relay:backend.example");
}

static void
virtual_aliases_expand(void **state)
{
	static const char *const settings[] = {
		"virtual_alias_maps=inline:{"
		"{team@ours.example = alice, x@other.example, "
		"carol@virtual.example},"
		"{bare = bob},"
		"{keep@ours.example = keep@ours.example, bob},"
		"{a@alias.example = b@alias.example},"
		"{b@alias.example = c@other.example, a@alias.example},"
		"{loop1@ours.example = loop2@ours.example},"
		"{loop2@ours.example = loop1@ours.example},"
		"{@moved.example = @new.example},"
		"{ext@ours.example = far@other.example},"
		"{junk@ours.example = :include:/x},"
		"{remote@elsewhere.example = alice}}",
		NULL
	};
	static const struct row rows[] = {
		{ "team@ours.example",
		    "alice@ours.example local local:mx.ours.example | "
		    "x@other.example default smtp:other.example | "
		    "carol@virtual.example virtual virtual:virtual.example" },
		{ "BARE@ours.example",
		    "bob@ours.example local local:mx.ours.example" },
		{ "bare@other.example",
		    "bare@other.example default smtp:other.example "
		    "(not ours)" },
		{ "keep@ours.example",
		    "keep@ours.example local local:mx.ours.example | "
		    "bob@ours.example local local:mx.ours.example" },
		{ "a@alias.example",
		    "c@other.example default smtp:other.example" },
		{ "loop1@ours.example",
		    "451 4.6.0 virtual_alias_maps: unreasonable expansion of "
		    "<loop1@ours.example>" },
		{ "me@moved.example",
		    "me@new.example default smtp:new.example (not ours)" },
		{ "ext+tag@ours.example",
		    "far+tag@other.example default smtp:other.example" },
		{ "remote@elsewhere.example",
		    "alice@ours.example local local:mx.ours.example "
		    "(not ours)" },
	};
	struct fixture *f = *state;

	start(f, settings);
	check_rows(f, rows, COUNT_OF(rows), ROUTER_CHECK_USER);
	assert_true(span_starts(
	    span_str(resolve(f, "junk@ours.example", 0)), SPAN("451 4.3.5 ")));
	static const char *const few[] = {
		"virtual_alias_maps=inline:{{a@ours.example = b@x.example, "
		"c@x.example, d@x.example}}",
		"virtual_alias_expansion_limit=3", NULL
	};
	start(f, few);
	assert_string_equal(resolve(f, "a@ours.example", 0),
	    "451 4.6.0 virtual_alias_maps: unreasonable expansion of "
	    "<a@ours.example>");
}

static void
transport_maps_decide(void **state)
{
	static const char *const settings[] = { "relayhost=[smart.example]:587",
		"transport_maps=inline:{"
		"special@other.example=lmtp:unix:private/x,"
		"other.example=smtp:[mx.other.example]:2525,"
		".wild.example=relay:, next.example=:[gate.example],"
		"keep.example=:, {dead.example=error:5.1.2 no such place},"
		"{late.example=retry:4.7.1 come later},"
		"{odd.example=error:nothing here}}",
		NULL };
	static const struct row rows[] = {
		{ "x@other.example",
		    "x@other.example default smtp:[mx.other.example]:2525 "
		    "(not ours)" },
		{ "Special+y@other.example",
		    "Special+y@other.example default lmtp:unix:private/x "
		    "(not ours)" },
		{ "x@a.b.wild.example",
		    "x@a.b.wild.example default relay:a.b.wild.example "
		    "(not ours)" },
		{ "x@wild.example",
		    "x@wild.example default smtp:[smart.example]:587 "
		    "(not ours)" },
		{ "x@next.example",
		    "x@next.example default smtp:[gate.example] (not ours)" },
		{ "x@keep.example",
		    "x@keep.example default smtp:[smart.example]:587 "
		    "(not ours)" },
		{ "x@backend.example",
		    "x@backend.example relay relay:[smart.example]:587" },
		{ "x@dead.example", "550 5.1.2 no such place (not ours)" },
		{ "x@late.example", "450 4.7.1 come later (not ours)" },
		{ "x@odd.example", "550 5.0.0 nothing here (not ours)" },
	};
	struct fixture *f = *state;

	start(f, settings);
	check_rows(f, rows, COUNT_OF(rows), ROUTER_CHECK_USER);
	assert_string_equal(resolve(f, "x@dead.example", 0),
	    "x@dead.example default error:5.1.2 no such place (not ours)");
}

static void
a_failing_table_is_temporary(void **state)
{
	static const char *const names[] = { "virtual_alias_maps=fail:x",
		"transport_maps=fail:x", "alias_maps=fail:x",
		"mydestination=fail:x", "relay_domains=fail:x" };
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *const more[] = { names[i],
			i == 4 ? "mydestination=" : NULL, NULL };
		start(f, more);
		assert_string_equal(resolve(f, "alice@ours.example", 0),
		    "451 4.3.0 table fail:x: a look-up that always fails");
	}
	const char *const bad[] = { "transport_maps=nonsense" };
	struct err e;
	conf_free(&f->conf);
	router_free(&f->r);
	assert_int_equal(conf_load(f->dir.path, bad, 1, &f->conf, &e), 0);
	assert_int_equal(router_open(f->conf, &users, &f->r, &e), -1);
	assert_string_equal(e.text, "transport_maps: \"nonsense\" is not a "
				    "table: write type:name");
}

static void
says_which_line_decided(void **state)
{
	static const char *const settings[] = {
		"virtual_alias_maps=inline:{x@alias.example=info}", NULL
	};
	struct fixture *f = *state;
	char expected[300];
	struct seen s = { 0 };

	start(f, settings);
	router_resolve(
	    f->r, SPAN("y@alias.example"), ROUTER_CHECK_USER, 0, note, &s);
	snprintf(expected, sizeof(expected),
	    "virtual_alias_domains %s/main.cf:3", f->dir.path);
	assert_string_equal(s.reason, expected);
	router_resolve(f->r, SPAN("x@alias.example"), 0, 0, note, &s);
	assert_string_equal(s.reason,
	    "virtual_alias_maps inline:{x@alias.example=info}; "
	    "mydestination command line; "
	    "alias_maps inline:{info=alice, root=alice, list+x=alice}");
}

static void
answers_may_come_later_or_never(void **state)
{
	struct fixture *f = *state;
	struct seen s = { 0 };

	start(f, NULL);
	f->later = true;
	router_resolve(
	    f->r, SPAN("alice+x@ours.example"), ROUTER_CHECK_USER, 0, note, &s);
	assert_int_equal(s.calls, 0);
	assert_string_equal(f->waiting_name, "alice+x");
	answer(f);
	assert_int_equal(s.calls, 0);
	assert_string_equal(f->waiting_name, "alice");
	answer(f);
	assert_int_equal(s.calls, 1);
	assert_string_equal(
	    s.text, "alice+x@ours.example local local:mx.ours.example");

	router_resolve(
	    f->r, SPAN("bob@ours.example"), ROUTER_CHECK_USER, 0, note, &s);
	router_cancel(f->r, f);
	assert_int_equal(f->cancels, 0);
	router_cancel(f->r, &s);
	assert_int_equal(f->cancels, 1);
	router_resolve(
	    f->r, SPAN("bob@ours.example"), ROUTER_CHECK_USER, 0, note, &s);
	router_free(&f->r);
	assert_int_equal(f->cancels, 2);
	assert_int_equal(s.calls, 1);
}

static void
free_router(void *arg, const struct route_result *r)
{
	struct fixture *f = arg;

	assert_int_equal(r->code, 0);
	router_free(&f->r);
}

static void
the_answer_may_free_the_router(void **state)
{
	struct fixture *f = *state;

	start(f, NULL);
	router_resolve(f->r, SPAN("alice"), ROUTER_CHECK_USER, 0, free_router, f);
	assert_null(f->r);
}

static void
qualifies_addresses(void **state)
{
	static const char *const settings[] = { "append_dot_mydomain=yes",
		NULL };
	static const struct row rows[] = {
		{ "alice", "alice@ours.example" },
		{ "alice@host", "alice@host.ours.example" },
		{ "alice@host.", "alice@host.ours.example" },
		{ "alice@full.example.", "alice@full.example" },
		{ "\"plain\"@x.example", "plain@x.example" },
		{ "", "" },
	};
	struct fixture *f = *state;
	struct buf out;

	start(f, settings);
	buf_init(&out, 1000);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&out);
		assert_true(
		    router_qualify(f->r, span_str(rows[i].address), &out));
		assert_string_equal(buf_cstr(&out), rows[i].result);
	}
	assert_false(router_qualify(f->r, SPAN("no one"), &out));
	buf_release(&out);
}

static void
unread_addresses_are_discarded(void **state)
{
#define GONE "discard:undeliverable postmaster notification discarded"
	static const char *const settings[] = {
		"double_bounce_sender=nobody.reads@ours.example",
		"address_verify_sender=probe", "address_verify_sender_ttl=1000d",
		NULL };
	static const struct row rows[] = {
		{ "double-bounce@ours.example",
		    "double-bounce@ours.example local " GONE },
		{ "Double-Bounce@localhost",
		    "Double-Bounce@localhost local " GONE },
		{ "double-bounce+x@ours.example", "550 5.1.1 User unknown in "
		    "local recipient table" },
		{ "double-bounce@far.example", "double-bounce@far.example "
		    "default smtp:far.example (not ours)" },
	};
	static const struct row others[] = {
		{ "nobody.reads@ours.example",
		    "nobody.reads@ours.example local " GONE },
		{ "double-bounce@ours.example", "550 5.1.1 User unknown in "
		    "local recipient table" },
		{ "probe@ours.example", "550 5.1.1 User unknown in local "
		    "recipient table" },
	};
	struct fixture *f = *state;
	char now[100];

	start(f, NULL);
	check_rows(f, rows, COUNT_OF(rows), ROUTER_CHECK_USER);
	start(f, settings);
	check_rows(f, others, COUNT_OF(others), ROUTER_CHECK_USER);
	/* 1000 days: one digit until 2054. */
	snprintf(now, sizeof(now), "probe%c@ours.example",
	    "0123456789BCDFGHJKLMNPQRSTVWXYZ"[time(NULL) / 86400000]);
	assert_non_null(strstr(resolve(f, now, ROUTER_CHECK_USER), GONE));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(classes_and_next_hops),
		TEST(users_are_asked_when_wanted),
		TEST(tables_of_recipients),
		TEST(postmaster_is_always_there),
		TEST(routed_local_parts_are_never_relayed),
		TEST(virtual_aliases_expand),
		TEST(transport_maps_decide),
		TEST(a_failing_table_is_temporary),
		TEST(says_which_line_decided),
		TEST(answers_may_come_later_or_never),
		TEST(the_answer_may_free_the_router),
		TEST(qualifies_addresses),
		TEST(unread_addresses_are_discarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
