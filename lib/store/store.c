/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/utf8.h"
#include "lib/store/driver.h"
#include "lib/store/path.h"

const char keywords_file[] = "chappe.keywords";

int
store_open(const struct store_user *user, struct store **out, struct err *e)
{
	struct location location;
	struct quota quota = { 0 };
	struct store *s;

	if (user->quota_rule != NULL && !quota_parse(user->quota_rule, &quota))
		return err_set(e, ERR_PERM, "5.3.5",
		    "quota_rule: \"%s\" is none", user->quota_rule);
	if (location_parse(user, &location, e) != 0)
		return -1;
	s = MEM_NEW(s);
	s->location = location;
	s->driver = location.driver == LOCATION_MAILDIR ? &maildir_driver :
							  &mbox_driver;
	s->quota = quota;
	s->user = *user;
	s->user.quota_rule = NULL;
	s->user.name = mem_strdup(user->name);
	s->user.home = mem_strdup(user->home);
	s->user.location = s->user.home_mailbox = NULL;
	s->user.mail_spool_directory = NULL;
	*out = s;
	return 0;
}

int
store_open_file(const char *path, int64_t size_max, struct store **out,
    struct err *e)
{
	struct store *s;

	if (path[0] != '/')
		return err_set(
		    e, ERR_PERM, "5.3.5", "%s: not an absolute path", path);
	s = MEM_NEW(s);
	s->driver = &mbox_driver;
	s->location.driver = LOCATION_MBOX;
	s->location.inbox = mem_strdup(path);
	s->location.index_memory = true;
	s->user.size_max = size_max;
	*out = s;
	return 0;
}

void
store_close(struct store **s)
{
	union { /* ours, though the struct says const */
		const char *in;
		char *out;
	} name, home;

	if (*s == NULL)
		return;
	name.in = (*s)->user.name;
	home.in = (*s)->user.home;
	mem_free(name.out);
	mem_free(home.out);
	location_release(&(*s)->location);
	mem_free(*s);
	*s = NULL;
}

int
store_quota(struct store *s, bool *out_limited, bool *out_full,
    struct err *e)
{
	struct quota usage;
	int root, rc;

	*out_limited = s->driver == &maildir_driver && quota_limited(&s->quota);
	*out_full = false;
	if (!*out_limited)
		return 0;
	if (store_root_open(s, false, &root, e) != 0)
		return e->sysno == ENOENT ? 0 : -1;
	rc = quota_usage(root, &s->quota, &usage, e);
	close(root);
	if (rc == 0)
		*out_full = quota_full(&s->quota, &usage);
	return rc;
}

char
store_separator(const struct store *s)
{
	return s->driver->separator;
}

int
store_root_open(const struct store *s, bool create, int *out_fd,
    struct err *e)
{
	if (s->location.root == NULL) {
		err_set(e, ERR_PERM, "5.2.0", "this user has no folders");
		e->sysno = ENOENT;
		return -1;
	}
	if (create)
		return path_make_dir(s->location.root, 0700, out_fd, e);
	*out_fd =
	    open(s->location.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*out_fd < 0)
		return err_sys(e, "%s", s->location.root);
	return 0;
}

/* ---- names ---- */
bool
name_is_inbox(struct span name)
{
	return span_ieq(name, SPAN("INBOX"));
}

static bool
part_ok(struct span part)
{
	/* "." and ".." and hidden files are not for clients, "~" leads home,
	 * and a Maildir's own directories are no mailboxes. */
	return part.n > 0 && part.p[0] != '.' && part.p[0] != '~' &&
	    !span_eq(part, SPAN("cur")) && !span_eq(part, SPAN("new")) &&
	    !span_eq(part, SPAN("tmp"));
}

static bool
bytes_ok(const struct store *s, struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] < ' ' || name.p[i] == 0x7f ||
		    (name.p[i] == '/' && s->driver->separator != '/'))
			return false;
	return utf8_valid(name);
}

static bool
name_ok(const struct store *s, struct span name)
{
	unsigned depth = 0;
	struct span rest = name;

	if (name.n == 0 || name.n > LIMIT_MAILBOX_NAME || !bytes_ok(s, name))
		return false;
	for (;;) {
		const size_t at =
		    span_chr(rest, (uint8_t)s->driver->separator);

		if (!part_ok(span_slice(rest, 0, at)) ||
		    ++depth > LIMIT_MAILBOX_DEPTH)
			return false;
		if (at == SIZE_MAX)
			return true;
		rest = span_skip(rest, at + 1);
	}
}

int
name_check(const struct store *s, struct span name, struct err *e)
{
	if (name_ok(s, name))
		return 0;
	return err_set(e, ERR_PERM, "5.1.0", "invalid mailbox name");
}
