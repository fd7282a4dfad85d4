/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"

struct dir {
	char path[40];
	int fd;
};

static int
setup(void **state)
{
	struct dir *d = MEM_NEW(d);

	snprintf(d->path, sizeof(d->path), "/tmp/chappe-index-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY);
	assert_true(d->fd >= 0);
	*state = d;
	return 0;
}

static int
teardown(void **state)
{
	struct dir *d = *state;

	unlinkat(d->fd, "chappe.index", 0);
	close(d->fd);
	assert_int_equal(rmdir(d->path), 0);
	mem_free(d);
	return 0;
}

static struct index *
locked(struct dir *d)
{
	struct index *ix = index_new(d->fd);
	struct err e;

	assert_int_equal(index_lock(ix, &e), 0);
	return ix;
}

static void
done(struct index **ix)
{
	struct err e;

	assert_int_equal(index_unlock(*ix, &e), 0);
	index_free(ix);
}

static void
add(struct index *ix, uint32_t uid)
{
	const struct index_record r = { .uid = uid, .size = uid * 10 };

	index_add(ix, &r);
}

static void
records_last(void **state)
{
	struct index *ix = locked(*state);
	struct index_record r;
	uint32_t i;

	index_head(ix)->uid_validity = 77;
	add(ix, 3);
	add(ix, 5);
	add(ix, 9);
	done(&ix);
	ix = locked(*state);
	assert_int_equal(index_count(ix), 3);
	assert_int_equal(index_head(ix)->uid_validity, 77);
	assert_int_equal(index_head(ix)->uid_next, 10);
	assert_true(index_find(ix, 5, &i));
	assert_false(index_find(ix, 4, &i));
	r = *index_at(ix, i);
	assert_int_equal(r.size, 50);
	r.flags = 1;
	index_change(ix, i, &r, true);
	assert_true(index_at(ix, i)->modseq > index_at(ix, 2)->modseq);
	index_remove(ix, 0);
	done(&ix);
	ix = locked(*state);
	assert_int_equal(index_count(ix), 2);
	assert_int_equal(index_at(ix, 0)->uid, 5);
	assert_int_equal(index_at(ix, 0)->flags, 1);
	index_clear(ix);
	done(&ix);
	ix = locked(*state);
	assert_int_equal(index_count(ix), 0);
	assert_int_equal(index_head(ix)->uid_next, 10);
	assert_int_equal(index_head(ix)->uid_merged, 0);
	done(&ix);
}

/* A mailbox without messages, opened by a second process. */
static void
an_empty_one_is_read(void **state)
{
	struct index *ix = locked(*state);

	index_head(ix)->uid_validity = 77;
	done(&ix);
	ix = locked(*state);
	assert_int_equal(index_head(ix)->uid_validity, 77);
	assert_int_equal(index_count(ix), 0);
	done(&ix);
}

static void
others_see_changes(void **state)
{
	struct index *a = locked(*state), *b;
	struct err e;

	add(a, 1);
	assert_int_equal(index_unlock(a, &e), 0);
	b = locked(*state);
	add(b, 2);
	assert_false(index_stale(b));
	assert_int_equal(index_unlock(b, &e), 0);
	assert_true(index_stale(a));
	assert_int_equal(index_lock(a, &e), 0);
	assert_int_equal(index_count(a), 2);
	/* Many gone ones: the file is replaced, and the others notice. */
	for (uint32_t uid = 3; uid < 3000; uid++)
		add(a, uid);
	for (uint32_t i = 0; i < index_count(a); i++)
		index_remove(a, i);
	index_sweep(a);
	add(a, 5000);
	assert_int_equal(index_unlock(a, &e), 0);
	assert_true(index_stale(b));
	assert_int_equal(index_lock(b, &e), 0);
	assert_int_equal(index_count(b), 1);
	assert_int_equal(index_at(b, 0)->uid, 5000);
	done(&b);
	index_free(&a);
}

static void
reservations_come_first(void **state)
{
	struct dir *d = *state;
	struct index *ix = locked(d);
	struct err e;
	uint32_t reserved;

	assert_int_equal(index_reserve_uids(ix, 5, &e), 0);
	reserved = index_head(ix)->uid_reserved;
	assert_true(reserved >= 6);
	done(&ix);
	ix = locked(d);
	assert_int_equal(index_head(ix)->uid_next, 1);
	assert_int_equal(index_head(ix)->uid_reserved, reserved);
	add(ix, reserved);
	assert_int_equal(index_reserve_uids(ix, 1, &e), 0);
	/* On the disk before the records are. */
	{
		uint32_t words[32];
		const int fd = openat(d->fd, "chappe.index", O_RDONLY);

		assert_int_equal(read(fd, words, sizeof(words)), 128);
		close(fd);
		assert_true(words[12] > reserved);
		assert_int_equal(words[8], 0);
	}
	done(&ix);
}

/* Whatever byte is changed: what is read is what was written, or nothing. */
static void
damage_is_found(void **state)
{
	struct dir *d = *state;
	struct index *ix = locked(d);
	uint8_t good[128 + 3 * 64], bad;
	int fd;

	index_head(ix)->uid_validity = 77;
	add(ix, 1);
	add(ix, 2);
	add(ix, 3);
	done(&ix);
	fd = openat(d->fd, "chappe.index", O_RDWR);
	assert_int_equal(pread(fd, good, sizeof(good), 0), sizeof(good));
	for (size_t at = 0; at < sizeof(good); at++) {
		bad = good[at] ^ 0x41;
		assert_int_equal(
		    pwrite(fd, &bad, 1, (off_t)at), 1);
		ix = index_new(d->fd);
		assert_int_equal(index_lock(ix, NULL), 0);
		assert_int_equal(index_count(ix), 0);
		assert_true(index_head(ix)->uid_validity ==
		    (at < 128 ? 0 : 77));
		index_free(&ix);
		assert_int_equal(pwrite(fd, good + at, 1, (off_t)at), 1);
	}
	assert_int_equal(ftruncate(fd, 128 + 64), 0);
	close(fd);
	ix = locked(d);
	assert_int_equal(index_count(ix), 0);
	done(&ix);
}

static void
memory_will_do(void **state)
{
	struct index *ix = index_new(-1);
	struct err e;

	(void)state;
	assert_int_equal(index_lock(ix, &e), 0);
	add(ix, 1);
	assert_int_equal(index_unlock(ix, &e), 0);
	assert_false(index_stale(ix));
	assert_int_equal(index_lock(ix, &e), 0);
	assert_int_equal(index_count(ix), 1);
	assert_int_equal(index_unlock(ix, &e), 0);
	index_free(&ix);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(records_last),
		T(an_empty_one_is_read),
		T(others_see_changes),
		T(reservations_come_first),
		T(damage_is_found),
		cmocka_unit_test(memory_will_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
