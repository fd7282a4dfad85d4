/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/map/text_file.h"

#include <fcntl.h>
#include <unistd.h>

static int
read_all(int fd, const char *path, struct buf *out, struct err *e)
{
	for (;;) {
		size_t want = out->max - out->n;
		if (want > 65536)
			want = 65536;
		/* One byte beyond the maximum tells a file that is too long. */
		uint8_t probe;
		uint8_t *room = want > 0 ? buf_room(out, want) : &probe;
		ssize_t n = read(fd, room, want > 0 ? want : 1);
		if (n < 0)
			return err_sys(e, "read %s", path);
		if (n == 0)
			return 0;
		if (want == 0)
			return err_set(e, ERR_PERM, "4.3.5",
			    "%s: longer than %zu bytes", path, out->max);
		buf_grown(out, (size_t)n);
	}
}

int
text_file_read(const char *path, size_t max, struct buf *out,
    struct stat *out_stat, struct err *e)
{
	struct stat st;

	buf_init(out, max);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	int rc = fstat(fd, &st) < 0 ? err_sys(e, "stat %s", path) : 0;
	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = err_set(
		    e, ERR_PERM, "4.3.5", "open %s: not a regular file", path);
	if (rc == 0)
		rc = read_all(fd, path, out, e);
	close(fd);
	if (rc == 0 && out_stat != NULL)
		*out_stat = st;
	return rc;
}
