/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"

#define INSTANT INT64_C(1795358062) /* 2026-11-22 14:34:22 UTC */

/* A session that never runs: just what the field is made of. */
struct fixture {
	struct common_conf common;
	struct smtpd_conf conf;
	struct service service;
	struct session session;
	struct loop *loop;
	int other;
};

static void
ignore(void *arg)
{
	(void)arg;
}

static void
ignore_end(void *arg, enum stream_end end, const struct err *e)
{
	(void)arg;
	(void)end;
	(void)e;
}

static void
fixture_init(struct fixture *f)
{
	static const struct stream_limits limits = { 1000, 1000 };
	static const struct stream_handler handler = { ignore, NULL, NULL,
		ignore_end };
	struct err e;
	int fds[2];

	*f = (struct fixture){ .common = { .myhostname = "mx.test",
				   .mail_name = "Chappe" } };
	f->conf.smtpd_sasl_authenticated_header = true;
	f->service.common = &f->common;
	f->service.conf = &f->conf;
	f->service.engine.hostname = "mx.test";
	f->session.service = &f->service;
	f->loop = loop_new();
	assert_int_equal(sock_pair(SOCK_STREAM, fds, &e), 0);
	assert_int_equal(sock_set_nonblock(fds[0], true, &e), 0);
	f->other = fds[1];
	f->session.stream =
	    stream_new(f->loop, fds[0], &limits, &handler, NULL);
	f->session.engine = smtp_server_new(&f->service.engine);
}

static void
fixture_release(struct fixture *f)
{
	smtp_server_free(f->session.engine);
	stream_free(&f->session.stream);
	close(f->other);
	loop_free(&f->loop);
}

static void
check(struct fixture *f, struct span rcpt, const char *wanted)
{
	struct buf b;

	buf_init(&b, 2000);
	received_field(&f->session, rcpt, "ABC", INSTANT, &b);
	assert_string_equal(buf_cstr(&b), wanted);
	buf_release(&b);
}

static void
of_a_stranger(void **state)
{
	static char helo[] = "client.test", name[] = "host.client.test";
	struct fixture f;

	(void)state;
	fixture_init(&f);
	f.session.helo = helo;
	f.session.name = name;
	assert_true(span_copy(
	    SPAN("192.0.2.1"), f.session.addr, sizeof(f.session.addr)));
	check(&f, SPAN("a@b.test"),
	    "Received: from client.test (host.client.test [192.0.2.1])\r\n"
	    "\tby mx.test (Chappe) with SMTP id ABC\r\n"
	    "\tfor <a@b.test>; Sun, 22 Nov 2026 14:34:22 +0000\r\n");
	f.session.name = NULL;
	assert_true(span_copy(
	    SPAN("2001:db8::1"), f.session.addr, sizeof(f.session.addr)));
	check(&f, SPAN_EMPTY,
	    "Received: from client.test (unknown [IPv6:2001:db8::1])\r\n"
	    "\tby mx.test (Chappe) with SMTP id ABC; "
	    "Sun, 22 Nov 2026 14:34:22 +0000\r\n");
	fixture_release(&f);
}

static void
of_a_local_user(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	f.session.local = true;
	f.session.uid = 1000;
	check(&f, SPAN("a@b.test"),
	    "Received: by mx.test (Chappe, from userid 1000)\r\n"
	    "\tid ABC; Sun, 22 Nov 2026 14:34:22 +0000\r\n");
	fixture_release(&f);
}

static void
of_a_user_logged_in(void **state)
{
	static char helo[] = "pc", name[] = "pc.test", user[] = "joe";
	struct fixture f;

	(void)state;
	fixture_init(&f);
	f.session.helo = helo;
	f.session.name = name;
	f.session.sasl_user = user;
	assert_true(span_copy(
	    SPAN("192.0.2.1"), f.session.addr, sizeof(f.session.addr)));
	check(&f, SPAN_EMPTY,
	    "Received: from pc (pc.test [192.0.2.1])\r\n"
	    "\t(Authenticated sender: joe)\r\n"
	    "\tby mx.test (Chappe) with SMTP id ABC; "
	    "Sun, 22 Nov 2026 14:34:22 +0000\r\n");
	fixture_release(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_stranger),
		cmocka_unit_test(of_a_local_user),
		cmocka_unit_test(of_a_user_logged_in),
	};

	setenv("TZ", "UTC0", 1);
	tzset();
	return cmocka_run_group_tests_name("received", tests, NULL, NULL);
}
