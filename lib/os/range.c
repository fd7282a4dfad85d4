/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/range.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base/crc.h"

void
range_begin(struct range_reader *r, const struct range *range)
{
	*r = (struct range_reader){ .range = *range };
}

static int
damaged(struct err *e)
{
	err_set(e, ERR_TEMP, "4.3.0",
	    "the message is damaged: its content does not fit its checksum");
	if (e != NULL)
		e->sysno = EBADMSG;
	return -1;
}

ssize_t
range_read(struct range_reader *r, void *out, size_t size, struct err *e)
{
	const uint64_t left = r->range.size - r->done;
	ssize_t n;

	if (size > left)
		size = (size_t)left;
	if (left > 0) {
		do
			n = pread(r->range.fd, out, size,
			    (off_t)(r->range.at + r->done));
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return err_sys(e, "read the message");
		if (n == 0)
			return err_set(e, ERR_TEMP, "4.3.0",
			    "the message is shorter than it should be");
	} else {
		n = 0;
	}
	if (r->range.checked)
		r->crc = crc32c(r->crc, span_of(out, (size_t)n));
	r->done += (uint64_t)n;
	if (r->range.checked && r->done == r->range.size &&
	    r->crc != r->range.crc)
		return damaged(e);
	return n;
}
