/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"

/* fd may be one that only names a directory. */
static int
sync_named(int fd, struct err *e)
{
	int rc, dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_sys(e, "open directory");
	rc = fs_sync_dir(dir, e);
	close(dir);
	return rc;
}

/* One step down; makes the directory if need be. What lies above the user's
 * mail may not be readable (Landlock, or a strict home): it is only passed
 * through. */
static int
descend(int *fd, const char *name, mode_t mode, struct err *e)
{
	const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	int next = openat(*fd, name, flags);
	struct err why = { 0 };

	if (next < 0 && errno == ENOENT) {
		if (fs_mkdir(*fd, name, mode, &why) != 0 &&
		    why.sysno != EEXIST) {
			*e = why;
			return -1;
		}
		if (why.sysno != EEXIST && sync_named(*fd, e) != 0)
			return -1;
		next = openat(*fd, name, flags);
	}
	if (next < 0)
		return err_sys(e, "%s", name);
	close(*fd);
	*fd = next;
	return 0;
}

int
path_make_dir(const char *path, mode_t mode, int *out_fd, struct err *e)
{
	struct err ignored;
	char *copy, *rest, *name;
	int fd, rc = 0;

	if (e == NULL)
		e = &ignored;
	/* The usual case: it is there. */
	*out_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*out_fd >= 0)
		return 0;
	if (errno != ENOENT)
		return err_sys(e, "%s", path);
	fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "/");
	copy = rest = mem_strdup(path);
	while (rc == 0 && (name = strsep(&rest, "/")) != NULL)
		if (*name != '\0')
			rc = descend(&fd, name, mode, e);
	mem_free(copy);
	if (rc == 0) {
		*out_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*out_fd < 0)
			rc = err_sys(e, "open directory");
	}
	close(fd);
	if (rc != 0)
		err_wrap(e, "%s", path);
	return rc;
}
