/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "bounce/bounce_impl.h"
#include "lib/base/mem.h"

static struct bounce_conf conf;
static struct bounce bounce = { .conf = &conf };

static void
bounce_sandbox(const struct daemon *d, struct sandbox *s)
{
	static const char *const dirs[] = { "incoming", "active" };
	char path[LIMIT_PATH];

	router_sandbox(daemon_conf(d), s);
	for (size_t i = 0; i < COUNT_OF(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s",
		    daemon_common(d)->queue_directory, dirs[i]);
		sandbox_dir(s, path, SANDBOX_READ | SANDBOX_WRITE |
		    SANDBOX_MAKE | SANDBOX_REMOVE);
	}
}

static int
start(struct daemon *d, struct err *e)
{
	static const struct server_handler handlers[] = {
		{ MSG_BOUNCE, notice_handle },
		{ 0, NULL },
	};
	const struct server_options o = { .handlers = handlers, .credit = 20,
		.arg = &bounce };
	struct bounce *b = &bounce;
	char path[LIMIT_PATH];

	b->daemon = d;
	if (queue_open(daemon_common(d)->queue_directory, daemon_loop(d),
		&b->queue, e) != 0)
		return -1;
	queue_set_slot(b->queue, (uint8_t)daemon_slot(d));
	queue_never_refuse(b->queue);
	if (router_open(daemon_conf(d), NULL, &b->router, e) != 0)
		return -1;
	b->qmgr = qmgr_client_new(daemon_loop(d),
	    daemon_socket(d, "qmgr", false, path), (uint8_t)daemon_slot(d));
	if (daemon_common(d)->queue_commit == QUEUE_COMMIT_GROUP)
		qmgr_client_group(b->qmgr, b->queue);
	b->server = server_new(daemon_loop(d), &o);
	return 0;
}

static void
client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	(void)d;
	(void)l;
	server_client(bounce.server, fd);
}

static void
said_farewell(void *arg)
{
	daemon_exit(((struct bounce *)arg)->daemon, 0);
}

void
bounce_maybe_exit(struct bounce *b)
{
	if (daemon_leaving(b->daemon) && b->notices == 0)
		qmgr_client_farewell(b->qmgr, said_farewell, b);
}

static void
leave(struct daemon *d)
{
	(void)d;
	server_leave(bounce.server);
	bounce_maybe_exit(&bounce);
}

static const struct daemon_spec spec = {
	.name = "bounce",
	.params = bounce_params,
	.conf = &conf,
	.sandbox = bounce_sandbox,
	.start = start,
	.client = client,
	.leave = leave,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
