/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/work.h"
#include "lib/queue/queue_int.h"

static char place[] = "/tmp/chappe-queue-XXXXXX";

static int
make_place(void **state)
{
	struct queue *q;

	(void)state;
	if (mkdtemp(place) == NULL || queue_open(place, NULL, &q, NULL) != 0 ||
	    queue_make_dirs(q, NULL) != 0 || mkdirat(q->fd, "pid", 0700) != 0)
		return -1;
	queue_close(&q);
	return 0;
}

static int
remove_place(void **state)
{
	char *command = mem_printf("rm -rf %s", place);
	const int ret = system(command);

	(void)state;
	mem_free(command);
	return ret;
}

static struct queue *
open_queue(struct loop *loop)
{
	struct queue *q;

	assert_int_equal(queue_open(place, loop, &q, NULL), 0);
	queue_set_slot(q, 5);
	return q;
}

static struct queue_envelope
envelope(void)
{
	return (struct queue_envelope){ .arrival_us = 1795358062000000,
		.sender = SPAN("s@example.com"),
		.uid = -1,
		.birth = QUEUE_ACTIVE };
}

static void
add_rcpt(struct queue_writer *w, unsigned n)
{
	char address[64];
	struct span s;

	snprintf(address, sizeof(address), "r%u@example.org", n);
	s = span_str(address);
	queue_writer_rcpt(w, &(struct queue_rcpt){ .address = s,
				 .orig_address = s,
				 .transport = SPAN("smtp"),
				 .nexthop = SPAN("example.org") });
}

/* The i-th piece of a content that never repeats early. */
static struct span
piece(uint8_t *store, size_t n, unsigned i)
{
	for (size_t k = 0; k < n; k++)
		store[k] = (uint8_t)(i * 131 + k * 7 + k / 256);
	return span_of(store, n);
}

static struct queue_id
write_one(struct queue *q, unsigned rcpts, unsigned late, unsigned pieces,
    size_t piece_size)
{
	const struct queue_envelope env = envelope();
	struct queue_writer *w = queue_writer_open(q, &env);
	uint8_t *store = mem_alloc(piece_size + 1);
	struct queue_id id;

	for (unsigned i = 0; i < rcpts; i++)
		add_rcpt(w, i);
	for (unsigned i = 0; i < pieces; i++)
		queue_writer_body(w, piece(store, piece_size, i));
	for (unsigned i = 0; i < late; i++)
		add_rcpt(w, rcpts + i);
	queue_writer_message_id(w, SPAN("<id@example.com>"));
	assert_int_equal(queue_writer_size(w), pieces * piece_size);
	assert_int_equal(queue_writer_commit_sync(&w, &id, NULL), 0);
	assert_null(w);
	mem_free(store);
	return id;
}

static void
what_was_given_may_change_until_the_commit(void **state)
{
	const struct queue_envelope env = envelope();
	struct queue *q = open_queue(NULL);
	struct queue_writer *w = queue_writer_open(q, &env);
	struct queue_message *m;
	struct queue_rcpt rcpt;
	struct queue_id id;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		add_rcpt(w, i);
	queue_writer_body(w, SPAN("body\r\n"));
	queue_writer_clear_rcpts(w);
	add_rcpt(w, 7);
	queue_writer_envelope(w)->sender =
	    queue_writer_keep(w, SPAN("other@example.com"));
	queue_writer_envelope(w)->birth = QUEUE_HOLD;
	assert_int_equal(queue_writer_commit_sync(&w, &id, NULL), 0);
	assert_int_equal(queue_message_open(q, QUEUE_HOLD, id, O_RDONLY, true,
	    &m, NULL), 0);
	assert_int_equal(m->rcpt_count, 1);
	assert_int_equal(queue_message_rcpts(m, 0, 1, &rcpt, NULL, NULL), 1);
	assert_true(span_eq(m->env.sender, SPAN("other@example.com")));
	queue_message_close(&m);
	queue_remove(q, id, QUEUE_HOLD, NULL);
	queue_close(&q);
}

static void
assert_content(
    const struct queue_message *m, unsigned pieces, size_t piece_size)
{
	uint8_t *want = mem_alloc(piece_size + 1);
	uint8_t *got = mem_alloc(piece_size + 1);

	assert_int_equal(m->content_size, pieces * piece_size);
	for (unsigned i = 0; i < pieces; i++) {
		assert_int_equal(pread(m->fd, got, piece_size,
				     (off_t)(m->content_at + i * piece_size)),
		    piece_size);
		piece(want, piece_size, i);
		assert_memory_equal(got, want, piece_size);
	}
	mem_free(want);
	mem_free(got);
}

/* Reads all recipients in pages of `page` and checks their order. */
static void
assert_rcpts(struct queue_message *m, unsigned count, unsigned page)
{
	struct queue_rcpt *r = mem_alloc(page * sizeof(*r));
	struct queue_rcpt_status *s = mem_alloc(page * sizeof(*s));
	unsigned from = 0;
	int got;

	assert_int_equal(m->rcpt_count, count);
	while ((got = queue_message_rcpts(m, from, page, r, s, NULL)) > 0) {
		for (int i = 0; i < got; i++) {
			char want[64];

			snprintf(want, sizeof(want), "r%u@example.org",
			    from + (unsigned)i);
			assert_true(span_eq(r[i].address, span_str(want)));
			assert_true(span_eq(r[i].orig_address, span_str(want)));
		}
		from += (unsigned)got;
	}
	assert_int_equal(got, 0);
	assert_int_equal(from, count);
	mem_free(r);
	mem_free(s);
}

static void
what_is_written_is_read(void **state)
{
	static const struct {
		unsigned rcpts, late, pieces;
		size_t piece_size;
	} rows[] = {
		{ 1, 0, 0, 0 },
		{ 1, 0, 1, 1 },
		{ 3, 0, 1, 1000 },
		{ 200, 0, 3, 40000 },
		{ 1, 1, 1, 131071 },
		{ 1, 2000, 10, 131072 },
		{ 0, 3000, 5, 100000 },
		{ 64, 64, 2, 140000 },
	};
	struct queue *q = open_queue(NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct queue_id id = write_one(q, rows[i].rcpts,
		    rows[i].late, rows[i].pieces, rows[i].piece_size);
		const unsigned all = rows[i].rcpts + rows[i].late;
		struct queue_message *m;

		assert_int_equal(queue_message_open(q, QUEUE_ACTIVE, id,
				     O_RDONLY, true, &m, NULL),
		    0);
		assert_true(
		    span_eq(m->env.message_id, SPAN("<id@example.com>")));
		assert_int_equal(m->todo_count, all);
		assert_int_equal(m->tries, 0);
		assert_content(m, rows[i].pieces, rows[i].piece_size);
		assert_rcpts(m, all, 1000);
		assert_rcpts(m, all, 7);
		queue_message_close(&m);
		assert_int_equal(queue_remove(q, id, QUEUE_ACTIVE, NULL), 0);
	}
	queue_close(&q);
}

/* From the first bytes alone, unless recipients stand behind the content. */
static void
the_head_tells_all(void **state)
{
	static const struct {
		unsigned rcpts, late;
		size_t size;
	} rows[] = { { 1, 0, 1000 }, { 300, 0, 50 }, { 3, 0, 200000 },
		{ 1, 2000, 200000 } };
	struct queue *q = open_queue(NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct queue_id id =
		    write_one(q, rows[i].rcpts, rows[i].late, 1, rows[i].size);
		struct queue_message *m, *file;
		uint8_t *head;
		size_t n;
		struct err e;

		assert_int_equal(queue_message_open(q, QUEUE_ACTIVE, id,
				     O_RDONLY, true, &file, NULL),
		    0);
		n = (size_t)file->content_at;
		head = mem_alloc(n);
		assert_int_equal(pread(file->fd, head, n, 0), n);
		if (rows[i].late > 1000) {
			assert_int_equal(queue_message_from_head(
					     span_of(head, n), &m, &e),
			    -1);
			assert_int_equal(e.kind, ERR_TEMP);
		} else {
			assert_int_equal(queue_message_from_head(
					     span_of(head, n), &m, NULL),
			    0);
			assert_int_equal(m->fd, -1);
			assert_int_equal(m->id.n, id.n);
			assert_int_equal(m->todo_count, rows[i].rcpts);
			assert_int_equal(m->content_size, rows[i].size);
			assert_int_equal(m->end_at, file->end_at);
			assert_true(span_eq(m->env.sender, file->env.sender));
			assert_rcpts(m, rows[i].rcpts, 7);
			queue_message_close(&m);
		}
		for (size_t k = 0; k < n; k += k < 200 ? 1 : 97)
			assert_int_equal(
			    queue_message_from_head(span_of(head, k), &m, &e),
			    -1);
		mem_free(head);
		queue_message_close(&file);
		queue_remove(q, id, QUEUE_ACTIVE, NULL);
	}
	queue_close(&q);
}

static void
the_largest_list_of_recipients(void **state)
{
	struct queue *q = open_queue(NULL);
	const struct queue_id id = write_one(q, LIMIT_RCPT, 0, 1, 100);
	struct queue_message *m;

	(void)state;
	assert_int_equal(
	    queue_message_open(q, QUEUE_ACTIVE, id, O_RDONLY, true, &m, NULL),
	    0);
	assert_rcpts(m, LIMIT_RCPT, 1000);
	queue_message_close(&m);
	queue_remove(q, id, QUEUE_ACTIVE, NULL);
	queue_close(&q);
}

static void
marks_and_notes_stay(void **state)
{
	struct queue *q = open_queue(NULL);
	const struct queue_id id = write_one(q, 150, 0, 1, 100);
	struct queue_rcpt r[150];
	struct queue_rcpt_status s[150];
	struct queue_message *m;

	(void)state;
	assert_int_equal(
	    queue_message_open(q, QUEUE_ACTIVE, id, O_RDWR, true, &m, NULL), 0);
	assert_int_equal(queue_message_mark(m, 0, RCPT_DONE, NULL), 0);
	assert_int_equal(queue_message_mark(m, 149, RCPT_BOUNCED, NULL), 0);
	assert_int_equal(queue_message_rcpts(m, 0, 150, r, s, NULL), 150);
	assert_int_equal(
	    queue_mark_at(m->fd, s[70].mark_at, RCPT_DONE, NULL), 0);
	const struct queue_note first[] = {
		{ 3, 1000, SPAN("4.1.1"), SPAN("one"), SPAN("mx1") },
		{ 5, 1000, SPAN("4.1.1"), SPAN("one"), SPAN("mx1") },
	};
	const struct queue_note second[] = {
		{ 1, 2000, SPAN("4.2.2"), SPAN("two"), SPAN("mx2") },
		{ 5, 2000, SPAN("4.3.3"), SPAN("three"), SPAN("mx3") },
		{ 148, 2000, SPAN("4.3.3"), SPAN("three"), SPAN("mx3") },
	};
	assert_int_equal(queue_message_notes(m, first, 2, 77, NULL), 0);
	assert_int_equal(queue_message_sync(m, NULL), 0);
	queue_message_close(&m);
	assert_int_equal(
	    queue_message_open(q, QUEUE_ACTIVE, id, O_RDWR, true, &m, NULL), 0);
	assert_int_equal(queue_message_notes(m, second, 3, 88, NULL), 0);
	queue_message_close(&m);
	assert_int_equal(
	    queue_move(q, id, QUEUE_ACTIVE, QUEUE_DEFERRED, NULL), 0);
	assert_int_equal(
	    queue_message_open(q, QUEUE_DEFERRED, id, O_RDONLY, true, &m, NULL),
	    0);
	assert_int_equal(m->todo_count, 147);
	assert_int_equal(m->tries, 2);
	assert_int_equal(m->next_try_s, 88);
	assert_int_equal(queue_message_rcpts(m, 0, 150, r, s, NULL), 150);
	assert_int_equal(s[0].state, RCPT_DONE);
	assert_int_equal(s[70].state, RCPT_DONE);
	assert_int_equal(s[149].state, RCPT_BOUNCED);
	assert_int_equal(s[1].state, RCPT_TODO);
	assert_true(span_eq(s[1].reason, SPAN("two")));
	assert_int_equal(s[1].last_try_us, 2000);
	assert_true(span_eq(s[3].reason, SPAN("one")));
	assert_true(span_eq(s[3].dsn, SPAN("4.1.1")));
	assert_true(span_eq(s[3].remote, SPAN("mx1")));
	assert_true(span_eq(s[5].reason, SPAN("three")));
	assert_true(span_eq(s[148].reason, SPAN("three")));
	assert_int_equal(s[4].reason.n, 0);
	queue_message_close(&m);
	queue_remove(q, id, QUEUE_DEFERRED, NULL);
	queue_close(&q);
}

static void
flip_byte(struct queue *q, const char *name, off_t at)
{
	const int fd = openat(q->fd, name, O_RDWR);
	uint8_t c;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x40;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

/* Damage anywhere but in a mark or the notes is a permanent error; damaged
 * notes are no notes. */
static void
damage_is_seen(void **state)
{
	struct queue *q = open_queue(NULL);
	const struct queue_id id = write_one(q, 2, 0, 1, 50);
	struct queue_rcpt r[2];
	struct queue_rcpt_status s[2];
	struct queue_message *m;
	char name[QUEUE_NAME];
	uint64_t end;
	struct err e;

	(void)state;
	queue_name(QUEUE_ACTIVE, id, name);
	assert_int_equal(
	    queue_message_open(q, QUEUE_ACTIVE, id, O_RDWR, true, &m, NULL), 0);
	const struct queue_note note = { 1, 1, SPAN("4.0.0"), SPAN("why"),
		SPAN_EMPTY };
	assert_int_equal(queue_message_notes(m, &note, 1, 99, NULL), 0);
	assert_int_equal(queue_message_rcpts(m, 0, 2, r, s, NULL), 2);
	end = m->end_at;
	queue_message_close(&m);
	for (uint64_t at = 0; at < end; at++) {
		if (at == s[0].mark_at || at == s[1].mark_at)
			continue;
		/* The envelope's and end's mark bytes mean nothing. */
		flip_byte(q, name, (off_t)at);
		if (queue_message_open(
			q, QUEUE_ACTIVE, id, O_RDONLY, true, &m, &e) == 0) {
			assert_true(at == 72 + 1 || at == end - 28 + 1);
			queue_message_close(&m);
		} else {
			assert_int_equal(e.kind, ERR_PERM);
		}
		flip_byte(q, name, (off_t)at);
	}
	flip_byte(q, name, (off_t)end + 20);
	assert_int_equal(
	    queue_message_open(q, QUEUE_ACTIVE, id, O_RDONLY, true, &m, NULL),
	    0);
	assert_int_equal(m->note_count, 0);
	assert_int_equal(m->next_try_s, 0);
	queue_message_close(&m);
	/* Every shorter file is damaged too. */
	for (off_t n = (off_t)end - 1; n >= 0; n--) {
		const int fd = openat(q->fd, name, O_RDWR);

		assert_int_equal(ftruncate(fd, n), 0);
		close(fd);
		assert_int_equal(queue_message_open(q, QUEUE_ACTIVE, id,
				     O_RDONLY, true, &m, &e),
		    -1);
		assert_int_equal(e.kind, ERR_PERM);
	}
	queue_remove(q, id, QUEUE_ACTIVE, NULL);
	assert_int_equal(
	    queue_message_open(q, QUEUE_ACTIVE, id, O_RDONLY, true, &m, &e),
	    -1);
	assert_int_equal(e.sysno, ENOENT);
	queue_close(&q);
}

/* ---- asynchronous ---- */
struct async {
	struct loop *loop;
	struct queue_id id;
	bool failed;
	unsigned ready;
	int left;
};

static void
committed(void *arg, struct queue_id id, const struct err *e)
{
	struct async *a = arg;

	a->id = id;
	a->failed = e != NULL;
	if (--a->left == 0)
		loop_stop(a->loop);
}

static void
got_ready(void *arg)
{
	struct async *a = arg;

	a->ready++;
	loop_stop(a->loop);
}

static void
on_the_loop(void **state)
{
	struct loop *loop = loop_new();
	struct queue *q = open_queue(loop);
	struct async a = { .loop = loop, .left = 1 };
	const struct queue_envelope env = envelope();
	struct queue_writer *w = queue_writer_open(q, &env);
	uint8_t *store = mem_alloc(100000);
	struct queue_message *m;
	bool was_busy = false;

	(void)state;
	add_rcpt(w, 0);
	for (unsigned i = 0; i < 50; i++) {
		queue_writer_body(w, piece(store, 100000, i));
		while (queue_writer_busy(w, got_ready, &a)) {
			was_busy = true;
			loop_run(loop);
		}
	}
	assert_true(was_busy);
	assert_true(a.ready > 0);
	queue_writer_commit(&w, committed, &a);
	loop_run(loop);
	assert_false(a.failed);
	assert_int_equal(
	    queue_message_open(q, QUEUE_ACTIVE, a.id, O_RDONLY, true, &m, NULL),
	    0);
	assert_content(m, 50, 100000);
	queue_message_close(&m);
	queue_remove(q, a.id, QUEUE_ACTIVE, NULL);
	mem_free(store);
	work_finish(loop);
	queue_close(&q);
	loop_free(&loop);
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
count(struct queue *q, enum queue_dir dir)
{
	unsigned n = 0;

	assert_int_equal(queue_scan(q, dir, count_one, &n, NULL), 0);
	return n;
}

static void
many_at_a_time_and_aborts(void **state)
{
	struct loop *loop = loop_new();
	struct queue *q = open_queue(loop);
	struct async a = { .loop = loop };
	const struct queue_envelope env = envelope();
	uint8_t *store = mem_alloc(70000);

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct queue_writer *w = queue_writer_open(q, &env);

		add_rcpt(w, i);
		queue_writer_body(w, piece(store, i % 2 == 0 ? 70000 : 10, i));
		if (i % 3 == 0) {
			queue_writer_abort(&w);
			assert_null(w);
			continue;
		}
		a.left++;
		queue_writer_commit(&w, committed, &a);
	}
	loop_run(loop);
	work_finish(loop);
	assert_int_equal(count(q, QUEUE_ACTIVE), 40);
	assert_int_equal(count(q, QUEUE_INCOMING), 0);
	mem_free(store);
	queue_close(&q);
	loop_free(&loop);
	remove_place(NULL);
	snprintf(place, sizeof(place), "/tmp/chappe-queue-XXXXXX");
	assert_int_equal(make_place(NULL), 0);
}

/* A process of that slot that dies with messages half written. */
static void
leave_unfinished(uint8_t slot, unsigned n)
{
	static uint8_t store[140000];
	const struct queue_envelope env = envelope();
	struct queue *q;
	int status;
	const pid_t pid = fork();

	if (pid == 0) {
		q = open_queue(NULL);
		queue_set_slot(q, slot);
		for (unsigned i = 0; i < n; i++)
			queue_writer_body(queue_writer_open(q, &env),
			    piece(store, sizeof(store), i));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
recovery_spares_the_living(void **state)
{
	struct queue *q = open_queue(NULL);
	uint8_t living[32] = { 0 };
	unsigned removed = 99;

	(void)state;
	leave_unfinished(5, 4);
	leave_unfinished(200, 6);
	assert_int_equal(count(q, QUEUE_INCOMING), 10);
	living[200 / 8] = 1 << 200 % 8;
	assert_int_equal(queue_recover_incoming(q, living, &removed, NULL), 0);
	assert_int_equal(removed, 4);
	assert_int_equal(count(q, QUEUE_INCOMING), 6);
	queue_close(&q);
}

static void
a_lock_is_one_owners(void **state)
{
	struct queue *q = open_queue(NULL);
	struct err e;
	int fd, second;

	(void)state;
	assert_int_equal(queue_lock(q, false, &fd, &e), 0);
	assert_int_equal(queue_lock(q, false, &second, &e), -1);
	assert_int_equal(e.sysno, EAGAIN);
	close(fd);
	assert_int_equal(queue_lock(q, false, &second, &e), 0);
	close(second);
	queue_close(&q);
}

static void
a_reserve_has_its_blocks(void **state)
{
	struct queue *q = open_queue(NULL);
	struct stat st;
	struct err e;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(queue_reserve_make(q, 100000, &e), 0);
		assert_int_equal(fstatat(q->fd, "journal/reserve", &st, 0), 0);
		assert_int_equal(st.st_size, 100000);
		assert_true(st.st_blocks * 512 >= 100000);
		assert_int_equal(st.st_mode & 0777, 0600);
		/* One that is there stays as it is. */
		assert_int_equal(queue_reserve_make(q, 100000, &e), 0);
		assert_int_equal(queue_reserve_free(q, &e), 0);
		assert_int_equal(fstatat(q->fd, "journal/reserve", &st, 0), 0);
		assert_int_equal(st.st_blocks, 0);
	}
	assert_int_equal(queue_reserve_make(q, INT64_MAX / 2, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(fstatat(q->fd, "journal/reserve", &st, 0), 0);
	assert_int_equal(st.st_blocks, 0);
	queue_close(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_was_given_may_change_until_the_commit),
		cmocka_unit_test(the_head_tells_all),
		cmocka_unit_test(the_largest_list_of_recipients),
		cmocka_unit_test(marks_and_notes_stay),
		cmocka_unit_test(damage_is_seen),
		cmocka_unit_test(on_the_loop),
		cmocka_unit_test(many_at_a_time_and_aborts),
		cmocka_unit_test(recovery_spares_the_living),
		cmocka_unit_test(a_lock_is_one_owners),
		cmocka_unit_test(a_reserve_has_its_blocks),
	};

	return cmocka_run_group_tests(tests, make_place, remove_place);
}
