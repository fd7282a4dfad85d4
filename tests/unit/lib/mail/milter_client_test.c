/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/mail/milter_run.h"
#include "tests/unit/lib/mail/peer_thread.h"

/*
 * One filter in a thread of its own, on a UNIX socket, that continues at each
 * step but one; what else there is to be seen of filters, tests/system/milter
 * shows.
 */

static char odd_step, odd_answer; /* "at RCPT: r" */
static char last_step;		  /* after which it hangs up */
static unsigned rcpts;		  /* that it adds beside the first */

static const struct milter_settings settings = {
	.milter_default_action = "tempfail",
	.milter_protocol = "6",
	.milter_connect_timeout = 30000,
	.milter_command_timeout = 30000,
	.milter_content_timeout = 30000,
	.milter_connect_macros = "j",
	.milter_helo_macros = "",
	.milter_mail_macros = "",
	.milter_rcpt_macros = "",
	.milter_data_macros = "",
	.milter_unknown_command_macros = "",
	.milter_end_of_header_macros = "",
	.milter_end_of_data_macros = "",
	.milter_macro_defaults = "",
};

/* ---- the filter ---- */

static void
say(int fd, char letter, const void *data, uint8_t n)
{
	const uint8_t head[5] = { 0, 0, 0, (uint8_t)(n + 1), (uint8_t)letter };
	uint8_t all[256];

	memcpy(all, head, 5);
	if (n > 0)
		memcpy(all + 5, data, n);
	(void)!write(fd, all, 5u + n);
}

static bool
get(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		const ssize_t got = read(fd, p, n);

		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static void *
filter(void *arg)
{
	static const uint8_t options[12] = { 0, 0, 0, 6, 0, 0, 1, 0xff };
	const int fd = peer_accept();
	static const uint8_t many[200] = "<";
	static uint8_t data[70000];
	uint8_t head[5];

	(void)arg;
	while (get(fd, head, 5)) {
		const size_t n =
		    ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]) -
		    1;
		const char letter = (char)head[4];

		if (!get(fd, data, n) || letter == 'Q')
			break;
		if (letter == 'O')
			say(fd, 'O', options, 12);
		else if (strchr("DA", letter) != NULL)
			continue;
		for (unsigned i = 0; letter == 'E' && i < rcpts; i++)
			say(fd, '+', many, sizeof(many));
		if (letter == 'E') {
			say(fd, 'h', "X-New\0value", 12);
			say(fd, '+', "<new@x>", 8);
			say(fd, 'q', "why", 4);
		}
		if (letter != 'O')
			say(fd, letter == odd_step ? odd_answer : 'c', NULL, 0);
		if (letter == last_step)
			break;
	}
	close(fd);
	return NULL;
}

/* ---- the caller ---- */

struct asked {
	bool done;
	enum milter_outcome outcome;
	unsigned code;
	bool hold;
	char change[40];
};

static void
answered(void *arg, const struct milter_result *r)
{
	struct asked *a = arg;

	a->done = true;
	a->outcome = r->outcome;
	a->code = r->code;
	a->hold = r->hold != NULL;
	if (r->changes != NULL)
		span_copy(r->changes->address, a->change, sizeof(a->change));
	loop_stop(loop);
}

static bool
macro(void *arg, struct span name, struct buf *out)
{
	(void)arg;
	assert_true(span_eq(name, SPAN("j")));
	buf_str(out, "me");
	return true;
}

static struct asked
wait_for(struct asked *a)
{
	const struct asked none = { 0 };
	struct asked got;

	loop_run(loop);
	assert_true(a->done);
	got = *a;
	*a = none;
	return got;
}

static struct milter_client *
client_with(const char *default_action, struct milter_list **out_list)
{
	static const struct log_ctx log;
	static struct milter_settings s;
	char text[150];
	struct err e;

	s = settings;
	s.milter_default_action = default_action;
	snprintf(text, sizeof(text), "unix:%s", path);
	assert_int_equal(milter_list_open(&s, text, "/", out_list, &e), 0);
	return milter_client_new(&(struct milter_client_conf){
	    .loop = loop, .list = *out_list, .log = &log, .macro = macro });
}

static struct milter_client *
client(struct milter_list **out_list)
{
	return client_with("tempfail", out_list);
}

static void
asks_from_beginning_to_end(void **state)
{
	const struct span args[1] = { SPAN("<a@b>") };
	struct milter_mail *m = milter_mail_new(loop, dir, SIZE_MAX);
	struct milter_list *list;
	struct milter_client *c;
	struct asked a = { 0 }, got;

	(void)state;
	peer_start(filter);
	odd_step = 'R';
	odd_answer = 'r';
	c = client(&list);
	milter_client_connect(c, SPAN("n"), MILTER_FAMILY_INET, 1,
	    SPAN("192.0.2.1"), answered, &a);
	assert_int_equal(wait_for(&a).outcome, MILTER_PASSED);
	milter_client_helo(c, SPAN("h"), answered, &a);
	assert_int_equal(wait_for(&a).outcome, MILTER_PASSED);
	milter_client_unknown(c, SPAN("WHAT"));
	milter_client_mail(c, args, 1, answered, &a);
	assert_int_equal(wait_for(&a).outcome, MILTER_PASSED);
	assert_false(milter_client_wants_refused(c));
	milter_client_rcpt(c, args, 1, false, answered, &a);
	got = wait_for(&a);
	assert_int_equal(got.outcome, MILTER_REFUSED);
	assert_int_equal(got.code, 550);
	milter_client_data(c, answered, &a);
	assert_int_equal(wait_for(&a).outcome, MILTER_PASSED);
	assert_true(milter_client_wants_message(c));
	milter_mail_feed(m, SPAN("A: 1\r\n\r\nbody\r\n"));
	milter_mail_end(m);
	milter_client_message(c, m, answered, &a);
	got = wait_for(&a);
	assert_int_equal(got.outcome, MILTER_PASSED);
	assert_true(got.hold);
	assert_string_equal(got.change, "<new@x>");
	assert_int_equal(milter_mail_field_count(m), 2);
	milter_client_abort(c);
	milter_client_free(&c);
	assert_null(c);
	loop_later(loop, (loop_later_fn)loop_stop, loop);
	loop_run(loop); /* says QUIT */
	peer_stop();
	milter_list_free(&list);
	milter_mail_free(&m);
}

/* Everything up to the end of the message, with one filter; *out_mail is the
 * message, *a the last answer. */
static void
whole_message(const char *default_action, size_t size,
    struct milter_mail **out_mail, struct asked *a)
{
	static const char line[] = "0123456789012345678901234567890123456789";
	const struct span args[1] = { SPAN("<a@b>") };
	struct milter_mail *m = milter_mail_new(loop, dir, SIZE_MAX);
	struct asked got = { 0 };
	struct milter_list *list;
	struct milter_client *c;

	peer_start(filter);
	odd_step = 0;
	c = client_with(default_action, &list);
	milter_client_connect(c, SPAN("n"), MILTER_FAMILY_INET, 1,
	    SPAN("192.0.2.1"), answered, &got);
	assert_int_equal(wait_for(&got).outcome, MILTER_PASSED);
	milter_client_mail(c, args, 1, answered, &got);
	assert_int_equal(wait_for(&got).outcome, MILTER_PASSED);
	milter_mail_feed(m, SPAN("A: 1\r\n\r\n"));
	for (size_t n = 0; n < size; n += sizeof(line) - 1)
		milter_mail_feed(m, span_of(line, sizeof(line) - 1));
	milter_mail_end(m);
	milter_client_message(c, m, answered, &got);
	*a = wait_for(&got);
	milter_client_free(&c);
	peer_stop();
	milter_list_free(&list);
	*out_mail = m;
}

struct sum {
	size_t n;
	bool failed;
};

static bool
take(void *arg, struct span bytes)
{
	struct sum *s = arg;

	s->n += bytes.n;
	return true;
}

static void
taken(void *arg, const struct err *e)
{
	struct sum *s = arg;

	s->failed = e != NULL;
	loop_stop(loop);
}

/* The next piece of the body is being read for it. */
static void
one_goes_in_the_midst_of_the_body(void **state)
{
	struct milter_mail *m;
	struct sum sum = { 0 };
	struct asked a;

	(void)state;
	last_step = 'B';
	whole_message("accept", 1000000, &m, &a);
	last_step = 0;
	assert_int_equal(a.outcome, MILTER_PASSED);
	milter_mail_send(m, &(struct milter_mail_sink){ take, taken, &sum });
	loop_run(loop);
	assert_false(sum.failed);
	assert_int_equal(sum.n, 8 + 1000000);
	milter_mail_free(&m);
}

static void
one_that_wants_too_much_has_failed(void **state)
{
	struct milter_mail *m;
	struct asked a;

	(void)state;
	rcpts = 20000;
	whole_message("tempfail", 10, &m, &a);
	rcpts = 0;
	assert_int_equal(a.outcome, MILTER_REFUSED);
	assert_int_equal(a.code, 451);
	milter_mail_free(&m);
}

static void
one_that_is_not_there_has_its_default(void **state)
{
	const struct span args[1] = { SPAN("<a@b>") };
	struct milter_list *list;
	struct milter_client *c = client(&list);
	struct asked a = { 0 };

	(void)state;
	milter_client_connect(c, SPAN("n"), MILTER_FAMILY_INET, 1,
	    SPAN("192.0.2.1"), answered, &a);
	assert_int_equal(wait_for(&a).code, 451);
	/* From now on at once, and for good. */
	milter_client_mail(c, args, 1, answered, &a);
	assert_true(a.done);
	assert_int_equal(a.code, 451);
	assert_false(milter_client_wants_message(c));
	milter_client_free(&c);
	milter_list_free(&list);
}

static void
macros_of_local_mail(void **state)
{
	static const struct {
		const char *name, *value; /* NULL: it has none */
	} rows[] = { { "i", "QID" }, { "j", "host" },
		{ "_", "localhost [127.0.0.1]" }, { "mail_addr", "a@b" },
		{ "rcpt_addr", NULL }, { "auth_type", NULL } };
	struct milter_settings s = settings;

	(void)state;
	s.milter_macro_v = "v";
	s.milter_macro_daemon_name = "d";
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf b;

		buf_init(&b, 100);
		assert_int_equal(
		    milter_run_macro(&s, "host", "QID", SPAN("a@b"), SPAN_EMPTY,
			span_str(rows[i].name), &b),
		    rows[i].value != NULL);
		if (rows[i].value != NULL)
			assert_string_equal(buf_cstr(&b), rows[i].value);
		buf_release(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_from_beginning_to_end),
		cmocka_unit_test(one_goes_in_the_midst_of_the_body),
		cmocka_unit_test(one_that_wants_too_much_has_failed),
		cmocka_unit_test(one_that_is_not_there_has_its_default),
		cmocka_unit_test(macros_of_local_mail),
	};

	return cmocka_run_group_tests_name("milter_client", tests, peer_begin, peer_end);
}
