/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_USER_CLIENT_H
#define CHAPPE_MAIL_USER_CLIENT_H

/*
 * Asks the auth daemon who a user is, and remembers the answer: 60 s that
 * one exists, 10 s that none does. An answer that does not come is an error
 * of its own (4.3.0, temporary) and never "unknown". It also is the
 * router's struct router_users.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/mail/router.h"
#include "lib/os/loop.h"

struct user_info {
	bool found;
	bool over_quota;
	uid_t uid; /* (uid_t)-1 when not found */
	gid_t gid;
	const char *name; /* as the user database spells it */
	const char *home; /* "" when there is none */
	const char *mail; /* the user's own mail_location, or "" */
	const char *quota; /* the user's own quota_rule, or "" */
};

enum {
	USER_PRESENT_MS = 60000,
	USER_ABSENT_MS = 10000,
	USER_TIMEOUT_MS = 30000,
	USER_CACHE_MAX = 10000, /* names remembered */
};

struct user_client;
/* path: the socket of the auth service. Connects on demand. */
struct user_client *user_client_new(struct loop *loop, const char *path);
void user_client_free(struct user_client **c);

/* u (and what it points to, during the call), or NULL and e. Called once, at
 * once when the answer is remembered. */
typedef void (*user_client_fn)(void *arg, const struct user_info *u,
    const struct err *e);
void user_client_ask(struct user_client *c, struct span name, uint64_t trace,
    user_client_fn fn, void *arg);
void user_client_cancel(struct user_client *c, const void *arg);

/* Says that the user's mailbox is full, or not any more. */
void user_client_quota(struct user_client *c, const char *name, bool full);

/* Forgets what is remembered of a name, e.g. when its quota changed. */
void user_client_forget(struct user_client *c, struct span name);

/* How long answers are remembered, for tests. */
void user_client_set_times(struct user_client *c, uint64_t present_ms,
    uint64_t absent_ms);

/* For router_open; lives as long as c. */
const struct router_users *user_client_users(struct user_client *c);

#endif
