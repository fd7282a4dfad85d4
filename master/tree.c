/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"

/* The table of docs/DESIGN.md, "The queue directory". */
enum owner { O_ROOT, O_MAIL, O_SMTPD, O_LOG, O_AUTH };
enum group { G_ROOT, G_MAIL, G_IPC, G_ADMIN };

static const struct directory {
	const char *name;
	enum owner owner;
	enum group group;
	mode_t mode;
	bool hashed;
} tree[] = {
	{ "maildrop", O_MAIL, G_MAIL, 03773, false },
	{ "incoming", O_SMTPD, G_MAIL, 02770, true },
	{ "active", O_SMTPD, G_MAIL, 02770, true },
	{ "deferred", O_MAIL, G_MAIL, 02770, true },
	{ "hold", O_SMTPD, G_MAIL, 02770, true },
	{ "corrupt", O_MAIL, G_MAIL, 02770, false },
	{ "journal", O_MAIL, G_MAIL, 02700, false },
	{ "public", O_ROOT, G_ROOT, 0755, false },
	{ "private", O_ROOT, G_IPC, 0750, false },
	{ "pid", O_ROOT, G_MAIL, 0775, false },
	{ "trace", O_LOG, G_ADMIN, 02750, false },
	{ "memory", O_SMTPD, G_MAIL, 02770, false },
	{ "auth", O_AUTH, G_ROOT, 0700, false },
};

struct ids {
	bool root;
	uid_t uids[O_AUTH + 1];
	gid_t gids[G_ADMIN + 1];
};

static int
find_ids(const struct common_conf *c, struct ids *out, struct err *e)
{
	struct priv_user mail, smtpd, log, auth;

	if (priv_lookup(c->mail_owner, &mail, e) != 0 ||
	    priv_lookup(c->smtpd_owner, &smtpd, e) != 0 ||
	    priv_lookup(c->log_owner, &log, e) != 0 ||
	    priv_lookup(c->auth_owner, &auth, e) != 0 ||
	    priv_lookup_group(c->ipc_group, &out->gids[G_IPC], e) != 0 ||
	    priv_lookup_group(c->admin_group, &out->gids[G_ADMIN], e) != 0)
		return -1;
	out->uids[O_MAIL] = mail.uid;
	out->uids[O_SMTPD] = smtpd.uid;
	out->uids[O_LOG] = log.uid;
	out->uids[O_AUTH] = auth.uid;
	out->gids[G_MAIL] = mail.gid;
	return 0;
}

/* Owner and mode of an open directory, as they should be. */
static int
put_right(
    int fd, const struct directory *d, const struct ids *ids, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_sys(e, "%s", d->name);
	if (ids->root && (st.st_uid != ids->uids[d->owner] ||
			     st.st_gid != ids->gids[d->group])) {
		if (fchown(fd, ids->uids[d->owner], ids->gids[d->group]) != 0)
			return err_sys(e, "owner of %s", d->name);
		st.st_mode = 0; /* the kernel may have cleared bits */
	}
	if ((st.st_mode & 07777) != d->mode && fchmod(fd, d->mode) != 0)
		return err_sys(e, "mode of %s", d->name);
	return 0;
}

/* Never through a symbolic link: the directory above may belong to one of
 * our daemons, which must not lead root elsewhere. */
static int
make(int parent, const char *name, const struct directory *d,
    const struct ids *ids, int *out_fd, struct err *e)
{
	int fd;

	if (mkdirat(parent, name, d->mode & 0700) != 0 && errno != EEXIST)
		return err_sys(e, "make directory %s", name);
	fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open directory %s", name);
	if (put_right(fd, d, ids, e) != 0) {
		close(fd);
		return -1;
	}
	*out_fd = fd;
	return 0;
}

static int
make_with_parts(
    int top, const struct directory *d, const struct ids *ids, struct err *e)
{
	int fd, part, ret;

	ret = make(top, d->name, d, ids, &fd, e);
	if (ret != 0)
		return -1;
	for (int i = 0; i < 16 && d->hashed && ret == 0; i++) {
		const char name[2] = { "0123456789ABCDEF"[i], '\0' };

		ret = make(fd, name, d, ids, &part, e);
		if (ret == 0)
			close(part);
	}
	close(fd);
	return ret;
}

/* Where verify keeps what it knows; anybody's, if it is there. A private
 * instance may well not be able to make it: verify says so when it writes. */
static int
make_data(const char *path, bool root, const struct ids *ids, struct err *e)
{
	if (path == NULL || path[0] != '/' || mkdir(path, 0700) != 0)
		return 0;
	if (root && chown(path, ids->uids[O_MAIL], ids->gids[G_MAIL]) != 0)
		return err_sys(e, "data_directory: owner of %s", path);
	return 0;
}

int
tree_make(const struct config *c, bool root, struct err *e)
{
	static const struct directory itself = { ".", O_ROOT, G_MAIL, 0755,
		false };
	const char *path = c->common.queue_directory;
	struct ids ids = { .root = root };
	int top, ret = 0;

	if (root && find_ids(&c->common, &ids, e) != 0)
		return -1;
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return err_sys(e, "queue_directory: make %s", path);
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_sys(e, "queue_directory: open %s", path);
	if (root)
		ret = put_right(top, &itself, &ids, e);
	for (size_t i = 0; i < COUNT_OF(tree) && ret == 0; i++)
		ret = make_with_parts(top, &tree[i], &ids, e);
	close(top);
	if (ret != 0)
		return err_wrap(e, "queue_directory %s", path);
	return make_data(conf_value(c->conf, "data_directory"), root, &ids, e);
}

/* The log daemon may not make files in /var/log: root makes those that are
 * missing, and gives them to it. Never one that a symbolic link names. */
static int
make_log_file(const char *path, uid_t uid, gid_t gid, struct err *e)
{
	int fd, ret = 0;

	if (path == NULL || path[0] != '/')
		return 0;
	fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0 || fchown(fd, uid, gid) != 0)
		ret = err_sys(e, "log file %s", path);
	if (fd >= 0)
		close(fd);
	return ret;
}

int
tree_make_logs(const struct config *c, struct err *e)
{
	struct ids ids;

	if (find_ids(&c->common, &ids, e) != 0 ||
	    make_log_file(c->common.maillog_file, ids.uids[O_LOG],
		ids.gids[G_ADMIN], e) != 0)
		return -1;
	return make_log_file(conf_value(c->conf, "maillog_json_file"),
	    ids.uids[O_LOG], ids.gids[G_ADMIN], e);
}
