/* SPDX-License-Identifier: GPL-3.0-or-later */
/* postcat: shows queue files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/queue/recover.h"
#include "tools/common/queue_tool.h"
#include "tools/common/tool.h"

enum { RCPTS = 100, CHUNK = 1 << 16 };

enum part { PART_ENVELOPE = 1, PART_HEADER = 2, PART_BODY = 4 };

static noreturn void
usage(void)
{
	tool_fatal("usage: postcat [-b (body text)] [-c config_dir] [-d "
		   "(decimal record type)] [-e (envelope records)] [-f "
		   "(file names)] [-h (header text)] [-q (access queue)] [-v] "
		   "[file(s)...]");
}

/* ---- envelope ---- */
static void
put_time(const char *name, int64_t us)
{
	const time_t at = (time_t)(us / 1000000);
	struct tm tm;
	char text[40];

	localtime_r(&at, &tm);
	strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
	printf("%s: %s\n", name, text);
}

static void
put_named(const char *name, struct span value)
{
	if (value.n > 0)
		printf("named_attribute: %s=%.*s\n", name, SPAN_FMT(value));
}

static void
put_facts(const struct queue_message *m)
{
	const struct queue_envelope *e = &m->env;

	printf("message_size: %15llu %15llu %15u %15d %15llu %15d\n",
	    (unsigned long long)m->content_size,
	    (unsigned long long)m->content_at, m->rcpt_count, 0,
	    (unsigned long long)m->content_size, e->smtputf8);
	put_time("message_arrival_time", e->arrival_us);
	put_time("create_time", e->arrival_us);
	put_named("log_message_origin", e->client_name);
	put_named("log_client_name", e->client_name);
	put_named("log_client_address", e->client_addr);
	put_named("log_helo_name", e->helo);
	put_named("log_protocol_name", e->protocol);
	put_named("sasl_username", e->sasl_user);
	put_named("sasl_method", e->sasl_method);
	put_named("message_id", e->message_id);
	put_named("encoding", e->encoding);
	put_named("envelope_id", e->dsn_envid);
	if (m->tries > 0)
		printf("named_attribute: tries=%u\n", m->tries);
	printf("sender: %.*s\n", SPAN_FMT(e->sender));
}

static void
put_rcpt(const struct queue_rcpt *r, const struct queue_rcpt_status *s)
{
	if (r->dsn_orcpt.n > 0)
		put_named("dsn_orig_rcpt", r->dsn_orcpt);
	if (r->dsn_notify != 0)
		printf("named_attribute: notify_flags=%u\n", r->dsn_notify);
	if (r->transport.n > 0)
		printf("named_attribute: route=%.*s:%.*s\n",
		    SPAN_FMT(r->transport), SPAN_FMT(r->nexthop));
	printf("original_recipient: %.*s\n", SPAN_FMT(r->orig_address));
	printf("%s: %.*s\n",
	    s->state == RCPT_TODO ? "recipient" : "done_recipient",
	    SPAN_FMT(r->address));
}

static void
put_envelope(struct queue_message *m)
{
	struct queue_rcpt r[RCPTS];
	struct queue_rcpt_status s[RCPTS];
	struct err e;
	uint32_t from = 0;
	int got;

	put_facts(m);
	while ((got = queue_message_rcpts(m, from, RCPTS, r, s, &e)) > 0) {
		for (int i = 0; i < got; i++)
			put_rcpt(&r[i], &s[i]);
		from += (uint32_t)got;
	}
	if (got < 0)
		tool_fatal("%s", e.text);
}

/* ---- content ---- */
struct content {
	unsigned parts;
	bool in_body; /* behind the empty line */
	bool line_begins;
	bool held_cr; /* a CR whose LF has not come yet */
};

static void
put_byte(struct content *c, uint8_t byte)
{
	const unsigned part = c->in_body ? PART_BODY : PART_HEADER;

	if (byte == '\n' && c->line_begins && !c->in_body) {
		c->in_body = true;
		if ((c->parts & PART_HEADER) != 0 &&
		    (c->parts & PART_BODY) != 0)
			putchar('\n');
		return;
	}
	c->line_begins = byte == '\n';
	if ((c->parts & part) != 0)
		putchar(byte);
}

static void
put_bytes(struct content *c, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (c->held_cr && s.p[i] != '\n')
			put_byte(c, '\r');
		c->held_cr = s.p[i] == '\r';
		if (!c->held_cr)
			put_byte(c, s.p[i]);
	}
}

static void
put_content(const struct queue_message *m, unsigned parts)
{
	struct content c = { .parts = parts, .line_begins = true };
	uint8_t *chunk = mem_alloc(CHUNK);
	uint64_t at = m->content_at;
	const uint64_t end = m->content_at + m->content_size;

	while (at < end) {
		const size_t want =
		    end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		const ssize_t n = pread(m->fd, chunk, want, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			tool_fatal("read error: %s", strerror(errno));
		put_bytes(&c, span_of(chunk, (size_t)n));
		at += (uint64_t)n;
	}
	mem_free(chunk);
}

static void
show(struct queue_message *m, const char *name, unsigned parts)
{
	const bool envelope = (parts & PART_ENVELOPE) != 0;

	if (envelope) {
		printf("*** ENVELOPE RECORDS %s ***\n", name);
		put_envelope(m);
		printf("*** MESSAGE CONTENTS %s ***\n", name);
	}
	put_content(m, parts);
	if (envelope) {
		printf("*** HEADER EXTRACTED %s ***\n", name);
		printf("*** MESSAGE FILE END %s ***\n", name);
	}
}

/* ---- which files ---- */
static void
show_file(const char *name, unsigned parts)
{
	struct queue_message *m;
	struct err e;
	const int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		tool_fatal("open %s: %s", name, strerror(errno));
	if (queue_message_from_fd(fd, true, &m, &e) != 0)
		tool_fatal("%s: %s", name, e.text);
	show(m, name, parts);
	queue_message_close(&m);
}

/* False: there is no such file. */
static bool
show_queued(
    struct queue *q, struct queue_id id, const char *text, unsigned parts)
{
	struct queue_message *m;
	struct err e;
	char name[64];

	for (enum queue_dir d = 0; d < QUEUE_DIRS; d++) {
		if (queue_message_open(q, d, id, O_RDONLY, true, &m, &e) != 0) {
			/* In incoming/ it may be half written. */
			if (e.sysno == ENOENT || d == QUEUE_INCOMING)
				continue;
			tool_fatal("open queue file %s: %s", text, e.text);
		}
		if (d == QUEUE_CORRUPT)
			snprintf(name, sizeof(name), "%s/%s", queue_dir_name(d),
			    text);
		else
			snprintf(name, sizeof(name), "%s/%c/%s",
			    queue_dir_name(d), queue_id_dir(id), text);
		show(m, name, parts);
		queue_message_close(&m);
		return true;
	}
	return false;
}

/* One that has no file yet. */
struct unfiled {
	struct queue_id id;
	const char *text;
	unsigned parts;
	bool shown;
};

static bool
show_unfiled(void *arg, struct queue_message *m)
{
	struct unfiled *u = arg;
	char name[64];

	if (m->id.n != u->id.n)
		return true;
	snprintf(name, sizeof(name), "journal/%s", u->text);
	show(m, name, u->parts);
	u->shown = true;
	return false;
}

static void
show_id(struct queue *q, const char *text, unsigned parts)
{
	struct unfiled u = { .text = text, .parts = parts };
	struct err e;

	if (!queue_id_parse(span_str(text), &u.id))
		tool_fatal("bad mail queue ID: %s", text);
	if (show_queued(q, u.id, text, parts))
		return;
	if (queue_unfiled_each(q, show_unfiled, &u, &e) != 0)
		tool_fatal("journal: %s", e.text);
	/* Perhaps it got its file meanwhile. */
	if (!u.shown && !show_queued(q, u.id, text, parts))
		tool_fatal(
		    "open queue file %s: No such file or directory", text);
}

int
main(int argc, char *argv[])
{
	struct common_conf common;
	struct queue *q;
	struct err e;
	const char *dir = NULL;
	unsigned parts = 0;
	bool by_id = false;
	int c;

	tool_init(argv[0], 1);
	while ((c = getopt(argc, argv, "bc:defhoqrs:v")) > 0) {
		if (c == 'b')
			parts |= PART_BODY;
		else if (c == 'c')
			dir = optarg;
		else if (c == 'e')
			parts |= PART_ENVELOPE;
		else if (c == 'h')
			parts |= PART_HEADER;
		else if (c == 'q')
			by_id = true;
		else if (c == '?')
			usage();
	}
	if (parts == 0)
		parts = PART_ENVELOPE | PART_HEADER | PART_BODY;
	if (!by_id) {
		if (optind == argc)
			show_file("/dev/stdin", parts);
		for (; optind < argc; optind++)
			show_file(argv[optind], parts);
	} else {
		tool_conf(tool_conf_dir(dir), &common);
		if (queue_open(common.queue_directory, NULL, &q, &e) != 0)
			tool_fatal("%s", e.text);
		for (; optind < argc; optind++)
			show_id(q, argv[optind], parts);
		queue_close(&q);
	}
	if (fflush(stdout) != 0)
		tool_fatal("write error on standard output");
	return 0;
}
