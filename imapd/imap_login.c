/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The program imap-login: see login.h.
 */

#include <unistd.h>

#include "imapd/login.h"
#include "lib/base/mem.h"

enum { TICKET_S = 3600 };

static struct imapd_conf conf;
static struct login_stage stage;

static int
start(struct daemon *d, struct err *e)
{
	(void)e;
	stage.daemon = d;
	stage.conf = &conf;
	list_init(&stage.logins);
	stage.auth = daemon_connect(d, "auth");
	stage.spawn = daemon_connect(d, "imap-spawn");
	return 0;
}

static void
client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	const bool implicit = strcmp(l->kind, "imaps") == 0;

	(void)d;
	if ((!implicit && strcmp(l->kind, "imap") != 0) ||
	    (implicit && stage.tls == NULL)) {
		close(fd);
		return;
	}
	login_new(&stage, fd, implicit);
}

static void
keys(struct daemon *d, struct tls_keys *k)
{
	static const struct tls_server_options options = {
		.session_context = "imap",
		.ticket_lifetime_s = TICKET_S,
	};
	struct tls_ctx *ctx;
	struct err e;

	(void)d;
	if (conf.ssl == SSL_NO)
		return;
	ctx = tls_server_open(k, &options, &e);
	if (ctx == NULL) {
		log_error(NULL, "certificate and key: %s", e.text);
		return;
	}
	tls_ctx_free(&stage.tls);
	stage.tls = ctx;
}

static void
leave(struct daemon *d)
{
	if (login_empty(&stage))
		daemon_exit(d, 0);
}

/* Those who have not logged in lose nothing; the others end when their
 * sessions have said so. */
static void
hurry(struct daemon *d)
{
	(void)d;
	LIST_EACH(&stage.logins, link)
	{
		struct login *l = CONTAINER_OF(link, struct login, link);

		if (l->phase == LOGIN_PROXY) {
			login_proxy_hurry(l);
			continue;
		}
		if (l->phase == LOGIN_COMMANDS) {
			imap_server_bye(l->server, "Server is restarting");
			login_send(l);
		}
		login_end(l, "Disconnected: Shutting down");
	}
}

static const struct daemon_spec spec = {
	.name = "imap-login",
	.params = imapd_params,
	.conf = &conf,
	.start = start,
	.client = client,
	.leave = leave,
	.hurry = hurry,
	.keys = keys,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
