/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/smtp_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "tests/unit/lib/mail/peer_thread.h"

static struct buf heard;
static enum { FINE, CLOSES, EARLY } manner; /* of the proxy, after 354 */

static void *
proxy(void *arg)
{
	const int fd = peer_accept();
	FILE *f = fdopen(fd, "r+");
	char line[1000];
	bool data = false;

	(void)arg;
	fputs("220-hello\r\n220 there\r\n", f);
	fflush(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		buf_str(&heard, line);
		if (data && strcmp(line, ".\r\n") != 0)
			continue;
		fseek(f, 0, SEEK_CUR);
		data = strcmp(line, "DATA\r\n") == 0;
		fputs(data ? "354 go\r\n" : "250 fine\r\n", f);
		fflush(f);
		if (data && manner != FINE)
			break;
	}
	if (manner == EARLY) {
		/* It has seen the beginning, and is content. */
		(void)!fgets(line, sizeof(line), f);
		(void)!write(fd, "250 enough\r\n", 12);
		while (fgets(line, sizeof(line), f) != NULL)
			;
	}
	fclose(f);
	return NULL;
}

static unsigned code;
static char text[200];

static void
replied(void *arg, unsigned c, struct span t)
{
	(void)arg;
	code = c;
	span_copy(t, text, sizeof(text));
	loop_stop(loop);
}

static void
talks(void **state)
{
	struct milter_mail *m = milter_mail_new(loop, dir, SIZE_MAX);
	struct smtp_proxy_place *place;
	struct smtp_proxy *p;
	char name[120];

	(void)state;
	buf_init(&heard, 10000);
	snprintf(name, sizeof(name), "unix:%s", path);
	assert_int_equal(smtp_proxy_place_open(name, "/", &place, NULL), 0);
	peer_start(proxy);
	p = smtp_proxy_open(loop, NULL, place, 30000, 0, replied, NULL);
	loop_run(loop);
	assert_int_equal(code, 220);
	assert_string_equal(text, "hello\nthere");
	smtp_proxy_say(p, SPAN("EHLO x"), replied, NULL);
	loop_run(loop);
	assert_int_equal(code, 250);
	smtp_proxy_say(p, SPAN("DATA"), replied, NULL);
	loop_run(loop);
	assert_int_equal(code, 354);
	milter_mail_feed(m, SPAN("A: 1\r\n\r\n.dot\r\n..\r\nend"));
	milter_mail_end(m);
	smtp_proxy_send(p, m, replied, NULL);
	loop_run(loop);
	assert_int_equal(code, 250);
	smtp_proxy_quit(&p);
	assert_null(p);
	loop_later(loop, (loop_later_fn)loop_stop, loop);
	loop_run(loop);
	peer_stop();
	assert_string_equal(buf_cstr(&heard),
	    "EHLO x\r\nDATA\r\nA: 1\r\n"
	    "\r\n..dot\r\n...\r\nend\r\n.\r\nQUIT\r\n");
	buf_release(&heard);
	milter_mail_free(&m);
	smtp_proxy_place_free(&place);
}

static bool
take(void *arg, struct span bytes)
{
	size_t *sum = arg;

	*sum += bytes.n;
	return true;
}

static void
taken(void *arg, const struct err *e)
{
	(void)arg;
	assert_null(e);
	loop_stop(loop);
}

/* A message of several pieces, to a proxy that does not wait for its end; it
 * is whole afterwards. */
static void
does_not_hear_it_all(void)
{
	static const char line[] = "0123456789012345678901234567890123456789";
	struct milter_mail *m = milter_mail_new(loop, dir, SIZE_MAX);
	struct smtp_proxy_place *place;
	struct smtp_proxy *p;
	size_t sum = 0;
	char name[120];

	buf_init(&heard, 1000);
	snprintf(name, sizeof(name), "unix:%s", path);
	assert_int_equal(smtp_proxy_place_open(name, "/", &place, NULL), 0);
	peer_start(proxy);
	p = smtp_proxy_open(loop, NULL, place, 30000, 0, replied, NULL);
	loop_run(loop);
	milter_mail_feed(m, SPAN("A: 1\r\n\r\n"));
	for (size_t n = 0; n < 4000000; n += sizeof(line) - 1)
		milter_mail_feed(m, span_of(line, sizeof(line) - 1));
	milter_mail_end(m);
	smtp_proxy_say(p, SPAN("DATA"), replied, NULL);
	loop_run(loop);
	assert_int_equal(code, 354);
	smtp_proxy_send(p, m, replied, NULL);
	loop_run(loop);
	assert_int_equal(code, 0);
	smtp_proxy_quit(&p);
	milter_mail_send(m, &(struct milter_mail_sink){ take, taken, &sum });
	loop_run(loop);
	assert_int_equal(sum, 8 + 4000000);
	peer_stop();
	milter_mail_free(&m);
	smtp_proxy_place_free(&place);
	buf_release(&heard);
}

static void
one_that_goes_in_the_midst(void **state)
{
	(void)state;
	manner = CLOSES;
	does_not_hear_it_all();
	manner = FINE;
}

/* It may not be believed: what it has is not the message. */
static void
one_that_is_content_too_soon(void **state)
{
	(void)state;
	manner = EARLY;
	does_not_hear_it_all();
	assert_non_null(strstr(text, "before the end"));
	manner = FINE;
}

static void
nobody_there(void **state)
{
	struct smtp_proxy_place *place;
	struct smtp_proxy *p;
	char name[120];

	(void)state;
	snprintf(name, sizeof(name), "unix:%s", path);
	assert_int_equal(smtp_proxy_place_open(name, "/", &place, NULL), 0);
	p = smtp_proxy_open(loop, NULL, place, 30000, 0, replied, NULL);
	loop_run(loop);
	assert_int_equal(code, 0);
	assert_non_null(strstr(text, "No such file"));
	smtp_proxy_free(&p);
	smtp_proxy_place_free(&place);
}

static void
places(void **state)
{
	static const struct {
		const char *name;
		int result;
	} rows[] = { { "127.0.0.1:10024", 0 }, { "inet:localhost:25", 0 },
		{ "10024", 0 }, { "[::1]:25", 0 }, { "unix:private/x", 0 },
		{ "localhost", -1 }, { "localhost:0", -1 },
		{ "localhost:smtp", -1 }, { "inet:", -1 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_proxy_place *place = NULL;
		struct err e;

		assert_int_equal(
		    smtp_proxy_place_open(rows[i].name, "/q", &place, &e),
		    rows[i].result);
		smtp_proxy_place_free(&place);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(talks),
		cmocka_unit_test(one_that_goes_in_the_midst),
		cmocka_unit_test(one_that_is_content_too_soon),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(places),
	};

	return cmocka_run_group_tests_name("smtp_proxy", tests, peer_begin, peer_end);
}
