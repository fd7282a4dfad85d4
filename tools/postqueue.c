/* SPDX-License-Identifier: GPL-3.0-or-later */
/* postqueue: shows the queue, and asks for a try now. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/queue_list.h"
#include "lib/queue/recover.h"
#include "lib/mail/queue_msg.h"
#include "tools/common/queue_tool.h"
#include "tools/common/tool.h"

enum { TIMEOUT_MS = 60 * 1000, RCPTS = 100 };

enum mode { MODE_NONE, MODE_TEXT, MODE_JSON, MODE_FLUSH, MODE_ID, MODE_SITE };

static noreturn void
usage(void)
{
	tool_init(tool_name(), EX_USAGE);
	tool_fatal("usage: postqueue -f | postqueue -i queueid | postqueue -j "
		   "| postqueue -p | postqueue -s site");
}

/* ---- listing ---- */
static void
put_out(struct queue_list *l)
{
	if (fwrite(l->out.p, 1, l->out.n, stdout) != l->out.n)
		tool_fatal("write error on standard output");
	buf_reset(&l->out);
}

struct listing {
	struct queue_list list;
	bool continued;
};

static void
list_one(void *arg, const struct queue_tool_message *m)
{
	struct listing *l = arg;
	struct queue_tool_rcpt r;
	size_t cursor = 0;

	if (!l->continued)
		queue_list_message(&l->list,
		    &(struct queue_list_entry){ .queue_name = m->queue_name,
			.id = m->id,
			.size = m->size,
			.arrival_s = m->arrival_s,
			.sender = m->sender,
			.expired = m->expired });
	l->continued = m->more;
	while (queue_tool_rcpt(m, &cursor, &r))
		queue_list_rcpt(&l->list, r.address, r.reason);
	put_out(&l->list);
}

/* ---- listing without qmgr ---- */
struct direct {
	struct queue *queue;
	struct listing *l;
	enum queue_dir dir;
};

static void
direct_message(struct direct *d, struct queue_message *m)
{
	struct queue_rcpt r[RCPTS];
	struct queue_rcpt_status s[RCPTS];
	char text[QUEUE_ID_TEXT];
	uint32_t from = 0;
	int got;

	queue_id_text(m->id, text);
	queue_list_message(
	    &d->l->list, &(struct queue_list_entry){
			     .queue_name = span_str(queue_dir_name(d->dir)),
			     .id = span_str(text),
			     .size = m->content_size,
			     .arrival_s = queue_id_us(m->id) / 1000000,
			     .sender = m->env.sender });
	while ((got = queue_message_rcpts(m, from, RCPTS, r, s, NULL)) > 0) {
		for (int i = 0; i < got; i++)
			if (s[i].state == RCPT_TODO)
				queue_list_rcpt(
				    &d->l->list, r[i].address, s[i].reason);
		from += (uint32_t)got;
	}
	put_out(&d->l->list);
}

static bool
direct_file(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct direct *d = arg;
	struct queue_message *m;

	(void)mtime_s;
	if (queue_message_open(
		d->queue, d->dir, id, O_RDONLY, false, &m, NULL) != 0)
		return true;
	direct_message(d, m);
	queue_message_close(&m);
	return true;
}

static bool
direct_unfiled(void *arg, struct queue_message *m)
{
	direct_message(arg, m);
	return true;
}

static void
list_directly(const char *directory, struct listing *l)
{
	static const enum queue_dir dirs[] = { QUEUE_INCOMING, QUEUE_ACTIVE,
		QUEUE_DEFERRED, QUEUE_HOLD };
	struct direct d = { .l = l, .dir = QUEUE_INCOMING };
	struct err e;

	if (queue_open(directory, NULL, &d.queue, &e) != 0)
		tool_fatal("%s", e.text);
	if (queue_unfiled_each(d.queue, direct_unfiled, &d, &e) != 0 &&
	    e.sysno != EACCES)
		tool_fatal("%s", e.text);
	for (size_t i = 0; i < COUNT_OF(dirs); i++) {
		d.dir = dirs[i];
		if (queue_scan(d.queue, d.dir, direct_file, &d, &e) == 0 ||
		    e.sysno == ENOENT)
			continue;
		if (e.sysno == EACCES)
			tool_fatal("Queue report unavailable - mail system "
				   "is down");
		tool_fatal("%s", e.text);
	}
	queue_close(&d.queue);
}

static void
list_queue(const char *directory, bool json)
{
	struct listing l = { 0 };
	struct err e;
	int fd;

	queue_list_init(&l.list, json);
	if (queue_tool_connect(directory, &fd, &e) == 0) {
		if (queue_tool_list(fd, false, list_one, &l, &e) != 0)
			tool_fatal("%s", e.text);
	} else {
		if (geteuid() == 0)
			tool_warning("Mail system is down -- accessing queue "
				     "directly (%s)",
			    e.text);
		list_directly(directory, &l);
	}
	queue_list_end(&l.list);
	put_out(&l.list);
	queue_list_release(&l.list);
}

/* ---- flush ---- */
static int
connect_or_die(const char *directory, const char *what)
{
	struct err e;
	int fd;

	if (queue_tool_connect(directory, &fd, &e) != 0)
		tool_fatal("Cannot flush %s - mail system is down", what);
	return fd;
}

static void
flush(int fd, struct span id)
{
	struct msg_out out;
	struct msg_in in;
	struct buf store;
	struct err e;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	msg_begin(&out, MSG_QUEUE_FLUSH, 1, queue_tool_trace());
	if (id.n > 0)
		msg_put(&out, F_QID, id);
	if (sync_call(fd, &out, &store, &in, TIMEOUT_MS, &e) != 0)
		tool_fatal("%s", e.text);
	msg_in_release(&in);
	msg_out_release(&out);
	buf_release(&store);
}

struct site {
	struct span domain;
	struct queue_ids ids;
};

static void
pick_site(void *arg, const struct queue_tool_message *m)
{
	struct site *s = arg;
	struct queue_tool_rcpt r;
	struct queue_id id;
	size_t cursor = 0, at;

	while (queue_tool_rcpt(m, &cursor, &r)) {
		at = span_rchr(r.address, '@');
		if (at == SIZE_MAX ||
		    !span_ieq(span_skip(r.address, at + 1), s->domain) ||
		    !queue_id_parse(m->id, &id))
			continue;
		queue_ids_add(&s->ids, id);
		return;
	}
}

static void
flush_site(int fd, const char *site)
{
	struct site s = { .domain = span_str(site) };
	struct err e;

	if (s.domain.n > 2 && site[0] == '[')
		s.domain = span_slice(s.domain, 1, s.domain.n - 1);
	if (queue_tool_list(fd, false, pick_site, &s, &e) != 0)
		tool_fatal("%s", e.text);
	for (size_t i = 0; i < s.ids.count; i++) {
		char text[QUEUE_ID_TEXT];

		queue_id_text(s.ids.ids[i], text);
		flush(fd, span_str(text));
	}
}

static void
run(enum mode mode, const char *directory, const char *arg)
{
	struct queue_id id;

	switch (mode) {
	case MODE_NONE:
		usage();
	case MODE_TEXT:
	case MODE_JSON:
		list_queue(directory, mode == MODE_JSON);
		break;
	case MODE_FLUSH:
		flush(connect_or_die(directory, "mail queue"), SPAN_EMPTY);
		break;
	case MODE_ID:
		if (!queue_id_parse(span_str(arg), &id))
			tool_fatal("Cannot flush queue ID - invalid name: "
				   "\"%s\"",
			    arg);
		flush(connect_or_die(directory, arg), span_str(arg));
		break;
	case MODE_SITE:
		if (arg[0] == '\0')
			tool_fatal("Cannot flush mail queue - invalid "
				   "destination: \"%s\"",
			    arg);
		flush_site(connect_or_die(directory, arg), arg);
		break;
	}
}

int
main(int argc, char *argv[])
{
	struct common_conf common;
	const char *dir = NULL, *arg = NULL;
	enum mode mode = MODE_NONE, one;
	int c;

	tool_init(argv[0], EX_UNAVAILABLE);
	while ((c = getopt(argc, argv, "c:fi:jps:v")) > 0) {
		one = MODE_NONE;
		switch (c) {
		case 'c':
			dir = optarg;
			break;
		case 'f':
			one = MODE_FLUSH;
			break;
		case 'i':
			one = MODE_ID;
			break;
		case 'j':
			one = MODE_JSON;
			break;
		case 'p':
			one = MODE_TEXT;
			break;
		case 's':
			one = MODE_SITE;
			break;
		case 'v':
			break;
		default:
			usage();
		}
		if (one == MODE_NONE)
			continue;
		if (mode != MODE_NONE)
			usage();
		mode = one;
		arg = optarg;
	}
	if (mode == MODE_NONE || optind < argc)
		usage();
	tool_conf(tool_conf_dir(dir), &common);
	run(mode, common.queue_directory, arg);
	if (fflush(stdout) != 0)
		tool_fatal("write error on standard output");
	return 0;
}
