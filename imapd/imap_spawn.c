/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The program imap-spawn: see spawn.h.
 */

#include "imapd/spawn.h"

static struct imapd_conf conf;

/* Landlock and seccomp are inherited: what a session needs, its spawner must
 * be able to give. The session confines itself to its user's mail. */
static void
sandbox(const struct daemon *d, struct sandbox *s)
{
	(void)d;
	sandbox_dir(s, "/",
	    SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE | SANDBOX_REMOVE |
		SANDBOX_DIRS | SANDBOX_EXEC);
	sandbox_syscalls(s, SANDBOX_SYS_FORK);
}

static int
run(struct daemon *d)
{
	return spawn_run(d, &conf);
}

static const struct daemon_spec spec = {
	.name = "imap-spawn",
	.params = imapd_params,
	.conf = &conf,
	.sandbox = sandbox,
	.run = run,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
