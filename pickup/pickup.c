/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pickup/pickup.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "pickup/intake.h"

static struct pickup_conf conf;
static struct pickup pickup = { .conf = &conf };

static void
pickup_sandbox(const struct daemon *d, struct sandbox *s)
{
	static const char *const dirs[] = { "incoming", "active", "hold" };
	const char *queue = daemon_common(d)->queue_directory;
	char path[LIMIT_PATH];

	router_sandbox(daemon_conf(d), s);
	router_sandbox_list(
	    span_str(conf.outbound.smtpd_outbound_limit_maps), s);
	router_sandbox_list(
	    span_str(conf.outbound.smtpd_outbound_limit_exceptions), s);
	if (conf.milter.non_smtpd_milters[0] != '\0')
		sandbox_syscalls(s, SANDBOX_SYS_NET);
	snprintf(path, sizeof(path), "%s/maildrop", queue);
	sandbox_dir(s, path, SANDBOX_READ | SANDBOX_REMOVE);
	for (size_t i = 0; i < COUNT_OF(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", queue, dirs[i]);
		sandbox_dir(s, path, SANDBOX_READ | SANDBOX_WRITE |
		    SANDBOX_MAKE | SANDBOX_REMOVE);
	}
	snprintf(path, sizeof(path), "%s/private", queue);
	sandbox_dir(s, path, SANDBOX_READ);
	snprintf(path, sizeof(path), "%s/memory", queue);
	sandbox_dir(s, path, SANDBOX_READ);
}

static int
pickup_start(struct daemon *d, struct err *e)
{
	struct pickup *p = &pickup;
	const int slot = daemon_slot(d);
	char path[LIMIT_PATH];

	p->daemon = d;
	if (slot < 0)
		return err_set(e, ERR_TEMP, "4.3.5", "no slot for queue ids");
	if (queue_open(daemon_common(d)->queue_directory, daemon_loop(d),
	    &p->queue, e) != 0)
		return -1;
	if (intake_filter_open(p, e) != 0)
		return err_wrap(e, "non_smtpd_milters");
	p->resolver = daemon_connect(d, "resolver");
	snprintf(p->scratch, sizeof(p->scratch), "%s/incoming",
	    daemon_common(d)->queue_directory);
	queue_set_slot(p->queue, (uint8_t)slot);
	if (router_open(daemon_conf(d), NULL, &p->router, e) != 0 ||
	    content_rules_open(daemon_common(d), p->router, &p->content,
		e) != 0)
		return -1;
	if (server_memory_open(daemon_loop(d), daemon_shared_fd(d),
		daemon_common(d)->queue_directory, false, &p->memory,
		e) != 0 ||
	    outbound_open(&conf.outbound, &p->outbound, e) != 0)
		return -1;
	p->qmgr = qmgr_client_new(daemon_loop(d),
	    daemon_socket(d, "qmgr", false, path), (uint8_t)slot);
	if (daemon_common(d)->queue_commit == QUEUE_COMMIT_GROUP)
		qmgr_client_group(p->qmgr, p->queue);
	p->server = forward_server_new(p);
	p->drop_dir = drop_dir_new(p, e);
	if (p->drop_dir == NULL)
		return -1;
	drop_dir_look(p->drop_dir);
	return 0;
}

static void
pickup_client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	(void)d;
	(void)l;
	server_client(pickup.server, fd);
}

static void
pickup_wake(struct daemon *d)
{
	(void)d;
	drop_dir_look(pickup.drop_dir);
}

static void
pickup_leave(struct daemon *d)
{
	(void)d;
	pickup_maybe_exit(&pickup);
}

static const struct daemon_spec spec = {
	.name = "pickup",
	.params = pickup_params,
	.conf = &conf,
	.sandbox = pickup_sandbox,
	.start = pickup_start,
	.client = pickup_client,
	.wake = pickup_wake,
	.leave = pickup_leave,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
