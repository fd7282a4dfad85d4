/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/limits.h"
#include "lib/os/priv.h"
#include "lib/store/location.h"

enum {
	ALL_RIGHTS = SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE |
		     SANDBOX_REMOVE | SANDBOX_DIRS,
};

static void
cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		snprintf(path, 2, "/");
	else
		*slash = '\0';
}

/* A rule needs a directory that is there: for one that the store will make,
 * the nearest above it. */
static void
allow(struct sandbox *s, const char *dir)
{
	char path[LIMIT_PATH];
	struct stat st;

	if (dir == NULL || strlen(dir) >= sizeof(path))
		return;
	snprintf(path, sizeof(path), "%s", dir);
	while (strcmp(path, "/") != 0 &&
	       (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
		cut_last(path);
	if (strcmp(path, "/") != 0)
		sandbox_dir(s, path, ALL_RIGHTS);
}

/* An mbox is locked, and its neighbours made, in the directory it is in. */
static void
allow_inbox(struct sandbox *s, const struct location *l)
{
	char path[LIMIT_PATH];

	if (l->inbox == NULL || strlen(l->inbox) >= sizeof(path))
		return;
	snprintf(path, sizeof(path), "%s", l->inbox);
	if (l->driver == LOCATION_MBOX)
		cut_last(path);
	allow(s, path);
}

int
session_confine(const struct store_user *user, struct err *e)
{
	struct location location;
	struct sandbox *s;
	bool partial;

	if (location_parse(user, &location, e) != 0)
		return -1;
	s = sandbox_new();
	/* Character sets, time zones. */
	sandbox_dir(s, "/usr", SANDBOX_READ);
	sandbox_dir(s, "/lib", SANDBOX_READ);
	sandbox_dir(s, "/etc", SANDBOX_READ);
	sandbox_dir(s, "/dev", SANDBOX_READ);
	allow(s, location.root);
	allow(s, location.index);
	allow_inbox(s, &location);
	location_release(&location);
	return sandbox_apply(&s, &partial, e);
}
