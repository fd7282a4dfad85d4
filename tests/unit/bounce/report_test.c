/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bounce/bounce_impl.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/crc.h"
#include "lib/base/mem.h"
#include "lib/mail/delivery_log.h"

static int
file_of(const char *text)
{
	int fd = memfd_create("original", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

/* Reads an order with one recipient for each of the notify values. */
static int
read_order(uint64_t action, const uint64_t *notify, size_t count,
    struct arena *a, struct bounce_order *out)
{
	struct msg_out m;
	struct msg_in in;
	int rc;

	msg_begin(&m, MSG_BOUNCE, 1, 2);
	msg_put_str(&m, F_QID, "5F1B2C3D4E5F600");
	msg_put_str(&m, F_SENDER, "alice@a.test");
	msg_put_u64(&m, F_ACTION, action);
	msg_put_u64(&m, F_ARRIVAL_US, 5000001);
	for (size_t i = 0; i < count; i++) {
		msg_group_begin(&m, F_RCPT);
		msg_put_str(&m, F_ADDRESS, "bob@b.test");
		msg_put_str(&m, F_ORIG_ADDRESS, "bob@b.test");
		msg_put_str(&m, F_DSN, "5.1.1");
		msg_put_u64(&m, F_DSN_NOTIFY, notify[i]);
		msg_group_end(&m);
	}
	assert_int_equal(msg_parse(&in, buf_span(&m.bytes), NULL), 0);
	in.fds[0] = file_of("");
	in.fd_count = 1;
	rc = bounce_order_read(&in, a, out);
	msg_in_release(&in);
	msg_out_release(&m);
	return rc;
}

static void
who_wants_to_hear(void **state)
{
	static const uint64_t wishes[] = { 0, DSN_NOTIFY_NEVER,
		DSN_NOTIFY_SUCCESS, DSN_NOTIFY_FAILURE, DSN_NOTIFY_DELAY,
		DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY,
		DSN_NOTIFY_NEVER | DSN_NOTIFY_FAILURE };
	static const struct {
		uint64_t action;
		enum dsn_kind kind;
		size_t count;
	} rows[] = { { RCPT_FAILED, DSN_FAILED, 3 },
		{ RCPT_DEFERRED, DSN_DELAYED, 3 },
		{ RCPT_SENT, DSN_DELIVERED, 1 } };
	struct bounce_order o;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(read_order(rows[i].action, wishes,
		    COUNT_OF(wishes), &a, &o), 0);
		assert_int_equal(o.report.kind, rows[i].kind);
		assert_int_equal(o.report.rcpt_count, rows[i].count);
		assert_int_equal(o.report.arrival_s, 5);
		assert_int_equal(o.report.rcpts[0].orig_address.n, 0);
		close(o.content.fd);
	}
	assert_int_equal(read_order(4, wishes, 1, &a, &o), -1);
	assert_int_equal(read_order(RCPT_FAILED, wishes, 0, &a, &o), -1);
	arena_reset(&a);
}

static void
original(const char *text, uint64_t limit, bool headers, const char *want,
    bool want_headers)
{
	struct bounce_order o = { .content = { .fd = file_of(text),
				      .size = strlen(text),
				      .checked = true,
				      .crc = crc32c(0, span_str(text)) } };
	struct buf out;
	struct err e;

	o.report.headers_only = headers;
	buf_init(&out, limit + 1);
	assert_int_equal(bounce_original(&o, limit, &out, &e), 0);
	assert_string_equal(buf_cstr(&out), want);
	assert_int_equal(o.report.headers_only, want_headers);
	buf_release(&out);
	close(o.content.fd);
}

static void
how_much_is_returned(void **state)
{
	(void)state;
	original("A: b\r\n\r\ntext\r\n", 100, false, "A: b\r\n\r\ntext\r\n",
	    false);
	original("A: b\r\n\r\ntext\r\n", 100, true, "A: b\r\n", true);
	original("A: b\r\n\r\ntext\r\n", 10, false, "A: b\r\n", true);
	original("A: b\r\nC: d\r\n\r\ntext\r\n", 10, false, "A: b\r\n", true);
	original("A: bbbbbbbbbbbbb\r\n", 10, false, "", true);
	original("\r\ntext\r\n", 100, true, "", true);
	original("", 100, false, "", false);
}

static void
a_short_file_is_an_error(void **state)
{
	struct bounce_order o = { .content = { .fd = file_of("abc"),
				      .size = 4 } };
	struct buf out;
	struct err e;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(bounce_original(&o, 50, &out, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	buf_release(&out);
	close(o.content.fd);
}

static void
nothing_damaged_is_returned(void **state)
{
	struct bounce_order o = { .content = { .fd = file_of("A: b\r\n\r\nc"),
				      .size = 9,
				      .checked = true,
				      .crc = 1 } };
	struct buf out;
	struct err e;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(bounce_original(&o, 50, &out, &e), 0);
	assert_int_equal(out.n, 0);
	assert_true(o.report.headers_only);
	buf_release(&out);
	close(o.content.fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_wants_to_hear),
		cmocka_unit_test(how_much_is_returned),
		cmocka_unit_test(a_short_file_is_an_error),
		cmocka_unit_test(nothing_damaged_is_returned),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
