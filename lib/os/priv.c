/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum { NSS_BUFFER = 65536 };

bool
priv_is_root(void)
{
	return geteuid() == 0;
}

int
priv_lookup(const char *user, struct priv_user *out, struct err *e)
{
	char *store = mem_alloc(NSS_BUFFER);
	struct passwd pw, *found = NULL;
	const int rc = getpwnam_r(user, &pw, store, NSS_BUFFER, &found);
	int ret = -1;

	if (found != NULL) {
		*out = (struct priv_user){ pw.pw_uid, pw.pw_gid };
		ret = 0;
	} else if (rc == 0 || rc == ENOENT || rc == ESRCH) {
		err_set(e, ERR_PERM, "5.3.5", "no such user: %s", user);
	} else {
		errno = rc;
		err_sys(e, "look up user %s", user);
	}
	mem_free(store);
	return ret;
}

int
priv_lookup_group(const char *group, gid_t *out, struct err *e)
{
	char *store = mem_alloc(NSS_BUFFER);
	struct group gr, *found = NULL;
	const int rc = getgrnam_r(group, &gr, store, NSS_BUFFER, &found);
	int ret = -1;

	if (found != NULL) {
		*out = gr.gr_gid;
		ret = 0;
	} else if (rc == 0 || rc == ENOENT || rc == ESRCH) {
		err_set(e, ERR_PERM, "5.3.5", "no such group: %s", group);
	} else {
		errno = rc;
		err_sys(e, "look up group %s", group);
	}
	mem_free(store);
	return ret;
}

/* ---- capabilities ---- */
static bool
in_list(int cap, const int *caps, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (caps[i] == cap)
			return true;
	return false;
}

/* Takes all others out of the bounding set. Without the right to do so the
 * set was bounded by whoever started us. */
static int
bound_caps(const int *caps, size_t count, struct err *e)
{
	for (int cap = 0; cap_get_bound(cap) >= 0; cap++) {
		if (in_list(cap, caps, count) || cap_get_bound(cap) == 0)
			continue;
		if (cap_drop_bound(cap) != 0 && errno != EPERM)
			return err_sys(e, "drop capability %d", cap);
	}
	return 0;
}

/* Permitted and effective become exactly these, inheritable none. */
static int
set_caps(const int *caps, size_t count, struct err *e)
{
	cap_t set = cap_init();
	int ret = 0;

	BUG_ON(set == NULL);
	for (size_t i = 0; i < count; i++) {
		cap_set_flag(set, CAP_PERMITTED, 1, &caps[i], CAP_SET);
		cap_set_flag(set, CAP_EFFECTIVE, 1, &caps[i], CAP_SET);
	}
	if (cap_set_proc(set) != 0)
		ret = err_sys(e, "set capabilities");
	cap_free(set);
	return ret;
}

int
priv_keep_caps(const int *caps, size_t count, struct err *e)
{
	if (bound_caps(caps, count, e) != 0)
		return -1;
	return set_caps(caps, count, e);
}

int
priv_limit_caps(const int *caps, size_t count, struct err *e)
{
	return set_caps(caps, count, e);
}

/* ---- identity ---- */
static bool
is_wholly(const struct priv_user *u)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) != 0 ||
	    getresgid(&rgid, &egid, &sgid) != 0)
		return false;
	return ruid == u->uid && euid == u->uid && suid == u->uid &&
	       rgid == u->gid && egid == u->gid && sgid == u->gid;
}

int
priv_become(const struct priv_user *user, const gid_t *groups,
    size_t group_count, const int *keep_caps, size_t cap_count, struct err *e)
{
	if (bound_caps(keep_caps, cap_count, e) != 0)
		return -1;
	if (cap_count > 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
		return err_sys(e, "keep capabilities");
	if (setgroups(group_count, groups) != 0)
		return err_sys(e, "set groups");
	if (setresgid(user->gid, user->gid, user->gid) != 0)
		return err_sys(e, "become group %u", (unsigned)user->gid);
	if (setresuid(user->uid, user->uid, user->uid) != 0)
		return err_sys(e, "become user %u", (unsigned)user->uid);
	if (set_caps(keep_caps, cap_count, e) != 0)
		return -1;
	/* With the capability kept the way back stays open, as asked for. */
	if (!is_wholly(user) ||
	    (user->uid != 0 && !in_list(CAP_SETUID, keep_caps, cap_count) &&
		setuid(0) == 0))
		return err_set(e, ERR_TEMP, "4.3.0",
		    "user %u is not what we became", (unsigned)user->uid);
	return 0;
}

int
priv_no_new_privs(struct err *e)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_sys(e, "no_new_privs");
	return 0;
}

int
priv_not_dumpable(struct err *e)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_sys(e, "not dumpable");
	return 0;
}
