/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_keys.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/os/memfd.h"

enum { HEAD = 12, NUMBER = 4 };

static const char magic[] = "CHPKEYS1";

struct tls_keys {
	unsigned refs;
	uint8_t *map;
	size_t size;
	struct table names; /* -> head of the item in the map */
};

/* ---- writing ---- */
static void
add_number(struct buf *out, size_t n)
{
	const uint8_t bytes[NUMBER] = { (uint8_t)n, (uint8_t)(n >> 8),
		(uint8_t)(n >> 16), (uint8_t)(n >> 24) };

	buf_add(out, span_of(bytes, NUMBER));
}

void
tls_keys_begin(struct buf *out)
{
	buf_str(out, magic);
}

void
tls_keys_add(
    struct buf *out, enum tls_item kind, struct span name, struct span pem)
{
	add_number(out, kind);
	add_number(out, name.n);
	add_number(out, pem.n);
	buf_add(out, name);
	buf_add(out, pem);
}

/* ---- reading ---- */
static size_t
number_at(const uint8_t *p)
{
	return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 |
	       (size_t)p[3] << 24;
}

/* The item at *at; -1 when it is not whole, 0 at the end. */
static int
item_at(const struct tls_keys *k, size_t *at, enum tls_item *out_kind,
    struct span *out_name, struct span *out_pem)
{
	const size_t left = k->size - *at;
	const uint8_t *head = k->map + *at;
	size_t name, pem;

	if (left == 0)
		return 0;
	if (left < HEAD)
		return -1;
	name = number_at(head + NUMBER);
	pem = number_at(head + 2 * NUMBER);
	if (name > left - HEAD || pem > left - HEAD - name)
		return -1;
	*out_kind = (enum tls_item)number_at(head);
	*out_name = span_of(head + HEAD, name);
	*out_pem = span_of(head + HEAD + name, pem);
	*at += HEAD + name + pem;
	return 1;
}

bool
tls_keys_next(const struct tls_keys *k, size_t *at, enum tls_item *out_kind,
    struct span *out_name, struct span *out_pem)
{
	if (*at == 0)
		*at = sizeof(magic) - 1;
	return item_at(k, at, out_kind, out_name, out_pem) == 1;
}

static struct span
fold(struct span name, uint8_t out[LIMIT_DOMAIN + 1])
{
	if (name.n > LIMIT_DOMAIN + 1)
		return SPAN_EMPTY;
	for (size_t i = 0; i < name.n; i++)
		out[i] = ascii_lower(name.p[i]);
	return span_of(out, name.n);
}

/* Looks at each item once, so that nobody finds damage later. */
static int
index_names(struct tls_keys *k)
{
	uint8_t folded[LIMIT_DOMAIN + 1];
	size_t at = sizeof(magic) - 1;
	int ret;

	if (k->size < at || memcmp(k->map, magic, at) != 0)
		return -1;
	for (;;) {
		const size_t here = at;
		enum tls_item kind;
		struct span name, pem;

		ret = item_at(k, &at, &kind, &name, &pem);
		if (ret != 1)
			return ret;
		if (kind == TLS_ITEM_NAME)
			table_put(&k->names, fold(name, folded), k->map + here);
	}
}

int
tls_keys_open(int fd, struct tls_keys **out, struct err *e)
{
	struct tls_keys *k;
	struct stat st;

	if (memfd_sealed(fd, e) != 0)
		return -1;
	if (fstat(fd, &st) != 0)
		return err_sys(e, "TLS keys");
	if (st.st_size <= 0 || st.st_size > TLS_KEYS_MAX)
		return err_set(e, ERR_TEMP, "4.3.0", "TLS keys of %lld bytes",
		    (long long)st.st_size);
	k = MEM_NEW(k);
	k->refs = 1;
	k->size = (size_t)st.st_size;
	table_init(&k->names);
	k->map = mmap(NULL, k->size, PROT_READ, MAP_SHARED, fd, 0);
	if (k->map == MAP_FAILED) {
		mem_free(k);
		return err_sys(e, "TLS keys");
	}
	if (index_names(k) != 0) {
		tls_keys_free(&k);
		return err_set(e, ERR_TEMP, "4.3.0", "damaged TLS keys");
	}
	*out = k;
	return 0;
}

struct tls_keys *
tls_keys_ref(struct tls_keys *k)
{
	k->refs++;
	return k;
}

void
tls_keys_free(struct tls_keys **ref)
{
	struct tls_keys *k = *ref;

	if (k == NULL)
		return;
	*ref = NULL;
	if (--k->refs > 0)
		return;
	table_release(&k->names);
	munmap(k->map, k->size);
	mem_free(k);
}

bool
tls_keys_has_names(const struct tls_keys *k)
{
	return k->names.count > 0;
}

bool
tls_keys_by_name(
    const struct tls_keys *k, struct span host, struct span *out_pem)
{
	uint8_t folded[LIMIT_DOMAIN + 1];
	struct span name = fold(host, folded);

	while (name.n > 0) {
		const uint8_t *head = table_get(&k->names, name);
		size_t next = 1;

		if (head != NULL) {
			*out_pem = span_of(head + HEAD + number_at(head + 4),
			    number_at(head + 8));
			return true;
		}
		while (next < name.n && name.p[next] != '.')
			next++;
		name = span_skip(name, next);
	}
	return false;
}
