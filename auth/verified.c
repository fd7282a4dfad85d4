/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/verified.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"

enum { KEY_SIZE = 32, MAC_SIZE = 32 };

struct verified {
	struct table logins; /* user -> struct login */
	uint64_t ttl_ms;
	uint8_t key[KEY_SIZE];
};

struct login {
	uint8_t mac[MAC_SIZE];
	uint64_t until_ms;
};

static void
make_mac(const struct verified *v, const char *user, struct span password,
    uint8_t out[MAC_SIZE])
{
	uint8_t store[EVP_MAX_MD_SIZE];
	struct buf text;
	unsigned n = 0;

	buf_init(&text, 8192);
	buf_str(&text, user);
	buf_byte(&text, '\0');
	buf_add(&text, password);
	BUG_ON(!buf_ok(&text) || HMAC(EVP_sha256(), v->key, KEY_SIZE, text.p,
				     text.n, store, &n) == NULL);
	memcpy(out, store, MAC_SIZE);
	buf_wipe(&text);
}

static void
clear(struct verified *v)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&v->logins, &it);
	while (table_iter_next(&v->logins, &it, &key, &value))
		mem_free(value);
	table_release(&v->logins);
	table_init(&v->logins);
}

void
verified_add(
    struct verified *v, const char *user, struct span password, uint64_t now_ms)
{
	if (v->ttl_ms == 0)
		return;
	if (v->logins.count >= VERIFIED_MAX)
		clear(v);
	struct login *login = MEM_NEW(login);
	make_mac(v, user, password, login->mac);
	login->until_ms = now_ms + v->ttl_ms;
	mem_free(table_put(&v->logins, span_str(user), login));
}

bool
verified_has(
    struct verified *v, const char *user, struct span password, uint64_t now_ms)
{
	const struct login *login = table_get(&v->logins, span_str(user));
	uint8_t mac[MAC_SIZE];

	if (login == NULL)
		return false;
	if (now_ms >= login->until_ms) {
		mem_free(table_remove(&v->logins, span_str(user)));
		return false;
	}
	make_mac(v, user, password, mac);
	return CRYPTO_memcmp(mac, login->mac, MAC_SIZE) == 0;
}

struct verified *
verified_new(uint64_t ttl_ms)
{
	struct verified *v = MEM_NEW(v);

	v->ttl_ms = ttl_ms;
	table_init(&v->logins);
	BUG_ON(getrandom(v->key, KEY_SIZE, 0) != KEY_SIZE);
	return v;
}

void
verified_free(struct verified **v)
{
	if (*v == NULL)
		return;
	clear(*v);
	table_release(&(*v)->logins);
	explicit_bzero((*v)->key, KEY_SIZE);
	mem_free(*v);
	*v = NULL;
}
