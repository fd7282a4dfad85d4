/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/app_uses.h"

#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/mail/app_password.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"
#include "lib/os/work.h"

enum { FILE_MAX = 16 << 20, WRITE_MS = 2000, USES_MAX = 100000 };

struct app_uses {
	struct loop *loop;
	int dir_fd;
	struct table lines; /* "user name" -> the line, heap */
	struct timer *timer;
	struct work work;
	struct buf text; /* on its way */
	bool dirty, writing;
	int result;
	struct err err;
};

static void
put_line(struct app_uses *u, const struct app_password_use *use)
{
	struct buf key, line;

	buf_init(&key, 1024);
	buf_init(&line, 1024);
	buf_add(&key, use->user);
	buf_byte(&key, ' ');
	buf_add(&key, use->name);
	app_password_use_print(use, &line);
	if (line.n > 0 && buf_ok(&line) &&
	    (u->lines.count < USES_MAX ||
		table_get(&u->lines, buf_span(&key)) != NULL))
		mem_free(table_put(&u->lines, buf_span(&key),
		    span_dup(buf_span(&line))));
	buf_release(&key);
	buf_release(&line);
}

static void
read_file(struct app_uses *u)
{
	struct app_password_use use;
	struct span rest, line;
	struct buf text;
	struct err e;

	buf_init(&text, FILE_MAX);
	if (fs_read_file(u->dir_fd, APP_PASSWORD_USES, FILE_MAX, &text, &e) <
		0 && e.sysno != ENOENT)
		log_warning(NULL, "last uses of app passwords: %s", e.text);
	rest = buf_span(&text);
	while (span_token(&rest, "\n", &line))
		if (app_password_use_parse(line, &use))
			put_line(u, &use);
	buf_release(&text);
}

/* ---- writing ---- */

static void
write_file(struct work *w)
{
	struct app_uses *u = CONTAINER_OF(w, struct app_uses, work);

	u->result = fs_replace(u->dir_fd, APP_PASSWORD_USES, 0600,
	    buf_span(&u->text), &u->err);
}

static void
written(struct work *w)
{
	struct app_uses *u = CONTAINER_OF(w, struct app_uses, work);

	u->writing = false;
	buf_release(&u->text);
	if (u->result < 0) {
		log_warning(
		    NULL, "last uses of app passwords: %s", u->err.text);
		return;
	}
	if (u->dirty)
		timer_start(u->timer, WRITE_MS);
}

bool
app_uses_flush(struct app_uses *u)
{
	struct table_iter it;
	struct span key;
	void *value;

	if (u->writing || !u->dirty || u->dir_fd < 0)
		return !u->writing;
	table_iter_init(&u->lines, &it);
	while (table_iter_next(&u->lines, &it, &key, &value))
		buf_str(&u->text, value);
	u->dirty = false;
	u->writing = true;
	u->work = (struct work){ .run = write_file, .done = written };
	work_submit(u->loop, WORK_FLUSH, &u->work);
	return false;
}

static void
on_timer(void *arg)
{
	app_uses_flush(arg);
}

void
app_uses_note(struct app_uses *u, const struct login_facts *f)
{
	const struct app_password_use use = {
		.time_s = clock_wall_us() / 1000000,
		.user = span_str(f->user),
		.name = span_str(f->app),
		.service = span_str(f->service),
		.addr = span_str(f->addr),
	};

	put_line(u, &use);
	u->dirty = true;
	if (!u->writing && !timer_active(u->timer))
		timer_start(u->timer, WRITE_MS);
}

struct app_uses *
app_uses_new(struct loop *loop, int dir_fd)
{
	struct app_uses *u = MEM_NEW(u);

	u->loop = loop;
	u->dir_fd = dir_fd;
	table_init(&u->lines);
	buf_init(&u->text, 2 * FILE_MAX);
	u->timer = timer_new(loop, on_timer, u);
	if (dir_fd >= 0)
		read_file(u);
	return u;
}
