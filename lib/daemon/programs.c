/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/programs.h"

#include <linux/capability.h>
#include <string.h>

extern const struct param bounce_params[];
extern const struct param auth_params[];
extern const struct param imapd_params[];
extern const struct param local_params[];
extern const struct param log_params[];
extern const struct param pickup_params[];
extern const struct param qmgr_params[];
extern const struct param smtp_params[];
extern const struct param resolver_params[];
extern const struct param smtpd_params[];
extern const struct param verify_params[];

static const int local_caps[] = { CAP_SETUID, CAP_SETGID, -1 };
static const int auth_caps[] = { CAP_DAC_READ_SEARCH, CAP_SETUID, CAP_SETGID,
	CAP_AUDIT_WRITE, -1 };
static const int spawn_caps[] = { CAP_SETUID, CAP_SETGID, -1 };

const struct program programs[] = {
	{ .name = "smtpd",
	    .user_param = "smtpd_owner",
	    .stream_socket = true,
	    .per_core = true,
	    .needs_keys = true,
	    .needs_slot = true,
	    .needs_shared = true,
	    .params = smtpd_params },
	{ .name = "pickup",
	    .user_param = "mail_owner",
	    .single = true,
	    .needs_slot = true,
	    .needs_shared = true,
	    .params = pickup_params },
	{ .name = "qmgr",
	    .user_param = "mail_owner",
	    .single = true,
	    .params = qmgr_params },
	{ .name = "smtp",
	    .user_param = "net_owner",
	    .is_agent = true,
	    .params = smtp_params },
	/* Its parent makes lock files for its children and becomes users. */
	{ .name = "local",
	    .caps = local_caps,
	    .is_agent = true,
	    .params = local_params },
	{ .name = "bounce",
	    .user_param = "mail_owner",
	    .single = true,
	    .needs_slot = true,
	    .params = bounce_params },
	/* Forks the workers that ask PAM, then becomes auth_owner. */
	{ .name = "auth",
	    .caps = auth_caps,
	    .stream_name = "dovecot-auth",
	    .single = true,
	    .params = auth_params },
	{ .name = "verify",
	    .user_param = "mail_owner",
	    .single = true,
	    .needs_slot = true,
	    .params = verify_params },
	{ .name = "resolver",
	    .user_param = "net_owner",
	    .single = true,
	    .params = resolver_params },
	{ .name = "imap-login",
	    .user_param = "login_owner",
	    .stream_socket = true,
	    .needs_keys = true,
	    .params = imapd_params },
	{ .name = "imap-spawn",
	    .caps = spawn_caps,
	    .single = true,
	    .params = imapd_params },
	{ .name = "log",
	    .user_param = "log_owner",
	    .single = true,
	    .params = log_params },
	{ .name = NULL },
};

const struct program *
program_find(const char *name)
{
	const struct program *p;

	for (p = programs; p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

void
programs_add_params(struct conf *c)
{
	conf_add_params(c, common_params);
	conf_add_params(c, compat_params);
	for (const struct program *p = programs; p->name != NULL; p++)
		if (p->params != NULL)
			conf_add_params(c, p->params);
}
