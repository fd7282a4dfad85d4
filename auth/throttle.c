/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/throttle.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/table.h"

struct client {
	unsigned failures;
	uint64_t last_ms;
};

struct throttle {
	struct table clients;
	uint64_t delay_ms;
};

/* The bytes that stand for a client; none for one that is not counted. */
static struct span
network(const char *addr, uint8_t store[16])
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (inet_pton(AF_INET, addr, store) == 1)
		return store[0] == 127 ? SPAN_EMPTY : span_of(store, 4);
	if (inet_pton(AF_INET6, addr, store) == 1)
		return memcmp(store, loopback6, 16) == 0 ? SPAN_EMPTY
							 : span_of(store, 8);
	return SPAN_EMPTY;
}

/* Forgets those who were quiet; or all, if that does not help. */
static void
make_room(struct throttle *t, uint64_t now_ms, uint64_t memory_ms)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&t->clients, &it);
	while (table_iter_next(&t->clients, &it, &key, &value)) {
		const struct client *c = value;
		if (now_ms - c->last_ms >= memory_ms) {
			table_remove(&t->clients, key);
			mem_free(value);
		}
	}
}

/* Names are keys behind a byte that no address is as long with. */
static struct span
name_key(const char *user, char store[300])
{
	const int n = user[0] == '\0' ? 0 : snprintf(store, 300,
						"user %s", user);

	return span_of(store, n < 0 || n >= 300 ? 0 : (size_t)n);
}

/* Notes a failure of the key's owner; how many there were before. */
static unsigned
count(struct throttle *t, struct span key, uint64_t now_ms)
{
	struct client *c;

	if (key.n == 0)
		return 0;
	c = table_get(&t->clients, key);
	if (c == NULL) {
		if (t->clients.count >= THROTTLE_CLIENTS_MAX)
			make_room(t, now_ms, THROTTLE_MEMORY_MS);
		if (t->clients.count >= THROTTLE_CLIENTS_MAX)
			make_room(t, now_ms, 0);
		c = MEM_NEW(c);
		table_put(&t->clients, key, c);
	} else if (now_ms - c->last_ms >= THROTTLE_MEMORY_MS) {
		c->failures = 0;
	}
	c->last_ms = now_ms;
	return c->failures++;
}

uint64_t
throttle_failed(struct throttle *t, const char *addr, const char *user,
    uint64_t now_ms)
{
	uint8_t store[16];
	char name[300];
	const unsigned of_client = count(t, network(addr, store), now_ms);
	const unsigned of_user = count(t, name_key(user, name), now_ms);
	const unsigned failures = of_client > of_user ? of_client : of_user;
	uint64_t delay = t->delay_ms;

	for (unsigned i = 0; i < failures && delay < THROTTLE_MAX_MS; i++)
		delay *= 2;
	if (delay > THROTTLE_MAX_MS && delay > t->delay_ms)
		delay = t->delay_ms > THROTTLE_MAX_MS ? t->delay_ms
						      : THROTTLE_MAX_MS;
	return delay;
}

void
throttle_succeeded(struct throttle *t, const char *addr, const char *user)
{
	uint8_t store[16];
	char name[300];
	const struct span keys[] = { network(addr, store),
		name_key(user, name) };

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (keys[i].n > 0)
			mem_free(table_remove(&t->clients, keys[i]));
}

struct throttle *
throttle_new(uint64_t delay_ms)
{
	struct throttle *t = MEM_NEW(t);

	t->delay_ms = delay_ms;
	table_init(&t->clients);
	return t;
}

void
throttle_free(struct throttle **t)
{
	if (*t == NULL)
		return;
	make_room(*t, UINT64_MAX, 0);
	table_release(&(*t)->clients);
	mem_free(*t);
	*t = NULL;
}
