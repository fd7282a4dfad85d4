/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/trace.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

/*
 * Two passes over the segments: the first finds the trace ids of the mails
 * that are asked for, the second collects all lines under these ids, of their
 * connections too.
 */

enum { TRACES_MAX = 10000, SEGMENT_MAX = 1 << 30 };

struct found {
	int64_t time_us;
	uint64_t pid, at;
	size_t offset, n; /* in the result */
};

struct search {
	const struct trace_query *query;
	uint64_t *traces;
	size_t trace_count;
	struct buf result; /* in the order of the files */
	struct found *found;
	size_t found_count, found_room;
};

static bool
known(const struct search *s, uint64_t trace)
{
	for (size_t i = 0; i < s->trace_count; i++)
		if (s->traces[i] == trace)
			return true;
	return false;
}

static void
learn(struct search *s, uint64_t trace)
{
	if (trace == 0 || known(s, trace) || s->trace_count == TRACES_MAX)
		return;
	s->traces = mem_resize(s->traces, s->trace_count + 1,
	    sizeof(*s->traces));
	s->traces[s->trace_count++] = trace;
}

static bool
has_address(struct span text, struct span address)
{
	size_t at;

	while ((at = span_find(text, SPAN("<"))) != SIZE_MAX) {
		text = span_skip(text, at + 1);
		if (span_istarts(text, address) &&
		    text.n > address.n && text.p[address.n] == '>')
			return true;
	}
	return false;
}

/* First pass. */
static void
look(struct search *s, const struct trace_line *t, struct span line)
{
	const struct trace_query *q = s->query;

	(void)line;
	if (q->qid.n > 0 ? span_eq(t->qid, q->qid) :
	    q->address.n > 0 && has_address(t->text, q->address))
		learn(s, t->trace);
}

/* Does the line belong to what is asked for? A connection's own lines (low
 * bits 0) belong to each of its mails. */
static bool
wanted(const struct search *s, const struct trace_line *t)
{
	const uint64_t low = 0xffff;

	if (s->query->qid.n > 0 && span_eq(t->qid, s->query->qid))
		return true;
	for (size_t i = 0; i < s->trace_count; i++) {
		uint64_t w = s->traces[i];

		if (t->trace == w || (t->trace != 0 && (w & low) == 0 &&
		    (t->trace & ~low) == w) ||
		    (t->trace != 0 && t->trace == (w & ~low)))
			return true;
	}
	return false;
}

/* Second pass. */
static void
collect(struct search *s, const struct trace_line *t, struct span line)
{
	struct found *f;

	if (!wanted(s, t))
		return;
	buf_add(&s->result, line);
	if (!buf_ok(&s->result))
		return;
	if (s->found_count == s->found_room) {
		s->found_room = s->found_room * 2 + 64;
		s->found = mem_resize(s->found, s->found_room,
		    sizeof(*s->found));
	}
	f = &s->found[s->found_count++];
	*f = (struct found){ t->time_us, t->pid, t->at,
		s->result.n - line.n, line.n };
}

typedef void (*line_fn)(struct search *s, const struct trace_line *t,
    struct span line);

static void
scan_bytes(struct search *s, struct span bytes, line_fn fn)
{
	while (bytes.n > 0) {
		size_t end = span_chr(bytes, '\n');
		struct span line = span_slice(bytes, 0, end);
		struct trace_line t;

		/* A line without end was cut by a crash. */
		if (end == SIZE_MAX)
			return;
		if (trace_parse(line, &t))
			fn(s, &t, line);
		bytes = span_skip(bytes, end + 1);
	}
}

static int
scan_segment(struct search *s, int dir_fd, uint64_t number, line_fn fn,
    struct err *e)
{
	char name[TRACE_SEGMENT_NAME];
	struct buf bytes;
	struct stat st;
	uint8_t *room;
	ssize_t n = 0;
	int fd;

	trace_segment_name(number, name);
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	/* The oldest may have gone meanwhile. */
	if (fd < 0)
		return 0;
	buf_init(&bytes, SEGMENT_MAX);
	if (fstat(fd, &st) == 0 &&
	    (room = buf_room(&bytes, (size_t)st.st_size)) != NULL)
		n = pread(fd, room, (size_t)st.st_size, 0);
	if (n < 0)
		err_sys(e, "read %s", name);
	else
		scan_bytes(s, span_of(bytes.p, (size_t)n), fn);
	buf_release(&bytes);
	close(fd);
	return n < 0 ? -1 : 0;
}

static int
scan(struct search *s, int dir_fd, line_fn fn, struct err *e)
{
	uint64_t *numbers;
	size_t count;
	int rc = 0;

	if (trace_segments(dir_fd, &numbers, &count, e) != 0)
		return -1;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = scan_segment(s, dir_fd, numbers[i], fn, e);
	mem_free(numbers);
	return rc;
}

static int
by_time(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->time_us != y->time_us)
		return x->time_us < y->time_us ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* A log daemon that was killed may have written a record twice. */
static bool
same_record(const struct found *x, const struct found *y)
{
	return x->time_us == y->time_us && x->pid == y->pid && x->at == y->at;
}

static void
put_in_order(struct search *s, struct buf *out)
{
	if (s->found_count > 0)
		qsort(s->found, s->found_count, sizeof(*s->found), by_time);
	for (size_t i = 0; i < s->found_count; i++) {
		const struct found *f = &s->found[i];

		if (i > 0 && same_record(f, f - 1))
			continue;
		buf_add(out, span_of(s->result.p + f->offset, f->n));
		buf_byte(out, '\n');
	}
	out->spilt |= s->result.spilt;
}

int
trace_search(int dir_fd, const struct trace_query *q, struct buf *out,
    struct err *e)
{
	struct search s = { .query = q };
	int rc = 0;

	buf_init(&s.result, TRACE_RESULT_MAX);
	if (q->qid.n > 0 || q->address.n > 0)
		rc = scan(&s, dir_fd, look, e);
	else
		learn(&s, q->trace);
	if (rc == 0)
		rc = scan(&s, dir_fd, collect, e);
	if (rc == 0)
		put_in_order(&s, out);
	buf_release(&s.result);
	mem_free(s.found);
	mem_free(s.traces);
	return rc;
}
