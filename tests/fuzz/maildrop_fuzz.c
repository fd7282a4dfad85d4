/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/maildrop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is believed has no control bytes in its envelope, at least one
 * recipient, and as much content as it says. */
static void
check(struct maildrop_reader *r)
{
	uint8_t bytes[100];
	uint64_t total = 0;
	ssize_t n;

	BUG_ON(r->env.rcpt_count == 0);
	for (size_t i = 0; i < r->env.rcpt_count; i++)
		for (size_t j = 0; j < r->env.rcpts[i].n; j++)
			BUG_ON(r->env.rcpts[i].p[j] < ' ');
	while ((n = maildrop_read(r, bytes, sizeof(bytes), NULL)) > 0)
		total += (uint64_t)n;
	BUG_ON(n == 0 && total != r->content_size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int fd = memfd_create("input", MFD_CLOEXEC);
	struct maildrop_reader r;
	struct arena a;
	struct err e;

	BUG_ON(fd < 0 || write(fd, data, size) != (ssize_t)size);
	arena_init(&a, 2 * MAILDROP_ENVELOPE_MAX);
	if (maildrop_open(fd, size, &a, &r, &e) == 0)
		check(&r);
	arena_reset(&a);
	close(fd);
	return 0;
}
