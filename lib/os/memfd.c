/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

int
memfd_seal(const char *name, struct span bytes, int *out_fd, struct err *e)
{
	const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(e, "memfd %s", name);
	while (bytes.n > 0) {
		const ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto fail;
		bytes = span_skip(bytes, (size_t)n);
	}
	if (fcntl(fd, F_ADD_SEALS, SEALS) != 0)
		goto fail;
	*out_fd = fd;
	return 0;
fail:
	err_sys(e, "memfd %s", name);
	close(fd);
	return -1;
}

int
memfd_sealed(int fd, struct err *e)
{
	const int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return err_set(e, ERR_TEMP, "4.3.0", "not a sealed memfd");
	return 0;
}

int
memfd_read(int fd, size_t max, struct buf *out, struct err *e)
{
	struct stat st;
	uint8_t *room;
	ssize_t n;

	if (memfd_sealed(fd, e) != 0)
		return -1;
	if (fstat(fd, &st) != 0)
		return err_sys(e, "memfd");
	if ((size_t)st.st_size > max)
		return err_set(e, ERR_TEMP, "4.3.0", "memfd of %lld bytes",
		    (long long)st.st_size);
	room = buf_room(out, (size_t)st.st_size);
	if (room == NULL)
		return err_set(e, ERR_TEMP, "4.3.0", "no room for memfd");
	n = pread(fd, room, (size_t)st.st_size, 0);
	if (n != (ssize_t)st.st_size)
		return err_sys(e, "read memfd");
	buf_grown(out, (size_t)n);
	return 0;
}
