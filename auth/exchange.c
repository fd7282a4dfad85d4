/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/exchange.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "auth/app_uses.h"
#include "auth/external.h"
#include "auth/oauth.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/proto/base64.h"
#include "lib/proto/sasl.h"

struct exchange {
	struct list link;
	struct auth *a;
	struct sasl *sasl;
	struct login_facts facts;
	uint64_t trace;
	const struct exchange_handler *handler; /* NULL: abandoned */
	void *arg;
	bool busy;	      /* the next word is ours */
	bool refused;	      /* and the client hears why first */
	char why[240];	      /* of a refusal, for the log */
	struct scram_key salt;
	char *cert_name, *cert_print;
	struct timer *timer;  /* runs: a refusal waits */
};

static void advance(struct exchange *x, enum sasl_result r);

/* ---- the end --------------------------------------------------------------
 */

static void
exchange_free(struct exchange *x)
{
	list_remove(&x->link);
	x->a->exchange_count--;
	sasl_free(&x->sasl);
	timer_free(&x->timer);
	mem_free(x->cert_name);
	mem_free(x->cert_print);
	mem_free(x);
}

/* The one line about a login; names are quoted, passwords are not here. */
static void
log_login(const struct exchange *x, const char *what, const char *why)
{
	const struct login_facts *f = &x->facts;
	const struct log_ctx ctx = { .trace = x->trace };

	log_info(&ctx, "%s: user=<%s>, method=%s, rip=%s, service=%s%s%s%s%s%s",
	    what, log_quote(span_str(f->user), 100), f->mech,
	    f->addr[0] != '\0' ? f->addr : "-", f->service,
	    f->secured ? ", TLS" : "",
	    f->app[0] != '\0' ? ", app password " : "", f->app,
	    why[0] != '\0' ? ": " : "", why);
}

static void
end(struct exchange *x, enum err_kind kind, const char *dsn)
{
	struct err e;

	err_set(&e, kind, dsn, "%s", x->why);
	if (x->handler != NULL)
		x->handler->failed(x->arg, &x->facts, &e);
	exchange_free(x);
}

static void
send_refusal(void *arg)
{
	struct exchange *x = arg;

	x->a->waiting--;
	end(x, ERR_PERM, "5.7.8");
}

static void
keep_why(struct exchange *x, const char *why)
{
	if (why != x->why)
		snprintf(x->why, sizeof(x->why), "%s", why);
}

static void
fail(struct exchange *x, const char *why)
{
	struct auth *a = x->a;
	uint64_t delay;

	keep_why(x, why);
	log_login(x, "login failed", x->why);
	x->busy = true;
	delay = throttle_failed(
	    a->throttle, x->facts.addr, x->facts.user, loop_now_ms(a->loop));
	if (++a->waiting > AUTH_WAITING_MAX)
		delay = 0;
	timer_start(x->timer, delay);
}

/* Nobody can say: the client may come again at once. */
static void
fail_for_now(struct exchange *x, const char *why)
{
	keep_why(x, why);
	log_login(x, "login failed for now", x->why);
	end(x, ERR_TEMP, "4.7.0");
}

/* Uids of the system do not read mail; root never does. In a private
 * instance all is one user's. */
static const char *
uid_fault(const struct exchange *x, const struct user_entry *u)
{
	if (!u->found)
		return "no such user in auth_userdb";
	if (u->uid == 0)
		return "root may not log in";
	if (!daemon_private(x->a->daemon) &&
	    u->uid < x->a->conf->first_valid_uid)
		return "the user's uid is below first_valid_uid";
	return NULL;
}

static void
got_user(void *arg, const struct user_entry *u, const struct err *e)
{
	struct exchange *x = arg;
	struct auth *a = x->a;

	if (u == NULL) {
		fail_for_now(x, e->text);
		return;
	}
	if (uid_fault(x, u) != NULL) {
		fail(x, uid_fault(x, u));
		return;
	}
	log_login(x, "login", "");
	throttle_succeeded(a->throttle, x->facts.addr, x->facts.user);
	if (x->facts.app[0] != '\0')
		app_uses_note(a->uses, &x->facts);
	if (x->handler != NULL)
		x->handler->done(x->arg, &x->facts);
	exchange_free(x);
}

/* Who he is has been shown. */
static void
succeed(struct exchange *x)
{
	x->busy = true;
	users_lookup(x->a, x->facts.user, x->trace, got_user, x);
}

/* ---- who it is ------------------------------------------------------------
 */

/* The user's name as it is looked up. */
static bool
format_name(
    const struct exchange *x, struct span name, char out[AUTH_NAME_MAX + 1])
{
	const char *format = x->a->conf->auth_username_format;
	struct buf whole;
	bool ok;

	if (x->facts.domain[0] == '\0' || name.n == 0 ||
	    span_chr(name, '@') != SIZE_MAX)
		return auth_name_format(format, name, out);
	buf_init(&whole, AUTH_NAME_MAX);
	buf_add(&whole, name);
	buf_byte(&whole, '@');
	buf_str(&whole, x->facts.domain);
	ok = buf_ok(&whole) &&
	    auth_name_format(format, buf_span(&whole), out);
	buf_release(&whole);
	return ok;
}

/* Notes the name, as what is given in the log and then as the user's.
 * False: refused. */
static bool
take_name(struct exchange *x, struct span user)
{
	char formatted[AUTH_NAME_MAX + 1];

	snprintf(x->facts.user, sizeof(x->facts.user), "%s",
	    log_quote(user, 100));
	if (!format_name(x, user, formatted)) {
		fail(x, "not a user name");
		return false;
	}
	memcpy(x->facts.user, formatted, sizeof(formatted));
	return true;
}

/* Does the name that the client wants to act under stand for the user? */
static bool
same_user(const struct exchange *x, struct span authzid)
{
	char formatted[AUTH_NAME_MAX + 1];

	return authzid.n == 0 ||
	    (format_name(x, authzid, formatted) &&
		strcmp(formatted, x->facts.user) == 0);
}

static bool
take_names(struct exchange *x)
{
	if (!take_name(x, sasl_user(x->sasl)))
		return false;
	if (same_user(x, sasl_authzid(x->sasl)))
		return true;
	fail(x, "wants to act as another user");
	return false;
}

/* ---- the questions --------------------------------------------------------
 */

static void
got_password(
    void *arg, enum passdb_result result, const char *why, const char *app)
{
	struct exchange *x = arg;

	switch (result) {
	case PASSDB_OK:
		snprintf(x->facts.app, sizeof(x->facts.app), "%s", app);
		advance(x, sasl_accept(x->sasl, SPAN_EMPTY));
		break;
	case PASSDB_NO:
		keep_why(x, why);
		advance(x, sasl_refuse(x->sasl, SPAN_EMPTY));
		break;
	case PASSDB_FAILED:
		fail_for_now(x, why);
		break;
	}
}

static void
ask_password(struct exchange *x)
{
	if (take_names(x))
		passdb_check(x->a, &x->facts, sasl_password(x->sasl),
		    x->trace, got_password, x);
}

static void
ask_salt(struct exchange *x)
{
	uint8_t random[18];
	struct buf nonce;
	struct err e;

	if (!take_names(x))
		return;
	if (scram_salt(x->a, sasl_scram_hash(x->sasl), x->facts.user,
		&x->salt, &e) < 0) {
		fail_for_now(x, e.text);
		return;
	}
	BUG_ON(RAND_bytes(random, sizeof(random)) != 1);
	buf_init(&nonce, 64);
	base64_encode(span_of(random, sizeof(random)), &nonce);
	advance(x, sasl_salt(x->sasl, span_of(x->salt.salt, x->salt.salt_n),
	    x->salt.iterations, buf_span(&nonce)));
	buf_release(&nonce);
}

static void
got_proof(void *arg, enum passdb_result result, const char *why,
    const char *app, struct span signature)
{
	struct exchange *x = arg;

	if (result == PASSDB_OK) {
		snprintf(x->facts.app, sizeof(x->facts.app), "%s", app);
		advance(x, sasl_accept(x->sasl, signature));
	} else {
		got_password(arg, result, why, app);
	}
}

static void
got_token(void *arg, enum oauth_result result, const char *user,
    const char *why)
{
	struct exchange *x = arg;
	struct buf detail;

	if (result == OAUTH_FAILED) {
		fail_for_now(x, why);
		return;
	}
	if (result == OAUTH_OK && !take_name(x, span_str(user)))
		return;
	if (result == OAUTH_OK && same_user(x, sasl_user(x->sasl))) {
		advance(x, sasl_accept(x->sasl, SPAN_EMPTY));
		return;
	}
	keep_why(x, result == OAUTH_OK ? "the token is another user's" : why);
	x->refused = true;
	buf_init(&detail, 1024);
	oauth_error(x->a->oauth, result, &detail);
	advance(x, sasl_refuse(x->sasl, buf_span(&detail)));
	buf_release(&detail);
}

static void
ask_token(struct exchange *x)
{
	const struct span user = sasl_user(x->sasl);

	snprintf(x->facts.user, sizeof(x->facts.user), "%s",
	    log_quote(user, 100));
	oauth_check(x->a->oauth, sasl_token(x->sasl), got_token, x);
}

static void
ask_cert(struct exchange *x)
{
	char user[AUTH_NAME_MAX + 1];
	const char *why;
	struct err e;

	const int rc = external_user(
	    x->a->external, x->cert_name, x->cert_print, user, &why, &e);
	if (rc < 0) {
		fail_for_now(x, e.text);
	} else if (rc == 0) {
		snprintf(x->facts.user, sizeof(x->facts.user), "%s",
		    log_quote(sasl_authzid(x->sasl), 100));
		fail(x, why);
	} else if (take_name(x, span_str(user))) {
		if (same_user(x, sasl_authzid(x->sasl)))
			advance(x, sasl_accept(x->sasl, SPAN_EMPTY));
		else
			fail(x, "wants to act as another user");
	}
}

/* ---- steps ----------------------------------------------------------------
 */

static void
challenge(struct exchange *x)
{
	x->busy = false;
	if (x->handler != NULL)
		x->handler->challenge(x->arg, sasl_challenge(x->sasl));
	else if (x->refused)
		fail(x, x->why);
	else
		exchange_free(x);
}

static void
advance(struct exchange *x, enum sasl_result r)
{
	switch (r) {
	case SASL_CHALLENGE:
		challenge(x);
		break;
	case SASL_PASSWORD:
		ask_password(x);
		break;
	case SASL_SALT:
		ask_salt(x);
		break;
	case SASL_PROOF:
		scram_check(x->a, &x->facts, &x->salt,
		    sasl_scram_message(x->sasl), sasl_scram_proof(x->sasl),
		    x->trace, got_proof, x);
		break;
	case SASL_TOKEN:
		ask_token(x);
		break;
	case SASL_CERT:
		ask_cert(x);
		break;
	case SASL_OK:
		succeed(x);
		break;
	case SASL_REFUSED:
		fail(x, x->why);
		break;
	case SASL_BAD:
		fail(x, sasl_fault(x->sasl));
		break;
	}
}

void
exchange_start(struct exchange *x, bool has_initial, struct span initial)
{
	x->busy = true;
	advance(x, sasl_start(x->sasl, has_initial, initial));
}

void
exchange_step(struct exchange *x, struct span response)
{
	BUG_ON(x->busy);
	x->busy = true;
	advance(x, sasl_step(x->sasl, response));
}

/* ---- life -----------------------------------------------------------------
 */

struct exchange *
exchange_new(struct auth *a, struct span mechanism,
    const struct login_facts *f, const struct exchange_client *client,
    uint64_t trace, const struct exchange_handler *h, void *arg)
{
	struct sasl *sasl = sasl_new(mechanism);
	struct exchange *x;

	if (sasl == NULL)
		return NULL;
	sasl_bind(sasl, &client->binding);
	x = MEM_NEW(x);
	x->a = a;
	x->sasl = sasl;
	x->facts = *f;
	snprintf(x->facts.mech, sizeof(x->facts.mech), "%s",
	    sasl_mechanism(sasl));
	x->trace = trace;
	x->handler = h;
	x->arg = arg;
	x->cert_name = span_dup(client->cert_name);
	x->cert_print = span_dup(client->cert_print);
	x->timer = timer_new(a->loop, send_refusal, x);
	list_init(&x->link);
	list_push(&a->exchanges, &x->link);
	a->exchange_count++;
	return x;
}

const char *
exchange_refusal(const struct exchange *x, const char **out_user)
{
	*out_user = x->facts.user;
	return x->refused ? x->why : NULL;
}

void
exchange_abandon(struct exchange **xp)
{
	struct exchange *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	x->handler = NULL;
	if (x->busy)
		return;
	/* One that was told why has been refused all the same. */
	if (x->refused)
		fail(x, x->why);
	else
		exchange_free(x);
}

bool
exchanges_flush(struct auth *a)
{
	bool idle = true;

	LIST_EACH(&a->exchanges, link)
	{
		struct exchange *x = CONTAINER_OF(link, struct exchange, link);
		if (timer_active(x->timer))
			send_refusal(x);
		else if (x->busy)
			idle = false;
	}
	return idle;
}
