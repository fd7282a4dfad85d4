/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/map/map.h"
#include "lib/os/log.h"
#include "lib/os/work.h"
#include "verify/verify_impl.h"

/*
 * What is remembered of addresses, all of it in memory. A while after a change
 * the whole is written, in a thread, as a table that replaces the last one by
 * rename: whatever happens there is a whole one. The larger it is the longer
 * the while: writing takes a twentieth of the time.
 */

enum {
	SAVE_MS = 5000,
	SAVE_SHARE = 20,
	CACHE_MAX = 64 << 20,	/* bytes, as add_size reckons */
	TEXT_MAX = 1000,
	ROW_OVERHEAD = 128,	/* of an entry, about */
	SNAPSHOT_MAX = 1 << 30,
};

struct entry {
	struct verify_record r; /* text points behind it */
	size_t size;
};

struct cache {
	struct loop *loop;
	const struct verify_conf *conf;
	struct verify_times times;
	char *spec;	   /* "hash:/dir/name", or NULL */
	struct table rows; /* struct entry, by address */
	size_t size;
	struct timer *save, *clean;
	bool changed, writing, said_failed;
	/* of the thread, while writing */
	struct work work;
	struct buf snapshot;
	bool failed;
	struct err e;
	uint64_t took_ms;
};

/* ---- in memory ---- */

static int64_t
now_s(void)
{
	return clock_wall_us() / 1000000;
}

static size_t
add_size(size_t key, size_t text)
{
	return key + text + ROW_OVERHEAD;
}

static void
drop(struct cache *c, struct span key)
{
	struct entry *en = table_remove(&c->rows, key);

	if (en == NULL)
		return;
	c->size -= en->size;
	mem_free(en);
}

static void
insert(struct cache *c, struct span key, const struct verify_record *r)
{
	const struct span text = span_slice(r->text, 0, TEXT_MAX);
	struct entry *en = mem_alloc(sizeof(*en) + text.n);
	uint8_t *copy = (uint8_t *)(en + 1);

	en->r = *r;
	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	en->r.text = span_of(copy, text.n);
	en->size = add_size(key.n, text.n);
	drop(c, key);
	(void)table_put(&c->rows, key, en);
	c->size += en->size;
}

/* Removes what was found out up to that time, and what has expired. */
static size_t
remove_old(struct cache *c, int64_t until_s)
{
	const int64_t now = now_s();
	struct table_iter it;
	struct span key;
	void *value;
	size_t n = 0;

	table_iter_init(&c->rows, &it);
	while (table_iter_next(&c->rows, &it, &key, &value)) {
		const struct entry *en = value;

		if (en->r.updated_s > until_s &&
		    !verify_record_expired(&en->r, &c->times, now))
			continue;
		drop(c, key);
		n++;
	}
	return n;
}

/* When the oldest eighth of the time ends of which something is known: not
 * before the oldest, wherever the clock is now. */
static int64_t
oldest_eighth_s(const struct cache *c)
{
	struct table_iter it;
	struct span key;
	void *value;
	int64_t oldest = INT64_MAX, newest = 0;

	table_iter_init(&c->rows, &it);
	while (table_iter_next(&c->rows, &it, &key, &value)) {
		const struct entry *en = value;

		if (en->r.updated_s < oldest)
			oldest = en->r.updated_s;
		if (en->r.updated_s > newest)
			newest = en->r.updated_s;
	}
	return oldest + (newest - oldest) / 8;
}

/* Room for a good many more. */
static void
make_room(struct cache *c)
{
	size_t n = 0;

	while (c->size > CACHE_MAX - CACHE_MAX / 8 && c->rows.count > 0)
		n += remove_old(c, oldest_eighth_s(c));
	log_warning(NULL, "verify knows too many addresses: the %zu oldest "
	    "are forgotten", n);
}

bool
cache_get(struct cache *c, struct span address, struct verify_record *out,
    bool *out_stale)
{
	const struct entry *en = table_get(&c->rows, address);

	if (en == NULL || verify_record_expired(&en->r, &c->times, now_s()))
		return false;
	*out = en->r;
	*out_stale = verify_record_stale(&en->r, &c->times, now_s());
	return true;
}

static void
plan_save(struct cache *c)
{
	uint64_t wait;

	c->changed = true;
	if (c->spec == NULL || c->writing || timer_active(c->save))
		return;
	wait = SAVE_SHARE * c->took_ms;
	timer_start(c->save, wait > SAVE_MS ? wait : SAVE_MS);
}

void
cache_put(struct cache *c, struct span address, enum verify_status status,
    struct span text)
{
	const struct verify_record r = { .status = status,
		.updated_s = now_s(),
		.text = text };
	struct verify_record known;
	bool stale;
	const bool counts = cache_get(c, address, &known, &stale);

	if (!verify_record_takes(counts ? &known : NULL, status,
		c->conf->address_verify_negative_cache))
		return;
	if (c->size > CACHE_MAX)
		make_room(c);
	insert(c, address, &r);
	plan_save(c);
}

static void
on_clean(void *arg)
{
	struct cache *c = arg;
	const size_t dropped = remove_old(c, -1);

	log_info(NULL, "cache %s full cleanup: retained=%zu dropped=%zu "
	    "entries", c->conf->address_verify_map, c->rows.count, dropped);
	if (dropped > 0)
		plan_save(c);
	timer_start(c->clean,
	    (uint64_t)c->conf->address_verify_cache_cleanup_interval);
}

/* ---- writing ---- */

/* Rows as length, key, length, record; in the host's byte order: it does not
 * leave the process. */
static void
snapshot_add(struct buf *b, struct span s)
{
	const size_t n = s.n;

	buf_add(b, span_of(&n, sizeof(n)));
	buf_add(b, s);
}

static struct span
snapshot_next(struct span *rest)
{
	struct span s;
	size_t n;

	memcpy(&n, rest->p, sizeof(n));
	s = span_slice(*rest, sizeof(n), sizeof(n) + n);
	*rest = span_skip(*rest, sizeof(n) + n);
	return s;
}

static void
take_snapshot(struct cache *c)
{
	struct table_iter it;
	struct span key;
	struct buf record;
	void *value;

	buf_init(&c->snapshot, SNAPSHOT_MAX);
	buf_init(&record, TEXT_MAX + 100);
	table_iter_init(&c->rows, &it);
	while (table_iter_next(&c->rows, &it, &key, &value)) {
		const struct entry *en = value;

		buf_reset(&record);
		verify_record_put(&en->r, &record);
		snapshot_add(&c->snapshot, key);
		snapshot_add(&c->snapshot, buf_span(&record));
	}
	buf_release(&record);
	c->changed = false;
}

static int
write_snapshot(struct cache *c)
{
	struct span rest = buf_span(&c->snapshot);
	struct map_builder *b;
	bool twice;

	if (map_builder_begin(c->spec, 0600, &b, &c->e) != 0)
		return -1;
	while (rest.n > 0) {
		const struct span key = snapshot_next(&rest);
		const struct span record = snapshot_next(&rest);

		if (map_builder_add(b, key, record, 0, true, &twice, &c->e) !=
		    0) {
			map_builder_abort(&b);
			return -1;
		}
	}
	return map_builder_commit(&b, &c->e);
}

static void
run_save(struct work *w)
{
	struct cache *c = CONTAINER_OF(w, struct cache, work);
	const int64_t began = clock_wall_us();
	int64_t took;

	c->failed = write_snapshot(c) != 0;
	took = (clock_wall_us() - began) / 1000;
	c->took_ms = took > 0 ? (uint64_t)took : 0;
}

static void
save_done(struct work *w)
{
	struct cache *c = CONTAINER_OF(w, struct cache, work);

	c->writing = false;
	buf_release(&c->snapshot);
	if (c->failed && !c->said_failed)
		log_warning(NULL, "address_verify_map: %s; it is kept in "
		    "memory only", c->e.text);
	c->said_failed = c->failed;
	if (c->changed || c->failed)
		plan_save(c);
}

static void
on_save(void *arg)
{
	struct cache *c = arg;

	c->writing = true;
	take_snapshot(c);
	c->work = (struct work){ .run = run_save, .done = save_done };
	work_submit(c->loop, WORK_OTHER, &c->work);
}

/* ---- opening ---- */

struct loading {
	struct cache *c;
	size_t bad;
};

static void
load_row(void *arg, struct span key, struct span value, unsigned line)
{
	struct loading *l = arg;
	struct verify_record r;

	(void)line;
	if (key.n > LIMIT_ADDRESS || !verify_record_get(value, &r))
		l->bad++;
	else if (!verify_record_expired(&r, &l->c->times, now_s()) &&
	    l->c->size < CACHE_MAX)
		insert(l->c, key, &r);
}

/* One that can't be read is replaced by the next. */
static void
load(struct cache *c)
{
	struct loading l = { .c = c };
	char *file = mem_printf("%s.gdbm", strchr(c->spec, ':') + 1);
	struct map *m = NULL;
	struct err e;

	if (access(file, F_OK) == 0 &&
	    (map_open(c->spec, &m, &e) != 0 ||
		map_each(m, load_row, &l, &e) != 0))
		log_warning(NULL, "address_verify_map: %s; starting with "
		    "%zu entries", e.text, c->rows.count);
	if (l.bad > 0)
		log_warning(NULL, "address_verify_map: %zu entries could not "
		    "be read", l.bad);
	map_free(&m);
	mem_free(file);
}

/* "TYPE:/dir/name", or with "proxy:" before it, which changes nothing here.
 * NULL: it is none. */
static const char *
file_of(const char *spec)
{
	static const char *const types[] = { "hash:", "btree:", "lmdb:",
		"dbm:", "sdbm:", "cdb:", "gdbm:" };

	if (strncmp(spec, "proxy:", 6) == 0)
		spec += 6;
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (strncmp(spec, types[i], strlen(types[i])) == 0 &&
		    spec[strlen(types[i])] == '/')
			return spec + strlen(types[i]);
	return NULL;
}

void
cache_sandbox(const char *spec, struct sandbox *s)
{
	const char *file = file_of(spec);
	char *dir;

	if (file == NULL)
		return;
	dir = mem_strdup(file);
	*strrchr(dir, '/') = '\0';
	sandbox_dir(s, dir, SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE |
		SANDBOX_REMOVE);
	mem_free(dir);
}

int
cache_open(struct loop *loop, const struct verify_conf *conf,
    struct cache **out, struct err *e)
{
	const char *spec = conf->address_verify_map;
	struct cache *c;

	if (spec[0] != '\0' && file_of(spec) == NULL)
		return err_set(e, ERR_PERM, "4.3.5", "address_verify_map: "
		    "\"%.100s\" is no table that verify can write: "
		    "btree:/file", spec);
	c = MEM_NEW(c);
	c->loop = loop;
	c->conf = conf;
	c->times = (struct verify_times){
		conf->address_verify_positive_expire_time / 1000,
		conf->address_verify_positive_refresh_time / 1000,
		conf->address_verify_negative_expire_time / 1000,
		conf->address_verify_negative_refresh_time / 1000 };
	table_init(&c->rows);
	c->save = timer_new(loop, on_save, c);
	c->clean = timer_new(loop, on_clean, c);
	if (conf->address_verify_cache_cleanup_interval > 0)
		timer_start(c->clean,
		    (uint64_t)conf->address_verify_cache_cleanup_interval);
	if (spec[0] != '\0') {
		c->spec = mem_printf("hash:%s", file_of(spec));
		load(c);
	}
	*out = c;
	return 0;
}

void
cache_close(struct cache **ref)
{
	struct cache *c = *ref;

	*ref = NULL;
	work_finish(c->loop);
	timer_free(&c->save);
	timer_free(&c->clean);
	if (c->changed && c->spec != NULL) {
		take_snapshot(c);
		if (write_snapshot(c) != 0)
			log_warning(NULL, "address_verify_map: %s", c->e.text);
		buf_release(&c->snapshot);
	}
	(void)remove_old(c, INT64_MAX);
	table_release(&c->rows);
	mem_free(c->spec);
	mem_free(c);
}
