/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/sock.h"

enum { CREDIT = 4, CONNECTIONS = 16, STATUS_LINE = 300 };

/* A request for a reload that is under way. */
struct waiting {
	struct list link;
	struct request *request;
};

/* ---- status ---- */
static const char *
state_word(const struct child *c)
{
	switch (c->state) {
	case CHILD_STARTING:
		return "starting";
	case CHILD_READY:
		return "running";
	case CHILD_LEAVING:
		return "leaving";
	}
	return "?";
}

static void
put_service(struct msg_out *m, struct service *s)
{
	char line[STATUS_LINE];

	if (list_empty(&s->children)) {
		snprintf(line, sizeof(line), "%s %s - %s", s->plan->name,
		    s->plan->program->name,
		    timer_active(s->throttle) ? "throttled" : "idle");
		msg_put_str(m, F_LINE, line);
	}
	LIST_EACH(&s->children, link)
	{
		const struct child *c = CONTAINER_OF(link, struct child, link);

		if (msg_space(m) < 2 * STATUS_LINE)
			return;
		snprintf(line, sizeof(line), "%s %s %d %s generation %u%s%s",
		    s->plan->name, s->plan->program->name, (int)c->pid,
		    state_word(c), c->generation,
		    c->status[0] != '\0' ? " " : "", c->status);
		msg_put_str(m, F_LINE, line);
	}
}

static int
on_status(struct request *r, struct msg_in *in, void *arg)
{
	struct master *m = arg;
	struct msg_out out;

	(void)in;
	request_begin(r, &out, MSG_OK);
	msg_put_u64(&out, F_PID, (uint64_t)getpid());
	LIST_EACH(&m->services, link)
	{
		if (msg_space(&out) < 2 * STATUS_LINE)
			break;
		put_service(&out, CONTAINER_OF(link, struct service, link));
	}
	request_answer(&r, &out);
	msg_out_release(&out);
	return 0;
}

/* ---- reload and stop ---- */
static int
on_reload(struct request *r, struct msg_in *in, void *arg)
{
	struct master *m = arg;
	struct waiting *w;
	char only[128];
	struct err e;

	msg_get_str(in, F_SERVICE, only, sizeof(only));
	if (msg_done(in, &e) != 0)
		return -1;
	if (reload(m, only[0] != '\0' ? only : NULL, &e) != 0) {
		request_error(&r, &e);
		return 0;
	}
	w = MEM_NEW(w);
	w->request = r;
	list_push(&m->waiting, &w->link);
	return 0;
}

void
admin_answer_waiting(struct master *m)
{
	LIST_EACH(&m->waiting, link)
	{
		struct waiting *w = CONTAINER_OF(link, struct waiting, link);

		list_remove(link);
		request_ok(&w->request);
		mem_free(w);
	}
}

static int
on_stop(struct request *r, struct msg_in *in, void *arg)
{
	char how[16];

	msg_get_str(in, F_OP, how, sizeof(how));
	if (msg_done(in, NULL) != 0)
		return -1;
	request_ok(&r);
	master_stop(arg, strcmp(how, "abort") == 0);
	return 0;
}

/* ---- the socket ---- */
static bool
allow(const struct peer *peer, void *arg)
{
	(void)arg;
	return peer->uid == 0 || peer->uid == geteuid();
}

static void
on_listener(void *arg, int events)
{
	struct master *m = arg;
	struct err e;
	int fd;

	(void)events;
	switch (sock_accept(m->admin_fd, &fd, NULL, &e)) {
	case 1:
		server_client(m->admin, fd);
		break;
	case -1:
		log_warning(NULL, "%s", e.text);
		break;
	}
}

static char *
socket_path(const struct master *m)
{
	return mem_printf(
	    "%s/public/master", m->config->common.queue_directory);
}

int
admin_start(struct master *m, struct err *e)
{
	static const struct server_handler handlers[] = {
		{ MSG_MASTER_STATUS, on_status },
		{ MSG_MASTER_RELOAD, on_reload },
		{ MSG_MASTER_STOP, on_stop },
		{ 0, NULL },
	};
	const struct server_options options = {
		.handlers = handlers,
		.credit = CREDIT,
		.connections_max = CONNECTIONS,
		.allow = allow,
		.arg = m,
	};
	char *path = socket_path(m);
	const int ret =
	    sock_listen_unix(path, SOCK_SEQPACKET, 0600, &m->admin_fd, e);

	mem_free(path);
	if (ret != 0)
		return -1;
	m->admin = server_new(m->loop, &options);
	m->admin_watch = watch_new(m->loop, m->admin_fd, on_listener, m);
	watch_set(m->admin_watch, WATCH_READ);
	return 0;
}

void
admin_stop(struct master *m)
{
	LIST_EACH(&m->waiting, link)
	{
		struct waiting *w = CONTAINER_OF(link, struct waiting, link);

		list_remove(link);
		request_drop(&w->request);
		mem_free(w);
	}
	watch_free(&m->admin_watch);
	server_free(&m->admin);
	if (m->admin_fd >= 0) {
		char *path = socket_path(m);

		unlink(path);
		mem_free(path);
		close(m->admin_fd);
	}
	m->admin_fd = -1;
}
