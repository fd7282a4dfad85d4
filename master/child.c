/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/proc.h"
#include "lib/os/sock.h"

enum { ENV_MAX = 64, FDS_FIXED = 4, CONTROL = 3 };

/* ---- what the child is given ---- */
struct vector {
	char **items;
	size_t count;
};

static void
push(struct vector *v, char *item)
{
	v->items = mem_resize(v->items, v->count + 2, sizeof(*v->items));
	v->items[v->count++] = item;
	v->items[v->count] = NULL;
}

static void
push_copy(struct vector *v, const char *item)
{
	push(v, mem_strdup(item));
}

static void
vector_free(struct vector *v)
{
	for (size_t i = 0; i < v->count; i++)
		mem_free(v->items[i]);
	mem_free(v->items);
}

/* shared: the number under which it has the shared table, or -1. */
static void
make_argv(const struct child *c, int shared, struct vector *v)
{
	const struct service *s = c->service;
	struct buf kinds;

	buf_init(&kinds, 4096);
	push_copy(v, s->plan->path);
	push_copy(v, "-c");
	push_copy(v, s->master->dir);
	push_copy(v, "-n");
	push_copy(v, s->plan->name);
	push_copy(v, "-g");
	push(v, mem_printf("%u", s->generation));
	for (size_t i = 0; s->plan->overrides[i] != NULL; i++) {
		push_copy(v, "-o");
		push_copy(v, s->plan->overrides[i]);
	}
	for (size_t i = 0; i < s->listener_count; i++)
		buf_fmt(
		    &kinds, "%s%s", i > 0 ? "," : "", s->listeners[i]->kind);
	if (s->listener_count > 0) {
		push_copy(v, "-l");
		push_copy(v, buf_cstr(&kinds));
	}
	if (shared >= 0) {
		push_copy(v, "-m");
		push(v, mem_printf("%d", shared));
	}
	if (c->standby)
		push_copy(v, "-w");
	for (size_t i = 0; s->plan->args[i] != NULL; i++)
		push_copy(v, s->plan->args[i]);
	buf_release(&kinds);
}

/* Only what a daemon has a use for: a path, the time zone, and what tests
 * and sanitizers say. */
static void
make_env(struct vector *v)
{
	static const char *const names[] = { "PATH=", "TZ=", "LANG=",
		"LD_LIBRARY_PATH=", "CHAPPE_", "ASAN_", "UBSAN_", "LSAN_" };
	bool path = false;

	for (char **e = environ; *e != NULL; e++) {
		for (size_t i = 0; i < COUNT_OF(names); i++)
			if (strncmp(*e, names[i], strlen(names[i])) == 0)
				push_copy(v, *e);
		path |= strncmp(*e, "PATH=", 5) == 0;
	}
	if (!path)
		push_copy(v, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
}

/* In the child: our programs start as the user of their row; those that stay
 * root reduce their capabilities themselves. */
static int
become_user(void *arg, struct err *e)
{
	const struct plan *p = arg;

	if (!priv_is_root() || p->program->user_param == NULL)
		return 0;
	return priv_become(&p->user, p->groups, p->group_count, NULL, 0, e);
}

static int
spawn(struct child *c, int control, struct err *e)
{
	const struct service *s = c->service;
	size_t count = FDS_FIXED + s->listener_count;
	int *fds = mem_alloc((count + 2) * sizeof(*fds));
	struct vector argv = { 0 }, env = { 0 };
	int shared = -1, ret;

	fds[0] = fds[1] = -1;
	fds[2] = s->master->stderr_pipe[1];
	fds[CONTROL] = control;
	for (size_t i = 0; i < s->listener_count; i++)
		fds[FDS_FIXED + i] = s->listeners[i]->fd;
	if (c->slot_fd >= 0)
		fds[count++] = c->slot_fd;
	if (s->plan->program->needs_shared) {
		shared = (int)count;
		fds[count++] = s->master->shared_fd;
	}
	make_argv(c, shared, &argv);
	make_env(&env);
	{
		const struct proc_spec spec = {
			.path = s->plan->path,
			.argv = argv.items,
			.env = env.items,
			.fds = fds,
			.fd_count = count,
			.prepare = become_user,
			.arg = s->plan,
		};

		ret = proc_spawn(&spec, &c->pid, e);
	}
	vector_free(&argv);
	vector_free(&env);
	mem_free(fds);
	return ret;
}

static void
check_argv(const struct plan *p, const char *dir, struct vector *v)
{
	push_copy(v, p->path);
	push_copy(v, "-t");
	push_copy(v, "-c");
	push_copy(v, dir);
	push_copy(v, "-n");
	push_copy(v, p->name);
	for (size_t i = 0; p->overrides[i] != NULL; i++) {
		push_copy(v, "-o");
		push_copy(v, p->overrides[i]);
	}
}

static void
read_all(int fd, struct buf *out)
{
	uint8_t part[4096];
	ssize_t n;

	while ((n = read(fd, part, sizeof(part))) > 0 ||
	       (n < 0 && errno == EINTR))
		if (n > 0)
			buf_add(out, span_of(part, (size_t)n));
}

int
child_check(
    const struct plan *p, const char *dir, struct buf *out, struct err *e)
{
	struct vector argv = { 0 }, env = { 0 };
	const size_t before = out->n;
	char text[PROC_STATUS_TEXT];
	int ends[2], status, rc;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_sys(e, "pipe");
	check_argv(p, dir, &argv);
	make_env(&env);
	{
		const int fds[] = { -1, -1, ends[1] };
		const struct proc_spec spec = {
			.path = p->path,
			.argv = argv.items,
			.env = env.items,
			.fds = fds,
			.fd_count = COUNT_OF(fds),
			.prepare = become_user,
			.arg = (void *)(uintptr_t)p,
		};

		rc = proc_spawn(&spec, &pid, e);
	}
	close(ends[1]);
	if (rc == 0) {
		read_all(ends[0], out);
		rc = proc_wait(pid, &status, e);
	}
	close(ends[0]);
	if (rc == 0 && status != 0 && out->n == before) {
		proc_status_text(status, text);
		buf_fmt(out, "%s: %s\n", p->name, text);
	} else if (rc == 0 && status == 0) {
		buf_truncate(out, before); /* warnings */
	}
	vector_free(&argv);
	vector_free(&env);
	return rc;
}

/* ---- messages ---- */
void
child_tell(struct child *c, enum msg_type type)
{
	struct msg_out m;

	if (c->channel == NULL)
		return;
	msg_begin(&m, type, 0, 0);
	channel_send(c->channel, &m);
	msg_out_release(&m);
}

/* Without the descriptor: there is none. */
static void
send_memory(struct child *c, enum msg_type type, int fd)
{
	struct msg_out m;

	if (c->channel == NULL)
		return;
	msg_begin(&m, type, 0, 0);
	if (fd >= 0)
		msg_put_fd(&m, fd);
	channel_send(c->channel, &m);
	msg_out_release(&m);
}

void
child_send_keys(struct child *c)
{
	send_memory(c, MSG_KEYS, keys_fd(c->service));
}

void
child_send_tickets(struct child *c)
{
	send_memory(c, MSG_TICKET_KEYS, tickets_fd(c->service->master));
}

static void
send_slot(struct child *c)
{
	struct msg_out m;

	msg_begin(&m, MSG_SLOT, 0, 0);
	msg_put_u64(&m, F_SLOT, (uint64_t)c->slot);
	channel_send(c->channel, &m);
	msg_out_release(&m);
}

/* The living delivery agents, of whatever generation: qmgr waits for their
 * reports before it sends anything out. */
static void
send_pids(struct child *c)
{
	struct master *master = c->service->master;
	struct msg_out m;

	msg_begin(&m, MSG_PIDS, 0, 0);
	LIST_EACH(&master->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (!s->plan->program->is_agent)
			continue;
		LIST_EACH(&s->children, one)
		{
			struct child *agent =
			    CONTAINER_OF(one, struct child, link);

			msg_group_begin(&m, F_SERVICE);
			msg_put_str(&m, F_SERVICE, s->plan->name);
			msg_put_u64(&m, F_PID, (uint64_t)agent->pid);
			msg_group_end(&m);
		}
	}
	channel_send(c->channel, &m);
	msg_out_release(&m);
}

static void
on_message(void *arg, struct msg_in *m)
{
	struct child *c = arg;

	switch (m->type) {
	case MSG_READY:
		if (c->was_ready)
			break;
		c->was_ready = true;
		if (c->state == CHILD_STARTING)
			c->state = CHILD_READY;
		service_child_ready(c->service);
		break;
	case MSG_FULL:
		service_full(c->service);
		break;
	case MSG_COMPANY:
		service_company(c->service);
		break;
	case MSG_CHILD_STATUS:
		msg_get_str(m, F_TEXT, c->status, sizeof(c->status));
		break;
	default: /* a newer program may say more */
		break;
	}
}

/* It ends: SIGCHLD will tell. */
static void
on_closed(void *arg, const struct err *e)
{
	struct child *c = arg;

	(void)e;
	channel_free(&c->channel);
}

/* ---- birth ---- */
static void
child_free(struct child *c)
{
	channel_free(&c->channel);
	if (c->slot_fd >= 0)
		close(c->slot_fd);
	list_remove(&c->link);
	mem_free(c);
}

static void
greet(struct child *c, int control)
{
	static const struct channel_handler handler = { on_message, on_closed };
	const struct program *p = c->service->plan->program;

	c->channel =
	    channel_new(c->service->master->loop, control, &handler, c);
	if (p->needs_slot)
		send_slot(c);
	if (p->needs_keys) {
		child_send_tickets(c);
		child_send_keys(c);
	}
	if (strcmp(p->name, "qmgr") == 0)
		send_pids(c);
}

/* Is there a process that takes the service's clients first? */
static bool
has_first(const struct service *s)
{
	LIST_EACH(&s->children, link)
	{
		const struct child *c = CONTAINER_OF(link, struct child, link);

		if (c->current && !c->standby && c->state != CHILD_LEAVING)
			return true;
	}
	return false;
}

int
child_start(struct service *s, struct err *e)
{
	struct child *c = MEM_NEW(c);
	int pair[2] = { -1, -1 };

	list_init(&c->link);
	c->service = s;
	c->generation = s->generation;
	c->current = true;
	c->standby = has_first(s);
	c->slot = c->slot_fd = -1;
	c->started_ms = loop_now_ms(s->master->loop);
	if (s->plan->program->needs_slot) {
		c->slot = slot_take(s->master, &c->slot_fd, e);
		if (c->slot < 0)
			goto fail;
	}
	if (sock_pair(SOCK_SEQPACKET, pair, e) != 0 ||
	    sock_set_nonblock(pair[0], true, e) != 0 ||
	    spawn(c, pair[1], e) != 0)
		goto fail;
	close(pair[1]);
	list_push(&s->children, &c->link);
	greet(c, pair[0]);
	return 0;
fail:
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
	child_free(c);
	return -1;
}

/* ---- the rest of its life ---- */
void
child_leave(struct child *c)
{
	if (c->state == CHILD_LEAVING)
		return;
	c->state = CHILD_LEAVING;
	child_tell(c, MSG_LEAVE);
}

void
child_hurry(struct child *c)
{
	child_tell(c, MSG_HURRY);
}

void
child_kill(struct child *c, int signo)
{
	kill(c->pid, signo);
}

static void
report_death(const struct child *c, int status)
{
	char text[PROC_STATUS_TEXT];

	if (status == 0 || c->service->master->stopping)
		return;
	proc_status_text(status, text);
	log_warning(NULL, "process %s pid %d %s", c->service->plan->path,
	    (int)c->pid, text);
}

static struct child *
find(struct master *m, pid_t pid)
{
	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		LIST_EACH(&s->children, one)
		{
			struct child *c = CONTAINER_OF(one, struct child, link);

			if (c->pid == pid)
				return c;
		}
	}
	return NULL;
}

bool
child_ended(struct master *m, pid_t pid, int status)
{
	struct child *c = find(m, pid);
	struct child copy;

	if (c == NULL)
		return false;
	report_death(c, status);
	copy = *c;
	child_free(c);
	service_child_ended(copy.service, &copy, status == 0);
	return true;
}
