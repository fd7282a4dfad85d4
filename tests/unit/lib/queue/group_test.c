/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Group commit and what a start makes of it. */
#include "lib/queue/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/queue/queue_int.h"
#include "lib/queue/recover.h"
#include "lib/queue/record.h"

enum { SLOT = 5, SIZE = 1 << 20, MESSAGES_MAX = 200 };

static const uint8_t nobody[32];

/* ---- a house with one accepting process ---- */
struct house {
	char place[64];
	struct loop *loop;
	struct queue *q;
	uint32_t segments; /* made so far */
	unsigned allowed;  /* so many more are given */
	unsigned wanted, full;
	bool refused; /* the last one that was full */
	struct queue_place ended;
	/* what was answered */
	unsigned answered, placed, failed, waiting;
	char dsn[12];
	struct queue_id ids[MESSAGES_MAX];
	struct queue_place places[MESSAGES_MAX];
};

static void
give_one(void *arg)
{
	struct house *h = arg;
	struct queue_segment s = { .fd = -1 };
	struct segment made;

	if (h->allowed == 0) {
		queue_group_none(h->q);
		return;
	}
	h->allowed--;
	assert_int_equal(
	    segment_create(h->q, ++h->segments, SIZE, &made, NULL), 0);
	made.head.owner = SLOT;
	made.head.generation = 100 + h->segments;
	made.head.mark = JOURNAL_RECORDS;
	assert_int_equal(segment_begin(&made, NULL), 0);
	segment_close(&made);
	s.number = h->segments;
	s.generation = 100 + h->segments;
	s.size = SIZE;
	assert_int_equal(segment_writer(h->q, s.number, &s.fd, NULL), 0);
	queue_group_give(h->q, &s);
}

static void
on_want(void *arg)
{
	struct house *h = arg;

	h->wanted++;
	loop_later(h->loop, give_one, h);
}

static void
on_full(
    void *arg, uint32_t number, uint64_t generation, uint64_t end, bool refused)
{
	struct house *h = arg;

	h->full++;
	h->refused = refused;
	h->ended = (struct queue_place){ .segment = number,
		.generation = generation, .end = end };
}

static const struct queue_group_ops ops = { on_want, on_full };

static void
stop(void *arg)
{
	loop_stop(((struct house *)arg)->loop);
}

static void
open_house(struct house *h, unsigned segments)
{
	const struct queue_envelope env = { .arrival_us = 1, .uid = -1 };
	struct queue_writer *w;

	*h = (struct house){ .allowed = segments };
	snprintf(h->place, sizeof(h->place), "/tmp/chappe-group-XXXXXX");
	assert_non_null(mkdtemp(h->place));
	h->loop = loop_new();
	assert_int_equal(queue_open(h->place, h->loop, &h->q, NULL), 0);
	assert_int_equal(queue_make_dirs(h->q, NULL), 0);
	queue_set_slot(h->q, SLOT);
	queue_group(h->q, &ops, h);
	/* A first message asks for a segment. */
	w = queue_writer_open(h->q, &env);
	queue_writer_abort(&w);
	loop_later(h->loop, stop, h);
	loop_run(h->loop);
}

static void
close_house(struct house *h)
{
	char *command = mem_printf("rm -rf %s", h->place);

	queue_close(&h->q);
	loop_free(&h->loop);
	assert_int_equal(system(command), 0);
	mem_free(command);
}

static void
committed(void *arg, struct queue_id id, const struct err *e)
{
	struct house *h = arg;

	assert_true(h->answered < MESSAGES_MAX);
	h->ids[h->answered] = id;
	if (e != NULL) {
		h->failed++;
		snprintf(h->dsn, sizeof(h->dsn), "%s", e->dsn);
	} else if (queue_commit_place(h->q, id, &h->places[h->answered])) {
		h->placed++;
	}
	h->answered++;
	if (--h->waiting == 0)
		loop_stop(h->loop);
}

static void
start_message(struct house *h, size_t size, enum queue_dir birth)
{
	const struct queue_envelope env = { .arrival_us = 1,
		.uid = -1,
		.sender = SPAN("s@example.com"),
		.birth = birth };
	struct queue_writer *w = queue_writer_open(h->q, &env);
	uint8_t line[1000];

	for (unsigned i = 0; i < 2; i++)
		queue_writer_rcpt(
		    w, &(struct queue_rcpt){ .address = SPAN("a@b"),
			   .orig_address = SPAN("a@b") });
	for (size_t i = 0; i < sizeof(line); i++)
		line[i] = (uint8_t)(i * 7 + size);
	for (size_t n = 0; n < size; n += sizeof(line))
		queue_writer_body(w, span_of(line, sizeof(line)));
	h->waiting++;
	queue_writer_commit(&w, committed, h);
}

static void
write_messages(struct house *h, unsigned count, size_t size)
{
	for (unsigned i = 0; i < count; i++)
		start_message(h, size, QUEUE_ACTIVE);
	loop_run(h->loop);
}

/* ---- the writer ---- */
static void
many_share_a_flush(void **state)
{
	struct house h;
	unsigned steps;

	(void)state;
	open_house(&h, 1);
	steps = fs_steps();
	write_messages(&h, 100, 1000);
	steps = fs_steps() - steps;
	assert_int_equal(h.placed, 100);
	assert_int_equal(h.failed, 0);
	/* A write and a flush for the first message, and for all that waited
	 * meanwhile. */
	assert_true(steps >= 2 && steps <= 6);
	for (unsigned i = 1; i < 100; i++) {
		assert_true(h.places[i].at == h.places[i - 1].end);
		assert_int_equal(h.places[i].segment, 1);
	}
	close_house(&h);
}

static unsigned count_files(struct house *h, enum queue_dir dir);

/* As qmgr does when somebody needs them. */
static void
make_files(struct house *h)
{
	enum segment_state state;
	struct segment s;

	for (unsigned i = 0; i < h->answered; i++) {
		const struct queue_place *p = &h->places[i];

		if (!p->unfiled)
			continue;
		assert_int_equal(
		    segment_open(h->q, p->segment, &s, &state, NULL), 0);
		assert_int_equal(
		    queue_rebuild(h->q, &s, p->at, h->ids[i], false, NULL), 0);
		segment_close(&s);
	}
}

static void
short_ones_have_no_file(void **state)
{
	struct house h;
	struct queue_message *m;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 3, 1000);
	write_messages(&h, 1, 120000);
	assert_int_equal(count_files(&h, QUEUE_INCOMING), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_true(h.places[i].unfiled);
	write_messages(&h, 1, 200000);
	assert_false(h.places[4].unfiled);
	assert_int_equal(count_files(&h, QUEUE_INCOMING), 1);
	make_files(&h);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(queue_message_open(h.q, QUEUE_INCOMING,
				     h.ids[i], O_RDONLY, true, &m, NULL),
		    0);
		queue_message_close(&m);
	}
	close_house(&h);
}

/* Its head would be too long for qmgr to be told. */
static void
one_with_many_recipients_has_a_file(void **state)
{
	const struct queue_envelope env = { .arrival_us = 1, .uid = -1,
		.birth = QUEUE_ACTIVE };
	struct queue_writer *w;
	struct house h;

	(void)state;
	open_house(&h, 1);
	w = queue_writer_open(h.q, &env);
	for (unsigned i = 0; i < 300; i++)
		queue_writer_rcpt(
		    w, &(struct queue_rcpt){ .address = SPAN("a@b.example"),
			   .orig_address = SPAN("a@b.example") });
	h.waiting++;
	queue_writer_commit(&w, committed, &h);
	loop_run(h.loop);
	assert_int_equal(h.placed, 1);
	assert_false(h.places[0].unfiled);
	assert_int_equal(count_files(&h, QUEUE_INCOMING), 1);
	close_house(&h);
}

/* ---- files used again (spare.c) ---- */
static ino_t
inode_in(const struct house *h, enum queue_dir dir, struct queue_id id)
{
	char name[QUEUE_NAME];
	struct stat st;

	queue_name(dir, id, name);
	assert_int_equal(fstatat(h->q->fd, name, &st, 0), 0);
	return st.st_ino;
}

static ino_t
inode_of(const struct house *h, struct queue_id id)
{
	return inode_in(h, QUEUE_INCOMING, id);
}

static unsigned
files_in(const struct house *h, const char *pattern)
{
	char *command = mem_printf(
	    "test $(ls %s/incoming/*/ | grep -c '^%s') = 1", h->place, pattern);
	const int status = system(command);

	mem_free(command);
	return status == 0 ? 1 : 0;
}

/* Its file becomes a spare. */
static void
finish(struct house *h, enum queue_dir dir, struct queue_id id)
{
	assert_int_equal(queue_spare_make(h->q, dir, id, NULL), 0);
	assert_true(queue_spare_give(h->q, id));
}

static void
was_taken(struct house *h, struct queue_id id)
{
	struct queue_id gone;

	assert_true(queue_spare_gone(h->q, &gone));
	assert_true(gone.n == id.n);
	assert_false(queue_spare_gone(h->q, &gone));
}

static struct queue_id
one_more(struct house *h, enum queue_dir dir, size_t size)
{
	struct queue_message *m;
	struct queue_id id;

	write_messages(h, 1, size);
	assert_int_equal(h->failed, 0);
	id = h->ids[h->answered - 1];
	assert_int_equal(
	    queue_message_open(h->q, dir, id, O_RDONLY, true, &m, NULL), 0);
	assert_int_equal(m->content_size, size);
	queue_message_close(&m);
	return id;
}

/* Its time was set back before. */
static bool
is_written(const struct house *h, struct queue_id id)
{
	char text[QUEUE_ID_TEXT], name[QUEUE_NAME];
	struct stat st;

	queue_id_text(id, text);
	snprintf(name, sizeof(name), "incoming/%c/s%s", queue_id_dir(id), text);
	assert_int_equal(fstatat(h->q->fd, name, &st, 0), 0);
	return st.st_mtime != 0;
}

static void
long_files_are_filled_again(void **state)
{
	static const size_t sizes[] = { 900000, 400000, 350000, 2000000 };
	struct queue_id id, last;
	struct house h;
	ino_t first;

	(void)state;
	open_house(&h, 1);
	last = one_more(&h, QUEUE_ACTIVE, 700000);
	first = inode_in(&h, QUEUE_ACTIVE, last);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		finish(&h, QUEUE_ACTIVE, last);
		id = one_more(&h, QUEUE_ACTIVE, sizes[i]);
		was_taken(&h, last);
		assert_true(inode_in(&h, QUEUE_ACTIVE, id) == first);
		assert_int_equal(files_in(&h, "s"), 0);
		last = id;
	}
	/* And with one that goes into the journal after all. */
	finish(&h, QUEUE_ACTIVE, last);
	id = one_more(&h, QUEUE_INCOMING, 200000);
	was_taken(&h, last);
	assert_true(inode_of(&h, id) == first);
	assert_int_equal(files_in(&h, "s"), 0);
	close_house(&h);
}

static void
a_long_file_that_somebody_reads_is_not(void **state)
{
	struct house h;
	struct queue_id id;
	char name[QUEUE_NAME];
	ino_t first;
	int fd;

	(void)state;
	open_house(&h, 1);
	id = one_more(&h, QUEUE_ACTIVE, 700000);
	first = inode_in(&h, QUEUE_ACTIVE, id);
	queue_name(QUEUE_ACTIVE, id, name);
	fd = openat(h.q->fd, name, O_RDONLY);
	finish(&h, QUEUE_ACTIVE, id);
	assert_true(inode_in(&h, QUEUE_ACTIVE,
			one_more(&h, QUEUE_ACTIVE, 400000)) != first);
	was_taken(&h, id);
	assert_int_equal(files_in(&h, "s"), 0);
	assert_true(lseek(fd, 0, SEEK_END) > 700000);
	close(fd);
	close_house(&h);
}

static void
a_message_given_up_takes_its_file_along(void **state)
{
	const struct queue_envelope env = { .arrival_us = 1, .uid = -1 };
	static uint8_t bytes[200000];
	struct house h;
	struct queue_id id, gone;
	struct queue_writer *w;

	(void)state;
	open_house(&h, 1);
	id = one_more(&h, QUEUE_ACTIVE, 700000);
	finish(&h, QUEUE_ACTIVE, id);
	w = queue_writer_open(h.q, &env);
	queue_writer_body(w, span_of(bytes, sizeof(bytes)));
	queue_writer_abort(&w);
	/* The thread's work has an end some time. */
	while (!queue_spare_gone(h.q, &gone))
		write_messages(&h, 1, 1000);
	assert_true(gone.n == id.n);
	assert_int_equal(files_in(&h, "s"), 0);
	close_house(&h);
}

/* A new qmgr cleans up, while somebody goes on. */
static void
what_is_being_filled_is_left_alone(void **state)
{
	const struct queue_envelope env = {
		.arrival_us = 1, .uid = -1, .birth = QUEUE_ACTIVE
	};
	const struct timespec long_ago[2] = { 0 };
	static uint8_t bytes[500000];
	char name[QUEUE_NAME];
	struct queue_writer *w;
	struct queue_id id;
	struct house h;
	ino_t first;

	(void)state;
	open_house(&h, 1);
	id = one_more(&h, QUEUE_ACTIVE, 700000);
	first = inode_in(&h, QUEUE_ACTIVE, id);
	queue_name(QUEUE_ACTIVE, id, name);
	assert_int_equal(utimensat(h.q->fd, name, long_ago, 0), 0);
	finish(&h, QUEUE_ACTIVE, id);
	w = queue_writer_open(h.q, &env);
	queue_writer_rcpt(w, &(struct queue_rcpt){ .address = SPAN("a@b"),
				 .orig_address = SPAN("a@b") });
	queue_writer_body(w, span_of(bytes, sizeof(bytes)));
	while (!is_written(&h, id))
		usleep(1000);
	queue_spare_clean(h.q, -1);
	h.waiting++;
	queue_writer_commit(&w, committed, &h);
	loop_run(h.loop);
	assert_int_equal(h.failed, 0);
	assert_true(inode_in(&h, QUEUE_ACTIVE, h.ids[1]) == first);
	close_house(&h);
}

static void
a_spare_that_is_gone_is_no_loss(void **state)
{
	struct house h;
	struct queue_id id;

	(void)state;
	open_house(&h, 1);
	id = one_more(&h, QUEUE_ACTIVE, 700000);
	finish(&h, QUEUE_ACTIVE, id);
	queue_spare_clean(h.q, SLOT + 1);
	assert_int_equal(files_in(&h, "s"), 1);
	queue_spare_clean(h.q, SLOT);
	assert_int_equal(files_in(&h, "s"), 0);
	one_more(&h, QUEUE_ACTIVE, 400000);
	was_taken(&h, id);
	/* Another one's file is none of ours. */
	assert_false(queue_spare_give(h.q, (struct queue_id){ id.n + 1 }));
	close_house(&h);
}

static void
long_ones_and_held_ones_stand_alone(void **state)
{
	struct house h;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 1, 300000);
	assert_int_equal(h.placed, 1);
	write_messages(&h, 1, 400000);
	assert_int_equal(h.placed, 1);
	start_message(&h, 1000, QUEUE_HOLD);
	loop_run(h.loop);
	assert_int_equal(h.placed, 1);
	assert_int_equal(h.failed, 0);
	close_house(&h);
}

static void
full_segments_change(void **state)
{
	struct house h;

	(void)state;
	open_house(&h, 2);
	for (unsigned i = 0; i < 12; i++)
		write_messages(&h, 1, 100000);
	assert_int_equal(h.placed, 12);
	assert_int_equal(h.full, 1);
	assert_int_equal(h.ended.segment, 1);
	assert_int_equal(h.places[0].segment, 1);
	assert_int_equal(h.places[11].segment, 2);
	for (unsigned i = 0; i < 12; i++)
		if (h.places[i].segment == 1)
			assert_true(h.places[i].end <= h.ended.end);
	/* The third one is refused: what is left is used up first. */
	while (h.failed == 0 && h.answered < 40)
		write_messages(&h, 1, 100000);
	assert_int_equal(h.failed, 1);
	assert_string_equal(h.dsn, "4.3.1");
	/* And when there is one again, mail is taken again. */
	h.allowed = 1;
	while (h.segments < 3) {
		loop_later(h.loop, stop, &h);
		loop_run(h.loop);
	}
	write_messages(&h, 1, 1000);
	assert_int_equal(h.failed, 1);
	assert_int_equal(h.places[h.answered - 1].segment, 3);
	close_house(&h);
}

static void
without_an_answer_each_is_sealed(void **state)
{
	struct house h;
	struct queue_message *m;

	(void)state;
	open_house(&h, 1);
	queue_close(&h.q);
	assert_int_equal(queue_open(h.place, h.loop, &h.q, NULL), 0);
	queue_set_slot(h.q, SLOT);
	write_messages(&h, 1, 1000);
	assert_int_equal(h.placed, 0);
	assert_int_equal(queue_message_open(h.q, QUEUE_ACTIVE, h.ids[0],
			     O_RDONLY, true, &m, NULL),
	    0);
	queue_message_close(&m);
	close_house(&h);
}

static void
ids_are_above_the_bound(void **state)
{
	struct house h;
	const int64_t later = clock_wall_us() + 3600 * (int64_t)1000000;

	(void)state;
	open_house(&h, 1);
	queue_set_bound(h.q, later);
	queue_set_bound(h.q, 5);
	write_messages(&h, 1, 1000);
	assert_true(queue_id_us(h.ids[0]) > later);
	close_house(&h);
}

/* ---- recovery ---- */
static char *
file_of(const struct house *h, enum queue_dir dir, struct queue_id id)
{
	char name[QUEUE_NAME];

	queue_name(dir, id, name);
	return mem_printf("%s/%s", h->place, name);
}

static bool
whole(const struct house *h, enum queue_dir dir, struct queue_id id,
    uint32_t todo)
{
	struct queue_message *m;
	bool ok;

	if (queue_message_open(h->q, dir, id, O_RDONLY, true, &m, NULL) != 0)
		return false;
	ok = m->todo_count == todo;
	queue_message_close(&m);
	return ok;
}

static struct queue_recovery
recover(struct house *h)
{
	struct queue_recovery r;
	struct err e;

	if (queue_recover(h->q, nobody, &r, &e) != 0)
		fail_msg("%s", e.text);
	return r;
}

/* The journal has it all: whatever became of the files, they come back. */
static void
files_come_back(void **state)
{
	struct house h;
	struct queue_recovery r;
	char *name;
	int fd;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 4, 2000);
	write_messages(&h, 1, 200000);
	make_files(&h);
	name = file_of(&h, QUEUE_INCOMING, h.ids[0]);
	assert_int_equal(unlink(name), 0);
	mem_free(name);
	name = file_of(&h, QUEUE_INCOMING, h.ids[1]);
	assert_int_equal(truncate(name, 0), 0);
	mem_free(name);
	name = file_of(&h, QUEUE_INCOMING, h.ids[2]);
	fd = open(name, O_WRONLY);
	assert_int_equal(pwrite(fd, "\0\0\0", 3, 500), 3);
	close(fd);
	mem_free(name);
	name = file_of(&h, QUEUE_INCOMING, h.ids[4]);
	assert_int_equal(truncate(name, 100000), 0);
	mem_free(name);
	r = recover(&h);
	assert_int_equal(r.rebuilt, 4);
	assert_int_equal(r.live_count, 5);
	assert_int_equal(r.discarded, 0);
	assert_true(r.bound_us >= queue_id_us(h.ids[4]));
	for (unsigned i = 0; i < 5; i++) {
		assert_true(whole(&h, QUEUE_INCOMING, h.ids[i], 2));
		assert_true(r.live[i].id.n == h.ids[i].n);
		assert_true(r.live[i].at == h.places[i].at);
		assert_true(r.live[i].end == h.places[i].end);
	}
	queue_recovery_release(&r);
	/* Once more: nothing changes. */
	r = recover(&h);
	assert_int_equal(r.rebuilt, 0);
	assert_int_equal(r.live_count, 5);
	queue_recovery_release(&r);
	close_house(&h);
}

static void
what_has_no_record_goes(void **state)
{
	struct house h;
	struct queue_recovery r;
	uint8_t living[32] = { 0 };
	const struct queue_id stray = { 0x5f00000000000 | SLOT };
	char *name;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 1, 1000);
	name = file_of(&h, QUEUE_INCOMING, stray);
	close(open(name, O_CREAT | O_WRONLY, 0600));
	living[SLOT / 8] |= 1 << SLOT % 8;
	assert_int_equal(queue_recover(h.q, living, &r, NULL), 0);
	assert_int_equal(r.discarded, 0);
	assert_int_equal(access(name, F_OK), 0);
	queue_recovery_release(&r);
	r = recover(&h);
	assert_int_equal(r.discarded, 1);
	assert_int_equal(r.live_count, 1);
	assert_int_equal(access(name, F_OK), -1);
	queue_recovery_release(&r);
	mem_free(name);
	close_house(&h);
}

/* What qmgr's journal would say. */
static void
write_qmgr_journal(struct house *h, uint32_t number, struct span records)
{
	struct segment s;

	assert_int_equal(segment_create(h->q, number, SIZE, &s, NULL), 0);
	s.head.owner = JOURNAL_QMGR;
	s.head.generation = 1000 + number;
	s.head.mark = JOURNAL_RECORDS;
	assert_int_equal(segment_head(&s, NULL), 0);
	assert_int_equal(fs_pwrite(s.fd, records, JOURNAL_RECORDS, NULL), 0);
	segment_close(&s);
}

static void
finished_ones_do_not_come_back(void **state)
{
	struct house h;
	struct queue_recovery r;
	struct buf b, marks;
	uint64_t at = JOURNAL_RECORDS;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 4, 1000);
	make_files(&h);
	/* 0: finished, and its unlink was lost; 1: finished and gone; 2: one
	 * recipient done; 3: finished after it was sealed. */
	assert_int_equal(queue_remove(h.q, h.ids[1], QUEUE_INCOMING, NULL), 0);
	assert_int_equal(queue_seal(h.q, h.ids[3], QUEUE_ACTIVE, NULL), 0);
	buf_init(&b, 10000);
	buf_init(&marks, 100);
	for (unsigned i = 0; i < 4; i++) {
		struct journal_record rec = { JOURNAL_REMOVED, h.ids[i],
			SPAN_EMPTY };

		if (i == 2) {
			journal_mark_put(
			    &marks, (struct journal_mark){ 1, 'D' });
			rec.type = JOURNAL_DONE;
			rec.data = buf_span(&marks);
		}
		journal_record_put(&b, &rec, 1009, at + b.n);
	}
	write_qmgr_journal(&h, 9, buf_span(&b));
	r = recover(&h);
	assert_int_equal(r.live_count, 1);
	assert_int_equal(r.removed, 2);
	assert_int_equal(r.rebuilt, 0);
	assert_int_equal(r.marked, 1);
	assert_int_equal(r.segment_count, 2);
	assert_true(whole(&h, QUEUE_INCOMING, h.ids[2], 1));
	assert_false(whole(&h, QUEUE_ACTIVE, h.ids[3], 2));
	queue_recovery_release(&r);
	/* The mark is there again even when the file is rebuilt. */
	assert_int_equal(queue_remove(h.q, h.ids[2], QUEUE_INCOMING, NULL), 0);
	r = recover(&h);
	assert_int_equal(r.rebuilt, 1);
	assert_true(whole(&h, QUEUE_INCOMING, h.ids[2], 1));
	queue_recovery_release(&r);
	buf_release(&b);
	buf_release(&marks);
	close_house(&h);
}

static void
the_mark_ends_it(void **state)
{
	struct house h;
	struct queue_recovery r;
	struct segment s;
	enum segment_state state_of_it;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 3, 1000);
	make_files(&h);
	assert_int_equal(segment_open(h.q, 1, &s, &state_of_it, NULL), 0);
	assert_int_equal(state_of_it, SEGMENT_HEADED);
	s.head.mark = h.places[1].end;
	assert_int_equal(segment_head(&s, NULL), 0);
	r = recover(&h);
	/* 0 and 1 are past the mark: without a seal they are nobody's. */
	assert_int_equal(r.live_count, 1);
	assert_int_equal(r.discarded, 2);
	assert_true(r.live[0].id.n == h.ids[2].n);
	queue_recovery_release(&r);
	/* Another use of the segment: its old records are not there. */
	s.head.generation++;
	s.head.mark = JOURNAL_RECORDS;
	assert_int_equal(segment_head(&s, NULL), 0);
	segment_close(&s);
	r = recover(&h);
	assert_int_equal(r.live_count, 0);
	queue_recovery_release(&r);
	close_house(&h);
}

static void
sealed_ones_stay(void **state)
{
	struct house h;
	struct queue_recovery r;
	unsigned steps;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 2, 1000);
	make_files(&h);
	assert_int_equal(queue_seal(h.q, h.ids[0], QUEUE_DEFERRED, NULL), 0);
	assert_int_equal(queue_seal(h.q, h.ids[1], QUEUE_HOLD, NULL), 0);
	steps = fs_steps();
	r = recover(&h);
	/* Who moved them there may have died before that was flushed. */
	assert_int_equal(fs_steps() - steps, 2);
	assert_int_equal(r.live_count, 0);
	assert_true(whole(&h, QUEUE_DEFERRED, h.ids[0], 2));
	assert_true(whole(&h, QUEUE_HOLD, h.ids[1], 2));
	queue_recovery_release(&r);
	close_house(&h);
}

/* Two messages with one id: both are delivered, the second under another. */
/* The clock was set back, and nobody knew the bound. */
static void
write_twins(struct house *h)
{
	queue_set_bound(h->q, clock_wall_us() + 3600 * (int64_t)1000000);
	write_messages(h, 1, 1000);
	h->q->source.last_us = (uint64_t)queue_id_us(h->ids[0]) - 1;
	start_message(h, 5000, QUEUE_ACTIVE);
	loop_run(h->loop);
	assert_true(h->ids[1].n == h->ids[0].n);
}

static bool
count_one(void *arg, struct queue_id id, int64_t mtime_s)
{
	(void)id;
	(void)mtime_s;
	++*(unsigned *)arg;
	return true;
}

static unsigned
count_files(struct house *h, enum queue_dir dir)
{
	unsigned n = 0;

	assert_int_equal(queue_scan(h->q, dir, count_one, &n, NULL), 0);
	return n;
}

static void
twins_are_told_apart(void **state)
{
	struct house h;
	struct queue_recovery r;
	struct queue_id first, second;

	(void)state;
	open_house(&h, 1);
	write_twins(&h);
	first = h.ids[0];
	r = recover(&h);
	assert_int_equal(r.twin_count, 1);
	assert_true(r.twins[0].old_id.n == first.n);
	assert_true(r.twins[0].new_id.n > first.n);
	second = r.twins[0].new_id;
	/* Both are sealed, since the segment is left behind. */
	assert_int_equal(r.live_count, 0);
	assert_true(whole(&h, QUEUE_ACTIVE, first, 2));
	assert_true(whole(&h, QUEUE_ACTIVE, second, 2));
	queue_recovery_release(&r);
	/* Delivered, and then another crash: it does not come again. */
	assert_int_equal(queue_remove(h.q, second, QUEUE_ACTIVE, NULL), 0);
	r = recover(&h);
	assert_int_equal(r.twin_count, 0);
	assert_false(whole(&h, QUEUE_ACTIVE, second, 2));
	assert_true(whole(&h, QUEUE_ACTIVE, first, 2));
	queue_recovery_release(&r);
	close_house(&h);
}

/* What else is in their segment is sealed, and not by a flush of a file whose
 * flush somebody may have seen fail. */
static void
the_others_beside_twins_are_made_anew(void **state)
{
	struct house h;
	struct queue_recovery r;
	ino_t before;

	(void)state;
	open_house(&h, 1);
	write_twins(&h);
	write_messages(&h, 1, 1000);
	make_files(&h);
	before = inode_in(&h, QUEUE_INCOMING, h.ids[2]);
	r = recover(&h);
	assert_int_equal(r.twin_count, 1);
	queue_recovery_release(&r);
	assert_true(whole(&h, QUEUE_ACTIVE, h.ids[2], 2));
	assert_true(inode_in(&h, QUEUE_ACTIVE, h.ids[2]) != before);
	close_house(&h);
}

/* Broken off between the second one's file and the mark of its segment. */
static void
a_twin_is_made_once(void **state)
{
	struct house h;
	struct queue_recovery r;
	struct segment s;
	struct queue_id second;
	enum segment_state state_of_it;

	(void)state;
	open_house(&h, 1);
	write_twins(&h);
	r = recover(&h);
	second = r.twins[0].new_id;
	queue_recovery_release(&r);
	assert_int_equal(segment_open(h.q, 1, &s, &state_of_it, NULL), 0);
	s.head.mark = JOURNAL_RECORDS;
	assert_int_equal(segment_head(&s, NULL), 0);
	segment_close(&s);
	r = recover(&h);
	assert_int_equal(r.twin_count, 1);
	assert_true(r.twins[0].new_id.n == second.n);
	assert_true(whole(&h, QUEUE_ACTIVE, h.ids[0], 2));
	assert_true(whole(&h, QUEUE_ACTIVE, second, 2));
	assert_int_equal(count_files(&h, QUEUE_ACTIVE), 2);
	queue_recovery_release(&r);
	close_house(&h);
}

static void
the_tail_of_a_segment(void **state)
{
	struct house h;
	struct queue_live *live;
	struct segment s;
	uint64_t end;
	size_t count;
	enum segment_state state_of_it;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 3, 1000);
	assert_int_equal(segment_open(h.q, 1, &s, &state_of_it, NULL), 0);
	assert_int_equal(queue_recover_tail(h.q, &s, h.places[1].at, 0, &live,
			     &count, &end, NULL),
	    0);
	assert_int_equal(count, 2);
	assert_true(end == h.places[2].end);
	assert_true(whole(&h, QUEUE_INCOMING, h.ids[1], 2));
	assert_false(whole(&h, QUEUE_INCOMING, h.ids[0], 2));
	mem_free(live);
	assert_int_equal(queue_recover_tail(h.q, &s, h.places[1].at,
			     h.places[2].at, &live, &count, &end, NULL),
	    0);
	assert_int_equal(count, 1);
	assert_true(end == h.places[2].at);
	mem_free(live);
	segment_close(&s);
	close_house(&h);
}

/* What a tool does while qmgr is down. */
static void
all_sealed_for_a_tool(void **state)
{
	struct house h;
	struct queue_recovery r;
	ino_t before;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 2, 1000);
	make_files(&h);
	before = inode_in(&h, QUEUE_INCOMING, h.ids[0]);
	assert_int_equal(queue_remove(h.q, h.ids[1], QUEUE_INCOMING, NULL), 0);
	assert_int_equal(queue_recover_sealed(h.q, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_true(whole(&h, QUEUE_ACTIVE, h.ids[i], 2));
	/* Somebody may have seen a flush of that file fail. */
	assert_true(inode_in(&h, QUEUE_ACTIVE, h.ids[0]) != before);
	/* Deleted now, it stays away. */
	assert_int_equal(
	    queue_remove_synced(h.q, h.ids[0], QUEUE_ACTIVE, NULL), 0);
	r = recover(&h);
	assert_int_equal(r.live_count, 0);
	assert_int_equal(r.rebuilt, 0);
	queue_recovery_release(&r);
	close_house(&h);
}

/* A segment whose making did not come to its end means nothing. */
static void
half_a_segment_goes(void **state)
{
	struct house h;
	struct queue_recovery r;
	struct segment s;
	enum segment_state state_of_it;

	(void)state;
	open_house(&h, 1);
	assert_int_equal(segment_create(h.q, 7, SIZE, &s, NULL), 0);
	segment_close(&s);
	r = recover(&h);
	assert_int_equal(r.segment_count, 1);
	assert_int_equal(r.number_max, 7);
	queue_recovery_release(&r);
	assert_int_equal(segment_open(h.q, 7, &s, &state_of_it, NULL), -1);
	close_house(&h);
}

/* Whichever page it is, the head on the other one is of the same use. */
static void
a_page_with_a_head_is_no_loss(void **state)
{
	static const uint8_t rubbish[4096] = { 'x' };

	(void)state;
	for (off_t page = 0; page < JOURNAL_RECORDS; page += 4096) {
		struct queue_recovery r;
		struct segment s;
		struct house h;
		enum segment_state state_of_it;

		open_house(&h, 1);
		write_messages(&h, 3, 1000);
		assert_int_equal(
		    segment_open(h.q, 1, &s, &state_of_it, NULL), 0);
		assert_int_equal(
		    pwrite(s.fd, rubbish, sizeof(rubbish), page), 4096);
		segment_close(&s);
		r = recover(&h);
		assert_int_equal(r.damaged, 0);
		assert_int_equal(r.live_count, 3);
		queue_recovery_release(&r);
		close_house(&h);
	}
}

/* Both pages with heads are lost: what is in the records may be all
 * that there is of somebody's mail. */
static void
a_used_segment_without_a_head_is_kept(void **state)
{
	struct house h;
	struct queue_recovery r;
	char *name;
	int fd;

	(void)state;
	open_house(&h, 1);
	write_messages(&h, 1, 1000);
	make_files(&h);
	name = mem_printf("%s/journal/00000001", h.place);
	fd = open(name, O_WRONLY);
	assert_int_equal(pwrite(fd, "xx", 2, 20), 2);
	assert_int_equal(pwrite(fd, "xx", 2, JOURNAL_HEAD_SECOND + 20), 2);
	close(fd);
	for (unsigned i = 0; i < 2; i++) {
		r = recover(&h);
		assert_int_equal(r.segment_count, 0);
		assert_int_equal(r.number_max, 1);
		assert_int_equal(r.damaged, 1);
		assert_int_equal(r.damaged_number, 1);
		assert_int_equal(r.rescued, i == 0);
		queue_recovery_release(&r);
	}
	assert_true(whole(&h, QUEUE_ACTIVE, h.ids[0], 2));
	assert_int_equal(access(name, F_OK), 0);
	mem_free(name);
	close_house(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_share_a_flush),
		cmocka_unit_test(short_ones_have_no_file),
		cmocka_unit_test(one_with_many_recipients_has_a_file),
		cmocka_unit_test(long_files_are_filled_again),
		cmocka_unit_test(a_long_file_that_somebody_reads_is_not),
		cmocka_unit_test(a_message_given_up_takes_its_file_along),
		cmocka_unit_test(what_is_being_filled_is_left_alone),
		cmocka_unit_test(a_spare_that_is_gone_is_no_loss),
		cmocka_unit_test(long_ones_and_held_ones_stand_alone),
		cmocka_unit_test(full_segments_change),
		cmocka_unit_test(without_an_answer_each_is_sealed),
		cmocka_unit_test(ids_are_above_the_bound),
		cmocka_unit_test(files_come_back),
		cmocka_unit_test(what_has_no_record_goes),
		cmocka_unit_test(finished_ones_do_not_come_back),
		cmocka_unit_test(the_mark_ends_it),
		cmocka_unit_test(sealed_ones_stay),
		cmocka_unit_test(twins_are_told_apart),
		cmocka_unit_test(the_others_beside_twins_are_made_anew),
		cmocka_unit_test(a_twin_is_made_once),
		cmocka_unit_test(the_tail_of_a_segment),
		cmocka_unit_test(all_sealed_for_a_tool),
		cmocka_unit_test(half_a_segment_goes),
		cmocka_unit_test(a_page_with_a_head_is_no_loss),
		cmocka_unit_test(a_used_segment_without_a_head_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
