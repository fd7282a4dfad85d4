/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/quotas.h"

#include <errno.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"
#include "lib/os/work.h"

static const char file_name[] = "over-quota";

enum { FILE_MAX = 16 << 20, USERS_MAX = 50000 };

struct quotas {
	struct loop *loop;
	int dir_fd;
	struct table full; /* user -> this */
	struct work work;
	struct buf text; /* on its way */
	bool dirty, writing;
	int result;
	struct err err;
};

static void
read_file(struct quotas *q)
{
	struct buf text;
	struct span rest, line;
	struct err e;

	buf_init(&text, FILE_MAX);
	if (fs_read_file(q->dir_fd, file_name, FILE_MAX, &text, &e) != 0 &&
	    e.sysno != ENOENT)
		log_warning(NULL, "users over quota: %s", e.text);
	rest = buf_span(&text);
	while (span_token(&rest, "\n", &line) && q->full.count < USERS_MAX)
		table_put(&q->full, line, q);
	buf_release(&text);
}

static void
write_file(struct work *w)
{
	struct quotas *q = CONTAINER_OF(w, struct quotas, work);

	q->result = fs_replace(
	    q->dir_fd, file_name, 0600, buf_span(&q->text), &q->err);
}

static void
written(struct work *w)
{
	struct quotas *q = CONTAINER_OF(w, struct quotas, work);

	q->writing = false;
	if (q->result != 0)
		log_warning(NULL, "users over quota: %s", q->err.text);
	quotas_flush(q);
}

bool
quotas_flush(struct quotas *q)
{
	struct table_iter it;
	struct span user;
	void *value;

	if (q->writing || !q->dirty || q->dir_fd < 0)
		return !q->writing;
	buf_reset(&q->text);
	table_iter_init(&q->full, &it);
	while (table_iter_next(&q->full, &it, &user, &value)) {
		buf_add(&q->text, user);
		buf_byte(&q->text, '\n');
	}
	q->dirty = false;
	q->writing = true;
	q->work = (struct work){ .run = write_file, .done = written };
	work_submit(q->loop, WORK_FLUSH, &q->work);
	return false;
}

bool
quotas_full(const struct quotas *q, const char *user)
{
	return table_get(&q->full, span_str(user)) != NULL;
}

void
quotas_set(struct quotas *q, const char *user, bool full)
{
	const struct span name = span_str(user);

	if (full == quotas_full(q, user) ||
	    (full && q->full.count >= USERS_MAX))
		return;
	if (full)
		table_put(&q->full, name, q);
	else
		table_remove(&q->full, name);
	log_info(NULL, "user=<%s>: quota: %s", log_quote(name, 200),
	    full ? "the mailbox is full" : "there is room again");
	q->dirty = true;
	quotas_flush(q);
}

struct quotas *
quotas_new(struct loop *loop, int dir_fd)
{
	struct quotas *q = MEM_NEW(q);

	q->loop = loop;
	q->dir_fd = dir_fd;
	table_init(&q->full);
	buf_init(&q->text, FILE_MAX);
	if (dir_fd >= 0)
		read_file(q);
	return q;
}
