/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/proto/utf8.h"

/* ---- names ----------------------------------------------------------------
 */

bool
auth_name_ok(struct span name)
{
	if (name.n == 0 || name.n > AUTH_NAME_MAX || !utf8_valid(name) ||
	    name.p[0] == '-')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] < ' ' || name.p[i] == 0x7f || name.p[i] == '/' ||
		    name.p[i] == ':')
			return false;
	/* Names become file names below the mail spool. */
	return !span_eq(name, SPAN(".")) && !span_eq(name, SPAN(".."));
}

/* The part of a name that a letter of the format stands for. */
static struct span
part_of(struct span name, char letter)
{
	const size_t at = span_rchr(name, '@');

	if (letter == 'n')
		return span_slice(name, 0, at);
	if (letter == 'd')
		return at == SIZE_MAX ? SPAN_EMPTY : span_skip(name, at + 1);
	return name;
}

bool
auth_name_format(
    const char *format, struct span name, char out[AUTH_NAME_MAX + 1])
{
	struct buf b;

	if (!auth_name_ok(name))
		return false;
	buf_init(&b, AUTH_NAME_MAX);
	for (const char *p = format; *p != '\0'; p++) {
		const bool lower = p[0] == '%' && p[1] == 'L';
		const char letter = p[0] == '%' ? p[lower ? 2 : 1] : '\0';
		if (letter == 'u' || letter == 'n' || letter == 'd') {
			const struct span part = part_of(name, letter);
			for (size_t i = 0; i < part.n; i++)
				buf_byte(&b,
				    lower ? ascii_lower(part.p[i]) : part.p[i]);
			p += lower ? 2 : 1;
		} else {
			buf_byte(&b, (uint8_t)*p);
		}
	}
	const bool good = buf_ok(&b) && auth_name_ok(buf_span(&b)) &&
			  span_copy(buf_span(&b), out, AUTH_NAME_MAX + 1);
	buf_release(&b);
	return good;
}

/* ---- the chain of userdbs -------------------------------------------------
 */

struct lookup {
	struct auth *a;
	char name[AUTH_NAME_MAX + 1];
	uint64_t trace;
	size_t next; /* database to ask */
	user_fn fn;
	void *arg;
};

static void ask_next(struct lookup *l);

static void
finish(struct lookup *l, const struct user_entry *u, const struct err *e)
{
	const user_fn fn = l->fn;
	void *const arg = l->arg;

	mem_free(l);
	fn(arg, u, e);
}

static void
fill_groups(struct msg_in *m, struct user_entry *u)
{
	struct span value;
	size_t cursor = 0;

	while (u->group_count < AUTH_GROUPS_MAX &&
	       msg_next_value(m, F_GROUPS, &cursor, &value)) {
		uint64_t gid = 0;
		for (size_t i = value.n; i > 0; i--)
			gid = gid << 8 | value.p[i - 1];
		u->groups[u->group_count++] = (gid_t)gid;
	}
}

static void
got_system_user(void *arg, struct msg_in *m, const struct err *e)
{
	struct lookup *l = arg;
	struct user_entry u = { .found = true };
	struct err bad;

	if (m == NULL) {
		finish(l, NULL, e);
		return;
	}
	if (msg_get_u64(m, F_FOUND) != 1) {
		ask_next(l);
		return;
	}
	u.uid = (uid_t)msg_get_u32(m, F_UID);
	u.gid = (gid_t)msg_get_u32(m, F_GID);
	msg_get_str(m, F_HOME, u.home, sizeof(u.home));
	fill_groups(m, &u);
	if (msg_done(m, &bad) < 0)
		finish(l, NULL, &bad);
	else
		finish(l, &u, NULL);
}

/* Names with "@" are never system users; NSS modules need not see them. */
static void
ask_system(struct lookup *l)
{
	struct msg_out m;

	if (strchr(l->name, '@') != NULL) {
		ask_next(l);
		return;
	}
	msg_begin(&m, MSG_AUTH_WORK, 0, l->trace);
	msg_put_str(&m, F_OP, "user");
	msg_put_str(&m, F_USER, l->name);
	pool_submit(l->a->pool, &m, got_system_user, l);
}

static void
ask_file(struct lookup *l, struct passwd_file *file)
{
	struct user_entry u = { .found = true };
	struct passwd_entry entry;
	struct err e;

	const int rc = passwd_file_get(file, l->name, &entry, &e);
	if (rc < 0) {
		finish(l, NULL, &e);
		return;
	}
	if (rc == 0) {
		ask_next(l);
		return;
	}
	u.uid = entry.uid != (uid_t)-1 ? entry.uid : l->a->default_uid;
	u.gid = entry.gid != (gid_t)-1 ? entry.gid : l->a->default_gid;
	if (u.uid == (uid_t)-1 || u.gid == (gid_t)-1) {
		err_set(&e, ERR_TEMP, "4.3.5",
		    "%s, line %u: no uid or gid, and mail_uid or mail_gid is "
		    "not set",
		    passwd_file_path(file), entry.line);
		finish(l, NULL, &e);
		return;
	}
	snprintf(u.home, sizeof(u.home), "%s", entry.home);
	snprintf(u.mail, sizeof(u.mail), "%s", entry.mail);
	snprintf(u.quota, sizeof(u.quota), "%s", entry.quota);
	u.groups[u.group_count++] = u.gid;
	finish(l, &u, NULL);
}

static void
ask_next(struct lookup *l)
{
	static const struct user_entry none = { .uid = (uid_t)-1,
		.gid = (gid_t)-1 };
	struct auth *a = l->a;

	if (l->next == a->userdb_count) {
		finish(l, &none, NULL);
		return;
	}
	const struct auth_db *db = &a->userdb[l->next++];
	switch (db->kind) {
	case AUTH_DB_FILE:
		ask_file(l, db->file);
		break;
	case AUTH_DB_NSS:
		ask_system(l);
		break;
	case AUTH_DB_PAM:
		BUG_ON(true);
	}
}

void
users_lookup(struct auth *a, const char *name, uint64_t trace, user_fn fn,
    void *arg)
{
	struct lookup *l = MEM_NEW(l);

	l->trace = trace;
	l->a = a;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->fn = fn;
	l->arg = arg;
	ask_next(l);
}

void
users_put(struct msg_out *m, const char *name, const struct user_entry *u)
{
	msg_put_str(m, F_USER, name);
	msg_put_u64(m, F_FOUND, u->found);
	if (!u->found)
		return;
	msg_put_u64(m, F_UID, u->uid);
	msg_put_u64(m, F_GID, u->gid);
	msg_put_str(m, F_HOME, u->home);
	if (u->mail[0] != '\0')
		msg_put_str(m, F_MAIL, u->mail);
	if (u->quota[0] != '\0')
		msg_put_str(m, F_QUOTA, u->quota);
	for (size_t i = 0; i < u->group_count; i++)
		msg_put_u64(m, F_GROUPS, u->groups[i]);
}
