/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/passwd_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"

#define FILE_TEXT                                                            \
	"# bob:x\n\nal:{PLAIN}a:1:2:::\nbob:{CRYPT}x:1:2::/h::u=v\n"         \
	"cy\nbob:second\ndi:p:3:4::/d::"

static void
finds(void **state)
{
	const struct span text = SPAN(FILE_TEXT);
	struct span line;

	(void)state;
	assert_true(passwd_edit_find(text, SPAN("bob"), &line));
	assert_true(span_eq(line, SPAN("bob:{CRYPT}x:1:2::/h::u=v")));
	assert_true(span_eq(passwd_edit_password(line), SPAN("{CRYPT}x")));
	assert_true(span_eq(passwd_edit_extra(line), SPAN("u=v")));
	assert_true(passwd_edit_find(text, SPAN("cy"), &line));
	assert_int_equal(passwd_edit_password(line).n, 0);
	assert_int_equal(passwd_edit_extra(line).n, 0);
	assert_true(passwd_edit_find(text, SPAN("di"), &line));
	assert_true(span_eq(line, SPAN("di:p:3:4::/d::")));
	assert_false(passwd_edit_find(text, SPAN("# bob"), &line));
	assert_false(passwd_edit_find(text, SPAN(""), &line));
	assert_false(passwd_edit_find(text, SPAN("b"), &line));
}

static void
adds(void **state)
{
	static const struct {
		const char *user, *out;
	} rows[] = {
		{ "bob", "# bob:x\n\nal:{PLAIN}a:1:2:::\n"
			 "bob:{CRYPT}x:1:2::/h::u=v F\ncy\nbob:second\n"
			 "di:p:3:4::/d::" },
		{ "al", "# bob:x\n\nal:{PLAIN}a:1:2::::F\n"
			"bob:{CRYPT}x:1:2::/h::u=v\ncy\nbob:second\n"
			"di:p:3:4::/d::" },
		{ "cy", "# bob:x\n\nal:{PLAIN}a:1:2:::\n"
			"bob:{CRYPT}x:1:2::/h::u=v\ncy:::::::F\nbob:second\n"
			"di:p:3:4::/d::" },
		{ "di", "# bob:x\n\nal:{PLAIN}a:1:2:::\n"
			"bob:{CRYPT}x:1:2::/h::u=v\ncy\nbob:second\n"
			"di:p:3:4::/d::F" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		buf_reset(&out);
		assert_true(passwd_edit_add(SPAN(FILE_TEXT),
		    span_str(rows[i].user), SPAN("F"), &out));
		assert_string_equal(buf_cstr(&out), rows[i].out);
	}
	assert_false(
	    passwd_edit_add(SPAN(FILE_TEXT), SPAN("zoe"), SPAN("F"), &out));
	buf_release(&out);
}

/* What is added can be stepped to, and taken away without a trace. */
static void
removes(void **state)
{
	const struct span fields[] = { SPAN("app_password=one:imap:x"),
		SPAN("app_password=two:smtp:y") };
	struct span line, extra, field, value;
	struct buf one, two, out;
	size_t count = 0;

	(void)state;
	buf_init(&one, 1000);
	buf_init(&two, 1000);
	buf_init(&out, 1000);
	passwd_edit_add(SPAN(FILE_TEXT), SPAN("bob"), fields[0], &one);
	passwd_edit_add(buf_span(&one), SPAN("bob"), fields[1], &two);
	assert_true(passwd_edit_find(buf_span(&two), SPAN("bob"), &line));
	extra = passwd_edit_extra(line);
	while (passwd_edit_next_app(&extra, &field, &value)) {
		assert_true(span_eq(field, fields[count]));
		assert_true(span_eq(value, span_skip(fields[count], 13)));
		count++;
	}
	assert_int_equal(count, 2);
	passwd_edit_remove(buf_span(&two), field, &out);
	assert_true(span_eq(buf_span(&out), buf_span(&one)));
	assert_true(passwd_edit_find(buf_span(&one), SPAN("bob"), &line));
	extra = passwd_edit_extra(line);
	assert_true(passwd_edit_next_app(&extra, &field, &value));
	buf_reset(&out);
	passwd_edit_remove(buf_span(&one), field, &out);
	assert_string_equal(buf_cstr(&out), FILE_TEXT);
	buf_release(&one);
	buf_release(&two);
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds),
		cmocka_unit_test(adds),
		cmocka_unit_test(removes),
	};

	return cmocka_run_group_tests_name("passwd_edit", tests, NULL, NULL);
}
