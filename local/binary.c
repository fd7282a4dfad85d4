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
	uint64_t at = 0;

	while (at < d->content_size) {
		const uint64_t left = d->content_size - at;
		const ssize_t n = pread(d->fd, piece,
		    left < PIECE ? (size_t)left : PIECE,
		    (off_t)(d->content_at + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the message");
		if (n == 0)
			return err_set(e, ERR_TEMP, "4.3.0",
			    "the message's file ends early");
		downgrade_feed(g, span_of(piece, (size_t)n));
		at += (uint64_t)n;
	}
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
	close(d->fd);
	d->fd = o.fd;
	d->content_at = 0;
	d->content_size = o.size;
	return 0;
}
