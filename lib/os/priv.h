/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_PRIV_H
#define CHAPPE_OS_PRIV_H

/*
 * Giving rights away: identities, capabilities, Landlock and seccomp. Steps
 * that need root are skipped by the caller (priv_is_root false) in private
 * instances; the rest works for everyone.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

bool priv_is_root(void);

/* Resolves user (and its primary group). Permanent error when unknown. */
struct priv_user {
	uid_t uid;
	gid_t gid;
};
int priv_lookup(const char *user, struct priv_user *out, struct err *e);
int priv_lookup_group(const char *group, gid_t *out, struct err *e);

/* Becomes the user for good: supplementary groups (groups may be NULL with
 * count 0), gid, uid, all of real, effective and saved; then checks that
 * there is no way back. The capability set is empty afterwards unless
 * keep_caps (numbers of linux/capability.h, count of them) names some. */
int priv_become(const struct priv_user *user, const gid_t *groups,
    size_t group_count, const int *keep_caps, size_t cap_count, struct err *e);

/* Keeps exactly these capabilities (permitted and effective; bounding set
 * too), as root: for processes that stay root. */
int priv_keep_caps(const int *caps, size_t count, struct err *e);

/* The same, but leaves the bounding set alone: for a process that stays root
 * and starts others as root that need capabilities which it does not. */
int priv_limit_caps(const int *caps, size_t count, struct err *e);

/* prctl(PR_SET_NO_NEW_PRIVS); not dumpable. */
int priv_no_new_privs(struct err *e);
int priv_not_dumpable(struct err *e);

/* A set of rules that confine this process, applied once, for good.
 * Landlock rules name directories, never files that get replaced. */
enum {
	SANDBOX_READ = 1,   /* open for reading, list */
	SANDBOX_WRITE = 2,  /* open for writing, truncate */
	SANDBOX_MAKE = 4,   /* create and rename files, make sockets */
	SANDBOX_REMOVE = 8, /* unlink */
	SANDBOX_DIRS = 16,  /* make and remove directories */
	SANDBOX_EXEC = 32,
	SANDBOX_LIST = 64,  /* list directories, without reading files */
};
struct sandbox;
struct sandbox *sandbox_new(void);
/* A directory that is not there is skipped. */
void sandbox_dir(struct sandbox *s, const char *path, int rights);
/* System-call classes beyond the base set every daemon has (files, sockets
 * already open, memory, threads, time): */
enum {
	SANDBOX_SYS_NET = 1,  /* socket, connect, bind to Internet addresses */
	SANDBOX_SYS_FORK = 2, /* fork, wait, exec, setuid family, kill */
};
void sandbox_syscalls(struct sandbox *s, int classes);
/* Applies all of it. A kernel without Landlock: *out_partial true (the caller
 * logs one line), and on. Frees the rules. */
int sandbox_apply(struct sandbox **s, bool *out_partial, struct err *e);

#endif
