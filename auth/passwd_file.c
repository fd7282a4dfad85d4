/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/passwd_file.h"

#include <string.h>
#include <sys/stat.h>

#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/map/text_file.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"

enum { PASSWD_FILE_MAX = 64 << 20 };

struct line {
	char *text; /* what the entry points into */
	struct passwd_entry entry;
};

struct passwd_file {
	char *path;
	struct table users;
	struct stat seen;
	bool loaded;
};

/* ---- one line -------------------------------------------------------------
 */

/* Cuts the text up to the next colon off. */
static char *
take_field(char **rest)
{
	char *field = *rest;
	char *colon = strchr(field, ':');

	if (colon != NULL) {
		*colon = '\0';
		*rest = colon + 1;
	} else {
		*rest = field + strlen(field);
	}
	return field;
}

static bool
take_id(const char *text, uid_t *out)
{
	uint64_t id;

	if (text[0] == '\0') {
		*out = (uid_t)-1;
		return true;
	}
	if (!span_u64(span_str(text), UINT32_MAX - 1, &id))
		return false;
	*out = (uid_t)id;
	return true;
}

/* One that is damaged must not take the user away. */
static void
take_app(const char *value, struct passwd_entry *out)
{
	struct app_password app;
	const char *why;

	if (!app_password_parse(span_str(value), &app, &why))
		out->fault = why;
	else if (out->app_count == APP_PASSWORDS_MAX)
		out->fault = "too many app passwords";
	else
		out->apps[out->app_count++] = value;
}

/* One of the extra fields. False: a bad number. */
static bool
take_extra(char *word, struct passwd_entry *out)
{
	char *equals = strchr(word, '=');

	if (equals == NULL)
		return true;
	*equals = '\0';
	const char *value = equals + 1;
	if (strcmp(word, "userdb_mail") == 0)
		out->mail = value;
	else if (strcmp(word, "userdb_quota_rule") == 0)
		out->quota = value;
	else if (strcmp(word, "userdb_home") == 0)
		out->home = value;
	else if (strcmp(word, "userdb_uid") == 0)
		return take_id(value, &out->uid);
	else if (strcmp(word, "userdb_gid") == 0)
		return take_id(value, &out->gid);
	else if (strcmp(word, "app_password") == 0)
		take_app(value, out);
	return true;
}

bool
passwd_line_parse(char *line, const char **out_user, struct passwd_entry *out,
    const char **out_why)
{
	struct passwd_entry entry = { 0 };
	char *rest = line;

	const char *user = take_field(&rest);
	entry.password = take_field(&rest);
	*out_why = "bad uid or gid";
	if (!take_id(take_field(&rest), &entry.uid) ||
	    !take_id(take_field(&rest), &entry.gid))
		return false;
	take_field(&rest); /* gecos */
	entry.home = take_field(&rest);
	entry.mail = entry.quota = "";
	take_field(&rest); /* shell */
	while (*rest != '\0') {
		char *word = rest;
		rest += strcspn(rest, " \t");
		if (*rest != '\0')
			*rest++ = '\0';
		if (!take_extra(word, &entry))
			return false;
	}
	*out_why = "no user name";
	if (user[0] == '\0')
		return false;
	*out_user = user;
	*out = entry;
	return true;
}

/* ---- the file -------------------------------------------------------------
 */

static void
line_free(struct line *l)
{
	if (l == NULL)
		return;
	explicit_bzero(l->text, strlen(l->text));
	mem_free(l->text);
	mem_free(l);
}

static void
users_release(struct table *users)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(users, &it);
	while (table_iter_next(users, &it, &key, &value))
		line_free(value);
	table_release(users);
}

static void
add_line(struct passwd_file *f, struct table *users, struct span text,
    unsigned number)
{
	const char *user, *why = "a NUL byte in the line";
	struct line *l = MEM_NEW(l);

	l->text = span_dup(text);
	if (span_chr(text, '\0') != SIZE_MAX ||
	    !passwd_line_parse(l->text, &user, &l->entry, &why)) {
		log_warning(NULL, "%s, line %u: %s", f->path, number, why);
		line_free(l);
		return;
	}
	l->entry.line = number;
	if (l->entry.fault != NULL)
		log_warning(NULL, "%s, line %u: %s: passed over", f->path,
		    number, l->entry.fault);
	if (table_get(users, span_str(user)) != NULL) {
		log_warning(NULL, "%s, line %u: user %s is there already",
		    f->path, number, log_quote(span_str(user), 100));
		line_free(l);
		return;
	}
	table_put(users, span_str(user), l);
}

static void
parse(struct passwd_file *f, struct table *users, struct span text)
{
	for (unsigned number = 1; text.n > 0; number++) {
		const size_t end = span_chr(text, '\n');
		const struct span line = span_trim(span_slice(text, 0, end));
		text = end == SIZE_MAX ? SPAN_EMPTY : span_skip(text, end + 1);
		if (line.n > 0 && line.p[0] != '#')
			add_line(f, users, line, number);
	}
}

static int
refresh(struct passwd_file *f, struct err *e)
{
	struct table users;
	struct stat st;
	struct buf text;

	if (f->loaded && (stat(f->path, &st) < 0 || fs_same(&st, &f->seen)))
		return 0;
	int rc = text_file_read(f->path, PASSWD_FILE_MAX, &text, &st, e);
	if (rc == 0) {
		table_init(&users);
		parse(f, &users, buf_span(&text));
		users_release(&f->users);
		f->users = users;
		f->seen = st;
		f->loaded = true;
	} else if (f->loaded) {
		log_warning(NULL, "%s", e->text);
		rc = 0;
	}
	buf_wipe(&text);
	return rc;
}

int
passwd_file_get(struct passwd_file *f, const char *user,
    struct passwd_entry *out, struct err *e)
{
	if (refresh(f, e) < 0)
		return -1;
	const struct line *l = table_get(&f->users, span_str(user));
	if (l == NULL)
		return 0;
	*out = l->entry;
	return 1;
}

struct passwd_file *
passwd_file_new(const char *path)
{
	struct passwd_file *f = MEM_NEW(f);

	f->path = mem_strdup(path);
	table_init(&f->users);
	return f;
}

void
passwd_file_free(struct passwd_file **f)
{
	if (*f == NULL)
		return;
	users_release(&(*f)->users);
	mem_free((*f)->path);
	mem_free(*f);
	*f = NULL;
}

const char *
passwd_file_path(const struct passwd_file *f)
{
	return f->path;
}
