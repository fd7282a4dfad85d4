/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "auth/password.h"
#include "lib/base/mem.h"
#include "lib/mail/app_password.h"

/*
 * SCRAM needs a key of its own kind: one that is stored, or one made on the
 * spot from a password in clear. All of a user's keys that share one salt can
 * be tried with one proof, so app passwords work here too. A user without a
 * key, or who does not exist, gets a salt that stays the same, from a secret
 * of this host, as users with a password in clear do.
 */

/* ---- the keys of an entry ---- */

struct keys {
	struct scram_key list[1 + APP_PASSWORDS_MAX];
	char apps[1 + APP_PASSWORDS_MAX][APP_PASSWORD_NAME_MAX + 1];
	size_t count;
	const char *clear; /* the user's password, when it is kept in clear */
	unsigned line;
};

/* Reads one stored password. False: no key of this hash. */
static bool
add_key(struct keys *keys, enum sasl_hash hash, const char *stored,
    struct span app)
{
	struct scram_key *k = &keys->list[keys->count];

	if (!scram_key_parse(span_str(stored), k) || k->hash != hash)
		return false;
	BUG_ON(!span_copy(
	    app, keys->apps[keys->count], sizeof(keys->apps[0])));
	keys->count++;
	return true;
}

/* service NULL: for any. */
static void
read_entry(const struct passwd_entry *entry, enum sasl_hash hash,
    const char *service, struct keys *out)
{
	struct app_password app;
	const char *text, *why;

	out->count = 0;
	out->clear = NULL;
	if (password_kind(entry->password, &text) == PASSWORD_PLAIN)
		out->clear = text;
	else
		add_key(out, hash, entry->password, SPAN_EMPTY);
	for (size_t i = 0; i < entry->app_count; i++)
		if (app_password_parse(
			span_str(entry->apps[i]), &app, &why) &&
		    (service == NULL ||
			app_password_allows(&app, span_str(service))))
			add_key(out, hash, (const char *)app.stored.p,
			    app.name);
}

/* The first file that has the user, with a password: 1; 0 none; -1. out's
 * texts live until the file is asked again. */
static int
find(struct auth *a, enum sasl_hash hash, const char *user,
    const char *service, struct keys *out, struct err *e)
{
	struct passwd_entry entry;

	out->count = 0;
	out->clear = NULL;
	for (size_t i = 0; i < a->passdb_count; i++) {
		if (a->passdb[i].kind != AUTH_DB_FILE)
			continue;
		const int rc =
		    passwd_file_get(a->passdb[i].file, user, &entry, e);
		if (rc < 0)
			return -1;
		if (rc == 0 ||
		    (entry.password[0] == '\0' && entry.app_count == 0))
			continue;
		read_entry(&entry, hash, service, out);
		return 1;
	}
	return 0;
}

/* ---- salts ---- */

static void
made_up_salt(const struct auth *a, enum sasl_hash hash, const char *user,
    struct scram_key *out)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	char text[AUTH_NAME_MAX + 16];
	unsigned n = 0;

	snprintf(text, sizeof(text), "salt %d %s", (int)hash, user);
	BUG_ON(HMAC(EVP_sha256(), a->secret, sizeof(a->secret),
		   (const uint8_t *)text, strlen(text), mac, &n) == NULL);
	*out = (struct scram_key){ .hash = hash,
		.iterations = SCRAM_ITERATIONS,
		.salt_n = SCRAM_NEW_SALT };
	memcpy(out->salt, mac, SCRAM_NEW_SALT);
}

int
scram_salt(struct auth *a, enum sasl_hash hash, const char *user,
    struct scram_key *out, struct err *e)
{
	struct keys *keys = MEM_NEW(keys);
	const int rc = find(a, hash, user, NULL, keys, e);

	if (rc >= 0 && keys->count > 0) {
		*out = keys->list[0];
		explicit_bzero(out->stored, sizeof(out->stored));
		explicit_bzero(out->server, sizeof(out->server));
	} else if (rc >= 0) {
		made_up_salt(a, hash, user, out);
	}
	explicit_bzero(keys, sizeof(*keys));
	mem_free(keys);
	return rc < 0 ? -1 : 0;
}

/* ---- proofs ---- */

/* A proof that waits for a key made from a password. */
struct proof {
	struct buf message, proof;
	const char *why; /* if it does not fit */
	bool dummy;	 /* the key is nobody's */
	scram_fn fn;
	void *arg;
};

static void
finish(struct proof *p, enum passdb_result result, const char *why,
    struct span signature)
{
	p->fn(p->arg, result, why, "", signature);
	buf_wipe(&p->message);
	buf_wipe(&p->proof);
	mem_free(p);
}

static void
got_key(void *arg, struct msg_in *m, const struct err *e)
{
	struct proof *p = arg;
	uint8_t signature[SCRAM_HASH_MAX];
	struct scram_key k;

	if (m == NULL)
		finish(p, PASSDB_FAILED, e->text, SPAN_EMPTY);
	else if (!scram_key_parse(msg_get(m, F_DATA, 512), &k))
		finish(p, PASSDB_FAILED, "a bad answer", SPAN_EMPTY);
	else if (!scram_key_check(&k, buf_span(&p->message),
		     buf_span(&p->proof), signature) || p->dummy)
		finish(p, PASSDB_NO, p->why, SPAN_EMPTY);
	else
		finish(p, PASSDB_OK, "",
		    span_of(signature, scram_hash_size(k.hash)));
}

/* Makes the key of a password in clear; or, that all refusals take as long,
 * of a password that is nobody's. */
static void
derive(struct auth *a, const char *password, const struct scram_key *salt,
    uint64_t trace, struct proof *p)
{
	struct msg_out m;
	struct buf text;

	p->dummy = password == NULL;
	buf_init(&text, 512);
	scram_key_print(salt, &text);
	msg_begin(&m, MSG_AUTH_WORK, 0, trace);
	msg_put_str(&m, F_OP, "derive");
	msg_put_str(&m, F_DATA, p->dummy ? "nobody's" : password);
	msg_put(&m, F_TEXT, buf_span(&text));
	pool_submit(a->pool, &m, got_key, p);
	buf_wipe(&text);
}

/* The stored key that the proof fits, or -1. All are tried. */
static int
fitting_key(const struct keys *keys, const struct scram_key *salt,
    struct span message, struct span proof,
    uint8_t out_signature[SCRAM_HASH_MAX])
{
	int found = -1;

	for (size_t i = 0; i < keys->count; i++)
		if (scram_key_same_salt(&keys->list[i], salt) &&
		    scram_key_check(
			&keys->list[i], message, proof, out_signature))
			found = (int)i;
	return found;
}

static const char *
why_not(int known, const struct keys *keys)
{
	if (known == 0)
		return "unknown user";
	if (keys->count == 0 && keys->clear == NULL)
		return "no SCRAM key for the user";
	return "password mismatch";
}

void
scram_check(struct auth *a, const struct login_facts *f,
    const struct scram_key *salt, struct span message, struct span proof,
    uint64_t trace, scram_fn fn, void *arg)
{
	uint8_t signature[SCRAM_HASH_MAX];
	struct keys *keys = MEM_NEW(keys);
	struct err e;

	const int known =
	    find(a, salt->hash, f->user, f->service, keys, &e);
	const int i = known < 0 ? -1 : fitting_key(keys, salt, message, proof,
						  signature);
	if (known < 0) {
		fn(arg, PASSDB_FAILED, e.text, "", SPAN_EMPTY);
	} else if (i >= 0) {
		fn(arg, PASSDB_OK, "", keys->apps[i],
		    span_of(signature, scram_hash_size(salt->hash)));
	} else {
		struct proof *p = MEM_NEW(p);

		p->fn = fn;
		p->arg = arg;
		p->why = why_not(known, keys);
		buf_init(&p->message, message.n);
		buf_init(&p->proof, proof.n);
		buf_add(&p->message, message);
		buf_add(&p->proof, proof);
		derive(a, keys->clear, salt, trace, p);
	}
	explicit_bzero(keys, sizeof(*keys));
	mem_free(keys);
}
