/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_LOCATION_H
#define CHAPPE_STORE_LOCATION_H

/*
 * Where a user's mail is: mail_location in Dovecot's syntax,
 *   DRIVER:PATH[:KEY=VALUE]...
 * with DRIVER maildir or mbox, the keys INBOX, INDEX, CONTROL and LAYOUT,
 * "~/" for the home and the variables %u (user), %n (its local part), %d (its
 * domain), %h (home) and %% in paths; %Lu and the like make lower case. A
 * value that would leave its directory by "/" or ".." in the user's name is
 * refused: such a name is no user.
 */

#include "lib/base/err.h"
#include "lib/store/store.h"

enum location_driver { LOCATION_MAILDIR, LOCATION_MBOX };

struct location {
	enum location_driver driver;
	char *root;  /* absolute, no slash at the end; may be NULL for an mbox
	                user without a home: then there is only INBOX */
	char *inbox; /* absolute path, or NULL: root (Maildir), root/inbox */
	char *index; /* absolute directory, or NULL: beside the mail */
	bool index_memory; /* INDEX=MEMORY */
};

/* Finds the user's location: user->location, or when that is empty
 * home_mailbox below the home ("x/" is a Maildir), or an mbox in
 * mail_spool_directory with folders in ~/mail. -1: permanent, a configuration
 * error. */
int location_parse(const struct store_user *user, struct location *out,
    struct err *e);
void location_release(struct location *l);

#endif
