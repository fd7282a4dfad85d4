/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/crc.h"

static const char text[] = "frontThe content of a message.\r\nbehind";
enum { FRONT = 5, SIZE = sizeof(text) - 1 - FRONT - 6 };

static struct range
make(void)
{
	struct range r = { .fd = memfd_create("range", MFD_CLOEXEC),
		.at = FRONT,
		.size = SIZE,
		.checked = true,
		.crc = crc32c(0, span_of(text + FRONT, SIZE)) };

	assert_int_equal(
	    write(r.fd, text, sizeof(text) - 1), sizeof(text) - 1);
	return r;
}

/* How many bytes come, `step` at a time, before the end (0) or an error. */
static size_t
read_all(const struct range *range, size_t step, char *out, ssize_t *out_last,
    struct err *e)
{
	struct range_reader r;
	size_t n = 0;

	range_begin(&r, range);
	while ((*out_last = range_read(&r, out + n, step, e)) > 0)
		n += (size_t)*out_last;
	if (*out_last == 0)
		assert_int_equal(range_read(&r, out + n, step, e), 0);
	return n;
}

static void
what_fits_is_read(void **state)
{
	struct range r = make();
	char out[100];
	ssize_t last;
	struct err e;

	(void)state;
	for (size_t step = 1; step < sizeof(out) - SIZE; step++) {
		assert_int_equal(read_all(&r, step, out, &last, &e), SIZE);
		assert_int_equal(last, 0);
		assert_memory_equal(out, text + FRONT, SIZE);
	}
	close(r.fd);
}

static void
any_bit_withholds_the_end(void **state)
{
	char out[100], byte;
	struct range r = make();
	ssize_t last;
	struct err e;

	(void)state;
	for (unsigned bit = 0; bit < 8 * SIZE; bit++) {
		const off_t at = FRONT + bit / 8;

		byte = (char)(text[at] ^ 1 << bit % 8);
		assert_int_equal(pwrite(r.fd, &byte, 1, at), 1);
		assert_true(read_all(&r, 1 + bit % 40, out, &last, &e) < SIZE);
		assert_int_equal(last, -1);
		assert_int_equal(e.kind, ERR_TEMP);
		assert_int_equal(e.sysno, EBADMSG);
		assert_int_equal(pwrite(r.fd, &text[at], 1, at), 1);
	}
	assert_int_equal(read_all(&r, 7, out, &last, &e), SIZE);
	close(r.fd);
}

static void
unchecked_short_and_empty(void **state)
{
	struct range r = make();
	char out[100];
	ssize_t last;
	struct err e;

	(void)state;
	r.crc++;
	r.checked = false;
	assert_int_equal(read_all(&r, 7, out, &last, &e), SIZE);
	r.size = SIZE + 7;
	read_all(&r, 7, out, &last, &e);
	assert_int_equal(last, -1);
	assert_int_equal(e.sysno, 0);
	/* Nothing fits nothing only. */
	r.size = 0;
	r.checked = true;
	assert_int_equal(read_all(&r, 7, out, &last, &e), 0);
	assert_int_equal(last, -1);
	assert_int_equal(e.sysno, EBADMSG);
	r.crc = 0;
	read_all(&r, 7, out, &last, &e);
	assert_int_equal(last, 0);
	close(r.fd);
	read_all(&(struct range){ .fd = r.fd, .size = 1 }, 7, out, &last, &e);
	assert_int_equal(e.sysno, EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_read),
		cmocka_unit_test(any_bit_withholds_the_end),
		cmocka_unit_test(unchecked_short_and_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
