/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/verify_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/map/map.h"

struct fixture {
	char dir[64], map[100], file[110];
	struct loop *loop;
	struct verify_conf conf;
	struct cache *cache;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/cache_test.XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	snprintf(f->map, sizeof(f->map), "btree:%s/verify_cache", f->dir);
	snprintf(f->file, sizeof(f->file), "%s/verify_cache.gdbm", f->dir);
	f->loop = loop_new();
	f->conf = (struct verify_conf){ .address_verify_map = f->map,
		.address_verify_positive_expire_time = 1000000,
		.address_verify_positive_refresh_time = 1000000,
		.address_verify_negative_expire_time = 1000000,
		.address_verify_negative_refresh_time = 0,
		.address_verify_negative_cache = true };
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->cache != NULL)
		cache_close(&f->cache);
	loop_free(&f->loop);
	unlink(f->file);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void
open_it(struct fixture *f)
{
	struct err e;

	if (f->cache != NULL)
		cache_close(&f->cache);
	if (cache_open(f->loop, &f->conf, &f->cache, &e) != 0)
		fail_msg("%s", e.text);
}

static const char *
get(struct fixture *f, const char *address)
{
	static char text[2000];
	struct verify_record r;
	bool stale;

	if (!cache_get(f->cache, span_str(address), &r, &stale))
		return "none";
	snprintf(text, sizeof(text), "%d %.*s", (int)r.status,
	    SPAN_FMT(r.text));
	return text;
}

static void
put(struct fixture *f, const char *address, enum verify_status status)
{
	cache_put(f->cache, span_str(address), status, SPAN("why"));
}

static void
keeps_over_the_end(void **state)
{
	struct fixture *f = *state;

	open_it(f);
	assert_string_equal(get(f, "a@x"), "none");
	put(f, "a@x", VERIFY_OK);
	put(f, "b@x", VERIFY_REFUSED);
	put(f, "c@x", VERIFY_TODO);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(get(f, "a@x"), "0 why");
		assert_string_equal(get(f, "b@x"), "2 why");
		assert_string_equal(get(f, "c@x"), "none");
		open_it(f);
	}
	/* Nothing changed: it is not written again. */
	unlink(f->file);
	open_it(f);
	assert_int_not_equal(access(f->file, F_OK), 0);
}

static void
one_failure_does_not_undo(void **state)
{
	struct fixture *f = *state;

	open_it(f);
	put(f, "a@x", VERIFY_OK);
	put(f, "a@x", VERIFY_REFUSED);
	assert_string_equal(get(f, "a@x"), "0 why");
	put(f, "b@x", VERIFY_DEFERRED);
	put(f, "b@x", VERIFY_OK);
	assert_string_equal(get(f, "b@x"), "0 why");
	f->conf.address_verify_negative_cache = false;
	put(f, "c@x", VERIFY_REFUSED);
	assert_string_equal(get(f, "c@x"), "none");
}

static void
damage_is_a_loss_only(void **state)
{
	static const char rubbish[] = "this is no table";
	struct fixture *f = *state;
	FILE *file = fopen(f->file, "w");

	fputs(rubbish, file);
	fclose(file);
	open_it(f);
	assert_string_equal(get(f, "a@x"), "none");
	put(f, "a@x", VERIFY_OK);
	open_it(f);
	assert_string_equal(get(f, "a@x"), "0 why");
}

/* A flood drives out the oldest, and ends somewhere. */
static void
is_bounded(void **state)
{
	struct fixture *f = *state;
	char address[1000], last[1000];

	f->conf.address_verify_map = "";
	open_it(f);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(address, sizeof(address), "%0900u@x", i);
		put(f, address, VERIFY_OK);
	}
	memcpy(last, address, sizeof(last));
	assert_string_equal(get(f, last), "0 why");
	snprintf(address, sizeof(address), "%0900u@x", 0);
	assert_string_equal(get(f, address), "none");
}

/* As if the clock had been set back after so many were put in. */
static void
write_from_the_future(const struct fixture *f, int64_t updated_s)
{
	const struct verify_record r = { .status = VERIFY_OK,
		.updated_s = updated_s,
		.text = SPAN("why") };
	char key[2000], spec[110];
	struct map_builder *b;
	struct buf record;
	bool twice;
	struct err e;

	snprintf(spec, sizeof(spec), "hash:%s/verify_cache", f->dir);
	buf_init(&record, sizeof(key));
	verify_record_put(&r, &record);
	assert_int_equal(map_builder_begin(spec, 0600, &b, &e), 0);
	for (unsigned i = 0; i < 64000; i++) {
		snprintf(key, sizeof(key), "%01000u@x", i);
		assert_int_equal(map_builder_add(b, span_str(key),
		    buf_span(&record), 0, true, &twice, &e), 0);
	}
	assert_int_equal(map_builder_commit(&b, &e), 0);
	buf_release(&record);
}

static void
makes_room_when_the_clock_was_set_back(void **state)
{
	struct fixture *f = *state;

	write_from_the_future(f, clock_wall_us() / 1000000 + 300);
	open_it(f);
	alarm(30);
	put(f, "a@x", VERIFY_OK);
	put(f, "b@x", VERIFY_OK);
	alarm(0);
	assert_string_equal(get(f, "b@x"), "0 why");
}

static void
names(void **state)
{
	static const struct {
		const char *map;
		bool good;
	} rows[] = {
		{ "hash:/a/b", true }, { "proxy:btree:/a/b", true },
		{ "lmdb:/a/b", true }, { "", true },
		{ "texthash:/a/b", false }, { "hash:b", false },
		{ "/a/b", false }, { "memcache:/a", false },
	};
	struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		f->conf.address_verify_map = rows[i].map;
		assert_int_equal(
		    cache_open(f->loop, &f->conf, &f->cache, &e) == 0,
		    rows[i].good);
		if (f->cache != NULL)
			cache_close(&f->cache);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keeps_over_the_end),
		TEST(one_failure_does_not_undo),
		TEST(damage_is_a_loss_only),
		TEST(is_bounded),
		TEST(makes_room_when_the_clock_was_set_back),
		TEST(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
