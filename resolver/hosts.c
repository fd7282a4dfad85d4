/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resolver/resolver_impl.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/mem.h"

enum { TYPE_A = 1, TYPE_AAAA = 28, HOSTS_MAX = 16 << 20 };

/* One address with its names, in the order of the file. */
struct row {
	struct row *next;
	uint8_t address[16];
	size_t length; /* 4 or 16 */
	struct span names; /* separated by blanks */
	const char *first;
};

struct hosts {
	struct arena arena;
	struct row *rows, **end;
};

static void
add_line(struct hosts *h, struct span line)
{
	struct span address, names, first;
	char text[64];
	struct row row = { .next = NULL };
	struct row *kept;

	line = span_slice(line, 0, span_chr(line, '#'));
	if (!span_token(&line, " \t", &address) ||
	    !span_copy(address, text, sizeof(text)))
		return;
	if (inet_pton(AF_INET, text, row.address) == 1)
		row.length = 4;
	else if (inet_pton(AF_INET6, text, row.address) == 1)
		row.length = 16;
	else
		return;
	names = line = span_trim(line);
	if (!span_token(&line, " \t", &first))
		return;
	kept = ARENA_NEW(&h->arena, kept);
	*kept = row;
	kept->names = arena_dup(&h->arena, names);
	kept->first = arena_str(&h->arena, first);
	*h->end = kept;
	h->end = &kept->next;
}

struct hosts *
hosts_parse(struct span text)
{
	struct hosts *h = MEM_NEW(h);
	struct span line;

	arena_init(&h->arena, HOSTS_MAX);
	h->end = &h->rows;
	while (arena_ok(&h->arena) && span_token(&text, "\r\n", &line))
		add_line(h, line);
	return h;
}

void
hosts_free(struct hosts **h)
{
	if (*h != NULL)
		arena_reset(&(*h)->arena);
	mem_free(*h);
	*h = NULL;
}

static bool
has_name(const struct row *row, struct span name)
{
	struct span names = row->names, one;

	while (span_token(&names, " \t", &one))
		if (span_ieq(one, name))
			return true;
	return false;
}

bool
hosts_addresses(const struct hosts *h, struct span name, unsigned type,
    hosts_fn fn, void *arg)
{
	bool known = false;
	const size_t length = type == TYPE_A ? 4 : 16;

	if (type != TYPE_A && type != TYPE_AAAA)
		return false;
	if (span_ends(name, SPAN(".")))
		name.n--;
	for (const struct row *row = h->rows; row != NULL; row = row->next) {
		if (!has_name(row, name))
			continue;
		known = true;
		if (row->length == length)
			fn(arg, span_of(row->address, row->length));
	}
	return known;
}

static void
ptr_name(const struct row *row, char out[80])
{
	const uint8_t *a = row->address;
	char *p = out;

	if (row->length == 4) {
		snprintf(out, 80, "%u.%u.%u.%u.in-addr.arpa", a[3], a[2],
		    a[1], a[0]);
		return;
	}
	for (int i = 15; i >= 0; i--)
		p += snprintf(p, 5, "%x.%x.", a[i] & 15, a[i] >> 4);
	snprintf(p, 9, "ip6.arpa");
}

const char *
hosts_name(const struct hosts *h, struct span name)
{
	char text[80];

	if (span_ends(name, SPAN(".")))
		name.n--;
	for (const struct row *row = h->rows; row != NULL; row = row->next) {
		ptr_name(row, text);
		if (span_ieq(name, span_str(text)))
			return row->first;
	}
	return NULL;
}
