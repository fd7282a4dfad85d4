/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/ipc/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 64, TAIL = 128, PAGE = 4096, SIZE = 4096 };

/* The input is what a process has put into its ring: first the places, then
 * the records. The reader ends, within its limits. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ring *writer, *reader;
	struct ring_record r;
	uint8_t *memory;
	unsigned count = 0;
	int rc = 1;

	if (size < 16)
		return 0;
	BUG_ON(ring_new(SIZE, &writer, NULL) != 0);
	memory = mmap(NULL, PAGE + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
	    ring_memory_fd(writer), 0);
	BUG_ON(memory == MAP_FAILED);
	memcpy(memory + HEAD, data, 8);
	memcpy(memory + TAIL, data + 8, 8);
	for (size_t i = 16; i < size && i < SIZE; i++)
		memory[PAGE + ((data[8] | data[9] << 8) + i - 16) % SIZE] =
		    data[i];
	BUG_ON(ring_attach(dup(ring_memory_fd(writer)),
	    dup(ring_event_fd(writer)), &reader, NULL) != 0);
	while (rc == 1) {
		rc = ring_next(reader, &r, NULL);
		if (rc != 1)
			break;
		BUG_ON(r.text.n > LIMIT_LOG_LINE || r.qid.n > 15);
		BUG_ON(r.what.n > 64 || r.tag.n > 128);
		BUG_ON(++count > SIZE / 32);
	}
	ring_free(&reader);
	ring_free(&writer);
	munmap(memory, PAGE + SIZE);
	return 0;
}
