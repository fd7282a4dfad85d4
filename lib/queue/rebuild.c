/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/recover.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/fs.h"
#include "lib/queue/queue_int.h"
#include "lib/queue/record.h"

/* A message's file made anew from its record in the journal. */

enum { NAME_SIZE = QUEUE_NAME + 8, MARKS = 64 };

static int
write_file(struct queue *q, const char *temp, const char *name,
    struct span data, struct err *e)
{
	int fd, ret;

	if (fs_unlink(q->fd, temp, e) != 0 ||
	    fs_create(q->fd, temp, 0660, &fd, e) != 0)
		return -1;
	if (fchmod(fd, 0660) != 0)
		ret = err_sys(e, "chmod %s", temp);
	else
		ret = fs_pwrite(fd, data, 0, e);
	close(fd);
	if (ret == 0)
		ret = fs_rename(q->fd, temp, q->fd, name, e);
	if (ret != 0)
		fs_unlink(q->fd, temp, NULL);
	return ret;
}

int
queue_make_anew(struct queue *q, struct queue_id id, struct span data, struct err *e)
{
	char name[QUEUE_NAME], temp[NAME_SIZE], text[QUEUE_ID_TEXT];

	queue_name(QUEUE_INCOMING, id, name);
	queue_id_text(id, text);
	snprintf(temp, sizeof(temp), "%s/%c/.%s",
	    queue_dir_name(QUEUE_INCOMING), queue_id_dir(id), text);
	return write_file(q, temp, name, data, e);
}

struct one_record {
	struct queue *q;
	struct queue_id id;
	struct buf *data;
	bool found;
};

static bool
keep_record(void *arg, const struct journal_record *r, uint64_t place)
{
	struct one_record *o = arg;

	(void)place;
	if (r->type != JOURNAL_MESSAGE || r->id.n != o->id.n)
		return false;
	buf_add(o->data, r->data);
	o->found = true;
	return false;
}

int
queue_read_record(const struct segment *s, uint64_t at, struct queue_id id,
    struct buf *data, struct err *e)
{
	struct one_record o = { .id = id, .data = data };
	uint64_t end;

	buf_reset(data);
	if (segment_scan(s, at, 0, keep_record, &o, &end, e) != 0)
		return -1;
	if (!o.found || !buf_ok(data))
		return err_set(
		    e, ERR_TEMP, "4.3.0", "journal: the record is not there");
	return 0;
}

/* The marks of the file that is there, as far as its envelope can be read.
 * Only for a file that was written since the last power cut: what was never
 * flushed may be another message's afterwards. */
static void
keep_marks(struct queue *q, struct queue_id id, struct buf *data)
{
	struct queue_rcpt rcpts[MARKS];
	struct queue_rcpt_status states[MARKS];
	struct queue_message *m;
	uint32_t from = 0;
	int got;

	if (queue_message_open(
		q, QUEUE_INCOMING, id, O_RDONLY, false, &m, NULL) != 0)
		return;
	while ((got = queue_message_rcpts(
		    m, from, MARKS, rcpts, states, NULL)) > 0) {
		for (int i = 0; i < got; i++)
			if (states[i].mark_at < data->n)
				data->p[states[i].mark_at] =
				    record_mark_byte(states[i].state);
		from += (uint32_t)got;
	}
	queue_message_close(&m);
}

int
queue_rebuild(struct queue *q, const struct segment *s, uint64_t at,
    struct queue_id id, bool marks, struct err *e)
{
	struct buf data;
	int ret;

	buf_init(&data, (size_t)s->head.size);
	ret = queue_read_record(s, at, id, &data, e);
	if (ret == 0 && marks)
		keep_marks(q, id, &data);
	if (ret == 0)
		ret = queue_make_anew(q, id, buf_span(&data), e);
	buf_release(&data);
	return ret;
}

int
queue_live_seal(struct queue *q, const struct segment *s,
    const struct queue_live *l, struct err *e)
{
	if (!l->anew && queue_rebuild(q, s, l->at, l->id, true, e) != 0)
		return -1;
	return queue_seal(q, l->id, QUEUE_ACTIVE, e);
}
