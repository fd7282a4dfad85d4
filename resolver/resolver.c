/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resolver/resolver_impl.h"

static struct resolver_conf conf;
static struct lookups *lookups;
static struct server *server;
extern const struct param resolver_params[];

static int
verify(const struct daemon *d, struct err *e)
{
	char servers[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT];
	size_t count;

	(void)d;
	if (strcmp(conf.resolver_forward, "root") == 0)
		return 0;
	return setup_forwarders(conf.resolver_forward, servers, &count, e);
}

static void
resolver_sandbox(const struct daemon *d, struct sandbox *s)
{
	(void)d;
	daemon_sandbox_file(s, conf.resolver_conf_file, SANDBOX_READ);
	daemon_sandbox_file(s, conf.resolver_hosts_file, SANDBOX_READ);
	daemon_sandbox_file(s, conf.resolver_trust_anchor, SANDBOX_READ);
	/* Where resolv.conf leads to when it is a symbolic link. */
	sandbox_dir(s, "/run", SANDBOX_READ);
	sandbox_syscalls(s, SANDBOX_SYS_NET);
}

static int
start(struct daemon *d, struct err *e)
{
	static const struct server_handler handlers[] = {
		{ MSG_DNS, lookups_handle },
		{ 0, NULL },
	};
	struct server_options o = { .handlers = handlers, .credit = 500 };

	(void)e;
	lookups = lookups_new(daemon_loop(d), &conf);
	o.arg = lookups;
	server = server_new(daemon_loop(d), &o);
	return 0;
}

static void
client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	(void)d;
	(void)l;
	server_client(server, fd);
}

/* Clients ask the successor again what is not answered. */
static void
leave(struct daemon *d)
{
	server_free(&server);
	lookups_free(&lookups);
	daemon_exit(d, 0);
}

static const struct daemon_spec spec = {
	.name = "resolver",
	.params = resolver_params,
	.conf = &conf,
	.verify = verify,
	.sandbox = resolver_sandbox,
	.start = start,
	.client = client,
	.leave = leave,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
