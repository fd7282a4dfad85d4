/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The queue file's records: what is accepted prints to something that reads
 * back the same; and a whole file from a descriptor never misleads. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/queue/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_rcpt(const struct record *r)
{
	struct queue_rcpt one, two;
	struct record again;
	struct buf b;
	size_t used;

	if (!record_rcpt_get(r, &one))
		return;
	buf_init(&b, 1 << 20);
	record_rcpt_put(&b, &one);
	BUG_ON(record_get(buf_span(&b), 1 << 20, &again, &used) != PARSE_OK);
	BUG_ON(!record_rcpt_get(&again, &two));
	BUG_ON(!span_eq(one.address, two.address));
	BUG_ON(!span_eq(one.orig_address, two.orig_address));
	BUG_ON(!span_eq(one.nexthop, two.nexthop));
	BUG_ON(one.flags != two.flags);
	buf_release(&b);
}

static void
check_notes(const struct record *r)
{
	struct record_notes n;
	struct record_notes_iter it = { 0 };
	struct queue_note note;
	uint32_t count = 0;

	if (!record_notes_get(r, &n))
		return;
	while (record_notes_next(&n, &it, &note))
		count++;
	BUG_ON(count > n.entries.n);
}

static void
check_records(struct span in)
{
	struct queue_envelope env;
	struct record r;
	size_t used;

	while (record_get(in, 1 << 20, &r, &used) == PARSE_OK) {
		BUG_ON(used == 0 || used > in.n);
		record_envelope_get(&r, &env);
		check_rcpt(&r);
		check_notes(&r);
		in = span_skip(in, used);
	}
	/* The frame's guard kept off: fields themselves. */
	r = (struct record){ RECORD_T_RCPT, ' ', in };
	check_rcpt(&r);
	r.type = RECORD_T_NOTES;
	check_notes(&r);
	r.type = RECORD_T_ENVELOPE;
	record_envelope_get(&r, &env);
}

static void
check_file(struct span in)
{
	const int fd = memfd_create("queue", MFD_CLOEXEC);
	struct queue_message *m;
	struct queue_rcpt rcpts[10];
	struct queue_rcpt_status states[10];
	uint32_t from = 0;
	int got;

	BUG_ON(fd < 0 || write(fd, in.p, in.n) != (ssize_t)in.n);
	if (queue_message_from_fd(fd, true, &m, NULL) != 0) {
		close(fd);
		return;
	}
	while (
	    (got = queue_message_rcpts(m, from, 10, rcpts, states, NULL)) > 0)
		from += (uint32_t)got;
	BUG_ON(got == 0 && from != m->rcpt_count);
	queue_message_close(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of(data, size);
	struct record_header h;

	if (record_header_get(in, &h) == PARSE_OK)
		BUG_ON(record_header_end(&h) < RECORD_HEADER);
	check_records(in);
	if (size >= RECORD_HEADER)
		check_file(in);
	return 0;
}
