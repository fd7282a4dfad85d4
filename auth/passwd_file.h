/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_PASSWD_FILE_H
#define CHAPPE_AUTH_PASSWD_FILE_H

/*
 * A file of users in Dovecot's syntax, one a line:
 *
 *   user:{SCHEME}password:uid:gid:gecos:home:shell:extra fields
 *
 * Fields may be missing from the right. Of the extra fields (name=value,
 * separated by blanks) userdb_mail, userdb_home, userdb_uid, userdb_gid,
 * userdb_quota_rule and,
 * as often as wanted, app_password are read. Lines that begin with "#" are comments. A changed file is read
 * again at the next look-up; while the new one can't be read, the old content
 * stays.
 */

#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/mail/app_password.h"

struct passwd_entry {
	const char *password; /* with its scheme; "" when there is none */
	uid_t uid;            /* (uid_t)-1: not given */
	gid_t gid;
	const char *home, *mail, *quota; /* "" when not given */
	/* Values of app_password fields (lib/mail/app_password.h), all well
	 * formed; the first APP_PASSWORDS_MAX. */
	const char *apps[APP_PASSWORDS_MAX];
	size_t app_count;
	const char *fault; /* of an extra field that was passed over, or NULL */
	unsigned line;
};

struct passwd_file;
struct passwd_file *passwd_file_new(const char *path);
void passwd_file_free(struct passwd_file **f);
const char *passwd_file_path(const struct passwd_file *f);

/* 1 and *out (until the next call), 0 unknown, -1 when the file was never
 * read and can't be. */
int passwd_file_get(struct passwd_file *f, const char *user,
    struct passwd_entry *out, struct err *e);

/* Parses one line into entry and user; the texts live in the line, which is
 * cut up. False: not of this form, why says how. For the file and its tests. */
bool passwd_line_parse(char *line, const char **out_user,
    struct passwd_entry *out, const char **out_why);

#endif
