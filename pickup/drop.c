/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/mail/maildrop.h"
#include "lib/os/fs.h"
#include "lib/os/work.h"
#include "pickup/pickup.h"

enum {
	AT_ONCE = 8,           /* files taken in at a time */
	PER_USER = 50,         /* of one user in one round */
	ROUND_MAX = 1000,      /* of all */
	RUBBISH_MAX = 10000,   /* names remembered */
	AGAIN_MS = 60000,      /* after a temporary failure */
};

/* A file being taken in. */
struct drop {
	struct drop_dir *m;
	char name[40];
	uid_t owner;
	int fd;
	struct maildrop_reader reader;
	struct arena arena;
	struct work work; /* its removal */
	struct err err;
	bool remove_failed;
};

/* Who has had how many in this round. */
struct share {
	uid_t uid;
	unsigned files;
};

struct drop_dir {
	struct pickup *p;
	char *path;
	int dir_fd;
	gid_t group;
	bool check_group;
	int notify_fd;
	struct watch *watch;
	struct timer *timer, *retry;
	DIR *round;            /* the directory being gone through */
	unsigned taken;        /* files of this round */
	unsigned running;
	bool more;             /* somebody had more files than a share */
	bool again;            /* something happened during this round */
	bool closed;           /* said that hard links are unsafe */
	struct share *shares;
	size_t share_count;
	struct table rubbish;  /* names that were complained about */
	struct table busy;     /* names being taken in */
};

static void go_on(struct drop_dir *m);

/* ---- one file -------------------------------------------------------------- */

static void
drop_free(struct drop *d)
{
	struct drop_dir *m = d->m;

	table_remove(&m->busy, span_str(d->name));
	if (d->fd >= 0)
		close(d->fd);
	arena_reset(&d->arena);
	mem_free(d);
	m->running--;
	go_on(m);
}

static void
complain(struct drop_dir *m, const char *name, const char *why)
{
	if (m->rubbish.count >= RUBBISH_MAX ||
	    table_get(&m->rubbish, span_str(name)) != NULL)
		return;
	table_put(&m->rubbish, span_str(name), m);
	log_warning(NULL, "maildrop/%s: %s -- left alone",
	    log_quote(span_str(name), 100), why);
}

static void
remove_file(struct work *w)
{
	struct drop *d = CONTAINER_OF(w, struct drop, work);

	/* The directory too: a name that came back after a power cut would
	 * be a second copy. */
	d->remove_failed =
	    fs_unlink(d->m->dir_fd, d->name, &d->err) != 0 ||
	    fs_sync_dir(d->m->dir_fd, &d->err) != 0;
}

static void
removed(struct work *w)
{
	struct drop *d = CONTAINER_OF(w, struct drop, work);

	/* It is in the queue; were it taken in again it would come twice. */
	if (d->remove_failed)
		complain(d->m, d->name, d->err.text);
	d->m->p->intakes--;
	pickup_maybe_exit(d->m->p);
	drop_free(d);
}

static void
taken_in(void *arg, struct queue_id id, const struct err *e)
{
	struct drop *d = arg;
	struct loop *loop = daemon_loop(d->m->p->daemon);

	(void)id;
	if (e == NULL) {
		d->m->p->intakes++; /* until it is removed */
		d->work.run = remove_file;
		d->work.done = removed;
		d->work.loop = loop;
		work_submit(loop, WORK_NAME, &d->work);
		return;
	}
	if (e->kind == ERR_PERM) {
		complain(d->m, d->name, e->text);
	} else {
		log_warning(NULL, "maildrop/%s: %s -- trying again later",
		    d->name, e->text);
		timer_start(d->m->retry, AGAIN_MS);
	}
	drop_free(d);
}

static ssize_t
read_content(void *arg, void *out, size_t size, struct err *e)
{
	return maildrop_read(&((struct drop *)arg)->reader, out, size, e);
}

static struct intake_rcpt *
rcpts_of(struct drop *d)
{
	const struct maildrop_envelope *env = &d->reader.env;
	struct intake_rcpt *r =
	    arena_alloc(&d->arena, env->rcpt_count * sizeof(*r));

	for (size_t i = 0; i < env->rcpt_count; i++)
		r[i].address = r[i].orig_address = env->rcpts[i];
	return r;
}

static void
take_in(struct drop *d)
{
	const struct maildrop_envelope *env = &d->reader.env;
	const struct intake_spec spec = {
		.sender = env->sender,
		.rcpts = rcpts_of(d),
		.rcpt_count = env->rcpt_count,
		.dsn_notify = env->dsn_notify,
		.dsn_ret = env->dsn_ret,
		.dsn_envid = env->dsn_envid,
		.eight_bit = env->eight_bit,
		.uid = (int64_t)d->owner,
		.trace = log_trace_new() | 1,
		.submission = true,
		.read = read_content,
		.done = taken_in,
		.arg = d,
	};

	intake_start(d->m->p, &spec);
}

/* ---- which files ------------------------------------------------------------- */

/* NULL when the file may be taken, else why not. */
static const char *
fault_of(const struct drop_dir *m, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (st->st_nlink != 1)
		return "has several names";
	if (m->check_group && st->st_gid != m->group)
		return "not of our group";
	return NULL;
}

/* False when this user has had enough for this round. */
static bool
take_share(struct drop_dir *m, uid_t uid)
{
	size_t i = 0;

	while (i < m->share_count && m->shares[i].uid != uid)
		i++;
	if (i == m->share_count) {
		m->shares = mem_resize(m->shares, ++m->share_count,
		    sizeof(*m->shares));
		m->shares[i] = (struct share){ .uid = uid };
	}
	return m->shares[i].files++ < PER_USER;
}

static int
open_file(struct drop *d, const char *name, struct err *e)
{
	const int64_t size_max =
	    daemon_common(d->m->p->daemon)->message_size_limit;
	const char *fault;
	struct stat st;

	d->fd = openat(d->m->dir_fd, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st) != 0)
		return err_set(e, errno == ENOENT ? ERR_TEMP : ERR_PERM,
		    "4.3.0", "%s", strerror(errno));
	fault = fault_of(d->m, &st);
	if (fault != NULL)
		return err_set(e, ERR_PERM, "5.6.0", "%s", fault);
	d->owner = st.st_uid;
	if (!take_share(d->m, d->owner)) {
		d->m->more = true;
		return err_set(e, ERR_TEMP, "4.3.0", "next round");
	}
	if (maildrop_open(d->fd, (uint64_t)st.st_size, &d->arena, &d->reader,
	    e) != 0)
		return -1;
	if (size_max > 0 && d->reader.content_size > (uint64_t)size_max)
		return err_set(e, ERR_PERM, "5.3.4", "too large");
	return 0;
}

static void
consider(struct drop_dir *m, const char *name)
{
	struct drop *d;
	struct err e;

	if (!maildrop_name_ok(name) ||
	    table_get(&m->busy, span_str(name)) != NULL ||
	    table_get(&m->rubbish, span_str(name)) != NULL)
		return;
	d = MEM_NEW(d);
	d->m = m;
	d->fd = -1;
	arena_init(&d->arena, 2 * MAILDROP_ENVELOPE_MAX);
	snprintf(d->name, sizeof(d->name), "%s", name);
	if (open_file(d, name, &e) == 0) {
		m->running++;
		m->taken++;
		table_put(&m->busy, span_str(name), d);
		take_in(d);
		return;
	}
	if (e.kind == ERR_PERM)
		complain(m, name, e.text);
	if (d->fd >= 0)
		close(d->fd);
	arena_reset(&d->arena);
	mem_free(d);
}

/* ---- rounds ------------------------------------------------------------------- */

static void
end_round(struct drop_dir *m)
{
	closedir(m->round);
	m->round = NULL;
	mem_free(m->shares);
	m->shares = NULL;
	m->share_count = 0;
	if (m->again || (m->more && m->taken > 0))
		timer_start(m->timer, 0);
}

static void
go_on(struct drop_dir *m)
{
	const struct dirent *entry;

	if (m->round == NULL)
		return;
	while (m->running < AT_ONCE && m->taken < ROUND_MAX &&
	    !daemon_leaving(m->p->daemon)) {
		entry = readdir(m->round);
		if (entry == NULL) {
			end_round(m);
			return;
		}
		consider(m, entry->d_name);
	}
	if (m->taken >= ROUND_MAX && m->running == 0) {
		m->more = true;
		end_round(m);
	}
}

static void
start_round(void *arg)
{
	struct drop_dir *m = arg;
	int fd;

	if (m->round != NULL) {
		m->again = true;
		return;
	}
	if (daemon_leaving(m->p->daemon))
		return;
	if (!maildrop_links_safe()) {
		if (!m->closed)
			log_warning(NULL, "fs.protected_hardlinks is 0: "
			    "maildrop stays closed");
		m->closed = true;
		return;
	}
	fd = openat(m->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	m->round = fd >= 0 ? fdopendir(fd) : NULL;
	if (m->round == NULL) {
		log_warning(NULL, "open maildrop: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	m->taken = 0;
	m->more = m->again = false;
	go_on(m);
}

/* A name appeared in the directory: which one is told by looking. */
static void
on_notify(void *arg, int events)
{
	struct drop_dir *m = arg;
	char bytes[4096];

	(void)events;
	while (read(m->notify_fd, bytes, sizeof(bytes)) > 0)
		;
	drop_dir_look(m);
}

void
drop_dir_look(struct drop_dir *m)
{
	timer_start(m->timer, 0);
}

static void
watch_directory(struct drop_dir *m)
{
	m->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (m->notify_fd < 0 ||
	    inotify_add_watch(m->notify_fd, m->path, IN_MOVED_TO) < 0) {
		log_warning(NULL, "watch maildrop: %s; waking up by time only",
		    strerror(errno));
		return;
	}
	m->watch = watch_new(daemon_loop(m->p->daemon), m->notify_fd,
	    on_notify, m);
	watch_set(m->watch, WATCH_READ);
}

struct drop_dir *
drop_dir_new(struct pickup *p, struct err *e)
{
	const struct common_conf *c = daemon_common(p->daemon);
	struct drop_dir *m = MEM_NEW(m);
	struct priv_user owner;

	m->p = p;
	m->notify_fd = -1;
	m->check_group = !daemon_private(p->daemon);
	m->path = mem_printf("%s/maildrop", c->queue_directory);
	m->dir_fd = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir_fd < 0)
		err_sys(e, "%s", m->path);
	if (m->dir_fd < 0 ||
	    (m->check_group && priv_lookup(c->mail_owner, &owner, e) != 0)) {
		drop_dir_free(&m);
		return NULL;
	}
	m->group = m->check_group ? owner.gid : 0;
	table_init(&m->rubbish);
	table_init(&m->busy);
	m->timer = timer_new(daemon_loop(p->daemon), start_round, m);
	m->retry = timer_new(daemon_loop(p->daemon), start_round, m);
	watch_directory(m);
	return m;
}

void
drop_dir_free(struct drop_dir **m)
{
	if (*m == NULL)
		return;
	watch_free(&(*m)->watch);
	timer_free(&(*m)->timer);
	timer_free(&(*m)->retry);
	if ((*m)->round != NULL)
		closedir((*m)->round);
	if ((*m)->notify_fd >= 0)
		close((*m)->notify_fd);
	if ((*m)->dir_fd >= 0)
		close((*m)->dir_fd);
	table_release(&(*m)->rubbish);
	table_release(&(*m)->busy);
	mem_free((*m)->shares);
	mem_free((*m)->path);
	mem_free(*m);
	*m = NULL;
}
