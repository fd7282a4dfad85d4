/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/server_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"
#include "lib/os/work.h"

enum { SAVE_MS = 30000, SAVE_S = SAVE_MS / 1000 };

static const char file_name[] = "table";

struct server_memory {
	struct loop *loop;
	struct shared_table *table;
	struct timer *timer;
	int dir_fd; /* -1: it can't be kept */
	struct work work;
	bool writes;
	bool saving;
	bool complained;
	struct err err; /* of the work */
	int ret;
};

static int64_t
now_s(void)
{
	return clock_wall_us() / 1000000;
}

/* ---- saving ---- */
static int
save(struct server_memory *m, struct err *e)
{
	struct buf file;
	int ret;

	buf_init(&file, SHARED_FILE_MAX);
	shared_table_save(m->table, now_s(), &file);
	ret = fs_replace(m->dir_fd, file_name, 0640, buf_span(&file), e);
	buf_release(&file);
	return ret;
}

static void
complain(struct server_memory *m, const struct err *e)
{
	if (!m->complained)
		log_warning(NULL, "what is known of clients is not kept: %s",
		    e->text);
	m->complained = true;
}

static void
save_run(struct work *w)
{
	struct server_memory *m = CONTAINER_OF(w, struct server_memory, work);

	m->ret = save(m, &m->err);
}

static void
save_done(struct work *w)
{
	struct server_memory *m = CONTAINER_OF(w, struct server_memory, work);

	m->saving = false;
	if (m->ret != 0)
		complain(m, &m->err);
}

static void
on_timer(void *arg)
{
	struct server_memory *m = arg;

	timer_start(m->timer, SAVE_MS);
	if (m->saving ||
	    !shared_table_turn(m->table, SERVER_JOB_SAVE, now_s(), SAVE_S) ||
	    !shared_table_changed(m->table))
		return;
	m->saving = true;
	m->work = (struct work){ .run = save_run, .done = save_done,
		.loop = m->loop };
	work_submit(m->loop, WORK_OTHER, &m->work);
}

/* ---- loading ---- */
/* What writers left that were killed; nobody else writes yet. */
static void
remove_leftovers(int dir_fd)
{
	const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, ".table.", 7) == 0)
			fs_unlink(dir_fd, entry->d_name, NULL);
	closedir(dir);
}

static void
load(struct server_memory *m)
{
	struct buf file;
	struct err e = { 0 };
	int ret = 0;

	buf_init(&file, SHARED_FILE_MAX);
	if (m->dir_fd >= 0) {
		if (m->writes)
			remove_leftovers(m->dir_fd);
		ret = fs_read_file(m->dir_fd, file_name, SHARED_FILE_MAX,
		    &file, &e);
		if (ret != 0 && e.sysno == ENOENT)
			ret = 0;
		else if (ret == 0 && buf_span(&file).n == 0)
			ret = err_set(&e, ERR_PERM, "5.3.0", "empty");
	}
	if (ret != 0)
		buf_reset(&file);
	if (shared_table_load(m->table, buf_span(&file), now_s(), &e) != 0)
		ret = -1;
	if (ret != 0)
		log_warning(NULL, "memory/%s: %s: what was known of clients "
		    "is forgotten", file_name, e.text);
	buf_release(&file);
}

int
server_memory_open(struct loop *loop, int fd, const char *queue_directory,
    bool writes, struct server_memory **out, struct err *e)
{
	struct server_memory *m;
	struct shared_table *table;
	char *path;

	if (fd < 0 && shared_table_create(&fd, e) != 0)
		return -1;
	if (shared_table_attach(fd, &table, e) != 0)
		return -1;
	m = MEM_NEW(m);
	m->loop = loop;
	m->table = table;
	m->writes = writes;
	path = mem_printf("%s/memory", queue_directory);
	m->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir_fd < 0) {
		err_sys(e, "open %s", path);
		complain(m, e);
	}
	mem_free(path);
	if (shared_table_must_load(table))
		load(m);
	m->timer = timer_new(loop, on_timer, m);
	if (m->dir_fd >= 0 && writes)
		timer_start(m->timer, SAVE_MS);
	*out = m;
	return 0;
}

struct shared_table *
server_memory_table(const struct server_memory *m)
{
	return m->table;
}

void
server_memory_close(struct server_memory **ref)
{
	struct server_memory *m = *ref;
	struct err e;

	if (m == NULL)
		return;
	timer_free(&m->timer);
	if (m->saving)
		work_finish(m->loop);
	if (m->dir_fd >= 0 && m->writes && shared_table_changed(m->table) &&
	    save(m, &e) != 0)
		complain(m, &e);
	if (m->dir_fd >= 0)
		close(m->dir_fd);
	shared_table_free(&m->table);
	mem_free(m);
	*ref = NULL;
}
