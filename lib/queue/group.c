/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/group.h"

#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/queue/journal.h"

enum {
	PIECES = 3, /* of an entry: frame, file, padding */
	BATCH = FS_PIECES / PIECES,
	BATCH_BYTES = 4 << 20,
	ASK_MS = 1000, /* after a refusal */
};

struct group {
	struct loop *loop;
	const struct queue_group_ops *ops;
	void *arg;
	struct queue_segment now, next; /* fd -1: none */
	uint64_t at;			/* in `now`: where the next goes */
	bool asked, refused;
	struct timer *again, *start;
	struct list waiting, batch; /* struct group_entry */
	struct work work;
	bool busy;
	/* between thread and loop */
	uint64_t end;
	bool broken; /* the segment takes no more */
	/* whose `done` is being called */
	const struct group_entry *current;
};

/* ---- in a thread ---- */
static void
fail_all(struct group *g, const struct err *e)
{
	LIST_EACH(&g->batch, link)
	{
		struct group_entry *entry =
		    CONTAINER_OF(link, struct group_entry, link);

		if (entry->failed)
			continue;
		entry->failed = true;
		entry->e = *e;
		entry->undo(entry);
	}
}

/* What was appended and then not flushed may be durable all the same. It was
 * never answered: the records must not be found. */
static void
take_back(struct group *g)
{
	static const uint8_t zeros[JOURNAL_FRAME];

	if (fs_pwrite(g->now.fd, span_of(zeros, sizeof(zeros)), (off_t)g->at,
		NULL) == 0)
		fs_datasync(g->now.fd, NULL);
}

/* The pieces of all entries that could be made; returns how many. */
static size_t
compose(struct group *g, struct iovec *pieces, uint8_t (*frames)[JOURNAL_FRAME])
{
	static const uint8_t zeros[JOURNAL_ALIGN];
	size_t count = 0;

	g->end = g->at;
	LIST_EACH(&g->batch, link)
	{
		struct group_entry *entry =
		    CONTAINER_OF(link, struct group_entry, link);
		const struct journal_record r = { JOURNAL_MESSAGE, entry->id,
			buf_span(&entry->whole) };
		const uint64_t size = journal_record_size(r.data.n);
		struct iovec *v = &pieces[count];

		if (entry->failed)
			continue;
		BUG_ON(r.data.n > entry->size_max);
		journal_frame(
		    frames[count / PIECES], &r, g->now.generation, g->end);
		v[0] = (struct iovec){ frames[count / PIECES], JOURNAL_FRAME };
		v[1] = (struct iovec){ entry->whole.p, r.data.n };
		v[2] = (struct iovec){ (void *)(uintptr_t)zeros,
			(size_t)(size - JOURNAL_FRAME - r.data.n) };
		entry->place = (struct queue_place){ g->now.number,
			g->now.generation, g->end, g->end + size,
			entry->unfiled };
		g->end += size;
		count += PIECES;
	}
	return count;
}

static void
run_batch(struct work *work)
{
	struct group *g = CONTAINER_OF(work, struct group, work);
	struct iovec *pieces = mem_alloc(BATCH * PIECES * sizeof(*pieces));
	uint8_t(*frames)[JOURNAL_FRAME] = mem_alloc(BATCH * sizeof(*frames));
	struct err e;
	size_t count;

	LIST_EACH(&g->batch, link)
	{
		struct group_entry *entry =
		    CONTAINER_OF(link, struct group_entry, link);

		entry->make(entry);
	}
	count = compose(g, pieces, frames);
	if (count > 0 &&
	    (fs_pwritev(g->now.fd, pieces, count, (off_t)g->at, &e) != 0 ||
		fs_datasync(g->now.fd, &e) != 0)) {
		g->broken = true;
		take_back(g);
		fail_all(g, &e);
	}
	mem_free(pieces);
	mem_free(frames);
}

/* ---- on the loop ---- */
/* What else has come in this round of the loop goes along. */
static void
plan_batch(struct group *g)
{
	if (!g->busy && !list_empty(&g->waiting))
		timer_start(g->start, 0);
}

static void
ask(struct group *g)
{
	if (g->asked || g->next.fd >= 0)
		return;
	g->asked = true;
	g->ops->want(g->arg);
}

static void
on_again(void *arg)
{
	struct group *g = arg;

	if (g->now.fd < 0 || g->at > g->now.size / 2)
		ask(g);
}

/* Nothing more goes into this segment; refused: the disk did not take it. */
static void
give_back(struct group *g, bool refused)
{
	const struct queue_segment old = g->now;

	if (old.fd < 0)
		return;
	close(old.fd);
	g->ops->full(g->arg, old.number, old.generation, g->at, refused);
	g->now = g->next;
	g->at = JOURNAL_RECORDS;
	g->next.fd = -1;
	ask(g);
}

static void
batch_done(struct work *work)
{
	struct group *g = CONTAINER_OF(work, struct group, work);
	struct list over, *link;

	g->busy = false;
	if (g->broken)
		give_back(g, true);
	else
		g->at = g->end;
	g->broken = false;
	if (g->now.fd >= 0 && g->at > g->now.size / 2)
		ask(g);
	list_init(&over);
	while ((link = list_first(&g->batch)) != NULL) {
		list_remove(link);
		list_push(&over, link);
	}
	plan_batch(g);
	while ((link = list_first(&over)) != NULL) {
		struct group_entry *entry =
		    CONTAINER_OF(link, struct group_entry, link);

		list_remove(link);
		g->current = entry;
		entry->done(entry);
		g->current = NULL;
	}
}

static bool
fits(const struct group *g, uint64_t taken, const struct group_entry *entry)
{
	return journal_record_size(entry->size_max) <=
	       g->now.size - g->at - taken;
}

/* Takes what fits from those that wait. */
static size_t
fill_batch(struct group *g)
{
	uint64_t taken = 0;
	size_t count = 0;
	struct list *link;

	while (g->now.fd >= 0 && count < BATCH && taken < BATCH_BYTES &&
	       (link = list_first(&g->waiting)) != NULL) {
		struct group_entry *entry =
		    CONTAINER_OF(link, struct group_entry, link);

		if (!fits(g, taken, entry)) {
			if (count > 0)
				break;
			give_back(g, false);
			continue;
		}
		list_remove(link);
		list_push(&g->batch, link);
		taken += journal_record_size(entry->size_max);
		count++;
	}
	return count;
}

static void
start_batch(void *arg)
{
	struct group *g = arg;
	struct list *link;

	if (g->busy)
		return;
	if (fill_batch(g) > 0) {
		g->busy = true;
		g->work = (struct work){ .run = run_batch, .done = batch_done };
		work_submit(g->loop, WORK_FLUSH, &g->work);
		return;
	}
	/* No segment: each by itself. */
	while ((link = list_first(&g->waiting)) != NULL) {
		struct group_entry *entry =
		    CONTAINER_OF(link, struct group_entry, link);

		list_remove(link);
		entry->alone = true;
		entry->done(entry);
	}
}

bool
group_add(struct group *g, struct group_entry *entry)
{
	BUG_ON(entry->size_max > GROUP_FILE_MAX);
	if (g->now.fd < 0)
		return false;
	list_init(&entry->link);
	list_push(&g->waiting, &entry->link);
	plan_batch(g);
	return true;
}

bool
group_refused(const struct group *g)
{
	return g->refused && g->now.fd < 0;
}

bool
group_place(const struct group *g, struct queue_id id, struct queue_place *out)
{
	if (g->current == NULL || g->current->id.n != id.n ||
	    g->current->failed || g->current->alone)
		return false;
	*out = g->current->place;
	return true;
}

/* ---- segments come ---- */
struct group *
group_new(struct loop *loop, const struct queue_group_ops *ops, void *arg)
{
	struct group *g = MEM_NEW(g);

	g->loop = loop;
	g->ops = ops;
	g->arg = arg;
	g->now.fd = g->next.fd = -1;
	g->again = timer_new(loop, on_again, g);
	g->start = timer_new(loop, start_batch, g);
	list_init(&g->waiting);
	list_init(&g->batch);
	return g;
}

void
group_prepare(struct group *g)
{
	if (g->now.fd < 0 && !timer_active(g->again))
		ask(g);
}

void
group_free(struct group **group)
{
	struct group *g = *group;

	if (g == NULL)
		return;
	*group = NULL;
	BUG_ON(g->busy);
	if (g->now.fd >= 0)
		close(g->now.fd);
	if (g->next.fd >= 0)
		close(g->next.fd);
	timer_free(&g->again);
	timer_free(&g->start);
	mem_free(g);
}

void
group_give(struct group *g, const struct queue_segment *s)
{
	g->asked = g->refused = false;
	if (g->now.fd < 0) {
		g->now = *s;
		g->at = JOURNAL_RECORDS;
	} else if (g->next.fd < 0) {
		g->next = *s;
	} else {
		/* Nobody asked for it. */
		close(s->fd);
		g->ops->full(g->arg, s->number, s->generation, JOURNAL_RECORDS,
		    false);
	}
}

void
group_none(struct group *g)
{
	g->asked = false;
	g->refused = true;
	timer_start(g->again, ASK_MS);
}

void
group_forget(struct group *g)
{
	g->asked = g->refused = false;
	if (g->now.fd >= 0)
		timer_start(g->again, ASK_MS);
}

size_t
group_held(const struct group *g, struct queue_place out[2])
{
	const struct queue_segment *const held[] = { &g->now, &g->next };
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(held); i++)
		if (held[i]->fd >= 0)
			out[count++] =
			    (struct queue_place){ .segment = held[i]->number,
				    .generation = held[i]->generation };
	return count;
}
