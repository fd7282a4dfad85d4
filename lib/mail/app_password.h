/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_APP_PASSWORD_H
#define CHAPPE_MAIL_APP_PASSWORD_H

/*
 * A password of a user for one program or device, beside the user's own: an
 * extra field of the passwd-file, of which a line may have several.
 *
 *   app_password=NAME:SCOPE[,SCOPE...]:{SCHEME}TEXT
 *
 * NAME is 1 to 64 letters, digits, ".", "_" and "-"; a SCOPE is the name of a
 * service (smtp, imap, ...) or "*" for all. When each was last used stands in
 * a file that auth writes.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

enum { APP_PASSWORD_NAME_MAX = 64, APP_PASSWORDS_MAX = 32 };

struct app_password {
	struct span name, scopes, stored; /* within the value */
};

/* Reads a field's value. False: not of that form, *out_why says how. */
bool app_password_parse(struct span value, struct app_password *out,
    const char **out_why);

/* Is it good for the service? */
bool app_password_allows(const struct app_password *p, struct span service);

/* A name, a list of scopes: well-formed? */
bool app_password_name_ok(struct span name);
bool app_password_scopes_ok(struct span scopes);

/* ---- when it was last used ---- */

/* One line of the file queue_directory/auth/last-use:
 * TIME USER NAME SERVICE ADDRESS, the time in Unix seconds, "-" for what is
 * not known; user and name hold no blank. */
struct app_password_use {
	int64_t time_s;
	struct span user, name, service, addr;
};
bool app_password_use_parse(struct span line, struct app_password_use *out);
/* Appends the line with its LF; what would need a blank is left out: then
 * nothing is appended. */
void app_password_use_print(
    const struct app_password_use *use, struct buf *out);

#define APP_PASSWORD_DIR "auth"
#define APP_PASSWORD_USES "last-use"

#endif
