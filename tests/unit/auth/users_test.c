/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/setup.h"
#include "auth/worker.h"
#include "lib/base/mem.h"

static void
names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{ "alice", true },
		{ "alice@example.test", true },
		{ "J\xc3\xbcrgen", true },
		{ "a b", true },
		{ "", false },
		{ "a\n", false },
		{ "a\x7f", false },
		{ "a\t", false },
		{ "a/b", false },
		{ "a:b", false },
		{ "..", false },
		{ ".", false },
		{ "-x", false },
		{ "\xff\xfe", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (auth_name_ok(span_str(rows[i].name)) != rows[i].good)
			fail_msg("row %zu", i);
	assert_false(auth_name_ok(SPAN("a\0b")));
}

static void
formats(void **state)
{
	static const struct {
		const char *format, *name, *result;
	} rows[] = {
		{ "%Lu", "Alice@Example.Test", "alice@example.test" },
		{ "%u", "Alice@Example.Test", "Alice@Example.Test" },
		{ "%Ln", "Alice@Example.Test", "alice" },
		{ "%n", "Alice", "Alice" },
		{ "%Ln.%Ld", "A@B", "a.b" },
		{ "%d", "Alice", NULL },
		{ "%n/%d", "a@b", NULL },
		{ "fixed", "a", "fixed" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char out[AUTH_NAME_MAX + 1];
		const bool good = auth_name_format(
		    rows[i].format, span_str(rows[i].name), out);
		assert_int_equal(good, rows[i].result != NULL);
		if (good)
			assert_string_equal(out, rows[i].result);
	}
}

static void
lists_of_databases(void **state)
{
	static const struct {
		const char *passdb, *userdb;
		bool good;
	} rows[] = {
		{ "pam", "passwd", true },
		{ "passwd-file:/a, pam:login", "passwd-file:/a passwd", true },
		{ "", "", true },
		{ "passwd", "passwd", false },
		{ "pam", "pam", false },
		{ "passwd-file:relative", "passwd", false },
		{ "passwd-file", "passwd", false },
		{ "pam pam pam pam pam pam pam pam pam", "passwd", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct auth_conf conf = { .auth_passdb = rows[i].passdb,
			.auth_userdb = rows[i].userdb,
			.auth_oauth2_introspection = "" };
		struct err e;
		if ((auth_verify(&conf, &e) == 0) != rows[i].good)
			fail_msg("%s, %s", rows[i].passdb, rows[i].userdb);
	}
}

/* One job done in this process, as a worker does it. */
static void
do_job(struct msg_out *ask, struct buf *store, struct msg_in *out)
{
	struct msg_in m;
	struct msg_out answer;
	struct err e;

	assert_true(msg_ok(ask));
	assert_int_equal(msg_parse(&m, buf_span(&ask->bytes), &e), 0);
	worker_do(&m, &answer);
	buf_init(store, LIMIT_IPC_MESSAGE);
	buf_add(store, buf_span(&answer.bytes));
	msg_out_release(&answer);
	msg_out_release(ask);
	assert_int_equal(msg_parse(out, buf_span(store), &e), 0);
}

static void
workers_know_users(void **state)
{
	struct msg_out ask;
	struct msg_in m;
	struct buf store;

	(void)state;
	msg_begin(&ask, MSG_AUTH_WORK, 0, 0);
	msg_put_str(&ask, F_OP, "user");
	msg_put_str(&ask, F_USER, "root");
	do_job(&ask, &store, &m);
	assert_int_equal(m.type, MSG_AUTH_WORK_DONE);
	assert_int_equal(msg_get_u64(&m, F_FOUND), 1);
	assert_int_equal(msg_get_u64(&m, F_UID), 0);
	assert_true(msg_has(&m, F_GROUPS));
	buf_release(&store);

	msg_begin(&ask, MSG_AUTH_WORK, 0, 0);
	msg_put_str(&ask, F_OP, "user");
	msg_put_str(&ask, F_USER, "no-such-user-here");
	do_job(&ask, &store, &m);
	assert_int_equal(m.type, MSG_AUTH_WORK_DONE);
	assert_int_equal(msg_get_u64(&m, F_FOUND), 0);
	buf_release(&store);
}

static void
workers_refuse_nonsense(void **state)
{
	struct msg_out ask;
	struct msg_in m;
	struct buf store;

	(void)state;
	msg_begin(&ask, MSG_AUTH_WORK, 0, 0);
	msg_put_str(&ask, F_OP, "dance");
	do_job(&ask, &store, &m);
	assert_int_equal(m.type, MSG_ERROR);
	buf_release(&store);
	/* A NUL inside a password is no end of it. */
	msg_begin(&ask, MSG_AUTH_WORK, 0, 0);
	msg_put_str(&ask, F_OP, "crypt");
	msg_put_str(&ask, F_TEXT, "x");
	msg_put(&ask, F_DATA, SPAN("a\0b"));
	do_job(&ask, &store, &m);
	assert_int_equal(m.type, MSG_ERROR);
	buf_release(&store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(formats),
		cmocka_unit_test(lists_of_databases),
		cmocka_unit_test(workers_know_users),
		cmocka_unit_test(workers_refuse_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
