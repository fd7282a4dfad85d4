/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/local.h"

#include <string.h>
#include <unistd.h>

#include "lib/daemon/daemon.h"
#include "lib/os/log.h"
#include "local/forker.h"
#include "local/job.h"
#include "local/worker.h"

static struct local_conf conf;

static struct {
	struct daemon *daemon;
	struct agent *agent;
	struct dispatcher d;
} local;

static void
on_deliver(void *arg, struct agent_request *r)
{
	(void)arg;
	job_start(&local.d, r);
}

static void
on_idle(void *arg)
{
	(void)arg;
	daemon_exit(local.daemon, 0);
}

static void
on_forker_lost(void *arg)
{
	(void)arg;
	log_fatal(75, "the forking process is gone");
}

/* Workers deliver anywhere a user may write; they and the forker have their
 * own uid to hold them. */
static void
sandbox(const struct daemon *d, struct sandbox *s)
{
	(void)d;
	sandbox_dir(s, "/",
	    SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE | SANDBOX_REMOVE |
		SANDBOX_DIRS);
	sandbox_syscalls(s, SANDBOX_SYS_FORK);
}

static int
find_default_user(struct daemon *d, struct err *e)
{
	struct priv_user user = { getuid(), getgid() };

	if (priv_is_root() &&
	    priv_lookup(daemon_common(d)->default_privs, &user, e) != 0)
		return -1;
	local.d.default_uid = user.uid;
	local.d.default_gid = user.gid;
	return 0;
}

/* With the forker running, the dispatcher needs no rights. */
static int
drop_rights(struct daemon *d, struct err *e)
{
	const struct common_conf *c = daemon_common(d);
	struct priv_user user;
	gid_t ipc; /* may enter private/ */

	if (!priv_is_root())
		return 0;
	if (priv_lookup(c->mail_owner, &user, e) != 0 ||
	    priv_lookup_group(c->ipc_group, &ipc, e) != 0 ||
	    priv_become(&user, &ipc, 1, NULL, 0, e) != 0)
		return -1;
	return priv_not_dumpable(e);
}

static void
connect_all(struct daemon *d, int forker_fd)
{
	char path[LIMIT_PATH];
	const struct pool_options pool = {
		.forker_fd = forker_fd,
		.workers_max = (unsigned)conf.local_worker_limit,
		.idle_ms = (uint64_t)conf.local_worker_idle,
		.lost = on_forker_lost,
	};
	const struct agent_options agent = {
		.qmgr_path = daemon_socket(d, "qmgr", false, path),
		.service = daemon_service(d),
		.credit = (unsigned)conf.local_request_limit,
		.soft_bounce = daemon_common(d)->soft_bounce,
		.deliver = on_deliver,
		.idle = on_idle,
	};
	char other[LIMIT_PATH];
	struct loop *loop = daemon_loop(d);

	local.d.pool = pool_new(loop, &pool);
	local.d.users = user_client_new(
	    loop, daemon_socket(d, "auth", false, other));
	local.d.pickup = daemon_connect(d, "pickup");
	if (daemon_common(d)->protocols[0] != '\0') {
		const struct client_options imap = {
			.path = daemon_socket(d, "imap-spawn", false, other),
			.peer = "imap-spawn",
			.stay = true,
		};

		local.d.imap = client_new(loop, &imap);
	}
	local.agent = agent_new(loop, &agent);
}

static int
start(struct daemon *d, struct err *e)
{
	int forker_fd;

	local.daemon = d;
	local.d.virtual = strcmp(daemon_service(d), "virtual") == 0;
	local.d.setting = (struct local_setting){
		.common = daemon_common(d),
		.service = daemon_service(d),
		.private_instance = daemon_private(d),
	};
	if (find_default_user(d, e) != 0 ||
	    forker_start(&local.d.setting, worker_run, &forker_fd, e) != 0)
		return -1;
	if (drop_rights(d, e) != 0)
		return -1;
	connect_all(d, forker_fd);
	return 0;
}

static void
client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	/* qmgr only touches the socket to have us started. */
	(void)d;
	(void)l;
	close(fd);
}

static void
leave(struct daemon *d)
{
	(void)d;
	agent_leave(local.agent);
}

static const struct daemon_spec spec = {
	.name = "local",
	.params = local_params,
	.conf = &conf,
	.sandbox = sandbox,
	.start = start,
	.client = client,
	.leave = leave,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
