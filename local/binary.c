/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/binary.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/proto/downgrade.h"

enum { PIECE = 65536 };

struct output {
	int fd;
	int failed; /* errno */
	uint64_t size;
};

static void
keep(void *arg, struct span bytes)
{
	struct output *o = arg;

	while (bytes.n > 0 && o->failed == 0) {
		const ssize_t n = write(o->fd, bytes.p, bytes.n);

		if (n < 0 && errno != EINTR)
			o->failed = errno;
		if (n <= 0)
			continue;
		o->size += (uint64_t)n;
		bytes = span_skip(bytes, (size_t)n);
	}
}

static int
read_all(const struct delivery *d, struct downgrade *g, struct err *e)
{
	uint8_t piece[PIECE];
	struct range_reader r;
	ssize_t n;

	range_begin(&r, &d->content);
	while ((n = range_read(&r, piece, PIECE, e)) > 0)
		downgrade_feed(g, span_of(piece, (size_t)n));
	if (n < 0)
		return -1;
	downgrade_end(g);
	return 0;
}

int
binary_encode(struct delivery *d, struct err *e)
{
	struct output o = { .fd = memfd_create("message", MFD_CLOEXEC) };
	struct downgrade *g;
	int result;

	if (o.fd < 0)
		return err_sys(e, "memory for a message");
	g = downgrade_new(keep, &o);
	result = read_all(d, g, e);
	downgrade_free(&g);
	if (result == 0 && o.failed != 0) {
		errno = o.failed;
		result = err_sys(e, "memory for a message");
	}
	if (result != 0) {
		close(o.fd);
		return -1;
	}
	close(d->content.fd);
	d->content = (struct range){ .fd = o.fd, .size = o.size };
	return 0;
}
