/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/service.h"

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "smtpd/session.h"

enum { SPACE_MS = 1000, COMPANY_FROM = 4, SHARE_FROM = 64 };

static struct service *the_service; /* one a process: see the header */

/* ---- what sessions ask ---- */

bool
service_trusts(struct service *s, const char *addr)
{
	struct err e;
	const int r = match_list_address(s->mynetworks, addr, &e);

	if (r < 0)
		log_warning(NULL, "mynetworks: %s", e.text);
	return r > 0;
}

/* As Postfix reckons: a reserve, room for the message, and room for one and a
 * half of the largest. */
static bool
enough(const struct service *s, uint64_t declared)
{
	const uint64_t reserve = (uint64_t)s->conf->queue_minfree;
	const uint64_t largest = (uint64_t)s->common->message_size_limit;

	return s->space_bytes > reserve &&
	    declared < s->space_bytes - reserve &&
	    s->space_bytes >= largest + largest / 2 &&
	    /* When that was needed it is not for new mail. */
	    s->space_bytes > (uint64_t)s->conf->queue_reserve_size;
}

bool
service_space(struct service *s, uint64_t declared)
{
	const uint64_t now = loop_now_ms(s->loop);
	uint64_t bytes, inodes;
	struct err e;

	if (s->space_at_ms == 0 || now - s->space_at_ms >= SPACE_MS) {
		s->space_at_ms = now;
		if (queue_free_space(s->queue, &bytes, &inodes, &e) != 0 ||
		    inodes == 0)
			bytes = 0;
		s->space_bytes = bytes;
	}
	if (enough(s, declared))
		return true;
	log_warning(NULL, "not enough free space in the queue: %llu bytes "
	    "are left, %llu are to come", (unsigned long long)s->space_bytes,
	    (unsigned long long)declared);
	return false;
}

/* ---- start ---- */

void
service_set_engine(struct service *s)
{
	const struct smtpd_conf *c = s->conf;

	s->engine = (struct smtp_server_conf){
		.hostname = s->common->myhostname,
		.size_max = (uint64_t)s->common->message_size_limit,
		.error_max = (unsigned)c->smtpd_hard_error_limit,
		.junk_max = (unsigned)c->smtpd_junk_command_limit,
		.rcpt_max = (unsigned)c->smtpd_recipient_limit,
		.lmtp = c->smtpd_lmtp,
		.soft = s->common->soft_bounce,
		.helo_required = c->smtpd_helo_required,
		.tls_required =
		    c->smtpd_tls_security_level == SMTPD_TLS_ENCRYPT &&
		    !c->smtpd_tls_wrappermode,
	};
	protocol_engine(c, &s->engine);
}

static int
open_parts(struct service *s, struct err *e)
{
	char path[LIMIT_PATH];
	const int slot = daemon_slot(s->daemon);

	if (slot < 0)
		return err_set(e, ERR_TEMP, "4.3.5", "master gave no slot");
	if (match_list_open(s->common->mynetworks, &s->mynetworks, e) != 0)
		return err_wrap(e, "mynetworks");
	if (match_list_open(s->conf->smtpd_client_event_limit_exceptions,
		&s->exceptions, e) != 0)
		return err_wrap(e, "smtpd_client_event_limit_exceptions");
	if (auth_rules_open(s->conf, &s->auth_rules, e) != 0 ||
	    protocol_open(s, e) != 0 || milter_service_open(s, e) != 0 ||
	    proxy_service_open(s, e) != 0)
		return -1;
	if (maps_open(s->conf->relay_clientcerts, &s->clientcerts, e) != 0)
		return err_wrap(e, "relay_clientcerts");
	if (queue_open(s->common->queue_directory, s->loop, &s->queue, e) != 0)
		return -1;
	queue_set_slot(s->queue, (uint8_t)slot);
	if (server_memory_open(s->loop, daemon_shared_fd(s->daemon),
		s->common->queue_directory, true, &s->memory, e) != 0)
		return -1;
	s->shared = server_memory_table(s->memory);
	limits_start(s);
	if (overload_start(s, e) != 0 || screen_start(s, e) != 0 ||
	    outbound_open(&s->conf->outbound, &s->outbound, e) != 0)
		return -1;
	if (match_list_open(s->conf->smtpd_greylist_exceptions,
		&s->greylist_exceptions, e) != 0)
		return err_wrap(e, "smtpd_greylist_exceptions");
	s->users = user_client_new(s->loop,
	    daemon_socket(s->daemon, "auth", false, path));
	s->auth = daemon_connect(s->daemon, "auth");
	s->resolver = daemon_connect(s->daemon, "resolver");
	s->names = client_names_new();
	s->verify = daemon_connect(s->daemon, "verify");
	s->qmgr = qmgr_client_new(s->loop,
	    daemon_socket(s->daemon, "qmgr", false, path), (uint8_t)slot);
	if (s->common->queue_commit == QUEUE_COMMIT_GROUP)
		qmgr_client_group(s->qmgr, s->queue);
	if (router_open(daemon_conf(s->daemon), user_client_users(s->users),
		&s->router, e) != 0)
		return -1;
	if (content_rules_open(s->common, s->router, &s->content, e) != 0)
		return -1;
	return restrictions_open(s, e);
}

int
service_start(struct daemon *d, const struct smtpd_conf *conf, struct err *e)
{
	struct service *s = the_service;

	if (s == NULL)
		s = the_service = MEM_NEW(s); /* else service_keys came first */
	s->daemon = d;
	s->loop = daemon_loop(d);
	s->common = daemon_common(d);
	s->conf = conf;
	list_init(&s->sessions);
	service_set_engine(s);
	return open_parts(s, e);
}

void
service_keys(struct daemon *d, struct tls_keys *k)
{
	struct tls_ctx *ctx;
	struct err e;

	if (tls_context(the_service->conf, daemon_service(d), k, &ctx, &e) !=
	    0) {
		log_error(NULL, "TLS: %s", e.text);
		return;
	}
	/* Streams hold references of their own. */
	tls_ctx_free(&the_service->tls);
	the_service->tls = ctx;
}

/* ---- connections ---- */

void
service_client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	struct service *s = the_service;

	if (!overload_has_room(s, fd)) {
		overload_turn_away(s, fd);
		return;
	}
	session_new(s, fd, l->inet);
	if (s->session_count >= COMPANY_FROM)
		daemon_ask_company(d);
	daemon_share(d, s->session_count >= SHARE_FROM);
	overload_changed(s);
}

/* ---- the end ---- */

static void
farewell_said(void *arg)
{
	struct service *s = arg;

	limits_finish(s);
	server_memory_close(&s->memory);
	daemon_exit(s->daemon, 0);
}

void
service_session_ended(struct service *s)
{
	overload_changed(s);
	service_maybe_end(s);
}

void
service_refuse(struct daemon *d, int fd, const struct daemon_listener *l)
{
	(void)d;
	(void)l;
	overload_turn_away(the_service, fd);
}

void
service_maybe_end(struct service *s)
{
	if (!s->leaving || s->session_count > 0 || s->commits > 0)
		return;
	s->leaving = false; /* once */
	qmgr_client_farewell(s->qmgr, farewell_said, s);
}

void
service_leave(struct daemon *d)
{
	struct service *s = the_service;

	(void)d;
	s->leaving = true;
	LIST_EACH (&s->sessions, link)
		session_leave(link, false);
	service_maybe_end(s);
}

void
service_hurry(struct daemon *d)
{
	struct service *s = the_service;

	(void)d;
	LIST_EACH (&s->sessions, link)
		session_leave(link, true);
}
