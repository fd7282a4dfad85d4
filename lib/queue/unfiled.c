/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/os/memfd.h"
#include "lib/queue/queue_int.h"

/* Messages that have no file, found in the journal by somebody who only
 * looks: nothing is changed, and qmgr may be at work meanwhile. */

struct search {
	struct queue *q;
	struct segment *segments;
	size_t count;
	struct table removed; /* ids */
	queue_unfiled_fn fn;
	void *arg;
	struct err *e;
	bool failed, enough;
};

static struct span
key_of(const struct queue_id *id)
{
	return span_of(&id->n, sizeof(id->n));
}

static void
open_one(void *arg, uint32_t number)
{
	struct search *s = arg;
	enum segment_state state;
	struct segment segment;
	struct err e;

	/* One may be gone by now; one without a head can't be read. */
	if (segment_open(s->q, number, &segment, &state, &e) != 0) {
		if (e.sysno == ENOENT || s->failed)
			return;
		s->failed = true;
		if (s->e != NULL)
			*s->e = e;
		return;
	}
	if (state != SEGMENT_HEADED) {
		segment_close(&segment);
		return;
	}
	s->segments =
	    mem_resize(s->segments, s->count + 1, sizeof(*s->segments));
	s->segments[s->count++] = segment;
}

static bool
note_removed(void *arg, const struct journal_record *r, uint64_t place)
{
	struct search *s = arg;

	(void)place;
	if (r->type == JOURNAL_REMOVED)
		table_put(&s->removed, key_of(&r->id), s);
	return true;
}

static bool
has_file(struct queue *q, struct queue_id id)
{
	int fd;

	for (enum queue_dir d = 0; d < QUEUE_DIRS; d++)
		if (queue_open_file(q, d, id, O_RDONLY, &fd, NULL) == 0) {
			close(fd);
			return true;
		}
	return false;
}

static bool
show_message(void *arg, const struct journal_record *r, uint64_t place)
{
	struct search *s = arg;
	struct queue_message *m;
	int fd;

	(void)place;
	if (r->type != JOURNAL_MESSAGE ||
	    table_get(&s->removed, key_of(&r->id)) != NULL ||
	    has_file(s->q, r->id))
		return true;
	if (memfd_seal("message", r->data, &fd, s->e) != 0) {
		s->failed = true;
		return false;
	}
	if (queue_message_from_fd(fd, true, &m, NULL) != 0) {
		close(fd);
		return true;
	}
	s->enough = !s->fn(s->arg, m);
	queue_message_close(&m);
	return !s->enough;
}

static int
scan_all(struct search *s, segment_fn fn)
{
	uint64_t end;

	for (size_t i = 0; i < s->count && !s->enough; i++)
		if (segment_scan(&s->segments[i], s->segments[i].head.mark, 0,
			fn, s, &end, s->e) != 0 ||
		    s->failed)
			return -1;
	return 0;
}

int
queue_unfiled_each(
    struct queue *q, queue_unfiled_fn fn, void *arg, struct err *e)
{
	struct search s = { .q = q, .fn = fn, .arg = arg, .e = e };
	int ret = -1;

	table_init(&s.removed);
	if (segment_list(q, open_one, &s, e) == 0 && !s.failed &&
	    scan_all(&s, note_removed) == 0 && scan_all(&s, show_message) == 0)
		ret = 0;
	for (size_t i = 0; i < s.count; i++)
		segment_close(&s.segments[i]);
	mem_free(s.segments);
	table_release(&s.removed);
	return ret;
}
