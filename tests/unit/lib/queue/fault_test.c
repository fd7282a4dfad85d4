/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The commit with a fault at each durable step in turn: this program runs
 * itself with CHAPPE_FAULT set, writes one message, and says on stdout
 * whether it was answered. After the start's recovery the message is there,
 * whole, exactly when it was answered; killed after the rename but before the
 * answer it may be there too. The same by group commit, where recovery itself
 * is hurt at each of its steps, too.
 */
#include "lib/queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/work.h"
#include "lib/queue/recover.h"

static char place[] = "/tmp/chappe-fault-XXXXXX";

enum {
	ANSWERED = 42,
	REFUSED = 43,
	RECOVERED = 44,
	FAILED = 45,
	SLOT = 3,
	SEGMENT = 1,
	GENERATION = 9,
	SIZE = 1 << 20,
};

/* ---- the one that gets hurt ---- */
struct victim {
	struct loop *loop;
	int status;
};

static void
committed(void *arg, struct queue_id id, const struct err *e)
{
	struct victim *v = arg;

	(void)id;
	v->status = e == NULL ? ANSWERED : REFUSED;
	loop_stop(v->loop);
}

static void
on_want(void *arg)
{
	(void)arg;
}

static void
on_full(
    void *arg, uint32_t number, uint64_t generation, uint64_t end, bool refused)
{
	(void)arg;
	(void)refused;
	(void)number;
	(void)generation;
	(void)end;
}

static const struct queue_group_ops group_ops = { on_want, on_full };

static void
join_group(struct queue *q)
{
	struct queue_segment s = {
		.number = SEGMENT, .generation = GENERATION, .size = SIZE
	};

	queue_group(q, &group_ops, NULL);
	if (segment_writer(q, SEGMENT, &s.fd, NULL) == 0)
		queue_group_give(q, &s);
}

enum how { HOW_FILE, HOW_GROUP, HOW_LONG_SPARE };

/* The id of the finished message whose file lies there to be used again. */
static struct queue_id
spare_id(void)
{
	return (struct queue_id){ ((uint64_t)1 << 40) + SLOT };
}

static int
write_message(const char *queue_directory, size_t size, enum how how)
{
	const struct queue_envelope env = { .arrival_us = 1,
		.uid = -1,
		.sender = SPAN("s@example.com"),
		.birth = QUEUE_ACTIVE };
	const struct queue_rcpt rcpt = { .address = SPAN("a@b"),
		.orig_address = SPAN("a@b") };
	struct victim v = { .loop = loop_new() };
	struct queue_writer *w;
	struct queue *q;
	uint8_t line[1000];

	if (queue_open(queue_directory, v.loop, &q, NULL) != 0)
		return 1;
	queue_set_slot(q, SLOT);
	if (how != HOW_FILE)
		join_group(q);
	if (how == HOW_LONG_SPARE && !queue_spare_give(q, spare_id()))
		return 1;
	w = queue_writer_open(q, &env);
	queue_writer_rcpt(w, &rcpt);
	memset(line, 'x', sizeof(line));
	for (size_t n = 0; n < size; n += sizeof(line))
		queue_writer_body(w, span_of(line, sizeof(line)));
	queue_writer_commit(&w, committed, &v);
	loop_run(v.loop);
	return v.status;
}

/* A start that gets hurt. */
static int
recover_once(const char *queue_directory)
{
	const uint8_t nobody[32] = { 0 };
	struct queue_recovery r;
	struct queue *q;

	if (queue_open(queue_directory, NULL, &q, NULL) != 0)
		return 1;
	return queue_recover(q, nobody, &r, NULL) == 0 ? RECOVERED : FAILED;
}

/* ---- the one that looks ---- */
/* Runs the victim; its exit status, or 0 when it was killed. */
static int
run_victim(const char *how, const char *size, const char *fault)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0) {
		setenv("CHAPPE_FAULT", fault, 1);
		execl(
		    "/proc/self/exe", "victim", place, how, size, (char *)NULL);
		_exit(1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGKILL);
		return 0;
	}
	assert_true(
	    WEXITSTATUS(status) >= ANSWERED && WEXITSTATUS(status) <= FAILED);
	return WEXITSTATUS(status);
}

struct found {
	struct queue *q;
	unsigned active, incoming;
};

static bool
check_active(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct found *f = arg;
	struct queue_message *m;
	struct err e;

	(void)mtime_s;
	if (queue_message_open(
		f->q, QUEUE_ACTIVE, id, O_RDONLY, true, &m, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(m->todo_count, 1);
	queue_message_close(&m);
	assert_int_equal(queue_remove(f->q, id, QUEUE_ACTIVE, NULL), 0);
	f->active++;
	return true;
}

static bool
count_incoming(void *arg, struct queue_id id, int64_t mtime_s)
{
	struct found *f = arg;

	(void)id;
	(void)mtime_s;
	f->incoming++;
	return true;
}

/* What a start finds; the queue is empty afterwards. */
static struct found
recover(void)
{
	const uint8_t nobody[32] = { 0 };
	struct found f = { 0 };
	unsigned removed;

	assert_int_equal(queue_open(place, NULL, &f.q, NULL), 0);
	assert_int_equal(
	    queue_scan(f.q, QUEUE_INCOMING, count_incoming, &f, NULL), 0);
	assert_int_equal(
	    queue_recover_incoming(f.q, nobody, &removed, NULL), 0);
	assert_int_equal(removed, f.incoming);
	assert_int_equal(
	    queue_scan(f.q, QUEUE_ACTIVE, check_active, &f, NULL), 0);
	queue_close(&f.q);
	return f;
}

/* Returns how many steps a commit has. */
static unsigned
all_steps(const char *size, const char *what)
{
	for (unsigned n = 1; n < 100; n++) {
		char fault[40];
		struct found f;
		int status;

		snprintf(fault, sizeof(fault), "%u:%s", n, what);
		status = run_victim("file", size, fault);
		f = recover();
		if (status == ANSWERED) {
			assert_int_equal(f.active, 1);
			return n - 1;
		}
		if (status == REFUSED) {
			assert_int_equal(f.active, 0);
			assert_int_equal(f.incoming, 0);
		}
		assert_true(f.active <= 1);
	}
	fail_msg("a commit without an end");
	return 0;
}

static void
killed_at_every_step(void **state)
{
	(void)state;
	/* create, write, fsync, rename, fsync of the directory */
	assert_int_equal(all_steps("2000", "kill"), 5);
	assert_true(all_steps("200000", "kill") > 5);
}

static void
every_step_fails(void **state)
{
	static const char *const faults[] = { "ENOSPC", "EIO", "EDQUOT",
		"EMFILE", "ENOMEM", "EEXIST" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		assert_int_equal(all_steps("2000", faults[i]), 5);
		assert_true(all_steps("200000", faults[i]) > 5);
	}
}

static void make_segment(void);

/* ---- into the file of a long message that is finished ---- */
static void
make_long_spare(void)
{
	uint8_t bytes[10000];
	char text[QUEUE_ID_TEXT], *name;
	FILE *file;

	memset(bytes, 'y', sizeof(bytes));
	queue_id_text(spare_id(), text);
	name = mem_printf("%s/incoming/0/s%s", place, text);
	file = fopen(name, "w");
	assert_non_null(file);
	for (int i = 0; i < 90; i++)
		assert_int_equal(fwrite(bytes, sizeof(bytes), 1, file), 1);
	assert_int_equal(fclose(file), 0);
	mem_free(name);
}

/* And takes it away. */
static bool
there_is_a_spare(void)
{
	char text[QUEUE_ID_TEXT], *name;
	bool is;

	queue_id_text(spare_id(), text);
	name = mem_printf("%s/incoming/0/s%s", place, text);
	is = unlink(name) == 0;
	mem_free(name);
	return is;
}

static void
a_used_file_hurt_at_every_step(void **state)
{
	static const char *const faults[] = { "kill", "ENOSPC", "EIO" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		int status = 0;
		unsigned n;

		for (n = 1; n < 100 && status != ANSWERED; n++) {
			char fault[40];
			struct found f;

			make_segment();
			make_long_spare();
			snprintf(fault, sizeof(fault), "%u:%s", n, faults[i]);
			status = run_victim("long", "700000", fault);
			f = recover();
			assert_true(f.active <= 1);
			assert_int_equal(f.incoming, 0);
			if (status == ANSWERED)
				assert_int_equal(f.active, 1);
			if (status == REFUSED)
				assert_int_equal(f.active, 0);
			assert_false(there_is_a_spare() && status != 0);
		}
		/* chunks, the rest, the head, the size, the flush, the name,
		 * the directory's flush */
		assert_true(n > 7);
		assert_int_equal(status, ANSWERED);
	}
}

/* ---- group commit ---- */
static void
make_segment(void)
{
	struct segment s;
	struct queue *q;

	assert_int_equal(queue_open(place, NULL, &q, NULL), 0);
	assert_int_equal(segment_remove(q, SEGMENT, NULL), 0);
	assert_int_equal(segment_create(q, SEGMENT, SIZE, &s, NULL), 0);
	s.head.owner = SLOT;
	s.head.generation = GENERATION;
	s.head.mark = JOURNAL_RECORDS;
	assert_int_equal(segment_head(&s, NULL), 0);
	segment_close(&s);
	queue_close(&q);
}

/* What the last, unhurt start finds, all of it whole; the queue is empty
 * afterwards. */
static size_t
recover_group(void)
{
	const uint8_t nobody[32] = { 0 };
	struct queue_recovery r;
	struct queue_message *m;
	struct queue *q;
	struct err e;
	size_t count;

	assert_int_equal(queue_open(place, NULL, &q, NULL), 0);
	if (queue_recover(q, nobody, &r, &e) != 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < r.live_count; i++) {
		if (queue_message_open(q, QUEUE_INCOMING, r.live[i].id,
			O_RDONLY, true, &m, &e) != 0)
			fail_msg("%s", e.text);
		assert_int_equal(m->todo_count, 1);
		queue_message_close(&m);
		queue_remove(q, r.live[i].id, QUEUE_INCOMING, NULL);
	}
	count = r.live_count;
	queue_recovery_release(&r);
	queue_close(&q);
	return count;
}

/* What a power cut may leave of files that were never flushed. */
enum loss { LOSS_NONE, LOSS_GONE, LOSS_EMPTY, LOSS_TORN, LOSSES };

static bool
lose_one(void *arg, struct queue_id id, int64_t mtime_s)
{
	const enum loss loss = *(const enum loss *)arg;
	char text[QUEUE_ID_TEXT], *name;

	(void)mtime_s;
	queue_id_text(id, text);
	name = mem_printf("%s/incoming/%c/%s", place, queue_id_dir(id), text);
	if (loss == LOSS_GONE)
		assert_int_equal(unlink(name), 0);
	else if (loss != LOSS_NONE)
		assert_int_equal(
		    truncate(name, loss == LOSS_EMPTY ? 0 : 700), 0);
	mem_free(name);
	return true;
}

static void
lose(enum loss loss)
{
	struct queue *q;

	assert_int_equal(queue_open(place, NULL, &q, NULL), 0);
	assert_int_equal(
	    queue_scan(q, QUEUE_INCOMING, lose_one, &loss, NULL), 0);
	queue_close(&q);
}

static unsigned
all_group_steps(const char *size, const char *what, enum loss loss)
{
	for (unsigned n = 1; n < 100; n++) {
		char fault[40];
		size_t found;
		int status;

		snprintf(fault, sizeof(fault), "%u:%s", n, what);
		make_segment();
		status = run_victim("group", size, fault);
		lose(loss);
		found = recover_group();
		if (status == ANSWERED) {
			assert_int_equal(found, 1);
			return n - 1;
		}
		assert_true(found <= (status == REFUSED ? 0 : 1));
	}
	fail_msg("a commit without an end");
	return 0;
}

static void
group_hurt_at_every_step(void **state)
{
	static const char *const faults[] = { "kill", "ENOSPC", "EIO",
		"EMFILE" };

	(void)state;
	for (enum loss loss = 0; loss < LOSSES; loss++) {
		for (size_t i = 0; i < COUNT_OF(faults); i++) {
			/* append, flush: there is no file */
			assert_int_equal(
			    all_group_steps("2000", faults[i], loss), 2);
			assert_true(
			    all_group_steps("200000", faults[i], loss) > 4);
		}
	}
}

/* A start that is hurt leaves it to the next one. */
static void
recovery_hurt_at_every_step(void **state)
{
	static const char *const faults[] = { "kill", "ENOSPC", "EIO" };
	static const enum loss losses[] = { LOSS_GONE, LOSS_TORN };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(faults) * COUNT_OF(losses); i++) {
		const char *what = faults[i % COUNT_OF(faults)];

		for (unsigned n = 1;; n++) {
			char fault[40];
			int status;

			snprintf(fault, sizeof(fault), "%u:%s", n, what);
			make_segment();
			assert_int_equal(
			    run_victim("group", "2000", "0:kill"), ANSWERED);
			lose(losses[i / COUNT_OF(faults)]);
			status = run_victim("recover", "0", fault);
			assert_int_equal(recover_group(), 1);
			if (status == RECOVERED && n > 4)
				break;
			assert_true(n < 20);
		}
	}
}

static int
make_place(void **state)
{
	struct queue *q;

	(void)state;
	if (mkdtemp(place) == NULL || queue_open(place, NULL, &q, NULL) != 0 ||
	    queue_make_dirs(q, NULL) != 0)
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

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_every_step),
		cmocka_unit_test(every_step_fails),
		cmocka_unit_test(a_used_file_hurt_at_every_step),
		cmocka_unit_test(group_hurt_at_every_step),
		cmocka_unit_test(recovery_hurt_at_every_step),
	};

	if (argc == 4 && strcmp(argv[2], "recover") == 0)
		_exit(recover_once(argv[1]));
	if (argc == 4)
		_exit(write_message(argv[1], strtoul(argv[3], NULL, 10),
		    strcmp(argv[2], "group") == 0  ? HOW_GROUP
		    : strcmp(argv[2], "long") == 0 ? HOW_LONG_SPARE
						   : HOW_FILE));
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
