/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#include <stdio.h>
#include <string.h>

#include "auth/password.h"
#include "auth/worker.h"
#include "lib/base/mem.h"
#include "lib/mail/app_password.h"

/* A password being checked. */
struct check {
	struct auth *a;
	struct login_facts facts;
	char password[AUTH_PASSWORD_MAX + 1];
	uint64_t trace;
	passdb_fn fn;
	void *arg;
	size_t next; /* passdb to ask */
	bool known;  /* some passdb has the user */
	/* What the worker compares with: whose it is, "" the user's own. */
	char slow[1 + APP_PASSWORDS_MAX][APP_PASSWORD_NAME_MAX + 1];
	size_t slow_count;
};

static void ask_next(struct check *c);

static void
finish(struct check *c, enum passdb_result result, const char *why,
    const char *app)
{
	const passdb_fn fn = c->fn;
	void *const arg = c->arg;

	explicit_bzero(c->password, sizeof(c->password));
	fn(arg, result, why, app);
	mem_free(c);
}

/* App passwords are not remembered: taking one away counts at once, and each
 * use is written down. */
static void
succeed(struct check *c, const char *app)
{
	if (app[0] == '\0')
		verified_add(c->a->verified, c->facts.user,
		    span_str(c->password), loop_now_ms(c->a->loop));
	finish(c, PASSDB_OK, "", app);
}

/* ---- a file ---------------------------------------------------------------
 */

static void
got_match(void *arg, struct msg_in *m, const struct err *e)
{
	struct check *c = arg;
	uint64_t number;

	if (m == NULL) {
		finish(c, PASSDB_FAILED, e->text, "");
		return;
	}
	number = msg_get_u64(m, F_COUNT);
	if (number > 0 && number <= c->slow_count)
		succeed(c, c->slow[number - 1]);
	else
		finish(c, PASSDB_NO,
		    c->known ? "password mismatch" : "unknown user", "");
}

static void
begin_job(struct check *c, struct msg_out *m)
{
	msg_begin(m, MSG_AUTH_WORK, 0, c->trace);
	msg_put_str(m, F_OP, "match");
	msg_put_str(m, F_DATA, c->password);
}

/* As long as a user's hash would take. */
static void
fail_slowly(struct check *c)
{
	struct msg_out m;

	c->slow_count = 0;
	begin_job(c, &m);
	msg_put_str(&m, F_TEXT, password_dummy);
	pool_submit(c->a->pool, &m, got_match, c);
}

enum tried { TRIED_NO, TRIED_YES, TRIED_SLOW, TRIED_UNKNOWN };

/* Compares what is cheap; what is not goes into the job. */
static enum tried
try_one(struct check *c, struct msg_out *job, const char *stored,
    struct span name)
{
	const char *text;

	switch (password_kind(stored, &text)) {
	case PASSWORD_PLAIN:
	case PASSWORD_DIGEST:
		return password_matches(stored, span_str(c->password)) ?
		    TRIED_YES : TRIED_NO;
	case PASSWORD_CRYPT:
	case PASSWORD_SCRAM:
		msg_put_str(job, F_TEXT, stored);
		BUG_ON(!span_copy(name, c->slow[c->slow_count++],
		    sizeof(c->slow[0])));
		return TRIED_SLOW;
	case PASSWORD_UNKNOWN:
		break;
	}
	return TRIED_UNKNOWN;
}

/* The name of the app password it is in *out (of the entry). */
static bool
try_apps(struct check *c, struct msg_out *job, const struct passwd_entry *entry,
    struct span *out)
{
	struct app_password app;
	const char *why;

	for (size_t i = 0; i < entry->app_count; i++) {
		if (!app_password_parse(
			span_str(entry->apps[i]), &app, &why) ||
		    !app_password_allows(&app, span_str(c->facts.service)))
			continue;
		/* Its text ends where the field ends. */
		if (try_one(c, job, (const char *)app.stored.p, app.name) ==
		    TRIED_YES) {
			*out = app.name;
			return true;
		}
	}
	return false;
}

static void
unknown_scheme(struct check *c, const struct passwd_file *file, unsigned line)
{
	char why[300];

	snprintf(why, sizeof(why), "%s, line %u: unknown password scheme",
	    passwd_file_path(file), line);
	finish(c, PASSDB_FAILED, why, "");
}

static void
try_entry(struct check *c, const struct passwd_file *file,
    const struct passwd_entry *entry)
{
	char app[APP_PASSWORD_NAME_MAX + 1] = "";
	enum tried own = TRIED_NO;
	struct span name = SPAN_EMPTY;
	struct msg_out job;

	c->known = true;
	c->slow_count = 0;
	begin_job(c, &job);
	if (entry->password[0] != '\0')
		own = try_one(c, &job, entry->password, SPAN_EMPTY);
	if (own == TRIED_YES || try_apps(c, &job, entry, &name)) {
		span_copy(name, app, sizeof(app));
		buf_wipe(&job.bytes);
		msg_out_release(&job);
		succeed(c, app);
	} else if (c->slow_count > 0) {
		pool_submit(c->a->pool, &job, got_match, c);
	} else {
		buf_wipe(&job.bytes);
		msg_out_release(&job);
		if (own == TRIED_UNKNOWN)
			unknown_scheme(c, file, entry->line);
		else
			finish(c, PASSDB_NO, "password mismatch", "");
	}
}

static void
ask_file(struct check *c, struct passwd_file *file)
{
	struct passwd_entry entry;
	struct err e;

	const int rc = passwd_file_get(file, c->facts.user, &entry, &e);
	if (rc < 0)
		finish(c, PASSDB_FAILED, e.text, "");
	else if (rc == 0 ||
	    (entry.password[0] == '\0' && entry.app_count == 0))
		/* One without a password is looked for in the next. */
		ask_next(c);
	else
		try_entry(c, file, &entry);
}

/* ---- PAM ------------------------------------------------------------------
 */

static void
got_pam(void *arg, struct msg_in *m, const struct err *e)
{
	struct check *c = arg;
	char why[200];

	if (m == NULL) {
		finish(c, PASSDB_FAILED, e->text, "");
		return;
	}
	msg_get_str(m, F_TEXT, why, sizeof(why));
	switch ((enum worker_pam)msg_get_u32(m, F_STATUS)) {
	case WORKER_PAM_OK:
		if (m->bad)
			finish(c, PASSDB_FAILED, "a bad answer", "");
		else
			succeed(c, "");
		return;
	case WORKER_PAM_NO:
		if (c->next < c->a->passdb_count)
			ask_next(c);
		else
			finish(c, PASSDB_NO, why, "");
		return;
	case WORKER_PAM_UNAVAILABLE:
		break;
	}
	finish(c, PASSDB_FAILED, why, "");
}

static void
ask_pam(struct check *c, const char *service)
{
	struct msg_out m;

	if (strchr(c->facts.user, '@') != NULL) {
		ask_next(c);
		return;
	}
	msg_begin(&m, MSG_AUTH_WORK, 0, c->trace);
	msg_put_str(&m, F_OP, "pam");
	msg_put_str(&m, F_USER, c->facts.user);
	msg_put_str(&m, F_DATA, c->password);
	msg_put_str(&m, F_SERVICE, service);
	msg_put_str(&m, F_ADDR, c->facts.addr);
	pool_submit(c->a->pool, &m, got_pam, c);
}

/* ---- one passdb after the other -------------------------------------------
 */

static void
ask_next(struct check *c)
{
	struct auth *a = c->a;

	if (c->next == a->passdb_count) {
		fail_slowly(c);
		return;
	}
	const struct auth_db *db = &a->passdb[c->next++];
	switch (db->kind) {
	case AUTH_DB_FILE:
		ask_file(c, db->file);
		break;
	case AUTH_DB_PAM:
		ask_pam(c, db->service);
		break;
	case AUTH_DB_NSS:
		BUG_ON(true);
	}
}

void
passdb_check(struct auth *a, const struct login_facts *f, struct span password,
    uint64_t trace, passdb_fn fn, void *arg)
{
	struct check *c = MEM_NEW(c);

	c->a = a;
	c->facts = *f;
	c->trace = trace;
	c->fn = fn;
	c->arg = arg;
	if (!span_copy(password, c->password, sizeof(c->password)) ||
	    password.n == 0)
		finish(c, PASSDB_NO, "bad password text", "");
	else if (verified_has(
		     a->verified, f->user, password, loop_now_ms(a->loop)))
		finish(c, PASSDB_OK, "", "");
	else
		ask_next(c);
}
