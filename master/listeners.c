/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/sock.h"

enum { BACKLOG = 1024 };

static struct listener *
find(struct list *listeners, const char *key)
{
	LIST_EACH(listeners, link)
	{
		struct listener *l = CONTAINER_OF(link, struct listener, link);

		if (strcmp(l->key, key) == 0)
			return l;
	}
	return NULL;
}

struct listener *
listeners_find(struct master *m, const char *key)
{
	return find(&m->listeners, key);
}

static void
drop(struct listener *l)
{
	list_remove(&l->link);
	if (strncmp(l->key, "unix:", 5) == 0)
		unlink(l->key + 5);
	close(l->fd);
	mem_free(l->key);
	mem_free(l);
}

/* "inet:[ADDRESS]:PORT" */
static int
open_inet(const char *key, int *out_fd, struct err *e)
{
	const char *end = strrchr(key, ']');
	struct sockaddr_storage addr;
	char text[SOCK_ADDR_TEXT];
	socklen_t len;
	uint64_t port;

	BUG_ON(end == NULL ||
	       !span_copy(span_of(key + 6, (size_t)(end - key - 6)), text,
		   sizeof(text)) ||
	       !span_u64(span_str(end + 2), 65535, &port) ||
	       !sock_addr_parse(text, (unsigned)port, &addr, &len));
	return sock_listen_tcp(
	    (struct sockaddr *)&addr, len, BACKLOG, out_fd, e);
}

static bool
is_stream(const struct program *p, const char *path)
{
	const char *name = strrchr(path, '/');

	return p->stream_socket ||
	    (p->stream_name != NULL && name != NULL &&
		strcmp(name + 1, p->stream_name) == 0);
}

static int
open_one(const struct plan *p, const struct socket_spec *spec, int *out_fd,
    struct err *e)
{
	int ret;

	/* Who may connect is decided by the directory and by credentials. */
	if (strncmp(spec->key, "unix:", 5) == 0)
		ret = sock_listen_unix(spec->key + 5,
		    is_stream(p->program, spec->key + 5) ? SOCK_STREAM :
							   SOCK_SEQPACKET,
		    0666, out_fd, e);
	else
		ret = open_inet(spec->key, out_fd, e);
	if (ret != 0)
		err_wrap(e, "service %s", p->name);
	return ret;
}

/* A host without IPv6 (or without IPv4) lacks one of two addresses. */
static bool
lacks_protocol(const struct socket_spec *spec, const struct err *e)
{
	return spec->optional &&
	       (e->sysno == EAFNOSUPPORT || e->sysno == EADDRNOTAVAIL);
}

static int
want(struct master *m, const struct plan *p, const struct socket_spec *spec,
    struct list *fresh, struct err *e)
{
	struct listener *l = listeners_find(m, spec->key);
	int fd;

	if ((l != NULL && l->wanted) || find(fresh, spec->key) != NULL)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: line %u: %s is listened on for another service too",
		    p->file, p->line, spec->key);
	if (l == NULL) {
		if (open_one(p, spec, &fd, e) != 0)
			return lacks_protocol(spec, e) ? 0 : -1;
		l = MEM_NEW(l);
		l->key = mem_strdup(spec->key);
		l->fd = fd;
		memcpy(l->kind, spec->kind, sizeof(l->kind));
		list_push(fresh, &l->link);
	}
	l->wanted = true;
	return 0;
}

static int
want_all(struct master *m, struct config *c, struct list *fresh, struct err *e)
{
	LIST_EACH(&c->plans, link)
	{
		struct plan *p = CONTAINER_OF(link, struct plan, link);

		LIST_EACH(&p->sockets, one)
		if (want(m, p, CONTAINER_OF(one, struct socket_spec, link),
			fresh, e) != 0)
			return -1;
	}
	return 0;
}

int
listeners_bind(struct master *m, struct config *c, struct err *e)
{
	struct list fresh;
	struct list *link;
	int ret;

	list_init(&fresh);
	LIST_EACH(&m->listeners, old)
	CONTAINER_OF(old, struct listener, link)->wanted = false;
	ret = want_all(m, c, &fresh, e);
	while ((link = list_first(&fresh)) != NULL) {
		struct listener *l = CONTAINER_OF(link, struct listener, link);

		list_remove(link);
		if (ret == 0)
			list_push(&m->listeners, link);
		else
			drop(l);
	}
	return ret;
}

void
listeners_trim(struct master *m)
{
	LIST_EACH(&m->listeners, link)
	{
		struct listener *l = CONTAINER_OF(link, struct listener, link);

		if (!l->wanted)
			drop(l);
	}
}
