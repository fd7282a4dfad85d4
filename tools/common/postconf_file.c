/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/postconf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/map/text_file.h"
#include "lib/os/fs.h"
#include "tools/common/tool.h"

void
postconf_file_read(struct postconf_file *f, const char *path, size_t max)
{
	struct err e;

	if (realpath(path, f->real) == NULL)
		tool_fatal("open %s: %s", path, strerror(errno));
	if (text_file_read(f->real, max, &f->text, &f->st, &e) < 0)
		tool_fatal("%s", e.text);
}

void
postconf_file_replace(struct postconf_file *f)
{
	char *slash = strrchr(f->real, '/');
	struct err e;

	*slash = '\0';
	const int dir = open(f->real[0] == '\0' ? "/" : f->real,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		tool_fatal("open %s: %s", f->real, strerror(errno));
	umask(0);
	if (fs_replace(dir, slash + 1, f->st.st_mode & 07777,
		buf_span(&f->text), &e) < 0)
		tool_fatal("%s", e.text);
	if (geteuid() == 0 && fchownat(dir, slash + 1, f->st.st_uid,
				  f->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		tool_warning(
		    "chown %s/%s: %s", f->real, slash + 1, strerror(errno));
	close(dir);
	buf_release(&f->text);
}
