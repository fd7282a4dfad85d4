/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtp/smtp.h"

#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/own_address.h"
#include "lib/mail/router.h"
#include "lib/os/log.h"

/* Deliveries at a time: many of them only wait for name servers and hosts that
 * do not answer, and must not keep the others out. Each has a descriptor. */
enum { CREDIT = 1000 };

static struct smtp_conf conf;
static struct smtp smtp = { .conf = &conf };

static void
smtp_sandbox(const struct daemon *d, struct sandbox *s)
{
	(void)d;
	router_sandbox_list(span_str(conf.smtp_tls_policy_maps), s);
	router_sandbox_list(span_str(conf.smtp_sasl_password_maps), s);
	router_sandbox_list(span_str(conf.smtp_tls_CAfile), s);
	if (conf.smtp_tls_CApath[0] != '\0')
		sandbox_dir(s, conf.smtp_tls_CApath, SANDBOX_READ);
	sandbox_syscalls(s, SANDBOX_SYS_NET);
}

static void
deliver(void *arg, struct agent_request *r)
{
	delivery_start(arg, r);
}

static void
agent_idle(void *arg)
{
	struct smtp *s = arg;

	s->leaving = true;
	session_close_idle(s);
	smtp_maybe_exit(s);
}

static int
families_of(const struct common_conf *c)
{
	struct span protocols = span_str(c->inet_protocols), word;
	int families = 0;

	while (span_token(&protocols, ", \t", &word)) {
		if (span_ieq(word, SPAN("all")))
			families |= DNS_INET | DNS_INET6;
		else if (span_ieq(word, SPAN("ipv4")))
			families |= DNS_INET;
		else if (span_ieq(word, SPAN("ipv6")))
			families |= DNS_INET6;
	}
	return families != 0 ? families : DNS_INET | DNS_INET6;
}

/* As the router has them: what inet_interfaces names, or all there are. */
static int
open_tables(struct smtp *s, struct err *e)
{
	const struct common_conf *c = daemon_common(s->daemon);
	struct span interfaces = span_str(c->inet_interfaces);
	struct buf list;
	int result;

	buf_init(&list, LIMIT_CONFIG_LINE);
	if (span_ieq(interfaces, SPAN("all")))
		own_address_list(&list);
	else if (span_ieq(interfaces, SPAN("loopback-only")))
		buf_str(&list, "127.0.0.1 ::1");
	else
		buf_str(&list, c->inet_interfaces);
	buf_str(&list, " ");
	buf_str(&list, c->proxy_interfaces);
	result = match_list_open(buf_cstr(&list), &s->own, e);
	buf_release(&list);
	if (result == 0 && s->conf->smtp_sasl_auth_enable)
		result = maps_open(s->conf->smtp_sasl_password_maps,
		    &s->passwords, e);
	if (result == 0 && s->conf->smtp_tls_policy_maps[0] != '\0')
		result = maps_open(s->conf->smtp_tls_policy_maps,
		    &s->tls_policies, e);
	return result;
}

static int
open_tls(struct smtp *s, struct err *e)
{
	const char *file = s->conf->smtp_tls_CAfile;
	const char *dir = s->conf->smtp_tls_CApath;
	const struct tls_client_options o = {
		.ca_file = file[0] != '\0' ? file : NULL,
		.ca_dir = dir[0] != '\0' ? dir : NULL,
	};

	if (tls_digest_check(s->conf->smtp_tls_fingerprint_digest, e) != 0)
		return err_wrap(e, "smtp_tls_fingerprint_digest");
	s->tls = tls_client_new(&o, e);
	return s->tls != NULL ? 0 : -1;
}

static int
smtp_start(struct daemon *d, struct err *e)
{
	struct smtp *s = &smtp;
	char path[LIMIT_PATH];
	struct agent_options o = { .service = daemon_service(d),
		.credit = CREDIT,
		.soft_bounce = daemon_common(d)->soft_bounce,
		.deliver = deliver,
		.idle = agent_idle,
		.arg = s };

	s->daemon = d;
	s->lmtp = s->conf->smtp_lmtp;
	s->families = families_of(daemon_common(d));
	if (open_tables(s, e) != 0 || open_tls(s, e) != 0)
		return -1;
	table_init(&s->destinations);
	s->resolver = daemon_connect(d, "resolver");
	o.qmgr_path = daemon_socket(d, "qmgr", false, path);
	s->agent = agent_new(daemon_loop(d), &o);
	return 0;
}

/* Whoever connects only wants this process to be there (docs/DESIGN.md). */
static void
smtp_touched(struct daemon *d, int fd, const struct daemon_listener *l)
{
	(void)d;
	(void)l;
	close(fd);
}

static void
smtp_leave(struct daemon *d)
{
	(void)d;
	agent_leave(smtp.agent);
}

static const struct daemon_spec spec = {
	.name = "smtp",
	.params = smtp_params,
	.conf = &conf,
	.sandbox = smtp_sandbox,
	.start = smtp_start,
	.client = smtp_touched,
	.leave = smtp_leave,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
