/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "resolver/resolver_impl.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unbound.h>
#include <unistd.h>

#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/mail/dns.h"
#include "lib/os/log.h"

/*
 * Lookups run in libunbound's own thread; what it has found shows on a
 * descriptor that the loop watches. When the host's name servers change, a
 * new context takes over and the old one ends with its last lookup.
 */

enum {
	LOOK_MS = 1000, /* at files that may have changed, at most so often */
	FILE_MAX = 1 << 20,
	TYPE_PTR = 12,
	RCODE_NXDOMAIN = 3,
};

struct context {
	struct lookups *lookups;
	struct ub_ctx *ub;
	struct watch *watch;
	unsigned jobs;
	bool old; /* freed with its last job */
};

/* What tells whether a file is still the same. */
struct stamp {
	struct timespec time;
	ino_t inode;
	off_t size;
};

struct lookups {
	struct loop *loop;
	const struct resolver_conf *conf;
	struct context *context;
	struct list jobs;
	struct hosts *hosts;
	struct stamp hosts_stamp, servers_stamp;
	uint64_t looked_ms;
};

struct job {
	struct list link;
	struct context *context;
	struct request *request;
	struct timer *timer;
	int id;
};

/* ---- files ---- */

/* True when the file is another than *stamp says, which then says so. */
static bool
changed(const char *path, struct stamp *stamp)
{
	struct stat st;
	struct stamp now = { .inode = 0 };

	if (stat(path, &st) == 0)
		now = (struct stamp){ st.st_mtim, st.st_ino, st.st_size };
	if (now.time.tv_sec == stamp->time.tv_sec &&
	    now.time.tv_nsec == stamp->time.tv_nsec &&
	    now.inode == stamp->inode && now.size == stamp->size)
		return false;
	*stamp = now;
	return true;
}

/* A file that can't be read is empty. */
static void
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint8_t *room = buf_room(out, FILE_MAX);
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, room, FILE_MAX);
	if (n > 0)
		buf_grown(out, (size_t)n);
	close(fd);
}

/* ---- contexts ---- */

/* Ends an old context that has no work left; not from libunbound's calls. */
static void
context_end(struct context *c)
{
	if (!c->old || c->jobs > 0)
		return;
	watch_free(&c->watch);
	ub_ctx_delete(c->ub);
	mem_free(c);
}

static void
context_retire(struct context *c)
{
	if (c == NULL)
		return;
	c->old = true;
	context_end(c);
}

static void
on_result(void *arg, int events)
{
	struct context *c = arg;

	(void)events;
	ub_process(c->ub);
	context_end(c);
}

static void
choose_servers(const struct resolver_conf *conf, struct setup *s,
    char servers[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT])
{
	const char *forward = conf->resolver_forward;
	struct buf text;

	s->servers = servers;
	s->server_count = 0;
	s->chosen = forward[0] != '\0';
	if (strcmp(forward, "root") == 0)
		return;
	if (s->chosen) {
		(void)setup_forwarders(forward, servers, &s->server_count,
		    NULL);
		return;
	}
	buf_init(&text, FILE_MAX);
	read_file(conf->resolver_conf_file, &text);
	s->server_count = setup_nameservers(buf_span(&text), servers);
	buf_release(&text);
	/* resolv.conf(5): the local machine, if none is named. */
	if (s->server_count == 0)
		s->server_count = (size_t)snprintf(servers[0],
		    SETUP_SERVER_TEXT, "127.0.0.1") > 0;
}

/* libunbound reads its configuration from a file only. */
static int
configure(struct ub_ctx *ub, struct span text)
{
	char path[40];
	int fd = memfd_create("unbound.conf", MFD_CLOEXEC);
	int rc = UB_READFILE;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n)
		rc = ub_ctx_config(ub, path);
	if (fd >= 0)
		close(fd);
	return rc;
}

static struct context *
context_new(struct lookups *l)
{
	const char *anchor = l->conf->resolver_trust_anchor;
	char servers[SETUP_SERVERS_MAX][SETUP_SERVER_TEXT];
	struct context *c = MEM_NEW(c);
	struct setup setup;
	struct buf text;
	int rc;

	choose_servers(l->conf, &setup, servers);
	setup.trust_anchor = anchor[0] != '\0' && access(anchor, R_OK) == 0 ?
	    anchor : NULL;
	buf_init(&text, FILE_MAX);
	setup_text(&text, &setup);
	c->lookups = l;
	c->ub = ub_ctx_create();
	BUG_ON(c->ub == NULL);
	ub_ctx_debugout(c->ub, NULL);
	rc = configure(c->ub, buf_span(&text));
	if (rc != 0)
		log_warning(NULL, "libunbound: %s", ub_strerror(rc));
	ub_ctx_async(c->ub, 1);
	buf_release(&text);
	c->watch = watch_new(l->loop, ub_fd(c->ub), on_result, c);
	watch_set(c->watch, WATCH_READ);
	return c;
}

/* Notices new name servers and a new hosts file. */
static void
refresh(struct lookups *l)
{
	uint64_t now = loop_now_ms(l->loop);
	struct buf text;

	if (l->context != NULL && now - l->looked_ms < LOOK_MS)
		return;
	l->looked_ms = now;
	if (changed(l->conf->resolver_conf_file, &l->servers_stamp) ||
	    l->context == NULL) {
		context_retire(l->context);
		l->context = context_new(l);
	}
	if (changed(l->conf->resolver_hosts_file, &l->hosts_stamp) ||
	    l->hosts == NULL) {
		buf_init(&text, FILE_MAX);
		read_file(l->conf->resolver_hosts_file, &text);
		hosts_free(&l->hosts);
		l->hosts = hosts_parse(buf_span(&text));
		buf_release(&text);
	}
}

/* ---- answers ---- */

static void
put_head(struct msg_out *m, int rcode, bool secure, int ttl)
{
	msg_put_u64(m, F_RCODE, (uint64_t)rcode);
	msg_put_u64(m, F_SECURE, secure);
	msg_put_u64(m, F_TTL, (uint64_t)(ttl > 0 ? ttl : 0));
}

static void
put_value(void *arg, struct span value)
{
	msg_put(arg, F_RR, value);
}

/* A name as RDATA holds it (RFC 1035 3.1); false if it is none. */
static bool
wire_name(const char *name, struct buf *out)
{
	struct span rest = span_str(name), label;

	while (span_token(&rest, ".", &label)) {
		if (label.n > 63)
			return false;
		buf_byte(out, (uint8_t)label.n);
		buf_add(out, label);
	}
	buf_byte(out, 0);
	return buf_ok(out);
}

/* Answers from the hosts file; false when the name is not there. */
static bool
answer_from_hosts(const struct lookups *l, struct request **r,
    struct span name, unsigned type)
{
	struct msg_out m;
	struct buf rdata;
	const char *host;
	bool known = false;

	request_begin(*r, &m, MSG_DNS_ANSWER);
	put_head(&m, 0, false, 0);
	buf_init(&rdata, 256);
	if (type == TYPE_PTR) {
		host = hosts_name(l->hosts, name);
		known = host != NULL && wire_name(host, &rdata);
		msg_put(&m, F_RR, buf_span(&rdata));
	} else {
		known = hosts_addresses(l->hosts, name, type, put_value, &m);
	}
	if (known)
		request_answer(r, &m);
	buf_release(&rdata);
	msg_out_release(&m);
	return known;
}

static void
answer(struct request **r, const struct ub_result *result)
{
	struct msg_out m;

	request_begin(*r, &m, MSG_DNS_ANSWER);
	put_head(&m, result->rcode, result->secure != 0, result->ttl);
	if (result->canonname != NULL && result->rcode == 0)
		msg_put_str(&m, F_NAME, result->canonname);
	if (result->bogus && result->why_bogus != NULL)
		msg_put(&m, F_TEXT,
		    span_slice(span_str(result->why_bogus), 0, 200));
	for (int i = 0; result->havedata && result->data[i] != NULL; i++)
		msg_put(&m, F_RR, span_of(result->data[i],
		    (size_t)result->len[i]));
	request_answer(r, &m);
	msg_out_release(&m);
}

static void
answer_failure(struct request **r, const char *why)
{
	struct err e;

	err_set(&e, ERR_TEMP, "4.4.3", "name service: %s", why);
	request_error(r, &e);
}

/* ---- jobs ---- */

static void
job_free(struct job *j)
{
	j->context->jobs--;
	list_remove(&j->link);
	timer_free(&j->timer);
	request_drop(&j->request);
	mem_free(j);
}

static void
on_found(void *arg, int rc, struct ub_result *result)
{
	struct job *j = arg;

	if (rc != 0)
		answer_failure(&j->request, ub_strerror(rc));
	else
		answer(&j->request, result);
	if (result != NULL)
		ub_resolve_free(result);
	job_free(j);
}

static void
on_timeout(void *arg)
{
	struct job *j = arg;
	struct context *c = j->context;

	(void)ub_cancel(c->ub, j->id);
	answer_failure(&j->request, "no answer in time");
	job_free(j);
	context_end(c);
}

int
lookups_handle(struct request *r, struct msg_in *m, void *arg)
{
	struct lookups *l = arg;
	char name[256];
	unsigned type = msg_get_u32(m, F_RRTYPE);
	bool hosts_first = (msg_get_u64(m, F_FLAGS) & DNS_HOSTS_FIRST) != 0;
	struct job *j;
	int rc;

	msg_get_str(m, F_NAME, name, sizeof(name));
	if (msg_done(m, NULL) != 0 || name[0] == '\0' || type == 0 ||
	    type > UINT16_MAX || request_id(r) == 0)
		return -1;
	refresh(l);
	if (hosts_first && answer_from_hosts(l, &r, span_str(name), type))
		return 0;
	j = MEM_NEW(j);
	j->context = l->context;
	j->context->jobs++;
	j->request = r;
	list_push(&l->jobs, &j->link);
	j->timer = timer_new(l->loop, on_timeout, j);
	timer_start(j->timer, (uint64_t)l->conf->resolver_timeout);
	rc = ub_resolve_async(j->context->ub, name, (int)type, 1, j, on_found,
	    &j->id);
	if (rc != 0) {
		answer_failure(&j->request, ub_strerror(rc));
		job_free(j);
	}
	return 0;
}

struct lookups *
lookups_new(struct loop *loop, const struct resolver_conf *conf)
{
	struct lookups *l = MEM_NEW(l);

	l->loop = loop;
	l->conf = conf;
	list_init(&l->jobs);
	refresh(l);
	return l;
}

void
lookups_free(struct lookups **ref)
{
	struct lookups *l = *ref;
	struct list *link;

	*ref = NULL;
	if (l == NULL)
		return;
	while ((link = list_first(&l->jobs)) != NULL) {
		struct job *j = CONTAINER_OF(link, struct job, link);
		struct context *c = j->context;

		(void)ub_cancel(c->ub, j->id);
		job_free(j);
		context_end(c);
	}
	context_retire(l->context);
	hosts_free(&l->hosts);
	mem_free(l);
}
