/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/location.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* The user's name becomes part of a path: it may not change directories. */
static bool
name_fits_path(struct span name)
{
	return name.n > 0 && name.p[0] != '.' &&
	    span_chr(name, '/') == SIZE_MAX && span_chr(name, 0) == SIZE_MAX;
}

static int
add_variable(struct buf *out, const struct store_user *user, uint8_t letter,
    bool lower, struct err *e)
{
	const struct span name = span_str(user->name);
	const size_t at = span_chr(name, '@');
	struct span value = SPAN_EMPTY;

	switch (letter) {
	case 'u':
		value = name;
		break;
	case 'n':
		value = span_slice(name, 0, at);
		break;
	case 'd':
		value = at == SIZE_MAX ? SPAN_EMPTY : span_skip(name, at + 1);
		break;
	case 'h':
		if (user->home == NULL || user->home[0] != '/')
			return err_set(e, ERR_PERM, "5.3.5",
			    "mail_location uses %%h, but %s has no home",
			    user->name);
		buf_str(out, user->home);
		return 0;
	default:
		return err_set(e, ERR_PERM, "5.3.5",
		    "mail_location: unknown variable %%%c", letter);
	}
	if (!name_fits_path(value))
		return err_set(e, ERR_PERM, "5.3.5",
		    "mail_location: the user name does not fit into a path");
	for (size_t i = 0; i < value.n; i++)
		buf_byte(out, lower ? ascii_lower(value.p[i]) : value.p[i]);
	return 0;
}

static int
expand(const struct store_user *user, struct span in, struct buf *out,
    struct err *e)
{
	if (in.n > 0 && in.p[0] == '~' && (in.n == 1 || in.p[1] == '/')) {
		if (user->home == NULL || user->home[0] != '/')
			return err_set(e, ERR_PERM, "5.3.5",
			    "mail_location uses ~, but %s has no home",
			    user->name);
		buf_str(out, user->home);
		in = span_skip(in, 1);
	}
	for (size_t i = 0; i < in.n; i++) {
		bool lower = false;

		if (in.p[i] != '%') {
			buf_byte(out, in.p[i]);
			continue;
		}
		if (i + 1 < in.n && in.p[i + 1] == 'L') {
			lower = true;
			i++;
		}
		if (++i >= in.n)
			return err_set(e, ERR_PERM, "5.3.5",
			    "mail_location: %% at the end");
		if (in.p[i] == '%')
			buf_byte(out, '%');
		else if (add_variable(out, user, in.p[i], lower, e) != 0)
			return -1;
	}
	return 0;
}

/* An expanded absolute path without slashes at its end. */
static int
expand_path(const struct store_user *user, struct span in, char **out,
    struct err *e)
{
	struct buf b;
	int rc = -1;

	buf_init(&b, LIMIT_PATH - 1);
	if (expand(user, in, &b, e) != 0)
		goto out;
	while (b.n > 1 && b.p[b.n - 1] == '/')
		buf_truncate(&b, b.n - 1);
	if (!buf_ok(&b) || b.n == 0 || b.p[0] != '/' ||
	    span_chr(buf_span(&b), 0) != SIZE_MAX) {
		err_set(e, ERR_PERM, "5.3.5",
		    "mail_location: \"%s\" is not an absolute path",
		    buf_cstr(&b));
		goto out;
	}
	mem_free(*out);
	*out = mem_strdup(buf_cstr(&b));
	rc = 0;
out:
	buf_release(&b);
	return rc;
}

static int
set_layout(const struct location *l, struct span value, struct err *e)
{
	const struct span only =
	    l->driver == LOCATION_MAILDIR ? SPAN("maildir++") : SPAN("fs");

	if (span_ieq(value, only))
		return 0;
	return err_set(e, ERR_PERM, "5.3.5",
	    "mail_location: LAYOUT=%.*s is not supported here",
	    SPAN_FMT(span_slice(value, 0, 40)));
}

static int
set_key(const struct store_user *user, struct location *l, struct span word,
    struct err *e)
{
	const size_t at = span_chr(word, '=');
	const struct span key = span_slice(word, 0, at);
	const struct span value =
	    at == SIZE_MAX ? SPAN_EMPTY : span_skip(word, at + 1);

	if (span_eq(key, SPAN("INBOX")))
		return expand_path(user, value, &l->inbox, e);
	if (span_eq(key, SPAN("INDEX")) || span_eq(key, SPAN("CONTROL"))) {
		if (span_eq(value, SPAN("MEMORY"))) {
			l->index_memory = true;
			return 0;
		}
		return expand_path(user, value, &l->index, e);
	}
	if (span_eq(key, SPAN("LAYOUT")))
		return set_layout(l, value, e);
	return err_set(e, ERR_PERM, "5.3.5",
	    "mail_location: unknown key \"%.*s\"",
	    SPAN_FMT(span_slice(key, 0, 40)));
}

static int
parse(const struct store_user *user, struct span text, struct location *l,
    struct err *e)
{
	const size_t colon = span_chr(text, ':');
	const struct span driver = span_slice(text, 0, colon);
	struct span rest =
	    colon == SIZE_MAX ? SPAN_EMPTY : span_skip(text, colon + 1);
	struct span word;

	if (span_ieq(driver, SPAN("maildir")))
		l->driver = LOCATION_MAILDIR;
	else if (span_ieq(driver, SPAN("mbox")))
		l->driver = LOCATION_MBOX;
	else
		return err_set(e, ERR_PERM, "5.3.5",
		    "mail_location: \"%.*s\" is neither maildir: nor mbox:",
		    SPAN_FMT(span_slice(text, 0, 40)));
	if (rest.n == 0 || rest.p[0] == ':' || !span_token(&rest, ":", &word))
		return err_set(
		    e, ERR_PERM, "5.3.5", "mail_location: no path given");
	if (expand_path(user, word, &l->root, e) != 0)
		return -1;
	while (span_token(&rest, ":", &word))
		if (set_key(user, l, word, e) != 0)
			return -1;
	return 0;
}

/* As Postfix: home_mailbox, else the spool directory. */
static int
parse_default(const struct store_user *user, struct location *l, struct err *e)
{
	const struct span home_mailbox = span_str(user->home_mailbox);
	const char *spool = user->mail_spool_directory;
	char *text;
	int rc;

	if (home_mailbox.n > 0 && span_ends(home_mailbox, SPAN("/"))) {
		text = mem_printf("~/%s", user->home_mailbox);
		l->driver = LOCATION_MAILDIR;
		rc = expand_path(user, span_str(text), &l->root, e);
		mem_free(text);
		return rc;
	}
	l->driver = LOCATION_MBOX;
	if (home_mailbox.n > 0)
		text = mem_printf("~/%s", user->home_mailbox);
	else
		text = mem_printf("%s/%%u", spool != NULL ? spool : "/var/mail");
	rc = expand_path(user, span_str(text), &l->inbox, e);
	mem_free(text);
	if (rc == 0 && user->home != NULL && user->home[0] == '/')
		rc = expand_path(user, SPAN("~/mail"), &l->root, e);
	return rc;
}

int
location_parse(const struct store_user *user, struct location *out,
    struct err *e)
{
	struct location l = { 0 };
	const struct span text = span_trim(span_str(user->location));
	int rc;

	rc = text.n > 0 ? parse(user, text, &l, e) :
			  parse_default(user, &l, e);
	if (rc != 0) {
		location_release(&l);
		return -1;
	}
	*out = l;
	return 0;
}

void
location_release(struct location *l)
{
	mem_free(l->root);
	mem_free(l->inbox);
	mem_free(l->index);
	*l = (struct location){ 0 };
}
