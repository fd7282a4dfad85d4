/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mail/trace.h"
#include "lib/os/log.h"
#include "log/log_impl.h"

/*
 * The log daemon serves two services of master.cf: `log` (private/log: the
 * rings of all processes) and `trace` (public/trace: searches; it only reads
 * the store).
 */

enum { LAST_LINES_MS = 5000, GROUPS_MAX = 256 };

static struct log_conf conf;
extern const struct param log_params[];

static struct {
	struct daemon *d;
	struct sinks sinks;
	char host[256];
	struct server *server;
	struct querier querier;
	struct timer *last_lines;
	gid_t admin_gid;
	bool have_admin;
} state = { .sinks.syslog_fd = -1 };

static bool
is_trace(const struct daemon *d)
{
	return strcmp(daemon_service(d), "trace") == 0;
}

static const char *
store_path(const struct daemon *d, char out[LIMIT_PATH])
{
	snprintf(out, LIMIT_PATH, "%s/trace",
	    daemon_common(d)->queue_directory);
	return out;
}

/* ---- rings ---- */

static int
handle_attach(struct request *r, struct msg_in *m, void *arg)
{
	struct server_conn *conn = request_conn(r);
	struct source *old = server_conn_data(conn), *source;
	int memory = msg_take_fd(m), event = msg_take_fd(m);
	pid_t pid = server_conn_peer(conn)->pid;
	struct err e;

	(void)arg;
	if (msg_done(m, &e) != 0) {
		if (memory >= 0)
			close(memory);
		return -1;
	}
	source_free(&old);
	source = source_new(&state.sinks, memory, event, (uint64_t)pid, &e);
	server_conn_set(conn, source);
	if (source == NULL) {
		fprintf(stderr, "log: process %ld: %s\n", (long)pid, e.text);
		return -1;
	}
	request_drop(&r);
	return 0;
}

static int
handle_query(struct request *r, struct msg_in *m, void *arg)
{
	(void)arg;
	return query_handle(r, m, &state.querier);
}

/* The process is gone or attaches anew: its last lines are still there. */
static void
on_closed(struct server_conn *conn, void *arg)
{
	struct source *source = server_conn_data(conn);

	(void)arg;
	source_free(&source);
	if (state.server != NULL && daemon_leaving(state.d) &&
	    server_conn_count(state.server) == 0)
		daemon_exit(state.d, 0);
}

/* ---- who may search: root, ourselves, the administrators' group ---- */

static bool
in_admin_group(const struct peer *peer)
{
	gid_t groups[GROUPS_MAX];
	int count = GROUPS_MAX;
	const struct passwd *pw;

	if (!state.have_admin)
		return false;
	if (peer->gid == state.admin_gid)
		return true;
	pw = getpwuid(peer->uid);
	if (pw == NULL ||
	    getgrouplist(pw->pw_name, pw->pw_gid, groups, &count) < 0)
		return false;
	for (int i = 0; i < count; i++)
		if (groups[i] == state.admin_gid)
			return true;
	return false;
}

static bool
may_search(const struct peer *peer, void *arg)
{
	(void)arg;
	return peer->uid == 0 || peer->uid == geteuid() ||
	    in_admin_group(peer);
}

/* ---- the daemon ---- */

static void
log_sandbox(const struct daemon *d, struct sandbox *s)
{
	const char *files[] = { daemon_common(d)->maillog_file,
		conf.maillog_json_file };
	char path[LIMIT_PATH];

	/* As root, master has made it. */
	(void)mkdir(store_path(d, path), 0750);
	if (is_trace(d)) {
		sandbox_dir(s, path, SANDBOX_READ);
		return;
	}
	sandbox_dir(s, path, SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE |
	    SANDBOX_REMOVE);
	for (int i = 0; i < 2; i++)
		daemon_sandbox_file(s, files[i], SANDBOX_READ |
		    SANDBOX_WRITE | SANDBOX_MAKE);
}

static void
reopen(int signo, void *arg)
{
	struct err e;

	(void)signo;
	(void)arg;
	if ((state.sinks.text != NULL &&
		output_reopen(state.sinks.text, &e) != 0) ||
	    (state.sinks.json != NULL &&
		output_reopen(state.sinks.json, &e) != 0))
		fprintf(stderr, "log: %s\n", e.text);
}

static int
open_sinks(struct daemon *d, struct err *e)
{
	struct sinks *k = &state.sinks;
	const char *file = daemon_common(d)->maillog_file;
	char path[LIMIT_PATH];

	sinks_init(k, daemon_loop(d));
	k->host = state.host;
	if (gethostname(state.host, sizeof(state.host) - 1) != 0)
		snprintf(state.host, sizeof(state.host), "localhost");
	state.host[strcspn(state.host, ".")] = '\0';
	if (file[0] != '\0' && output_open(file, &k->text, e) != 0)
		return -1;
	if (conf.maillog_json_file[0] != '\0' &&
	    output_open(conf.maillog_json_file, &k->json, e) != 0)
		return -1;
	if (store_open(store_path(d, path), (uint64_t)conf.trace_size_limit,
		&k->store, e) != 0)
		return -1;
	state.querier.dir_fd = store_dir(k->store);
	loop_signal(k->loop, SIGHUP, reopen, NULL);
	loop_signal(k->loop, SIGUSR1, reopen, NULL);
	return 0;
}

static int
start_trace(struct daemon *d, struct err *e)
{
	static const struct server_handler handlers[] = {
		{ MSG_TRACE_QUERY, handle_query },
		{ 0, NULL },
	};
	const struct server_options o = { .handlers = handlers, .credit = 4,
		.connections_max = 16, .allow = may_search };
	const struct group *admins = getgrnam(daemon_common(d)->admin_group);
	char path[LIMIT_PATH];

	state.have_admin = admins != NULL;
	if (admins != NULL)
		state.admin_gid = admins->gr_gid;
	state.querier.dir_fd = open(store_path(d, path),
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state.querier.dir_fd < 0)
		return err_sys(e, "open %s", path);
	state.server = server_new(daemon_loop(d), &o);
	return 0;
}

static int
start(struct daemon *d, struct err *e)
{
	static const struct server_handler handlers[] = {
		{ MSG_LOG_ATTACH, handle_attach },
		{ MSG_TRACE_QUERY, handle_query },
		{ 0, NULL },
	};
	const struct server_options o = { .handlers = handlers,
		.connections_max = 5000, .closed = on_closed };

	state.d = d;
	state.querier.loop = daemon_loop(d);
	if (is_trace(d))
		return start_trace(d, e);
	if (open_sinks(d, e) != 0)
		return -1;
	state.server = server_new(daemon_loop(d), &o);
	return 0;
}

static void
client(struct daemon *d, int fd, const struct daemon_listener *l)
{
	(void)d;
	(void)l;
	server_client(state.server, fd);
}

static void
on_last_lines(void *arg)
{
	daemon_exit(arg, 0);
}

/* Replaced: what is in the rings now is written, the successor reads on.
 * After master's death all others end too: their last lines are awaited. */
static void
leave(struct daemon *d)
{
	if (fcntl(daemon_control_fd(d), F_GETFD) < 0 &&
	    server_conn_count(state.server) > 0) {
		state.last_lines = timer_new(daemon_loop(d), on_last_lines, d);
		timer_start(state.last_lines, LAST_LINES_MS);
		return;
	}
	server_free(&state.server);
	daemon_exit(d, 0);
}

static const struct daemon_spec spec = {
	.name = "log",
	.params = log_params,
	.conf = &conf,
	.sandbox = log_sandbox,
	.start = start,
	.client = client,
	.leave = leave,
};

int
main(int argc, char *argv[])
{
	return daemon_main(&spec, argc, argv);
}
