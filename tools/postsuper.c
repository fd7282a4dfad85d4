/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * postsuper: deletes, holds, releases and requeues mail. qmgr does it; while
 * it is down this command takes its lock and does it on the files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/queue_msg.h"
#include "lib/queue/recover.h"
#include "tools/common/queue_tool.h"
#include "tools/common/tool.h"

enum { TIMEOUT_MS = 600 * 1000, WISHES_MAX = 100 };

enum op { DELETE, EXPIRE, EXPIRE_NOW, HOLD, RELEASE, REQUEUE, OPS };

static const struct {
	char option;
	const char *name, *one, *total;
	bool in[QUEUE_DIRS]; /* where ALL looks */
} ops[OPS] = {
	[DELETE] = { 'd', QUEUE_OP_DELETE, "removed", "Deleted",
	    { [QUEUE_ACTIVE] = true,
		[QUEUE_DEFERRED] = true,
		[QUEUE_HOLD] = true } },
	[EXPIRE] = { 'e', QUEUE_OP_EXPIRE, "expired", "Force-expired",
	    { [QUEUE_ACTIVE] = true,
		[QUEUE_DEFERRED] = true,
		[QUEUE_HOLD] = true } },
	[EXPIRE_NOW] = { 'f', QUEUE_OP_EXPIRE_NOW, "expired", "Force-expired",
	    { [QUEUE_ACTIVE] = true,
		[QUEUE_DEFERRED] = true,
		[QUEUE_HOLD] = true } },
	[HOLD] = { 'h', QUEUE_OP_HOLD, "placed on hold", "Placed on hold",
	    { [QUEUE_ACTIVE] = true, [QUEUE_DEFERRED] = true } },
	[RELEASE] = { 'H', QUEUE_OP_RELEASE, "released from hold",
	    "Released from hold", { [QUEUE_HOLD] = true } },
	[REQUEUE] = { 'r', QUEUE_OP_REQUEUE, "requeued", "Requeued",
	    { [QUEUE_ACTIVE] = true,
		[QUEUE_DEFERRED] = true,
		[QUEUE_HOLD] = true } },
};

struct wish {
	enum op op;
	const char *what; /* an id, ALL or - */
};

static noreturn void
usage(void)
{
	tool_fatal("usage: postsuper [-c config_dir] [-d queue_id (delete)] "
		   "[-e queue_id (expire)] [-f queue_id (force-expire)] "
		   "[-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge "
		   "temporary files)] [-r queue_id (requeue)] [-s (structure "
		   "fix)] [-S (redundant structure fix)] [-v (verbose)] "
		   "[queue...]");
}

/* ---- through qmgr, or on the files ---- */
struct session {
	int fd;		     /* to qmgr, or -1 */
	struct queue *queue; /* while qmgr is down */
	bool only[QUEUE_DIRS];
	bool some; /* queues were named */
	unsigned long count[OPS];
};

static void
report(struct session *s, enum op op, const char *id)
{
	fprintf(stderr, "%s: %s: %s\n", tool_name(), id, ops[op].one);
	s->count[op]++;
}

static void
edit_by_qmgr(
    struct session *s, enum op op, const struct queue_id *ids, size_t count)
{
	struct msg_out out;
	struct msg_in in;
	struct buf store;
	struct span id;
	struct err e;
	size_t cursor = 0;
	char text[QUEUE_ID_TEXT];

	buf_init(&store, LIMIT_IPC_MESSAGE);
	msg_begin(&out, MSG_QUEUE_EDIT, 1, queue_tool_trace());
	msg_put_str(&out, F_OP, ops[op].name);
	for (size_t i = 0; i < count; i++) {
		queue_id_text(ids[i], text);
		msg_put_str(&out, F_QID, text);
	}
	if (sync_call(s->fd, &out, &store, &in, TIMEOUT_MS, &e) != 0) {
		if (e.kind == ERR_PERM)
			tool_fatal("use of this command is reserved for the "
				   "superuser");
		tool_fatal("%s", e.text);
	}
	while (msg_next_value(&in, F_QID, &cursor, &id))
		if (span_copy(id, text, sizeof(text)))
			report(s, op, text);
	msg_in_release(&in);
	msg_out_release(&out);
	buf_release(&store);
}

static int
edit_file(struct session *s, enum op op, struct queue_id id, enum queue_dir dir,
    struct err *e)
{
	switch (op) {
	case DELETE:
		return queue_remove_synced(s->queue, id, dir, e);
	case HOLD:
		return queue_move(s->queue, id, dir, QUEUE_HOLD, e);
	case RELEASE:
	case REQUEUE:
		return dir == QUEUE_ACTIVE
			   ? 0
			   : queue_move(s->queue, id, dir, QUEUE_ACTIVE, e);
	case EXPIRE:
	case EXPIRE_NOW:
	case OPS:
		break;
	}
	return err_set(
	    e, ERR_TEMP, "4.3.0", "expiring needs the mail system to be up");
}

static void
edit_directly(struct session *s, enum op op, struct queue_id id)
{
	char text[QUEUE_ID_TEXT];
	struct err e;
	int fd;

	queue_id_text(id, text);
	for (enum queue_dir d = 0; d < QUEUE_DIRS; d++) {
		if (!ops[op].in[d] ||
		    queue_open_file(s->queue, d, id, O_RDONLY, &fd, &e) != 0)
			continue;
		close(fd);
		if (edit_file(s, op, id, d, &e) != 0)
			tool_fatal("%s: %s", text, e.text);
		report(s, op, text);
		return;
	}
}

static void
edit(struct session *s, enum op op, const struct queue_ids *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (s->fd < 0) {
			edit_directly(s, op, l->ids[i]);
		} else if (i % QUEUE_EDIT_MAX == 0) {
			const size_t left = l->count - i;

			edit_by_qmgr(s, op, l->ids + i,
			    left < QUEUE_EDIT_MAX ? left : QUEUE_EDIT_MAX);
		}
	}
}

/* ---- which messages ---- */
struct all {
	struct session *session;
	enum op op;
	struct queue_ids ids;
};

static bool
dir_meant(const struct session *s, enum op op, enum queue_dir d)
{
	return ops[op].in[d] && (!s->some || s->only[d]);
}

static void
all_one(void *arg, const struct queue_tool_message *m)
{
	struct all *a = arg;
	struct queue_id id;

	for (enum queue_dir d = 0; d < QUEUE_DIRS; d++)
		if (span_eq(m->queue_name, span_str(queue_dir_name(d))) &&
		    dir_meant(a->session, a->op, d) &&
		    queue_id_parse(m->id, &id))
			queue_ids_add(&a->ids, id);
}

static bool
all_file(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct all *a = arg;

	(void)mtime_s;
	queue_ids_add(&a->ids, id);
	return true;
}

static void
collect_all(struct session *s, enum op op, struct queue_ids *out)
{
	struct all a = { .session = s, .op = op };
	struct err e;
	int ret = 0;

	if (s->fd >= 0)
		ret = queue_tool_list(s->fd, true, all_one, &a, &e);
	for (enum queue_dir d = 0; s->fd < 0 && d < QUEUE_DIRS && ret == 0; d++)
		if (dir_meant(s, op, d))
			ret = queue_scan(s->queue, d, all_file, &a, &e);
	if (ret != 0)
		tool_fatal("%s", e.text);
	*out = a.ids;
}

static void
add_id(struct queue_ids *l, struct span text)
{
	struct queue_id id;

	if (queue_id_parse(text, &id))
		queue_ids_add(l, id);
	else
		tool_warning("bad mail queue id: %.*s", SPAN_FMT(text));
}

static void
read_ids(struct queue_ids *l)
{
	char line[200];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		const struct span text = span_trim(span_str(line));

		if (text.n > 0)
			add_id(l, text);
	}
}

static void
fulfil(struct session *s, const struct wish *w)
{
	struct queue_ids l = { 0 };

	if (strcmp(w->what, "ALL") == 0)
		collect_all(s, w->op, &l);
	else if (strcmp(w->what, "-") == 0)
		read_ids(&l);
	else
		add_id(&l, span_str(w->what));
	edit(s, w->op, &l);
	mem_free(l.ids);
}

static void
open_session(struct session *s, const char *directory)
{
	struct err e;
	int lock;

	if (queue_tool_connect(directory, &s->fd, &e) == 0)
		return;
	s->fd = -1;
	if (queue_open(directory, NULL, &s->queue, &e) != 0)
		tool_fatal("%s", e.text);
	if (queue_lock(s->queue, false, &lock, &e) == 0) {
		/* Some may be in the journal only. */
		if (queue_recover_sealed(s->queue, &e) != 0)
			tool_fatal("%s", e.text);
		return;
	}
	if (e.sysno == EACCES)
		tool_fatal("use of this command is reserved for the "
			   "superuser");
	tool_fatal("%s", e.text);
}

static void
name_queue(struct session *s, const char *name)
{
	for (enum queue_dir d = 0; d < QUEUE_DIRS; d++) {
		if (strcmp(name, queue_dir_name(d)) != 0)
			continue;
		s->only[d] = s->some = true;
		return;
	}
	tool_fatal("invalid directory name: %s", name);
}

int
main(int argc, char *argv[])
{
	struct common_conf common;
	struct session s = { 0 };
	struct wish wishes[WISHES_MAX];
	const char *dir = NULL;
	size_t count = 0;
	enum op op;
	int c;

	tool_init(argv[0], 1);
	while ((c = getopt(argc, argv, "c:d:e:f:h:H:pr:sSv")) > 0) {
		if (c == 'c') {
			dir = optarg;
		} else if (c == '?') {
			usage();
		} else if (strchr("psSv", c) == NULL) {
			for (op = 0; ops[op].option != c; op++)
				;
			if (count == WISHES_MAX)
				tool_fatal("too many messages: use -");
			wishes[count++] = (struct wish){ op, optarg };
		}
	}
	for (; optind < argc; optind++)
		name_queue(&s, argv[optind]);
	tool_conf(tool_conf_dir(dir), &common);
	if (count == 0)
		return 0;
	open_session(&s, common.queue_directory);
	for (size_t i = 0; i < count; i++)
		fulfil(&s, &wishes[i]);
	for (size_t i = 0; i < count; i++) {
		op = wishes[i].op;
		if (s.count[op] == 0)
			continue;
		fprintf(stderr, "%s: %s: %lu message%s\n", tool_name(),
		    ops[op].total, s.count[op], s.count[op] == 1 ? "" : "s");
		s.count[op] = 0;
	}
	return 0;
}
