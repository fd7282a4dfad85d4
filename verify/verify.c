/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/mail/probe_sender.h"
#include "lib/daemon/programs.h"
#include "verify/verify_impl.h"

static struct verify_conf conf;
static struct verify verify = { .conf = &conf };

enum { CREDIT = 20000 };

static int
check(const struct daemon *d, struct err *e)
{
	const char *sender = daemon_common(d)->address_verify_sender;

	if (probe_sender_good(span_str(sender)))
		return 0;
	return err_set(e, ERR_PERM, "5.3.5", "address_verify_sender = %.200s "
	    "must neither begin nor end with \"@\"", sender);
}

static void
verify_sandbox(const struct daemon *d, struct sandbox *s)
{
	static const char *const dirs[] = { "incoming", "active" };
	char path[LIMIT_PATH];

	router_sandbox(daemon_conf(d), s);
	router_sandbox_list(span_str(conf.address_verify_transport_maps), s);
	cache_sandbox(conf.address_verify_map, s);
	for (size_t i = 0; i < COUNT_OF(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s",
		    daemon_common(d)->queue_directory, dirs[i]);
		sandbox_dir(s, path, SANDBOX_READ | SANDBOX_WRITE |
		    SANDBOX_MAKE | SANDBOX_REMOVE);
	}
}

/* What the parameter is for mail is what this one is for probes. */
static const struct {
	const char *param, *value_of;
} routing[] = {
	{ "local_transport", "address_verify_local_transport" },
	{ "virtual_transport", "address_verify_virtual_transport" },
	{ "relay_transport", "address_verify_relay_transport" },
	{ "default_transport", "address_verify_default_transport" },
	{ "relayhost", "address_verify_relayhost" },
	{ "transport_maps", "address_verify_transport_maps" },
};

/* The setting "PARAM=VALUE"; a "$" in it is meant by now. */
static char *
setting(struct conf *c, size_t i)
{
	const char *value = conf_value(c, routing[i].value_of);
	struct buf b;
	char *text;

	buf_init(&b, LIMIT_CONFIG_LINE);
	buf_fmt(&b, "%s=", routing[i].param);
	for (; *value != '\0'; value++) {
		if (*value == '$')
			buf_byte(&b, '$');
		buf_byte(&b, (uint8_t)*value);
	}
	text = mem_strdup(buf_cstr(&b));
	buf_release(&b);
	return text;
}

static int
load_routes(struct verify *v, struct err *e)
{
	struct conf *own = daemon_conf(v->daemon);
	char *settings[COUNT_OF(routing)];
	const char *overrides[COUNT_OF(routing)];
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < COUNT_OF(routing); i++)
		if (strcmp(conf_value(own, routing[i].param),
			conf_value(own, routing[i].value_of)) != 0)
			overrides[n] = settings[n] = setting(own, i), n++;
	if (n == 0) {
		v->routes = own;
		return 0;
	}
	rc = conf_load(conf_dir(own), overrides, n, &v->routes, e);
	if (rc == 0)
		programs_add_params(v->routes);
	while (n > 0)
		mem_free(settings[--n]);
	return rc;
}

static int
start(struct daemon *d, struct err *e)
{
	const struct server_options o = { .handlers = verify_handlers,
		.credit = CREDIT, .arg = &verify };
	struct verify *v = &verify;
	char path[LIMIT_PATH];

	v->daemon = d;
	v->loop = daemon_loop(d);
	v->common = daemon_common(d);
	if (queue_open(v->common->queue_directory, v->loop, &v->queue, e) != 0)
		return -1;
	queue_set_slot(v->queue, (uint8_t)daemon_slot(d));
	v->users = user_client_new(v->loop,
	    daemon_socket(d, "auth", false, path));
	if (load_routes(v, e) != 0 ||
	    router_open(v->routes, user_client_users(v->users), &v->router,
		e) != 0 ||
	    cache_open(v->loop, &conf, &v->cache, e) != 0)
		return -1;
	v->qmgr = qmgr_client_new(v->loop,
	    daemon_socket(d, "qmgr", false, path), (uint8_t)daemon_slot(d));
	if (v->common->queue_commit == QUEUE_COMMIT_GROUP)
		qmgr_client_group(v->qmgr, v->queue);
	probes_start(v);
	v->server = server_new(v->loop, &o);
	return 0;
}

static void
client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	(void)d;
	(void)l;
	server_client(verify.server, fd);
}

static void
said_farewell(void *arg)
{
	struct verify *v = arg;

	/* The loop looks once more for what has come. */
	server_free(&v->server);
	cache_close(&v->cache);
	daemon_exit(v->daemon, 0);
}

void
verify_maybe_exit(struct verify *v)
{
	if (daemon_leaving(v->daemon) && v->commits == 0)
		qmgr_client_farewell(v->qmgr, said_farewell, v);
}

static void
leave(struct daemon *d)
{
	(void)d;
	server_leave(verify.server);
	probes_leave(&verify);
	verify_maybe_exit(&verify);
}

static const struct daemon_spec spec = {
	.name = "verify",
	.params = verify_params,
	.conf = &conf,
	.verify = check,
	.sandbox = verify_sandbox,
	.start = start,
	.client = client,
	.leave = leave,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
