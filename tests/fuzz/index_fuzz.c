/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/crc.h"
#include "lib/base/mem.h"
#include "lib/store/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 128, RECORD = 64 };

/* Checksums that fit, so that more than they is tried. */
static void
seal(uint8_t *p, size_t n)
{
	const uint32_t crc = crc32c(0, span_of(p, n - 4));

	memcpy(p + n - 4, &crc, 4);
}

static void
use(int dir)
{
	struct index *ix = index_new(dir);
	const struct index_record r = { .uid = UINT32_MAX - 1 };
	uint32_t last = 0, at;

	BUG_ON(index_lock(ix, NULL) != 0);
	for (uint32_t i = 0; i < index_count(ix); i++) {
		BUG_ON(index_at(ix, i)->uid <= last);
		last = index_at(ix, i)->uid;
		BUG_ON(last >= index_head(ix)->uid_next);
		BUG_ON(!index_find(ix, last, &at) || at != i);
	}
	if (index_head(ix)->uid_merged < r.uid)
		index_add(ix, &r);
	BUG_ON(index_unlock(ix, NULL) != 0);
	index_free(&ix);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/chappe-fuzz-XXXXXX";
	uint8_t *copy = mem_alloc(size);
	int dir, fd;

	if (size > 0)
		memcpy(copy, data, size);
	if (size >= HEAD)
		seal(copy, HEAD);
	for (size_t at = HEAD; at + RECORD <= size; at += RECORD)
		seal(copy + at, RECORD);
	BUG_ON(mkdtemp(path) == NULL);
	dir = open(path, O_RDONLY | O_DIRECTORY);
	fd = openat(dir, "chappe.index", O_WRONLY | O_CREAT, 0600);
	BUG_ON(fd < 0 || write(fd, copy, size) != (ssize_t)size);
	close(fd);
	use(dir);
	use(dir);
	unlinkat(dir, "chappe.index", 0);
	close(dir);
	rmdir(path);
	mem_free(copy);
	return 0;
}
