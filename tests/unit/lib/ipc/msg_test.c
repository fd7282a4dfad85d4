/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/msg.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

static void
parse(const struct msg_out *out, struct msg_in *in)
{
	struct err e;

	assert_true(msg_ok(out));
	assert_int_equal(msg_parse(in, buf_span(&out->bytes), &e), 0);
}

static void
layout_is_as_documented(void **state)
{
	static const uint8_t want[] = { 80, 0, 0, 0, 4, 3, 2, 1, 0x18, 0x17,
		0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 80, 0, 2, 0, 'a', 'b',
		81, 0, 8, 0, 15, 0, 0, 0, 0, 0, 0, 0 };
	struct msg_out m;

	(void)state;
	msg_begin(&m, MSG_DNS, 0x01020304, 0x1112131415161718);
	msg_put_str(&m, F_NAME, "ab");
	msg_put_u64(&m, F_RRTYPE, 15);
	assert_true(span_eq(buf_span(&m.bytes), span_of(want, sizeof(want))));
	msg_out_release(&m);
}

static void
values_come_back(void **state)
{
	struct msg_out out;
	struct msg_in in;
	struct err e;
	char text[8];

	(void)state;
	msg_begin(&out, MSG_USER, 7, 99);
	msg_put_str(&out, F_USER, "bob");
	msg_put_u64(&out, F_UID, 1000);
	msg_put_u64(&out, F_SIZE, UINT64_MAX);
	msg_put(&out, F_DATA, SPAN("a\0b"));
	parse(&out, &in);
	assert_int_equal(in.type, MSG_USER);
	assert_int_equal(in.id, 7);
	assert_int_equal(in.trace, 99);
	msg_get_str(&in, F_USER, text, sizeof(text));
	assert_string_equal(text, "bob");
	assert_int_equal(msg_get_u32(&in, F_UID), 1000);
	assert_true(msg_get_u64(&in, F_SIZE) == UINT64_MAX);
	assert_true(span_eq(msg_need(&in, F_DATA, 3), SPAN("a\0b")));
	assert_false(msg_has(&in, F_GID));
	assert_int_equal(msg_get_u64(&in, F_GID), 0);
	assert_int_equal(msg_get(&in, F_HOME, 10).n, 0);
	assert_int_equal(msg_done(&in, &e), 0);
	msg_out_release(&out);
}

/* Each way of asking wrongly makes the message bad, and only that. */
static void
faults_stick(void **state)
{
	struct msg_out out;
	struct msg_in in;
	struct err e;
	char text[4];

	(void)state;
	msg_begin(&out, MSG_USER, 1, 0);
	msg_put_str(&out, F_USER, "bobo");
	msg_put_u64(&out, F_SIZE, (uint64_t)UINT32_MAX + 1);
	msg_put(&out, F_DATA, SPAN("a\0b"));
	for (int i = 0; i < 7; i++) {
		parse(&out, &in);
		assert_int_equal(msg_done(&in, &e), 0);
		switch (i) {
		case 0:
			assert_int_equal(msg_get(&in, F_USER, 3).n, 0);
			break;
		case 1:
			assert_int_equal(msg_need(&in, F_HOME, 9).n, 0);
			break;
		case 2:
			assert_int_equal(msg_get_u64(&in, F_USER), 0);
			break;
		case 3:
			assert_int_equal(msg_get_u32(&in, F_SIZE), 0);
			break;
		case 4:
			msg_get_str(&in, F_USER, text, sizeof(text));
			assert_string_equal(text, "");
			break;
		case 5:
			msg_get_str(&in, F_DATA, text, sizeof(text));
			assert_string_equal(text, "");
			break;
		case 6:
			assert_int_equal(msg_take_fd(&in), -1);
			break;
		}
		assert_int_equal(msg_done(&in, &e), -1);
		assert_string_equal(e.text, "malformed IPC message MSG_USER");
	}
	msg_out_release(&out);
}

static void
groups_and_repeats(void **state)
{
	struct msg_out out;
	struct msg_in in, rcpt;
	struct span value;
	uint64_t number;
	size_t cursor = 0, inner = 0;
	unsigned count = 0;

	(void)state;
	msg_begin(&out, MSG_DELIVER, 3, 5);
	for (unsigned i = 0; i < 3; i++) {
		msg_group_begin(&out, F_RCPT);
		msg_put_u64(&out, F_RCPT_INDEX, i);
		msg_put_u64(&out, F_DELAYS_US, 10 + i);
		msg_put_u64(&out, F_DELAYS_US, 20 + i);
		msg_group_begin(&out, F_RUNNING);
		msg_put_str(&out, F_QID, "Q");
		msg_group_end(&out);
		msg_group_end(&out);
	}
	msg_put_str(&out, F_NEXTHOP, "after");
	parse(&out, &in);
	while (msg_next(&in, F_RCPT, &cursor, &rcpt)) {
		assert_int_equal(msg_get_u64(&rcpt, F_RCPT_INDEX), count);
		inner = 0;
		assert_true(
		    msg_next_value(&rcpt, F_DELAYS_US, &inner, &value));
		assert_true(
		    msg_next_value(&rcpt, F_DELAYS_US, &inner, &value));
		assert_true(msg_value_u64(value, &number));
		assert_int_equal(number, 20 + count);
		assert_false(
		    msg_next_value(&rcpt, F_DELAYS_US, &inner, &value));
		assert_false(msg_has(&rcpt, F_QID));
		assert_int_equal(msg_done(&rcpt, NULL), 0);
		count++;
	}
	assert_int_equal(count, 3);
	assert_true(span_eq(msg_get(&in, F_NEXTHOP, 9), SPAN("after")));
	assert_false(msg_has(&in, F_RCPT_INDEX));
	msg_out_release(&out);
}

static void
damaged_group_is_bad(void **state)
{
	struct msg_out out;
	struct msg_in in, element;
	size_t cursor = 0;

	(void)state;
	msg_begin(&out, MSG_DELIVER, 3, 5);
	msg_put(&out, F_RCPT, SPAN("\1\0\5\0abc"));
	parse(&out, &in);
	assert_true(msg_next(&in, F_RCPT, &cursor, &element));
	assert_int_equal(msg_done(&element, NULL), -1);
	msg_out_release(&out);
}

static void
every_cut_is_refused_or_sound(void **state)
{
	struct msg_out out;
	struct msg_in in;
	struct span whole;

	(void)state;
	msg_begin(&out, MSG_DNS, 1, 2);
	msg_put_str(&out, F_NAME, "example");
	msg_put_u64(&out, F_RRTYPE, 1);
	whole = buf_span(&out.bytes);
	for (size_t n = 0; n < whole.n; n++) {
		bool edge = n == 16 || n == 16 + 4 + 7;

		assert_int_equal(
		    msg_parse(&in, span_slice(whole, 0, n), NULL),
		    edge ? 0 : -1);
	}
	msg_out_release(&out);
}

static void
too_large_is_noticed(void **state)
{
	static uint8_t bytes[LIMIT_IPC_MESSAGE];
	struct msg_out out;

	(void)state;
	msg_begin(&out, MSG_DNS, 1, 2);
	assert_int_equal(msg_space(&out), LIMIT_IPC_MESSAGE - 16);
	msg_put(&out, F_DATA, span_of(bytes, LIMIT_IPC_MESSAGE - 16 - 4));
	assert_true(msg_ok(&out));
	assert_int_equal(msg_space(&out), 0);
	msg_group_begin(&out, F_RCPT);
	msg_group_end(&out);
	assert_false(msg_ok(&out));
	msg_out_release(&out);
	msg_begin(&out, MSG_DNS, 1, 2);
	msg_put(&out, F_DATA, span_of(bytes, sizeof(bytes)));
	assert_false(msg_ok(&out));
	msg_out_release(&out);
}

static void
errors_travel(void **state)
{
	struct msg_out out;
	struct msg_in in;
	struct err e, got;

	(void)state;
	err_set(&e, ERR_PERM, "5.1.1", "no such user");
	msg_begin(&out, MSG_ERROR, 1, 2);
	msg_put_err(&out, &e);
	parse(&out, &in);
	assert_true(msg_get_err(&in, &got));
	assert_int_equal(got.kind, ERR_PERM);
	assert_string_equal(got.dsn, "5.1.1");
	assert_string_equal(got.text, "no such user");
	msg_out_release(&out);

	msg_begin(&out, MSG_ERROR, 1, 2);
	msg_put_u64(&out, F_ERR_KIND, 77);
	msg_put_str(&out, F_DSN, "9\r\n");
	msg_put_str(&out, F_TEXT, "a\nb");
	parse(&out, &in);
	assert_true(msg_get_err(&in, &got));
	assert_int_equal(got.kind, ERR_TEMP);
	assert_string_equal(got.dsn, "4.3.0");
	assert_string_equal(got.text, "a?b");
	msg_out_release(&out);

	msg_begin(&out, MSG_OK, 1, 2);
	parse(&out, &in);
	assert_false(msg_get_err(&in, &got));
	msg_out_release(&out);
}

static void
descriptors_are_owned(void **state)
{
	struct msg_in in = { .fd_count = 2 };
	int fd;

	(void)state;
	in.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	in.fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd = msg_take_fd(&in);
	assert_true(fd >= 0);
	msg_in_release(&in);
	assert_int_equal(fcntl(fd + 1, F_GETFD), -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void
numbers_are_unique_and_named(void **state)
{
	unsigned types = 0, fields = 0;

	(void)state;
#define COUNT(name, number)                                                    \
	assert_string_equal(msg_type_name(number), #name);                     \
	types++;
	MSG_TYPES(COUNT)
#undef COUNT
#define COUNT(name, number)                                                    \
	assert_string_equal(msg_field_name(number), #name);                    \
	fields++;
	MSG_FIELDS(COUNT)
	assert_true(types > 10 && fields > 10);
	assert_null(msg_type_name(0));
	assert_null(msg_field_name(65535));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_is_as_documented),
		cmocka_unit_test(values_come_back),
		cmocka_unit_test(faults_stick),
		cmocka_unit_test(groups_and_repeats),
		cmocka_unit_test(damaged_group_is_bad),
		cmocka_unit_test(every_cut_is_refused_or_sound),
		cmocka_unit_test(too_large_is_noticed),
		cmocka_unit_test(errors_travel),
		cmocka_unit_test(descriptors_are_owned),
		cmocka_unit_test(numbers_are_unique_and_named),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
