/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The program imap-session: executed by imap-spawn as the mailbox's user, for
 * one connection. Arguments: the log descriptors (logsink_pass) and the tag of
 * log lines. Descriptor 3 leads to the spawner, 4 to the client.
 */

#include <signal.h>

#include "imapd/session.h"
#include "lib/base/mem.h"
#include "lib/daemon/logsink.h"
#include "lib/os/log.h"
#include "lib/os/priv.h"
#include "lib/os/sock.h"

enum { EXIT_START = 1 };

static void
start_log(const char *text, const char *tag)
{
	struct err e;

	log_set_tag(tag);
	if (logsink_take(text, &e) != 0)
		log_warning(NULL, "log: %s", e.text);
}

static int
open_store(struct session *s, struct err *e)
{
	const struct session_user *u = &s->user;
	const struct store_user user = {
		.name = u->name,
		.home = u->home[0] != '\0' ? u->home : NULL,
		.location = u->location,
		.home_mailbox = u->home_mailbox,
		.mail_spool_directory = u->spool_directory,
		.size_max = (int64_t)u->mailbox_size_max,
		.quota_rule = u->quota_rule,
		.lockfile = session_lockfile,
		.lockfile_arg = s,
	};

	if (session_confine(&user, e) != 0)
		return -1;
	return store_open(&user, &s->store, e);
}

static void
user_release(struct session_user *u)
{
	mem_free(u->name);
	mem_free(u->home);
	mem_free(u->location);
	mem_free(u->home_mailbox);
	mem_free(u->spool_directory);
	mem_free(u->tag);
	mem_free(u->address);
}

int
main(int argc, char *argv[])
{
	struct session s = { 0 };
	struct err e;
	int status;

	signal(SIGPIPE, SIG_IGN);
	if (argc != 3)
		log_fatal(EXIT_START, "imap-session is started by imap-spawn");
	start_log(argv[1], argv[2]);
	if (priv_no_new_privs(&e) != 0 || priv_not_dumpable(&e) != 0 ||
	    sock_set_nonblock(SESSION_CLIENT_FD, true, &e) != 0 ||
	    session_control_start(&s, &e) != 0 || open_store(&s, &e) != 0)
		log_fatal(EXIT_START, "%s", e.text);
	status = session_run(&s);
	store_close(&s.store);
	user_release(&s.user);
	logsink_stop();
	return status;
}
