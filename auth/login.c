/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#include <stdio.h>
#include <string.h>

#include "auth/password.h"
#include "auth/worker.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"

/* A password being checked, or a refusal that waits for its time. */
struct login {
	struct list link;
	struct auth *a;
	struct request *r;
	struct login_facts facts;
	char password[AUTH_PASSWORD_MAX + 1];
	size_t next;	     /* passdb to ask */
	bool known;	     /* some passdb has the user */
	struct timer *timer; /* runs: the refusal waits */
};

static void ask_next(struct login *l);

/* ---- the end --------------------------------------------------------------
 */

static void
login_free(struct login *l)
{
	list_remove(&l->link);
	explicit_bzero(l->password, sizeof(l->password));
	timer_free(&l->timer);
	mem_free(l);
}

/* The one line about a login; names are quoted, passwords are not here. */
static void
log_login(const struct login *l, const char *what, const char *why)
{
	const struct login_facts *f = &l->facts;
	const struct log_ctx ctx = { .trace = request_trace(l->r) };

	log_info(&ctx, "%s: user=<%s>, method=%s, rip=%s, service=%s%s%s%s",
	    what, log_quote(span_str(f->user), 100), f->mech,
	    f->addr[0] != '\0' ? f->addr : "-", f->service,
	    f->secured ? ", TLS" : "", why[0] != '\0' ? ": " : "", why);
}

static void
send_refusal(void *arg)
{
	struct login *l = arg;
	struct err e;

	l->a->waiting--;
	err_set(&e, ERR_PERM, "5.7.8", "authentication failed");
	request_error(&l->r, &e);
	login_free(l);
}

static void
fail(struct login *l, const char *why)
{
	struct auth *a = l->a;
	uint64_t delay;

	log_login(l, "login failed", why);
	explicit_bzero(l->password, sizeof(l->password));
	delay =
	    throttle_failed(a->throttle, l->facts.addr, loop_now_ms(a->loop));
	if (++a->waiting > AUTH_WAITING_MAX)
		delay = 0;
	timer_start(l->timer, delay);
}

/* Nobody can say: the client may come again at once. */
static void
fail_for_now(struct login *l, const struct err *e)
{
	struct err said;

	log_login(l, "login failed for now", e->text);
	err_set(&said, ERR_TEMP, "4.7.0", "temporary authentication failure");
	request_error(&l->r, &said);
	login_free(l);
}

/* Uids of the system do not read mail; root never does. In a private
 * instance all is one user's. */
static const char *
uid_fault(const struct login *l, const struct user_entry *u)
{
	if (!u->found)
		return "no such user in auth_userdb";
	if (u->uid == 0)
		return "root may not log in";
	if (!daemon_private(l->a->daemon) &&
	    u->uid < l->a->conf->first_valid_uid)
		return "the user's uid is below first_valid_uid";
	return NULL;
}

static void
got_user(void *arg, const struct user_entry *u, const struct err *e)
{
	struct login *l = arg;
	struct auth *a = l->a;
	const uint64_t now = loop_now_ms(a->loop);
	uint8_t ticket[TICKET_SIZE];
	struct msg_out m;
	struct err full;

	if (u == NULL) {
		fail_for_now(l, e);
		return;
	}
	if (uid_fault(l, u) != NULL) {
		fail(l, uid_fault(l, u));
		return;
	}
	request_begin(l->r, &m, MSG_AUTH_DONE);
	msg_put_str(&m, F_USER, l->facts.user);
	if (strncmp(l->facts.service, "imap", 4) == 0) {
		if (!tickets_issue(
			a->tickets, l->facts.user, l->facts.pid, now, ticket)) {
			msg_out_release(&m);
			err_set(&full, ERR_TEMP, "4.3.2", "too many tickets");
			fail_for_now(l, &full);
			return;
		}
		msg_put(&m, F_TICKET, span_of(ticket, sizeof(ticket)));
	}
	log_login(l, "login", "");
	throttle_succeeded(a->throttle, l->facts.addr);
	request_answer(&l->r, &m);
	msg_out_release(&m);
	login_free(l);
}

static void
succeed(struct login *l)
{
	struct auth *a = l->a;

	verified_add(a->verified, l->facts.user, span_str(l->password),
	    loop_now_ms(a->loop));
	users_lookup(
		    a, l->facts.user, request_trace(l->r), got_user, l);
}

/* ---- one passdb after the other -------------------------------------------
 */

static void
got_crypt(void *arg, struct msg_in *m, const struct err *e)
{
	struct login *l = arg;

	if (m == NULL)
		fail_for_now(l, e);
	else if (l->known && msg_get_u64(m, F_FOUND) == 1)
		succeed(l);
	else
		fail(l, l->known ? "password mismatch" : "unknown user");
}

static void
submit_crypt(struct login *l, const char *hash)
{
	struct msg_out m;

	msg_begin(&m, MSG_AUTH_WORK, 0, request_trace(l->r));
	msg_put_str(&m, F_OP, "crypt");
	msg_put_str(&m, F_TEXT, hash);
	msg_put_str(&m, F_DATA, l->password);
	pool_submit(l->a->pool, &m, got_crypt, l);
}

static void
ask_file(struct login *l, struct passwd_file *file)
{
	struct passwd_entry entry;
	const char *text;
	struct err e;

	const int rc = passwd_file_get(file, l->facts.user, &entry, &e);
	if (rc < 0) {
		fail_for_now(l, &e);
		return;
	}
	/* One without a password is looked for in the next database. */
	if (rc == 0 || entry.password[0] == '\0') {
		ask_next(l);
		return;
	}
	l->known = true;
	switch (password_kind(entry.password, &text)) {
	case PASSWORD_PLAIN:
	case PASSWORD_DIGEST:
		if (password_matches(entry.password, span_str(l->password)))
			succeed(l);
		else
			fail(l, "password mismatch");
		break;
	case PASSWORD_CRYPT:
		submit_crypt(l, text);
		break;
	case PASSWORD_UNKNOWN:
		err_set(&e, ERR_TEMP, "4.3.5",
		    "%s, line %u: unknown password scheme",
		    passwd_file_path(file), entry.line);
		fail_for_now(l, &e);
		break;
	}
}

static void
got_pam(void *arg, struct msg_in *m, const struct err *e)
{
	struct login *l = arg;
	struct err failed;
	char why[200];

	if (m == NULL) {
		fail_for_now(l, e);
		return;
	}
	msg_get_str(m, F_TEXT, why, sizeof(why));
	switch ((enum worker_pam)msg_get_u32(m, F_STATUS)) {
	case WORKER_PAM_OK:
		if (m->bad) {
			err_set(&failed, ERR_TEMP, "4.3.0", "a bad answer");
			fail_for_now(l, &failed);
		} else {
			succeed(l);
		}
		return;
	case WORKER_PAM_NO:
		if (l->next < l->a->passdb_count)
			ask_next(l);
		else
			fail(l, why);
		return;
	case WORKER_PAM_UNAVAILABLE:
		break;
	}
	err_set(&failed, ERR_TEMP, "4.3.0", "%s", why);
	fail_for_now(l, &failed);
}

static void
ask_pam(struct login *l, const char *service)
{
	struct msg_out m;

	if (strchr(l->facts.user, '@') != NULL) {
		ask_next(l);
		return;
	}
	msg_begin(&m, MSG_AUTH_WORK, 0, request_trace(l->r));
	msg_put_str(&m, F_OP, "pam");
	msg_put_str(&m, F_USER, l->facts.user);
	msg_put_str(&m, F_DATA, l->password);
	msg_put_str(&m, F_SERVICE, service);
	msg_put_str(&m, F_ADDR, l->facts.addr);
	pool_submit(l->a->pool, &m, got_pam, l);
}

static void
ask_next(struct login *l)
{
	struct auth *a = l->a;

	if (l->next == a->passdb_count) {
		/* As long as a user's hash would take. */
		submit_crypt(l, password_dummy);
		return;
	}
	const struct auth_db *db = &a->passdb[l->next++];
	switch (db->kind) {
	case AUTH_DB_FILE:
		ask_file(l, db->file);
		break;
	case AUTH_DB_PAM:
		ask_pam(l, db->service);
		break;
	case AUTH_DB_NSS:
		BUG_ON(true);
	}
}

/* ---- the start ------------------------------------------------------------
 */

static struct login *
login_new(struct auth *a, struct request *r, const struct login_facts *facts)
{
	struct login *l = MEM_NEW(l);

	l->a = a;
	l->r = r;
	l->facts = *facts;
	l->timer = timer_new(a->loop, send_refusal, l);
	list_init(&l->link);
	list_push(&a->logins, &l->link);
	return l;
}

void
login_start(struct auth *a, struct request *r, const struct login_facts *facts,
    struct span password)
{
	struct login *l = login_new(a, r, facts);

	if (!span_copy(password, l->password, sizeof(l->password)) ||
	    password.n == 0)
		fail(l, "bad password text");
	else if (verified_has(a->verified, l->facts.user, password,
		     loop_now_ms(a->loop)))
		users_lookup(
		    a, l->facts.user, request_trace(l->r), got_user, l);
	else
		ask_next(l);
}

void
login_refuse(struct auth *a, struct request *r, const struct login_facts *facts,
    const char *why)
{
	fail(login_new(a, r, facts), why);
}

bool
login_flush(struct auth *a)
{
	LIST_EACH(&a->logins, link)
	{
		struct login *l = CONTAINER_OF(link, struct login, link);
		if (timer_active(l->timer))
			send_refusal(l);
	}
	return list_empty(&a->logins);
}
