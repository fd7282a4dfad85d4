/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/client_names.h"

#include <string.h>

#include "lib/base/mem.h"

enum { PLACES = 1024 };

struct place {
	char *addr, *name; /* NULL: free */
	uint64_t until_ms;
};

struct client_names {
	struct place places[PLACES];
};

static size_t
place_of(const char *addr)
{
	return span_hash(span_str(addr)) % PLACES;
}

static void
place_release(struct place *p)
{
	mem_free(p->addr);
	mem_free(p->name);
	*p = (struct place){ 0 };
}

struct client_names *
client_names_new(void)
{
	struct client_names *n = MEM_NEW(n);

	return n;
}

void
client_names_free(struct client_names **ref)
{
	struct client_names *n = *ref;

	*ref = NULL;
	if (n == NULL)
		return;
	for (size_t i = 0; i < PLACES; i++)
		place_release(&n->places[i]);
	mem_free(n);
}

const char *
client_names_get(const struct client_names *n, const char *addr,
    uint64_t now_ms)
{
	const struct place *p = &n->places[place_of(addr)];

	if (p->addr == NULL || now_ms >= p->until_ms ||
	    strcmp(p->addr, addr) != 0)
		return NULL;
	return p->name;
}

void
client_names_put(struct client_names *n, const char *addr, const char *name,
    uint32_t ttl_s, uint64_t now_ms)
{
	struct place *p = &n->places[place_of(addr)];
	uint64_t keep_s = ttl_s;

	if (keep_s < CLIENT_NAMES_MIN_S)
		keep_s = CLIENT_NAMES_MIN_S;
	if (keep_s > CLIENT_NAMES_MAX_S)
		keep_s = CLIENT_NAMES_MAX_S;
	place_release(p);
	p->addr = mem_strdup(addr);
	p->name = mem_strdup(name);
	p->until_ms = now_ms + keep_s * 1000;
}
