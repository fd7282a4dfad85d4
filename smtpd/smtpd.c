/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "smtpd/service.h"
#include "smtpd/tls.h"

/*
 * smtpd: the SMTP server. The services smtp (25), submission (587),
 * submissions (465), the local submission socket and LMTP are this program
 * with different parameters.
 */

static struct smtpd_conf conf;

static int
verify(const struct daemon *d, struct err *e)
{
	if (tls_verify(daemon_conf(d), &conf, e) != 0)
		return -1;
	if (conf.smtpd_soft_error_limit > conf.smtpd_hard_error_limit)
		return err_set(e, ERR_PERM, "5.3.5",
		    "smtpd_soft_error_limit is larger than "
		    "smtpd_hard_error_limit");
	if (conf.smtpd_lmtp && conf.smtpd_local_submission)
		return err_set(e, ERR_PERM, "5.3.5",
		    "smtpd_lmtp and smtpd_local_submission exclude each "
		    "other");
	return 0;
}

static int
check(const struct daemon *d, struct err *e)
{
	return restrictions_check(daemon_conf(d), &conf, daemon_common(d), e);
}

static int
start(struct daemon *d, struct err *e)
{
	return service_start(d, &conf, e);
}

/* It makes queue files and reads none that is sealed. */
static void
sandbox(const struct daemon *d, struct sandbox *s)
{
	const char *queue = daemon_common(d)->queue_directory;
	static const struct {
		const char *name;
		int rights;
	} places[] = {
		{ "incoming", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE |
			SANDBOX_REMOVE },
		{ "memory", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE |
			SANDBOX_REMOVE },
		{ "active", SANDBOX_LIST | SANDBOX_MAKE | SANDBOX_REMOVE },
		{ "hold", SANDBOX_LIST | SANDBOX_MAKE | SANDBOX_REMOVE },
	};
	char path[LIMIT_PATH];

	const char *const lists[] = {
		conf.smtpd_discard_ehlo_keyword_address_maps,
		conf.smtpd_command_filter,
		conf.smtpd_reject_footer_maps,
		conf.smtpd_authorized_xclient_hosts,
		conf.smtpd_authorized_xforward_hosts,
		conf.smtpd_forbid_bare_newline_exclusions,
		conf.fast_flush_domains,
		conf.smtpd_milter_maps,
		conf.milter.milter_header_checks,
		conf.postscreen_access_list,
		conf.smtpd_greylist_exceptions,
		conf.outbound.smtpd_outbound_limit_maps,
		conf.outbound.smtpd_outbound_limit_exceptions,
		conf.postscreen_dnsbl_reply_map,
		conf.relay_clientcerts,
	};

	router_sandbox(daemon_conf(d), s);
	restrict_sandbox(daemon_conf(d), s);
	for (size_t i = 0; i < COUNT_OF(lists); i++)
		router_sandbox_list(span_str(lists[i]), s);
	if (conf.smtpd_milters[0] != '\0' ||
	    conf.smtpd_milter_maps[0] != '\0' ||
	    conf.smtpd_proxy_filter[0] != '\0' ||
	    conf.milter.non_smtpd_milters[0] != '\0')
		sandbox_syscalls(s, SANDBOX_SYS_NET);
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		snprintf(path, sizeof(path), "%s/%s", queue, places[i].name);
		sandbox_dir(s, path, places[i].rights);
	}
}

static const struct daemon_spec spec = {
	.name = "smtpd",
	.params = smtpd_params,
	.conf = &conf,
	.verify = verify,
	.check = check,
	.sandbox = sandbox,
	.start = start,
	.client = service_client,
	.gathers = true,
	.refuse = service_refuse,
	.leave = service_leave,
	.hurry = service_hurry,
	.keys = service_keys,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
