/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/auth.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "auth/app_uses.h"
#include "auth/quotas.h"
#include "auth/dovecot.h"
#include "auth/exchange.h"
#include "auth/oauth.h"
#include "auth/setup.h"
#include "auth/worker.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/priv.h"

static struct auth_conf conf;
static struct auth the_auth;

/* ---- requests -------------------------------------------------------------
 */

/* A MSG_USER or MSG_TICKET that waits for the user database. */
struct question {
	struct request *r;
	char name[AUTH_NAME_MAX + 1];
};

static void
answer_user(void *arg, const struct user_entry *u, const struct err *e)
{
	struct question *q = arg;
	struct msg_out m;

	if (u == NULL) {
		request_error(&q->r, e);
	} else {
		request_begin(q->r, &m, MSG_USER_INFO);
		users_put(&m, q->name, u);
		if (quotas_full(the_auth.quotas, q->name))
			msg_put_u64(&m, F_OVER_QUOTA, 1);
		request_answer(&q->r, &m);
		msg_out_release(&m);
	}
	mem_free(q);
}

static void
ask_user(struct auth *a, struct request *r, const char *name)
{
	struct question *q = MEM_NEW(q);

	q->r = r;
	snprintf(q->name, sizeof(q->name), "%s", name);
	users_lookup(a, q->name, request_trace(q->r), answer_user, q);
}

static void
answer_none(struct request *r)
{
	const struct user_entry none = { .found = false };
	struct msg_out m;

	request_begin(r, &m, MSG_USER_INFO);
	users_put(&m, "", &none);
	request_answer(&r, &m);
	msg_out_release(&m);
}

static int
handle_user(struct request *r, struct msg_in *m, void *arg)
{
	char name[AUTH_NAME_MAX + 1];
	struct err e;

	const struct span given = msg_need(m, F_USER, LIMIT_ADDRESS * 2);
	if (msg_done(m, &e) < 0)
		return -1;
	/* What can't be a name is nobody's. */
	if (!auth_name_ok(given) || !span_copy(given, name, sizeof(name)))
		answer_none(r);
	else
		ask_user(arg, r, name);
	return 0;
}

static int
handle_quota(struct request *r, struct msg_in *m, void *arg)
{
	struct auth *a = arg;
	char name[AUTH_NAME_MAX + 1];
	struct err e;

	const struct span given = msg_need(m, F_USER, LIMIT_ADDRESS * 2);
	const bool full = msg_get_u64(m, F_OVER_QUOTA) == 1;
	if (msg_done(m, &e) < 0)
		return -1;
	if (auth_name_ok(given) && span_copy(given, name, sizeof(name)))
		quotas_set(a->quotas, name, full);
	if (request_id(r) == 0)
		request_drop(&r);
	else
		request_ok(&r);
	return 0;
}

/* Only the spawner redeems: root, or in a private instance its one user. */
static int
handle_ticket(struct request *r, struct msg_in *m, void *arg)
{
	struct auth *a = arg;
	const uid_t peer = server_conn_peer(request_conn(r))->uid;
	struct err e;

	const struct span ticket = msg_need(m, F_TICKET, TICKET_SIZE);
	const pid_t pid = (pid_t)msg_get_u32(m, F_PID);
	if (msg_done(m, &e) < 0)
		return -1;
	if (peer != 0 && !(daemon_private(a->daemon) && peer == getuid())) {
		log_warning(NULL, "uid %lu wanted to redeem a ticket",
		    (unsigned long)peer);
		return -1;
	}
	char *user =
	    tickets_redeem(a->tickets, ticket, pid, loop_now_ms(a->loop));
	if (user == NULL) {
		err_set(&e, ERR_PERM, "5.7.8", "no such ticket");
		request_error(&r, &e);
	} else {
		ask_user(a, r, user);
		mem_free(user);
	}
	return 0;
}

static const struct server_handler handlers[] = {
	{ MSG_USER, handle_user },
	{ MSG_AUTH, session_begin },
	{ MSG_AUTH_STEP, session_step },
	{ MSG_AUTH_CANCEL, session_cancel },
	{ MSG_TICKET, handle_ticket },
	{ MSG_QUOTA, handle_quota },
	{ 0 },
};

/* ---- life -----------------------------------------------------------------
 */

static void
workers_gone(void *arg)
{
	struct auth *a = arg;

	log_error(NULL, "all workers are gone");
	daemon_exit(a->daemon, 1);
}

/* Forks while this is still one thread with all its rights, then becomes
 * auth_owner for good. */
static int
split(struct auth *a, struct err *e)
{
	const size_t count = (size_t)conf.auth_worker_max_count;
	int fds[POOL_WORKERS_MAX];

	if (workers_start(count, fds, e) < 0 || auth_drop_rights(a, e) < 0)
		return -1;
	a->pool = pool_new(a->loop, fds, count, workers_gone, a);
	return 0;
}

static int
start(struct daemon *d, struct err *e)
{
	struct auth *a = &the_auth;
	const struct server_options options = { .handlers = handlers,
		.credit = AUTH_CREDIT,
		.connections_max = 2000,
		.closed = session_conn_closed,
		.arg = a };

	a->daemon = d;
	a->loop = daemon_loop(d);
	a->conf = &conf;
	list_init(&a->exchanges);
	table_init(&a->sessions);
	if (auth_setup(a, e) < 0)
		return -1;
	a->dovecot = dovecot_new(a, e);
	if (a->dovecot == NULL || split(a, e) < 0 || auth_open_own(a, e) < 0)
		return -1;
	a->oauth = oauth_new(a->loop, &conf, e);
	if (a->oauth == NULL)
		return -1;
	a->throttle = throttle_new((uint64_t)conf.auth_failure_delay);
	a->verified = verified_new((uint64_t)conf.auth_cache_ttl);
	a->tickets = tickets_new();
	a->server = server_new(a->loop, &options);
	return 0;
}

/* Our own daemons come by messages, others by Dovecot's protocol: which it is
 * the kind of socket says (lib/daemon/programs.c). */
static void
client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	int type = 0;
	socklen_t len = sizeof(type);

	(void)d;
	(void)l;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM)
		dovecot_client(the_auth.dovecot, fd);
	else
		server_client(the_auth.server, fd);
}

/* ---- leaving --------------------------------------------------------------
 */

enum { LEAVE_POLL_MS = 50, LEAVE_MAX_MS = 10000 };
static struct timer *leaving;
static uint64_t leave_until_ms;

static void
try_to_leave(void *arg)
{
	struct auth *a = arg;

	const bool idle = exchanges_flush(a) && pool_pending(a->pool) == 0 &&
			  server_open_requests(a->server) == 0 &&
			  app_uses_flush(a->uses) && quotas_flush(a->quotas);
	if (idle || loop_now_ms(a->loop) >= leave_until_ms)
		daemon_exit(a->daemon, 0);
	else
		timer_start(leaving, LEAVE_POLL_MS);
}

static void
leave(struct daemon *d)
{
	struct auth *a = &the_auth;

	(void)d;
	server_leave(a->server);
	dovecot_leave(a->dovecot);
	leave_until_ms = loop_now_ms(a->loop) + LEAVE_MAX_MS;
	leaving = timer_new(a->loop, try_to_leave, a);
	timer_start(leaving, LEAVE_POLL_MS);
}

/* What PAM and NSS modules read and write; the loop gives it up. */
static void
sandbox(const struct daemon *d, struct sandbox *s)
{
	sandbox_dir(s, "/run", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE);
	sandbox_dir(s, "/var", SANDBOX_READ | SANDBOX_WRITE);
	sandbox_dir(s, "/bin", SANDBOX_READ | SANDBOX_EXEC);
	sandbox_dir(s, "/sbin", SANDBOX_READ | SANDBOX_EXEC);
	sandbox_dir(s, "/usr", SANDBOX_READ | SANDBOX_EXEC);
	sandbox_dir(s, "/lib", SANDBOX_READ | SANDBOX_EXEC);
	sandbox_dir(s, "/lib64", SANDBOX_READ | SANDBOX_EXEC);
	auth_sandbox_files(&conf, s);
	sandbox_dir(
	    s, daemon_common(d)->queue_directory, SANDBOX_READ | SANDBOX_WRITE);
	auth_sandbox_own(daemon_common(d), s);
	sandbox_syscalls(s, SANDBOX_SYS_FORK | SANDBOX_SYS_NET);
}

static int
verify(const struct daemon *d, struct err *e)
{
	(void)d;
	return auth_verify(&conf, e);
}

int
main(int argc, char *argv[])
{
	static const struct daemon_spec spec = {
		.name = "auth",
		.params = auth_params,
		.conf = &conf,
		.verify = verify,
		.sandbox = sandbox,
		.start = start,
		.client = client,
		.leave = leave,
	};

	return daemon_main(&spec, argc, argv);
}
