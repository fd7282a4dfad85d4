/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
ids_rise_whatever_the_clock_does(void **state)
{
	struct queue_id_source s = { .slot = 7 };
	const int64_t clock[] = { 1795358062000000, 1795358062000000,
		1795358061000000, 0, -5, 1795358062000001, 1795358063000000 };
	uint64_t last = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(clock) / sizeof(clock[0]); i++) {
		const struct queue_id id = queue_id_next(&s, clock[i]);

		assert_true(id.n > last);
		assert_int_equal(queue_id_slot(id), 7);
		last = id.n;
	}
	assert_int_equal(
	    queue_id_us((struct queue_id){ last }), 1795358063000000);
}

static void
text_and_back(void **state)
{
	char text[QUEUE_ID_TEXT];
	struct queue_id id = { (uint64_t)0x660D7F2B3C4D1 << 8 | 0xff }, back;

	(void)state;
	queue_id_text(id, text);
	assert_string_equal(text, "660D7F2B3C4D1FF");
	assert_true(queue_id_parse(span_str(text), &back));
	assert_int_equal(back.n, id.n);
	assert_int_equal(queue_id_dir(id), '1');
	id.n = (uint64_t)0x1a << 8 | 3;
	queue_id_text(id, text);
	assert_string_equal(text, "00000001A03");
	assert_true(queue_id_parse(span_str(text), &back));
	assert_int_equal(back.n, id.n);
}

static void
refuses_other_names(void **state)
{
	static const char *const names[] = { "", "0000000001", "12345678901G",
		"1234567890123456", "660d7f2b3c4d1ff", "0660D7F2B3C4D1F",
		"../../../etc/p", "66 D7F2B3C4D1FF", "000000000FF" };
	struct queue_id id = { 42 };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_false(queue_id_parse(span_str(names[i]), &id));
	assert_int_equal(id.n, 42);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_rise_whatever_the_clock_does),
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(refuses_other_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
